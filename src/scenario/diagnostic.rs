//! What is wrong with a scenario: where, why, and what to do about it.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin as Header, Renderer, Snippet};

use super::property::is_secret;
use super::{Source, codes};

/// One mistake, or one thing worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable name of the kind of mistake, one of [`codes`](super::codes).
    pub code: &'static str,
    /// Whether it prevents a run.
    pub severity: Severity,
    /// What is wrong: lower case, the user's words in backticks, no full stop.
    pub message: String,
    /// Where.
    pub origin: Origin,
    /// What to write next to the caret; may be empty.
    pub label: String,
    /// What to do; may be empty.
    pub remedy: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing can be run.
    Error,
    /// It can be run, but the result may not mean what it seems to.
    Warning,
}

/// Where something was written. Positions are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In no place of the file in particular.
    WholeFile,
    /// In the scenario file.
    File {
        /// First byte.
        start: usize,
        /// Behind the last byte.
        end: usize,
    },
    /// In a `--set path=value`.
    Override {
        /// Which one, from 0.
        index: usize,
        /// First byte.
        start: usize,
        /// Behind the last byte.
        end: usize,
    },
    /// In another option of the command line, which the message names.
    CommandLine,
}

impl Origin {
    /// Whether it is a part of `other`, in the same text.
    pub fn is_within(self, other: Origin) -> bool {
        match (self, other) {
            (Origin::File { start, end }, Origin::File { start: from, end: to }) => {
                from <= start && end <= to
            }
            (
                Origin::Override { index, start, end },
                Origin::Override { index: other, start: from, end: to },
            ) => index == other && from <= start && end <= to,
            _ => false,
        }
    }
}

/// The texts diagnostics point into.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The scenario file.
    pub file: &'a Source,
    /// The `--set` options, `path=value` each.
    pub overrides: &'a [String],
}

impl Diagnostic {
    /// An error that points to `origin`.
    pub fn error(code: &'static str, origin: Origin, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            origin,
            label: String::new(),
            remedy: String::new(),
        }
    }

    /// A warning that points to `origin`.
    pub fn warning(code: &'static str, origin: Origin, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, origin, message) }
    }

    /// With words next to the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// With something to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Diagnostic {
        self.remedy = remedy.into();
        self
    }

    /// Whether it prevents a run.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The diagnostic as text of several lines, without a line break at the end.
    pub fn render(&self, sources: &Sources<'_>, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str()).id(self.code);
        let mut group = match self.text(sources) {
            Some((path, text, span)) if !self.hides(line_at(text, span.start)) => {
                let label = Some(self.label.as_str()).filter(|label| !label.is_empty());
                let caret = AnnotationKind::Primary.span(span).label(label);
                title.element(Snippet::source(text).path(path).annotation(caret))
            }
            // A line with a password is named, but not shown: terminals are logged.
            Some((path, text, span)) => {
                let line = text[..span.start].matches('\n').count() + 1;
                title.element(Header::path(path).line(line))
            }
            None if self.origin == Origin::WholeFile => {
                title.element(Header::path(sources.file.name.as_str()))
            }
            None => Group::with_title(title),
        };
        if !self.remedy.is_empty() {
            group = group.element(Level::HELP.message(self.remedy.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }

    /// Whether `line`, to which it points, may hold a secret.
    fn hides(&self, line: &str) -> bool {
        self.code == codes::SECRET_PROPERTY || is_secret(line) || has_credentials(line)
    }

    /// The name and the text it points into, and the place there.
    fn text<'a>(&self, sources: &Sources<'a>) -> Option<(&'a str, &'a str, Range<usize>)> {
        let (path, text, start, end) = match self.origin {
            Origin::WholeFile | Origin::CommandLine => return None,
            Origin::File { start, end } => {
                let file: &'a Source = sources.file;
                (file.name.as_str(), file.text.as_str(), start, end)
            }
            Origin::Override { index, start, end } => {
                ("--set", sources.overrides.get(index)?.as_str(), start, end)
            }
        };
        Some((path, text, first_line(text, start, end)))
    }
}

/// Whether a text has something like `user:password@host` in it.
fn has_credentials(line: &str) -> bool {
    line.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'))
}

/// Cuts a place down to its first line and to whole characters, so that nothing can go wrong
/// when it is drawn.
fn first_line(text: &str, start: usize, end: usize) -> Range<usize> {
    let start = char_start(text, start);
    let mut end = end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let length = text[start..end].find(['\n', '\r']).unwrap_or(end - start);
    start..start + length
}

/// The start of the character at byte `at`, or the end of the text.
fn char_start(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The line around byte `at`.
fn line_at(text: &str, at: usize) -> &str {
    let at = char_start(text, at);
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_cut_to_its_first_line_and_to_whole_characters() {
        assert_eq!(first_line("ab\ncd", 1, 5), 1..2);
        assert_eq!(first_line("aµb", 2, 2), 1..3);
        assert_eq!(first_line("ab", 7, 9), 2..2);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let file = Source {
            name: "x.toml".to_owned(),
            text: "[client]\nsasl.password = \"hunter2\"\n".to_owned(),
        };
        let diagnostic = Diagnostic::error("x", Origin::File { start: 9, end: 22 }, "no");
        let sources = Sources { file: &file, overrides: &[] };
        let text = diagnostic.render(&sources, false);
        assert!(text.contains("x.toml:2") && !text.contains("hunter2"), "{text}");
        let file = Source { text: "[kafka]\nbootstrap = \"me:hunter2@h:1\"\n".to_owned(), ..file };
        let text = diagnostic.render(&Sources { file: &file, overrides: &[] }, false);
        assert!(text.contains("x.toml:2") && !text.contains("hunter2"), "{text}");
    }
}

//! Renders diagnostics as text: the place, the line with a caret, and the remedy.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin as Header, Renderer, Snippet};

use super::open::{has_credentials, may_hold_secret};
use super::{Diagnostic, MISTAKES_MAX, Origin, Severity, Sources, codes};
use crate::base::{format_count, printable};

/// Most diagnostics that are shown.
const SHOWN_MAX: usize = 100;
/// Longest line that is shown, in bytes. A longer line is only named.
const LONGEST_LINE: usize = 400;
/// Longest message that is shown in full, in bytes. A longer one is shown without its middle.
const LONGEST_TEXT: usize = 400;

/// All diagnostics as text, in the order of their places. If there are more than the limit, errors come first.
pub fn render_all(diagnostics: &[Diagnostic], sources: &Sources<'_>, color: bool) -> String {
    let shown: Vec<&Diagnostic> = if diagnostics.len() <= SHOWN_MAX {
        diagnostics.iter().collect()
    } else {
        let (errors, warnings): (Vec<_>, Vec<_>) =
            diagnostics.iter().partition(|diagnostic| diagnostic.is_error());
        errors.into_iter().chain(warnings).take(SHOWN_MAX).collect()
    };
    let mut texts: Vec<String> = shown.iter().map(|it| it.render(sources, color)).collect();
    let rest = diagnostics.len() - shown.len();
    if rest > 0 {
        let rest = format_count(rest as u64);
        texts.push(match diagnostics.len() < MISTAKES_MAX {
            true => format!("and {rest} more are not shown"),
            false => format!(
                "and at least {rest} more are not shown: reading stops after {} mistakes",
                format_count(MISTAKES_MAX as u64)
            ),
        });
    }
    texts.join("\n\n")
}

impl Diagnostic {
    /// The diagnostic as text of several lines, without a line break at the end.
    pub fn render(&self, sources: &Sources<'_>, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = without_credentials(&self.message);
        let (message, label) = (short(&message), short(&self.label));
        let title = level.primary_title(&*message).id(self.code);
        let file = printable(&sources.file.name);
        let mut group = match (self.text(sources), self.origin) {
            (Some(place), _) => {
                let header = Header::path(place.path.clone()).line(place.number);
                if self.hides(place.line) || !is_showable(place.line) {
                    let column = place.line[..place.span.start].chars().count() + 1;
                    title.element(header.char_column(column))
                } else {
                    let label = Some(&*label).filter(|label| !label.is_empty());
                    let caret = AnnotationKind::Primary.span(place.span).label(label);
                    let snippet = Snippet::source(place.line).line_start(place.number);
                    title.element(snippet.path(place.path).annotation(caret))
                }
            }
            (None, Origin::Position { line, column }) => {
                title.element(Header::path(&*file).line(line).char_column(column))
            }
            (None, Origin::WholeFile) => title.element(Header::path(&*file)),
            (None, _) => Group::with_title(title),
        };
        let remedy: Vec<Cow<'_, str>> = self.remedy.lines().map(printable).collect();
        let remedy = remedy.join("\n");
        if !remedy.is_empty() {
            group = group.element(Level::HELP.message(&*remedy));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }

    /// True if the line of the diagnostic may hold a secret, which must not reach the logs of a terminal.
    fn hides(&self, line: &str) -> bool {
        self.code == codes::SECRET_PROPERTY || may_hold_secret(line)
    }

    /// The line of the diagnostic, and the range in it; `None` if the diagnostic has no line.
    fn text<'a>(&self, sources: &Sources<'a>) -> Option<Line<'a>> {
        let (path, text, start, end) = match self.origin {
            Origin::WholeFile | Origin::CommandLine | Origin::Position { .. } => return None,
            Origin::File { start, end } => {
                let file = sources.file;
                (printable(&file.name), file.text.as_str(), start, end)
            }
            Origin::Override { index, start, end } => {
                (Cow::Borrowed("--set"), sources.overrides.get(index)?.as_str(), start, end)
            }
        };
        let span = first_line(text, start, end);
        let begin = text[..span.start].rfind('\n').map_or(0, |end| end + 1);
        let length = text[begin..].find('\n').unwrap_or(text.len() - begin);
        Some(Line {
            path,
            number: text[..begin].matches('\n').count() + 1,
            line: &text[begin..begin + length],
            span: span.start - begin..span.end - begin,
        })
    }
}

/// A line of a text with a range in it.
struct Line<'a> {
    path: Cow<'a, str>,
    number: usize,
    line: &'a str,
    span: Range<usize>,
}

/// True if a line can be shown unchanged.
fn is_showable(line: &str) -> bool {
    let is_plain = |part: &str| matches!(printable(part), Cow::Borrowed(_));
    line.len() <= LONGEST_LINE && line.split(['\t', '\r']).all(is_plain)
}

/// A text for one line of a terminal. A long text is shown without its middle.
fn short(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_TEXT {
        return printable(text);
    }
    let (head, tail) = (LONGEST_TEXT / 2, text.len() - LONGEST_TEXT / 2);
    let (head, tail) = (char_start(text, head), char_end(text, tail));
    Cow::Owned(format!("{} ... {}", printable(&text[..head]), printable(&text[tail..])))
}

/// A message in which words in backticks are hidden if they may contain a password.
fn without_credentials(message: &str) -> Cow<'_, str> {
    if !has_credentials(message) {
        return Cow::Borrowed(message);
    }
    let shown = |word| if has_credentials(word) { "(hidden)" } else { word };
    Cow::Owned(message.split('`').map(shown).collect::<Vec<_>>().join("`"))
}

/// Reduces a range to its first line and to whole characters, so that it can always be rendered.
fn first_line(text: &str, start: usize, end: usize) -> Range<usize> {
    let start = char_start(text, start);
    let end = char_end(text, end.max(start));
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

/// The first character boundary from byte `at` on, or the end of the text.
fn char_end(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::Source;
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
        assert!(text.contains("x.toml:2:1") && !text.contains("hunter2"), "{text}");
        let file = Source { text: "[kafka]\nbootstrap = \"me:hunter2@h:1\"\n".to_owned(), ..file };
        let text = diagnostic.render(&Sources { file: &file, overrides: &[] }, false);
        assert!(text.contains("x.toml:2:2") && !text.contains("hunter2"), "{text}");
        let diagnostic = Diagnostic::error("x", Origin::WholeFile, "`me:hunter2@h:1` is bad");
        let text = diagnostic.render(&Sources { file: &file, overrides: &[] }, false);
        assert!(text.contains("`(hidden)` is bad"), "{text}");
    }

    #[test]
    fn nothing_of_others_acts_on_the_terminal() {
        let file = Source { name: "a\u{1b}[2J\n.toml".to_owned(), text: "key = 1".to_owned() };
        let set = ["a\u{1b}[31m=1".to_owned()];
        let sources = Sources { file: &file, overrides: &set };
        for origin in [
            Origin::WholeFile,
            Origin::File { start: 0, end: 3 },
            Origin::Override { index: 0, start: 0, end: 3 },
            Origin::Position { line: 1, column: 2 },
        ] {
            let diagnostic = Diagnostic::error("x", origin, "bad \u{1b}[2J\nerror: no")
                .label("\u{9b}1m")
                .remedy("\u{202e}");
            let text = diagnostic.render(&sources, false);
            assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text}");
            assert!(!text.contains("\nerror: no"), "{text}");
        }
    }

    #[test]
    fn there_is_an_end_to_what_is_shown() {
        let text = format!("{} = 1\n", "k".repeat(100_000)).repeat(3);
        let file = Source { name: "x.toml".to_owned(), text };
        let sources = Sources { file: &file, overrides: &[] };
        let warning = Diagnostic::warning("x", Origin::File { start: 0, end: 100_000 }, "w");
        let error = Diagnostic {
            message: "e".repeat(1_000_000),
            severity: Severity::Error,
            ..warning.clone()
        };
        let mut all = vec![warning; 500];
        all.push(error);
        let text = render_all(&all, &sources, false);
        assert!(text.starts_with("error[x]: eee") && text.len() < 10_000, "{}", text.len());
        assert!(text.ends_with("and 401 more are not shown"), "{text}");
    }
}

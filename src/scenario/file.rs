//! The file itself: what is refused before it is parsed.

use std::path::Path;

use super::{Diagnostic, Origin, Source, codes};
use crate::base::{FileError, read_regular};

/// A scenario is a page of text; a file beyond this is something else.
const LARGEST_BYTES: u64 = 1024 * 1024;

/// The smallest scenario worth running, for those who have none yet.
const MINIMAL: &str = "a minimal scenario is\n\n    [topic]\n    partitions = 18\n\n    [load]\n    producers = 1024\n    rate = \"2/s\"\n\n    [expect]\n    lost = 0";

/// Reads a scenario file from disk, without trusting it to be one.
///
/// # Errors
/// A diagnostic when it is missing, not a file, too large or not text.
pub fn load(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let bytes = read_regular(path, LARGEST_BYTES).map_err(|refused| match refused {
        FileError::Missing => error(codes::FILE_MISSING, refused.to_string())
            .remedy("give the path of a scenario file, for example `scenarios/quick.toml`"),
        FileError::TooLarge(_) => too_large(),
        _ => error(codes::FILE_UNREADABLE, format!("the scenario cannot be read: {refused}"))
            .remedy(refused.remedy()),
    })?;
    let text = decode(bytes)?;
    Ok(Source { name: path.display().to_string(), text })
}

/// The bytes as text.
fn decode(bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let text = String::from_utf8(bytes).map_err(|refused| {
        let before = refused.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&refused.as_bytes()[..before]).into_owned();
        let message = match is_utf16 {
            true => "the scenario is UTF-16, not UTF-8",
            false => "the scenario is not UTF-8: there is a byte that belongs to no character",
        };
        Diagnostic::error(codes::NOT_TEXT, behind(&before), message)
            .remedy("save it as UTF-8, or check that it is a TOML file")
    })?;
    match guard(&text) {
        Some(diagnostic) => Err(Box::new(diagnostic)),
        None => Ok(text),
    }
}

/// Refuses what need not be parsed.
pub(super) fn guard(text: &str) -> Option<Diagnostic> {
    if text.len() as u64 > LARGEST_BYTES {
        return Some(too_large());
    }
    let is_noise = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let (at, noise) = text.char_indices().find(|(_, c)| is_noise(*c))?;
    let message = format!(
        "the scenario is not text: there is the control character U+{:04X}",
        u32::from(noise)
    );
    Some(
        Diagnostic::error(codes::NOT_TEXT, behind(&text[..at]), message).remedy(
            "remove it, or check that it is a TOML file; in a text it is written `\\u001B`",
        ),
    )
}

/// The place behind `before`, which begins the file.
fn behind(before: &str) -> Origin {
    let line = before.rsplit('\n').next().unwrap_or(before);
    Origin::Position { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
}

/// Says that nothing is in it.
pub(super) fn empty() -> Diagnostic {
    // It has several lines, which a remedy has not.
    let mut empty = error(codes::EMPTY_SCENARIO, "the scenario is empty".to_owned());
    MINIMAL.clone_into(&mut empty.remedy);
    empty
}

/// The lines of a file that are not TOML.
pub(super) struct BrokenLines {
    /// Where each line begins.
    begins: Vec<usize>,
    /// Their numbers, from 1, in ascending order.
    numbers: Vec<usize>,
}

impl BrokenLines {
    /// Those that `errors` point to.
    pub(super) fn of(text: &str, errors: &[Diagnostic]) -> BrokenLines {
        let begins = match errors {
            [] => Vec::new(),
            _ => std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
        };
        let mut lines = BrokenLines { begins, numbers: Vec::new() };
        let numbers = errors.iter().filter_map(|error| lines.number(error.origin));
        lines.numbers = numbers.collect();
        lines.numbers.sort_unstable();
        lines
    }

    /// Whether a place is on one of them.
    pub(super) fn has(&self, origin: Origin) -> bool {
        self.number(origin).is_some_and(|number| self.numbers.binary_search(&number).is_ok())
    }

    fn number(&self, origin: Origin) -> Option<usize> {
        let Origin::File { start, .. } = origin else { return None };
        Some(self.begins.partition_point(|begin| *begin <= start))
    }
}

fn too_large() -> Diagnostic {
    error(
        codes::FILE_TOO_LARGE,
        "the file is larger than 1 MiB, so it is not a scenario".to_owned(),
    )
    .remedy("check the path")
}

fn error(code: &'static str, message: String) -> Diagnostic {
    Diagnostic::error(code, Origin::WholeFile, message)
}

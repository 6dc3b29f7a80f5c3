//! The file itself: what is refused before anybody tries to understand it.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::{Diagnostic, Origin, Source, codes};

/// A scenario is a page of text; a file beyond this is something else.
const LARGEST_BYTES: u64 = 1024 * 1024;

/// The smallest scenario worth running, for those who have none yet.
const MINIMAL: &str = "a minimal scenario is\n\n    [topic]\n    partitions = 18\n\n    [load]\n    producers = 1024\n    rate = \"2/s\"\n\n    [expect]\n    lost = 0";

/// Reads a scenario file from disk, without trusting it to be one.
///
/// # Errors
/// A diagnostic when it is missing, not a file, too large or not text.
pub fn load(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let unreadable =
        |why: &str| error(codes::FILE_UNREADABLE, format!("the scenario cannot be read: {why}"));
    let metadata = fs::metadata(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => error(codes::FILE_MISSING, "there is no such file".to_owned())
            .remedy("give the path of a scenario file, for example `scenarios/quick.toml`"),
        _ => unreadable(&e.to_string()),
    })?;
    if metadata.is_dir() {
        return Err(Box::new(
            unreadable("it is a directory").remedy("give the path of a file in it"),
        ));
    }
    if metadata.len() > LARGEST_BYTES {
        return Err(Box::new(too_large()));
    }
    let file = fs::File::open(path).map_err(|e| unreadable(&e.to_string()))?;
    let mut bytes = Vec::new();
    // A device has no length: the limit holds while reading, too.
    file.take(LARGEST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&e.to_string()))?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(Box::new(too_large()));
    }
    let text = decode(bytes)?;
    Ok(Source { name: path.display().to_string(), text })
}

/// The bytes as text.
fn decode(bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let position = e.utf8_error().valid_up_to();
        error(
            codes::NOT_TEXT,
            format!("the scenario is not UTF-8 text: byte {position} is not part of any"),
        )
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
    text.find(is_noise).map(|position| {
        error(
            codes::NOT_TEXT,
            format!("the scenario is not text: byte {position} is a control character"),
        )
        .remedy("check that it is a TOML file")
    })
}

/// Says that nothing is in it.
pub(super) fn empty() -> Diagnostic {
    error(codes::EMPTY_SCENARIO, "the scenario is empty".to_owned()).remedy(MINIMAL)
}

/// Whether two places in the file are on one line.
pub(super) fn same_line(text: &str, one: Origin, other: Origin) -> bool {
    let (Origin::File { start: a, .. }, Origin::File { start: b, .. }) = (one, other) else {
        return false;
    };
    let bytes = text.as_bytes();
    let (low, high) = (a.min(b).min(bytes.len()), a.max(b).min(bytes.len()));
    !bytes[low..high].contains(&b'\n')
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

//! Files that a user names or leaves about: regular ones of a limited size, and nothing that never ends.

use std::fs::{File, FileType, Metadata};
use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;

use super::format_bytes;

/// Why a file is not read.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is a pipe, a device, a socket or a directory.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// It is larger than such a file may be.
    #[error("it is larger than {}, the limit for such a file", format_bytes(*.0))]
    TooLarge(u64),
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FileError {
    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, FileError::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Opens a regular file. A pipe would wait for a writer, and a device may have no end.
pub fn open_regular(path: &Path) -> Result<File, FileError> {
    regular(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    // Another one may have taken its place.
    regular(&file.metadata()?)?;
    Ok(file)
}

/// The content of a regular file of at most `max` bytes.
pub fn read_regular(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    let file = open_regular(path)?;
    if file.metadata()?.len() > max {
        return Err(FileError::TooLarge(max));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(FileError::TooLarge(max)) } else { Ok(bytes) }
}

fn regular(metadata: &Metadata) -> Result<(), FileError> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(FileError::NotRegular(if metadata.is_dir() {
        "a directory"
    } else {
        special(metadata.file_type())
    }))
}

#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> &'static str {
    "something else"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_file_up_to_the_limit_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_regular(&path, 5).unwrap(), b"12345");
        let refused = read_regular(&path, 4).unwrap_err().to_string();
        assert_eq!(refused, "it is larger than 4 B, the limit for such a file");
        assert!(read_regular(&scratch.path().join("none"), 5).unwrap_err().is_not_found());
        let refused = read_regular(scratch.path(), 5).unwrap_err().to_string();
        assert_eq!(refused, "it is a directory, not a regular file");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_refused() {
        let refused = read_regular(Path::new("/dev/zero"), 5).unwrap_err().to_string();
        assert_eq!(refused, "it is a device, not a regular file");
    }
}

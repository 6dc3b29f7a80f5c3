//! Checksums of the files of a run, by which damage is found when they are read. They are no signatures: an intentional
//! change can include a new checksum.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::base::{FileError, format_count, open_regular};

/// Checksums of files by their names.
pub(super) type Sums = BTreeMap<String, Sum>;

/// Length and checksum of a file, or of its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sum {
    /// Number of bytes.
    pub(super) bytes: u64,
    /// XXH3 of them, 64 bits, hexadecimal.
    xxh3: String,
}

impl Sum {
    /// The checksum of a complete content.
    pub(super) fn of(content: &[u8]) -> Sum {
        Sum { bytes: content.len() as u64, xxh3: hex(xxh3_64(content)) }
    }
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

/// A file that grows, with the checksum of the bytes that were passed to the operating system.
pub(super) struct Summed {
    file: File,
    bytes: u64,
    hash: Xxh3,
}

impl Summed {
    /// An empty file.
    pub(super) fn new(file: File) -> Summed {
        Summed { file, bytes: 0, hash: Xxh3::new() }
    }

    /// The current checksum.
    pub(super) fn sum(&self) -> Sum {
        Sum { bytes: self.bytes, xxh3: hex(self.hash.digest()) }
    }

    /// The current number of bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The bytes before the digits of the checksum.
const BEFORE: &[u8] = b",\n  \"checksum\": \"";
/// The bytes after the digits of the checksum.
const BEHIND: &[u8] = b"\"\n}\n";
/// Number of digits of a checksum.
const DIGITS: usize = 16;

/// Adds `checksum` as the last field of a JSON object. It covers every byte before its digits.
pub(super) fn seal(object: &mut Vec<u8>) {
    let fields = object.trim_ascii_end();
    let fields = fields.strip_suffix(b"}").unwrap_or(fields).trim_ascii_end().len();
    object.truncate(fields);
    object.extend_from_slice(BEFORE);
    let digits = hex(xxh3_64(object));
    object.extend_from_slice(digits.as_bytes());
    object.extend_from_slice(BEHIND);
}

/// True if a text matches its checksum; `None` if it does not end with one.
pub(super) fn is_intact(text: &[u8]) -> Option<bool> {
    let (summed, digits) = text.strip_suffix(BEHIND)?.split_last_chunk::<DIGITS>()?;
    summed.ends_with(BEFORE).then(|| digits[..] == *hex(xxh3_64(summed)).as_bytes())
}

/// Largest number of bytes of a file that are checked. More would take minutes.
const CHECKED_MAX: u64 = 16 << 30;
/// Number of bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// The result of checking a file.
#[derive(Debug)]
pub(super) enum Found {
    /// The file is as it was written.
    Intact,
    /// The file does not exist.
    Missing,
    /// The file is too large to be checked.
    Unchecked,
    /// The file differs from what was written, as the text describes.
    Damaged(String),
}

/// Compares a file with its checksum. A file that `grows` may have more bytes at its end.
pub(super) fn look(path: &Path, sum: &Sum, grows: bool) -> Found {
    match compare(path, sum, grows) {
        Ok(found) => found,
        Err(error) if error.is_not_found() => Found::Missing,
        Err(error) => Found::Damaged(error.to_string()),
    }
}

fn compare(path: &Path, sum: &Sum, grows: bool) -> Result<Found, FileError> {
    let mut file = open_regular(path)?;
    let length = file.metadata()?.len();
    if length < sum.bytes || (length > sum.bytes && !grows) {
        let (found, written) = (format_count(length), format_count(sum.bytes));
        return Ok(Found::Damaged(format!("it has {found} bytes, and {written} were written")));
    }
    if sum.bytes > CHECKED_MAX {
        return Ok(Found::Unchecked);
    }
    let (mut hash, mut left, mut chunk) = (Xxh3::new(), sum.bytes, vec![0; CHUNK]);
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let read = file.read(&mut chunk[..wanted])?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
        left -= read as u64;
    }
    let is_same = left == 0 && hex(hash.digest()) == sum.xxh3;
    Ok(if is_same {
        Found::Intact
    } else {
        Found::Damaged("its content is not what was written".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_object_is_json_and_any_changed_bit_is_found() {
        let mut text = br#"{"verdict": "passed", "lost": 0}"#.to_vec();
        assert_eq!(is_intact(&text), None);
        seal(&mut text);
        assert_eq!(is_intact(&text), Some(true));
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (json["lost"].as_u64(), json["checksum"].as_str().unwrap().len()),
            (Some(0), 16)
        );
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(is_intact(&damaged), Some(true), "bit {bit}");
        }
        for length in 0..text.len() {
            assert_ne!(is_intact(&text[..length]), Some(true), "{length} bytes");
        }
    }

    #[test]
    fn the_checksum_of_a_growing_file_is_that_of_its_content() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        let mut file = Summed::new(File::create(&path).unwrap());
        file.write_all(b"one line\n").unwrap();
        let sum = file.sum();
        assert_eq!(sum, Sum::of(b"one line\n"));
        assert!(matches!(look(&path, &sum, false), Found::Intact));
        file.write_all(b"and a half").unwrap();
        assert!(matches!(look(&path, &sum, true), Found::Intact));
        assert!(matches!(look(&path, &sum, false), Found::Damaged(_)));
        std::fs::write(&path, b"one lime\n and more").unwrap();
        assert!(matches!(look(&path, &sum, true), Found::Damaged(_)));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(look(&path, &sum, true), Found::Missing));
    }
}

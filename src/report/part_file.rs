//! `share.json`: the measurements of one of several processes, with a checksum of its own.

use std::io::{self, Write};
use std::path::Path;

use super::directory::{DirectoryError, SO_FAR, replace};
use super::sums::{is_intact, seal};
use crate::base::{printable_path, read_regular};
use crate::measure::PartFile;

/// Name of the file.
const SHARE: &str = "share.json";
/// Largest size of a part in bytes.
const PART_MAX: u64 = 1 << 30;

/// Writes the part of a process into its directory.
///
/// # Errors
/// The file cannot be written.
pub fn write_part(directory: &Path, part: &PartFile) -> Result<(), DirectoryError> {
    let path = directory.join(SHARE);
    let written = serde_json::to_vec(part).map_err(io::Error::from).and_then(|mut text| {
        seal(&mut text);
        replace(&path, |file| {
            file.write_all(&text)?;
            file.sync_all()
        })
    });
    written.map_err(|error| DirectoryError::Io { path, error })
}

/// The part that a process has left in `directory`.
///
/// # Errors
/// The reason as text: no directory, a process that was cut off, or a damaged file.
pub fn read_part(directory: &Path) -> Result<PartFile, String> {
    let named = printable_path(directory);
    if !directory.is_dir() {
        return Err(format!("there is no directory `{named}`"));
    }
    let text = read_regular(&directory.join(SHARE), PART_MAX).map_err(|error| {
        let is_cut_off = directory.join(SO_FAR).exists();
        match error.is_not_found() {
            true if is_cut_off => format!("`{named}` has no {SHARE}: its process was cut off"),
            true => format!(
                "`{named}` has no {SHARE}: it is no result of a share, or of one without a load"
            ),
            false => format!("{SHARE} in `{named}` cannot be read: {error}"),
        }
    })?;
    if is_intact(&text) != Some(true) {
        return Err(format!("{SHARE} in `{named}` is damaged, or cut short"));
    }
    serde_json::from_slice(&text)
        .map_err(|error| format!("{SHARE} in `{named}` is of another version: {error}"))
}

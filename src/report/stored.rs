//! Reads what a run has left in its directory: of a finished one the result, of one that was cut off the
//! summary of the last second it kept.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::directory::{RESULT, SO_FAR};
use crate::measure::{SCHEMA_VERSION, Summary};

/// Why a stored result cannot be shown.
#[derive(Debug, Error)]
pub enum StoredError {
    /// There is no such directory.
    #[error("there is no directory `{0}`; give the one that a run has named after `results in`")]
    NoDirectory(PathBuf),
    /// It is a file.
    #[error("`{0}` is a file; give the directory that a run has named after `results in`")]
    File(PathBuf),
    /// The directory holds no summary.
    #[error(
        "`{0}` holds neither {RESULT} nor {SO_FAR}: it is no result directory, or its run was ended before \
         the first second of the load was kept (then run.log in it says how far it came)"
    )]
    NoResult(PathBuf),
    /// The system refuses.
    #[error("cannot read `{path}`: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It was written by a later version.
    #[error(
        "`{path}` has format {found}, and this lanekeeper ({}) knows formats up to {SCHEMA_VERSION}; use the version \
         that wrote it, or a later one",
        env!("CARGO_PKG_VERSION")
    )]
    TooNew {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It was written by an earlier version, whose figures meant something else.
    #[error(
        "`{path}` has format {found}, which an earlier version wrote, and some of its figures mean something else than \
         those of lanekeeper {}; show it with the version that wrote it, or run the scenario in it again",
        env!("CARGO_PKG_VERSION")
    )]
    TooOld {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is not a summary.
    #[error(
        "`{path}` is not a result of lanekeeper ({error}); was it edited, or cut by a full disk?"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What the parser said.
        error: serde_json::Error,
    },
}

/// The summary kept in `directory`. One that was cut off, or still goes on, has the verdict
/// [`CutOff`](crate::measure::Verdict::CutOff).
pub fn read_result(directory: &Path) -> Result<Summary, StoredError> {
    if directory.is_file() {
        return Err(StoredError::File(directory.to_owned()));
    }
    if !directory.is_dir() {
        return Err(StoredError::NoDirectory(directory.to_owned()));
    }
    for name in [RESULT, SO_FAR] {
        let path = directory.join(name);
        match std::fs::read(&path) {
            Ok(text) => return parse(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoredError::Io { path, error }),
        }
    }
    Err(StoredError::NoResult(directory.to_owned()))
}

/// The part of every format that says which one it is.
#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

fn parse(path: PathBuf, text: &[u8]) -> Result<Summary, StoredError> {
    let version: Version = match serde_json::from_slice(text) {
        Ok(version) => version,
        Err(error) => return Err(StoredError::Damaged { path, error }),
    };
    if version.schema_version > SCHEMA_VERSION {
        return Err(StoredError::TooNew { path, found: version.schema_version });
    }
    if version.schema_version < SCHEMA_VERSION {
        return Err(StoredError::TooOld { path, found: version.schema_version });
    }
    serde_json::from_slice(text).map_err(|error| StoredError::Damaged { path, error })
}

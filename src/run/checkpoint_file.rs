//! The checkpoint file: locked while a run uses it, and replaced as a whole.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::base::{FileError, read_regular, require_regular};
use crate::error::Error;
use crate::logic::Checkpoints;

/// Beyond this it is no checkpoint file: a partition has some 200 bytes in it, and there are 10,000 at most.
const LARGEST_BYTES: u64 = 64 * 1024 * 1024;

/// A checkpoint file that no other process writes.
#[derive(Debug)]
pub(super) struct CheckpointFile {
    path: PathBuf,
    /// Held until the process ends, however it ends. A file of its own, because the other one is replaced.
    _lock: File,
}

impl CheckpointFile {
    /// Takes the file for this run, with what an earlier one has left in it.
    pub(super) fn open(path: &Path) -> Result<(CheckpointFile, Option<Checkpoints>), Error> {
        let lock_path = beside(path, ".lock");
        for used in [path, &lock_path, &beside(path, ".part")] {
            require_regular(used).map_err(|error| not_a_file(used, &error))?;
        }
        let lock = File::create(&lock_path).map_err(|error| refused(path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Environment(format!(
                    "another run uses the checkpoint file `{}`: wait for its end, or name another \
                     `consumers.checkpoint_file`",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(refused(path, &error)),
        }
        let left = match read_regular(path, LARGEST_BYTES) {
            Ok(text) => Some(Checkpoints::decode(&text).map_err(|why| {
                Error::Environment(format!(
                    "cannot continue from the checkpoint file `{}`: {why}; remove it to begin anew, or name another \
                     `consumers.checkpoint_file`",
                    path.display()
                ))
            })?),
            Err(FileError::Missing) => None,
            Err(error) => return Err(not_a_file(path, &error)),
        };
        Ok((CheckpointFile { path: path.to_owned(), _lock: lock }, left))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the content: a new file, forced to the disk, then renamed over the old one, and the rename forced
    /// to the disk, too. Whatever stops this in between, the old or the new content is there, and nothing else.
    pub(super) fn write(&self, checkpoints: &Checkpoints) -> io::Result<()> {
        let part = beside(&self.path, ".part");
        let mut file = File::create(&part)?;
        file.write_all(checkpoints.encode().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, &self.path)?;
        sync_directory(&self.path)
    }

    /// Removes it, because its topic is gone.
    pub(super) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Where directories are not files, a rename needs no forcing.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn not_a_file(path: &Path, error: &FileError) -> Error {
    Error::Environment(format!(
        "cannot use the checkpoint file `{}`: {error}; name another `consumers.checkpoint_file`",
        path.display()
    ))
}

fn refused(path: &Path, error: &io::Error) -> Error {
    Error::Environment(format!(
        "cannot use the checkpoint file `{}`: {error}; name another `consumers.checkpoint_file`, or make room",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Offset, RunId};
    use crate::measure::Start;

    fn checkpoints(next: i64) -> Checkpoints {
        let partitions = vec![Start { checkpoint: Offset(next), resume_point: None }];
        Checkpoints { cluster: None, topic: "t".to_owned(), runs: vec![RunId(7)], partitions }
    }

    #[test]
    fn a_file_is_of_one_run_at_a_time_and_keeps_the_last_content() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("orders.checkpoint");
        let (file, left) = CheckpointFile::open(&path).unwrap();
        assert_eq!(left, None);
        file.write(&checkpoints(3)).unwrap();
        file.write(&checkpoints(8)).unwrap();
        let refused = CheckpointFile::open(&path).unwrap_err().to_string();
        assert!(refused.contains("another run uses the checkpoint file"), "{refused}");
        drop(file);
        // A write that was cut before its rename is as if it had never begun.
        std::fs::write(beside(&path, ".part"), "lanekeeper checkp").unwrap();
        let (_file, left) = CheckpointFile::open(&path).unwrap();
        assert_eq!(left, Some(checkpoints(8)));
    }

    #[test]
    fn a_damaged_file_is_refused_with_the_way_out() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("orders.checkpoint");
        let text = checkpoints(3).encode();
        std::fs::write(&path, &text[..text.len() - 4]).unwrap();
        let refused = CheckpointFile::open(&path).unwrap_err().to_string();
        assert!(refused.contains("was cut or changed"), "{refused}");
        assert!(refused.contains("remove it to begin anew"), "{refused}");
    }
}

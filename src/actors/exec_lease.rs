//! The lease of `exec` faults: the commands that undo all that is broken. It is on the disk before a fault is injected.
//! After a crash of this process `lanekeeper heal` runs the commands.
//!
//! The first line of JSON names the run. Then there is a line for each fault that has begun, and one for each that is
//! healed. Lines are only appended. A crash during a write therefore damages only the last line, and the command of
//! that line has not run. The file is removed when everything is healed. It is locked while its process lives, and only
//! its owner can read it, because commands may contain secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::process::shown;
use crate::base::{printable, printable_path};
use crate::fault::ExecPlan;

/// Name of the lease in the directory of a result.
pub const LEASE: &str = "lease.jsonl";
/// The version of the format, in the first line.
pub(super) const FORMAT: u32 = 1;

/// The reason why a lease cannot be kept, read or used.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// The operating system refuses to write it.
    #[error(
        "the lease `{}` cannot be written: {error}; make room, or choose another `--out`: without it nothing is broken",
        printable_path(.path)
    )]
    NotWritten {
        /// Path of the lease.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The lease is damaged, or cannot be read.
    #[error("the lease `{}` cannot be read: {reason}", printable_path(.path))]
    NotRead {
        /// Path of the lease.
        path: PathBuf,
        /// The reason, as part of a sentence.
        reason: String,
    },
    /// The run that owns the lease is still alive.
    #[error("the run of `{}` is still going on; it heals what it breaks: stop it with Ctrl-C or SIGTERM", printable_path(.0))]
    Held(PathBuf),
    /// Another user owns the lease, or may write it.
    #[error(
        "the lease `{}` belongs to another user or can be written by others: its commands are not run; run them by hand",
        printable_path(.0)
    )]
    NotOurs(PathBuf),
}

/// The first line of a lease: the run that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseHeader {
    pub(super) lease: u32,
    pub(super) run: String,
    pub(super) scenario: String,
    process: u32,
    /// The working directory of the run, in which its commands start.
    pub(super) directory: PathBuf,
}

/// A fault that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseEntry {
    /// The number of the occurrence in the run.
    pub fault: usize,
    /// Start of the fault, by the wall clock.
    pub at: Option<String>,
    /// The command that injected the fault.
    pub start: Vec<String>,
    /// The command that heals it.
    pub heal: Vec<String>,
    /// Time limit of the commands, in milliseconds.
    pub limit_ms: u64,
}

impl LeaseEntry {
    /// The entry of occurrence `fault`, which begins at `at` by the wall clock.
    pub(super) fn new(fault: usize, at: Option<String>, plan: &ExecPlan) -> LeaseEntry {
        LeaseEntry {
            fault,
            at,
            start: plan.start.clone(),
            heal: plan.end.clone(),
            limit_ms: u64::try_from(plan.limit.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A fault that is healed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Healed {
    pub(super) healed: usize,
}

/// The lease of a run in progress. The file exists while a fault is to be healed.
#[derive(Debug, Default)]
pub struct ExecLease {
    directory: PathBuf,
    path: PathBuf,
    run: String,
    scenario: String,
    held: Mutex<Option<HeldLease>>,
}

/// The file, and the number of faults in it that are not healed.
#[derive(Debug)]
struct HeldLease {
    file: File,
    outstanding: usize,
}

impl ExecLease {
    /// The lease of a run of a scenario. The file is created in `directory` when the first fault begins.
    pub fn new(directory: &Path, run: String, scenario: String) -> ExecLease {
        let held = Mutex::default();
        ExecLease {
            directory: directory.to_owned(),
            path: directory.join(LEASE),
            run,
            scenario,
            held,
        }
    }

    /// Path of the file, which exists while a fault is to be healed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes the command that heals a fault. The entry is on the disk when this returns.
    ///
    /// # Errors
    /// The entry could not be written: the fault must not begin.
    pub(super) fn begin(&self, entry: &LeaseEntry) -> Result<(), LeaseError> {
        let refused = |error| LeaseError::NotWritten { path: self.path.clone(), error };
        let mut held = self.lock();
        let lease = match &mut *held {
            Some(lease) => lease,
            none => none.insert(self.open().map_err(refused)?),
        };
        let noted = append(&mut lease.file, entry);
        match noted {
            Ok(()) => lease.outstanding += 1,
            Err(_) if lease.outstanding == 0 => {
                *held = None;
                self.remove();
            }
            Err(_) => {}
        }
        noted.map_err(refused)
    }

    /// Notes that a fault is healed. The file is removed with the last one.
    ///
    /// # Errors
    /// The entry could not be written: `lanekeeper heal` would heal the fault once more.
    pub(super) fn healed(&self, fault: usize) -> Result<(), LeaseError> {
        let mut held = self.lock();
        let Some(lease) = &mut *held else { return Ok(()) };
        lease.outstanding = lease.outstanding.saturating_sub(1);
        append(&mut lease.file, &Healed { healed: fault })
            .map_err(|error| LeaseError::NotWritten { path: self.path.clone(), error })?;
        if lease.outstanding == 0 {
            *held = None;
            self.remove();
        }
        Ok(())
    }

    /// Creates the file, and syncs its directory so that the file survives a crash of the machine.
    fn open(&self) -> io::Result<HeldLease> {
        std::fs::create_dir_all(&self.directory)?;
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        let begun = file.try_lock().map_err(io::Error::from).and_then(|()| {
            let directory = std::env::current_dir()?;
            let (run, scenario) = (self.run.clone(), self.scenario.clone());
            let process = std::process::id();
            append(&mut file, &LeaseHeader { lease: FORMAT, run, scenario, process, directory })?;
            sync_directory(&self.directory)
        });
        match begun {
            Ok(()) => Ok(HeldLease { file, outstanding: 0 }),
            Err(error) => {
                self.remove();
                Err(error)
            }
        }
    }

    /// Removes the file, and its directory if that was created for the lease alone.
    fn remove(&self) {
        remove(&self.path);
    }

    fn lock(&self) -> MutexGuard<'_, Option<HeldLease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends a line and syncs it, or leaves the file as it was.
pub(super) fn append(file: &mut File, line: &impl Serialize) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let written = file.write_all(&text).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = file.set_len(length);
    }
    written
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Only Unix can open a directory to sync it.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

pub(super) fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
    if let Some(directory) = path.parent() {
        // Fails if the directory has other files, which is intended.
        let _ = std::fs::remove_dir(directory);
    }
}

impl LeaseEntry {
    /// The command that heals, in the form in which it can be typed.
    pub fn heal_shown(&self) -> String {
        printable(&shown(&self.heal)).into_owned()
    }

    /// The command that injected the fault, in the form in which it can be typed.
    pub fn start_shown(&self) -> String {
        printable(&shown(&self.start)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::left_lease::LeftLease;
    use super::*;

    fn entry(fault: usize) -> LeaseEntry {
        let words = vec!["true".to_owned()];
        LeaseEntry { fault, at: None, start: words.clone(), heal: words, limit_ms: 5_000 }
    }

    fn lease_in(directory: &Path) -> ExecLease {
        ExecLease::new(directory, "0123".to_owned(), "quick".to_owned())
    }

    #[test]
    fn the_file_is_there_while_something_is_to_be_healed() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let directory = scratch.path().join("made/for/it");
        let lease = lease_in(&directory);
        assert!(!directory.exists());
        lease.begin(&entry(0)).expect("a lease");
        lease.begin(&entry(1)).expect("a lease");
        assert!(matches!(LeftLease::open(lease.path()), Err(LeaseError::Held(_))));
        lease.healed(0).expect("noted");
        assert!(lease.path().exists());
        lease.healed(1).expect("noted");
        assert!(!directory.exists());
        // And again.
        lease.begin(&entry(2)).expect("a lease");
        assert!(lease.path().exists());
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it_and_one_that_others_can_write_is_not_used() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let lease = lease_in(scratch.path());
        lease.begin(&entry(0)).expect("a lease");
        let path = lease.path().to_owned();
        drop(lease);
        assert_eq!(std::fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o620)).expect("our file");
        assert!(matches!(LeftLease::open(&path), Err(LeaseError::NotOurs(_))));
    }

    #[test]
    fn a_place_that_cannot_be_written_keeps_a_fault_from_beginning() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let file = scratch.path().join("file");
        std::fs::write(&file, "").expect("a writable file");
        let refused = lease_in(&file).begin(&entry(0)).expect_err("a file in the way");
        assert!(refused.to_string().contains("nothing is broken"), "{refused}");
    }
}

//! A lease that a crashed run has left, and healing what it lists.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exec_lease::{FORMAT, Healed, LeaseEntry, LeaseError, LeaseHeader, append, remove};
use super::process::run_command;
use crate::base::{Clock, open_regular, printable};

/// The largest lease that is read, in bytes: more than the commands of any run.
const BYTES_MAX: u64 = 64 << 20;

/// A lease that a crashed run has left.
#[derive(Debug)]
pub struct LeftLease {
    path: PathBuf,
    file: File,
    header: LeaseHeader,
    outstanding: BTreeMap<usize, LeaseEntry>,
}

impl LeftLease {
    /// Opens the lease at `path`; `None` if there is no such file, or no command has run.
    ///
    /// # Errors
    /// The run that owns the lease is alive, the lease is damaged, or another user could have written it.
    pub fn open(path: &Path) -> Result<Option<LeftLease>, LeaseError> {
        let not_read = |reason: String| LeaseError::NotRead { path: path.to_owned(), reason };
        match open_regular(path) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(not_read(format!("{error}; {}", error.remedy()))),
        }
        let file = OpenOptions::new().read(true).append(true).open(path);
        let mut file = file.map_err(|error| not_read(error.to_string()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LeaseError::Held(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(not_read(error.to_string())),
        }
        if !is_ours(&file).map_err(|error| not_read(error.to_string()))? {
            return Err(LeaseError::NotOurs(path.to_owned()));
        }
        let Some((header, outstanding, whole)) = read(&mut file).map_err(not_read)? else {
            remove(path);
            return Ok(None);
        };
        // A line that is appended must not continue one that was cut off.
        file.set_len(whole).map_err(|error| not_read(error.to_string()))?;
        Ok(Some(LeftLease { path: path.to_owned(), file, header, outstanding }))
    }

    /// Path of the lease.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run and its scenario, for messages.
    pub fn of(&self) -> String {
        format!("run {} of `{}`", printable(&self.header.run), printable(&self.header.scenario))
    }

    /// The faults that are not healed, in the order in which they have to be healed: the latest first.
    pub fn outstanding(&self) -> impl Iterator<Item = &LeaseEntry> {
        self.outstanding.values().rev()
    }

    /// Runs the command that heals a fault, and notes that. The file is removed with the last fault.
    ///
    /// # Errors
    /// The command failed, or its success cannot be noted.
    pub fn heal(&mut self, fault: usize, clock: Clock) -> Result<(), String> {
        let Some(entry) = self.outstanding.get(&fault) else { return Ok(()) };
        let limit = Duration::from_millis(entry.limit_ms);
        run_command(&entry.heal, Some(&self.header.directory), limit, clock)?;
        append(&mut self.file, &Healed { healed: fault })
            .map_err(|error| format!("it succeeded, and that cannot be noted: {error}"))?;
        self.outstanding.remove(&fault);
        self.remove_if_done();
        Ok(())
    }

    /// Removes the lease if all faults are healed.
    pub fn remove_if_done(&self) {
        if self.outstanding.is_empty() {
            remove(&self.path);
        }
    }
}

/// True if this user owns the file and no other user can write it.
#[cfg(unix)]
fn is_ours(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let metadata = file.metadata()?;
    let owner = rustix::process::geteuid().as_raw();
    Ok(metadata.uid() == owner && metadata.mode() & WRITABLE_BY_OTHERS == 0)
}

/// Ownership is checked on Unix only.
#[cfg(not(unix))]
fn is_ours(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// The first line, the faults that are not healed, and the number of bytes in whole lines.
type Lines = (LeaseHeader, BTreeMap<usize, LeaseEntry>, u64);

/// Reads a lease. `None` if the process ended before the first line was whole: no command has run then.
fn read(file: &mut File) -> Result<Option<Lines>, String> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let length = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    let length = length.map_err(|error| error.to_string())?;
    if length as u64 > BYTES_MAX {
        return Err("it is no lease: it is too large".to_owned());
    }
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let mut lines = text[..whole].lines();
    let header = lines.next().map(serde_json::from_str::<LeaseHeader>);
    let header = match header {
        Some(Ok(header)) if header.lease == FORMAT => header,
        None => return Ok(None),
        _ => return Err("its first line is no lease of this version".to_owned()),
    };
    let mut outstanding = BTreeMap::new();
    for (number, line) in lines.enumerate() {
        if let Ok(Healed { healed }) = serde_json::from_str(line) {
            outstanding.remove(&healed);
        } else {
            let entry: LeaseEntry = serde_json::from_str(line)
                .map_err(|error| format!("line {} is damaged: {error}", number + 2))?;
            outstanding.insert(entry.fault, entry);
        }
    }
    Ok(Some((header, outstanding, whole as u64)))
}

#[cfg(test)]
mod tests {
    use super::super::exec_lease::ExecLease;
    use super::*;

    fn entry(fault: usize, heal: &str) -> LeaseEntry {
        let words = |text: &str| ["sh", "-c", text].map(str::to_owned).to_vec();
        LeaseEntry { fault, at: None, start: words("true"), heal: words(heal), limit_ms: 5_000 }
    }

    fn lease_in(directory: &Path) -> ExecLease {
        ExecLease::new(directory, "0123".to_owned(), "quick".to_owned())
    }

    /// Opens the file as another process does, whose lease it is not.
    fn left(path: &Path) -> LeftLease {
        LeftLease::open(path).expect("a lease that is left").expect("a lease")
    }

    #[test]
    fn what_a_crash_has_left_is_healed_the_latest_first_and_a_line_that_was_cut_off_is_not() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let lease = lease_in(&scratch.path().join("result"));
        let log = scratch.path().join("log").display().to_string();
        for fault in 0..3 {
            lease.begin(&entry(fault, &format!("echo {fault} >> {log}"))).expect("a lease");
        }
        lease.healed(1).expect("noted");
        let path = lease.path().to_owned();
        // The lock goes with the process.
        drop(lease);
        let mut file = OpenOptions::new().append(true).open(&path).expect("a file");
        io::Write::write_all(&mut file, b"{\"fault\":7,\"at\":null,\"sta")
            .expect("a writable file");
        let mut found = left(&path);
        assert_eq!(found.of(), "run 0123 of `quick`");
        let faults: Vec<usize> = found.outstanding().map(|entry| entry.fault).collect();
        assert_eq!(faults, [2, 0]);
        let clock = Clock::start();
        found.heal(2, clock).expect("a command that succeeds");
        drop(found);
        // The other one is left, whatever becomes of the first process that heals.
        let mut found = left(&path);
        found.heal(0, clock).expect("a command that succeeds");
        assert_eq!(std::fs::read_to_string(&log).expect("a log"), "2\n0\n");
        drop(found);
        assert!(LeftLease::open(&path).expect("no mistake").is_none());
        assert!(!scratch.path().join("result").exists());
    }

    #[test]
    fn a_command_that_fails_stays_and_what_is_no_lease_is_refused() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let lease = lease_in(scratch.path());
        lease.begin(&entry(0, "exit 3")).expect("a lease");
        let path = lease.path().to_owned();
        drop(lease);
        let failed = left(&path).heal(0, Clock::start()).expect_err("a failure");
        assert!(failed.contains("exit status: 3"), "{failed}");
        assert_eq!(left(&path).outstanding().count(), 1);
        for (text, why) in [
            ("{}\n", "no lease of this version"),
            (
                "{\"lease\":2,\"run\":\"\",\"scenario\":\"\",\"process\":1,\"directory\":\"\"}\n",
                "version",
            ),
            (
                "{\"lease\":1,\"run\":\"\",\"scenario\":\"\",\"process\":1,\"directory\":\"\"}\n{\n",
                "line 2",
            ),
        ] {
            std::fs::write(&path, text).expect("a writable file");
            let refused = LeftLease::open(&path).expect_err("a refusal").to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}

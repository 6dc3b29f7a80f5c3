//! The result directory. Files are appended during the run, so that a crash loses at most the last second. All times in
//! all files count from the beginning of the load.
//!
//! | file | content |
//! |---|---|
//! | `scenario.toml` | the scenario as it was read |
//! | `events.jsonl` | one line per event of the control plane, with `at_s`; negative before the load |
//! | `seconds.jsonl` | one line per second and partition: records, bytes, lag, p50 and p99 |
//! | `latency.hlog` | one HDR interval log line per `run.latency_interval`, partition and kind, in nanoseconds |
//! | `run.log` | the log, from `info` on |
//! | `so-far.json` | the summary as of the last second, during the run |
//! | `result.json` | the summary, written last |
//! | `lease.jsonl` | what heals `exec` faults, while something is to be healed; `actors::exec_lease` writes it |
//! | `host.json` | with `--broker sim`: the machine and how long it took, so that `result.json` depends on neither |
//!
//! A summary has the checksums of the scenario and of the files that grow, up to their length when it was made. It ends
//! with its own checksum. The log and `host.json` have no checksum, because no command reads them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use super::interval_log::IntervalLog;
use super::merged_lines::merge_lines;
use super::seconds::{SECONDS, Second};
use super::sums::{Sum, Summed, Sums, seal};
use crate::base::{Time, printable_path};
use crate::measure::{Event, Interval, PartitionInterval};
use crate::summary::{HostRecord, Summary};

/// The scenario as it was read.
pub(super) const SCENARIO: &str = "scenario.toml";
/// The files that grow.
pub(super) const APPENDED: [&str; 3] = ["events.jsonl", SECONDS, "latency.hlog"];
/// The log.
const LOG: &str = "run.log";
/// The summary of a run that has ended.
pub(super) const RESULT: &str = "result.json";
/// The summary of a run that continues, or was cut off.
pub(super) const SO_FAR: &str = "so-far.json";

/// The reason why results cannot be written.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The directory exists and is not empty.
    #[error("`{}` is not empty; results are never overwritten: choose another --out", printable_path(.0))]
    NotEmpty(PathBuf),
    /// The path is not that of a directory.
    #[error("cannot write results to `{}`: it is no directory; choose another --out", printable_path(.0))]
    NotADirectory(PathBuf),
    /// The operating system returned an error.
    #[error("cannot write results to `{}`: {error}; choose another --out or make room", printable_path(.path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
}

/// A run's result directory.
pub struct ResultDirectory {
    path: PathBuf,
    scenario: Sum,
    events: BufWriter<Summed>,
    seconds: BufWriter<Summed>,
    latency: BufWriter<Summed>,
    interval_log: IntervalLog,
    /// Start of the load, from which the times in all files count.
    start: Time,
    /// The first error while writing. After it, nothing more is written.
    failure: Option<io::Error>,
}

impl ResultDirectory {
    /// Creates the directory and opens its files, so that a wrong path fails before the run. A line of `latency.hlog`
    /// covers an interval of at least `latency_interval`.
    ///
    /// # Errors
    /// The directory is not empty, or the directory or a file in it cannot be created.
    pub fn create(
        path: &Path,
        scenario: &str,
        latency_interval: Duration,
    ) -> Result<ResultDirectory, DirectoryError> {
        let io = |error| DirectoryError::Io { path: path.to_owned(), error };
        if std::fs::metadata(path).is_ok_and(|found| !found.is_dir()) {
            return Err(DirectoryError::NotADirectory(path.to_owned()));
        }
        std::fs::create_dir_all(path).map_err(io)?;
        if std::fs::read_dir(path).map_err(io)?.next().is_some() {
            return Err(DirectoryError::NotEmpty(path.to_owned()));
        }
        let open = |name: &str| {
            File::create(path.join(name)).map(Summed::new).map(BufWriter::new).map_err(io)
        };
        std::fs::write(path.join(SCENARIO), scenario).map_err(io)?;
        let [events, seconds, latency] = APPENDED;
        Ok(ResultDirectory {
            path: path.to_owned(),
            scenario: Sum::of(scenario.as_bytes()),
            events: open(events)?,
            seconds: open(seconds)?,
            latency: open(latency)?,
            interval_log: IntervalLog::new(latency_interval),
            start: Time::ZERO,
            failure: None,
        })
    }

    /// Notes the start of the load. `unix_ns` is its wall-clock time in nanoseconds since 1970.
    pub fn begin(&mut self, start: Time, unix_ns: i64) {
        self.start = start;
        let written = self.interval_log.begin(&mut self.latency, start, unix_ns);
        self.failure = self.failure.take().or(written.err());
    }

    /// Seconds since the load began.
    fn load_s(&self, at: Time) -> f64 {
        at.since_ns(self.start) as f64 / 1e9
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the files that grow.
    pub fn written(&self) -> u64 {
        self.appended().iter().map(|file| file.bytes()).sum()
    }

    /// The files of [`APPENDED`].
    fn appended(&self) -> [&Summed; 3] {
        [self.events.get_ref(), self.seconds.get_ref(), self.latency.get_ref()]
    }

    /// Writes an interval of a partition or a pool.
    pub fn interval(&mut self, interval: &Interval<'_>) {
        if self.failure.is_none() {
            let written = match interval {
                Interval::Partition(window) => self.try_window(window),
                Interval::Pool(window) => self.interval_log.pool(&mut self.latency, window),
            };
            self.failure = written.err();
        }
    }

    fn try_window(&mut self, window: &PartitionInterval<'_>) -> io::Result<()> {
        let (shard, partition) = (window.shard, window.partition);
        let us = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e3);
        let line = Second {
            acked: window.sends.acked,
            bytes: shard.bytes,
            delivered: shard.delivered,
            failed: window.sends.failed,
            from_s: self.load_s(window.from),
            is_stalled: Some(window.is_stalled),
            lag: window.lag,
            partition,
            processed_in_window: shard.processed_in_window,
            response_p50_us: us(window.p50_ns),
            response_p99_us: us(window.p99_ns),
            sent: window.sends.sent,
            to_s: self.load_s(window.to),
        };
        serde_json::to_writer(&mut self.seconds, &line)?;
        self.seconds.write_all(b"\n")?;
        self.interval_log.partition(&mut self.latency, window)
    }

    /// Writes events.
    pub fn events(&mut self, events: &[(Time, Event)]) {
        for (at, event) in events {
            let Ok(mut line) = serde_json::to_value(event) else {
                continue;
            };
            line["at_s"] = json!(self.load_s(*at));
            let written = writeln!(self.events, "{line}");
            self.failure = self.failure.take().or(written.err());
        }
    }

    /// Merges the lines of the files that grow from other directories, whose runs are parts of this one.
    pub fn take_lines_of(&mut self, directories: &[PathBuf]) {
        let outs: [&mut dyn Write; 3] = [&mut self.events, &mut self.seconds, &mut self.latency];
        self.failure = self.failure.take().or(merge_lines(directories, APPENDED, outs).err());
    }

    /// Passes all buffered lines to the operating system, which keeps them after the end of this process.
    pub fn flush(&mut self) {
        for file in [&mut self.events, &mut self.seconds, &mut self.latency] {
            let flushed = file.flush();
            self.failure = self.failure.take().or(flushed.err());
        }
    }

    /// Replaces the summary of the run so far. It is not synced to the disk, because only a SIGKILL must not lose it,
    /// and the operating system keeps it then.
    pub fn so_far(&mut self, summary: &Summary) {
        self.flush();
        if self.failure.is_none() {
            let written = self
                .sealed(summary, |kept| serde_json::to_vec(kept))
                .and_then(|text| replace(&self.path.join(SO_FAR), |file| file.write_all(&text)));
            self.failure = written.err();
        }
    }

    /// Writes `result.json` atomically, as the last file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(&mut self, summary: &Summary) -> Result<(), DirectoryError> {
        if self.failure.is_none() {
            self.failure = self.interval_log.finish(&mut self.latency).err();
        }
        self.flush();
        let path = self.path.join(RESULT);
        let written =
            self.sealed(summary, |kept| serde_json::to_vec_pretty(kept)).and_then(|text| {
                replace(&path, |file| {
                    file.write_all(&text)?;
                    file.sync_all()
                })
            });
        written.map_err(|error| DirectoryError::Io { path, error })?;
        let _ = std::fs::remove_file(self.path.join(SO_FAR));
        Ok(())
    }

    /// The summary with the checksums of the other files and its own.
    fn sealed(
        &self,
        summary: &Summary,
        written: fn(&Kept<'_>) -> serde_json::Result<Vec<u8>>,
    ) -> io::Result<Vec<u8>> {
        let mut text = written(&Kept { summary, files: self.sums() })?;
        seal(&mut text);
        Ok(text)
    }

    /// The checksums. A file that could not be written completely has none.
    fn sums(&self) -> Sums {
        if self.failure.is_some() {
            return Sums::new();
        }
        let appended = APPENDED.into_iter().zip(self.appended());
        let mut sums: Sums = appended.map(|(name, file)| (name.to_owned(), file.sum())).collect();
        sums.insert(SCENARIO.to_owned(), self.scenario.clone());
        sums
    }

    /// Removes the directory of a run that never began: the files that were created here, and the directory if it is
    /// empty then.
    pub fn discard(&self) {
        for name in APPENDED.into_iter().chain([SCENARIO, LOG, SO_FAR]) {
            let _ = std::fs::remove_file(self.path.join(name));
        }
        let _ = std::fs::remove_dir(&self.path);
    }

    /// The first error while writing, with its consequences; `None` without one.
    pub fn failure(&self) -> Option<String> {
        self.failure.as_ref().map(|error| {
            format!(
                "the result directory `{}` is incomplete: {error}; make room and run again if you need the \
                 per-second figures",
                printable_path(&self.path)
            )
        })
    }
}

/// A stored summary.
#[derive(Serialize)]
struct Kept<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    files: Sums,
}

/// Writes `host.json` beside the result of a simulation.
///
/// # Errors
/// The file cannot be written.
pub fn write_host(directory: &Path, record: &HostRecord) -> Result<(), DirectoryError> {
    let path = directory.join("host.json");
    let io = |error| DirectoryError::Io { path: path.clone(), error };
    let text = serde_json::to_string_pretty(record).map_err(|error| io(error.into()))?;
    std::fs::write(&path, text + "\n").map_err(io)
}

/// Replaces the file at `path` atomically: readers see the old content or the new one.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    write(&mut File::create(&part)?)?;
    std::fs::rename(&part, path)
}

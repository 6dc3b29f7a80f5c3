//! The result directory: appended while the run goes on, so that a crash loses at most the last second. All times in
//! all files count from the beginning of the load.
//!
//! | file | content |
//! |---|---|
//! | `scenario.toml` | the scenario as it was read |
//! | `events.jsonl` | one line per event of the control plane, with `at_s`; negative before the load |
//! | `seconds.jsonl` | one line per second and partition: records, bytes, lag, p50 and p99 |
//! | `latency.hlog` | one HDR interval log line per second, partition and kind, in nanoseconds |
//! | `run.log` | the log, from `info` on |
//! | `so-far.json` | the summary as of the last second, while the run goes on |
//! | `result.json` | the summary, written last |
//! | `host.json` | with `--broker sim`: the machine and how long it took, so that `result.json` depends on neither |

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use super::interval_log::IntervalLog;
use crate::base::{PartitionId, Time};
use crate::measure::{Event, HostRecord, Interval, PoolWindow, Summary, Window};

/// The summary of a run that came to its end.
pub(super) const RESULT: &str = "result.json";
/// The summary of a run that goes on, or was cut off.
pub(super) const SO_FAR: &str = "so-far.json";

/// Why results cannot be written.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The directory is there and not empty.
    #[error("`{0}` is not empty; results are never overwritten: choose another --out")]
    NotEmpty(PathBuf),
    /// The system refuses.
    #[error("cannot write results to `{path}`: {error}; choose another --out or make room")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A run's result directory.
pub struct ResultDirectory {
    path: PathBuf,
    events: Counted,
    seconds: Counted,
    latency: Counted,
    interval_log: IntervalLog,
    /// When the load begins: the zero of all files.
    start: Time,
    /// The first failure to write; after it nothing more is tried.
    failure: Option<io::Error>,
}

impl ResultDirectory {
    /// Makes the directory and opens its files, so that a bad path fails before the run and not after it.
    pub fn create(path: &Path, scenario: &str) -> Result<ResultDirectory, DirectoryError> {
        let io = |error| DirectoryError::Io { path: path.to_owned(), error };
        std::fs::create_dir_all(path).map_err(io)?;
        if std::fs::read_dir(path).map_err(io)?.next().is_some() {
            return Err(DirectoryError::NotEmpty(path.to_owned()));
        }
        let open = |name: &str| File::create(path.join(name)).map(Counted::new).map_err(io);
        std::fs::write(path.join("scenario.toml"), scenario).map_err(io)?;
        Ok(ResultDirectory {
            path: path.to_owned(),
            events: open("events.jsonl")?,
            seconds: open("seconds.jsonl")?,
            latency: open("latency.hlog")?,
            interval_log: IntervalLog::default(),
            start: Time::ZERO,
            failure: None,
        })
    }

    /// The load begins at `start`, so many nanoseconds after 1970 on the wall clock.
    pub fn begin(&mut self, start: Time, unix_ns: i64) {
        self.start = start;
        let written = write!(
            self.latency,
            "#[lanekeeper: nanoseconds; tags p<partition>.response, p<partition>.service, pool<n>.ack, pool<n>.lateness]\n\
             #[StartTime: {:.3} (seconds since epoch)]\n",
            unix_ns as f64 / 1e9
        );
        self.failure = self.failure.take().or(written.err());
    }

    /// Seconds since the load began.
    fn load_s(&self, at: Time) -> f64 {
        at.since_ns(self.start) as f64 / 1e9
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the files that grow.
    pub fn written(&self) -> u64 {
        self.events.bytes + self.seconds.bytes + self.latency.bytes
    }

    /// Writes an interval of a partition or a pool.
    pub fn interval(&mut self, interval: &Interval<'_>) {
        if self.failure.is_none() {
            let written = match interval {
                Interval::Partition(window) => self.try_window(window),
                Interval::Pool(window) => self.try_pool(window),
            };
            self.failure = written.err();
        }
    }

    fn try_pool(&mut self, window: &PoolWindow<'_>) -> io::Result<()> {
        let log = &mut self.interval_log;
        log.set_time(window.from.remaining(self.start), window.to.remaining(window.from));
        let (pool, times) = (window.pool, window.times);
        for (kind, latencies) in [("ack", &times.ack), ("lateness", &times.lateness)] {
            if latencies.count() > 0 {
                log.set_distribution(latencies.counts())?;
                log.write(&mut self.latency, format_args!("pool{pool}.{kind}"))?;
            }
        }
        Ok(())
    }

    fn try_window(&mut self, window: &Window<'_>) -> io::Result<()> {
        let (shard, partition) = (window.shard, window.partition);
        let us = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e3);
        let line = SecondLine {
            acked: window.sends.acked,
            bytes: shard.bytes,
            delivered: shard.delivered,
            failed: window.sends.failed,
            from_s: self.load_s(window.from),
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
        let log = &mut self.interval_log;
        log.set_time(window.from.remaining(self.start), window.to.remaining(window.from));
        let mut last = None;
        for (kind, latencies) in [("response", &shard.response), ("service", &shard.service)] {
            if latencies.count() > 0 {
                let counts = latencies.counts();
                // Both are the same where every record was sent when it was due, as in a simulation.
                if last.replace(counts) != Some(counts) {
                    log.set_distribution(counts)?;
                }
                log.write(&mut self.latency, format_args!("p{partition}.{kind}"))?;
            }
        }
        Ok(())
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

    /// Hands everything to the system: what is written survives this process.
    pub fn flush(&mut self) {
        for file in [&mut self.events, &mut self.seconds, &mut self.latency] {
            let flushed = file.flush();
            self.failure = self.failure.take().or(flushed.err());
        }
    }

    /// Replaces the summary of the run so far. It is not forced to the disk: what a process has handed to the
    /// system survives its SIGKILL, and a report only has to survive that.
    pub fn so_far(&mut self, summary: &Summary) {
        if self.failure.is_none() {
            let written = replace(&self.path.join(SO_FAR), |file| {
                let text = serde_json::to_vec(summary)?;
                file.write_all(&text)
            });
            self.failure = written.err();
        }
    }

    /// Removes the directory of a run that never began: only the files made here, and the directory if nothing
    /// else is in it.
    pub fn discard(&self) {
        for name in
            ["scenario.toml", "events.jsonl", "seconds.jsonl", "latency.hlog", "run.log", SO_FAR]
        {
            let _ = std::fs::remove_file(self.path.join(name));
        }
        let _ = std::fs::remove_dir(&self.path);
    }

    /// What went wrong while writing, with the consequence.
    pub fn failure(&self) -> Option<String> {
        self.failure.as_ref().map(|error| {
            format!(
                "the result directory `{}` is incomplete: {error}; make room and run again if you need the \
                 per-second figures",
                self.path.display()
            )
        })
    }
}

/// A file that grows.
struct Counted {
    file: BufWriter<File>,
    bytes: u64,
}

impl Counted {
    fn new(file: File) -> Counted {
        Counted { file: BufWriter::new(file), bytes: 0 }
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A line of `seconds.jsonl`.
#[derive(Serialize)]
struct SecondLine {
    acked: u64,
    bytes: u64,
    delivered: u64,
    failed: u64,
    from_s: f64,
    lag: u64,
    partition: PartitionId,
    processed_in_window: u64,
    response_p50_us: Option<f64>,
    response_p99_us: Option<f64>,
    sent: u64,
    to_s: f64,
}

/// Writes `result.json` into `directory`, whole or not at all.
pub fn write_result(directory: &Path, summary: &Summary) -> Result<PathBuf, DirectoryError> {
    let path = directory.join(RESULT);
    let io = |error| DirectoryError::Io { path: path.clone(), error };
    let mut text = serde_json::to_string_pretty(summary).map_err(|error| io(error.into()))?;
    text.push('\n');
    replace(&path, |file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
    .map_err(io)?;
    let _ = std::fs::remove_file(directory.join(SO_FAR));
    Ok(path)
}

/// Writes `host.json` beside the result of a simulation.
pub fn write_host(directory: &Path, record: &HostRecord) -> Result<(), DirectoryError> {
    let path = directory.join("host.json");
    let io = |error| DirectoryError::Io { path: path.clone(), error };
    let text = serde_json::to_string_pretty(record).map_err(|error| io(error.into()))?;
    std::fs::write(&path, text + "\n").map_err(io)
}

/// Puts a file in the place of `path`, so that a reader finds the old one or the new one and never a part.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    write(&mut File::create(&part)?)?;
    std::fs::rename(&part, path)
}

//! Requests as the native client sees them: their number, their size, and the time until the response.
//!
//! Each thread has counts of its own, and adds them to the counts of the run once a second and when it ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::Latencies;
use crate::base::Time;
use crate::summary::{ClientRequests, RequestSizes};

/// Time between two flushes of a thread's counts.
const INTERVAL: Duration = Duration::from_secs(1);

/// The counts of the run: the sum of what its threads have flushed.
#[derive(Debug, Default)]
pub struct RequestLog {
    /// The measured window; empty until the load begins.
    window: OnceLock<(Time, Time)>,
    counts: Mutex<RequestCounts>,
    /// Of the whole run.
    batches: Mutex<SentBatches>,
    open: AtomicU64,
    open_max: AtomicU64,
    made: AtomicU64,
}

/// Counts of the measured window.
#[derive(Debug, Default)]
struct RequestCounts {
    /// By the name of their kind.
    requests: BTreeMap<&'static str, u64>,
    produced: Sizes,
    fetched: Sizes,
    produce: Latencies,
    fetch: Latencies,
    throttled: Duration,
}

/// Numbers of record batches that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentBatches {
    /// Number of batches.
    pub count: u64,
    /// Bytes on the wire, batch headers included.
    pub bytes: u64,
    /// Bytes that the same batches have without compression.
    pub uncompressed: u64,
}

impl SentBatches {
    fn add(&mut self, other: SentBatches) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.uncompressed += other.uncompressed;
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    count: u64,
    records: u64,
    bytes: u64,
}

impl Sizes {
    fn add(&mut self, other: Sizes) {
        self.count += other.count;
        self.records += other.records;
        self.bytes += other.bytes;
    }

    fn summary(self) -> RequestSizes {
        let Sizes { count, records, bytes } = self;
        let each = |sum: u64| (count > 0).then(|| sum as f64 / count as f64);
        RequestSizes { count, records, bytes, records_each: each(records), bytes_each: each(bytes) }
    }
}

impl RequestCounts {
    fn merge(&mut self, other: &RequestCounts) {
        for (kind, count) in &other.requests {
            *self.requests.entry(kind).or_default() += count;
        }
        self.produced.add(other.produced);
        self.fetched.add(other.fetched);
        self.produce.merge(&other.produce);
        self.fetch.merge(&other.fetch);
        self.throttled += other.throttled;
    }
}

impl RequestLog {
    /// Sets the measured window: only what happens from `from` to `to` is counted. Later calls change nothing.
    pub fn measure(&self, from: Time, to: Time) {
        // A run has one load, and so one measured window.
        let _ = self.window.set((from, to));
    }

    /// The counts so far; rates are over the part of the measured window before `until`.
    pub fn summary(&self, until: Time) -> ClientRequests {
        let counts = self.lock();
        let (from, to) = self.window.get().copied().unwrap_or((until, until));
        let seconds = to.min(until).remaining(from).as_secs_f64();
        let per_s = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        ClientRequests {
            connections_max: self.open_max.load(Ordering::Acquire),
            connections_made: self.made.load(Ordering::Acquire),
            per_s: counts
                .requests
                .iter()
                .map(|(kind, n)| ((*kind).to_owned(), per_s(*n)))
                .collect(),
            all_per_s: per_s(counts.requests.values().sum()),
            produced: counts.produced.summary(),
            fetched: counts.fetched.summary(),
            produce_us: counts.produce.digest(),
            fetch_us: counts.fetch.digest(),
            throttled_ms: counts.throttled.as_secs_f64() * 1e3,
        }
    }

    /// The record batches of the whole run that threads have flushed.
    pub fn batches(&self) -> SentBatches {
        *self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, RequestCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counts of a thread.
#[derive(Debug)]
pub struct RequestCounter {
    log: Arc<RequestLog>,
    counts: RequestCounts,
    batches: SentBatches,
    /// Connections that are open here.
    open: u64,
    flushed: Time,
}

impl RequestCounter {
    /// A counter that flushes to `log`.
    pub fn new(log: Arc<RequestLog>) -> RequestCounter {
        let (counts, batches) = Default::default();
        RequestCounter { log, counts, batches, open: 0, flushed: Time::ZERO }
    }

    /// Counts a connection that is opened.
    pub fn opened(&mut self) {
        self.open += 1;
        self.log.made.fetch_add(1, Ordering::AcqRel);
        let open = self.log.open.fetch_add(1, Ordering::AcqRel) + 1;
        self.log.open_max.fetch_max(open, Ordering::AcqRel);
    }

    /// Counts a connection that is closed.
    pub fn closed(&mut self) {
        if self.open > 0 {
            self.open -= 1;
            self.log.open.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The counts of this thread, if `now` is in the measured window.
    fn at(&mut self, now: Time) -> Option<&mut RequestCounts> {
        let (from, to) = *self.log.window.get()?;
        (from <= now && now < to).then_some(&mut self.counts)
    }

    /// Counts a request of `kind` whose response was read at `now`, or that was written and has no response.
    pub fn answered(&mut self, kind: &'static str, now: Time) {
        if let Some(counts) = self.at(now) {
            *counts.requests.entry(kind).or_default() += 1;
        }
    }

    /// Counts a Produce request that was written at `now`: its records, its bytes, its batches.
    pub fn produced(&mut self, records: u64, bytes: u64, batches: SentBatches, now: Time) {
        self.batches.add(batches);
        if let Some(counts) = self.at(now) {
            counts.produced.add(Sizes { count: batches.count, records, bytes });
        }
    }

    /// Counts a Fetch response that was read at `now`: its records and its bytes. A response without records is not
    /// counted.
    pub fn fetched(&mut self, records: u64, bytes: u64, now: Time) {
        if let Some(counts) = self.at(now).filter(|_| records > 0) {
            counts.fetched.add(Sizes { count: 1, records, bytes });
        }
    }

    /// Records the time of a Produce request that was written at `sent` and answered at `now`.
    pub fn produce_took(&mut self, sent: Time, now: Time) {
        if let Some(counts) = self.at(now) {
            counts.produce.record(now.since_ns(sent));
        }
    }

    /// Records the time of a Fetch request that was written at `sent` and answered at `now`.
    pub fn fetch_took(&mut self, sent: Time, now: Time) {
        if let Some(counts) = self.at(now) {
            counts.fetch.record(now.since_ns(sent));
        }
    }

    /// Counts time for which a quota of the broker delays a connection.
    pub fn throttled(&mut self, time: Duration, now: Time) {
        if let Some(counts) = self.at(now) {
            counts.throttled += time;
        }
    }

    /// Flushes the counts to the run's, if a second has passed since the last flush.
    pub fn flush_if_due(&mut self, now: Time) {
        if now >= self.flushed + INTERVAL {
            self.flushed = now;
            self.flush();
        }
    }

    fn flush(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        self.log.lock().merge(&counts);
        let batches = std::mem::take(&mut self.batches);
        self.log.batches.lock().unwrap_or_else(PoisonError::into_inner).add(batches);
    }
}

impl Drop for RequestCounter {
    fn drop(&mut self) {
        self.flush();
        self.log.open.fetch_sub(self.open, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn what_lies_in_the_window_counts_from_every_thread_and_rates_are_of_its_length() {
        let log = Arc::new(RequestLog::default());
        let mut first = RequestCounter::new(log.clone());
        first.answered("Produce", Time(S));
        log.measure(Time(2 * S), Time(6 * S));
        let mut second = RequestCounter::new(log.clone());
        for (at, counter) in [(1, &mut first), (2, &mut second)] {
            counter.opened();
            for second in 1..8 {
                let now = Time(second * S);
                counter.answered("Produce", now);
                let batch = SentBatches { count: 1, bytes: 900, uncompressed: 2_700 };
                counter.produced(10, 1_000, batch, now);
                counter.produce_took(Time(now.0 - at * 1_000_000), now);
                counter.fetched(0, 50, now);
                counter.throttled(Duration::from_millis(5), now);
            }
        }
        second.closed();
        drop((first, second));
        let summary = log.summary(Time(9 * S));
        assert_eq!((summary.connections_made, summary.connections_max), (2, 2));
        assert_eq!(summary.per_s["Produce"], 2.0);
        assert_eq!(summary.all_per_s, 2.0);
        let sizes = (summary.produced.count, summary.produced.records, summary.produced.bytes);
        assert_eq!(sizes, (8, 80, 8_000));
        assert_eq!(summary.produced.records_each, Some(10.0));
        // Batches count in the window and outside.
        let all = SentBatches { count: 14, bytes: 12_600, uncompressed: 37_800 };
        assert_eq!(log.batches(), all);
        assert_eq!((summary.fetched.count, summary.fetched.bytes_each), (0, None));
        assert_eq!((summary.produce_us.count, summary.fetch_us.count), (8, 0));
        assert_eq!(summary.throttled_ms, 40.0);
        // A run that was cut off half way through.
        assert_eq!(log.summary(Time(4 * S)).all_per_s, 4.0);
        assert_eq!(log.open.load(Ordering::Acquire), 0);
    }
}

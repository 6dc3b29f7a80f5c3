//! The interval log: a line per distribution and interval. A line may cover several of the collector's intervals.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::base::{PartitionId, PoolId, Time};
use crate::measure::{Latencies, PartitionInterval, PoolInterval};

const COMMENT: &str = "[lanekeeper: nanoseconds; tags p<partition>.response, p<partition>.service, pool<n>.ack, \
                       pool<n>.lateness]";

/// The column names that other writers of this format use. The crate only reads the format.
const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";

/// Writes lines of an interval log: `Tag=p3.response,5.000,1.000,1000447.000,HISTFAAAA…`. The fields are tag, beginning
/// and length of the interval in seconds, largest value, and distribution.
pub(super) struct IntervalLog {
    /// Shortest interval of a line.
    interval: Duration,
    /// Start of the load, from which the times in the log count.
    start: Time,
    serializer: V2DeflateSerializer,
    /// The distributions that are not written yet, by source.
    waiting: BTreeMap<Source, Waiting>,
}

/// The source of distributions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Pool(PoolId),
    Partition(PartitionId),
}

/// An interval that is still too short for a line.
struct Waiting {
    from: Time,
    to: Time,
    latencies: [Latencies; 2],
}

impl IntervalLog {
    /// A log with lines of intervals of at least this length. The last lines may be shorter.
    pub(super) fn new(interval: Duration) -> IntervalLog {
        IntervalLog {
            interval,
            start: Time::ZERO,
            serializer: V2DeflateSerializer::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Notes the start of the load. `unix_ns` is its wall-clock time in nanoseconds since 1970.
    pub(super) fn begin(
        &mut self,
        writer: &mut impl Write,
        start: Time,
        unix_ns: i64,
    ) -> io::Result<()> {
        self.start = start;
        let unix = UNIX_EPOCH + Duration::from_nanos(unix_ns.try_into().unwrap_or(0));
        let mut log = IntervalLogWriterBuilder::new();
        log.add_comment(COMMENT).with_start_time(unix);
        log.begin_log_with(writer, &mut self.serializer).map(drop)?;
        writeln!(writer, "{LEGEND}")
    }

    /// Adds an interval of a pool.
    pub(super) fn pool(
        &mut self,
        writer: &mut impl Write,
        window: &PoolInterval<'_>,
    ) -> io::Result<()> {
        let latencies = [&window.times.ack, &window.times.lateness];
        self.add(writer, Source::Pool(window.pool), (window.from, window.to), latencies)
    }

    /// Adds an interval of a partition.
    pub(super) fn partition(
        &mut self,
        writer: &mut impl Write,
        window: &PartitionInterval<'_>,
    ) -> io::Result<()> {
        let latencies = [&window.shard.response, &window.shard.service];
        self.add(writer, Source::Partition(window.partition), (window.from, window.to), latencies)
    }

    fn add(
        &mut self,
        writer: &mut impl Write,
        source: Source,
        (from, to): (Time, Time),
        latencies: [&Latencies; 2],
    ) -> io::Result<()> {
        let Some(mut waiting) = self.waiting.remove(&source) else {
            if to.remaining(from) >= self.interval {
                return self.write(writer, source, (from, to), latencies);
            }
            let waiting = Waiting { from, to, latencies: latencies.map(Latencies::clone) };
            self.waiting.insert(source, waiting);
            return Ok(());
        };
        waiting.to = to;
        waiting.latencies.iter_mut().zip(latencies).for_each(|(all, its)| all.merge(its));
        if to.remaining(waiting.from) >= self.interval {
            return self.write_waiting(writer, source, &waiting);
        }
        self.waiting.insert(source, waiting);
        Ok(())
    }

    /// Writes the intervals that are too short, at the end of the run.
    pub(super) fn finish(&mut self, writer: &mut impl Write) -> io::Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting.try_for_each(|(source, waiting)| self.write_waiting(writer, source, &waiting))
    }

    fn write_waiting(
        &mut self,
        writer: &mut impl Write,
        source: Source,
        waiting: &Waiting,
    ) -> io::Result<()> {
        self.write(writer, source, (waiting.from, waiting.to), waiting.latencies.each_ref())
    }

    fn write(
        &mut self,
        writer: &mut impl Write,
        source: Source,
        (from, to): (Time, Time),
        latencies: [&Latencies; 2],
    ) -> io::Result<()> {
        let (from, span) = (from.remaining(self.start), to.remaining(from));
        let (mut line, mut last) = (Vec::new(), None::<&Latencies>);
        for (kind, latencies) in source.kinds().into_iter().zip(latencies) {
            if latencies.count() == 0 {
                continue;
            }
            // Both are equal if every record was sent on time, as in a simulation. Encoding is expensive, so the text
            // is reused.
            if !last.is_some_and(|last| last.is_same(latencies)) {
                line.clear();
                IntervalLogWriterBuilder::new()
                    .begin_log_with(&mut line, &mut self.serializer)?
                    .write_histogram(&latencies.histogram(), from, span, None)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                last = Some(latencies);
            }
            write!(writer, "Tag={source}.{kind},")?;
            writer.write_all(&line)?;
        }
        Ok(())
    }
}

impl Source {
    fn kinds(self) -> [&'static str; 2] {
        match self {
            Source::Pool(_) => ["ack", "lateness"],
            Source::Partition(_) => ["response", "service"],
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Pool(pool) => write!(f, "pool{pool}"),
            Source::Partition(partition) => write!(f, "p{partition}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;

    use super::*;
    use crate::measure::SendTimes;

    /// The log of a pool whose intervals end at `ends`, in milliseconds. The latency is 1 ms in the first interval, 2
    /// ms in the second, and so on.
    fn log_of(interval: Duration, ends: &[i64]) -> String {
        let (mut log, mut text) = (IntervalLog::new(interval), Vec::new());
        log.begin(&mut text, Time::ZERO, 1_500_000_000).unwrap();
        let mut from = Time::ZERO;
        for (number, end) in (1..).zip(ends) {
            let mut times = SendTimes::default();
            times.ack.record(number * 1_000_000);
            let to = Time(end * 1_000_000);
            log.pool(&mut text, &PoolInterval { from, to, pool: PoolId(2), times: &times })
                .unwrap();
            from = to;
        }
        log.finish(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// The lines without their distributions, each with the number of values in it.
    fn lines(log: &str) -> Vec<(&str, u64)> {
        let lines = log.lines().filter(|line| line.starts_with("Tag="));
        lines
            .map(|line| {
                let (beginning, encoded) = line.rsplit_once(',').unwrap();
                let bytes = STANDARD.decode(encoded).unwrap();
                let read: Histogram<u64> =
                    Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                (beginning, read.len())
            })
            .collect()
    }

    #[test]
    fn intervals_that_are_too_short_share_a_line() {
        let log = log_of(Duration::from_secs(2), &[1_000, 2_000, 3_000, 3_250]);
        assert_eq!(
            lines(&log),
            [
                ("Tag=pool2.ack,0.000,2.000,2000895.000", 2),
                ("Tag=pool2.ack,2.000,1.250,4001791.000", 2),
            ]
        );
    }

    #[test]
    fn an_interval_that_is_long_enough_has_its_line() {
        let log = log_of(Duration::from_secs(1), &[1_000, 7_000]);
        assert_eq!(
            lines(&log),
            [
                ("Tag=pool2.ack,0.000,1.000,1000447.000", 1),
                ("Tag=pool2.ack,1.000,6.000,2000895.000", 1),
            ]
        );
    }

    #[test]
    fn lines_of_one_distribution_differ_in_their_tags_only() {
        let mut log = IntervalLog::new(Duration::from_secs(1));
        let mut written = |lateness: i64| {
            let (mut times, mut text) = (SendTimes::default(), Vec::new());
            times.ack.record(1_000_000);
            times.lateness.record(lateness);
            let (from, to) = (Time::ZERO, Time(1_000_000_000));
            log.pool(&mut text, &PoolInterval { from, to, pool: PoolId(0), times: &times })
                .unwrap();
            let text = String::from_utf8(text).unwrap();
            let [ack, lateness] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
            ack.replace("ack", "lateness") == lateness
        };
        assert!(written(1_000_000));
        assert!(!written(9_000_000));
    }

    #[test]
    fn the_log_says_what_it_is_and_when_it_begins() {
        let log = log_of(Duration::from_secs(1), &[]);
        let expected = format!("#{COMMENT}\n#[StartTime: 1.500 (seconds since epoch)]\n{LEGEND}\n");
        assert_eq!(log, expected);
    }
}

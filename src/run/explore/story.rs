//! The story of a record that broke an invariant: the events of the record in another run of the smallest case.

use std::sync::{Arc, Mutex, PoisonError};

use super::case::Case;
use crate::base::{PartitionId, ProducerId, Time};
use crate::broker::sim::{FollowedRecord, TraceSink};
use crate::measure::{TraceKind, TraceLine};
use crate::run::{Options, run};
use crate::summary::{Summary, WrongRecord};

/// Number of first and of last lines that are kept.
const FIRST_MAX: usize = 24;
const LAST_MAX: usize = 8;
/// Largest number of lines that are collected. A record that is fetched again and again would have more.
const LINES_MAX: usize = 100_000;

/// The events of the first record that a broken invariant counts.
#[derive(Clone, Debug)]
pub struct RecordStory {
    /// The record.
    pub record: WrongRecord,
    /// The events of the record and of its consumer, in the order of time. Times count from the start of the load.
    pub lines: Vec<TraceLine>,
    /// Number of lines that are left out before the last [`RecordStory::last`] ones.
    pub left_out: usize,
    /// Number of lines after those that are left out; 0 if none are.
    pub last: usize,
}

/// Runs `case`, whose summary is `summary`, again and follows the first record that `figure` counts. `None` if the
/// figure counts no single record whose producer and sequence are known.
pub(super) fn story(case: &Case, summary: &Summary, figure: &str) -> Option<RecordStory> {
    let is_it = |it: &&WrongRecord| it.figure == figure && it.producer.is_some();
    let record = summary.wrong_records.iter().find(is_it)?;
    let followed = FollowedRecord {
        producer: ProducerId(record.producer?),
        partition: PartitionId(record.partition),
        sequence: record.sequence?,
    };
    let lines: Arc<Mutex<Vec<TraceLine>>> = Arc::default();
    let taken = lines.clone();
    let sink = TraceSink::new(move |line| {
        let mut lines = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = match line.kind {
            TraceKind::Record => true,
            // Events of its consumers, and faults, which the supervisor injects.
            TraceKind::Control => {
                line.partitions.is_empty() || line.partitions.contains(&followed.partition)
            }
            _ => false,
        };
        if is_told && lines.len() < LINES_MAX {
            lines.push(line);
        }
    });
    let options = Options { trace_sink: Some(sink.following(followed)), ..Options::default() };
    // Only the trace is needed, which is complete up to an error.
    let _ = run(case.plan().ok()?, options, Box::new(()));
    let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
    let load = Time((summary.epoch_to_load_s * 1e9).round() as i64);
    told(record.clone(), lines, load)
}

/// The lines from the send of the record on, at most the first and last ones. `None` if the record was not sent.
fn told(record: WrongRecord, mut lines: Vec<TraceLine>, load: Time) -> Option<RecordStory> {
    let of_record = |line: &&TraceLine| line.kind == TraceKind::Record;
    let sent = lines.iter().filter(of_record).map(|line| line.at).min()?;
    let last_at = lines.iter().filter(of_record).map(|line| line.at).max()?;
    let is_fault = |line: &TraceLine| line.what.starts_with("fault ");
    lines.retain(|line| line.at <= last_at && (line.at >= sent || is_fault(line)));
    // The sort is stable: effects of an event stay behind it.
    lines.sort_by_key(|line| line.at);
    lines.iter_mut().for_each(|line| line.at = Time(line.at.since_ns(load)));
    let left_out = lines.len().saturating_sub(FIRST_MAX + LAST_MAX);
    let last = if left_out > 0 { LAST_MAX } else { 0 };
    lines.drain(FIRST_MAX.min(lines.len())..FIRST_MAX.min(lines.len()) + left_out);
    Some(RecordStory { record, lines, left_out, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_begins_with_the_send_and_has_a_limit() {
        let line = |at: i64, kind, what: &str| TraceLine {
            at: Time(at),
            kind,
            who: "log".to_owned(),
            what: what.to_owned(),
            partitions: Vec::new(),
        };
        let mut lines = vec![
            line(1, TraceKind::Control, "consumer 3 is started"),
            line(2, TraceKind::Control, "fault 0 is injected"),
            line(6, TraceKind::Record, "appended"),
            line(5, TraceKind::Record, "sent"),
        ];
        lines.extend((10..110).map(|at| line(at, TraceKind::Record, "fetched")));
        lines.push(line(500, TraceKind::Control, "the end"));
        let story = told(WrongRecord::default(), lines, Time(4)).expect("a story");
        let told: Vec<(i64, &str)> =
            story.lines.iter().map(|line| (line.at.0, line.what.as_str())).collect();
        assert_eq!(told[..3], [(-2, "fault 0 is injected"), (1, "sent"), (2, "appended")]);
        assert_eq!((told.len(), story.left_out, story.last), (32, 71, 8));
        assert_eq!(told[31], (105, "fetched"));
        assert!(super::told(WrongRecord::default(), Vec::new(), Time(0)).is_none());
    }
}

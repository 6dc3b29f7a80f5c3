//! The journal: events of a run, with their subjects and times. Actors report to a result in no other form. The outages
//! and the growths of the topic are derived from it.
//!
//! [`TraceLine`] is one event of a simulation as a line of text.

use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{ConsumerId, Incarnation, Offset, PartitionId, PoolId, Time};
use crate::summary::Outage;

/// An event of the control plane. No event is recorded per record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the ids and texts their names say")]
pub enum Event {
    /// A phase of the run begins.
    Phase { name: String },
    /// The run continues where an earlier one stopped, `behind` offsets before the partitions' ends.
    Resumed { run_id: String, partitions: usize, behind: u64 },
    /// A consumer's thread and client were started.
    ConsumerStarted {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
    },
    /// A consumer has fetched from its partition, or has joined its group.
    ConsumerReady {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
    },
    /// A consumer ended without being asked to.
    ConsumerFailed {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
        reason: String,
    },
    /// A consumer will be started again.
    ConsumerRestarting {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
        delay_ms: u64,
    },
    /// A consumer is given up: it failed too often without progress, or restarting cannot help.
    ConsumerGivenUp { consumer: ConsumerId, reason: String },
    /// A record on which its consumer failed each time it was started is passed over from now on.
    RecordSkipped { consumer: ConsumerId, partition: PartitionId, offset: Offset },
    /// Many consumers failed together, so the cluster is taken to be down: restarts are held back.
    GateShut { failed: u32 },
    /// A consumer is started to see whether the cluster is back.
    GateProbe { consumer: ConsumerId },
    /// The cluster is back: the consumers that were held back are started.
    GateOpened { held: u32 },
    /// The watchdog found a consumer that makes no progress, and acted.
    ConsumerStuck {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
        diagnosis: String,
        remedy: String,
    },
    /// A consumer that was given up has not closed its client in time; its thread is left to itself.
    ThreadAbandoned {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
    },
    /// A consumer's client is closed.
    ConsumerClosed {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
        close_us: u64,
    },
    /// A group member was assigned partitions.
    Assigned {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
        partitions: Vec<PartitionId>,
    },
    /// A group member gave up partitions.
    Revoked {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
        partitions: Vec<PartitionId>,
    },
    /// A group member died with these partitions, or was replaced while it had them.
    Orphaned {
        consumer: ConsumerId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
        partitions: Vec<PartitionId>,
    },
    /// The topic has more partitions than before: `from` up to, but not including, `to`.
    PartitionsAdded { from: u32, to: u32 },
    /// The topic has only this number of partitions left; 0 when it is gone.
    PartitionsGone { left: u32 },
    /// A scheduled fault was injected.
    FaultInjected { fault: usize, description: String },
    /// A fault that lasts is over.
    FaultEnded { fault: usize, description: String },
    /// The target of a fault could not be hit.
    FaultMissed { fault: usize, reason: String },
    /// A producer pool's thread and client were started.
    PoolStarted {
        pool: PoolId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
    },
    /// A producer pool ended without being asked to.
    PoolFailed {
        pool: PoolId,
        #[serde(rename = "start", alias = "incarnation")]
        incarnation: Incarnation,
        reason: String,
    },
    /// A producer pool has sent all records, and each of them is answered.
    PoolFinished { pool: PoolId },
    /// A client reported an error, for the `count`th time. Noted at 1, 2, 4, 8 … so that an outage does not fill
    /// the journal.
    ClientError { client: String, consumer: Option<ConsumerId>, error: String, count: u64 },
}

impl Event {
    /// The consumer that the event is about, if any.
    pub fn consumer(&self) -> Option<ConsumerId> {
        match self {
            Event::ConsumerStarted { consumer, .. }
            | Event::ConsumerReady { consumer, .. }
            | Event::ConsumerFailed { consumer, .. }
            | Event::ConsumerRestarting { consumer, .. }
            | Event::ConsumerGivenUp { consumer, .. }
            | Event::RecordSkipped { consumer, .. }
            | Event::GateProbe { consumer }
            | Event::ConsumerStuck { consumer, .. }
            | Event::ThreadAbandoned { consumer, .. }
            | Event::ConsumerClosed { consumer, .. }
            | Event::Assigned { consumer, .. }
            | Event::Revoked { consumer, .. }
            | Event::Orphaned { consumer, .. } => Some(*consumer),
            Event::ClientError { consumer, .. } => *consumer,
            _ => None,
        }
    }

    /// The pool that the event is about, if any.
    pub fn pool(&self) -> Option<PoolId> {
        match self {
            Event::PoolStarted { pool, .. }
            | Event::PoolFailed { pool, .. }
            | Event::PoolFinished { pool } => Some(*pool),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Phase { name } => write!(f, "{name}"),
            Event::Resumed { run_id, partitions, behind } => write!(
                f,
                "continuing where run {run_id} stopped: {partitions} partitions, {behind} records behind"
            ),
            Event::ConsumerStarted { .. } => f.write_str("consumer started"),
            Event::ConsumerReady { .. } => f.write_str("consumer ready"),
            Event::ConsumerFailed { reason, .. } => write!(f, "consumer failed: {reason}"),
            Event::ConsumerRestarting { delay_ms: 0, .. } => {
                f.write_str("consumer restarts at once")
            }
            Event::ConsumerRestarting { delay_ms, .. } => {
                write!(f, "consumer restarts in {delay_ms} ms")
            }
            Event::ConsumerGivenUp { reason, .. } => write!(f, "consumer given up: {reason}"),
            Event::RecordSkipped { partition, offset, .. } => {
                write!(f, "offset {offset} of partition {partition} is skipped as poison")
            }
            Event::ConsumerStuck { diagnosis, remedy, .. } => {
                write!(f, "{diagnosis}: {remedy}")
            }
            Event::ThreadAbandoned { .. } => {
                f.write_str("the consumer's thread has not ended in time and is abandoned")
            }
            Event::GateShut { failed } => {
                write!(
                    f,
                    "{failed} consumers failed together: the cluster seems down, restarts are held back"
                )
            }
            Event::GateProbe { .. } => f.write_str("consumer probes whether the cluster is back"),
            Event::GateOpened { held } => {
                write!(f, "the cluster is available again; {held} waiting consumers are started")
            }
            Event::ConsumerClosed { close_us, .. } => {
                write!(f, "consumer closed in {:.1} ms", *close_us as f64 / 1e3)
            }
            Event::Assigned { partitions, .. } => write!(f, "assigned {}", list(partitions)),
            Event::Revoked { partitions, .. } => write!(f, "revoked {}", list(partitions)),
            Event::Orphaned { partitions, .. } => {
                write!(f, "failed while it had {}", list(partitions))
            }
            Event::PartitionsAdded { from, to } => {
                write!(f, "the topic has grown from {from} to {to} partitions")
            }
            Event::PartitionsGone { left: 0 } => f.write_str("the topic is gone"),
            Event::PartitionsGone { left } => {
                write!(f, "the topic has only {left} partitions left")
            }
            Event::FaultInjected { fault, description } => {
                write!(f, "fault {fault} injected: {description}")
            }
            Event::FaultEnded { fault, description } => {
                write!(f, "fault {fault} is over: {description}")
            }
            Event::FaultMissed { fault, reason } => write!(f, "fault {fault} missed: {reason}"),
            Event::PoolStarted { .. } => f.write_str("pool started"),
            Event::PoolFailed { reason, .. } => write!(f, "pool failed: {reason}"),
            Event::PoolFinished { .. } => f.write_str("pool finished"),
            Event::ClientError { client, error, count, .. } => {
                write!(f, "{client}: {error} ({count} x)")
            }
        }
    }
}

fn list(partitions: &[PartitionId]) -> String {
    let ids: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    format!("partitions [{}]", ids.join(", "))
}

/// Largest number of events that are kept. Later ones are only counted.
const EVENTS_MAX: usize = 100_000;

/// All events of a run, in the order they were noted.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    events: Vec<(Time, Event)>,
    dropped: u64,
}

impl Journal {
    /// Adds `event`.
    pub fn note(&self, at: Time, event: Event) {
        let mut entries = self.lock();
        if entries.events.len() < EVENTS_MAX {
            entries.events.push((at, event));
        } else {
            entries.dropped += 1;
        }
    }

    /// The events from number `from` on.
    pub fn since(&self, from: usize) -> Vec<(Time, Event)> {
        self.lock().events.get(from..).map(<[_]>::to_vec).unwrap_or_default()
    }

    /// Events that were not kept.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outages of a run whose load began at `start`.
pub fn outages(journal: &[(Time, Event)], start: Time) -> Vec<Outage> {
    let mut outages: Vec<Outage> = Vec::new();
    for (at, event) in journal {
        let at_s = at.since_ns(start) as f64 / 1e9;
        match (event, outages.last_mut()) {
            (Event::GateShut { failed }, _) => {
                outages.push(Outage { from_s: at_s, to_s: None, failed: *failed, probes: 0 });
            }
            (Event::GateProbe { .. }, Some(last)) => last.probes += 1,
            (Event::GateOpened { .. }, Some(last)) => last.to_s = Some(at_s),
            _ => {}
        }
    }
    outages
}

/// Longest time between two steps of one growth, because the members of a group learn of new partitions one after
/// another. Two growths of a topic within this time are shown as one.
const APART: Duration = Duration::from_secs(1);

/// Joins steps that were found shortly after another into one.
pub(super) fn growths(
    found: impl IntoIterator<Item = (Time, Range<u32>)>,
) -> Vec<(Time, Range<u32>)> {
    let mut steps: Vec<(Time, Range<u32>)> = Vec::new();
    for (at, ids) in found {
        match steps.last_mut() {
            Some((first, step)) if at <= *first + APART => step.end = ids.end,
            _ => steps.push((at, ids)),
        }
    }
    steps
}

/// An event of a simulation, with its time and subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// Virtual time, counted from the start of the load where that is known; negative before it.
    pub at: Time,
    /// Kind of the event.
    pub kind: TraceKind,
    /// Its subject: `consumer-7`, `pool-0`, `broker-1`, `supervisor`.
    pub who: String,
    /// Description of the event.
    pub what: String,
    /// The partitions that the event is about; empty if it is about all partitions or none.
    pub partitions: Vec<PartitionId>,
}

/// Kinds of events in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceKind {
    /// The control plane: starts, failures, restarts, faults.
    Control,
    /// A request reaches a broker.
    Request,
    /// A response reaches a client.
    Response,
    /// A consumer has processed records.
    Processed,
    /// A deadline of a broker has come.
    Deadline,
    /// A machine gets a turn.
    Turn,
    /// A timer of the control plane goes off.
    Timer,
    /// Something happens to the record that is followed.
    Record,
}

impl TraceKind {
    /// Every kind with its name.
    pub const ALL: [(TraceKind, &'static str); 7] = [
        (TraceKind::Control, "control"),
        (TraceKind::Request, "request"),
        (TraceKind::Response, "response"),
        (TraceKind::Processed, "processed"),
        (TraceKind::Deadline, "deadline"),
        (TraceKind::Turn, "turn"),
        (TraceKind::Timer, "timer"),
    ];

    /// Name of the kind.
    pub fn name(self) -> &'static str {
        TraceKind::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceLine { at, kind, who, what, .. } = self;
        let (seconds, ns) =
            (at.0.unsigned_abs() / 1_000_000_000, at.0.unsigned_abs() % 1_000_000_000);
        let seconds = format!("{}{seconds}", if at.0 < 0 { "-" } else { "" });
        write!(f, "{seconds:>6}.{ns:09}  {:9}  {who:12}  {what}", kind.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ConsumerId;

    #[test]
    fn an_outage_lasts_from_the_shut_gate_to_the_open_one() {
        let s = |s: i64| Time(s * 1_000_000_000);
        let journal = [
            (s(12), Event::GateShut { failed: 6 }),
            (s(13), Event::GateProbe { consumer: ConsumerId(1) }),
            (s(14), Event::GateProbe { consumer: ConsumerId(2) }),
            (s(15), Event::GateOpened { held: 5 }),
            (s(20), Event::GateShut { failed: 7 }),
        ];
        let first = Outage { from_s: 2.0, to_s: Some(5.0), failed: 6, probes: 2 };
        let second = Outage { from_s: 10.0, to_s: None, failed: 7, probes: 0 };
        assert_eq!(outages(&journal, s(10)), [first, second]);
    }

    #[test]
    fn what_members_hear_one_after_another_is_one_growth() {
        let ms = |ms: i64| Time(ms * 1_000_000);
        let found = [(ms(4_000), 6..7), (ms(4_002), 7..9), (ms(9_000), 9..12)];
        assert_eq!(growths(found), [(ms(4_000), 6..9), (ms(9_000), 9..12)]);
        assert_eq!(growths([]), []);
    }

    #[test]
    fn times_are_exact_and_columns_line_up() {
        let line = TraceLine {
            at: Time(1_000_000_007),
            kind: TraceKind::Turn,
            who: "pool-0".to_owned(),
            what: "a turn".to_owned(),
            partitions: Vec::new(),
        };
        assert_eq!(line.to_string(), "     1.000000007  turn       pool-0        a turn");
        let earlier = TraceLine { at: Time(-50_000_000), ..line };
        assert_eq!(earlier.to_string(), "    -0.050000000  turn       pool-0        a turn");
    }
}

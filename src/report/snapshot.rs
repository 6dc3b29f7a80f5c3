//! A snapshot of a running run: the figures of its last second, and its events so far. The live view and the response
//! to a scrape are made from it, without access to the run itself.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::native_buckets::NativeBuckets;
use crate::summary::Verdict;

/// Upper bounds of the buckets of a latency histogram, in nanoseconds.
pub(super) const BOUNDS_NS: [u64; 17] = [
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

/// A snapshot of a run.
#[derive(Clone, Debug, Default)]
pub struct RunSnapshot {
    /// Name of the scenario.
    pub scenario: String,
    /// Kind of broker, as `--broker` names it.
    pub broker: &'static str,
    /// The mode of assignment: `assigned` or `group`.
    pub mode: &'static str,
    /// The current phase of the run.
    pub phase: String,
    /// True if the load has begun.
    pub has_begun: bool,
    /// Planned length of the load, warmup included.
    pub planned: Duration,
    /// Planned length of the warmup.
    pub warmup: Duration,
    /// The stages of the load.
    pub stages: Vec<StageSnapshot>,
    /// The last second, of all partitions together.
    pub last: LastInterval,
    /// Index: the partition.
    pub partitions: Vec<PartitionSnapshot>,
    /// Index: the consumer.
    pub consumers: BTreeMap<u32, ConsumerSnapshot>,
    /// Every planned occurrence of a fault, in the order of their times.
    pub faults: Vec<FaultSnapshot>,
    /// Send delay: from the time a record was due until it was sent, of records due in the measured window.
    pub send_delay: LatencyBuckets,
    /// The last events, in the order of time.
    pub events: VecDeque<RunEvent>,
    /// p99 of each of the last seconds in nanoseconds, in the order of time; 0 for a second without processed records.
    pub p99_history: VecDeque<u64>,
    /// The verdict; `None` while the run continues.
    pub verdict: Option<Verdict>,
}

/// A stage of the load. A stage that ends when the lag is 0 may end earlier than planned, and then later ones begin
/// earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSnapshot {
    /// Name of the stage.
    pub name: String,
    /// Start, from the beginning of the load.
    pub from: Duration,
    /// End, from the beginning of the load.
    pub to: Duration,
}

/// The last interval of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastInterval {
    /// End of the interval, from the beginning of the load.
    pub elapsed: Duration,
    /// Records sent per second.
    pub sent_rate: f64,
    /// Distinct records processed per second.
    pub processed_rate: f64,
    /// Response time p50 in nanoseconds; `None` without processed records.
    pub p50_ns: Option<u64>,
    /// Response time p99 in nanoseconds; `None` without processed records.
    pub p99_ns: Option<u64>,
    /// Sum of the partitions' lags in records.
    pub lag: u64,
}

/// A snapshot of a partition.
#[derive(Clone, Debug, Default)]
pub struct PartitionSnapshot {
    /// The consumer that has the partition; `None` if it has none.
    pub owner: Option<u32>,
    /// True if the partition does not belong to the topic any more.
    pub is_gone: bool,
    /// True if records waited during the whole last interval and none was processed.
    pub is_stalled: bool,
    /// Lag in records; `None` before the broker has answered.
    pub lag: Option<u64>,
    /// p99 of the last interval in nanoseconds; `None` without processed records.
    pub p99_ns: Option<u64>,
    /// Records handed to the client.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records that were never appended, as far as the client knows.
    pub failed: u64,
    /// Distinct records processed.
    pub processed: u64,
    /// Records processed again at the same offset.
    pub redelivered: u64,
    /// Extra copies of records at other offsets.
    pub duplicated: u64,
    /// Records processed for the first time after a later record of their lane.
    pub reordered: u64,
    /// Latency since the start, of records due in the measured window.
    pub latency: LatencyBuckets,
}

/// A distribution in classic and in native buckets.
#[derive(Clone, Debug, Default)]
pub struct LatencyBuckets {
    /// Number of values in each bucket of [`BOUNDS_NS`], not cumulative.
    pub counts: [u64; BOUNDS_NS.len()],
    /// Number of all values, including those beyond the last bound.
    pub count: u64,
    /// Sum of the values in nanoseconds.
    pub sum_ns: u128,
    /// The same values in native buckets.
    pub native: NativeBuckets,
}

/// A snapshot of a consumer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsumerSnapshot {
    /// The state of the consumer.
    pub state: ConsumerState,
    /// Number of restarts.
    pub restarts: u64,
}

/// The state of a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsumerState {
    /// Thread and client are started, and the consumer is not ready.
    #[default]
    Starting,
    /// The consumer has fetched, or has joined its group.
    Running,
    /// The consumer has ended, and will be restarted.
    Restarting,
    /// The consumer is not restarted.
    GivenUp,
}

impl ConsumerState {
    /// Every state with its name.
    pub(super) const ALL: [(ConsumerState, &'static str); 4] = [
        (ConsumerState::Starting, "starting"),
        (ConsumerState::Running, "running"),
        (ConsumerState::Restarting, "restarting"),
        (ConsumerState::GivenUp, "given_up"),
    ];
}

/// A snapshot of an occurrence of a fault.
#[derive(Clone, Debug)]
pub struct FaultSnapshot {
    /// Index of the `[[fault]]` in the scenario, from 0.
    pub entry: usize,
    /// Planned time, in seconds since the load began.
    pub at: Duration,
    /// True if the fault ends later than it begins.
    pub lasts: bool,
    /// Description of the fault.
    pub description: String,
    /// State of the fault.
    pub state: FaultState,
}

/// The state of a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultState {
    /// The fault is not due.
    #[default]
    Planned,
    /// The fault is active.
    Active,
    /// The fault was injected and is over.
    Over,
    /// The target of the fault did not exist.
    Missed,
}

/// An event for the view.
#[derive(Clone, Debug)]
pub struct RunEvent {
    /// Time in seconds since the load began; negative before.
    pub at_s: f64,
    /// Subject and text of the event.
    pub text: String,
    /// Kind of the event.
    pub sort: EventSort,
}

/// Kinds of events that the view shows differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventSort {
    /// A fault of the scenario.
    Fault,
    /// A failure.
    Failure,
    /// A recovery.
    Recovery,
}

impl RunSnapshot {
    /// State of the partition's consumer; `None` if the partition has no consumer.
    pub(super) fn state_of(&self, partition: &PartitionSnapshot) -> Option<ConsumerState> {
        self.consumers.get(&partition.owner?).map(|consumer| consumer.state)
    }

    /// The next fault that is not due; `None` if there is none.
    pub(super) fn next_fault(&self) -> Option<&FaultSnapshot> {
        self.faults.iter().find(|fault| fault.state == FaultState::Planned)
    }
}

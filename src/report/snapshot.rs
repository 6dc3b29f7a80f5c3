//! What is known of a run while it goes on, as values: the figures of its last second and what happened until now. The
//! live view and the answer to a scrape are made from it, without a look at the run itself.

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

/// A run as it is known.
#[derive(Clone, Debug, Default)]
pub struct RunSnapshot {
    /// Name of the scenario.
    pub scenario: String,
    /// Kind of broker, as `--broker` names it.
    pub broker: &'static str,
    /// How consumers get their partitions: `assigned` or `group`.
    pub mode: &'static str,
    /// The part of the run that goes on.
    pub phase: String,
    /// Whether the load has begun.
    pub has_begun: bool,
    /// Planned length of the load, warmup included.
    pub planned: Duration,
    /// Planned length of the warmup.
    pub warmup: Duration,
    /// The stages of the load.
    pub stages: Vec<StageSnapshot>,
    /// The last second, of all partitions together.
    pub last: LastInterval,
    /// By partition.
    pub partitions: Vec<PartitionSnapshot>,
    /// By consumer.
    pub consumers: BTreeMap<u32, ConsumerSnapshot>,
    /// Every planned occurrence of a fault, in the order of their times.
    pub faults: Vec<FaultSnapshot>,
    /// Send delay: from the time a record was due until it was sent, of records due in the measured window.
    pub send_delay: LatencyBuckets,
    /// What happened lately, the latest last.
    pub events: VecDeque<RunEvent>,
    /// p99 of each of the last seconds in nanoseconds, the latest last; 0 where no record was processed.
    pub p99_history: VecDeque<u64>,
    /// How the run ended.
    pub verdict: Option<Verdict>,
}

/// A stage of the load. One that ends when the lag is 0 may end earlier than it was planned, and those behind it with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSnapshot {
    /// Its name.
    pub name: String,
    /// When it begins, since the load began.
    pub from: Duration,
    /// When it ends.
    pub to: Duration,
}

/// The last interval of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastInterval {
    /// When it ended, since the load began.
    pub elapsed: Duration,
    /// Records sent a second.
    pub sent_rate: f64,
    /// Distinct records processed a second.
    pub processed_rate: f64,
    /// Latency p50 in nanoseconds.
    pub p50_ns: Option<u64>,
    /// Latency p99 in nanoseconds.
    pub p99_ns: Option<u64>,
    /// Sum of the partitions' lags in records.
    pub lag: u64,
}

/// A partition as it is known.
#[derive(Clone, Debug, Default)]
pub struct PartitionSnapshot {
    /// The consumer that has it.
    pub owner: Option<u32>,
    /// Whether it is no part of the topic any more.
    pub is_gone: bool,
    /// Whether records waited for the whole last interval and none was processed.
    pub is_stalled: bool,
    /// Its lag in records; `None` before the broker has answered.
    pub lag: Option<u64>,
    /// p99 of the last interval in nanoseconds.
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
    /// Values in each bucket of [`BOUNDS_NS`], not added up.
    pub counts: [u64; BOUNDS_NS.len()],
    /// All values, those beyond the last bound included.
    pub count: u64,
    /// Their sum in nanoseconds.
    pub sum_ns: u128,
    /// The same values in native buckets.
    pub native: NativeBuckets,
}

/// A consumer as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsumerSnapshot {
    /// What it does.
    pub state: ConsumerState,
    /// How often it was started again.
    pub restarts: u64,
}

/// What a consumer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsumerState {
    /// Its thread and client are started; it has not fetched yet.
    #[default]
    Starting,
    /// It has fetched from its partition, or has joined its group.
    Running,
    /// It has ended, and is to be started again.
    Restarting,
    /// It is not started again.
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

/// An occurrence of a fault as it is known.
#[derive(Clone, Debug)]
pub struct FaultSnapshot {
    /// Which `[[fault]]` of the scenario, from 0.
    pub entry: usize,
    /// When it is planned, since the load began.
    pub at: Duration,
    /// Whether its end is a time of its own.
    pub lasts: bool,
    /// What it does.
    pub description: String,
    /// How far it is.
    pub state: FaultState,
}

/// How far a fault is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultState {
    /// Its time has not come.
    #[default]
    Planned,
    /// It goes on.
    Active,
    /// It was injected and is over.
    Over,
    /// Its target was not there.
    Missed,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct RunEvent {
    /// When, in seconds since the load began; negative before.
    pub at_s: f64,
    /// What, with its subject.
    pub text: String,
    /// What sort of event.
    pub sort: EventSort,
}

/// Sorts of events, as far as a reader tells them apart at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventSort {
    /// A fault of the scenario.
    Fault,
    /// Something went wrong.
    Trouble,
    /// Something is as it should be again.
    Recovery,
}

impl RunSnapshot {
    /// What the consumer of a partition does; `None` when no consumer has it.
    pub(super) fn state_of(&self, partition: &PartitionSnapshot) -> Option<ConsumerState> {
        self.consumers.get(&partition.owner?).map(|consumer| consumer.state)
    }

    /// The next fault whose time has not come.
    pub(super) fn next_fault(&self) -> Option<&FaultSnapshot> {
        self.faults.iter().find(|fault| fault.state == FaultState::Planned)
    }
}

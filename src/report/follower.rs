//! Makes snapshots of a run, once a second, from the collector's intervals and the journal's events.

use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::snapshot::{
    BOUNDS_NS, ConsumerSnapshot, ConsumerState, EventSort, FaultSnapshot, FaultState, LastInterval,
    LatencyBuckets, PartitionSnapshot, RunEvent, RunSnapshot, StageSnapshot,
};
use crate::base::{ConsumerId, PartitionId, Time};
use crate::measure::{Event, Interval, IntervalTotals, Latencies, PartitionInterval, PoolInterval};
use crate::plan::Plan;
use crate::summary::Verdict;

/// Largest number of events that are kept for the view.
const EVENTS_MAX: usize = 200;
/// Number of seconds whose p99 is kept: more than the widest terminal shows.
const HISTORY_MAX: usize = 600;

/// The latest snapshot of a run. Readers hold its lock only while they copy a pointer.
#[derive(Clone, Debug, Default)]
pub struct LatestSnapshot(Arc<Mutex<Arc<RunSnapshot>>>);

impl LatestSnapshot {
    /// The snapshot.
    pub fn get(&self) -> Arc<RunSnapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, snapshot: RunSnapshot) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

/// The planned stages of a load.
fn stages(plan: &Plan) -> Vec<StageSnapshot> {
    let mut from = plan.times.warmup;
    let stages = plan.load.stages.iter().map(|stage| {
        let begins = from;
        from += stage.lasts;
        StageSnapshot { name: stage.name.clone(), from: begins, to: from }
    });
    stages.collect()
}

/// Makes the snapshots of a run.
#[derive(Debug)]
pub struct RunFollower {
    next: RunSnapshot,
    latest: LatestSnapshot,
    start: Time,
    sent_total: u64,
    is_assigned: bool,
}

impl RunFollower {
    /// Follows a run of `plan` that has not begun, and stores its snapshots in `latest`.
    pub fn new(plan: &Plan, latest: LatestSnapshot) -> RunFollower {
        let is_assigned = plan.group().is_none();
        let partition = |id| PartitionSnapshot {
            owner: is_assigned.then_some(id),
            ..PartitionSnapshot::default()
        };
        let faults = plan.faults.iter().map(|fault| FaultSnapshot {
            entry: fault.entry,
            at: fault.at,
            lasts: fault.lasts.is_some(),
            description: fault.to_string(),
            state: FaultState::Planned,
        });
        let next = RunSnapshot {
            scenario: plan.name.clone(),
            broker: plan.broker.kind().name(),
            mode: plan.mode(),
            planned: plan.times.load_end(),
            warmup: plan.times.warmup,
            stages: stages(plan),
            partitions: (0..plan.topic.partitions).map(partition).collect(),
            faults: faults.collect(),
            ..RunSnapshot::default()
        };
        latest.set(next.clone());
        RunFollower { next, latest, start: Time::ZERO, sent_total: 0, is_assigned }
    }

    fn publish(&self) {
        self.latest.set(self.next.clone());
    }

    /// A phase of the run begins.
    pub fn phase(&mut self, name: &str) {
        name.clone_into(&mut self.next.phase);
        self.publish();
    }

    /// The load begins at `start`.
    pub fn begin(&mut self, start: Time) {
        self.start = start;
        self.next.has_begun = true;
        self.publish();
    }

    /// The last interval of one partition or pool. It is shown with the [second](RunFollower::second).
    pub fn interval(&mut self, interval: &Interval<'_>) {
        match interval {
            Interval::Partition(window) => self.partition(window),
            Interval::Pool(PoolInterval { times, .. }) => {
                self.next.send_delay.add(&times.lateness);
            }
        }
    }

    fn partition(&mut self, window: &PartitionInterval<'_>) {
        let partition = self.partition_of(window.partition);
        partition.is_stalled = window.is_stalled;
        partition.lag = window.is_lag_known.then_some(window.lag);
        partition.p99_ns = window.p99_ns.or_else(|| window.shard.warmup.quantile_ns(0.99));
        partition.sent = window.sends.sent;
        partition.acked = window.sends.acked;
        partition.failed = window.sends.failed;
        partition.processed += window.shard.delivered;
        partition.redelivered = window.counts.redelivered;
        partition.duplicated = window.counts.duplicated;
        partition.reordered = window.counts.reordered;
        partition.latency.add(&window.shard.response);
    }

    /// The snapshot of a partition, which is created if the topic has grown.
    fn partition_of(&mut self, id: PartitionId) -> &mut PartitionSnapshot {
        let (index, is_assigned) = (id.0 as usize, self.is_assigned);
        while self.next.partitions.len() <= index {
            let owner = is_assigned.then_some(self.next.partitions.len() as u32);
            self.next.partitions.push(PartitionSnapshot { owner, ..PartitionSnapshot::default() });
        }
        &mut self.next.partitions[index]
    }

    /// The last interval of all partitions, which ended `elapsed` after the start of the load.
    pub fn second(&mut self, live: &IntervalTotals<'_>, elapsed: Duration) {
        let seconds = live.seconds.max(1e-3);
        let sent = live.sent_total - self.sent_total;
        self.sent_total = live.sent_total;
        let p99_ns = live.response.quantile_ns(0.99);
        self.next.last = LastInterval {
            elapsed,
            sent_rate: sent as f64 / seconds,
            processed_rate: live.delivered as f64 / seconds,
            p50_ns: live.response.quantile_ns(0.50),
            p99_ns,
            lag: live.lag,
        };
        for (number, stage) in self.next.stages.iter_mut().enumerate() {
            if let Some((from, to)) = live.stages.span(number) {
                (stage.from, stage.to) = (from.remaining(self.start), to.remaining(self.start));
            }
        }
        if let Some(last) = self.next.stages.last() {
            self.next.planned = last.to;
        }
        let history = &mut self.next.p99_history;
        history.push_back(p99_ns.unwrap_or(0));
        while history.len() > HISTORY_MAX {
            history.pop_front();
        }
        self.publish();
    }

    /// The events since the last call.
    pub fn events(&mut self, events: &[(Time, Event)]) {
        for (at, event) in events {
            self.event(event);
            let Some((sort, text)) = shown(event) else { continue };
            let at_s = at.since_ns(self.start) as f64 / 1e9;
            self.next.events.push_back(RunEvent { at_s, text, sort });
            if self.next.events.len() > EVENTS_MAX {
                self.next.events.pop_front();
            }
        }
        self.publish();
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Phase { name } => name.clone_into(&mut self.next.phase),
            Event::ConsumerStarted { consumer, .. } => {
                match self.next.consumers.entry(consumer.0) {
                    Entry::Vacant(first) => _ = first.insert(ConsumerSnapshot::default()),
                    Entry::Occupied(mut known) => {
                        known.get_mut().state = ConsumerState::Starting;
                        known.get_mut().restarts += 1;
                    }
                }
            }
            Event::ConsumerReady { consumer, .. } => self.set(*consumer, ConsumerState::Running),
            Event::ConsumerFailed { consumer, .. } | Event::ConsumerRestarting { consumer, .. } => {
                self.set(*consumer, ConsumerState::Restarting);
            }
            Event::ConsumerGivenUp { consumer, .. } => {
                self.set(*consumer, ConsumerState::GivenUp);
            }
            Event::Assigned { consumer, partitions, .. } => {
                partitions.iter().for_each(|id| self.partition_of(*id).owner = Some(consumer.0));
            }
            Event::Revoked { consumer, partitions, .. }
            | Event::Orphaned { consumer, partitions, .. } => {
                for id in partitions {
                    let partition = self.partition_of(*id);
                    partition.owner = partition.owner.filter(|owner| *owner != consumer.0);
                }
            }
            Event::PartitionsGone { left } => {
                let gone = self.next.partitions.iter_mut().skip(*left as usize);
                gone.for_each(|partition| partition.is_gone = true);
            }
            Event::FaultInjected { fault, .. } => self.fault(*fault, |fault| match fault.lasts {
                true => FaultState::Active,
                false => FaultState::Over,
            }),
            Event::FaultEnded { fault, .. } => self.fault(*fault, |_| FaultState::Over),
            Event::FaultMissed { fault, .. } => self.fault(*fault, |_| FaultState::Missed),
            _ => {}
        }
    }

    fn set(&mut self, consumer: ConsumerId, state: ConsumerState) {
        self.next.consumers.entry(consumer.0).or_default().state = state;
    }

    fn fault(&mut self, fault: usize, state: impl FnOnce(&FaultSnapshot) -> FaultState) {
        if let Some(fault) = self.next.faults.get_mut(fault) {
            fault.state = state(fault);
        }
    }

    /// Stores the verdict of a run that has ended.
    pub fn end(latest: &LatestSnapshot, verdict: Verdict) {
        let ended = RunSnapshot {
            phase: "ended".to_owned(),
            verdict: Some(verdict),
            ..RunSnapshot::clone(&latest.get())
        };
        latest.set(ended);
    }
}

impl LatencyBuckets {
    pub(super) fn add(&mut self, latencies: &Latencies) {
        let counts = latencies.counts_by_bound(&BOUNDS_NS);
        self.counts.iter_mut().zip(counts).for_each(|(all, these)| *all += these);
        self.count += latencies.count() - latencies.negative();
        self.sum_ns += latencies.sum_ns();
        self.native.add(latencies);
    }
}

/// The text of an event in the live view; `None` for most events.
fn shown(event: &Event) -> Option<(EventSort, String)> {
    let sort = match event {
        Event::FaultInjected { .. } | Event::FaultEnded { .. } | Event::FaultMissed { .. } => {
            EventSort::Fault
        }
        Event::ConsumerFailed { .. }
        | Event::ConsumerGivenUp { .. }
        | Event::RecordSkipped { .. }
        | Event::GateShut { .. }
        | Event::ConsumerStuck { .. }
        | Event::ThreadAbandoned { .. }
        | Event::PartitionsGone { .. }
        | Event::PoolFailed { .. }
        | Event::ClientError { .. }
        | Event::Revoked { .. }
        | Event::Orphaned { .. } => EventSort::Failure,
        Event::ConsumerReady { incarnation, .. } if incarnation.0 > 1 => EventSort::Recovery,
        Event::Assigned { .. } | Event::GateOpened { .. } | Event::PartitionsAdded { .. } => {
            EventSort::Recovery
        }
        _ => return None,
    };
    let text = event.to_string();
    // Most texts begin with the subject of the event, and readers look for its number.
    let text = match (event.consumer(), event.pool(), event) {
        (_, _, Event::ClientError { .. } | Event::RecordSkipped { .. }) => text,
        (Some(id), ..) => {
            format!("consumer {id} {}", text.strip_prefix("consumer ").unwrap_or(&text))
        }
        (_, Some(id), _) => format!("pool {id} {}", text.strip_prefix("pool ").unwrap_or(&text)),
        _ => text,
    };
    Some((sort, text))
}

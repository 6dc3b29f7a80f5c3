//! The measurements of one process of several (a *part*) as other processes read them, and the summary of all parts.
//!
//! A part is exact: it has the lanes, distributions and counters of its process as they are. Its size does not depend
//! on the number of records. It grows with lanes (some 60 bytes each), their gaps (in a valid run at most
//! `limits.sequence_gaps` per lane) and distributions (a few thousand steps each).
//!
//! A record that one process sent may be read by another. Sends and acknowledgements are in the sender's part,
//! processed records in the reader's. The ledger of the run is balanced from both, by the same code as the ledger of
//! one process. Unread records are in the log and were not processed. The sender counts them after the readers have
//! told their positions, so that no part has an entry for each offset.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::assemble::{blocked_share, gather, judged};
use super::sending_report::of_processes;
use super::{
    CellState, Collector, Ended, LaneShape, Latencies, Measurements, PartitionTotals, Parts,
    PoolState, RunFacts, SendTimes,
};
use crate::base::{Offset, PartitionId, PoolId, ProducerId, Share, Time};
use crate::plan::{PartitionChoice, Plan};
use crate::summary::{Cost, Ledger, ShareState, ShareSummary, SharesSummary, Summary};

/// The measurements of one process of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SharePart {
    /// The process's share of the run.
    pub share: Share,
    /// Identifies the run.
    pub run_id: String,
    /// Digest of what the processes of a run have in common: scenario, seed and version.
    pub digest: String,
    /// Name of the process's machine; `None` if it is not known.
    pub host: Option<String>,
    /// The offset of its clock, with an error bound.
    pub clock: ShareClock,
    /// Start of the load.
    pub start: Time,
    /// End of the load.
    pub until: Time,
    /// Time at which the ledgers were balanced, after the drain.
    pub over: Time,
    /// The measured window.
    pub measured: (Time, Time),
    /// The end of the process's run.
    pub ended: Ended,
    /// Warnings for the report.
    pub warnings: Vec<String>,
    /// The summary of this process alone, without ledgers: those need all parts.
    pub alone: Summary,
    /// The cells of its partitions.
    pub cells: Vec<CellState>,
    /// The totals of its partitions, in the same order.
    pub totals: Vec<PartitionTotals>,
    /// Low and high watermark of its partitions after the drain.
    pub ends: Vec<(PartitionId, (Offset, Offset))>,
    /// The states of its pools.
    pub pools: Vec<PoolState>,
    /// The send times of its pools.
    pub sends: SendTimes,
    /// The parts of the latency.
    pub parts: Parts,
    /// Records that a consumer got from another partition than its own.
    pub strays: u64,
}

impl SharePart {
    /// The part of process `share`, without measurements.
    pub fn empty(share: Share) -> SharePart {
        SharePart {
            share,
            run_id: String::new(),
            digest: String::new(),
            host: None,
            clock: ShareClock::default(),
            start: Time::ZERO,
            until: Time::ZERO,
            over: Time::ZERO,
            measured: (Time::ZERO, Time::ZERO),
            ended: Ended::InOrder,
            warnings: Vec::new(),
            alone: Summary::default(),
            cells: Vec::new(),
            totals: Vec::new(),
            ends: Vec::new(),
            pools: Vec::new(),
            sends: SendTimes::default(),
            parts: Parts::default(),
            strays: 0,
        }
    }
}

/// The clock of a process, compared with the clock of share 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareClock {
    /// Identifies the machine, whose processes read the same clock. `None` where the system gives no identifier.
    pub machine: Option<String>,
    /// True if it is the clock of share 1.
    pub is_same: bool,
    /// The offset from the clock of share 1 in the last measurement, in nanoseconds.
    pub offset_ns: i64,
    /// Error bound of that offset, in nanoseconds.
    pub bound_ns: i64,
}

impl ShareClock {
    /// Largest difference between a time of this process and the same time of share 1, in nanoseconds.
    fn error_ns(&self) -> i64 {
        self.offset_ns.saturating_abs().saturating_add(self.bound_ns)
    }
}

/// A part with the scenario that it belongs to, as stored in the directory of its process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartFile {
    /// The scenario's name.
    pub scenario: String,
    /// The scenario file as it was read.
    pub source: String,
    /// The values of `--set`.
    pub set: Vec<String>,
    /// The client library.
    pub client: String,
    /// The addresses of the cluster; `None` without a cluster.
    pub bootstrap: Option<String>,
    /// Seed of all randomness.
    pub seed: u64,
    /// The measurements.
    pub part: SharePart,
}

impl PartFile {
    /// The part of a run of `plan`.
    pub fn new(plan: &Plan, part: SharePart) -> PartFile {
        PartFile {
            scenario: plan.name.clone(),
            source: plan.source.clone(),
            set: plan.overrides.clone(),
            client: plan.broker.client().name().to_owned(),
            bootstrap: plan.broker.bootstrap.clone(),
            seed: plan.seed.0,
            part,
        }
    }
}

impl Measurements {
    /// Counts the unread records among those that this process has sent. `positions` has, for partitions that other
    /// processes read, the bounds of the records that are in the log and not processed.
    pub fn count_unread(&self, positions: &BTreeMap<PartitionId, (Offset, Offset)>) {
        for pool in &self.pools {
            pool.lock().count_unread(|partition| match self.reads(partition) {
                true => Some(self.unread_bounds(partition)),
                false => positions.get(&partition).copied(),
            });
        }
    }

    /// Copies the measurements of this process into `part`, after measuring has ended.
    pub fn into_part(&self, part: &mut SharePart, collector: &Collector) {
        let share = part.share;
        part.cells = self.own_cells().map(|(_, cell)| cell.lock().clone()).collect();
        let totals = (0..).map(PartitionId).zip(&collector.partitions);
        part.totals =
            totals.filter(|(id, _)| share.reads(*id)).map(|(_, totals)| totals.clone()).collect();
        let ends = self.own_cells().filter_map(|(id, _)| Some((id, self.end_of(id)?)));
        part.ends = ends.collect();
        let pools = self.pools.iter().map(|pool| pool.lock().clone());
        part.pools = pools.filter(|pool| share.has_pool(pool.pool())).collect();
        part.sends = collector.sends.clone();
        part.parts = collector.parts.clone();
        part.strays = self.strays.load(Ordering::Relaxed);
    }

    /// The measurements of a run by several processes, from the parts that exist. Cells and pools that do not fit the
    /// plan are left out.
    pub fn of_parts(plan: &Plan, parts: &[SharePart]) -> Measurements {
        let partitions = plan.topic.partitions;
        let shape = LaneShape {
            fixed: plan.load.partition == PartitionChoice::Fixed,
            partitions,
            pools: plan.load.pools,
        };
        let mut all = Measurements::new(shape, &vec![Offset(0); partitions as usize]);
        let there: BTreeSet<u32> = parts.iter().map(|part| part.share.number).collect();
        let lost: Vec<Share> = Share::all(plan.share.map_or(1, |share| share.count))
            .filter(|share| !there.contains(&share.number))
            .collect();
        let is_lost = |id: &PartitionId| lost.iter().any(|share| share.reads(*id));
        all.not_covered = (0..partitions).map(PartitionId).filter(is_lost).collect();
        let mut ends = BTreeMap::new();
        for part in parts {
            for state in part.cells.iter().filter(|state| state.shape() == shape) {
                if let Some(cell) = all.cells.get(state.partition().0 as usize) {
                    *cell.lock() = state.clone();
                }
            }
            for state in part.pools.iter().filter(|state| state.shape() == shape) {
                if let Some(pool) = all.pools.get(state.pool().0 as usize) {
                    *pool.lock() = state.clone();
                }
                // A sender that did not get a partition's position has not counted its unread records.
                let unknown = (0..).map(PartitionId).zip(state.sides());
                let unknown = unknown.filter(|(_, side)| side.unread.is_none());
                all.not_covered.extend(unknown.map(|(id, _)| id));
            }
            ends.extend(part.ends.iter().copied());
            all.strays.fetch_add(part.strays, Ordering::Relaxed);
        }
        all.set_ends(ends);
        all
    }

    /// Records processed of the producers for which `is_meant` is true.
    fn delivered_of(&self, is_meant: impl Fn(ProducerId) -> bool) -> u64 {
        let cell = |cell: &super::PartitionCell| {
            let cell = cell.lock();
            let lanes = cell.producers().filter(|(producer, _)| is_meant(*producer));
            lanes.map(|(_, lane)| lane.delivered()).sum::<u64>()
        };
        self.cells.iter().map(cell).sum()
    }
}

/// The summary of the run with these parts. `lost` has the reason for each missing part, by share number.
/// `measurements` are those of the [parts](Measurements::of_parts). `unprocessed` has the ages of records that were not
/// processed.
pub fn merge_parts(
    plan: &Plan,
    parts: &[SharePart],
    lost: &BTreeMap<u32, String>,
    measurements: &Measurements,
    unprocessed: Option<Latencies>,
) -> Summary {
    let Some(first) = parts.first() else { return Summary::default() };
    let mut collector = Collector::new(plan.topic.partitions as usize, first.start, first.measured);
    for part in parts {
        for (state, totals) in part.cells.iter().zip(&part.totals) {
            if let Some(own) = collector.partitions.get_mut(state.partition().0 as usize) {
                *own = totals.clone();
            }
        }
        collector.sends.merge(&part.sends);
        collector.parts.merge(&part.parts);
    }
    let facts = facts(parts, unprocessed);
    let mut summary = gather(plan, &facts, measurements, &collector);
    summary.requests = None;
    summary.load_started_at.clone_from(&first.alone.load_started_at);
    for part in parts {
        keep_what_is_known_alone(&mut summary, part);
    }
    summary.cost = cost(parts, &summary);
    summary.run_id = first.run_id.clone();
    summary.shares = Some(shares(plan, parts, lost, measurements));
    let blocked = blocked_share(measurements, summary.load_lasted_s);
    judged(plan, facts.ended, summary, blocked)
}

/// Facts that the processes have in common, and sums over them.
fn facts(parts: &[SharePart], unprocessed: Option<Latencies>) -> RunFacts {
    let first = &parts[0];
    let alone = &first.alone;
    let is_interrupted = parts.iter().any(|part| part.ended != Ended::InOrder);
    let warnings = parts.iter().flat_map(|part| {
        let number = part.share.number;
        part.warnings.iter().map(move |warning| format!("share {number}: {warning}"))
    });
    let restarts = parts.iter().flat_map(|part| &part.alone.partitions);
    RunFacts {
        run: None,
        topic: alone.topic.clone(),
        broker_version: alone.broker_version.clone(),
        client: alone.client.clone(),
        client_config: alone.client_config.clone(),
        sending: of_processes(parts.iter().map(|part| part.alone.sending.as_ref())),
        host: alone.host.clone(),
        handler: alone.handler.clone(),
        start: first.start,
        until: parts.iter().map(|part| part.until).max().unwrap_or(first.until),
        measured: parts.iter().map(|part| part.measured).max().unwrap_or(first.measured),
        unprocessed,
        startup_ms: parts.iter().filter_map(|part| part.alone.startup_ms).reduce(f64::max),
        consumers_started: parts.iter().map(|part| part.alone.consumers_started).sum(),
        restarts: restarts.map(|it| (it.partition, it.restarts)).collect(),
        given_up: parts.iter().flat_map(|part| part.alone.given_up.clone()).collect(),
        abandoned: parts.iter().map(|part| part.alone.abandoned_threads).sum(),
        ended: if is_interrupted { Ended::Interrupted } else { Ended::InOrder },
        warnings: warnings.collect(),
        ..RunFacts::default()
    }
}

/// Copies the figures of a partition's consumer that its own process measured.
fn keep_what_is_known_alone(summary: &mut Summary, part: &SharePart) {
    for own in part.alone.partitions.iter().filter(|it| part.share.reads(PartitionId(it.partition)))
    {
        let Some(all) = summary.partitions.get_mut(own.partition as usize) else { continue };
        all.longest_stall_ms = own.longest_stall_ms;
        all.cpu_s = own.cpu_s;
        all.apportioned.clone_from(&own.apportioned);
        all.leadership.clone_from(&own.leadership);
        let partitions = part.cells.len().max(1) as u64;
        all.memory_bytes = part.alone.cost.rss_max_bytes.map(|bytes| bytes / partitions);
    }
    summary.outages.extend(&part.alone.outages);
    summary.outages.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
}

/// The cost of all processes. The share of the CPU is that of the busiest machine.
fn cost(parts: &[SharePart], summary: &Summary) -> Cost {
    let add = |of: fn(&Cost) -> Option<u64>| {
        parts.iter().map(|part| of(&part.alone.cost)).sum::<Option<u64>>()
    };
    let mut machines: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for part in parts {
        // Without a machine's identifier, each process counts as a machine.
        let machine = part.clock.machine.clone().unwrap_or_else(|| part.share.to_string());
        let (cpu_s, cpus) = machines.entry(machine).or_default();
        *cpu_s += part.alone.cost.cpu_s.unwrap_or(0.0);
        *cpus = cpus.max(part.alone.host.cpus());
    }
    let seconds = summary.load_lasted_s.max(1e-9);
    let share = machines.values().map(|(cpu_s, cpus)| cpu_s / (seconds * cpus));
    let is_known = parts.iter().all(|part| part.alone.cost.cpu_share.is_some());
    Cost {
        cpu_s: parts.iter().map(|part| part.alone.cost.cpu_s).sum(),
        cpu_share: share.reduce(f64::max).filter(|_| is_known),
        rss_max_bytes: add(|cost| cost.rss_max_bytes),
        threads_max: add(|cost| cost.threads_max),
        sockets_max: add(|cost| cost.sockets_max),
    }
}

/// The summary of each process, and of the clocks.
fn shares(
    plan: &Plan,
    parts: &[SharePart],
    lost: &BTreeMap<u32, String>,
    measurements: &Measurements,
) -> SharesSummary {
    let count = plan.share.map_or(1, |share| share.count);
    let processes = Share::all(count).map(|share| {
        let part = parts.iter().find(|part| part.share == share);
        let own = |id: &u32| share.reads(PartitionId(*id));
        let pools = plan.load.pools.max(1);
        let producers = (0..plan.load.producers).filter(|id| share.has_pool(PoolId(id % pools)));
        let known = ShareSummary {
            share: share.number,
            partitions: (0..plan.topic.partitions).filter(own).collect(),
            producers: producers.count() as u32,
            ..ShareSummary::default()
        };
        match part {
            Some(part) => of_part(known, part),
            None => ShareSummary {
                state: ShareState::Lost,
                reason: Some(
                    lost.get(&share.number).map_or("its part is missing", |why| why).into(),
                ),
                ..known
            },
        }
    });
    let mut errors: Vec<i64> = parts.iter().map(|part| part.clock.error_ns()).collect();
    errors.sort_unstable_by(|a, b| b.cmp(a));
    let clocks: BTreeSet<String> = parts
        .iter()
        .map(|part| part.clock.machine.clone().unwrap_or_else(|| part.share.to_string()))
        .collect();
    let is_lost = |producer: ProducerId| {
        let pool = PoolId(producer.0 % plan.load.pools.max(1));
        lost.keys().any(|number| Share { number: *number, count }.has_pool(pool))
    };
    SharesSummary {
        count,
        clocks: clocks.len() as u32,
        clock_bound_us: Some(errors.iter().take(2).sum::<i64>() as f64 / 1e3),
        not_covered: measurements.not_covered.iter().map(|partition| partition.0).collect(),
        delivered_of_lost: measurements.delivered_of(is_lost),
        processes: processes.collect(),
    }
}

fn of_part(known: ShareSummary, part: &SharePart) -> ShareSummary {
    let us = |ns: i64| Some(ns as f64 / 1e3);
    ShareSummary {
        state: match part.ended {
            Ended::InOrder => ShareState::Complete,
            Ended::Interrupted | Ended::NotYet => ShareState::Interrupted,
        },
        host: part.host.clone(),
        same_clock: part.clock.is_same,
        clock_offset_us: us(part.clock.offset_ns),
        clock_bound_us: us(part.clock.bound_ns),
        consumers_started: part.alone.consumers_started,
        sent: part.pools.iter().map(|pool| pool.sent).sum(),
        delivered: part.cells.iter().map(CellState::delivered).sum(),
        lateness_p99_us: part.alone.lateness_us.p99,
        cpu_s: part.alone.cost.cpu_s,
        rss_max_bytes: part.alone.cost.rss_max_bytes,
        ..known
    }
}

/// The summary of one process without the figures that need all processes.
pub fn without_accounts(mut summary: Summary) -> Summary {
    summary.ledger = Ledger::default();
    summary.partitions.iter_mut().for_each(|partition| partition.ledger = Ledger::default());
    summary.overloaded.clear();
    summary.expectations.clear();
    summary.invalid_reasons.clear();
    summary.warnings.clear();
    summary.keeps_up = None;
    summary
}

#[cfg(test)]
mod tests;

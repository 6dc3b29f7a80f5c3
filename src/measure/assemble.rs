//! Makes the summary of a run from its measurements.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::backlog_report::backlog;
use super::event::growths;
use super::sending_report::sending;
use super::stage_report::stages;
use super::time_report::{ack_times, no_leaders, slowest_of_partition, slowest_of_run, time_parts};
use super::verdict::Rates;
use super::verdict::latency;
use super::verdict::not_measured;
use super::verdict::{BLOCKED_MAX, shortfall};
use super::wrong_report::wrong_records;
use super::{
    CellState, Collector, Latencies, Measurements, Moments, PartitionTotals, RequestLog, evaluate,
    failures, fault_summaries, invalid_reasons, late_sends, median, outages, rebalances,
};
use serde::{Deserialize, Serialize};

use crate::base::{Clock, RunId, Time};
use crate::plan::{ClientTopology, Identity, Membership, Pace, Plan};
use crate::summary::{
    ClientProperty, Digest, Fairness, Growth, Host, Ledger, Overload, OwnerSummary,
    PartitionLatency, PartitionSummary, Resumed, SCHEMA_VERSION, Sending, Simulation, Summary,
    Verdict,
};

/// The end of the run when its summary was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// The run has ended as planned.
    #[default]
    InOrder,
    /// The user has interrupted the run.
    Interrupted,
    /// The run continues. The summary is that of a run that is cut off now.
    NotYet,
}

/// Facts that the run's wiring knows and the measurements do not contain.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// The id of the run in its records' stamps; `None` if it is not known.
    pub run: Option<RunId>,
    /// The topic's name.
    pub topic: String,
    /// The position at which the run continued an earlier one, if it did.
    pub resumed: Option<Resumed>,
    /// The version of the broker, as far as it is known.
    pub broker_version: Option<String>,
    /// The client library and its version.
    pub client: String,
    /// Effective client properties.
    pub client_config: BTreeMap<String, ClientProperty>,
    /// The settings and batches of the producers' clients; `None` if the run sends nothing.
    pub sending: Option<Sending>,
    /// The machine.
    pub host: Host,
    /// Name of the user's handler; `None` without one.
    pub handler: Option<String>,
    /// Start of the load.
    pub start: Time,
    /// End of the load, or its progress.
    pub until: Time,
    /// The measured window; stages may have ended it early.
    pub measured: (Time, Time),
    /// The run's clock; `None` before the run has one.
    pub clock: Option<Clock>,
    /// Ages, at the end of the run, of the records due in the measured window that were not processed.
    pub unprocessed: Option<Latencies>,
    /// Milliseconds from the start of the consumers until the last one was ready.
    pub startup_ms: Option<f64>,
    /// Consumers that became ready.
    pub consumers_started: u32,
    /// Restarts by consumer.
    pub restarts: BTreeMap<u32, u32>,
    /// Consumers given up, with the reason.
    pub given_up: BTreeMap<u32, String>,
    /// Threads of given-up incarnations that have not ended in time.
    pub abandoned: u32,
    /// Progress and findings of the simulation, if it is one.
    pub simulation: Option<Simulation>,
    /// The end of the run; [`Ended::NotYet`] while it continues.
    pub ended: Ended,
    /// The counts of requests, if the clients that carry the load make them.
    pub requests: Option<Arc<RequestLog>>,
    /// Warnings for the reader, in addition to those that the measurements lead to.
    pub warnings: Vec<String>,
}

/// Makes the summary, with its verdict.
pub fn assemble(
    plan: &Plan,
    facts: &RunFacts,
    measurements: &Measurements,
    collector: &Collector,
) -> Summary {
    let summary = gather(plan, facts, measurements, collector);
    let load_seconds =
        Rates::of(plan, facts.start, facts.measured, measurements, collector).load_seconds;
    judged(plan, facts.ended, summary, blocked_share(measurements, load_seconds))
}

/// All figures, without expectations and verdict.
pub(super) fn gather(
    plan: &Plan,
    facts: &RunFacts,
    measurements: &Measurements,
    collector: &Collector,
) -> Summary {
    let journal = measurements.journal.since(0);
    let rates = Rates::of(plan, facts.start, facts.measured, measurements, collector);
    let ledgers = match facts.ended {
        Ended::NotYet => measurements.ledgers_so_far(),
        Ended::InOrder | Ended::Interrupted => measurements.ledgers(),
    };
    let partitions = partitions(plan, facts, measurements, collector, &ledgers, &rates);
    let mut ledger = Ledger::default();
    ledgers.iter().for_each(|account| ledger.merge(account));
    let cells = || measurements.cells.iter().map(|cell| cell.lock());
    let load_seconds = rates.load_seconds;
    let mut not_measured = not_measured(plan);
    let (figures, reasons) = measurements.noted();
    not_measured.extend(reasons);
    not_measured.extend(no_leaders(plan, &partitions));
    let sending = sent(plan, facts, &mut not_measured);
    Summary {
        load_started_at: facts.clock.and_then(|clock| clock.wall_clock(facts.start)),
        epoch_to_load_s: facts.start.as_secs_f64(),
        planned_load_s: plan.times.load_end().as_secs_f64(),
        load_lasted_s: facts.until.since_ns(facts.start).max(0) as f64 / 1e9,
        duration_s: rates.seconds,
        offered: rates.offered,
        offered_sent: rates.offered_sent,
        offered_per_s: rates.offered.map(|offered| offered as f64 / rates.seconds),
        offered_bytes_per_s: rates
            .offered
            .map(|offered| offered as f64 * f64::from(plan.load.payload_bytes) / rates.seconds),
        achieved_per_s: rates.achieved_per_s,
        achieved_bytes_per_s: rates.achieved_bytes_per_s,
        send_errors: send_errors(measurements),
        overloaded: overloaded(plan, measurements, collector, &ledgers, &rates),
        not_processed: not_processed(&rates, collector),
        withheld: measurements.pools.iter().map(|pool| pool.lock().withheld).sum(),
        bottleneck: bottleneck(plan, measurements, load_seconds),
        consumers_started: facts.consumers_started,
        wrong_partition: cells().map(|cell| cell.wrong_partition).sum::<u64>()
            + measurements.strays.load(Ordering::Relaxed),
        two_owners: cells().map(|cell| cell.two_owners).sum(),
        restarts: facts.restarts.values().sum(),
        given_up: facts.given_up.clone(),
        abandoned_threads: facts.abandoned,
        fenced: cells().map(|cell| cell.fenced).sum(),
        lane_gaps_max: cells().map(|cell| cell.lane_gaps_max as u64).max().unwrap_or(0),
        startup_ms: facts.startup_ms,
        latency_us: latency(facts.unprocessed.as_ref(), collector, &not_measured),
        not_measured,
        requests: facts.requests.as_ref().map(|log| log.summary(facts.measured.1)),
        sending,
        figures,
        lateness_us: lateness(plan, collector),
        ledger,
        fairness: fairness(&partitions),
        backlog: backlog(measurements, &ledgers, facts.start),
        stages: stages(plan, (facts.start, facts.until), measurements, &collector.stages),
        partitions,
        wrong_records: wrong_records(measurements, &ledgers),
        slowest_records: slowest_of_run(measurements, (facts.clock, facts.start)),
        growth: growth(measurements, facts.start),
        rebalances: rebalances(&journal, plan.topic.partitions, facts.start, are_static(plan)),
        outages: outages(&journal, facts.start),
        faults: fault_summaries(plan, facts.start, measurements, &journal),
        failures: failures(measurements, facts.start),
        unexpected_redelivered: cells().map(|cell| cell.unexpected_redelivered).sum(),
        offset_gaps: cells().map(|cell| cell.offset_gaps).sum(),
        simulation: facts.simulation.clone(),
        cost: collector.cost.cost(load_seconds, facts.host.cpus()),
        warnings: facts.warnings.clone(),
        ..identity(plan, facts, measurements)
    }
}

/// The settings and batches of sending; `None` if the run sends nothing.
fn sent(
    plan: &Plan,
    facts: &RunFacts,
    not_measured: &mut BTreeMap<String, String>,
) -> Option<Sending> {
    let settings = facts.sending.as_ref().filter(|_| plan.load.sends())?;
    let is_simulated = facts.simulation.is_some();
    Some(sending(settings, facts.requests.as_deref(), is_simulated, not_measured))
}

/// Scenario, broker, client and machine; all figures are empty.
fn identity(plan: &Plan, facts: &RunFacts, measurements: &Measurements) -> Summary {
    Summary {
        schema_version: SCHEMA_VERSION,
        lanekeeper_version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: plan.name.clone(),
        overrides: plan.overrides.clone(),
        mode: plan.mode().to_owned(),
        members: if plan.group().is_some() {
            plan.members()
        } else {
            measurements.cells.len() as u32
        },
        handler: facts.handler.clone(),
        seed: plan.seed.0,
        run_id: facts.run.map(|run| run.to_string()).unwrap_or_default(),
        broker: plan.broker.kind().to_string(),
        broker_version: facts.broker_version.clone(),
        client: facts.client.clone(),
        client_config: facts.client_config.clone(),
        host: facts.host.clone(),
        topic: facts.topic.clone(),
        resumed: facts.resumed.clone(),
        ..Summary::default()
    }
}

/// Adds the conclusions from the figures: expectations, reasons for which the run is invalid, verdict.
pub(super) fn judged(
    plan: &Plan,
    ended: Ended,
    mut summary: Summary,
    blocked_share: f64,
) -> Summary {
    let paced = plan.load.pace != Pace::Max;
    if paced && ended != Ended::NotYet && summary.measured_something() {
        summary.keeps_up =
            Some(summary.overloaded.is_empty() && takes_what_is_due(plan, &summary, blocked_share));
    }
    summary.expectations = evaluate(&plan.expectations, &summary, ended == Ended::Interrupted);
    // In a running run, a rate that is too low so far may still be reached.
    if ended != Ended::NotYet {
        summary.invalid_reasons = invalid_reasons(&summary, plan, blocked_share);
        summary.warnings.extend(late_sends(&summary, plan));
    }
    summary.verdict = verdict(plan, &summary, ended);
    summary
}

/// True if the cluster takes the records that are due. Records that the load generator itself did not send say nothing
/// about that.
fn takes_what_is_due(plan: &Plan, summary: &Summary, blocked_share: f64) -> bool {
    shortfall(summary, &plan.limits).is_none() || blocked_share < BLOCKED_MAX
}

/// The share of the load during which pools waited for their client's queue.
pub(super) fn blocked_share(measurements: &Measurements, load_seconds: f64) -> f64 {
    let blocked = measurements.pools.iter().map(|pool| pool.lock().blocked_by_client.as_secs_f64());
    blocked.sum::<f64>() / (load_seconds * measurements.pools.len() as f64).max(1e-9)
}

fn send_errors(measurements: &Measurements) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for pool in &measurements.pools {
        for (name, times) in &pool.lock().errors {
            *all.entry(name.clone()).or_default() += times;
        }
    }
    all
}

/// Records due in the measured window that were not processed.
fn not_processed(rates: &Rates, collector: &Collector) -> u64 {
    let processed: u64 = collector.partitions.iter().map(|p| p.shard.response.count()).sum();
    rates.offered.unwrap_or(rates.sent_in_window).saturating_sub(processed)
}

/// Partitions whose consumers are slower than what is sent to them.
fn overloaded(
    plan: &Plan,
    measurements: &Measurements,
    collector: &Collector,
    ledgers: &[Ledger],
    rates: &Rates,
) -> Vec<Overload> {
    if plan.load.pace == Pace::Max {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (id, (totals, ledger)) in collector.partitions.iter().zip(ledgers).enumerate() {
        let sent: u64 = measurements
            .pools
            .iter()
            .map(|pool| pool.lock().sides().get(id).map_or(0, super::Side::sent_in_quarter))
            .sum();
        let never = ledger.sent.saturating_sub(ledger.delivered + ledger.unread);
        let cell = measurements.cells[id].lock();
        // A consumer that a failure has stopped is not too slow. Its recovery shows what happened.
        let is_stopped = cell.keep_up.processed.growth(cell.delivered()) == 0
            && cell.recoveries.iter().any(|mark| mark.recovered.is_none());
        if is_stopped || cell.keep_up.holds(sent, cell.delivered(), never) {
            continue;
        }
        let handling_ms = totals.times.handling.mean_us().map(|us| us / 1e3).filter(|ms| *ms > 0.0);
        let offered_per_s = rates.offered_of(id).unwrap_or(0.0);
        found.push(Overload {
            partition: id as u32,
            consumer: cell.owners().last().map(|last| last.owner.consumer.0),
            offered_per_s,
            handling_ms,
            consumers_needed: handling_ms.map(|ms| offered_per_s * ms / 1e3),
        });
    }
    found
}

fn are_static(plan: &Plan) -> bool {
    plan.group().is_some_and(|group| group.identity == Identity::Static)
}

fn verdict(plan: &Plan, summary: &Summary, ended: Ended) -> Verdict {
    let is_proven = || {
        let both = summary.expectations.iter().zip(&plan.expectations);
        both.filter(|(measured, _)| !measured.passed).any(|(_, its)| its.figure.metric.is_proof)
    };
    if ended == Ended::NotYet {
        Verdict::CutOff
    } else if ended == Ended::Interrupted {
        Verdict::Interrupted
    } else if !summary.given_up.is_empty()
        || summary.abandoned_threads > plan.watch.abandoned_max
        || is_proven()
    {
        // The load generator caused neither the loss nor the failure of a consumer.
        Verdict::Failed
    } else if !summary.invalid_reasons.is_empty() {
        Verdict::Invalid
    } else if summary.expectations.iter().all(|e| e.passed) {
        Verdict::Passed
    } else {
        Verdict::Failed
    }
}

fn growth(measurements: &Measurements, start: Time) -> Vec<Growth> {
    let step = |(at, ids): (Time, std::ops::Range<u32>)| Growth {
        at_s: at.since_ns(start) as f64 / 1e9,
        from: ids.start,
        to: ids.end,
    };
    growths(measurements.growth()).into_iter().map(step).collect()
}

fn lateness(plan: &Plan, collector: &Collector) -> Digest {
    if plan.load.pace == Pace::Max {
        return Digest::default();
    }
    collector.sends.lateness.digest()
}

fn partitions(
    plan: &Plan,
    facts: &RunFacts,
    measurements: &Measurements,
    collector: &Collector,
    ledgers: &[Ledger],
    rates: &Rates,
) -> Vec<PartitionSummary> {
    let all: u64 = collector.partitions.iter().map(|p| p.shard.delivered).sum();
    let memory = collector.cost.cost(1.0, 1.0).rss_max_bytes;
    let growth = measurements.growth();
    let acks = ack_times(plan, measurements);
    let partition = |(id, totals): (usize, &PartitionTotals)| {
        let added = growth.iter().find(|(_, ids)| ids.contains(&(id as u32))).map(|(at, _)| *at);
        let before = added.map_or(0, |at| at.since_ns(facts.measured.0).max(0)) as f64 / 1e9;
        let cell = measurements.cells[id].lock();
        let owners = owners(&cell, facts.start);
        let consumer = owners.last().map(|owner| owner.consumer);
        let share = totals.shard.delivered as f64 / all.max(1) as f64;
        let (cpu_s, cpu_is_shared) = cpu(plan, consumer, share, collector);
        let mut apportioned = vec!["memory_bytes".to_owned()];
        if cpu_is_shared {
            apportioned.push("cpu_s".to_owned());
        }
        // The time of a partition that was added later is shorter.
        let seconds = (rates.seconds - before).max(1e-9);
        let is_max = plan.load.pace == Pace::Max;
        let (processed, bytes) = match is_max {
            true => (totals.shard.delivered, totals.shard.bytes),
            false => (totals.shard.processed_in_window, totals.shard.bytes_in_window),
        };
        PartitionSummary {
            partition: id as u32,
            added_s: added.map(|at| at.since_ns(facts.start) as f64 / 1e9),
            consumer,
            restarts: consumer.and_then(|id| facts.restarts.get(&id).copied()).unwrap_or(0),
            owners,
            delivered: totals.shard.response.count(),
            offered_per_s: rates.due.get(id).map(|due| *due as f64 / seconds),
            processed_per_s: processed as f64 / seconds,
            processed_bytes_per_s: bytes as f64 / seconds,
            rate_cv: totals.rates.variation(),
            latency_us: PartitionLatency {
                response: totals.shard.response.digest(),
                service: totals.shard.service.digest(),
            },
            lag_max: cell.lag.max,
            longest_stall_ms: cell
                .watch()
                .map_or(0.0, |watch| watch.longest_stall_ns(facts.measured.1) as f64 / 1e6),
            time: time_parts(&totals.times, acks.get(id)),
            leadership: measurements.leadership(id, facts.start),
            slowest: slowest_of_partition(id, cell.slowest.records(), (facts.clock, facts.start)),
            cpu_s,
            memory_bytes: memory.map(|bytes| bytes / collector.partitions.len() as u64),
            apportioned,
            ledger: ledgers[id],
        }
    };
    collector.partitions.iter().enumerate().map(partition).collect()
}

/// CPU seconds of the thread that processed a partition's records. The client's own threads are not included, because
/// the operating system does not tell them apart. True if the value is a share of a thread with several partitions.
fn cpu(
    plan: &Plan,
    consumer: Option<u32>,
    share: f64,
    collector: &Collector,
) -> (Option<f64>, bool) {
    let known = |cpu_s: f64| (cpu_s > 0.0).then_some(cpu_s);
    let shared_client =
        plan.consumers.membership == Membership::Assigned { clients: ClientTopology::Shared };
    if shared_client {
        return (known(collector.cost.thread_cpu_s("consumers") * share), true);
    }
    let name = consumer.map(|id| format!("consumer-{id}")).unwrap_or_default();
    let cpu_s = collector.cost.thread_cpu_s(&name);
    if plan.group().is_none() {
        return (known(cpu_s), false);
    }
    // The thread of a member is divided equally among its partitions.
    let per_member = collector.partitions.len() as f64 / f64::from(plan.members());
    (known(cpu_s / per_member), true)
}

fn owners(cell: &CellState, start: Time) -> Vec<OwnerSummary> {
    let seconds = |at: Time| at.since_ns(start) as f64 / 1e9;
    cell.owners()
        .iter()
        .map(|ownership| OwnerSummary {
            consumer: ownership.owner.consumer.0,
            start: ownership.owner.incarnation.0,
            from_s: seconds(ownership.from),
            to_s: ownership.to.map(seconds),
        })
        .collect()
}

fn fairness(partitions: &[PartitionSummary]) -> Fairness {
    let rates: Moments = partitions.iter().map(|p| p.processed_per_s).collect();
    let p99 = |p: &PartitionSummary| p.latency_us.response.p99;
    let worst = partitions.iter().filter_map(|p| Some((p.partition, p99(p)?)));
    let worst = worst.max_by(|a, b| a.1.total_cmp(&b.1));
    let middle = median(partitions.iter().filter_map(p99).collect()).filter(|p99| *p99 > 0.0);
    Fairness {
        rate_cv: rates.variation(),
        p99_max_over_median: worst.zip(middle).map(|((_, p99), median)| p99 / median),
        worst_partition: worst.map(|(partition, _)| partition),
    }
}

/// The bottleneck at maximum rate: the side that waited least. If pools waited for consumers, it is the consumers. If
/// pools waited for room in the client's queue, it is the broker, with the client's connection to it. Otherwise it is
/// the pools.
fn bottleneck(plan: &Plan, measurements: &Measurements, seconds: f64) -> Option<String> {
    if plan.load.pace != Pace::Max {
        return None;
    }
    let (mut by_client, mut by_consumers) = (0.0, 0.0);
    for pool in &measurements.pools {
        let pool = pool.lock();
        by_client += pool.blocked_by_client.as_secs_f64();
        by_consumers += pool.blocked_by_consumers.as_secs_f64();
    }
    let last_sent = measurements.pools.iter().filter_map(|pool| pool.lock().last_sent).max();
    let last_done = measurements.cells.iter().filter_map(|cell| cell.lock().last_done).max();
    let tail =
        last_sent.zip(last_done).map_or(0.0, |(sent, done)| done.since_ns(sent) as f64 / 1e9);
    let worth_naming = 0.1 * seconds * measurements.pools.len() as f64;
    let side = if by_consumers > worth_naming && by_consumers > by_client || tail > 0.25 * seconds {
        "consumers"
    } else if by_client > worth_naming {
        "broker"
    } else {
        "producer"
    };
    Some(side.to_owned())
}

#[cfg(test)]
mod tests;

//! Puts a run's measurements together into its summary.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::growth::growths;
use super::{
    CellState, Collector, Digest, Fairness, Growth, Host, Ledger, Moments, OwnerSummary,
    PartitionLatency, PartitionSummary, PartitionTotals, Resumed, RunLatency, SCHEMA_VERSION,
    Scoreboard, Simulation, Summary, Verdict, evaluate, failures, fault_summaries, invalid_reasons,
    median, outages, rebalances,
};
use crate::base::{RunId, Time};
use crate::plan::{ClientTopology, Identity, Membership, Pace, Plan};

/// How far a run has come when its summary is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// It has run to its end.
    #[default]
    InOrder,
    /// The user has stopped it.
    Interrupted,
    /// It still goes on: the summary is what would be known if it were cut off now.
    NotYet,
}

/// What the run's wiring knows and the measurements do not.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Tells this run's records from others.
    pub run: Option<RunId>,
    /// The topic's name.
    pub topic: String,
    /// Where the run went on, if it did not begin anew.
    pub resumed: Option<Resumed>,
    /// What is known about the broker's version.
    pub broker_version: Option<String>,
    /// The client library and its version.
    pub client: String,
    /// Effective client properties.
    pub client_config: BTreeMap<String, String>,
    /// The machine.
    pub host: Host,
    /// The user's handler, if there is one.
    pub handler: Option<String>,
    /// Start of the load.
    pub start: Time,
    /// The measured window, as it was in the end.
    pub measured: (Time, Time),
    /// Start of the load on the wall clock.
    pub started_at: Option<String>,
    /// From start-up to the last consumer ready.
    pub startup_ms: Option<f64>,
    /// Consumers that became ready.
    pub consumers_started: u32,
    /// Restarts by consumer.
    pub restarts: BTreeMap<u32, u32>,
    /// Consumers given up, with the reason.
    pub given_up: BTreeMap<u32, String>,
    /// Threads of given-up incarnations that have not ended in time.
    pub abandoned: u32,
    /// How far the simulation is, if it is one.
    pub simulation: Option<Simulation>,
    /// How the run has ended, if it has.
    pub ended: Ended,
    /// What a reader should know, beyond what the measurements show.
    pub warnings: Vec<String>,
}

/// Puts everything together.
pub fn assemble(plan: &Plan, facts: &Facts, board: &Scoreboard, collector: &Collector) -> Summary {
    let journal = board.journal.since(0);
    let rates = Rates::of(plan, facts, board, collector);
    let ledgers = match facts.ended {
        Ended::NotYet => board.ledgers_so_far(),
        Ended::InOrder | Ended::Interrupted => board.ledgers(),
    };
    let partitions = partitions(plan, facts, board, collector, &ledgers, rates.seconds);
    let mut ledger = Ledger::default();
    ledgers.iter().for_each(|account| ledger.merge(account));
    let cells = || board.cells.iter().map(|cell| cell.lock());
    let load_seconds = rates.load_seconds;
    let summary = Summary {
        schema_version: SCHEMA_VERSION,
        lanekeeper_version: env!("CARGO_PKG_VERSION").to_owned(),
        verdict: Verdict::Passed,
        invalid_reasons: Vec::new(),
        scenario: plan.name.clone(),
        overrides: plan.overrides.clone(),
        mode: plan.mode().to_owned(),
        members: if plan.group().is_some() { plan.members() } else { board.cells.len() as u32 },
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
        started_at: facts.started_at.clone(),
        duration_s: rates.seconds,
        offered_per_s: plan.offered_per_s(),
        achieved_per_s: rates.achieved_per_s,
        withheld: board.pools.iter().map(|pool| pool.lock().withheld).sum(),
        bottleneck: bottleneck(plan, board, load_seconds),
        consumers_started: facts.consumers_started,
        wrong_partition: cells().map(|cell| cell.wrong_partition).sum::<u64>()
            + board.strays.load(Ordering::Relaxed),
        two_owners: cells().map(|cell| cell.two_owners).sum(),
        restarts: facts.restarts.values().sum(),
        given_up: facts.given_up.clone(),
        abandoned_threads: facts.abandoned,
        fenced: cells().map(|cell| cell.fenced).sum(),
        lane_gaps_max: cells().map(|cell| cell.lane_gaps_max as u64).max().unwrap_or(0),
        startup_ms: facts.startup_ms,
        latency_us: latency(board, collector),
        lateness_us: lateness(plan, board),
        ledger,
        fairness: fairness(&partitions),
        partitions,
        growth: growth(board, facts.start),
        rebalances: rebalances(&journal, plan.topic.partitions, facts.start, are_static(plan)),
        outages: outages(&journal, facts.start),
        faults: fault_summaries(plan, facts.start, board, collector, &journal),
        failures: failures(board, facts.start),
        unexplained: cells().map(|cell| cell.unexplained).sum(),
        offset_gaps: cells().map(|cell| cell.offset_gaps).sum(),
        expectations: Vec::new(),
        simulation: facts.simulation.clone(),
        cost: collector.cost.cost(load_seconds, facts.host.cores.max(1)),
        warnings: facts.warnings.clone(),
    };
    judged(plan, facts.ended, summary)
}

/// The summary with what its figures mean: expectations, self-doubt, verdict.
fn judged(plan: &Plan, ended: Ended, mut summary: Summary) -> Summary {
    summary.expectations = evaluate(&plan.expectations, &summary);
    // A run that goes on may still make good for a bad second.
    if ended != Ended::NotYet {
        let paced = plan.load.pace != Pace::Max;
        summary.invalid_reasons = invalid_reasons(&summary, &plan.limits, paced);
    }
    summary.verdict = verdict(&summary, ended, plan.watch.abandoned_max);
    summary
}

fn are_static(plan: &Plan) -> bool {
    plan.group().is_some_and(|group| group.identity == Identity::Static)
}

fn verdict(summary: &Summary, ended: Ended, abandoned_max: u32) -> Verdict {
    if ended == Ended::NotYet {
        Verdict::CutOff
    } else if ended == Ended::Interrupted {
        Verdict::Interrupted
    } else if !summary.given_up.is_empty() || summary.abandoned_threads > abandoned_max {
        // Whoever stands still keeps a run from its rate, too: that is not the tester's fault.
        Verdict::Failed
    } else if !summary.invalid_reasons.is_empty() {
        Verdict::Invalid
    } else if summary.expectations.iter().all(|e| e.passed) {
        Verdict::Passed
    } else {
        Verdict::Failed
    }
}

/// Over which time rates are taken.
struct Rates {
    /// Length of the measured window, or at maximum rate of the whole transfer.
    seconds: f64,
    /// From the start of the load to the last record processed.
    load_seconds: f64,
    achieved_per_s: f64,
}

impl Rates {
    fn of(plan: &Plan, facts: &Facts, board: &Scoreboard, collector: &Collector) -> Rates {
        let first_sent = board.pools.iter().filter_map(|pool| pool.lock().first_sent).min();
        let last_done = board.cells.iter().filter_map(|cell| cell.lock().last_done).max();
        let span = |from: Time, to: Time| to.since_ns(from).max(1) as f64 / 1e9;
        let begin = first_sent.unwrap_or(facts.start);
        let load_seconds = span(facts.start, last_done.unwrap_or(facts.measured.1));
        if plan.load.pace == Pace::Max {
            let seconds = span(begin, last_done.unwrap_or(begin));
            let delivered: u64 = collector.partitions.iter().map(|p| p.shard.delivered).sum();
            return Rates { seconds, load_seconds, achieved_per_s: delivered as f64 / seconds };
        }
        let seconds = span(facts.measured.0, facts.measured.1);
        let processed: u64 = collector.partitions.iter().map(|p| p.shard.processed_in_window).sum();
        Rates { seconds, load_seconds, achieved_per_s: processed as f64 / seconds }
    }
}

fn growth(board: &Scoreboard, start: Time) -> Vec<Growth> {
    let step = |(at, ids): (Time, std::ops::Range<u32>)| Growth {
        at_s: at.since_ns(start) as f64 / 1e9,
        from: ids.start,
        to: ids.end,
    };
    growths(board.growth()).into_iter().map(step).collect()
}

fn latency(board: &Scoreboard, collector: &Collector) -> RunLatency {
    let mut ack = super::Latencies::default();
    board.pools.iter().for_each(|pool| ack.merge(&pool.lock().ack));
    RunLatency {
        response: collector.merged(|shard| &shard.response, 3).digest(),
        service: collector.merged(|shard| &shard.service, 3).digest(),
        ack: ack.digest(),
        arrival: collector.merged(|shard| &shard.arrival, 2).digest(),
        handling: collector.merged(|shard| &shard.handling, 2).digest(),
    }
}

fn lateness(plan: &Plan, board: &Scoreboard) -> Digest {
    if plan.load.pace == Pace::Max {
        return Digest::default();
    }
    let mut lateness = super::Latencies::default();
    board.pools.iter().for_each(|pool| lateness.merge(&pool.lock().lateness));
    lateness.digest()
}

fn partitions(
    plan: &Plan,
    facts: &Facts,
    board: &Scoreboard,
    collector: &Collector,
    ledgers: &[Ledger],
    seconds: f64,
) -> Vec<PartitionSummary> {
    let all: u64 = collector.partitions.iter().map(|p| p.shard.delivered).sum();
    let memory = collector.cost.cost(1.0, 1).rss_max_bytes;
    let growth = board.growth();
    let partition = |(id, totals): (usize, &PartitionTotals)| {
        let added = growth.iter().find(|(_, ids)| ids.contains(&(id as u32))).map(|(at, _)| *at);
        let before = added.map_or(0, |at| at.since_ns(facts.measured.0).max(0)) as f64 / 1e9;
        let cell = board.cells[id].lock();
        let owners = owners(&cell, facts.start);
        let consumer = owners.last().map(|owner| owner.consumer);
        let share = totals.shard.delivered as f64 / all.max(1) as f64;
        let (cpu_s, cpu_is_shared) = cpu(plan, consumer, share, collector);
        let mut apportioned = vec!["memory_bytes".to_owned()];
        if cpu_is_shared {
            apportioned.push("cpu_s".to_owned());
        }
        let delivered = totals.shard.response.count();
        PartitionSummary {
            partition: id as u32,
            added_s: added.map(|at| at.since_ns(facts.start) as f64 / 1e9),
            consumer,
            restarts: consumer.and_then(|id| facts.restarts.get(&id).copied()).unwrap_or(0),
            owners,
            delivered,
            rate_per_s: delivered as f64 / (seconds - before).max(1e-9),
            rate_cv: totals.rates.variation(),
            latency_us: PartitionLatency {
                response: totals.shard.response.digest(),
                service: totals.shard.service.digest(),
            },
            lag_max: cell.lag.max,
            longest_pause_ms: cell
                .pauses
                .until(facts.measured.1)
                .windows()
                .first()
                .map_or(0.0, |w| w.longest_ns as f64 / 1e6),
            cpu_s,
            memory_bytes: memory.map(|bytes| bytes / collector.partitions.len() as u64),
            apportioned,
            ledger: ledgers[id],
        }
    };
    collector.partitions.iter().enumerate().map(partition).collect()
}

/// CPU seconds of the thread that processed a partition's records; its client's own threads are not in it,
/// because the system does not tell them apart. True when it is a share of a thread with several partitions.
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
    // A member's thread works for all its partitions alike.
    let per_member = collector.partitions.len() as f64 / f64::from(plan.members());
    (known(cpu_s / per_member), true)
}

fn owners(cell: &CellState, start: Time) -> Vec<OwnerSummary> {
    let seconds = |at: Time| at.since_ns(start) as f64 / 1e9;
    cell.owners()
        .iter()
        .map(|ownership| OwnerSummary {
            consumer: ownership.owner.consumer.0,
            incarnation: ownership.owner.incarnation.0,
            from_s: seconds(ownership.from),
            to_s: ownership.to.map(seconds),
        })
        .collect()
}

fn fairness(partitions: &[PartitionSummary]) -> Fairness {
    let rates: Moments = partitions.iter().map(|p| p.rate_per_s).collect();
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

/// At maximum rate: the side that waited least. When pools waited for consumers, the consumers were it; when
/// they waited for room in the client's queue, the broker (and the client's way to it); else the pools.
fn bottleneck(plan: &Plan, board: &Scoreboard, seconds: f64) -> Option<String> {
    if plan.load.pace != Pace::Max {
        return None;
    }
    let (mut by_client, mut by_consumers) = (0.0, 0.0);
    for pool in &board.pools {
        let pool = pool.lock();
        by_client += pool.blocked_by_client.as_secs_f64();
        by_consumers += pool.blocked_by_consumers.as_secs_f64();
    }
    let last_sent = board.pools.iter().filter_map(|pool| pool.lock().last_sent).max();
    let last_done = board.cells.iter().filter_map(|cell| cell.lock().last_done).max();
    let tail =
        last_sent.zip(last_done).map_or(0.0, |(sent, done)| done.since_ns(sent) as f64 / 1e9);
    let worth_naming = 0.1 * seconds * board.pools.len() as f64;
    let side = if by_consumers > worth_naming && by_consumers > by_client || tail > 0.25 * seconds {
        "consumers"
    } else if by_client > worth_naming {
        "broker"
    } else {
        "producer"
    };
    Some(side.to_owned())
}

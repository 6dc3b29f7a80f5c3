//! Expectations and validity. A run is invalid if the load generator itself failed to do something, so that the figures
//! are not reliable.
//!
//! Rates and latency of a run, and the figures that cannot be measured correctly. Such a figure is left out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::buckets::buckets;
use super::{Collector, Latencies, Measurements, Shard};
use crate::base::{Time, format_count, format_cpus, format_duration};
use crate::plan::{Acks, Expectation, Limits, Pace, Plan, ProducerClients};
use crate::summary::{
    ExpectationSummary, Figure, METRICS, Need, Part, RunLatency, Scope, Summary, Unit,
};

/// Compares every expectation with the summary. In an interrupted run, figures that were not reached are not judged.
pub fn evaluate(
    expectations: &[Expectation],
    summary: &Summary,
    interrupted: bool,
) -> Vec<ExpectationSummary> {
    let one = |expectation: &Expectation| evaluate_one(expectation, summary, interrupted);
    expectations.iter().map(one).collect()
}

fn evaluate_one(
    expectation: &Expectation,
    summary: &Summary,
    interrupted: bool,
) -> ExpectationSummary {
    let figure = expectation.figure;
    let unit = figure.metric.unit;
    let worst = figure.values(summary).into_iter().max_by(|a, b| {
        let badness = |value: Option<f64>| {
            value.map_or(f64::INFINITY, |value| expectation.comparison.badness(value))
        };
        badness(a.1).total_cmp(&badness(b.1))
    });
    let value = worst.and_then(|(_, value)| value);
    let passed = value.is_some_and(|value| expectation.comparison.holds(value));
    let reason = || match value {
        Some(_) => (figure.metric.cause)(summary),
        None => Some(why_unmeasured(figure, summary)),
    };
    ExpectationSummary {
        expression: expectation.expression.clone(),
        measured: value.map(|value| if unit == Unit::Time { value / 1e6 } else { value }),
        unit: unit.to_string(),
        text: value.map(|value| readable(unit, value)),
        reason: (!passed).then(reason).flatten(),
        partition: worst.and_then(|(partition, _)| partition),
        passed,
        // A flag is about the whole run, so a part of a run does not decide it.
        judged: !interrupted || (value.is_some() && unit != Unit::Flag),
        is_default: expectation.is_default,
    }
}

fn readable(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Flag => (value > 0.0).to_string(),
        Unit::Time => format_duration(Duration::from_nanos(value.max(0.0) as u64)),
        _ if value.fract() == 0.0 && value >= 0.0 => format_count(value as u64),
        _ => format!("{value:.3}"),
    }
}

/// The reason why a figure has no value.
fn why_unmeasured(figure: Figure, summary: &Summary) -> String {
    if let Scope::Fault(index) = figure.scope {
        let its = || summary.faults.iter().filter(|fault| fault.fault == index);
        if its().all(|fault| fault.at_s.is_none()) {
            return "the fault was not reached".to_owned();
        }
        let open = its().find(|fault| !fault.not_recovered.is_empty());
        let worst = open.and_then(|open| Some((open.not_recovered.len(), open.worst_partition?)));
        return match worst.filter(|_| figure.metric.name == "recovery") {
            Some((1, worst)) => format!("not within the run: partition {worst}"),
            Some((count, worst)) => {
                format!("not within the run: {count} partitions, worst {worst}")
            }
            None => "not measured".to_owned(),
        };
    }
    if let Scope::Stage(_) = figure.scope {
        return "the stage was not reached, or no record was due in it".to_owned();
    }
    match summary.not_measured.get(&figure.metric.place()) {
        Some(reason) => format!("not measured: {reason}"),
        None => "not measured".to_owned(),
    }
}

/// The reasons why a run's figures are not reliable, each with a remedy. Only failures of the load generator count. A
/// simulation has none of them. Records that the cluster did not take or consumers did not process are a finding.
/// `blocked_share` is the share of the load in which pools waited for the cluster to take records.
pub fn invalid_reasons(summary: &Summary, plan: &Plan, blocked_share: f64) -> Vec<String> {
    let limits = &plan.limits;
    let mut reasons = Vec::new();
    if plan.load.pace != Pace::Max && summary.simulation.is_none() {
        if blocked_share < BLOCKED_MAX {
            reasons.extend(not_sent(summary, limits));
        }
        if expects_times(plan) {
            reasons.extend(too_late(summary, limits));
        }
        reasons.extend(too_busy(summary, limits));
    }
    if summary.lane_gaps_max > limits.sequence_gaps as u64 {
        reasons.push(format!(
            "a producer had {} gaps on one partition at once, more than the {} the ledger keeps exactly; raise \
             `limits.sequence_gaps` or lower the load",
            summary.lane_gaps_max, limits.sequence_gaps
        ));
    }
    reasons.extend(shares_lacking(summary, plan));
    reasons
}

/// The reasons why the processes of a run have not measured it together.
fn shares_lacking(summary: &Summary, plan: &Plan) -> Vec<String> {
    let Some(shares) = &summary.shares else { return Vec::new() };
    let mut reasons: Vec<String> = shares
        .lost()
        .map(|lost| {
            format!(
                "share {} of {} was lost: {}; its {} partitions are not covered; run all shares again",
                lost.share,
                shares.count,
                lost.reason.as_deref().unwrap_or("its part is missing"),
                lost.partitions.len()
            )
        })
        .collect();
    if reasons.is_empty() && !shares.not_covered.is_empty() {
        reasons.push(format!(
            "of {} partitions it is not known where their consumers came to, because shares ended at different times; run \
             all shares again",
            shares.not_covered.len()
        ));
    }
    let bound_us = shares.clock_bound_us.filter(|_| expects_times(plan));
    let p50_us = summary.latency_us.response.p50;
    if let (Some(bound), Some(p50)) = (bound_us, p50_us)
        && shares.clocks > 1
        && bound > p50
    {
        reasons.push(format!(
            "the clocks of the machines are known to {} only, and the response time's p50 is {}; keep their clocks in \
             step, expect no times, or run all shares on one machine",
            format_duration(Duration::from_nanos((bound * 1e3) as u64)),
            format_duration(Duration::from_nanos((p50 * 1e3) as u64))
        ));
    }
    reasons
}

/// A warning about late sends, for a run that is not judged by them because no expectation names a time.
pub fn late_sends(summary: &Summary, plan: &Plan) -> Option<String> {
    let is_judged = expects_times(plan) || summary.simulation.is_some();
    if is_judged || plan.load.pace == Pace::Max {
        return None;
    }
    too_late(summary, &plan.limits)
        .map(|reason| format!("{reason}; no expectation names a time, so the run is valid"))
}

/// Share of the load in which pools wait for the cluster. Beyond it, records are unsent because of the cluster.
pub(super) const BLOCKED_MAX: f64 = 0.01;

/// True if an expectation of the scenario names a time.
fn expects_times(plan: &Plan) -> bool {
    plan.expectations.iter().any(|expectation| expectation.figure.is_time())
}

/// The share of the due records that were sent, and the number of due records, if the share is below the limit. Records
/// that a fault withheld count as sent.
pub(super) fn shortfall(summary: &Summary, limits: &Limits) -> Option<(f64, u64)> {
    let (offered, sent) = (summary.offered?, summary.offered_sent?);
    if !summary.measured_something() || offered == 0 {
        return None;
    }
    let share = (sent + summary.withheld).min(offered) as f64 / offered as f64;
    (share < limits.sent_min).then_some((share, offered))
}

fn not_sent(summary: &Summary, limits: &Limits) -> Option<String> {
    shortfall(summary, limits).map(|(share, offered)| {
        format!(
            "only {:.1} % of the {} records due were sent (at least {:.1} %); lower `load.rate`, or use a larger \
             machine",
            share * 100.0,
            format_count(offered),
            limits.sent_min * 100.0
        )
    })
}

fn too_late(summary: &Summary, limits: &Limits) -> Option<String> {
    let late_us = summary.lateness_us.p99?;
    let lateness = Duration::from_nanos((late_us * 1e3) as u64);
    if lateness <= limits.lateness_p99_max {
        return None;
    }
    let response_us = summary.latency_us.response.p50.filter(|us| *us > 0.0);
    let share = response_us.map(|us| late_us / us);
    if share.is_some_and(|share| share <= limits.lateness_share_max) {
        return None;
    }
    let compared = response_us.map_or(String::new(), |us| {
        let us = Duration::from_nanos((us * 1e3) as u64);
        format!(" where the response time's p50 is {}", format_duration(us))
    });
    Some(format!(
        "records were sent late: p99 {} behind schedule{compared}; use a quieter machine, more `load.pools`, or raise \
         `limits.lateness_p99` if late sends do not matter to you",
        format_duration(lateness),
    ))
}

fn too_busy(summary: &Summary, limits: &Limits) -> Option<String> {
    let share = summary.cost.cpu_share?;
    (share > limits.cpu_share_max).then(|| {
        format!(
            "this process used {:.0} % of the {} it may use (at most {:.0} %), so it measured itself; use a larger \
             machine or quota, `consumers.clients = \"shared\"`, or raise `limits.cpu_share`",
            share * 100.0,
            format_cpus(summary.host.cpus()),
            limits.cpu_share_max * 100.0
        )
    })
}

/// Rates, and the time over which they are measured.
pub(super) struct Rates {
    /// Length of the measured window, or at maximum rate of the whole transfer, in seconds.
    pub(super) seconds: f64,
    /// Seconds from the start of the load to the last record processed.
    pub(super) load_seconds: f64,
    /// Records processed per second.
    pub(super) achieved_per_s: f64,
    /// Payload bytes processed per second.
    pub(super) achieved_bytes_per_s: f64,
    /// Records due in the measured window; `None` without a schedule.
    pub(super) offered: Option<u64>,
    /// Of these, the records sent; `None` without a schedule.
    pub(super) offered_sent: Option<u64>,
    /// Records intended in the measured window that were sent.
    pub(super) sent_in_window: u64,
    /// Records due in the measured window by partition; empty without a schedule.
    pub(super) due: Vec<u64>,
}

impl Rates {
    /// The rates of the load that began at `start`, over the `measured` window; at maximum rate over the whole
    /// transfer.
    pub(super) fn of(
        plan: &Plan,
        start: Time,
        measured: (Time, Time),
        measurements: &Measurements,
        collector: &Collector,
    ) -> Rates {
        let first_sent = measurements.pools.iter().filter_map(|pool| pool.lock().first_sent).min();
        let last_done = measurements.cells.iter().filter_map(|cell| cell.lock().last_done).max();
        let span = |from: Time, to: Time| to.since_ns(from).max(1) as f64 / 1e9;
        let begin = first_sent.unwrap_or(start);
        let load_seconds = span(start, last_done.unwrap_or(measured.1));
        let sum = |of: fn(&Shard) -> u64| {
            collector.partitions.iter().map(|totals| of(&totals.shard)).sum::<u64>() as f64
        };
        let mut sent_in_window = 0;
        let mut due = vec![0; measurements.cells.len()];
        for pool in &measurements.pools {
            for (due, side) in due.iter_mut().zip(pool.lock().sides()) {
                sent_in_window += side.sent_in_window;
                *due += side.sent_in_window + side.unsent_in_window;
            }
        }
        if plan.load.pace == Pace::Max {
            let seconds = span(begin, last_done.unwrap_or(begin));
            return Rates {
                seconds,
                load_seconds,
                achieved_per_s: sum(|shard| shard.delivered) / seconds,
                achieved_bytes_per_s: sum(|shard| shard.bytes) / seconds,
                offered: None,
                offered_sent: None,
                sent_in_window,
                due: Vec::new(),
            };
        }
        let seconds = span(measured.0, measured.1);
        Rates {
            seconds,
            load_seconds,
            achieved_per_s: sum(|shard| shard.processed_in_window) / seconds,
            achieved_bytes_per_s: sum(|shard| shard.bytes_in_window) / seconds,
            offered: plan.load.sends().then(|| due.iter().sum()),
            offered_sent: plan.load.sends().then_some(sent_in_window),
            sent_in_window,
            due: if plan.load.sends() { due } else { Vec::new() },
        }
    }

    /// Records due per second in a partition; `None` without a schedule.
    pub(super) fn offered_of(&self, partition: usize) -> Option<f64> {
        self.due.get(partition).map(|due| *due as f64 / self.seconds)
    }
}

/// The latency of all partitions and pools. `unprocessed` has the ages of records that were not processed. Figures in
/// `not_measured` are left out.
pub(super) fn latency(
    unprocessed: Option<&Latencies>,
    collector: &Collector,
    not_measured: &BTreeMap<String, String>,
) -> RunLatency {
    let response = collector.merged(|shard| &shard.response);
    let with_unprocessed = unprocessed.map(|ages| {
        let mut all = response.clone();
        all.merge(ages);
        all.digest()
    });
    let parts = &collector.parts;
    let part = |part: Part, measured: &Latencies| {
        (!not_measured.contains_key(&part_figure(part))).then(|| measured.digest())
    };
    RunLatency {
        response: response.digest(),
        response_with_unprocessed: with_unprocessed,
        service: collector.merged(|shard| &shard.service).digest(),
        ack: (!not_measured.contains_key(ACK_FIGURE)).then(|| collector.sends.ack.digest()),
        fetch: part(Part::Fetch, &parts.fetch),
        waiting: part(Part::Waiting, &parts.waiting),
        handed_over: part(Part::HandedOver, &parts.handed_over),
        handling: parts.handling.digest(),
        response_buckets: buckets(&response),
    }
}

/// Place of the time from send to acknowledgement in `result.json`.
const ACK_FIGURE: &str = "latency_us.ack";

/// Figures that are `null`, by their place in `result.json`, each with the reason.
pub(super) fn not_measured(plan: &Plan) -> BTreeMap<String, String> {
    let ack = ack(plan).map(|reason| (ACK_FIGURE.to_owned(), reason.to_owned()));
    let client = plan.broker.client();
    let parts = Part::ALL.into_iter().filter_map(|part| {
        part.not_measured_by(client).map(|reason| (part_figure(part), reason.to_owned()))
    });
    let no_commits = plan.lacks(Need::Commits).map(|(why, _)| why);
    let committed = METRICS
        .iter()
        .filter(|metric| metric.needs == Need::Commits)
        .filter_map(|metric| Some((metric.place(), no_commits?.to_owned())));
    parts.chain(ack).chain(committed).collect()
}

/// True if the time from send to acknowledgement is measured correctly.
pub(super) fn is_ack_timed(plan: &Plan) -> bool {
    ack(plan).is_none()
}

/// Place of a part of the latency in `result.json`.
pub(super) fn part_figure(part: Part) -> String {
    format!("latency_us.{}", part.name())
}

/// The reason why the time until acknowledgement is not measured; `None` if it is.
fn ack(plan: &Plan) -> Option<&'static str> {
    if plan.load.acks == Acks::None {
        return Some("with `load.acks = \"none\"` brokers answer nothing");
    }
    let is_timed = plan.broker.client().times_many_clients();
    (!is_timed && plan.load.clients == ProducerClients::PerProducer).then_some(
        "with `load.clients = \"producer\"` one thread looks at many clients in turn, and finds an answer only some \
         time after it came",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BrokerKind, ClientKind};
    use crate::plan::{self, Comparison, Overrides};
    use crate::scenario::Source;

    fn reasons(load: &str, broker: BrokerKind) -> BTreeMap<String, String> {
        let text =
            format!("[topic]\npartitions = 2\n[load]\nproducers = 4\nrate = \"1/s\"\n{load}\n");
        let source = Source { name: "test".to_owned(), text };
        let client = Some(ClientKind::Rdkafka);
        let overrides = Overrides { broker: Some(broker), client, ..Overrides::default() };
        let (plan, found) = plan::compile(&source, &[], &overrides);
        not_measured(&plan.unwrap_or_else(|| panic!("{found:?}")))
    }

    #[test]
    fn a_client_per_producer_and_brokers_that_answer_nothing_leave_acknowledgements_unmeasured() {
        for (load, broker, word) in [
            ("clients = \"producer\"", BrokerKind::EMBEDDED, Some("load.clients")),
            ("acks = \"none\"\nidempotence = false", BrokerKind::EMBEDDED, Some("load.acks")),
            ("acks = \"none\"\nidempotence = false", BrokerKind::SIM, Some("load.acks")),
            ("clients = \"pool\"", BrokerKind::EMBEDDED, None),
            ("", BrokerKind::SIM, None),
        ] {
            let reasons = reasons(load, broker);
            let reason = reasons.get("latency_us.ack");
            match word {
                Some(word) => assert!(reason.is_some_and(|reason| reason.contains(word)), "{load}"),
                None => assert_eq!(reason, None, "{load}"),
            }
        }
    }

    fn plan_of(text: &str) -> Plan {
        let text = format!("[topic]\npartitions = 2\n{text}");
        let source = Source { name: "test".to_owned(), text };
        let overrides = Overrides { broker: Some(BrokerKind::EMBEDDED), ..Overrides::default() };
        let (plan, found) = plan::compile(&source, &[], &overrides);
        plan.unwrap_or_else(|| panic!("{found:?}"))
    }

    #[test]
    fn every_expectation_is_measured_and_one_that_was_not_come_to_is_not_judged() {
        let plan = plan_of(
            "[load]\nproducers = 4\nrate = \"1/s\"\n[expect]\nlost = 0\n\"latency.p99\" = \"< 5ms\"\n",
        );
        let mut summary = Summary::default();
        let evaluated = |summary: &Summary, interrupted| {
            let all = evaluate(&plan.expectations, summary, interrupted);
            assert_eq!(all.len(), plan.expectations.len());
            let one = |name: &str| {
                let found = all.iter().find(|it| it.expression.starts_with(name));
                found.map(|it| (it.passed, it.judged, it.measured)).expect("it is evaluated")
            };
            (one("lost"), one("latency.p99"))
        };
        let ((lost, _, _), (fast, judged, measured)) = evaluated(&summary, false);
        assert_eq!((lost, fast, judged, measured), (true, false, true, None));
        assert!(!evaluated(&summary, true).1.1);
        summary.ledger.lost = 1;
        summary.latency_us.response.p99 = Some(4_000.0);
        let ((lost, _, records), (fast, judged, measured)) = evaluated(&summary, true);
        assert_eq!(
            (lost, records, fast, judged, measured),
            (false, Some(1.0), true, true, Some(4.0))
        );
    }

    /// In a run without any measurement, a figure is a count of 0 or missing. A missing figure fails every expectation,
    /// with a reason.
    #[test]
    fn what_was_never_measured_fails_whatever_is_expected() {
        let plan = plan_of("[load]\nproducers = 4\nrate = \"1/s\"\n");
        let nothing = Summary { not_measured: not_measured(&plan), ..Summary::default() };
        let mut missing = 0;
        for (name, metric) in Figure::names() {
            let name = name.replace("[]", "[0]");
            let figure = Figure::parse(&name).expect("a figure");
            for comparison in [Comparison::AtLeast(f64::MIN), Comparison::AtMost(f64::MAX)] {
                let expression = name.clone();
                let expectation = Expectation { expression, figure, comparison, is_default: false };
                let found = evaluate_one(&expectation, &nothing, false);
                let is_counted = metric.unit == Unit::Count && !name.contains('[');
                assert!(
                    found.measured.is_none() || is_counted || metric.unit == Unit::Number,
                    "{found:?}"
                );
                assert_eq!(found.passed, found.measured.is_some(), "{found:?}");
                assert_eq!(found.reason.is_some(), found.measured.is_none(), "{found:?}");
                missing += usize::from(found.measured.is_none());
            }
        }
        assert!(missing > 150, "{missing}");
    }

    #[test]
    fn late_sends_are_told_where_nothing_is_judged_by_them_and_a_schedule_says_when_they_were_due()
    {
        const PACED: &str = "[load]\nproducers = 4\nrate = \"1/s\"\n";
        let mut late = Summary::default();
        late.lateness_us.p99 = Some(1e9);
        let told = |text: &str, summary: &Summary| late_sends(summary, &plan_of(text));
        assert!(told(PACED, &late).is_some_and(|told| told.contains("the run is valid")));
        assert_eq!(told(PACED, &Summary::default()), None);
        let judged = format!("{PACED}[expect]\n\"latency.p99\" = \"< 5ms\"\n");
        assert_eq!(told(&judged, &late), None);
        let at_max = "[load]\nproducers = 4\nrate = \"max\"\nmessages = 100\n";
        assert_eq!(told(at_max, &late), None);
        late.simulation = Some(crate::summary::Simulation::default());
        assert_eq!(told(PACED, &late), None);
    }
}

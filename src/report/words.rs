//! A result as text: the verdict, the number of expectations that hold, and a summary in sentences.

use std::time::Duration;

use crate::base::{format_bytes, format_count, format_duration};
use crate::summary::{
    BacklogSummary, ExpectationSummary, FaultSummary, METRICS, Metric, Summary, Total, Unit,
    Verdict,
};

/// The verdict at the beginning of reports.
pub(super) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "PASSED",
        Verdict::Failed => "FAILED",
        Verdict::Invalid => "INVALID",
        Verdict::Interrupted => "INTERRUPTED",
        Verdict::CutOff => "CUT OFF",
    }
}

/// A remark for the reader of a report that was cut off.
pub(super) const CUT_OFF: &str = "incomplete, because the run was killed or still goes on: records in flight cannot be told from \
                       lost ones";

/// A remark for the reader of a report that was interrupted during the warmup.
pub(super) const TOO_EARLY: &str =
    "interrupted before the measured window began: rates and latency were not measured";

/// The outcome of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The expectation holds.
    Holds,
    /// The expectation failed.
    Fails,
    /// The run could not decide it.
    Undecided,
}

/// The outcome of an expectation. An invalid run, or one that was cut off, decides none.
pub(super) fn outcome(summary: &Summary, expectation: &ExpectationSummary) -> Outcome {
    match (summary.verdict, expectation.judged, expectation.passed) {
        (Verdict::Invalid | Verdict::CutOff, ..) | (_, false, _) => Outcome::Undecided,
        (_, true, true) => Outcome::Holds,
        (_, true, false) => Outcome::Fails,
    }
}

/// The measured value, with the reason if there is none.
pub(super) fn measured(expectation: &ExpectationSummary) -> String {
    let of = match expectation.partition {
        Some(id) if !expectation.expression.contains(&format!("[{id}]")) => {
            format!(" (partition {id})")
        }
        _ => String::new(),
    };
    let text = match (&expectation.text, &expectation.reason) {
        (Some(text), Some(reason)) => format!("{text}: {reason}"),
        (Some(text), None) => text.clone(),
        (None, reason) => reason.clone().unwrap_or_else(|| "not measured".to_owned()),
    };
    text + &of
}

/// Number of expectations that hold.
pub(super) fn holding(summary: &Summary) -> String {
    let all = summary.expectations.len();
    let count = |wanted| {
        let is_it = |it: &&ExpectationSummary| outcome(summary, it) == wanted;
        summary.expectations.iter().filter(is_it).count()
    };
    match (count(Outcome::Holds), count(Outcome::Undecided)) {
        (_, undecided) if undecided == all => format!("{all} expectations, none decided"),
        (holds, 0) => format!("{holds} of {all} expectations hold"),
        (holds, undecided) => {
            format!("{holds} of {all} expectations hold, {undecided} could not be decided")
        }
    }
}

/// Number of expectations that hold; for an interrupted run also the number that could be judged.
pub(super) fn judged(s: &Summary) -> String {
    let passed = s.expectations.iter().filter(|e| e.passed && e.judged).count();
    let judged = s.expectations.iter().filter(|e| e.judged).count();
    let all = s.expectations.len();
    let has_own = s.expectations.iter().any(|e| !e.is_default);
    match s.verdict {
        Verdict::CutOff | Verdict::Invalid => format!("{all} expectations, none decided"),
        Verdict::Interrupted => format!(
            "after {:.1} of {:.1} s: {judged} of {all} expectations could be judged, {passed} of them hold so far",
            s.load_lasted_s, s.planned_load_s
        ),
        _ if !has_own => {
            format!("the scenario expects nothing; {passed} of {all} default expectations hold")
        }
        _ => format!("{passed} of {all} expectations hold"),
    }
}

/// Size of the backlog, and the time that consumers needed for it.
pub(super) fn backlog(backlog: &BacklogSummary) -> String {
    let time = |seconds: f64| millis(seconds * 1e3);
    let written =
        format!("{} records written in {}", format_count(backlog.written), time(backlog.write_s));
    let read = match (backlog.read_s, backlog.read_per_s) {
        (Some(seconds), Some(per_s)) => {
            format!("read in {} ({}/s)", time(seconds), value_text(Unit::Number, per_s))
        }
        _ => "not read within the run".to_owned(),
    };
    let caught_up = match backlog.caught_up_s {
        Some(seconds) => format!("caught up after {}", time(seconds)),
        None => "not caught up within the run".to_owned(),
    };
    [written, read, caught_up].join(", ")
}

/// The rates of a run.
pub(super) fn rate(s: &Summary) -> String {
    match s.offered_per_s {
        _ if !s.measured_something() => "no rates: nothing was measured".to_owned(),
        Some(offered) => format!(
            "offered {offered:.1} msg/s, sent {}, processed {:.1} msg/s ({}, {}/s)",
            percent(s.offered_sent.unwrap_or(0) as f64, s.offered.unwrap_or(0) as f64),
            s.achieved_per_s,
            percent(s.achieved_per_s, offered),
            format_bytes(s.achieved_bytes_per_s as u64)
        ),
        None => format!(
            "processed {} msg/s ({}/s) at maximum rate; limited by the {}",
            format_count(s.achieved_per_s as u64),
            format_bytes(s.achieved_bytes_per_s as u64),
            s.bottleneck.as_deref().unwrap_or("unknown")
        ),
    }
}

/// A share in percent; a dash if there is nothing to compare with.
pub(super) fn percent(part: f64, of: f64) -> String {
    if of > 0.0 { format!("{:.2} %", 100.0 * part / of) } else { "-".to_owned() }
}

/// Remarks that must come before all figures.
pub(super) fn story(summary: &Summary) -> String {
    let mut sentences = vec![ending(summary)];
    sentences.extend(worst_fault(summary).map(|fault| fault_sentence(summary, fault)));
    sentences.extend(records(summary));
    sentences.join(" ")
}

fn ending(s: &Summary) -> String {
    let failing = s.expectations.iter().find(|it| outcome(s, it) == Outcome::Fails);
    let lasted = format!("after {:.1} of {:.1} s", s.load_lasted_s, s.planned_load_s);
    match (s.verdict, failing) {
        (Verdict::Invalid, _) => {
            let reason = s.invalid_reasons.first().map_or("see the reasons", String::as_str);
            format!("The figures are not reliable: {reason}.")
        }
        (Verdict::CutOff, _) => format!(
            "The run was cut off {lasted}, or still goes on: nothing is decided, and records under way cannot be told \
             from lost ones."
        ),
        (Verdict::Interrupted, _) => format!("The run was interrupted {lasted}: {}.", holding(s)),
        (_, Some(first)) => {
            let fails = s.expectations.iter().filter(|it| outcome(s, it) == Outcome::Fails);
            let (fails, all) = (fails.count(), s.expectations.len());
            let which = if fails == 1 { "" } else { "the first is " };
            format!(
                "{fails} of {all} expectations {} not hold: {which}{}, measured {}.",
                if fails == 1 { "does" } else { "do" },
                first.expression,
                measured(first)
            )
        }
        (_, None) => "Every expectation holds.".to_owned(),
    }
}

/// The fault that stalled most partitions. Among equal ones, the one whose recovery took longest.
pub(super) fn worst_fault(summary: &Summary) -> Option<&FaultSummary> {
    let came = summary.faults.iter().filter(|fault| fault.at_s.is_some());
    let rank = |fault: &FaultSummary| {
        let recovery = match fault.not_recovered.is_empty() {
            true => fault.recovered_ms.unwrap_or(0.0),
            false => f64::INFINITY,
        };
        (fault.blast_radius, recovery)
    };
    came.max_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    })
}

/// Kind and target of a fault, without repetition.
pub(super) fn fault_name(fault: &FaultSummary) -> String {
    format!("{} {}", fault.kind.replace('_', " "), fault.target).trim_end().to_owned()
}

fn fault_sentence(summary: &Summary, fault: &FaultSummary) -> String {
    let which = if summary.faults.len() > 1 { "The worst fault" } else { "The fault" };
    let stalled = format!(
        "{which} ({}, at {:.1} s) stalled {} of {} partitions",
        fault_name(fault),
        fault.at_s.unwrap_or_default(),
        fault.blast_radius,
        summary.partitions.len()
    );
    match (fault.recovered_ms, fault.not_recovered.as_slice()) {
        (_, [first, rest @ ..]) => {
            let more =
                if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            format!("{stalled}; partition {first}{more} did not recover within the run.")
        }
        (Some(ms), []) => format!("{stalled}; all was as before after {}.", millis(ms)),
        (None, []) => format!("{stalled}."),
    }
}

/// The median partition of those with a p99.
pub(super) fn median_partition(s: &Summary) -> Option<u32> {
    let mut measured: Vec<(f64, u32)> = s
        .partitions
        .iter()
        .filter_map(|p| Some((p.latency_us.response.p99?, p.partition)))
        .collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    (measured.len() > 2).then(|| measured[measured.len() / 2].1)
}

/// A step of the recovery from a fault: its name, and the milliseconds from the fault.
pub(super) type RecoveryStep = (&'static str, f64);

/// The times that a fault's recovery has reached, in order.
pub(super) fn recovery_steps(fault: &FaultSummary) -> Vec<RecoveryStep> {
    let reached = [
        ("detected", fault.detected_ms),
        ("fenced", fault.fenced_ms),
        ("restarted", fault.restarted_ms),
        ("fault ended", fault.ended_ms),
        ("first record", fault.first_record_ms),
        ("recovered", fault.recovered_ms),
    ];
    let mut steps: Vec<RecoveryStep> =
        reached.into_iter().filter_map(|(name, ms)| Some((name, ms?.max(0.0)))).collect();
    steps.sort_by(|a, b| a.1.total_cmp(&b.1));
    steps
}

/// Milliseconds in a suitable unit.
pub(super) fn millis(ms: f64) -> String {
    format_duration(Duration::from_nanos((ms.max(0.0) * 1e6) as u64))
}

/// The counts of records that should be 0 and are not.
fn records(summary: &Summary) -> Option<String> {
    if summary.verdict == Verdict::CutOff {
        return None;
    }
    let wrong: Vec<String> = totals(summary)
        .filter(|(_, value)| *value > 0.0)
        .map(|(metric, value)| format!("{} {}", format_count(value as u64), spoken(metric)))
        .collect();
    let sent = format_count(summary.ledger.sent);
    Some(match wrong.is_empty() {
        true => format!("Each of {sent} records sent was processed once, in order and unchanged."),
        false if summary.ledger.lost == 0 => {
            format!("Of {sent} records sent none was lost; {}.", wrong.join(", "))
        }
        false => format!("Of {sent} records sent: {}.", wrong.join(", ")),
    })
}

/// The counts of the whole run that should be 0.
pub(super) fn totals(summary: &Summary) -> impl Iterator<Item = (&'static Metric, f64)> {
    let is_total = |metric: &&Metric| metric.total != Total::Never;
    METRICS.iter().filter(is_total).filter_map(|metric| {
        let value = metric.value(summary)?;
        (metric.total == Total::Always || value > 0.0).then_some((metric, value))
    })
}

/// The name of a metric with spaces.
pub(super) fn spoken(metric: &Metric) -> String {
    metric.name.replace(['_', '.'], " ")
}

/// A value of a metric as text.
pub(super) fn value_text(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Time => format_duration(Duration::from_nanos(value.max(0.0) as u64)),
        Unit::Count => format_count(value.max(0.0) as u64),
        Unit::Number if value != 0.0 && value.abs() < 10.0 => format!("{value:.3}"),
        Unit::Number => {
            let tenths = (value.max(0.0) * 10.0).round() as u64;
            format!("{}.{}", format_count(tenths / 10), tenths % 10)
        }
        Unit::Flag => if value > 0.0 { "yes" } else { "no" }.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(passed: bool, judged: bool) -> ExpectationSummary {
        ExpectationSummary {
            expression: "lost = 0".to_owned(),
            text: Some("3".to_owned()),
            passed,
            judged,
            ..ExpectationSummary::default()
        }
    }

    #[test]
    fn an_invalid_run_decides_nothing() {
        let expectations = vec![expectation(true, true), expectation(false, true)];
        let mut summary = Summary { expectations, ..Summary::default() };
        summary.verdict = Verdict::Failed;
        assert!(
            story(&summary).starts_with("1 of 2 expectations does not hold: lost = 0, measured 3.")
        );
        for verdict in [Verdict::Invalid, Verdict::CutOff] {
            summary.verdict = verdict;
            assert_eq!(holding(&summary), "2 expectations, none decided");
        }
        summary.verdict = Verdict::Interrupted;
        summary.expectations.push(expectation(false, false));
        assert_eq!(holding(&summary), "1 of 3 expectations hold, 1 could not be decided");
    }

    #[test]
    fn numbers_have_the_digits_that_are_read() {
        let cases = [
            (Unit::Time, 441_000.0, "441us"),
            (Unit::Count, 71_680.0, "71,680"),
            (Unit::Number, 2048.04, "2,048.0"),
            (Unit::Number, 0.005_7, "0.006"),
            (Unit::Number, 9.0, "9.000"),
            (Unit::Flag, 1.0, "yes"),
        ];
        for (unit, value, text) in cases {
            assert_eq!(value_text(unit, value), text);
        }
        assert_eq!(value_text(Unit::Number, 10.96), "11.0");
    }
}

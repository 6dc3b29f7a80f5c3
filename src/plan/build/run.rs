//! How long the run lasts, how children come back, and when its figures are in doubt.

use std::time::Duration;

use crate::plan::{
    BrokerKind, BrokerPlan, Limits, LoadPlan, Pace, RestartPolicy, Times, WatchPolicy,
};
use crate::reader::Findings;
use crate::reader::key;
use crate::scenario::{Diagnostic, Scenario, codes};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn times(
    scenario: &Scenario,
    load: &LoadPlan,
    broker: &BrokerPlan,
    found: &mut Findings,
) -> Times {
    let run = &scenario.run;
    // A number of messages as fast as possible is a race: nothing to warm up, and done when done.
    let is_race = load.pace == Pace::Max && load.messages.is_some();
    let (warmup, duration) = if is_race { (0, 600) } else { (5, 60) };
    let long = "a run keeps histograms for every second; a week is the limit";
    Times {
        warmup: found.duration(
            key!(run.warmup),
            Duration::from_secs(warmup),
            Duration::ZERO..=WEEK,
            long,
        ),
        duration: found.duration(
            key!(run.duration),
            Duration::from_secs(duration),
            MILLISECOND * 100..=WEEK,
            long,
        ),
        drain: found.duration(
            key!(run.drain),
            Duration::from_secs(30),
            Duration::ZERO..=HOUR,
            "what is not read by then counts as lost",
        ),
        startup: found.duration(
            key!(run.startup),
            Duration::from_secs(30),
            Duration::from_secs(1)..=HOUR,
            "a cluster needs a moment, and a run should not wait forever",
        ),
        latency_interval: found.duration(
            key!(run.latency_interval),
            // A second is simulated in less time than its distributions are encoded in.
            Duration::from_secs(if broker.kind() == BrokerKind::Sim { 10 } else { 1 }),
            Duration::from_secs(1)..=WEEK,
            "distributions are taken once a second",
        ),
    }
}

pub(super) fn restart(scenario: &Scenario, found: &mut Findings) -> RestartPolicy {
    let restart = &scenario.restart;
    let default = RestartPolicy::default();
    let span = "a delay is from 1ms to 1h";
    let policy = RestartPolicy {
        backoff: found.duration(key!(restart.backoff), default.backoff, MILLISECOND..=HOUR, span),
        factor: found.number(
            key!(restart.factor),
            default.factor,
            1.0..=100.0,
            "delays must not become shorter",
        ),
        backoff_max: found.duration(
            key!(restart.backoff_max),
            default.backoff_max,
            MILLISECOND..=HOUR,
            span,
        ),
        jitter: found.number(
            key!(restart.jitter),
            default.jitter,
            0.0..=1.0,
            "it is a share: 0.2 spreads each delay by 20 %",
        ),
        stable: found.duration(key!(restart.stable), default.stable, MILLISECOND..=HOUR, span),
        budget: found.count(
            key!(restart.budget),
            default.budget,
            1..=1_000_000,
            "with 0 nothing would ever come back",
        ),
        budget_window: found.duration(
            key!(restart.budget_window),
            default.budget_window,
            MILLISECOND..=WEEK,
            "failures are counted within this window",
        ),
    };
    if let (true, Some(at)) = (
        policy.backoff > policy.backoff_max,
        restart.backoff.as_ref().or(restart.backoff_max.as_ref()),
    ) {
        let message = "`restart.backoff` is longer than `restart.backoff_max`";
        found.push(
            Diagnostic::error(codes::CONFLICT, at.origin, message)
                .remedy("the first delay must not exceed the longest"),
        );
    }
    policy
}

pub(super) fn watch(scenario: &Scenario, found: &mut Findings) -> WatchPolicy {
    let watchdog = &scenario.watchdog;
    let default = WatchPolicy::default();
    let span = "a healthy thread polls every 50ms, and a wait of more than an hour helps no run";
    let mut duration = |key, default| found.duration(key, default, MILLISECOND * 200..=HOUR, span);
    WatchPolicy {
        poll: duration(key!(watchdog.poll), default.poll),
        fetch: duration(key!(watchdog.fetch), default.fetch),
        close: duration(key!(watchdog.close), default.close),
        abandoned_max: found.count(
            key!(watchdog.abandoned),
            default.abandoned_max,
            0..=1_000,
            "an abandoned thread keeps its client's memory and connections",
        ),
    }
}

pub(super) fn limits(scenario: &Scenario, found: &mut Findings) -> Limits {
    let limits = &scenario.limits;
    let default = Limits::default();
    let share = "it is a share, from 0 to 1";
    Limits {
        sent_min: found.number(key!(limits.sent_min), default.sent_min, 0.0..=1.0, share),
        lateness_p99_max: found.duration(
            key!(limits.lateness_p99),
            default.lateness_p99_max,
            Duration::ZERO..=HOUR,
            "for example `lateness_p99 = \"1ms\"`",
        ),
        lateness_share_max: found.number(
            key!(limits.lateness_share),
            default.lateness_share_max,
            0.0..=1.0,
            share,
        ),
        cpu_share_max: found.number(
            key!(limits.cpu_share),
            default.cpu_share_max,
            0.0..=1.0,
            share,
        ),
        sequence_gaps: found.count(
            key!(limits.sequence_gaps),
            4_096,
            1..=16_777_216,
            "a gap takes 16 bytes, and there may be as many lanes as producers times partitions",
        ) as usize,
    }
}

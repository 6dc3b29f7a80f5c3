//! The durations of a run, its policies for restarts and watchdogs, and its limits.
//!
//! Also the simulated cluster, network and machine, and the checks for settings that a simulation does not support.

use std::time::Duration;

use crate::base::format_duration;
use crate::plan::{
    BrokerPlan, ConsumerGroupsPlan, Limits, LoadPlan, OutagePlan, Pace, Plan, ProducerClients,
    RestartPolicy, RetryPlan, SESSION_TIMEOUT_OF_BROKERS, SimPlan, Times, WatchPolicy,
};
use crate::reader::{Findings, key};
use crate::scenario::sections::CompressionWord;
use crate::scenario::{At, Bytes, Diagnostic, Scenario, Sim, codes};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Number of partitions from which on the distributions of each second cost about as much as the records.
const PARTITIONS_LOGGED: u32 = 200;

/// The default interval of `latency.hlog`. Simulating a second takes less time than encoding its distributions.
fn latency_interval(broker: &BrokerPlan, partitions: u32) -> Duration {
    let is_costly = broker.capability().is_modelled || partitions > PARTITIONS_LOGGED;
    Duration::from_secs(if is_costly { 10 } else { 1 })
}

/// The durations of the parts of the run.
pub(super) fn times(
    scenario: &Scenario,
    load: &LoadPlan,
    (broker, partitions): (&BrokerPlan, u32),
    found: &mut Findings,
) -> Times {
    let run = &scenario.run;
    // A run that sends a number of messages at maximum rate has no warmup, and ends when they are processed.
    let is_race = load.pace == Pace::Max && load.messages.is_some();
    let (warmup, duration) = if is_race { (0, 600) } else { (5, 60) };
    let duration = super::stages::total(&scenario.load).unwrap_or(Duration::from_secs(duration));
    let long = "a run keeps histograms for every second; a week is the limit";
    Times {
        warmup: found.duration(
            key!(run.warmup),
            Duration::from_secs(warmup),
            Duration::ZERO..=WEEK,
            long,
        ),
        duration: found.duration(key!(run.duration), duration, MILLISECOND * 100..=WEEK, long),
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
            latency_interval(broker, partitions),
            Duration::from_secs(1)..=WEEK,
            "distributions are taken once a second",
        ),
    }
}

/// The policy for restarts.
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
            "with 0 no consumer would be restarted",
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

/// The limits after which a silent consumer counts as hung.
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

/// The limits beyond which the run is invalid.
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

const SECOND: Duration = Duration::from_secs(1);

/// The simulated cluster, network and machine.
pub(super) fn build_sim(scenario: &Scenario, found: &mut Findings) -> SimPlan {
    let sim = &scenario.sim;
    let span = "more than ten seconds is an outage, not a latency";
    SimPlan {
        brokers: found.count(key!(sim.brokers), 3, 1..=100, "the simulated cluster needs a broker"),
        broker_cores: found.count(
            key!(sim.broker_cores),
            4,
            1..=1024,
            "a broker has at least one core",
        ),
        request_cost: found.duration(
            key!(sim.request_cost),
            Duration::from_micros(40),
            Duration::ZERO..=SECOND,
            "a broker that needs more than a second per request is down",
        ),
        latency: found.duration(
            key!(sim.latency),
            Duration::from_micros(60),
            Duration::ZERO..=10 * SECOND,
            span,
        ),
        jitter: found.duration(
            key!(sim.jitter),
            Duration::from_micros(20),
            Duration::ZERO..=10 * SECOND,
            span,
        ),
        bandwidth: bandwidth(sim.bandwidth.as_ref(), found),
        outage: outage(sim, found),
        consumer_groups: consumer_groups(sim, found),
        client: client(sim, found),
        host_cores: found.count(
            key!(sim.host_cores),
            8,
            1..=1024,
            "a machine has at least one core",
        ),
    }
}

/// The bandwidth of a connection in bytes per second; `None` for no limit.
fn bandwidth(given: Option<&At<Bytes>>, found: &mut Findings) -> Option<u64> {
    let at = given?;
    if at.value.0 < 1024 {
        let message = "`sim.bandwidth` must be at least 1KiB a second";
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                .remedy("a connection that carries less is cut: see the fault `link_cut`"),
        );
    }
    Some(at.value.0)
}

/// The cluster's timeouts for brokers that fail.
fn outage(sim: &Sim, found: &mut Findings) -> OutagePlan {
    OutagePlan {
        broker_session: found.duration(
            key!(sim.broker_session),
            9 * SECOND,
            SECOND..=3600 * SECOND,
            "brokers send a sign of life every two seconds",
        ),
        replica_lag_max: found.duration(
            key!(sim.replica_lag_max),
            30 * SECOND,
            Duration::from_millis(100)..=3600 * SECOND,
            "followers are always a little behind",
        ),
        leader_balance: Some(found.duration(
            key!(sim.leader_balance),
            300 * SECOND,
            Duration::ZERO..=7 * 86_400 * SECOND,
            "a week is as good as never, which is 0s",
        ))
        .filter(|interval| !interval.is_zero()),
        unclean_elections: sim.unclean_elections.as_ref().is_some_and(|at| at.value),
    }
}

/// The brokers' settings for groups of the consumer protocol.
fn consumer_groups(sim: &Sim, found: &mut Findings) -> ConsumerGroupsPlan {
    let session_timeout = found.duration(
        key!(sim.group_session_timeout),
        SESSION_TIMEOUT_OF_BROKERS,
        Duration::from_millis(10)..=3600 * SECOND,
        "brokers usually allow 45s to 1m",
    );
    let heartbeat_interval = found.duration(
        key!(sim.group_heartbeat_interval),
        // A third, so that two heartbeats may be lost.
        (5 * SECOND).min(session_timeout / 3),
        Duration::from_millis(1)..=3600 * SECOND,
        "brokers usually allow 5s to 15s",
    );
    // Kafka's `GroupCoordinatorConfig` has the same check.
    if heartbeat_interval >= session_timeout
        && let Some(at) = &sim.group_heartbeat_interval
    {
        let message = format!(
            "`sim.group_heartbeat_interval` of {} is not less than `sim.group_session_timeout`, {}",
            format_duration(heartbeat_interval),
            format_duration(session_timeout)
        );
        found.push(
            Diagnostic::error(codes::CONFLICT, at.origin, message)
                .label("members would be removed between two heartbeats")
                .remedy("set the interval to a third of the timeout or less"),
        );
    }
    ConsumerGroupsPlan { session_timeout, heartbeat_interval }
}

/// The timeouts of clients.
fn client(sim: &Sim, found: &mut Findings) -> RetryPlan {
    RetryPlan {
        start: found.duration(
            key!(sim.client_start),
            Duration::from_micros(6_500),
            Duration::ZERO..=10 * SECOND,
            "a client that needs longer would be restarted before it is ready",
        ),
        request_timeout: found.duration(
            key!(sim.request_timeout),
            30 * SECOND,
            Duration::from_millis(100)..=3600 * SECOND,
            "a request takes its time",
        ),
        message_timeout: found.duration(
            key!(sim.message_timeout),
            300 * SECOND,
            SECOND..=7 * 86_400 * SECOND,
            "librdkafka looks once a second",
        ),
        retry_backoff: found.duration(
            key!(sim.retry_backoff),
            Duration::from_millis(100),
            Duration::from_millis(1)..=60 * SECOND,
            "a failure takes a moment to pass",
        ),
    }
}

/// Refuses settings that the simulator does not model, or warns about them.
pub(super) fn check_sim(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    if !plan.broker.capability().is_modelled {
        return;
    }
    if let (ProducerClients::PerProducer, Some(at)) = (plan.load.clients, &scenario.load.clients) {
        found.push(
            Diagnostic::error(
                codes::NOT_SIMULATED,
                at.origin,
                "the simulator has one client per pool",
            )
            .remedy("set `load.clients = \"pool\"`, or more `load.pools`"),
        );
    }
    warn_about_keys(scenario, plan, found);
    let client = &scenario.client;
    let properties = [&client.common, &client.producer, &client.consumer];
    if let Some(property) = properties.iter().flat_map(|side| side.values()).next() {
        let message = "librdkafka's properties say nothing to the simulated client";
        found.push(
            Diagnostic::warning(codes::NOT_SIMULATED, property.key, message)
                .remedy("the keys of `[load]`, `[consumers]` and `[sim]` do"),
        );
    }
}

/// Warns about keys of topic and load that have no effect in the model.
fn warn_about_keys(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let mut warn = |origin, message: &str, remedy: &str| {
        found.push(Diagnostic::warning(codes::NOT_SIMULATED, origin, message).remedy(remedy));
    };
    if let Some(at) =
        scenario.load.compression.as_ref().filter(|at| at.value != CompressionWord::None)
    {
        let message = "the simulator compresses nothing: batches are as long as their records";
        warn(at.origin, message, "leave `load.compression` out, or use `--broker kafka`");
    }
    let whole = plan.times.load_end() + plan.times.drain;
    if let Some(at) = scenario.topic.retention.as_ref().filter(|_| plan.topic.retention < whole) {
        let message = "the simulator removes no records for their age";
        warn(at.origin, message, "set `topic.retention_bytes`, or use the fault `delete_records`");
    }
    if let Some(at) = scenario.topic.keep.as_ref().filter(|at| at.value) {
        let message = "nothing of a simulation outlives it: no topic is kept";
        warn(at.origin, message, "leave `topic.keep` out, or use `--broker kafka`");
    }
    let limits = &scenario.limits;
    let of_the_machine = [
        ("lateness_p99", limits.lateness_p99.as_ref().map(|at| at.key)),
        ("lateness_share", limits.lateness_share.as_ref().map(|at| at.key)),
        ("cpu_share", limits.cpu_share.as_ref().map(|at| at.key)),
    ];
    for (key, written) in of_the_machine {
        let Some(origin) = written else { continue };
        let message = format!("`limits.{key}` has no effect on a simulation");
        let remedy = "virtual time does not depend on how busy this machine is: leave it out, or use another broker";
        warn(origin, &message, remedy);
    }
}

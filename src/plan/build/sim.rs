//! The simulated cluster, network and machine; and what a simulation cannot do.

use std::time::Duration;

use crate::base::BrokerKind;
use crate::plan::{GroupProtocol, OutagePlan, Plan, ProducerClients, RetryPlan, SimPlan};
use crate::reader::Findings;
use crate::reader::key;
use crate::scenario::sections::CompressionWord;
use crate::scenario::{At, Bytes, Diagnostic, Scenario, Sim, codes};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn build(scenario: &Scenario, found: &mut Findings) -> SimPlan {
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
        client: client(sim, found),
        host_cores: found.count(
            key!(sim.host_cores),
            8,
            1..=1024,
            "a machine has at least one core",
        ),
    }
}

/// Bytes a second of a connection.
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

/// What the cluster does about brokers that fail.
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

/// What clients do about a cluster that fails.
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

/// What the simulator does not model is refused, not ignored.
pub(super) fn check(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    if plan.broker.kind() != BrokerKind::Sim {
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
    if let (Some(GroupProtocol::Consumer { .. }), Some(at)) =
        (plan.group().map(|group| &group.protocol), &scenario.consumers.protocol)
    {
        let message = "the simulator's groups speak the classic protocol only";
        found.push(
            Diagnostic::error(codes::NOT_SIMULATED, at.origin, message)
                .remedy("set `consumers.protocol = \"classic\"`, or use `--broker kafka`"),
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

/// Warns about keys of the topic and the load that say nothing to the model.
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

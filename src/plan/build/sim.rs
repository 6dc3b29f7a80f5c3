//! The simulated cluster, network and machine; and what a simulation cannot do.

use std::time::Duration;

use super::Findings;
use crate::base::BrokerKind;
use crate::plan::{GroupProtocol, Plan, ProducerClients, SimPlan};
use crate::scenario::{Diagnostic, Scenario, codes};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn build(scenario: &Scenario, found: &mut Findings) -> SimPlan {
    let sim = &scenario.sim;
    let span = "more than ten seconds is an outage, not a latency";
    SimPlan {
        brokers: found.count(
            "sim.brokers",
            sim.brokers.as_ref(),
            1,
            1..=100,
            "the simulated cluster needs a broker",
        ),
        broker_cores: found.count(
            "sim.broker_cores",
            sim.broker_cores.as_ref(),
            4,
            1..=1024,
            "a broker has at least one core",
        ),
        request_cost: found.duration(
            "sim.request_cost",
            sim.request_cost.as_ref(),
            Duration::from_micros(40),
            Duration::ZERO..=SECOND,
            "a broker that needs more than a second per request is down",
        ),
        latency: found.duration(
            "sim.latency",
            sim.latency.as_ref(),
            Duration::from_micros(60),
            Duration::ZERO..=10 * SECOND,
            span,
        ),
        jitter: found.duration(
            "sim.jitter",
            sim.jitter.as_ref(),
            Duration::from_micros(20),
            Duration::ZERO..=10 * SECOND,
            span,
        ),
        host_cores: found.count(
            "sim.host_cores",
            sim.host_cores.as_ref(),
            8,
            1..=1024,
            "a machine has at least one core",
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

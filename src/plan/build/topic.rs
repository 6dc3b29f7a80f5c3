//! The topic under test.

use std::time::Duration;

use crate::base::PARTITIONS_MAX;
use crate::plan::{BrokerPlan, TopicName, TopicPlan};
use crate::reader::Findings;
use crate::reader::{GivenKey, key};
use crate::scenario::{At, Bytes, Diagnostic, Scenario, codes};

/// Kafka's limit for a topic's name.
const LONGEST_NAME: usize = 249;

pub(super) fn build(
    name: &str,
    scenario: &Scenario,
    broker: &BrokerPlan,
    found: &mut Findings,
) -> TopicPlan {
    let topic = &scenario.topic;
    let partitions = found.count(
        key!(topic.partitions),
        18,
        1..=PARTITIONS_MAX as u32,
        "each partition has a consumer and histograms of its own; more than 10,000 do not fit one process",
    );
    let copies = replication(topic.replication_factor.as_ref(), broker, found);
    TopicPlan {
        min_insync_replicas: min_insync(scenario, copies, broker, found),
        name: match &topic.name {
            Some(at) => given_name(at, found),
            None => TopicName::OfRun { scenario: topic_part(name) },
        },
        partitions,
        replication_factor: copies,
        retention: found.duration(
            key!(topic.retention),
            Duration::from_secs(3600),
            Duration::from_secs(60)..=Duration::from_secs(365 * 86_400),
            "a topic must keep records until they are read, and not forever",
        ),
        retention_bytes: retention_bytes(topic.retention_bytes.as_ref(), found),
        keep: topic.keep.as_ref().is_some_and(|at| at.value),
        discover: found.duration(
            key!(topic.discover),
            Duration::from_secs(5),
            Duration::from_millis(100)..=Duration::from_secs(3600),
            "looking more often is work for the cluster; less often, a growth is not seen in the run",
        ),
    }
}

fn replication(given: Option<&At<u64>>, broker: &BrokerPlan, found: &mut Findings) -> u32 {
    let copies = found.count(
        GivenKey::new("topic.replication_factor", given),
        match broker {
            BrokerPlan::Sim(sim) => sim.brokers.min(3),
            BrokerPlan::Embedded { .. } | BrokerPlan::Kafka { .. } => 1,
        },
        1..=32,
        "a partition has at least one copy, and no more than the cluster has brokers",
    );
    let own = match broker {
        BrokerPlan::Embedded { brokers } => Some(("embedded", codes::EMBEDDED_LIMIT, *brokers)),
        BrokerPlan::Sim(sim) => Some(("sim", codes::CONFLICT, sim.brokers)),
        BrokerPlan::Kafka { .. } => None,
    };
    if let (Some((kind, code, brokers)), Some(at)) = (own, given)
        && copies > brokers
    {
        let called = if kind == "sim" { "simulated" } else { kind };
        let message = format!(
            "`topic.replication_factor` is {copies}, but the {called} cluster has {brokers} broker{}",
            if brokers == 1 { "" } else { "s" }
        );
        found.push(
            Diagnostic::error(code, at.origin, message)
                .remedy(format!("set `{kind}.brokers` to at least {copies}")),
        );
    }
    copies
}

fn min_insync(scenario: &Scenario, copies: u32, broker: &BrokerPlan, found: &mut Findings) -> u32 {
    let given = scenario.topic.min_insync_replicas.as_ref();
    if let (Some(at), BrokerPlan::Embedded { .. }) = (given, broker) {
        let message =
            "the embedded cluster does not replicate, so `topic.min_insync_replicas` has no effect";
        found.push(
            Diagnostic::warning(codes::EMBEDDED_LIMIT, at.origin, message)
                .remedy("use `--broker sim` or `--broker kafka`"),
        );
        return 1;
    }
    let reason = "there are not more copies; `topic.replication_factor` says how many";
    found.count(GivenKey::new("topic.min_insync_replicas", given), 1, 1..=copies.max(1), reason)
}

fn retention_bytes(given: Option<&At<Bytes>>, found: &mut Findings) -> u64 {
    let Some(at) = given else { return 1 << 30 };
    // A smaller log than this is trimmed before a consumer that stands still for a moment is back.
    if at.value.0 < 1 << 20 {
        let message = "`topic.retention_bytes` must be at least 1MiB";
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                .remedy("a topic must keep records until they are read"),
        );
    }
    at.value.0
}

fn given_name(at: &At<String>, found: &mut Findings) -> TopicName {
    let name = &at.value;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let why = match name.as_str() {
        "" => "is empty".to_owned(),
        "." | ".." => "is not a name".to_owned(),
        name if name.len() > LONGEST_NAME => format!("has {} characters", name.len()),
        name => match name.chars().find(|c| !allowed(*c)) {
            Some(c) => format!("contains `{c}`"),
            None => return TopicName::Given(name.to_owned()),
        },
    };
    let message = format!("the topic's name {why}");
    found.push(Diagnostic::error(codes::BAD_TOPIC_NAME, at.origin, message).remedy(format!(
        "letters, digits, `.`, `_` and `-` make a name, at most {LONGEST_NAME} of them"
    )));
    TopicName::Given(name.clone())
}

/// The scenario's name, reduced to what a topic may be called.
fn topic_part(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().map(allowed).take(100).collect()
}

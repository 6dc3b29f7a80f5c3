//! The broker of the plan, and the limits of its kind. Also the addresses of a cluster, which are `host:port` separated
//! by commas.
//!
//! Also the topic under test.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::Overrides;
use crate::base::{BrokerKind, ClientKind, PARTITIONS_MAX, format_bytes, format_duration};
use crate::plan::{
    BrokerPlan, GroupPlan, GroupProtocol, Identity, Membership, Pace, Plan, TopicName, TopicPlan,
};
use crate::reader::{Findings, GivenKey, key};
use crate::scenario::known::{self, Treatment};
use crate::scenario::{At, Bytes, Diagnostic, Origin, Scenario, codes};
use crate::summary::{Metric, Need, Unit};

/// Unprocessed bytes that a partition of the embedded cluster may have at maximum rate: beyond
/// 5 MiB it trims records that are not read yet, and the producer's own batches need room as well.
pub(super) const EMBEDDED_UNPROCESSED_MAX: u64 = 2 * 1024 * 1024;

pub(super) fn build(
    scenario: &Scenario,
    overrides: &Overrides,
    found: &mut Findings,
) -> BrokerPlan {
    let brokers = found.count(
        GivenKey::new("embedded.brokers", scenario.embedded.brokers.as_ref()),
        1,
        1..=100,
        "the embedded cluster needs a broker; each one costs a port",
    );
    let written = scenario.kafka.bootstrap.as_ref();
    // An address on the command line selects the cluster. An address in the file does not, so that another author's
    // scenario connects to no cluster by itself.
    let kind = match (overrides.broker, &overrides.bootstrap) {
        (Some(kind), _) => kind,
        (None, Some(_)) => BrokerKind::elsewhere(),
        (None, None) => BrokerKind::default_kind(),
    };
    if let Some(at) = written {
        check_addresses(&at.value, at.origin, "kafka.bootstrap", found);
    }
    if let Some(text) = &overrides.bootstrap {
        check_addresses(text, Origin::CommandLine, "--bootstrap", found);
    }
    let simulated = super::run::build_sim(scenario, found);
    let capability = kind.capability();
    let library = overrides.client.unwrap_or_else(ClientKind::of_this_build);
    if !capability.is_elsewhere {
        warn_unused(scenario, overrides, kind, found);
        let (brokers, sim) = match capability.is_modelled {
            true => (simulated.brokers, Some(simulated)),
            false => (brokers, None),
        };
        return BrokerPlan { kind, library, brokers: Some(brokers), bootstrap: None, sim };
    }
    let given = overrides.bootstrap.as_ref().or(written.map(|at| &at.value));
    if given.is_none() {
        let message = "`--broker kafka` needs to know a cluster";
        found.push(
            Diagnostic::error(codes::MISSING_BOOTSTRAP, Origin::CommandLine, message)
                .remedy("add `--bootstrap host:9092`, or `bootstrap = \"host:9092\"` in `[kafka]`"),
        );
    }
    let bootstrap = Some(given.cloned().unwrap_or_default());
    BrokerPlan { kind, library, brokers: None, bootstrap, sim: None }
}

fn warn_unused(scenario: &Scenario, overrides: &Overrides, kind: BrokerKind, found: &mut Findings) {
    if overrides.bootstrap.is_some() {
        let message = format!("`--bootstrap` has no effect with `--broker {kind}`");
        found.push(
            Diagnostic::error(codes::CONFLICT, Origin::CommandLine, message)
                .remedy("leave out one of them"),
        );
    }
    if let (Some(at), None) = (&scenario.kafka.bootstrap, overrides.broker) {
        let message = "the cluster of `kafka.bootstrap` is not used";
        found.push(
            Diagnostic::warning(codes::UNUSED_BOOTSTRAP, at.origin, message).remedy(
                "`--broker kafka` runs on it; `--broker embedded` says that it is meant so",
            ),
        );
    }
}

/// Checks a complete plan against the capabilities of its broker.
pub(super) fn check(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let capability = plan.broker.capability();
    if !capability.timing_is_real {
        warn_about_timing(scenario, plan, found);
    }
    if let Some(limit) = capability.partition_bytes_max {
        warn_about_pauses(scenario, plan, limit, found);
    }
    if let Some(shortest) = capability.session_timeout_min {
        refuse_short_sessions(scenario, plan, shortest, found);
    }
    if !capability.takes_access && !capability.is_modelled {
        warn_about_access(plan, found);
    }
    if !capability.keeps_static_places {
        warn_about_static_members(scenario, plan, found);
    }
}

/// Refuses settings that the native client does not support on sockets, or warns about them.
pub(super) fn check_client(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let kind = plan.broker.kind();
    // A kind that this build does not have is refused elsewhere.
    if plan.broker.client() != ClientKind::Native
        || kind.capability().is_modelled
        || !kind.is_built_in()
    {
        return;
    }
    let is_classic = |group: &GroupPlan| matches!(group.protocol, GroupProtocol::Classic { .. });
    if let (true, Some(at), false) = (
        plan.group().is_some_and(is_classic),
        &scenario.consumers.mode,
        plan.broker.capability().is_elsewhere,
    ) {
        let message = "classic groups of the native client do not form on the embedded cluster";
        found.push(Diagnostic::error(codes::NOT_NATIVE, at.origin, message).remedy(
            "set `consumers.protocol = \"consumer\"`, or use `--client rdkafka`, `--broker kafka` or \
             `--broker sim`",
        ));
    }
    let is_unknown = |name: &str| !known::is_native(name);
    if let Some((_, name, property)) = plan.client.all().find(|(_, name, _)| is_unknown(name)) {
        let message = format!("the native client does not know librdkafka's property `{name}`");
        found.push(
            Diagnostic::warning(codes::NOT_NATIVE, property.written, message)
                .remedy("leave it out, or use `--client rdkafka`"),
        );
    }
}

/// Warns that the embedded cluster's clients do not get the properties for access.
fn warn_about_access(plan: &Plan, found: &mut Findings) {
    let is_kept_back = |name: &str| known::treatment(name) != Some(Treatment::Free);
    let Some((_, name, property)) = plan.client.all().find(|(_, name, _)| is_kept_back(name))
    else {
        return;
    };
    let message = format!("`{name}` has no effect on the embedded cluster");
    found.push(
        Diagnostic::warning(codes::EMBEDDED_LIMIT, property.written, message)
            .label("its clients speak plaintext with it, and with no other")
            .remedy("clients of a real cluster are given it: use `--broker kafka`"),
    );
}

/// Refuses a session timeout with which groups do not form on the embedded cluster.
fn refuse_short_sessions(
    scenario: &Scenario,
    plan: &Plan,
    shortest: Duration,
    found: &mut Findings,
) {
    let (Some(group), Some(given)) = (plan.group(), &scenario.consumers.session_timeout) else {
        return;
    };
    let Some(session_timeout) = group.session_timeout().filter(|session| *session < shortest)
    else {
        return;
    };
    let shortest = format_duration(shortest);
    let message = format!(
        "`consumers.session_timeout` of {} is too short for the embedded cluster",
        format_duration(session_timeout)
    );
    found.push(
        Diagnostic::error(codes::EMBEDDED_LIMIT, given.origin, message)
            .label("its groups never form with it")
            .remedy(format!("set at least {shortest}, or use `--broker kafka`")),
    );
}

/// Warns that on the embedded cluster the restart of a static member causes a rebalance.
fn warn_about_static_members(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let (Some(group), Some(given)) = (plan.group(), &scenario.consumers.membership) else {
        return;
    };
    let is_classic = matches!(group.protocol, GroupProtocol::Classic { .. });
    if group.identity == Identity::Static && is_classic {
        let message = "the embedded cluster keeps no places for static members of a classic group";
        found.push(
            Diagnostic::warning(codes::EMBEDDED_LIMIT, given.origin, message)
                .label("a restart is a rebalance there")
                .remedy("it keeps them with `protocol = \"consumer\"`; or use `--broker kafka`"),
        );
    }
}

fn warn_about_timing(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let timed = |metric: &Metric| {
        metric.needs == Need::Group || (metric.unit == Unit::Time && metric.needs != Need::Schedule)
    };
    let first =
        plan.expectations.iter().find(|expectation| timed(expectation.figure.metric)).and_then(
            |expectation| {
                let name = expectation.expression.split(' ').next().unwrap_or_default();
                scenario.expect.iter().find(|expected| expected.metric == name)
            },
        );
    if let Some(expected) = first {
        let message = format!("`{}` is the embedded cluster's, not a real one's", expected.metric);
        found.push(
            Diagnostic::warning(codes::EMBEDDED_TIMING, expected.bound.key, message)
                .label("this and every other time or rebalance expected here")
                .remedy(
                    "counts, order, restarts and faults are real; for times use `--broker kafka`",
                ),
        );
    }
}

/// Warns if a consumer that pauses would make the embedded cluster delete unread records.
fn warn_about_pauses(scenario: &Scenario, plan: &Plan, limit: u64, found: &mut Findings) {
    let (Pace::Paced { .. }, Some(per_second)) = (plan.load.pace, plan.load.highest_per_second())
    else {
        return;
    };
    // The partitions of a crashed member are not read until its session has timed out.
    let pause = match &plan.consumers.membership {
        Membership::Group(group) if group.identity == Identity::Crashable => {
            group.crash_noticed_after()
        }
        _ => Duration::from_secs(2),
    };
    let bytes_per_second = per_second * f64::from(plan.load.payload_bytes);
    let per_partition = bytes_per_second / f64::from(plan.topic.partitions.max(1));
    if per_partition * pause.as_secs_f64() <= limit as f64 {
        return;
    }
    let origin = [
        scenario.load.rate_total.as_ref().or(scenario.load.rate.as_ref()).map(|at| at.key),
        scenario.load.payload.as_ref().map(|at| at.key),
        scenario.load.producers.as_ref().map(|at| at.key),
    ];
    let message = format!(
        "a partition of the embedded cluster keeps {}, and receives {} in a pause of {}",
        format_bytes(limit),
        format_bytes((per_partition * pause.as_secs_f64()) as u64),
        format_duration(pause)
    );
    let origin = origin.into_iter().flatten().next().unwrap_or(Origin::WholeFile);
    found.push(
        Diagnostic::warning(codes::EMBEDDED_LIMIT, origin, message).remedy(
            "records that are deleted before they are read would count as lost: send less, or use `--broker kafka`",
        ),
    );
}

/// Longest host name in DNS.
const LONGEST_HOST: usize = 253;

/// Checks the addresses given by `key`. A text that may contain a password is never shown.
fn check_addresses(text: &str, origin: Origin, key: &str, found: &mut Findings) {
    if text.contains('@') {
        let message = format!("`{key}` has an `@`: no user and no password belongs in an address");
        found.push(Diagnostic::error(codes::BAD_BOOTSTRAP, origin, message).remedy(
            "write `host:port`; give `sasl.username` and `sasl.password` in a file with `--client-config`",
        ));
        return;
    }
    for address in text.split(',').map(str::trim) {
        let Err((why, remedy)) = parts(address) else { continue };
        let message = format!("`{address}` in `{key}` {why}");
        found.push(Diagnostic::error(codes::BAD_BOOTSTRAP, origin, message).remedy(remedy));
    }
}

const FORM: &str = "write `host:port`, several with commas, for example `localhost:9092`";

/// Checks an address. The error has the reason and a remedy.
fn parts(address: &str) -> Result<(), (&'static str, &'static str)> {
    if address.is_empty() {
        return Err(("is an empty address", FORM));
    }
    if address.contains("://") {
        return Err((
            "is a URL",
            "write `host:port` alone; the client property `security.protocol` says how it is reached",
        ));
    }
    if address.contains([';', ' ', '\t', '|']) {
        return Err(("is more than one address", FORM));
    }
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(("has no port", FORM));
    };
    if address.starts_with('[') || address.matches(':').count() > 1 {
        const BRACKETS: &str = "an IPv6 address stands in brackets, for example `[::1]:9092`";
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let Some(inner) = inner else { return Err(("has more than one colon", BRACKETS)) };
        let number = inner.split_once('%').map_or(inner, |(number, _zone)| number);
        if number.parse::<Ipv6Addr>().is_err() {
            return Err(("is not an IPv6 address", BRACKETS));
        }
    } else if host.is_empty() {
        return Err(("has no host", FORM));
    } else if host.len() > LONGEST_HOST {
        return Err(("has a host longer than 253 characters", FORM));
    } else if !host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
        return Err((
            "has a host with other characters than letters, digits, `.`, `-` and `_`",
            FORM,
        ));
    }
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    if !is_number || !matches!(port.parse::<u16>(), Ok(1..)) {
        return Err(("has no port from 1 to 65535", FORM));
    }
    Ok(())
}

/// Kafka's limit for a topic's name.
const LONGEST_NAME: usize = 249;

pub(super) fn build_topic(
    name: &str,
    scenario: &Scenario,
    overrides: &Overrides,
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
        writes_to_existing: overrides.allow_existing_topic,
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
        broker.capability().replicas_default.min(broker.brokers.unwrap_or(u32::MAX)),
        1..=32,
        "a partition has at least one copy, and no more than the cluster has brokers",
    );
    if let (Some(brokers), Some(at)) = (broker.brokers, given)
        && copies > brokers
    {
        let (kind, called) = (broker.kind(), broker.kind().called());
        let code = match broker.capability().is_modelled {
            true => codes::CONFLICT,
            false => codes::EMBEDDED_LIMIT,
        };
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
    if let Some(at) = given.filter(|_| !broker.capability().replicates) {
        let message = format!(
            "the {} cluster does not replicate, so `topic.min_insync_replicas` has no effect",
            broker.kind().called()
        );
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
    // A smaller log could be trimmed during a short pause of its consumer.
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

/// The scenario's name, reduced to the characters that a topic's name may have.
fn topic_part(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().map(allowed).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for good in [
            "localhost:9092",
            "10.0.0.1:1",
            "broker_1.example.org.:65535",
            "[::1]:9092",
            "[fe80::1%eth0]:1",
        ] {
            assert_eq!(parts(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "is an empty address"),
            ("localhost", "has no port"),
            (":9092", "has no host"),
            ("h:0", "has no port from 1 to 65535"),
            ("h:+1", "has no port from 1 to 65535"),
            ("h:65536", "has no port from 1 to 65535"),
            ("[::1", "has more than one colon"),
            ("[::1]", "has more than one colon"),
            ("[h]:1", "is not an IPv6 address"),
            ("::1:9092", "has more than one colon"),
            ("h:1:2", "has more than one colon"),
            ("http://h:1", "is a URL"),
            ("a:1;b:2", "is more than one address"),
            ("h ost:1", "is more than one address"),
            ("h/path:1", "has a host with other characters than letters, digits, `.`, `-` and `_`"),
        ] {
            assert_eq!(parts(bad).map_err(|(why, _)| why), Err(why), "{bad}");
        }
    }
}

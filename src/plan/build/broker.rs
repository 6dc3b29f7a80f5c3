//! Where the records go, and what that broker cannot do; the addresses of a cluster: `host:port`, several with commas.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::Overrides;
use crate::base::{BrokerKind, format_bytes, format_duration};
use crate::plan::{BrokerPlan, GroupProtocol, Identity, Membership, Pace, Plan};
use crate::reader::{Findings, GivenKey};
use crate::scenario::known::{self, Treatment};
use crate::scenario::{Diagnostic, Origin, Scenario, codes};
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
    // Naming a cluster on the command line is asking for it; naming it in the file is not, so that
    // a scenario from another author touches no cluster by itself.
    let kind = match (overrides.broker, &overrides.bootstrap) {
        (Some(kind), _) => kind,
        (None, Some(_)) => BrokerKind::Kafka,
        (None, None) => BrokerKind::Embedded,
    };
    if let Some(at) = written {
        check_addresses(&at.value, at.origin, "kafka.bootstrap", found);
    }
    if let Some(text) = &overrides.bootstrap {
        check_addresses(text, Origin::CommandLine, "--bootstrap", found);
    }
    let simulated = super::sim::build(scenario, found);
    match kind {
        BrokerKind::Kafka => {}
        BrokerKind::Embedded => {
            warn_unused(scenario, overrides, kind, found);
            return BrokerPlan::Embedded { brokers };
        }
        BrokerKind::Sim => {
            warn_unused(scenario, overrides, kind, found);
            return BrokerPlan::Sim(simulated);
        }
    }
    let given = overrides.bootstrap.as_ref().or(written.map(|at| &at.value));
    if given.is_none() {
        let message = "`--broker kafka` needs to know a cluster";
        found.push(
            Diagnostic::error(codes::MISSING_BOOTSTRAP, Origin::CommandLine, message)
                .remedy("add `--bootstrap host:9092`, or `bootstrap = \"host:9092\"` in `[kafka]`"),
        );
    }
    BrokerPlan::Kafka { bootstrap: given.cloned().unwrap_or_default() }
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

/// What the broker of a complete plan cannot do.
pub(super) fn check(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let capability = plan.broker.kind().capability();
    if !capability.timing_is_real {
        warn_about_timing(scenario, plan, found);
    }
    if let Some(limit) = capability.partition_bytes_max {
        warn_about_pauses(scenario, plan, limit, found);
    }
    if let Some(shortest) = capability.session_timeout_min {
        refuse_short_sessions(scenario, plan, shortest, found);
    }
    if plan.broker.kind() == BrokerKind::Embedded {
        warn_about_access(plan, found);
    }
    if !capability.keeps_static_places {
        warn_about_static_members(scenario, plan, found);
    }
}

/// Warns that the embedded cluster's clients are given nothing but how they work.
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

/// Refuses a session timeout with which the embedded cluster's groups never form.
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

/// Warns that a static member's restart is a rebalance on the embedded cluster.
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

/// Warns when a consumer that stands still would make the embedded cluster drop unread records.
fn warn_about_pauses(scenario: &Scenario, plan: &Plan, limit: u64, found: &mut Findings) {
    let (Pace::Paced { .. }, Some(per_second)) = (plan.load.pace, plan.load.per_second()) else {
        return;
    };
    // A crashed member's partitions stand still until its session has timed out.
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
        scenario.load.rate.as_ref().map(|at| at.key),
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

/// The longest name the domain name system has.
const LONGEST_HOST: usize = 253;

/// Checks the addresses given by `key`. A text that may hold a password is never shown.
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

/// What is wrong with an address, and what to do about it.
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

//! librdkafka properties in a scenario: their values, and those that do not belong there.

use serde_json::{Value as Json, json};

use super::tree::{Entry, Kind, Node};
use super::value::{Place, Value, wrong_type};
use super::{Diagnostic, codes};

/// The value of a property, as librdkafka wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property(pub String);

impl Value for Property {
    fn wanted() -> String {
        "text, a number, `true` or `false`".to_owned()
    }

    fn schema() -> Json {
        json!({"type": ["string", "number", "boolean"]})
    }

    fn read(node: &Node, place: Place<'_>, out: &mut Vec<Diagnostic>) -> Option<Property> {
        match &node.kind {
            Kind::Text(text) => Some(Property(text.clone())),
            Kind::Integer(number) => Some(Property(number.to_string())),
            Kind::Float(number) => Some(Property(number.to_string())),
            Kind::Flag(flag) => Some(Property(flag.to_string())),
            Kind::Date | Kind::Array(_) | Kind::Table(_) => {
                out.push(wrong_type::<Property>(node, place));
                None
            }
        }
    }
}

/// Properties that lanekeeper sets itself, and what to do instead.
const CONTROLLED: &[(&str, &str)] = &[
    ("bootstrap.servers", "give the cluster with `--bootstrap` or in `kafka.bootstrap`"),
    ("metadata.broker.list", "give the cluster with `--bootstrap` or in `kafka.bootstrap`"),
    ("group.id", "remove it: each run has a group of its own"),
    ("group.instance.id", "use `consumers.membership`"),
    ("group.protocol", "use `consumers.protocol`"),
    ("enable.auto.commit", "remove it: offsets are committed by `consumers.commit_interval`"),
    ("auto.commit.enable", "remove it: offsets are committed by `consumers.commit_interval`"),
    ("auto.commit.interval.ms", "use `consumers.commit_interval`"),
    ("enable.auto.offset.store", "remove it: an offset counts once its record is processed"),
    ("auto.offset.reset", "use `consumers.start`"),
    ("enable.partition.eof", "remove it: the consumers depend on it"),
    ("group.remote.assignor", "use `consumers.assignor`"),
    ("partition.assignment.strategy", "use `consumers.assignor`"),
    ("transactional.id", "remove it: producers are not transactional"),
    ("acks", "use `load.acks`"),
    ("request.required.acks", "use `load.acks`"),
    ("enable.idempotence", "use `load.idempotence`"),
    ("linger.ms", "use `load.linger`"),
    ("queue.buffering.max.ms", "use `load.linger`"),
    ("compression.codec", "use `load.compression`"),
    ("compression.type", "use `load.compression`"),
    ("session.timeout.ms", "use `consumers.session_timeout`"),
    ("heartbeat.interval.ms", "use `consumers.heartbeat_interval`"),
    ("max.poll.interval.ms", "use `consumers.max_poll_interval`"),
];

/// Says why the property `name` may not be in a scenario, if it may not.
pub(super) fn refuse(name: &str, entry: &Entry) -> Option<Diagnostic> {
    if is_secret(name) {
        let variable = name.to_uppercase().replace(['.', '-'], "_");
        let diagnostic = Diagnostic::error(
            codes::SECRET_PROPERTY,
            entry.key_origin,
            format!("`{name}` is a secret and does not belong in a scenario"),
        )
        .remedy(format!(
            "put it in the environment as LANEKEEPER_CLIENT_{variable}, \
             or in a file given by `--client-config`"
        ));
        return Some(diagnostic);
    }
    let remedy = match CONTROLLED.iter().find(|(property, _)| *property == name) {
        Some((_, remedy)) => *remedy,
        None if name.starts_with("test.mock.") => "use `embedded.brokers` and `--broker embedded`",
        None => return None,
    };
    let message = format!("`{name}` is set by lanekeeper itself");
    let refusal = Diagnostic::error(codes::CONTROLLED_PROPERTY, entry.key_origin, message);
    Some(refusal.remedy(remedy))
}

/// Whether a property, or a line of a scenario that is not even TOML, may hold a secret.
pub(super) fn is_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // What librdkafka marks as sensitive, and what looks like it.
    ["password", "secret", "passphrase", "ssl.key.pem", "private.key", "sasl.oauthbearer.config"]
        .iter()
        .any(|word| text.contains(word))
}

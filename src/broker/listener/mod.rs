//! What a listener of a broker is, and what it lets a user do: asked on a socket of its own, because librdkafka says
//! neither.
//!
//! Everything here asks and nothing writes.

mod dialogue;
mod kind;
mod rights;

pub(crate) use dialogue::{Dialogue, DialogueError};
pub(crate) use kind::{ListenerKind, kind_of};
pub(crate) use rights::{Operation, Rights, TopicRights};

use std::time::Duration;

use crate::broker::secure::Access;

/// Why members of the consumer protocol cannot join.
pub(crate) const NO_CONSUMER_PROTOCOL: &str = "the brokers do not serve groups of the consumer protocol (KIP-848), which \
                                               Kafka does from 4.0 on; set `consumers.protocol = \"classic\"`";

/// How long each answer about groups may take.
const ANSWER: Duration = Duration::from_secs(3);

/// Whether one of the brokers at `bootstrap` serves groups of the consumer protocol, or has the preview of Kafka 3.9 if
/// that is enough. True where it is not known.
pub(crate) fn serves_consumer_groups(
    bootstrap: &str,
    access: &Access,
    or_as_a_preview: bool,
) -> bool {
    let asked = Dialogue::log_in_at(bootstrap, access, ANSWER);
    asked.and_then(|mut dialogue| dialogue.serves_consumer_groups(or_as_a_preview)).unwrap_or(true)
}

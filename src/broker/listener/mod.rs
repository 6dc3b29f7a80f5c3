//! The type of a broker's listener, and the rights of a user. They are queried on a separate socket, because librdkafka
//! reports neither.
//!
//! All requests are queries, which change nothing.

mod dialogue;
mod kind;
mod rights;

pub(crate) use dialogue::{Dialogue, DialogueError};
pub(crate) use kind::{ListenerKind, kind_of};
pub(crate) use rights::{Operation, Rights, TopicRights};

use std::time::Duration;

use crate::broker::secure::Access;

/// The error of members of the consumer protocol that cannot join.
pub(crate) const NO_CONSUMER_PROTOCOL: &str = "the brokers do not serve groups of the consumer protocol (KIP-848), which \
                                               Kafka does from 4.0 on; set `consumers.protocol = \"classic\"`";

/// Longest wait for each answer about groups.
const ANSWER: Duration = Duration::from_secs(3);

/// True if a broker at `bootstrap` serves groups of the consumer protocol, or has the preview of Kafka 3.9 if that is
/// enough. Also true if that is not known.
pub(crate) fn serves_consumer_groups(
    bootstrap: &str,
    access: &Access,
    or_as_a_preview: bool,
) -> bool {
    let asked = Dialogue::log_in_at(bootstrap, access, ANSWER);
    asked.and_then(|mut dialogue| dialogue.serves_consumer_groups(or_as_a_preview)).unwrap_or(true)
}

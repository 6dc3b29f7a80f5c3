//! librdkafka's errors, by what they mean; and which right a user lacks, when a broker refuses something.
//!
//! The operations that each request needs: Kafka's documentation, "Authorization and ACLs", section "Protocols".

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::broker::{BrokerError, ErrorClass};
use crate::measure::Outcome;

/// What an error of a consumer means. librdkafka's own documentation calls global errors informational.
pub(super) fn classify(error: &KafkaError) -> BrokerError {
    let class = match error {
        KafkaError::MessageConsumptionFatal(_) => ErrorClass::Fatal,
        other => other.rdkafka_error_code().map_or(ErrorClass::Informational, class_of),
    };
    BrokerError { class, message: describe(error) }
}

fn class_of(code: RDKafkaErrorCode) -> ErrorClass {
    use RDKafkaErrorCode as Code;
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => {
            ErrorClass::Position
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicId
        | Code::InvalidTopic => ErrorClass::Denied,
        Code::Fatal | Code::Fenced | Code::FencedInstanceId | Code::PollExceeded => {
            ErrorClass::Fatal
        }
        _ => ErrorClass::Informational,
    }
}

/// The same for an error that came while `doing` something with `topic`: a right that is missing is named.
pub(super) fn classify_while(error: &KafkaError, doing: Doing, topic: &str) -> BrokerError {
    BrokerError { message: describe_while(error, doing, topic), ..classify(error) }
}

/// What [`describe`] says, or the right that is missing.
pub(super) fn describe_while(error: &KafkaError, doing: Doing, topic: &str) -> String {
    let denied =
        error.rdkafka_error_code().and_then(|code| missing_right(code, doing, topic, None));
    denied.unwrap_or_else(|| describe(error))
}

/// The code's name, or the whole message where there is no code. Never a property's value.
pub(super) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => format!("the client refuses `{name}`"),
        KafkaError::ClientCreation(_) => "the client refuses its properties".to_owned(),
        other => other.rdkafka_error_code().map_or_else(|| other.to_string(), |c| c.to_string()),
    }
}

/// What a failed delivery says about the record. Only errors that mean "never appended" count as failed;
/// everything else may have been appended.
pub(super) fn outcome(error: &KafkaError) -> Outcome {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::PurgeQueue
            | Code::QueueFull
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidMessage
            | Code::InvalidRecord
            | Code::MessageBatchTooLarge
            | Code::InvalidTopic
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::NotEnoughReplicas
            | Code::PolicyViolation
            | Code::UnsupportedCompressionType
            | Code::TimedOutQueue,
        ) => Outcome::Failed,
        _ => Outcome::Indeterminate,
    }
}

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Looking at a topic.
    Describe,
    /// Creating a topic.
    Create,
    /// Deleting a topic.
    Delete,
    /// Reading records, or taking part in a group and committing for it.
    Read,
    /// Appending records.
    Write,
}

/// Which right is missing on which resource, and how to give it. `None` if the code is another error.
pub(super) fn missing_right(
    code: RDKafkaErrorCode,
    doing: Doing,
    topic: &str,
    group: Option<&str>,
) -> Option<String> {
    use RDKafkaErrorCode as Code;
    let operation = match doing {
        Doing::Describe => "Describe",
        Doing::Create => "Create",
        Doing::Delete => "Delete",
        Doing::Read => "Read",
        Doing::Write => "Write",
    };
    let (operation, resource, option) = match code {
        Code::TopicAuthorizationFailed => {
            (operation, format!("topic `{topic}`"), format!("--topic {topic}"))
        }
        Code::GroupAuthorizationFailed => {
            let group = group
                .map_or("the group of this run".to_owned(), |group| format!("group `{group}`"));
            ("Read", group, "--group lanekeeper- --resource-pattern-type prefixed".to_owned())
        }
        Code::ClusterAuthorizationFailed => {
            let operation = if doing == Doing::Write { "IdempotentWrite" } else { operation };
            (operation, "the cluster".to_owned(), "--cluster".to_owned())
        }
        Code::TransactionalIdAuthorizationFailed => {
            ("Write", "the transactional id".to_owned(), "--transactional-id ID".to_owned())
        }
        _ => return None,
    };
    Some(format!(
        "this user lacks the right {operation} on {resource}; give it with `kafka-acls.sh --add --allow-principal \
         User:NAME --operation {operation} {option}`"
    ))
}

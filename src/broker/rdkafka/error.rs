//! librdkafka's errors, by what they mean.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::setup::{Doing, missing_right};
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

//! The classes of librdkafka's errors, and their texts.
//!
//! The texts of clients, in the log and in messages, contain no values from outside the scenario.

use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::setup::ClientReports;
use crate::broker::settings::Hidden;
use crate::broker::setup::{Doing, right_missing_by};
use crate::broker::{BrokerError, ErrorClass};
use crate::measure::Outcome;

/// The class of a consumer's error. librdkafka's documentation calls global errors informational.
pub(super) fn classify(error: &KafkaError) -> BrokerError {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnreleasedInstanceId) {
        return BrokerError::unreleased();
    }
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

/// The class of an error that came while `doing` something with `topic`. The message names a missing right.
pub(super) fn classify_while(error: &KafkaError, doing: Doing, topic: &str) -> BrokerError {
    let BrokerError { class, message } = classify(error);
    BrokerError { class, message: denied_while(error, doing, topic).unwrap_or(message) }
}

/// The missing right, or else the text of [`describe`].
pub(super) fn describe_while(error: &KafkaError, doing: Doing, topic: &str) -> String {
    denied_while(error, doing, topic).unwrap_or_else(|| describe(error))
}

fn denied_while(error: &KafkaError, doing: Doing, topic: &str) -> Option<String> {
    error.rdkafka_error_code().and_then(|code| missing_right(code, doing, topic, None))
}

/// The right that is missing, its resource, and how to grant it. `None` if the code is not an authorization error.
pub(super) fn missing_right(
    code: RDKafkaErrorCode,
    doing: Doing,
    topic: &str,
    group: Option<&str>,
) -> Option<String> {
    right_missing_by(code as i16, doing, topic, group)
}

/// The name of the error code, or the whole message if the error has no code. Contains no value of a property.
pub(super) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => format!("the client refuses `{name}`"),
        KafkaError::ClientCreation(_) => "the client refuses its properties".to_owned(),
        other => other.rdkafka_error_code().map_or_else(|| other.to_string(), |c| c.to_string()),
    }
}

/// The outcome of a record whose delivery failed. Only errors that mean "never appended" count as failed; after any
/// other error the record may have been appended.
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

/// Writes the log and the errors of a client to the log of the run, without values from outside the scenario. The
/// default context of clients.
#[derive(Clone)]
pub(super) struct Told {
    hidden: Arc<Hidden>,
    /// Keeps the errors, for a client that finds out why a cluster does not answer. `None` for other clients.
    reports: Option<Arc<ClientReports>>,
}

impl Told {
    pub(super) fn new(hidden: Arc<Hidden>) -> Told {
        Told { hidden, reports: None }
    }

    /// The same context that also keeps errors in `reports`.
    pub(super) fn keeping(self, reports: Arc<ClientReports>) -> Told {
        Told { reports: Some(reports), ..self }
    }

    /// Takes a line of librdkafka's log.
    pub(super) fn line(&self, about: &str, said: &str) {
        let said = self.hidden.hide(said);
        if let Some(reports) = &self.reports {
            reports.log(about, &said);
        }
        tracing::debug!(about, said, "client log");
    }

    /// Takes an error of the client as a whole.
    pub(super) fn failure(&self, error: &KafkaError, said: &str) {
        let said = self.hidden.hide(said);
        if let Some(reports) = &self.reports {
            reports.report(error, &said);
        }
        tracing::debug!(error = describe(error), reason = said, "client error");
    }
}

impl ClientContext for Told {
    fn log(&self, _level: RDKafkaLogLevel, about: &str, said: &str) {
        self.line(about, said);
    }

    fn error(&self, error: KafkaError, said: &str) {
        self.failure(&error, said);
    }
}

impl ConsumerContext for Told {}

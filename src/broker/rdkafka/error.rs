//! librdkafka's errors, by what they mean.
//!
//! What clients say, in the log and in messages, without the values they were given from outside the scenario.

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

/// Which right is missing on which resource, and how to give it. `None` if the code is another error.
pub(super) fn missing_right(
    code: RDKafkaErrorCode,
    doing: Doing,
    topic: &str,
    group: Option<&str>,
) -> Option<String> {
    right_missing_by(code as i16, doing, topic, group)
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

/// Takes what a client says to the log, without the values it was given from outside the scenario. The context of
/// clients that have no other.
#[derive(Clone)]
pub(super) struct Told {
    hidden: Arc<Hidden>,
    /// Where errors are kept, for clients that find out why a cluster does not answer.
    reports: Option<Arc<ClientReports>>,
}

impl Told {
    pub(super) fn new(hidden: Arc<Hidden>) -> Told {
        Told { hidden, reports: None }
    }

    /// The same, and errors are kept.
    pub(super) fn keeping(self, reports: Arc<ClientReports>) -> Told {
        Told { reports: Some(reports), ..self }
    }

    /// A line of the client library's own log.
    pub(super) fn line(&self, about: &str, said: &str) {
        let said = self.hidden.hide(said);
        if let Some(reports) = &self.reports {
            reports.log(about, &said);
        }
        tracing::debug!(about, said, "client log");
    }

    /// An error of the client as a whole.
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

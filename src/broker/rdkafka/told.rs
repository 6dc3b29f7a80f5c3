//! What clients say, in the log.

use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::error::describe;
use super::hidden::Hidden;

/// Takes what a client says to the log, without the values it was given from outside the scenario. The context of
/// clients that have no other.
#[derive(Clone)]
pub(super) struct Told(pub(super) Arc<Hidden>);

impl Told {
    /// A line of the client library's own log.
    pub(super) fn line(&self, about: &str, said: &str) {
        tracing::debug!(about, said = self.0.hide(said), "client log");
    }

    /// An error of the client as a whole.
    pub(super) fn failure(&self, error: &KafkaError, said: &str) {
        tracing::debug!(error = describe(error), reason = self.0.hide(said), "client error");
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

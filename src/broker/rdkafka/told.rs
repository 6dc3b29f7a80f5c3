//! What clients say, in the log.

use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::error::describe;
use super::hidden::Hidden;
use super::setup::ClientReports;

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

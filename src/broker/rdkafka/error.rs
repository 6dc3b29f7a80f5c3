//! librdkafka's errors, by what they mean; and which right a user lacks, when a broker refuses something.
//!
//! The operations that each request needs: Kafka's documentation, "Authorization and ACLs", section "Protocols".
//!
//! What clients say, in the log and in messages, without the values they were given from outside the scenario.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client_file::ClientFile;
use super::setup::ClientReports;
use crate::broker::{BrokerError, ErrorClass};
use crate::measure::Outcome;
use crate::scenario::known::{self, Treatment};

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
pub(in crate::broker) enum Doing {
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

/// The same as [`missing_right`] for the number of an error in Kafka's protocol.
pub(in crate::broker) fn right_missing_by(
    code: i16,
    doing: Doing,
    topic: &str,
    group: Option<&str>,
) -> Option<String> {
    let code = match code {
        29 => RDKafkaErrorCode::TopicAuthorizationFailed,
        30 => RDKafkaErrorCode::GroupAuthorizationFailed,
        31 => RDKafkaErrorCode::ClusterAuthorizationFailed,
        _ => return None,
    };
    missing_right(code, doing, topic, group)
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
            (operation, format!("topic `{topic}`"), acl_option("topic", topic))
        }
        Code::GroupAuthorizationFailed => {
            let group = group
                .map_or("the group of this run".to_owned(), |group| format!("group `{group}`"));
            let operation = if doing == Doing::Delete { "Delete" } else { "Read" };
            (operation, group, acl_option("group", "lanekeeper-"))
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

/// The option of `kafka-acls.sh` for a topic or a group. A run's own has another name each time.
pub(super) fn acl_option(kind: &str, name: &str) -> String {
    match name.starts_with("lanekeeper-") {
        true => format!("--{kind} lanekeeper- --resource-pattern-type prefixed"),
        false => format!("--{kind} {name}"),
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

/// Values that are not shown.
#[derive(Clone, Default)]
pub(super) struct Hidden {
    /// Whole values and their parts, the longest first.
    texts: Vec<String>,
}

/// The values of this process's clients: for messages of code that has no client at hand.
static OF_PROCESS: Mutex<Vec<Arc<Hidden>>> = Mutex::new(Vec::new());
/// Clients' values that are remembered; a process has one client file, and its tests a few.
const REMEMBERED_MAX: usize = 64;

/// From now on [`without_hidden`] leaves the file's values out.
pub fn remember_hidden(file: &ClientFile) {
    let hidden = Hidden::of(file);
    let mut known = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = known.iter().any(|other| other.texts == hidden.texts);
    if !is_known && known.len() < REMEMBERED_MAX {
        known.push(Arc::new(hidden));
    }
}

/// `said` without any value that was given to [`remember_hidden`]; nothing of it while they cannot be looked up, so that
/// a panic hook does not wait.
pub fn without_hidden(said: &str) -> String {
    match OF_PROCESS.try_lock() {
        Ok(known) => known.iter().fold(said.to_owned(), |said, hidden| hidden.hide(&said)),
        Err(_) => HIDDEN.to_owned(),
    }
}

/// What stands in the place of a value.
const HIDDEN: &str = "(hidden)";

/// Properties whose values are words of the protocol, if they are right. Those are in many messages and no secrets.
const WORDS: &[(&str, &[&str])] = &[
    ("security.protocol", &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]),
    ("sasl.mechanism", &["plain", "gssapi", "oauthbearer", "scram-sha-256", "scram-sha-512"]),
    ("ssl.endpoint.identification.algorithm", &["none", "https"]),
    ("enable.ssl.certificate.verification", &["true", "false"]),
];

/// Names within `sasl.oauthbearer.config`, which messages tell.
const PART_NAMES: [&str; 2] = ["token", "token_file"];

/// A shorter text is hidden only where it is a word of its own.
const CUT_FROM: usize = 4;

impl Hidden {
    pub(super) fn of(file: &ClientFile) -> Hidden {
        let mut texts = Vec::new();
        for (name, given) in file.all() {
            let value = given.value.trim();
            if value.is_empty() || is_open(name, value) {
                continue;
            }
            texts.push(value.to_owned());
            // Messages may quote a list or a pair in part.
            let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '=' | '"' | '\'');
            let is_value = |part: &&str| part.len() >= CUT_FROM && !PART_NAMES.contains(part);
            let parts = value.split(is_end).filter(is_value);
            texts.extend(parts.map(str::to_owned));
        }
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Hidden { texts }
    }

    /// `said` without any of the values.
    pub(super) fn hide(&self, said: &str) -> String {
        let mut said = said.to_owned();
        for text in &self.texts {
            if text.len() >= CUT_FROM {
                said = said.replace(text.as_str(), HIDDEN);
            } else {
                said = without_word(&said, text);
            }
        }
        said
    }
}

/// Whether a value says nothing that could be a secret: a number of how the client works, a word of the protocol.
fn is_open(name: &str, value: &str) -> bool {
    let is_number = value.parse::<f64>().is_ok() || matches!(value, "true" | "false");
    let words = WORDS.iter().find(|(other, _)| *other == name).map_or(&[][..], |(_, words)| words);
    (is_number && known::treatment(name) == Some(Treatment::Free))
        || words.contains(&value.to_ascii_lowercase().as_str())
}

/// `said` without `word` where it is not a part of a longer one.
fn without_word(said: &str, word: &str) -> String {
    let mut out = String::new();
    let mut rest = said;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let is_part =
            before.ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if is_part { word } else { HIDDEN });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_out_whole_in_parts_and_as_words() {
        let text = "sasl.password=pass word\nsasl.username=me\nsecurity.protocol=SASL_SSL\n\
                    socket.timeout.ms=1000\nssl.key.password=9092\nsasl.oauthbearer.config=principal=admin scope=x\n";
        let file = ClientFile::read(Some(("c", text.as_bytes())), std::iter::empty()).unwrap();
        let hidden = Hidden::of(&file);
        let said =
            "SASL_SSL://b:1000: wrong pass word for me at 9092, some pass; beginning at: admin";
        let left = "SASL_SSL://b:1000: wrong (hidden) for (hidden) at (hidden), some (hidden); beginning at: (hidden)";
        assert_eq!(hidden.hide(said), left);
        assert_eq!(Hidden::default().hide(said), said);
    }
}

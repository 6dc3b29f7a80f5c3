//! What clients say, in the log and in messages, without the values they were given from outside the scenario.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::client_file::ClientFile;
use super::error::describe;
use super::setup::ClientReports;
use crate::scenario::known::{self, Treatment};

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
    let mut known = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() < REMEMBERED_MAX {
        known.push(Arc::new(Hidden::of(file)));
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
            let parts = value.split(is_end).filter(|part| part.len() >= CUT_FROM);
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

//! Removes values from outside the scenario from messages and logs.

use std::sync::{Arc, Mutex, PoisonError};

use super::client_file::ClientFile;
use crate::scenario::known::{self, Treatment};

/// Values that must not be shown.
#[derive(Clone, Default)]
pub(in crate::broker) struct Hidden {
    /// Whole values and parts of them, the longest first.
    texts: Vec<String>,
}

/// The values of this process's clients, for code that has no client settings.
static OF_PROCESS: Mutex<Vec<Arc<Hidden>>> = Mutex::new(Vec::new());
/// Most client files that are remembered. A process has one, its tests have a few.
const REMEMBERED_MAX: usize = 64;

/// Makes [`without_hidden`] remove the values of this file.
pub fn remember_hidden(file: &ClientFile) {
    let hidden = Hidden::of(file);
    let mut known = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = known.iter().any(|other| other.texts == hidden.texts);
    if !is_known && known.len() < REMEMBERED_MAX {
        known.push(Arc::new(hidden));
    }
}

/// `said` without the values that were given to [`remember_hidden`]. Returns none of the text while the values are
/// locked, so that a panic hook does not wait.
pub fn without_hidden(said: &str) -> String {
    match OF_PROCESS.try_lock() {
        Ok(known) => known.iter().fold(said.to_owned(), |said, hidden| hidden.hide(&said)),
        Err(_) => HIDDEN.to_owned(),
    }
}

/// The replacement of a value.
const HIDDEN: &str = "(hidden)";

/// Properties whose valid values are words of the protocol, or lists of them. These words are in many messages, and are
/// no secrets. The contexts of `debug` are those of librdkafka's CONFIGURATION.md.
const WORDS: &[(&str, &[&str])] = &[
    ("security.protocol", &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]),
    ("sasl.mechanism", &["plain", "gssapi", "oauthbearer", "scram-sha-256", "scram-sha-512"]),
    ("ssl.endpoint.identification.algorithm", &["none", "https"]),
    ("enable.ssl.certificate.verification", &["true", "false"]),
    (
        "debug",
        &[
            "generic",
            "broker",
            "topic",
            "metadata",
            "feature",
            "queue",
            "msg",
            "protocol",
            "cgrp",
            "security",
            "fetch",
            "interceptor",
            "plugin",
            "consumer",
            "admin",
            "eos",
            "mock",
            "assignor",
            "conf",
            "telemetry",
            "all",
        ],
    ),
];

/// Names of parts of `sasl.oauthbearer.config`, which are in messages.
const PART_NAMES: [&str; 2] = ["token", "token_file"];

/// A text with fewer bytes than this is replaced only where it is a whole word.
const CUT_FROM: usize = 4;

impl Hidden {
    pub(in crate::broker) fn of(file: &ClientFile) -> Hidden {
        let mut texts = Vec::new();
        for (name, given) in file.all() {
            let value = given.value.trim();
            if value.is_empty() || is_open(name, value) {
                continue;
            }
            texts.push(value.to_owned());
            // A message may quote a part of a list or a pair.
            let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '=' | '"' | '\'');
            let is_value = |part: &&str| part.len() >= CUT_FROM && !PART_NAMES.contains(part);
            let parts = value.split(is_end).filter(is_value);
            texts.extend(parts.map(str::to_owned));
        }
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Hidden { texts }
    }

    /// `said` without the values.
    pub(in crate::broker) fn hide(&self, said: &str) -> String {
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

/// True if a value cannot be a secret: a number for a property that the user may set freely, or a word of the protocol.
fn is_open(name: &str, value: &str) -> bool {
    let is_number = value.parse::<f64>().is_ok() || matches!(value, "true" | "false");
    let words = WORDS.iter().find(|(other, _)| *other == name).map_or(&[][..], |(_, words)| words);
    let value = value.to_ascii_lowercase();
    (is_number && known::treatment(name) == Some(Treatment::Free))
        || value.split(',').all(|part| words.contains(&part.trim()))
}

/// `said` without `word`, except where it is part of a longer word.
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

    #[test]
    fn the_contexts_of_debugging_are_no_secrets() {
        let hides = |text: &str, said: &str| {
            let file = ClientFile::read(Some(("c", text.as_bytes())), std::iter::empty()).unwrap();
            Hidden::of(&file).hide(said) != said
        };
        assert!(!hides("debug=fetch, topic", "[thrd:main]: fetch of a topic"));
        // A value that librdkafka does not know may be a secret in the wrong place.
        assert!(hides("debug=fetch,hunter2", "hunter2"));
    }
}

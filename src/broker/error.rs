//! Errors of a client, by what they mean for a consumer.

use std::fmt;

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The client deals with it by itself; it is counted and never ends a consumer.
    Informational,
    /// The position does not exist: data loss, truncation, a re-created topic. Restarting cannot help.
    Position,
    /// Not allowed, or not there. Restarting cannot help.
    Denied,
    /// A record that can never be processed. Restarting cannot help, skipping it may.
    Poison,
    /// The client is beyond repair; a new one may do.
    Fatal,
    /// Not the client but what is done with a record has failed.
    Processing,
}

impl ErrorClass {
    /// Whether the same would happen after a restart.
    pub fn is_definite(self) -> bool {
        matches!(self, ErrorClass::Position | ErrorClass::Denied)
    }
}

/// An error with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerError {
    /// What it means.
    pub class: ErrorClass,
    /// What the client said.
    pub message: String,
}

impl BrokerError {
    /// An error that ends the client.
    pub fn fatal(message: impl Into<String>) -> BrokerError {
        BrokerError { class: ErrorClass::Fatal, message: message.into() }
    }

    /// An error of what is done with records.
    pub fn processing(message: impl Into<String>) -> BrokerError {
        BrokerError { class: ErrorClass::Processing, message: message.into() }
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BrokerError {}

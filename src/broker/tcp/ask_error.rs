//! Why a broker has not answered what it was asked.

use std::io;

use crate::broker::secure::{LoginError, TlsFailure};
use crate::broker::wire::{KafkaError, VersionError, WireError};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The name of a host is unknown.
    #[error("{0}")]
    NotResolved(String),
    /// The system says so.
    #[error("{0}")]
    Socket(io::Error),
    /// The connection has no TLS.
    #[error("{0}")]
    Tls(TlsFailure),
    /// The login does not succeed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The broker closed the connection.
    #[error("the broker closed the connection")]
    Closed,
    /// What came is not Kafka's protocol.
    #[error("what the broker sent is not readable: {0}")]
    Unreadable(#[from] WireError),
    /// It does not say which versions it speaks.
    #[error("the broker refuses ApiVersions with error {0}")]
    NoVersions(i16),
    /// There is no version of the question that both sides speak.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The broker refuses.
    #[error("{0}")]
    Refused(KafkaError),
    /// No answer came in time.
    #[error("no answer")]
    Silent,
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> AskError {
        match TlsFailure::in_error(&error) {
            Some(failure) => AskError::Tls(failure.clone()),
            None => AskError::Socket(error),
        }
    }
}

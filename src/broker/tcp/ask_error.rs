//! Errors of a request to a broker.

use std::io;

use crate::broker::secure::{LoginError, TlsFailure};
use crate::broker::wire::{KafkaError, VersionError, WireError};

/// The reason why a request has no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The name of a host is unknown.
    #[error("{0}")]
    NotResolved(String),
    /// An error of the operating system.
    #[error("{0}")]
    Socket(io::Error),
    /// TLS has failed.
    #[error("{0}")]
    Tls(TlsFailure),
    /// The login has failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The broker closed the connection.
    #[error("the broker closed the connection")]
    Closed,
    /// The bytes are not Kafka's protocol.
    #[error("what the broker sent is not readable: {0}")]
    Unreadable(#[from] WireError),
    /// The broker does not report its versions.
    #[error("the broker refuses ApiVersions with error {0}")]
    NoVersions(i16),
    /// No version of the request is known to both sides.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// An error of the broker.
    #[error("{0}")]
    Refused(KafkaError),
    /// No response came in time.
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

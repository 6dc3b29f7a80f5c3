//! The errors of commands, and their exit codes.

use std::process::{ExitCode, Termination};

use thiserror::Error;

/// The reason why a command failed. Every message contains a remedy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The scenario or the command line is wrong. The text is rendered diagnostics.
    #[error("{0}")]
    Input(String),
    /// The environment prevents the run: no broker, no permission, no disk space.
    #[error("{0}")]
    Environment(String),
    /// A simulation exceeds a limit.
    #[error("{0}")]
    Limit(String),
    /// The user stopped the run before its load began.
    #[error("interrupted before the load began: there is nothing to keep")]
    Interrupted,
    /// The user stopped the run, and it did not end within this number of seconds.
    #[error("interrupted: the run did not end within {0} s and was cut off")]
    CutOff(u64),
    /// The command has left something that the user has to remove.
    #[error("{error}\n  left behind: {}", .left.join("\n  left behind: "))]
    LeftBehind {
        /// The error.
        error: Box<Error>,
        /// Descriptions of what is left, each with the command that removes it.
        left: Vec<String>,
    },
    /// A bug in lanekeeper.
    #[error("this is a bug in lanekeeper: {0}")]
    Bug(String),
}

/// The exit codes of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every expectation holds.
    Passed = 0,
    /// An expectation does not hold.
    Failed = 1,
    /// The scenario or the command line is wrong.
    Input = 2,
    /// The environment prevents the run: no broker, no permission, no disk space.
    Environment = 3,
    /// The run is invalid.
    Invalid = 4,
    /// A bug in lanekeeper.
    Bug = 70,
    /// The user stopped the run. Its measurements are kept.
    Interrupted = 130,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

impl Error {
    /// The exit code for this error.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Input(_) => Exit::Input,
            Error::Environment(_) | Error::Limit(_) => Exit::Environment,
            Error::Interrupted | Error::CutOff(_) => Exit::Interrupted,
            Error::LeftBehind { error, .. } => error.exit(),
            Error::Bug(_) => Exit::Bug,
        }
    }
}

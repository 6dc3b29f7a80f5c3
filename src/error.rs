//! What can go wrong for a user, and the exit codes.

use std::process::{ExitCode, Termination};

use thiserror::Error;

/// Why a command did not do what it was asked. Every message says what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The scenario or the command line is wrong. Rendered diagnostics, ready to print.
    #[error("{0}")]
    Input(String),
    /// The surroundings are not as they should be: no broker, no permission, no room.
    #[error("{0}")]
    Environment(String),
    /// A simulation is larger than simulations may be.
    #[error("{0}")]
    Limit(String),
    /// The user stopped it before there was anything to keep.
    #[error("interrupted before the load began: there is nothing to keep")]
    Interrupted,
    /// The user stopped it, and it did not come to its end in order.
    #[error("interrupted: the run did not end within {0} s and was cut off")]
    CutOff(u64),
    /// Something was left that the user has to clean up.
    #[error("{error}\n  left behind: {}", .left.join("\n  left behind: "))]
    LeftBehind {
        /// What went wrong.
        error: Box<Error>,
        /// What is left, each with the command that removes it.
        left: Vec<String>,
    },
    /// It is our fault.
    #[error("this is a bug in lanekeeper: {0}")]
    Bug(String),
}

/// How the process ends: what `main` may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every expectation holds.
    Passed = 0,
    /// An expectation failed.
    Failed = 1,
    /// Bad input.
    Input = 2,
    /// No broker, no permission, no room.
    Environment = 3,
    /// The run is invalid.
    Invalid = 4,
    /// A bug.
    Bug = 70,
    /// Stopped by the user; what was measured is kept.
    Interrupted = 130,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

impl Error {
    /// The exit code that goes with it.
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

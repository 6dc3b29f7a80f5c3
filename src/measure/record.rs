//! A record as a consumer processed it.

use crate::base::{Offset, Stamp, Time};

/// A record as a consumer machine saw it.
#[derive(Clone, Copy, Debug)]
pub struct Processed {
    /// Where it stood.
    pub offset: Offset,
    /// What it was.
    pub content: Content,
    /// When it came.
    pub handed: Handed,
    /// When the handling of it was done.
    pub done: Time,
    /// Size of the payload.
    pub bytes: u32,
}

/// When a record came to its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// When the response with it reached the client; `None` where the client does not say.
    pub fetched: Option<Time>,
    /// When its handling began.
    pub at: Time,
}

impl From<Time> for Handed {
    /// By a client that does not say when it had the record.
    fn from(at: Time) -> Handed {
        Handed { fetched: None, at }
    }
}

/// What a record was.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// Ours and intact.
    Intact(Stamp),
    /// Intact, of an earlier run that this one continues.
    Earlier(Stamp),
    /// Ours once.
    Corrupt,
    /// Of another run.
    Foreign,
    /// Passed over as poison; with its stamp, if it was ours and intact.
    Skipped(Option<Stamp>),
}

//! What the cluster says.
//!
//! Answers to batches and to fetches have lists of their own: nearly everything that is said is one of them, and plain
//! values go from hand to hand faster than one of many kinds of things. Between two lists no order is kept.

use super::{Alarm, BrokerId, Caller};
use crate::base::{Offset, Time};
use crate::broker::protocol::{ErrorCode, Fetch, Produce, Response};

/// Requests whose memory waits for another use.
const DONE_MAX: usize = 64;

/// What follows from something that has happened.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Batches that are answered.
    pub produced: Vec<Produced>,
    /// Fetches that are answered.
    pub fetched: Vec<Fetched>,
    /// Everything else, in its order.
    pub others: Vec<Output>,
    /// Requests that have done their work, for a use of their memory.
    pub done: Vec<Box<Produce>>,
}

/// A batch is answered.
#[derive(Clone, Copy, Debug)]
pub struct Produced {
    /// When the answer leaves.
    pub at: Time,
    /// From which broker.
    pub from: BrokerId,
    /// The receiver.
    pub to: Caller,
    /// The request's number.
    pub number: u64,
    /// Offset of the batch's first record, if it was taken.
    pub offset: Offset,
    /// Why it was not.
    pub error: Option<ErrorCode>,
}

/// A fetch is answered.
#[derive(Debug)]
pub struct Fetched {
    /// When the answer leaves.
    pub at: Time,
    /// From which broker.
    pub from: BrokerId,
    /// The receiver.
    pub to: Caller,
    /// The request, its slots filled in.
    pub fetch: Box<Fetch>,
}

/// Something else the cluster says.
#[derive(Debug)]
pub enum Output {
    /// A response leaves `from` for `to` at `at`.
    Reply {
        /// When.
        at: Time,
        /// From which broker.
        from: BrokerId,
        /// The receiver.
        to: Caller,
        /// What.
        response: Response,
    },
    /// `broker` closes a connection instead of an answer.
    HangUp {
        /// Which broker.
        broker: BrokerId,
        /// Whose connection.
        caller: Caller,
    },
    /// [`Cluster::alarm`](super::Cluster::alarm) wants to be called at `at`.
    Alarm {
        /// When.
        at: Time,
        /// With this.
        alarm: Alarm,
    },
}

impl Output {
    /// The connection that is closed by this, if one is.
    pub(super) fn closes(&self) -> Option<Caller> {
        match self {
            Output::HangUp { caller, .. } => Some(*caller),
            Output::Reply { .. } | Output::Alarm { .. } => None,
        }
    }
}

impl Outputs {
    /// A request has done its work.
    #[inline]
    pub(super) fn done(&mut self, request: Box<Produce>) {
        if self.done.len() < DONE_MAX {
            self.done.push(request);
        }
    }

    /// Says something that is no answer to a batch or a fetch.
    pub fn push(&mut self, output: Output) {
        self.others.push(output);
    }
}

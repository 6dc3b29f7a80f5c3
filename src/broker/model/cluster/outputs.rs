//! What the cluster says.
//!
//! Answers to batches and to fetches have lists of their own: nearly everything that is said is one of them, and plain
//! values go from hand to hand faster than one of many kinds of things. Between two lists no order is kept.

use crate::base::{Offset, Time};
use crate::broker::protocol::{BrokerId, ErrorCode, Fetch, Produce, Response};

/// A client's connections, as the cluster tells clients apart.
pub type ClientId = u32;

/// A connection of a client to a broker: the destination of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client.
    pub client: ClientId,
    /// How many connections to this broker it has had before.
    pub connection: u32,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A fetch has waited for as long as it may.
    Fetch {
        /// Whose.
        client: ClientId,
        /// At which broker.
        broker: BrokerId,
    },
    /// A deadline of the group's coordinator.
    Group,
    /// Followers have fetched what they asked for.
    Replicated {
        /// Which of the cluster's lanes.
        lane: u32,
    },
    /// A broker's session with the controller is over, unless it has been back since.
    Session {
        /// Which broker.
        broker: BrokerId,
        /// Which of its silences.
        silence: u32,
    },
    /// Leaders look whether followers have been behind for too long.
    Laggards,
    /// The controller gives leadership back to the preferred replicas.
    Balance,
}

impl Alarm {
    /// A number that tells what and whose it is, for a trace.
    pub fn number(self) -> u32 {
        match self {
            Alarm::Fetch { client, .. } => client << 3,
            Alarm::Group => 1,
            Alarm::Replicated { lane } => 2 + (lane << 3),
            Alarm::Session { broker, .. } => 3 + (broker << 3),
            Alarm::Laggards => 4,
            Alarm::Balance => 5,
        }
    }
}

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

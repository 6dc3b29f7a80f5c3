//! Machines with their clients, as the kernel sees them.

use std::collections::VecDeque;

use super::aside::Ack;
use super::handle::Ask;
use crate::base::{Offset, Time};
use crate::broker::protocol::{BrokerId, Client, Fetch, Produce, Records, Request};
use crate::logic::Effort;

/// A data machine with its client, hosted by the kernel.
pub trait Hosted: Send {
    /// Does what can be done now, without waiting.
    fn turn(&mut self) -> Next;
    /// What it is called in a trace.
    fn name(&self) -> String;
    /// Its client.
    fn client(&mut self) -> &mut dyn Client;
    /// Whether its client has something for the machine.
    fn wish(&self) -> Wish;
    /// Whether acknowledgements would let its client do nothing now, so that it may hear of them later, with their
    /// times.
    fn acks_can_wait(&self) -> bool {
        false
    }
    /// Whether no actor will hear of it before a timer goes off, as long as its client hears of nothing but records
    /// and acknowledgements.
    fn is_calm(&self) -> bool {
        false
    }
    /// Lets its client hear at `now` of the answer to its fetch and do what is due then. Gives the answer back unless it
    /// is calm and its client waits for that answer and for nothing else. The client puts what it asks into `outbox`.
    fn hear_ahead(
        &mut self,
        _from: BrokerId,
        answer: Box<Fetch>,
        _records: &dyn Records,
        _now: Time,
        _outbox: &mut Vec<(BrokerId, Request)>,
    ) -> Result<Heard, Box<Fetch>> {
        Err(answer)
    }
    /// Lets its client hear of the acknowledgement of a batch, given by its number and first offset, which arrives at `at`, unless it would do something
    /// because of it. The client may use the memory of what is done.
    fn hear_ack_ahead(
        &mut self,
        _from: BrokerId,
        _batch: (u64, Offset),
        _at: Time,
        _done: &mut Vec<Box<Produce>>,
    ) -> bool {
        false
    }
    /// Has the turns from `next` to before `until` now, as far as they do not depend on anything that is still to come.
    /// Each lets its client send one request; when it is to be sent is noted in `turns`. Returns when the next turn is
    /// wanted.
    fn go_ahead(&mut self, next: Time, _until: Time, _turns: &mut Vec<Time>) -> Time {
        next
    }
}

/// Whether a machine wants a turn because of what its client has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// There is nothing for it.
    None,
    /// It makes no difference if the turn comes later, as long as it comes before there is a look at what
    /// the machine has done: before a timer goes off, and before actors are told anything. Most records come so, and
    /// many of them are dealt with in one turn.
    Later,
    /// At once, unless it is busy.
    Now,
}

/// What follows when a client has heard of the answer to its fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Its machine wants a turn now.
    Turn,
    /// Its machine may have a turn later, if it wants one, and its client wants one at `due` at the latest.
    Wait {
        /// Whether it wants one.
        is_late: bool,
        /// When something is due.
        due: Time,
    },
}

/// What a hosted machine wants after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A turn at this time at the latest.
    At(Time),
    /// A turn when this effort is made.
    After(Effort),
    /// No turn any more: its client is closed.
    Over,
}

pub(super) struct Seat {
    pub(super) who: Who,
    /// When its next turn comes; other turns in the queue are stale.
    pub(super) turn_at: Time,
    /// Until when it is busy with an effort.
    pub(super) busy_until: Time,
    /// Whether a turn it wanted was put off.
    pub(super) is_late: bool,
    /// Whether it [is calm](Hosted::is_calm).
    pub(super) is_calm: bool,
    /// Its last question for watermarks.
    pub(super) question: u64,
    /// Acknowledgements that are aside.
    pub(super) acks: VecDeque<Ack>,
}

pub(super) enum Who {
    None,
    Machine(Box<dyn Hosted>),
    Asks(Ask),
}

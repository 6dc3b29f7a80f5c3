//! Simulated processes: machines with their clients, as the kernel schedules them.

use crate::base::Time;
use crate::broker::protocol::Client;
use crate::logic::Effort;

/// A data machine with its client, hosted by the kernel.
pub trait SimProcess: Send {
    /// Does what can be done now, without waiting, and what is due in its client. What does not depend on anything that
    /// is still to come may be done at its own time before `horizon`; each of these turns lets the client send
    /// something.
    fn turn(&mut self, now: Time, horizon: Time) -> NextTurn;
    /// Its name in a trace.
    fn name(&self) -> String;
    /// Its client.
    fn client(&mut self) -> &mut dyn Client;
    /// Whether it requests a turn, because its client has something for the machine.
    fn wish(&self) -> TurnRequest;
    /// Whether an acknowledgement would trigger no action of its client, so that its delivery may be deferred.
    fn acks_are_inert(&self, _now: Time) -> bool {
        false
    }
    /// Whether it notifies no actor before a timer fires, as long as its client gets nothing but records and
    /// acknowledgements.
    fn cannot_notify_actors(&self) -> bool {
        false
    }
    /// Whether it notifies no actor, and its client waits for one fetch response and nothing else.
    fn awaits_one_fetch(&self) -> bool {
        false
    }
}

/// The turn a process requests after a delivery to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnRequest {
    /// There is nothing for it.
    None,
    /// The turn may be deferred, as long as it comes before the state of the machine is read: before a timer fires,
    /// and before actors get a message. Most records come so, and many of them are dealt with in one turn.
    Later,
    /// At once, unless it is busy.
    Now,
}

/// When the next turn of a process is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTurn {
    /// A turn at this time at the latest.
    At(Time),
    /// A turn when this effort is made.
    After(Effort),
    /// No turn any more: its client is closed.
    Over,
}

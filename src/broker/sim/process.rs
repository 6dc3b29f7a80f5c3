//! Simulated processes: hosts with their clients, as the kernel schedules them.

use crate::base::Time;
use crate::broker::protocol::Client;
use crate::logic::Effort;

/// A host with its client, as a process of the kernel.
pub trait SimProcess: Send {
    /// Does all that can be done now without waiting, and what is due in the client. What does not depend on future
    /// messages may be done before `horizon`, at its own time. Each of these steps lets the client send a request.
    /// something.
    fn turn(&mut self, now: Time, horizon: Time) -> NextTurn;
    /// Name of the process in a trace.
    fn name(&self) -> String;
    /// Its client.
    fn client(&mut self) -> &mut dyn Client;
    /// The turn that the process requests, because its client has something for the machine.
    fn turn_request(&self) -> TurnRequest;
    /// True if an acknowledgement would trigger no action of the client, so that its delivery may be deferred.
    fn acks_are_inert(&self, _now: Time) -> bool {
        false
    }
    /// True if the process notifies no actor before a timer fires, as long as its client gets nothing but records and
    /// acknowledgements.
    fn cannot_notify_actors(&self) -> bool {
        false
    }
    /// True if the process notifies no actor, and its client waits for one fetch response and nothing else.
    fn awaits_one_fetch(&self) -> bool {
        false
    }
}

/// The turn a process requests after a delivery to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnRequest {
    /// No turn.
    None,
    /// A turn that may be deferred, as long as it is before the state of the machine is read: before a timer fires, and
    /// before actors get a message. Most records lead to such turns, and one turn handles many of them.
    Later,
    /// A turn immediately, unless the process is busy.
    Now,
}

/// The next turn of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTurn {
    /// A turn at this time at the latest.
    At(Time),
    /// A turn at the end of this effort.
    After(Effort),
    /// No turn any more: the client is closed.
    Over,
}

//! Messages on their way: what is sent, held up, broken off.

use std::time::Duration;

use super::kernel::{Event, Kernel, Who};
use crate::base::Time;
use crate::broker::model::{Caller, ClientId, Output};
use crate::broker::protocol::{BrokerId, Request};

/// Between two attempts to ask a broker for watermarks.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(100);

impl Kernel {
    /// Sends a request, or closes the connection.
    pub(super) fn send(&mut self, client: ClientId, broker: BrokerId, request: Request) {
        if let Request::Close = request {
            self.network.end(client, broker);
            return self.cluster.hang_up(client, broker);
        }
        let (at, caller) = self.network.request_arrives(self.now, client, broker);
        if self.network.trouble[broker as usize].is_there {
            return self.send_in_trouble(at, caller, broker, request);
        }
        self.queue.push(at, Event::Request { caller, broker, request });
    }

    fn send_in_trouble(&mut self, at: Time, caller: Caller, broker: BrokerId, request: Request) {
        let again = match &request {
            Request::Produce(produce) if self.network.repeats(broker) => {
                Some(Request::Produce(produce.clone()))
            }
            _ => None,
        };
        for request in std::iter::once(request).chain(again) {
            let event = Event::Request { caller, broker, request };
            match self.network.trouble[broker as usize].is_blocked {
                true => self.held.push((broker, event)),
                false => self.queue.push(at, event),
            }
        }
    }

    /// Lets through what was held on the links to `broker`.
    pub(super) fn let_through(&mut self, broker: BrokerId) {
        for (of, event) in std::mem::take(&mut self.held) {
            if of != broker {
                self.held.push((of, event));
                continue;
            }
            let at = match &event {
                Event::Request { caller, .. } => {
                    self.network.request_arrives(self.now, caller.client, broker).0
                }
                Event::Response { caller, .. } => {
                    self.network.response_arrives(self.now, caller.client, broker)
                }
                _ => self.now,
            };
            self.queue.push(at, event);
        }
    }

    /// Breaks a connection; its client hears of it a moment later.
    pub(super) fn break_off(&mut self, client: ClientId, broker: BrokerId) {
        self.network.end(client, broker);
        self.cluster.hang_up(client, broker);
        let at = Time(self.now.0 + self.network.latency());
        self.queue.push(at, Event::Broken { client, broker });
    }

    /// Asks the first broker that can answer for watermarks, or looks for one again a moment later.
    pub(super) fn ask(&mut self, client: ClientId) {
        let answers = |broker: &BrokerId| {
            self.cluster.answers(*broker) && !self.network.trouble[*broker as usize].is_blocked
        };
        match (0..self.cluster.brokers()).find(answers) {
            Some(broker) => self.send(client, broker, Request::ListOffsets),
            None => self.queue.push(self.now + ASK_AGAIN, Event::Ask(client)),
        }
    }

    pub(super) fn put_out(&mut self) {
        let mut output = std::mem::take(&mut self.output);
        for output in output.drain(..) {
            match output {
                Output::Reply { at, from: broker, to: caller, response } => {
                    let at = self.network.response_arrives(at, caller.client, broker);
                    let event = Event::Response { caller, broker, response };
                    match self.network.trouble[broker as usize].is_blocked {
                        true => self.held.push((broker, event)),
                        false => self.queue.push(at, event),
                    }
                }
                Output::HangUp { broker, caller } => {
                    if self.network.carries(caller, broker) {
                        self.break_off(caller.client, broker);
                    }
                }
                Output::Alarm { at, alarm } => self.queue.push(at, Event::Alarm(alarm)),
            }
        }
        self.output = output;
    }

    /// A client's connection is broken.
    pub(super) fn broken(&mut self, client: ClientId, broker: BrokerId) {
        let seat = &mut self.seats[client as usize];
        match &mut seat.who {
            Who::Nobody => {}
            Who::Asks(_) => self.queue.push(self.now + ASK_AGAIN, Event::Ask(client)),
            Who::Machine(machine) => {
                machine.client().disconnected(broker, self.now);
                self.after_news(client);
            }
        }
    }
}

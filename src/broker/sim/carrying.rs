//! Messages on their way: what is sent, held up, broken off.

use std::time::Duration;

use super::hosted::Who;
use super::kernel::{Event, Kernel};
use crate::base::Time;
use crate::broker::model::{Caller, ClientId, Output};
use crate::broker::protocol::{BrokerId, Request};

/// Between two attempts to ask a broker for watermarks.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(100);

impl Kernel {
    /// Sends a request, or closes the connection.
    pub(super) fn send(&mut self, client: ClientId, broker: BrokerId, request: Request) {
        if let Request::Close = request {
            self.take_in(broker);
            self.network.end(client, broker);
            return self.cluster.hang_up(client, broker);
        }
        let bytes = self.size_of_request(&request);
        let (at, caller) = self.network.request_arrives(self.now, client, broker, bytes);
        if self.network.trouble[broker as usize].is_there {
            return self.send_in_trouble(at, caller, broker, request);
        }
        let key = self.queue.key(at);
        let event = match self.is_quiet() {
            true => self.put_fetch_aside(key, broker, caller, request),
            false => Some(request),
        };
        if let Some(request) = event {
            let event = self.request_event(caller, broker, request);
            self.queue.insert(key, event);
        }
    }

    fn send_in_trouble(&mut self, at: Time, caller: Caller, broker: BrokerId, request: Request) {
        let again = match &request {
            Request::Produce(produce) if self.network.repeats(broker) => {
                Some(Request::Produce(produce.clone()))
            }
            _ => None,
        };
        for request in std::iter::once(request).chain(again) {
            let event = self.request_event(caller, broker, request);
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
                Event::Request(number) => {
                    let (caller, _, request) = &self.requests[*number];
                    let (client, bytes) = (caller.client, self.size_of_request(request));
                    self.network.request_arrives(self.now, client, broker, bytes).0
                }
                Event::Response(number) => {
                    let (caller, _, response) = &self.responses[*number];
                    let (client, bytes) = (caller.client, self.size_of_response(response));
                    self.network.response_arrives(self.now, client, broker, bytes)
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
        if self.output.is_empty() {
            return;
        }
        let mut output = std::mem::take(&mut self.output);
        let is_quiet = self.is_quiet();
        for output in output.drain(..) {
            match output {
                Output::Reply { at, from: broker, to: caller, response } => {
                    let bytes = self.size_of_response(&response);
                    let at = self.network.response_arrives(at, caller.client, broker, bytes);
                    let key = self.queue.key(at);
                    let event = match is_quiet {
                        true => self.put_ack_aside(key, broker, caller, response),
                        false => Some(response),
                    };
                    let Some(response) = event else { continue };
                    let event = self.response_event(caller, broker, response);
                    match self.network.trouble[broker as usize].is_blocked {
                        true => self.held.push((broker, event)),
                        false => self.queue.insert(key, event),
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
        self.hear(client);
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

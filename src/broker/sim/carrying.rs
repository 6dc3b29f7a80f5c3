//! Messages on their way: what is sent, held up, broken off.

use std::time::Duration;

use super::aside::Ack;
use super::hosted::Who;
use super::kernel::{Event, Kernel, Other};
use super::queue::Key;
use crate::base::{Offset, Time};
use crate::broker::model::{Caller, ClientId, Fetched, Output, Produced};
use crate::broker::protocol::{BrokerId, Request, Response};
use crate::plan::Acks;

/// Between two attempts to ask a broker for watermarks.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long an answer is waited for, besides the time that messages take: as long as with a real cluster.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// The offset in what a client hears of a batch that is not answered.
const HAS_LEFT: Offset = Offset(-1);

/// Whether this is no broker's word, so that it does not come over the connection.
pub(super) fn has_left(offset: Offset) -> bool {
    offset == HAS_LEFT
}

impl Kernel {
    /// Sends a request at `at`, or closes the connection.
    pub(super) fn send(&mut self, at: Time, client: ClientId, broker: BrokerId, request: Request) {
        if let Request::Close = request {
            return self.close(client, broker);
        }
        let bytes = self.size_of_request(&request);
        let (arrival, caller) = self.network.request_arrives(at, client, broker, bytes);
        let key = self.queue.key(arrival.at, arrival.tie);
        if let Request::Produce(produce) = &request
            && produce.acks == Acks::None
        {
            self.acknowledge_when_it_has_left(at, caller, broker, produce.number);
        }
        if self.network.has_trouble && self.network.trouble[broker as usize].is_there {
            return self.send_in_trouble(key, caller, broker, request);
        }
        let request = match request {
            Request::Fetch(fetch) => match self.put_fetch_aside(key, broker, caller, fetch) {
                Some(fetch) => Request::Fetch(fetch),
                None => return,
            },
            request => request,
        };
        let event = self.request_event(caller, broker, request);
        self.queue.insert(key, event);
    }

    /// A batch with `acks = 0` is not answered: it is as good as acknowledged when its last byte has left, which a full link
    /// puts off.
    fn acknowledge_when_it_has_left(&mut self, at: Time, to: Caller, from: BrokerId, number: u64) {
        let left = self.network.last_left(to.client, from).max(at);
        let what = 6 << 60 ^ u64::from(to.client) << 32 ^ number;
        let key = self.queue.key(left, what);
        let ack = Ack { key, from, to, number, offset: HAS_LEFT };
        if !self.put_ack_aside(ack) {
            self.put_response(key, from, to, Response::Produce(number, Ok(ack.offset)));
        }
    }

    #[cold]
    fn close(&mut self, client: ClientId, broker: BrokerId) {
        self.take_in(broker);
        self.network.end(client, broker);
        self.cluster.hang_up(client, broker);
        self.clear_lost();
    }

    #[cold]
    fn send_in_trouble(&mut self, key: Key, caller: Caller, broker: BrokerId, request: Request) {
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
                false => self.queue.insert(key, event),
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
            let arrival = match event {
                Event::Request(number) => {
                    let (caller, _, request) = &self.requests[number as usize];
                    let (client, bytes) = (caller.client, self.size_of_request(request));
                    self.network.request_arrives(self.now, client, broker, bytes).0
                }
                Event::Response(number) => {
                    let (caller, _, response) = &self.responses[number as usize];
                    let (client, bytes) = (caller.client, self.size_of_response(response));
                    self.network.response_arrives(self.now, client, broker, bytes)
                }
                // Only messages are held.
                Event::Turn(_) | Event::Other(_) => continue,
            };
            self.queue.insert(self.queue.key(arrival.at, arrival.tie), event);
        }
    }

    /// Breaks a connection; its client hears of it a moment later.
    pub(super) fn break_off(&mut self, client: ClientId, broker: BrokerId) {
        let caller = self.network.cut_off(client, broker);
        self.cluster.hang_up(client, broker);
        let at = Time(self.now.0 + self.network.break_latency());
        self.push(at, Other::Broken { caller, broker });
    }

    /// Asks the first broker that can answer for watermarks, or looks for one again a moment later.
    pub(super) fn ask(&mut self, client: ClientId) {
        let answers = |broker: &BrokerId| {
            self.cluster.answers(*broker) && !self.network.trouble[*broker as usize].is_blocked
        };
        match (0..self.cluster.brokers()).find(answers) {
            Some(broker) => {
                self.questions += 1;
                let limit = ASK_LIMIT + self.network.longest();
                self.push(self.now + limit, Other::Unanswered(client, broker, self.questions));
                self.seats[client as usize].question = self.questions;
                self.send(self.now, client, broker, Request::ListOffsets);
            }
            None => self.push(self.now + ASK_AGAIN, Other::Ask(client)),
        }
    }

    /// A question may be lost on a connection that leads nowhere: then it is asked again on another one.
    #[cold]
    pub(super) fn unanswered(&mut self, client: ClientId, broker: BrokerId, question: u64) {
        let seat = &self.seats[client as usize];
        if seat.question == question && matches!(seat.who, Who::Asks(_)) {
            self.close(client, broker);
            self.ask(client);
        }
    }

    /// Puts what the cluster has said on its way.
    #[inline]
    pub(super) fn put_out(&mut self) {
        let calm_until = self.calm_until();
        self.put_produced(calm_until);
        self.put_fetched(calm_until);
        if !self.output.others.is_empty() {
            self.put_others();
        }
    }

    fn put_produced(&mut self, calm_until: Time) {
        let bytes = self.frame();
        for next in 0..self.output.produced.len() {
            let Produced { at, from, to, number, offset, error } = self.output.produced[next];
            let key = self.response_key(at, from, to, bytes);
            let ack = Ack { key, from, to, number, offset };
            if error.is_none() && (self.hear_ack_ahead(ack, calm_until) || self.put_ack_aside(ack))
            {
                continue;
            }
            let result = error.map_or(Ok(offset), Err);
            self.put_response(key, from, to, Response::Produce(number, result));
        }
        self.output.produced.clear();
    }

    fn put_fetched(&mut self, calm_until: Time) {
        // In any order: no two of them go the same way.
        while let Some(Fetched { at, from, to, fetch }) = self.output.fetched.pop() {
            let key = self.response_key(at, from, to, self.size_of_fetched(&fetch));
            if let Some(fetch) = self.hear_ahead(key, from, to, fetch, calm_until) {
                self.put_response(key, from, to, Response::Fetch(fetch));
            }
        }
    }

    fn put_others(&mut self) {
        let mut others = std::mem::take(&mut self.output.others);
        for output in others.drain(..) {
            match output {
                Output::Reply { at, from, to, response } => self.put_reply(at, from, to, response),
                Output::HangUp { broker, caller } => {
                    if self.network.carries(caller, broker) {
                        self.break_off(caller.client, broker);
                    }
                }
                Output::Alarm { at, alarm } => self.push(at, Other::Alarm(alarm)),
            }
        }
        self.output.others = others;
    }

    fn put_reply(&mut self, at: Time, from: BrokerId, to: Caller, response: Response) {
        let key = self.response_key(at, from, to, self.size_of_response(&response));
        self.put_response(key, from, to, response);
    }

    /// Where a response of so many bytes that leaves at `at` stands in the order of events.
    #[inline]
    fn response_key(&mut self, at: Time, from: BrokerId, to: Caller, bytes: u64) -> Key {
        let arrival = self.network.response_arrives(at, to.client, from, bytes);
        self.queue.key(arrival.at, arrival.tie)
    }

    #[inline]
    fn put_response(&mut self, key: Key, from: BrokerId, to: Caller, response: Response) {
        let event = self.response_event(to, from, response);
        match self.network.trouble[from as usize].is_blocked {
            true => self.held.push((from, event)),
            false => self.queue.insert(key, event),
        }
    }

    /// A client finds that its connection is broken, unless it has closed it meanwhile.
    pub(super) fn broken(&mut self, caller: Caller, broker: BrokerId) {
        let client = caller.client;
        self.hear(client);
        if !self.network.has(caller, broker) {
            return;
        }
        self.network.end(client, broker);
        self.clear_lost();
        let seat = &mut self.seats[client as usize];
        match &mut seat.who {
            Who::None => {}
            Who::Asks(_) => {
                seat.question = 0;
                self.push(self.now + ASK_AGAIN, Other::Ask(client));
            }
            Who::Machine(machine) => {
                machine.client().disconnected(broker, self.now);
                self.after_news(client);
            }
        }
    }
}

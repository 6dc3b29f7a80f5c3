//! Sending: requests of clients, effects of the cluster, and questions for watermarks. Each message gets the key of its
//! arrival, and is put in flight or blocked on its link.

use std::time::Duration;

use super::event_queue::Key;
use super::kernel::{ControlEvent, Event, Kernel, Occupant};
use super::link::{Ack, HAS_LEFT};
use crate::base::Time;
use crate::broker::model::{Caller, ClientId, ClusterEffect, Fetched, Produced};
use crate::broker::protocol::{BrokerId, Request, Response};
use crate::plan::Acks;

/// Time between two attempts to ask a broker for watermarks.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Longest wait for an answer, in addition to the time that messages take: as long as with a real cluster.
const ASK_LIMIT: Duration = Duration::from_secs(2);

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
        if self.network.has_link_fault && self.network.link_faults[broker as usize].is_active {
            return self.send_over_faulty_link(key, caller, broker, request);
        }
        match request {
            Request::Fetch(fetch) => self.deliver_fetch(key, broker, caller, fetch),
            request => self.put_request(key, client, broker, request),
        }
    }

    /// A batch with `acks = 0` gets no response. It counts as acknowledged when its last byte has left, which a full
    /// link delays.
    fn acknowledge_when_it_has_left(&mut self, at: Time, to: Caller, from: BrokerId, number: u64) {
        let left = self.network.last_left(to.client, from).max(at);
        let what = 6 << 60 ^ u64::from(to.client) << 32 ^ number;
        let key = self.queue.key(left, what);
        self.deliver_ack(key, Ack { from, to, number, offset: HAS_LEFT }, Time::ZERO);
    }

    #[cold]
    fn close(&mut self, client: ClientId, broker: BrokerId) {
        self.drain_fetches(broker);
        self.network.end(client, broker);
        self.cluster.forget_connection(client, broker);
    }

    #[cold]
    fn send_over_faulty_link(
        &mut self,
        key: Key,
        caller: Caller,
        broker: BrokerId,
        request: Request,
    ) {
        let again = match &request {
            Request::Produce(produce) if self.network.duplicates(broker) => {
                Some(Request::Produce(produce.clone()))
            }
            _ => None,
        };
        for request in std::iter::once(request).chain(again) {
            match self.network.link_faults[broker as usize].is_blocked {
                true => self.network.block_request(caller, broker, request),
                false => self.put_request(key, caller.client, broker, request),
            }
        }
    }

    /// Asks the first broker that can answer for watermarks, or schedules another attempt after [`ASK_AGAIN`].
    pub(super) fn ask(&mut self, client: ClientId) {
        let answers = |broker: &BrokerId| {
            self.cluster.answers(*broker) && !self.network.link_faults[*broker as usize].is_blocked
        };
        match (0..self.cluster.brokers()).find(answers) {
            Some(broker) => {
                self.questions += 1;
                let limit = ASK_LIMIT + self.network.longest();
                self.push(
                    self.now + limit,
                    ControlEvent::Unanswered(client, broker, self.questions),
                );
                self.slots[client as usize].question = self.questions;
                self.send(self.now, client, broker, Request::ListOffsets);
            }
            None => self.push(self.now + ASK_AGAIN, ControlEvent::Ask(client)),
        }
    }

    /// Repeats a request for watermarks on another connection. A blackholed connection may have lost it.
    #[cold]
    pub(super) fn unanswered(&mut self, client: ClientId, broker: BrokerId, question: u64) {
        let slot = &self.slots[client as usize];
        if slot.question == question && matches!(slot.occupant, Occupant::Asks(_)) {
            self.close(client, broker);
            self.ask(client);
        }
    }

    /// Sends the effects of the cluster.
    #[inline]
    pub(super) fn send_effects(&mut self) {
        if self.cluster.loses_answers() {
            self.cluster.drop_lost_answers(&mut self.output);
        }
        let safe_horizon = self.safe_horizon();
        self.send_acks(safe_horizon);
        self.send_fetched(safe_horizon);
        if !self.output.others.is_empty() {
            self.send_others();
        }
    }

    fn send_acks(&mut self, safe_horizon: Time) {
        let bytes = self.frame();
        for next in 0..self.output.produced.len() {
            let Produced { at, from, to, number, offset, error } = self.output.produced[next];
            let key = self.response_key(at, from, to, bytes);
            match error {
                None => self.deliver_ack(key, Ack { from, to, number, offset }, safe_horizon),
                Some(error) => {
                    self.enqueue_response(key, from, to, Response::Produce(number, Err(error)));
                }
            }
        }
        self.output.produced.clear();
    }

    fn send_fetched(&mut self, safe_horizon: Time) {
        // The order does not matter, because no two of them are on the same link.
        while let Some(Fetched { at, from, to, fetch }) = self.output.fetched.pop() {
            let key = self.response_key(at, from, to, self.size_of_fetched(&fetch));
            self.deliver_fetched(key, from, to, fetch, safe_horizon);
        }
    }

    fn send_others(&mut self) {
        let mut others = std::mem::take(&mut self.output.others);
        for output in others.drain(..) {
            match output {
                ClusterEffect::Reply { at, from, to, response } => {
                    self.send_reply(at, from, to, response);
                }
                ClusterEffect::Disconnect { broker, caller } => {
                    if self.network.is_current(caller, broker) {
                        self.break_off(caller.client, broker);
                    }
                }
                ClusterEffect::Timer { at, timer } => self.push(at, ControlEvent::Timer(timer)),
            }
        }
        self.output.others = others;
    }

    fn send_reply(&mut self, at: Time, from: BrokerId, to: Caller, response: Response) {
        let key = self.response_key(at, from, to, self.size_of_response(&response));
        self.enqueue_response(key, from, to, response);
    }

    /// The key of the arrival of a response of `bytes` bytes that is sent at `at`.
    #[inline]
    pub(super) fn response_key(&mut self, at: Time, from: BrokerId, to: Caller, bytes: u64) -> Key {
        let arrival = self.network.response_arrives(at, to.client, from, bytes);
        self.queue.key(arrival.at, arrival.tie)
    }

    #[inline]
    pub(super) fn enqueue_response(
        &mut self,
        key: Key,
        from: BrokerId,
        to: Caller,
        response: Response,
    ) {
        match self.network.link_faults[from as usize].is_blocked {
            true => self.network.block_response(from, to, response),
            false => self.put_response(key, from, to, response),
        }
    }

    /// Puts a request in flight.
    #[inline]
    pub(super) fn put_request(
        &mut self,
        key: Key,
        client: ClientId,
        broker: BrokerId,
        request: Request,
    ) {
        if let Some(link) = self.network.put_request(key, client, broker, request) {
            self.queue.insert(key, Event::Request(link));
        }
    }

    /// Puts a response in flight.
    #[inline]
    pub(super) fn put_response(
        &mut self,
        key: Key,
        from: BrokerId,
        to: Caller,
        response: Response,
    ) {
        if let Some(link) = self.network.put_response(key, from, to, response) {
            self.queue.insert(key, Event::Response(link));
        }
    }
}

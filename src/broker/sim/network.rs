//! The network between clients and brokers: connections with latency that deliver in order, as TCP does; and the faults
//! of links.

use std::time::Duration;

use super::event_queue::Key;
use super::link::{Arrival, Link, LinkFault, QUANTILES};
use crate::base::{Random, Seed, Time};
use crate::broker::model::{Caller, ClientId};
use crate::broker::protocol::{BrokerId, Request, Response};

/// The properties of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Shortest time that a message takes.
    pub latency: Duration,
    /// Mean of the additional time, which is exponentially distributed.
    pub jitter: Duration,
    /// Bytes per second of a connection in each direction; `None` without a limit.
    pub bandwidth: Option<u64>,
}

/// One-way trips of a new connection before its first request: TCP's handshake, then ApiVersions.
const TRIPS_TO_CONNECT: u32 = 4;

/// All connections.
#[derive(Debug)]
pub(super) struct Network {
    brokers: u32,
    latencies: Box<[i64; QUANTILES]>,
    bandwidth: Option<u64>,
    seed: Seed,
    /// Index: client and broker.
    links: Vec<Link>,
    /// Draws for the time until a client notices a broken connection.
    breaks: Random,
    /// The faults of a broker's links. Index: the broker.
    pub(super) link_faults: Vec<LinkFault>,
    /// True if a fault of a link is active.
    pub(super) has_link_fault: bool,
    /// Draws for faults of links, separate so that a fault changes no other draw.
    pub(super) fault_random: Random,
}

impl Network {
    pub(super) fn new(settings: NetworkSettings, brokers: u32, seed: Seed) -> Network {
        let quantile = |i: usize| {
            let share = (i as f64 + 0.5) / QUANTILES as f64;
            let jitter = settings.jitter.as_secs_f64() * -(1.0 - share).ln();
            ((settings.latency.as_secs_f64() + jitter) * 1e9) as i64
        };
        Network {
            brokers,
            latencies: Box::new(std::array::from_fn(quantile)),
            bandwidth: settings.bandwidth,
            seed: seed.child("network", 0),
            links: Vec::new(),
            breaks: seed.child("breaks", 0).random(),
            link_faults: vec![LinkFault::default(); brokers as usize],
            has_link_fault: false,
            fault_random: seed.child("mishaps", 0).random(),
        }
    }

    /// Time until a client notices a broken connection, in nanoseconds.
    pub(super) fn break_latency(&mut self) -> i64 {
        self.latencies[self.breaks.next_u64() as usize % QUANTILES]
    }

    /// Longest time of a request on a new connection and its response, without faults.
    pub(super) fn longest(&self) -> Duration {
        let trips = u64::from(2 + TRIPS_TO_CONNECT);
        Duration::from_nanos(self.latencies[QUANTILES - 1].unsigned_abs() * trips)
    }

    /// Indices of the links of a broker.
    pub(super) fn links_of(&self, broker: BrokerId) -> impl Iterator<Item = u32> + use<> {
        (broker..self.links.len() as u32).step_by(self.brokers as usize)
    }

    /// The link with this index.
    #[inline]
    pub(super) fn link_at(&mut self, index: u32) -> &mut Link {
        &mut self.links[index as usize]
    }

    /// The request that arrives on the link with this index at `key`.
    pub(super) fn arriving_request(&self, index: u32, key: Key) -> Option<&Request> {
        self.links[index as usize].up.arriving(key)
    }

    /// The response that arrives on the link with this index at `key`.
    pub(super) fn arriving_response(&self, index: u32, key: Key) -> Option<&Response> {
        self.links[index as usize].down.arriving(key)
    }

    #[inline]
    fn link(&mut self, client: ClientId, broker: BrokerId) -> &mut Link {
        let index = self.ensure_link(client, broker);
        &mut self.links[index]
    }

    /// Index of a link that was used before.
    #[inline]
    fn link_index(&self, client: ClientId, broker: BrokerId) -> usize {
        (client * self.brokers + broker) as usize
    }

    /// Index of a link, which is created if necessary.
    #[inline]
    fn ensure_link(&mut self, client: ClientId, broker: BrokerId) -> usize {
        let index = self.link_index(client, broker);
        if self.links.len() <= index {
            self.add_links(index);
        }
        index
    }

    #[cold]
    fn add_links(&mut self, index: usize) {
        let new = self.links.len()..=index;
        self.links.extend(new.map(|index| Link::new(self.seed.child("link", index as u64))));
    }

    /// True if the size of messages matters.
    #[inline]
    pub(super) fn is_limited(&self) -> bool {
        self.bandwidth.is_some()
    }

    /// Arrival of a request of `bytes` bytes sent at `now`, and its connection, which the first request opens.
    #[inline]
    pub(super) fn request_arrives(
        &mut self,
        now: Time,
        client: ClientId,
        broker: BrokerId,
        bytes: u64,
    ) -> (Arrival, Caller) {
        let extra_ns = match self.has_link_fault {
            true => self.extra_latency_ns(broker),
            false => 0,
        };
        let index = self.ensure_link(client, broker);
        let link = &mut self.links[index];
        let trips = if link.is_open { 1 } else { 1 + TRIPS_TO_CONNECT };
        link.is_open = true;
        let left = link.up.leaves(now, bytes, self.bandwidth);
        let arrival = link.up.arrives(left, trips, &self.latencies, extra_ns);
        (arrival, Caller { client, connection: link.connection })
    }

    /// With limited bandwidth, the time at which the last byte of the last request to `broker` has left.
    pub(super) fn last_left(&mut self, client: ClientId, broker: BrokerId) -> Time {
        self.link(client, broker).up.free
    }

    /// Arrival of a response of `bytes` bytes sent at `at`.
    #[inline]
    pub(super) fn response_arrives(
        &mut self,
        at: Time,
        client: ClientId,
        broker: BrokerId,
        bytes: u64,
    ) -> Arrival {
        let extra_ns = match self.has_link_fault {
            true => {
                self.extra_latency_ns(broker) + self.link_faults[broker as usize].answer_delay_ns()
            }
            false => 0,
        };
        let index = self.link_index(client, broker);
        let down = &mut self.links[index].down;
        let left = down.leaves(at, bytes, self.bandwidth);
        down.arrives(left, 1, &self.latencies, extra_ns)
    }

    /// True if a connection is the current one of its link, and not blackholed.
    #[inline]
    pub(super) fn is_current(&self, caller: Caller, broker: BrokerId) -> bool {
        let link = &self.links[self.link_index(caller.client, broker)];
        link.connection == caller.connection && !link.is_blackholed
    }

    /// True if a fault or a full link delays or drops what a client has sent last.
    pub(super) fn is_held_up(&mut self, now: Time, client: ClientId, broker: BrokerId) -> bool {
        let longest = self.latencies[QUANTILES - 1] * i64::from(1 + TRIPS_TO_CONNECT);
        self.link_faults[broker as usize].is_active
            || self.link(client, broker).up.last.since_ns(now) > longest
    }

    /// Breaks a connection. Messages in flight are dropped, and so are those that its client sends until it notices the
    /// break and [ends](Self::end) the connection. Returns the connection.
    pub(super) fn cut_off(&mut self, client: ClientId, broker: BrokerId) -> Caller {
        let link = self.link(client, broker);
        link.blackhole();
        Caller { client, connection: link.connection }
    }

    /// True if a client still has this connection, as far as it knows.
    pub(super) fn has(&self, caller: Caller, broker: BrokerId) -> bool {
        let link = &self.links[self.link_index(caller.client, broker)];
        link.connection == caller.connection && link.is_open
    }

    /// Ends a client's connection: messages in flight are dropped, and the next request opens another connection. True
    /// if there was one.
    pub(super) fn end(&mut self, client: ClientId, broker: BrokerId) -> bool {
        let link = self.link(client, broker);
        let was_open = std::mem::take(&mut link.is_open);
        link.connection += u32::from(was_open);
        link.is_blackholed = false;
        link.lose();
        (link.up.last, link.up.free) = (Time::ZERO, Time::ZERO);
        (link.down.last, link.down.free) = (Time::ZERO, Time::ZERO);
        was_open
    }

    /// The clients with a connection to `broker`.
    pub(super) fn clients_of(&self, broker: BrokerId) -> Vec<ClientId> {
        let brokers = self.brokers as usize;
        let mine = self.links.iter().enumerate().skip(broker as usize).step_by(brokers);
        let open = mine.filter(|(_, link)| link.is_open);
        open.map(|(index, _)| (index / brokers) as ClientId).collect()
    }

    /// Blackholes the current connections to `broker`: messages vanish, and neither side notices.
    pub(super) fn blackhole(&mut self, broker: BrokerId) {
        for client in self.clients_of(broker) {
            self.link(client, broker).blackhole();
        }
    }
}

impl Network {
    /// Puts a request in flight that arrives at `key`. Returns the index of its link if the arrival has to be
    /// scheduled.
    #[inline]
    pub(super) fn put_request(
        &mut self,
        key: Key,
        client: ClientId,
        broker: BrokerId,
        request: Request,
    ) -> Option<u32> {
        let index = self.link_index(client, broker);
        let link = &mut self.links[index];
        (!link.is_blackholed && link.up.put(key, request)).then_some(index as u32)
    }

    /// Puts a response in flight that arrives at `key`, unless its connection has ended. Returns the index of its link
    /// if the arrival has to be scheduled.
    #[inline]
    pub(super) fn put_response(
        &mut self,
        key: Key,
        from: BrokerId,
        to: Caller,
        response: Response,
    ) -> Option<u32> {
        let index = self.link_index(to.client, from);
        let link = &mut self.links[index];
        (link.carries(to, &response) && link.down.put(key, response)).then_some(index as u32)
    }

    /// Keeps a request until the link is healed.
    pub(super) fn block_request(&mut self, from: Caller, to: BrokerId, request: Request) {
        let index = self.link_index(from.client, to);
        let link = &mut self.links[index];
        if !link.is_blackholed {
            link.up.block(request);
        }
    }

    /// Keeps a response until the link is healed.
    pub(super) fn block_response(&mut self, from: BrokerId, to: Caller, response: Response) {
        let index = self.link_index(to.client, from);
        let link = &mut self.links[index];
        if link.carries(to, &response) {
            link.down.block(response);
        }
    }

    /// The connection of the link with this index, and its broker.
    #[inline]
    pub(super) fn connection_at(&self, index: u32) -> (Caller, BrokerId) {
        let client = index / self.brokers;
        (Caller { client, connection: self.links[index as usize].connection }, index % self.brokers)
    }

    /// The requests in flight.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.links.iter().flat_map(|link| link.up.messages())
    }

    /// Notes that a fault of a link has changed.
    pub(super) fn refresh(&mut self) {
        self.has_link_fault = self.link_faults.iter().any(|link_faults| link_faults.is_active);
    }

    /// The extra latency of a message to or from `broker`, in nanoseconds.
    pub(super) fn extra_latency_ns(&mut self, broker: BrokerId) -> i64 {
        self.link_faults[broker as usize].extra_latency_ns(&mut self.fault_random)
    }

    /// True if a batch to `broker` arrives twice.
    pub(super) fn duplicates(&mut self, broker: BrokerId) -> bool {
        self.link_faults[broker as usize].duplicates(&mut self.fault_random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(jitter_us: u64) -> Network {
        let us = Duration::from_micros;
        let settings = NetworkSettings { latency: us(100), jitter: us(jitter_us), bandwidth: None };
        Network::new(settings, 1, Seed(3))
    }

    #[test]
    fn messages_of_a_connection_keep_their_order_and_the_mean_is_as_set() {
        let mut network = network(50);
        network.request_arrives(Time(0), 0, 0, 0);
        let (mut last, mut sum) = (Time(0), 0);
        for i in 1..=10_000 {
            let sent = Time(i * 10_000_000);
            let arrives = network.request_arrives(sent, 0, 0, 0).0.at;
            assert!(arrives > last);
            assert!(
                network.request_arrives(sent, 0, 0, 0).0.at > arrives,
                "sent at the same instant"
            );
            sum += arrives.since_ns(sent);
            last = arrives;
        }
        let mean_us = sum as f64 / 10_000.0 / 1e3;
        assert!((mean_us - 150.0).abs() < 2.0, "{mean_us}");
    }

    #[test]
    fn what_was_sent_on_a_connection_that_ended_arrives_nowhere_and_the_next_one_is_opened() {
        let mut network = network(0);
        let (first, old) = network.request_arrives(Time(0), 0, 0, 0);
        assert_eq!(first.at, Time(500_000), "two round trips first");
        assert!(network.is_current(old, 0));
        assert!(network.end(0, 0) && !network.end(0, 0));
        assert!(!network.is_current(old, 0));
        let (_, new) = network.request_arrives(Time(0), 0, 0, 0);
        network.blackhole(0);
        assert!(new != old && !network.is_current(new, 0) && network.end(0, 0));
        let (_, newest) = network.request_arrives(Time(0), 0, 0, 0);
        assert!(network.is_current(newest, 0));
    }

    /// With TCP, what is written to a connection that the other side has reset arrives nowhere. If it arrived on a new
    /// connection, it would overtake what was lost on the old one.
    #[test]
    fn what_a_client_sends_before_it_hears_that_its_connection_broke_arrives_nowhere() {
        let mut network = network(0);
        let (_, before) = network.request_arrives(Time(0), 0, 0, 0);
        assert_eq!(network.cut_off(0, 0), before);
        let (_, meanwhile) = network.request_arrives(Time(1), 0, 0, 0);
        assert_eq!(meanwhile, before);
        assert!(!network.is_current(meanwhile, 0) && network.has(meanwhile, 0));
        assert!(network.end(0, 0) && !network.has(before, 0));
        let (_, after) = network.request_arrives(Time(2), 0, 0, 0);
        assert!(after != before && network.is_current(after, 0));
    }

    #[test]
    fn large_messages_take_their_time_and_those_behind_them_wait() {
        let mut network = network(0);
        network.bandwidth = Some(1_000_000);
        network.request_arrives(Time(0), 0, 0, 0);
        let sent = Time(10_000_000);
        assert_eq!(
            network.request_arrives(sent, 0, 0, 2_000).0.at,
            Time(10_000_000 + 2_000_000 + 100_000)
        );
        assert_eq!(
            network.request_arrives(sent, 0, 0, 500).0.at,
            Time(10_000_000 + 2_500_000 + 100_000)
        );
        // The other direction and other connections are free.
        assert_eq!(network.response_arrives(sent, 0, 0, 0).at, Time(10_100_000));
        assert_eq!(network.request_arrives(sent, 1, 0, 0).0.at, Time(10_500_000));
    }

    #[test]
    fn what_is_drawn_for_a_message_does_not_depend_on_other_ways() {
        let alone = |others: bool| {
            let mut network = network(50);
            let sent = |i: i64| Time(i * 10_000_000);
            let mut arrivals = Vec::new();
            for i in 0..20 {
                arrivals.push(network.request_arrives(sent(i), 1, 0, 0).0);
                if others {
                    network.response_arrives(sent(i), 1, 0, 0);
                    network.request_arrives(sent(i), 2, 0, 0);
                }
            }
            arrivals
        };
        assert_eq!(alone(false), alone(true));
    }

    #[test]
    fn what_is_lost_on_the_way_is_sent_again_and_comes_late() {
        let mut network = network(0);
        network.request_arrives(Time(0), 0, 0, 0);
        network.link_faults[0].set(Duration::from_millis(5), 0.25, 0.0);
        network.refresh();
        let mut deferred_turns = 0;
        for i in 1..=10_000 {
            let sent = Time(i * 10_000_000_000);
            let took = network.response_arrives(sent, 0, 0, 0).at.since_ns(sent);
            assert!(took >= 5_100_000);
            deferred_turns += i64::from(took >= 200_000_000);
        }
        assert!((2_300..2_700).contains(&deferred_turns), "{deferred_turns}");
    }
}

//! The network between clients and brokers: connections with latency, in order, as TCP gives them; and what is wrong
//! with it.

use std::time::Duration;

use crate::base::{Random, Seed, Time};
use crate::broker::model::{Caller, ClientId};
use crate::broker::protocol::BrokerId;

/// What the network is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Shortest time a message is under way.
    pub latency: Duration,
    /// Mean of what comes on top, exponentially distributed.
    pub jitter: Duration,
    /// Bytes a second that a connection carries in each direction; `None` for no limit.
    pub bandwidth: Option<u64>,
}

/// Quantiles of the latency distribution that are drawn from.
const QUANTILES: usize = 1024;

/// One-way trips a new connection costs before its first request: TCP's handshake, then ApiVersions.
const TRIPS_TO_CONNECT: u32 = 4;

/// TCP's least retransmission timeout on Linux, and the most it grows to here.
const RETRANSMITTED_AFTER_NS: i64 = 200_000_000;
const RETRANSMITTED_AFTER_MAX_NS: i64 = 120_000_000_000;

/// All connections.
#[derive(Debug)]
pub(super) struct Network {
    brokers: u32,
    latencies: Box<[i64; QUANTILES]>,
    bandwidth: Option<u64>,
    seed: Seed,
    /// By client and broker.
    links: Vec<Link>,
    /// Draws of when a client finds a connection broken.
    breaks: Random,
    /// By broker: the faults of its links.
    pub(super) link_faults: Vec<LinkFault>,
    /// Whether any of them is active.
    pub(super) has_link_fault: bool,
    /// Draws of link faults. They are separate, so that a fault changes no other draw.
    pub(super) fault_random: Random,
}

/// A connection, and the ones before it.
#[derive(Debug)]
struct Link {
    /// Which connection of this client to this broker it is.
    connection: u32,
    is_open: bool,
    /// Nothing that is sent on it arrives, and its client does not know (yet).
    is_blackholed: bool,
    up: LinkDirection,
    down: LinkDirection,
}

/// One direction of a link. What is drawn for a message depends on those before it on the same direction only, and
/// not on the order in which the kernel comes to know of messages elsewhere.
#[derive(Debug)]
struct LinkDirection {
    random: Random,
    /// When the last message arrives. Later ones arrive after it.
    last: Time,
    /// With limited bandwidth: when the last message has left.
    free: Time,
}

/// When a message arrives, and a number that decides among those that arrive at the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Time,
    pub(super) tie: u64,
}

impl Link {
    fn new(seed: Seed) -> Link {
        Link {
            connection: 0,
            is_open: false,
            is_blackholed: false,
            up: LinkDirection::new(seed.child("up", 0)),
            down: LinkDirection::new(seed.child("down", 0)),
        }
    }
}

impl LinkDirection {
    fn new(seed: Seed) -> LinkDirection {
        LinkDirection { random: seed.random(), last: Time::ZERO, free: Time::ZERO }
    }

    /// When a message arrives whose last byte leaves at `left`. Each of its `trips` takes the latency that is drawn
    /// and `extra_ns`.
    #[inline]
    fn arrives(
        &mut self,
        left: Time,
        trips: u32,
        latencies: &[i64; QUANTILES],
        extra_ns: i64,
    ) -> Arrival {
        let tie = self.random.next_u64();
        let latency = latencies[tie as usize % QUANTILES] + extra_ns;
        self.last = Time((left.0 + latency * i64::from(trips)).max(self.last.0 + 1));
        Arrival { at: self.last, tie }
    }

    /// When the last byte of a message leaves that is sent at `at`, queued behind earlier messages.
    #[inline]
    fn leaves(&mut self, at: Time, bytes: u64, bandwidth: Option<u64>) -> Time {
        let Some(bytes_per_s) = bandwidth else { return at };
        let ns = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s);
        let ns = i64::try_from(ns).unwrap_or(i64::MAX);
        self.free = Time(self.free.max(at).0.saturating_add(ns));
        self.free
    }
}

/// The active faults of the links of a broker.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkFault {
    /// Whether a fault is active.
    pub(super) is_active: bool,
    delay: Duration,
    loss: f64,
    duplicate: f64,
    answer_delay: Duration,
    /// Messages are blocked until the link is healed.
    pub(super) is_blocked: bool,
}

impl LinkFault {
    /// Messages take `delay` longer in each direction, a share `loss` of them is lost on the way, and a share
    /// `duplicate` of the batches arrives twice.
    pub(super) fn set(&mut self, delay: Duration, loss: f64, duplicate: f64) {
        (self.delay, self.loss, self.duplicate) = (delay, loss, duplicate);
        self.refresh();
    }

    /// Responses take this much longer.
    pub(super) fn set_answer_delay(&mut self, by: Duration) {
        self.answer_delay = by;
        self.refresh();
    }

    /// Whether messages pass.
    pub(super) fn block(&mut self, is_blocked: bool) {
        self.is_blocked = is_blocked;
        self.refresh();
    }

    pub(super) fn answer_delay_ns(&self) -> i64 {
        self.answer_delay.as_nanos() as i64
    }

    fn refresh(&mut self) {
        self.is_active = self.is_blocked
            || self.loss > 0.0
            || self.duplicate > 0.0
            || !self.delay.is_zero()
            || !self.answer_delay.is_zero();
    }
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

    /// How long it takes until a client finds a connection broken.
    pub(super) fn break_latency(&mut self) -> i64 {
        self.latencies[self.breaks.next_u64() as usize % QUANTILES]
    }

    /// What a request on a new connection and its answer take at the longest, if nothing is wrong.
    pub(super) fn longest(&self) -> Duration {
        let trips = u64::from(2 + TRIPS_TO_CONNECT);
        Duration::from_nanos(self.latencies[QUANTILES - 1].unsigned_abs() * trips)
    }

    #[inline]
    fn link(&mut self, client: ClientId, broker: BrokerId) -> &mut Link {
        let place = self.make_place(client, broker);
        &mut self.links[place]
    }

    /// Where in the list the link is, once something was sent on it.
    #[inline]
    fn place(&self, client: ClientId, broker: BrokerId) -> usize {
        (client * self.brokers + broker) as usize
    }

    /// Where in the list the link is, which may have to be made.
    #[inline]
    fn make_place(&mut self, client: ClientId, broker: BrokerId) -> usize {
        let place = self.place(client, broker);
        if self.links.len() <= place {
            self.add_links(place);
        }
        place
    }

    #[cold]
    fn add_links(&mut self, place: usize) {
        let new = self.links.len()..=place;
        self.links.extend(new.map(|place| Link::new(self.seed.child("link", place as u64))));
    }

    /// Whether the size of a message matters.
    #[inline]
    pub(super) fn is_limited(&self) -> bool {
        self.bandwidth.is_some()
    }

    /// When a request of `bytes` bytes sent at `now` arrives, and on which connection. The first one opens it.
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
        let place = self.make_place(client, broker);
        let link = &mut self.links[place];
        let trips = if link.is_open { 1 } else { 1 + TRIPS_TO_CONNECT };
        link.is_open = true;
        let left = link.up.leaves(now, bytes, self.bandwidth);
        let arrival = link.up.arrives(left, trips, &self.latencies, extra_ns);
        (arrival, Caller { client, connection: link.connection })
    }

    /// When the last byte of the last request that was sent to `broker` has left, with limited bandwidth.
    pub(super) fn last_left(&mut self, client: ClientId, broker: BrokerId) -> Time {
        self.link(client, broker).up.free
    }

    /// When a response of `bytes` bytes sent at `at` arrives.
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
        let place = self.place(client, broker);
        let down = &mut self.links[place].down;
        let left = down.leaves(at, bytes, self.bandwidth);
        down.arrives(left, 1, &self.latencies, extra_ns)
    }

    /// Whether a connection is the current one of its link, and not blackholed.
    #[inline]
    pub(super) fn is_current(&self, caller: Caller, broker: BrokerId) -> bool {
        let link = &self.links[self.place(caller.client, broker)];
        link.connection == caller.connection && !link.is_blackholed
    }

    /// Whether what a client has sent last is kept from arriving in good time.
    pub(super) fn is_held_up(&mut self, now: Time, client: ClientId, broker: BrokerId) -> bool {
        let longest = self.latencies[QUANTILES - 1] * i64::from(1 + TRIPS_TO_CONNECT);
        self.link_faults[broker as usize].is_active
            || self.link(client, broker).up.last.since_ns(now) > longest
    }

    /// Breaks a connection: what is under way on it arrives nowhere, and neither does what its client sends until it
    /// hears of it and [ends](Self::end) it. Returns which one it is.
    pub(super) fn cut_off(&mut self, client: ClientId, broker: BrokerId) -> Caller {
        let link = self.link(client, broker);
        link.is_blackholed = true;
        Caller { client, connection: link.connection }
    }

    /// Whether a client has this connection still, as far as it knows.
    pub(super) fn has(&self, caller: Caller, broker: BrokerId) -> bool {
        let link = &self.links[self.place(caller.client, broker)];
        link.connection == caller.connection && link.is_open
    }

    /// A client ends its connection: what is under way on it arrives nowhere, and what is sent next opens another one.
    /// Whether there was one.
    pub(super) fn end(&mut self, client: ClientId, broker: BrokerId) -> bool {
        let link = self.link(client, broker);
        let was_open = std::mem::take(&mut link.is_open);
        link.connection += u32::from(was_open);
        link.is_blackholed = false;
        for way in [&mut link.up, &mut link.down] {
            (way.last, way.free) = (Time::ZERO, Time::ZERO);
        }
        was_open
    }

    /// The clients with a connection to `broker`.
    pub(super) fn clients_of(&self, broker: BrokerId) -> Vec<ClientId> {
        let brokers = self.brokers as usize;
        let mine = self.links.iter().enumerate().skip(broker as usize).step_by(brokers);
        let open = mine.filter(|(_, link)| link.is_open);
        open.map(|(place, _)| (place / brokers) as ClientId).collect()
    }

    /// Blackholes the current connections to `broker`: messages vanish, and neither side notices.
    pub(super) fn blackhole(&mut self, broker: BrokerId) {
        for client in self.clients_of(broker) {
            self.link(client, broker).is_blackholed = true;
        }
    }
}

impl Network {
    /// Something about the links has changed.
    pub(super) fn refresh(&mut self) {
        self.has_link_fault = self.link_faults.iter().any(|link_faults| link_faults.is_active);
    }

    /// The extra latency of a message to or from `broker`, in nanoseconds. TCP sends again what is lost, later each
    /// time, and keeps everything behind it waiting.
    pub(super) fn extra_latency_ns(&mut self, broker: BrokerId) -> i64 {
        let LinkFault { delay, loss, .. } = self.link_faults[broker as usize];
        let mut extra_ns = delay.as_nanos() as i64;
        let mut wait = RETRANSMITTED_AFTER_NS;
        while loss > 0.0 && wait < RETRANSMITTED_AFTER_MAX_NS && self.fault_random.unit() < loss {
            extra_ns += wait;
            wait *= 2;
        }
        extra_ns
    }

    /// Whether a batch to `broker` arrives twice.
    pub(super) fn duplicates(&mut self, broker: BrokerId) -> bool {
        let LinkFault { duplicate, .. } = self.link_faults[broker as usize];
        duplicate > 0.0 && self.fault_random.unit() < duplicate
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

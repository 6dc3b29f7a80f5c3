//! The network between clients and brokers: connections with latency, in order, as TCP gives them; and what is wrong
//! with it.

use std::time::Duration;

use super::trouble::Trouble;
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

/// All connections.
#[derive(Debug)]
pub(super) struct Network {
    brokers: u32,
    latencies: Vec<i64>,
    bandwidth: Option<u64>,
    random: Random,
    /// By client and broker.
    links: Vec<Link>,
    /// By broker: what is wrong with its links.
    pub(super) trouble: Vec<Trouble>,
    /// Whether any of that is there.
    pub(super) has_trouble: bool,
    /// Draws of what goes wrong, of their own, so that everything else stays as it is without.
    pub(super) mishaps: Random,
}

/// A connection: when the last message in each direction arrives. Later ones arrive after it.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// Which connection of this client to this broker it is.
    connection: u32,
    is_open: bool,
    /// Nothing that is sent on it arrives, and nobody knows.
    is_void: bool,
    to_broker: Time,
    to_client: Time,
    /// With limited bandwidth: when the last message in each direction has left.
    up_free: Time,
    down_free: Time,
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
            latencies: (0..QUANTILES).map(quantile).collect(),
            bandwidth: settings.bandwidth,
            random: seed.child("network", 0).random(),
            links: Vec::new(),
            trouble: vec![Trouble::default(); brokers as usize],
            has_trouble: false,
            mishaps: seed.child("mishaps", 0).random(),
        }
    }

    #[inline]
    pub(super) fn latency(&mut self) -> i64 {
        self.latencies[self.random.next_u64() as usize % QUANTILES]
    }

    fn link(&mut self, client: ClientId, broker: BrokerId) -> &mut Link {
        let place = (client * self.brokers + broker) as usize;
        if self.links.len() <= place {
            self.links.resize(place + 1, Link::default());
        }
        &mut self.links[place]
    }

    /// Whether the size of a message matters.
    #[inline]
    pub(super) fn is_limited(&self) -> bool {
        self.bandwidth.is_some()
    }

    /// When a request of so many bytes sent at `now` arrives, and on which connection. The first one opens it.
    #[inline]
    pub(super) fn request_arrives(
        &mut self,
        now: Time,
        client: ClientId,
        broker: BrokerId,
        bytes: u64,
    ) -> (Time, Caller) {
        let mut latency = self.latency();
        if self.trouble[broker as usize].is_there {
            latency += self.mishap(broker);
        }
        let bandwidth = self.bandwidth;
        let link = self.link(client, broker);
        let trips = if link.is_open { 1 } else { 1 + TRIPS_TO_CONNECT };
        link.is_open = true;
        let left = leaves(now, bytes, bandwidth, &mut link.up_free);
        link.to_broker = Time((left.0 + latency * i64::from(trips)).max(link.to_broker.0 + 1));
        (link.to_broker, Caller { client, connection: link.connection })
    }

    /// When a response of so many bytes sent at `at` arrives.
    #[inline]
    pub(super) fn response_arrives(
        &mut self,
        at: Time,
        client: ClientId,
        broker: BrokerId,
        bytes: u64,
    ) -> Time {
        let mut latency = self.latency();
        if self.trouble[broker as usize].is_there {
            latency += self.mishap(broker) + self.trouble[broker as usize].answer_delay_ns();
        }
        let bandwidth = self.bandwidth;
        let link = self.link(client, broker);
        let left = leaves(at, bytes, bandwidth, &mut link.down_free);
        link.to_client = Time((left.0 + latency).max(link.to_client.0 + 1));
        link.to_client
    }

    /// Whether what was sent on a connection arrives there still.
    #[inline]
    pub(super) fn carries(&mut self, caller: Caller, broker: BrokerId) -> bool {
        let link = self.link(caller.client, broker);
        link.connection == caller.connection && !link.is_void
    }

    /// Whether what a client has sent last is kept from arriving in good time.
    pub(super) fn is_held_up(&mut self, now: Time, client: ClientId, broker: BrokerId) -> bool {
        let longest = self.latencies.last().copied().unwrap_or(0) * i64::from(1 + TRIPS_TO_CONNECT);
        self.trouble[broker as usize].is_there
            || self.link(client, broker).to_broker.since_ns(now) > longest
    }

    /// Ends a connection: what is under way on it arrives nowhere. Whether there was one.
    pub(super) fn end(&mut self, client: ClientId, broker: BrokerId) -> bool {
        let link = self.link(client, broker);
        let was_open = link.is_open;
        let connection = link.connection + u32::from(was_open);
        *link = Link { connection, ..Link::default() };
        was_open
    }

    /// The clients with a connection to `broker`.
    pub(super) fn clients_of(&self, broker: BrokerId) -> Vec<ClientId> {
        let brokers = self.brokers as usize;
        let mine = self.links.iter().enumerate().skip(broker as usize).step_by(brokers);
        let open = mine.filter(|(_, link)| link.is_open);
        open.map(|(place, _)| (place / brokers) as ClientId).collect()
    }

    /// Lets the present connections to `broker` lead nowhere, without anybody knowing.
    pub(super) fn void(&mut self, broker: BrokerId) {
        for client in self.clients_of(broker) {
            self.link(client, broker).is_void = true;
        }
    }
}

/// When the last byte of a message has left that is sent at `at`, after those that were sent before.
#[inline]
fn leaves(at: Time, bytes: u64, bandwidth: Option<u64>, free: &mut Time) -> Time {
    let Some(bytes_per_s) = bandwidth else { return at };
    let ns = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s);
    *free = Time((*free).max(at).0.saturating_add(i64::try_from(ns).unwrap_or(i64::MAX)));
    *free
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
            let (arrives, _) = network.request_arrives(sent, 0, 0, 0);
            assert!(arrives > last);
            assert!(network.request_arrives(sent, 0, 0, 0).0 > arrives, "sent at the same instant");
            sum += arrives.since_ns(sent);
            last = arrives;
        }
        let mean_us = sum as f64 / 10_000.0 / 1e3;
        assert!((mean_us - 150.0).abs() < 2.0, "{mean_us}");
    }

    #[test]
    fn what_was_sent_on_a_connection_that_ended_arrives_nowhere_and_the_next_one_is_opened() {
        let mut network = network(0);
        let (at, old) = network.request_arrives(Time(0), 0, 0, 0);
        assert_eq!(at, Time(500_000), "two round trips first");
        assert!(network.carries(old, 0));
        assert!(network.end(0, 0) && !network.end(0, 0));
        assert!(!network.carries(old, 0));
        let (_, new) = network.request_arrives(Time(0), 0, 0, 0);
        network.void(0);
        assert!(new != old && !network.carries(new, 0) && network.end(0, 0));
        let (_, newest) = network.request_arrives(Time(0), 0, 0, 0);
        assert!(network.carries(newest, 0));
    }

    #[test]
    fn large_messages_take_their_time_and_those_behind_them_wait() {
        let mut network = network(0);
        network.bandwidth = Some(1_000_000);
        network.request_arrives(Time(0), 0, 0, 0);
        let sent = Time(10_000_000);
        assert_eq!(
            network.request_arrives(sent, 0, 0, 2_000).0,
            Time(10_000_000 + 2_000_000 + 100_000)
        );
        assert_eq!(
            network.request_arrives(sent, 0, 0, 500).0,
            Time(10_000_000 + 2_500_000 + 100_000)
        );
        // The other direction and other connections are free.
        assert_eq!(network.response_arrives(sent, 0, 0, 0), Time(10_100_000));
        assert_eq!(network.request_arrives(sent, 1, 0, 0).0, Time(10_500_000));
    }

    #[test]
    fn what_is_lost_on_the_way_is_sent_again_and_comes_late() {
        let mut network = network(0);
        network.trouble[0].set(Duration::from_millis(5), 0.25, 0.0);
        let mut late = 0;
        for i in 1..=10_000 {
            let sent = Time(i * 10_000_000_000);
            let took = network.response_arrives(sent, 0, 0, 0).since_ns(sent);
            assert!(took >= 5_100_000);
            late += i64::from(took >= 200_000_000);
        }
        assert!((2_300..2_700).contains(&late), "{late}");
    }
}

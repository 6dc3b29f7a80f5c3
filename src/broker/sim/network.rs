//! The network between clients and brokers: connections with latency, in order, as TCP gives them.

use std::time::Duration;

use crate::base::{Random, Seed, Time};
use crate::broker::model::ClientId;
use crate::broker::protocol::BrokerId;

/// What the network is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Shortest time a message is under way.
    pub latency: Duration,
    /// Mean of what comes on top, exponentially distributed.
    pub jitter: Duration,
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
    random: Random,
    /// By client and broker.
    links: Vec<Link>,
}

/// A connection: when the last message in each direction arrives. Later ones arrive after it.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    is_open: bool,
    to_broker: Time,
    to_client: Time,
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
            random: seed.child("network", 0).random(),
            links: Vec::new(),
        }
    }

    #[inline]
    fn latency(&mut self) -> i64 {
        self.latencies[self.random.next_u64() as usize % QUANTILES]
    }

    fn link(&mut self, client: ClientId, broker: BrokerId) -> &mut Link {
        let place = (client * self.brokers + broker) as usize;
        if self.links.len() <= place {
            self.links.resize(place + 1, Link::default());
        }
        &mut self.links[place]
    }

    /// When a request sent at `now` arrives. The first one opens the connection.
    #[inline]
    pub(super) fn request_arrives(
        &mut self,
        now: Time,
        client: ClientId,
        broker: BrokerId,
    ) -> Time {
        let latency = self.latency();
        let link = self.link(client, broker);
        let trips = if link.is_open { 1 } else { 1 + TRIPS_TO_CONNECT };
        link.is_open = true;
        link.to_broker = Time((now.0 + latency * i64::from(trips)).max(link.to_broker.0 + 1));
        link.to_broker
    }

    /// When a response sent at `at` arrives.
    #[inline]
    pub(super) fn response_arrives(
        &mut self,
        at: Time,
        client: ClientId,
        broker: BrokerId,
    ) -> Time {
        let latency = self.latency();
        let link = self.link(client, broker);
        link.to_client = Time((at.0 + latency).max(link.to_client.0 + 1));
        link.to_client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_connection_keep_their_order_and_the_mean_is_as_set() {
        let us = Duration::from_micros;
        let settings = NetworkSettings { latency: us(100), jitter: us(50) };
        let mut network = Network::new(settings, 1, Seed(3));
        network.request_arrives(Time(0), 0, 0);
        let (mut last, mut sum) = (Time(0), 0);
        for i in 1..=10_000 {
            let sent = Time(i * 10_000_000);
            let arrives = network.request_arrives(sent, 0, 0);
            assert!(arrives > last);
            assert!(network.request_arrives(sent, 0, 0) > arrives, "sent at the same instant");
            sum += arrives.since_ns(sent);
            last = arrives;
        }
        let mean_us = sum as f64 / 10_000.0 / 1e3;
        assert!((mean_us - 150.0).abs() < 2.0, "{mean_us}");
    }
}

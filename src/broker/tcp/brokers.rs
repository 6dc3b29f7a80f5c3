//! The brokers of a cluster with their addresses, as metadata name them, in the numbers that clients use.

use std::net::SocketAddr;

use super::resolver::Resolver;
use crate::broker::protocol::BrokerId;
use crate::broker::secure::Access;
use crate::broker::setup::Deadline;
use crate::broker::wire::{Endpoint, KnownNodes};

/// Largest number of brokers that are followed, those that are gone included. It limits the memory whatever a response
/// contains.
pub(super) const BROKERS_MAX: usize = 1 << 10;

/// The known brokers. A broker that joins the cluster gets the next number, and none is removed.
#[derive(Clone, Debug, Default)]
pub(super) struct Brokers {
    /// Node ids and endpoints, by number.
    nodes: KnownNodes,
    /// The access to the brokers.
    access: Access,
    /// The resolver of their names.
    resolver: Resolver,
}

impl Brokers {
    /// No known brokers. All are reached with the same access.
    pub(super) fn new(access: Access, resolver: Resolver) -> Brokers {
        Brokers { nodes: KnownNodes::default(), access, resolver }
    }

    /// The access to the brokers.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Number of brokers.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The address of a broker, as far as it is known. Never blocks: an old address is returned while its name is
    /// looked up again.
    ///
    /// # Errors
    /// The name of the host is not known yet, or has no address.
    pub(super) fn address(&self, broker: BrokerId) -> Result<SocketAddr, String> {
        let name = self.name(broker);
        let found = self.resolver.known(&name, self.access.family())?;
        found.first().copied().ok_or(name)
    }

    /// The same, but waits for an address until the deadline.
    ///
    /// # Errors
    /// The name of the host has no address, or none is known in time.
    pub(super) fn await_address(
        &self,
        broker: BrokerId,
        deadline: &Deadline,
    ) -> Result<SocketAddr, String> {
        let name = self.name(broker);
        self.resolve(&name, deadline)?.first().copied().ok_or(name)
    }

    /// The addresses to try for `host:port`. Waits for them until the deadline. IPv4 comes first.
    ///
    /// # Errors
    /// The name is unknown, is no `host:port`, or has addresses of the other family only.
    pub(super) fn resolve(
        &self,
        name: &str,
        deadline: &Deadline,
    ) -> Result<Vec<SocketAddr>, String> {
        self.resolver.wait(name, self.access.family(), deadline)
    }

    /// The name of the host that a broker advertises.
    pub(super) fn host(&self, broker: BrokerId) -> &str {
        self.nodes.endpoint(broker).map_or("", |endpoint| &endpoint.host)
    }

    /// `host:port` as a broker advertises it.
    pub(super) fn name(&self, broker: BrokerId) -> String {
        let endpoint = self.nodes.endpoint(broker);
        endpoint.map_or_else(String::new, |its| format!("{}:{}", its.host, its.port))
    }

    /// Numbers by `node.id`.
    pub(super) fn nodes(&self) -> &KnownNodes {
        &self.nodes
    }

    /// Takes the addresses in a response: of new brokers, and of those that have moved. New brokers are numbered in the
    /// order of their ids.
    pub(super) fn learn(&mut self, endpoints: &[Endpoint]) {
        let mut endpoints: Vec<&Endpoint> = endpoints.iter().collect();
        endpoints.sort_by_key(|endpoint| endpoint.node_id);
        for endpoint in endpoints {
            if self.len() < BROKERS_MAX || self.nodes.number(endpoint.node_id).is_some() {
                self.nodes.learn(std::slice::from_ref(endpoint));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(node_id: i32, port: i32) -> Endpoint {
        Endpoint { node_id, host: "127.0.0.1".to_owned(), port }
    }

    #[test]
    fn a_broker_that_joins_gets_the_next_number_and_one_that_moves_keeps_its_own() {
        let mut brokers = Brokers::default();
        brokers.learn(&[endpoint(7, 1007), endpoint(3, 1003)]);
        let port = |brokers: &Brokers, broker| brokers.address(broker).map(|at| at.port());
        assert_eq!((brokers.len(), port(&brokers, 0)), (2, Ok(1003)));
        brokers.learn(&[endpoint(5, 1005), endpoint(3, 2003)]);
        assert_eq!((brokers.len(), brokers.nodes().number(5)), (3, Some(2)));
        assert_eq!((port(&brokers, 0), port(&brokers, 2)), (Ok(2003), Ok(1005)));
    }

    #[test]
    fn the_number_of_brokers_has_a_limit() {
        let many: Vec<Endpoint> = (0..5_000).map(|id| endpoint(id, 1_000 + id)).collect();
        let mut brokers = Brokers::default();
        brokers.learn(&many);
        assert_eq!(brokers.len(), BROKERS_MAX);
        assert_eq!(brokers.nodes().number(4_999), None);
    }
}

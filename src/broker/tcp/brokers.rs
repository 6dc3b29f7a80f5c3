//! The brokers of a cluster with their addresses: what metadata says of them, in the numbers that clients use.

use std::net::SocketAddr;

use super::resolver::Resolver;
use crate::broker::protocol::BrokerId;
use crate::broker::secure::Access;
use crate::broker::setup::Deadline;
use crate::broker::wire::{Endpoint, KnownNodes};

/// How many brokers are followed, those that are gone included: whatever a response names, memory has a limit.
pub(super) const BROKERS_MAX: usize = 1 << 10;

/// The brokers that are known. One that joins the cluster gets the next number; none is forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Brokers {
    /// What the cluster says, by number.
    nodes: KnownNodes,
    /// How they are reached.
    access: Access,
    /// Where their names lead to.
    resolver: Resolver,
}

impl Brokers {
    /// None is known yet; each is reached in the same way.
    pub(super) fn new(access: Access, resolver: Resolver) -> Brokers {
        Brokers { nodes: KnownNodes::default(), access, resolver }
    }

    /// How they are reached.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Number of brokers.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Where a broker listens, as far as it is known by now. Never blocks: an old address has its name looked up
    /// meanwhile.
    ///
    /// # Errors
    /// The name of its host is not known by now, or leads nowhere.
    pub(super) fn address(&self, broker: BrokerId) -> Result<SocketAddr, String> {
        let name = self.name(broker);
        let found = self.resolver.known(&name, self.access.family())?;
        found.first().copied().ok_or(name)
    }

    /// The same, and waits for an address until the deadline.
    ///
    /// # Errors
    /// The name of its host leads nowhere, or is not known in time.
    pub(super) fn await_address(
        &self,
        broker: BrokerId,
        deadline: &Deadline,
    ) -> Result<SocketAddr, String> {
        let name = self.name(broker);
        self.resolve(&name, deadline)?.first().copied().ok_or(name)
    }

    /// The addresses of `host:port` that are tried; waits for them until the deadline. IPv4 comes first.
    ///
    /// # Errors
    /// The name is unknown, or is no `host:port`, or has addresses of the other family only.
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

    /// Takes the addresses that a response names: of brokers that are new, and of those that have moved. New ones are
    /// numbered in the order of their ids.
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

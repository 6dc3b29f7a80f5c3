//! The brokers of a cluster with their addresses: what metadata says of them, in the numbers that clients use.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crate::broker::protocol::BrokerId;
use crate::broker::secure::{Access, AddressFamily};
use crate::broker::wire::{Endpoint, KnownNodes};

/// How many brokers are followed, those that are gone included: whatever a response names, memory has a limit.
pub(super) const BROKERS_MAX: usize = 1 << 10;

/// The brokers that are known. One that joins the cluster gets the next number; none is forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Brokers {
    nodes: KnownNodes,
    /// By number.
    places: Vec<Place>,
    /// How they are reached.
    access: Access,
}

/// Where a broker is.
#[derive(Clone, Debug)]
struct Place {
    /// What the cluster says.
    endpoint: Endpoint,
    /// The same resolved.
    address: SocketAddr,
    /// Whether the address has failed since it was resolved: the name may have another one by now.
    has_failed: bool,
}

impl Brokers {
    /// None is known yet; each is reached in the same way.
    pub(super) fn new(access: Access) -> Brokers {
        Brokers { access, ..Brokers::default() }
    }

    /// How they are reached.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    fn add(&mut self, endpoint: Endpoint, address: SocketAddr) {
        if self.places.len() < BROKERS_MAX && self.nodes.number(endpoint.node_id).is_none() {
            self.nodes.learn(std::slice::from_ref(&endpoint));
            self.places.push(Place { endpoint, address, has_failed: false });
        }
    }

    /// Number of brokers.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Where a broker listens.
    pub(super) fn address(&self, broker: BrokerId) -> SocketAddr {
        self.places[broker as usize].address
    }

    /// The name of the host that a broker advertises.
    pub(super) fn host(&self, broker: BrokerId) -> &str {
        &self.places[broker as usize].endpoint.host
    }

    /// Numbers by `node.id`.
    pub(super) fn nodes(&self) -> &KnownNodes {
        &self.nodes
    }

    /// The address of a broker has failed: its name is resolved again when the cluster next says where it is.
    pub(super) fn failed(&mut self, broker: BrokerId) {
        self.places[broker as usize].has_failed = true;
    }

    /// Takes the addresses that a response names: of brokers that are new, and of those that have moved. One that cannot
    /// be resolved stays as it was. New ones are numbered in the order of their ids.
    pub(super) fn learn(&mut self, endpoints: &[Endpoint]) {
        let mut endpoints: Vec<&Endpoint> = endpoints.iter().collect();
        endpoints.sort_by_key(|endpoint| endpoint.node_id);
        for endpoint in endpoints {
            match self.nodes.number(endpoint.node_id) {
                None => {
                    if let Ok(address) = address_of(endpoint, self.access.family()) {
                        self.add(endpoint.clone(), address);
                    }
                }
                Some(number) => {
                    self.places[number as usize].follow(endpoint, self.access.family());
                }
            }
        }
    }
}

impl Place {
    fn follow(&mut self, endpoint: &Endpoint, family: AddressFamily) {
        // A name is resolved on the thread of the load, so not without a reason.
        let may_have_changed = self.has_failed && endpoint.host.parse::<IpAddr>().is_err();
        if (self.endpoint != *endpoint || may_have_changed)
            && let Ok(address) = address_of(endpoint, family)
        {
            *self = Place { endpoint: endpoint.clone(), address, has_failed: false };
        }
    }
}

fn address_of(endpoint: &Endpoint, family: AddressFamily) -> Result<SocketAddr, String> {
    let name = format!("{}:{}", endpoint.host, endpoint.port);
    resolve(&name, family)?.into_iter().next().ok_or_else(|| format!("{name} has no address"))
}

/// The addresses of `host:port` that are tried. IPv4 comes first: brokers that call themselves `localhost` listen there
/// more often.
///
/// # Errors
/// The name is unknown, or is no `host:port`, or has addresses of the other family only.
pub(super) fn resolve(name: &str, family: AddressFamily) -> Result<Vec<SocketAddr>, String> {
    let found = name.to_socket_addrs().map_err(|error| format!("{name}: {error}"))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.retain(|address| family.takes(address));
    match found.is_empty() {
        true => Err(format!("{name}: {}", family.in_words())),
        false => Ok(found),
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
        assert_eq!((brokers.len(), brokers.address(0).port()), (2, 1003));
        brokers.learn(&[endpoint(5, 1005), endpoint(3, 2003)]);
        assert_eq!((brokers.len(), brokers.nodes().number(5)), (3, Some(2)));
        assert_eq!((brokers.address(0).port(), brokers.address(2).port()), (2003, 1005));
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

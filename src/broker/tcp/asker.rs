//! Requests to the brokers of a cluster: to any broker, to the leader of a partition, to the controller, or to the
//! coordinator of a group.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::ask_error::AskError;
use super::brokers::Brokers;
use super::conversation::{Ask, Conversation};
use super::resolver::Resolver;
use crate::broker::protocol::BrokerId;
use crate::broker::secure::{Access, host_of};
use crate::broker::setup::Deadline;
use crate::broker::wire::{
    Api, Endpoint, MetadataAnswer, WireError, coordinator, metadata, put_find_coordinator,
    put_metadata,
};
use crate::broker::{BrokerError, ErrorClass, listener};

/// Time limit of one broker while others can be asked.
const ONE: Duration = Duration::from_secs(2);

/// A client for requests, with a connection to each broker that was asked.
#[derive(Debug)]
pub(super) struct Asker {
    bootstrap: Vec<String>,
    client_id: String,
    brokers: Brokers,
    /// By host and address, because a certificate is for a name. Broken connections are removed.
    open: BTreeMap<(String, SocketAddr), Conversation>,
}

impl Asker {
    /// A client that knows only the addresses in `bootstrap`, which are separated by commas.
    pub(super) fn new(bootstrap: &str, client_id: String, access: &Access) -> Asker {
        let bootstrap = bootstrap.split(',').map(|name| name.trim().to_owned()).collect();
        let brokers = Brokers::new(access.clone(), Resolver::default());
        Asker { bootstrap, client_id, brokers, open: BTreeMap::new() }
    }

    /// The brokers that are known.
    pub(super) fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    /// True if every broker that has answered speaks this API.
    pub(super) fn speaks(&self, api: Api) -> bool {
        self.open.values().all(|open| open.speaks(api))
    }

    /// The highest version of an API that a broker that has answered speaks.
    pub(super) fn highest(&self, api: Api) -> Option<i16> {
        self.open.values().find_map(|open| open.highest(api))
    }

    /// True if the cluster serves groups of KIP-848, or has the preview of Kafka 3.9. Also true if that is not known.
    /// May block for a few seconds: Kafka 3.9 does not report the preview, so a connection of its own asks for it.
    pub(super) fn serves_consumer_groups(&self) -> bool {
        let or_as_a_preview = true;
        self.open.values().any(Conversation::serves_consumer_groups)
            || listener::serves_consumer_groups(
                &self.bootstrap.join(","),
                self.brokers.access(),
                or_as_a_preview,
            )
    }

    /// Asks the broker at an address, where `host` listens. An earlier connection may have been closed meanwhile, so
    /// one new connection is tried.
    fn ask_at<T>(
        &mut self,
        (host, address): (&str, SocketAddr),
        ask: &Ask<
            impl Fn(&mut Vec<u8>, i16) -> Result<(), WireError>,
            impl Fn(&[u8], i16) -> Result<T, WireError>,
        >,
        deadline: &Deadline,
    ) -> Result<T, AskError> {
        let by_reference = || Ask {
            api: ask.api,
            write: |out: &mut Vec<u8>, version| (ask.write)(out, version),
            read: |body: &[u8], version| (ask.read)(body, version),
        };
        let at = (host.to_owned(), address);
        if let Some(mut open) = self.open.remove(&at) {
            match open.ask(by_reference(), &self.client_id, deadline) {
                Err(AskError::Closed | AskError::Socket(_)) => {}
                Err(error) => return Err(error),
                Ok(answer) => {
                    self.open.insert(at, open);
                    return Ok(answer);
                }
            }
        }
        let mut open =
            Conversation::open((host, address), self.brokers.access(), &self.client_id, deadline)?;
        let answer = open.ask(by_reference(), &self.client_id, deadline)?;
        self.open.insert(at, open);
        Ok(answer)
    }

    /// Opens a connection to a known broker, unless there is one.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(super) fn greet(&mut self, broker: BrokerId, deadline: &Deadline) -> Result<(), AskError> {
        let address = self.address(broker, deadline)?;
        let at = (self.brokers.host(broker).to_owned(), address);
        if !self.open.contains_key(&at) {
            let access = self.brokers.access();
            let open = Conversation::open((&at.0, at.1), access, &self.client_id, deadline)?;
            self.open.insert(at, open);
        }
        Ok(())
    }

    /// Asks a known broker.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(super) fn ask<T>(
        &mut self,
        broker: BrokerId,
        ask: &Ask<
            impl Fn(&mut Vec<u8>, i16) -> Result<(), WireError>,
            impl Fn(&[u8], i16) -> Result<T, WireError>,
        >,
        deadline: &Deadline,
    ) -> Result<T, AskError> {
        let address = self.address(broker, deadline)?;
        let host = self.brokers.host(broker).to_owned();
        self.ask_at((&host, address), ask, deadline)
    }

    fn address(&self, broker: BrokerId, deadline: &Deadline) -> Result<SocketAddr, AskError> {
        self.brokers.await_address(broker, deadline).map_err(AskError::NotResolved)
    }

    /// Asks one broker after the other, starting with the known ones, until one answers.
    ///
    /// # Errors
    /// The error of each address, with its name.
    pub(super) fn ask_any<T>(
        &mut self,
        ask: &Ask<
            impl Fn(&mut Vec<u8>, i16) -> Result<(), WireError>,
            impl Fn(&[u8], i16) -> Result<T, WireError>,
        >,
        deadline: &Deadline,
    ) -> Result<T, Vec<(String, AskError)>> {
        let (mut errors, mut unknown) = (Vec::new(), Vec::new());
        let known = (0..self.brokers.len() as BrokerId).map(|broker| self.brokers.name(broker));
        let names: Vec<String> = known.chain(self.bootstrap.clone()).collect();
        for name in names {
            let addresses = match self.brokers.resolve(&name, &deadline.cut(ONE)) {
                Ok(addresses) => addresses,
                Err(error) => {
                    unknown.push((name, AskError::NotResolved(error)));
                    continue;
                }
            };
            for address in addresses {
                match self.ask_at((host_of(&name), address), ask, &deadline.cut(ONE)) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => errors.push((name.clone(), error)),
                }
            }
        }
        errors.extend(unknown);
        Err(errors)
    }

    /// Asks for the brokers, and for the topic of this name. An error of the topic is part of the answer.
    ///
    /// # Errors
    /// The error of each address, with its name.
    pub(super) fn metadata(
        &mut self,
        topic: &str,
        deadline: &Deadline,
    ) -> Result<MetadataAnswer, Vec<(String, AskError)>> {
        let ask = Ask {
            api: Api::Metadata,
            write: |out: &mut Vec<u8>, version| put_metadata(out, version, topic),
            read: |body: &[u8], version| metadata(body, version, topic),
        };
        let answer = self.ask_any(&ask, deadline)?;
        self.brokers.learn(&answer.brokers);
        Ok(answer)
    }

    /// Finds the coordinator of a group.
    ///
    /// # Errors
    /// There is none now, or no broker answers.
    pub(super) fn coordinator(
        &mut self,
        group: &str,
        deadline: &Deadline,
    ) -> Result<BrokerId, AskError> {
        let ask = Ask {
            api: Api::FindCoordinator,
            write: |out: &mut Vec<u8>, version| put_find_coordinator(out, version, group),
            read: |body: &[u8], version| coordinator(body, version, group),
        };
        let found = self.ask_any(&ask, deadline).map_err(last)?;
        let endpoint: Endpoint = found.map_err(AskError::Refused)?;
        self.brokers.learn(std::slice::from_ref(&endpoint));
        let unknown = || AskError::NotResolved(format!("{}:{}", endpoint.host, endpoint.port));
        self.brokers.nodes().number(endpoint.node_id).ok_or_else(unknown)
    }
}

/// The error of the last address.
pub(super) fn last(errors: Vec<(String, AskError)>) -> AskError {
    errors.into_iter().last().map_or(AskError::Silent, |(_, error)| error)
}

impl From<AskError> for BrokerError {
    /// An error that is not retriable is permanent. Any other error may be temporary.
    fn from(error: AskError) -> BrokerError {
        let class = match &error {
            AskError::Refused(code) if code.is_denial() => ErrorClass::Denied,
            _ => ErrorClass::Informational,
        };
        BrokerError { class, message: error.to_string() }
    }
}

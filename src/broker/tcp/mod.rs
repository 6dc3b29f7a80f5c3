//! Native clients on TCP: the simulator's client with sockets.
//!
//! The thread of each host waits for the sockets of its own clients. Requests outside the load, such as those for end
//! offsets and the topic, have connections of their own, on which each response is waited for.

mod admin;
mod administrator;
mod ask_error;
mod asker;
mod brokers;
mod connection;
mod consumer;
mod consumer_loop;
mod conversation;
mod inspect;
mod leaders;
mod library;
mod negotiation;
mod offsets;
mod poller;
mod producer;
mod request;
mod resolver;
#[cfg(test)]
mod tests;
mod topics;
mod transport;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) use self::library::TcpLibrary;

use self::admin::TcpAdmin;
use self::ask_error::AskError;
use self::asker::Asker;
use self::brokers::Brokers;
use self::consumer::{TcpConsumer, TcpMember};
use self::consumer_loop::TcpConsumerLoop;
use self::offsets::{RunEndOffsets, TcpCommitter, TcpEndOffsets, TcpTopic};
use self::producer::TcpProducer;
use self::request::Topic;
use self::transport::Transport;
use super::embedded::EmbeddedControl;
use super::instance_ids::InstanceIds;
use super::library::ClusterPlace;
use super::native::member_protocol::MemberSettings;
use super::native::{NativeConsumer, NativeProducer, NativeSettings};
use super::protocol::BrokerId;
use super::setup::Deadline;
use super::wire::Api;
use super::{
    BrokerError, ClusterPort, Committer, ConsumerLoop, ConsumerPort, ConsumerSpec, EndOffsets,
    ProducerPort, TopicPort, listener, run_group,
};
use crate::base::{Clock, PoolId, RunId};
use crate::fault::ClusterFault;
use crate::measure::{RequestCounter, RequestLog};
use crate::plan::{Assignor, GroupProtocol, Plan, ProducerClients};

/// A cluster reached through native clients.
struct TcpCluster {
    plan: Arc<Plan>,
    run: RunId,
    brokers: Brokers,
    topic: Topic,
    clock: Clock,
    /// The instance ids of the group, if only one member at a time may hold each.
    instance_ids: Option<InstanceIds>,
    bootstrap: String,
    /// Number of known partitions, which existing clients read as well.
    partitions: Arc<AtomicU32>,
    /// The control of the cluster, if it is in this process.
    embedded: Option<EmbeddedControl>,
    /// Counts of the requests of consumers and producers.
    requests: Arc<RequestLog>,
}

/// Bytes of batches from which on a Produce request takes no more: about `max.request.size` of Kafka's Java client.
const REQUEST_BYTES: usize = 1_000_000;
/// Time limit of a change to the topic.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);
/// Time limit of looking up the names of brokers before the load. A client can start without some of them.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

impl TcpCluster {
    /// Finds the brokers through one of the given addresses. May block until the time limit.
    ///
    /// # Errors
    /// No broker answers in Kafka's protocol.
    fn find(place: ClusterPlace<'_>) -> Result<TcpCluster, BrokerError> {
        let ClusterPlace { plan, run, settings, bootstrap, clock, limit, embedded, .. } = place;
        let protocol = plan.group().map(|group| &group.protocol);
        let mut topic = Topic {
            name: place.topic.to_owned(),
            id: Default::default(),
            client_id: format!("lanekeeper-{run}").into(),
            compression: plan.load.compression,
            group: run_group(run),
            assignor: match protocol {
                Some(GroupProtocol::Classic { assignor, .. }) => *assignor,
                _ => Assignor::Range,
            },
            is_of_consumer_protocol: matches!(protocol, Some(GroupProtocol::Consumer { .. })),
            clock,
        };
        let access = settings.access().map_err(BrokerError::fatal)?;
        let mut asker = Asker::new(bootstrap, topic.client_id.to_string(), &access);
        let deadline = Deadline::of(clock, limit);
        let found = asker.metadata(&topic.name, &deadline).map_err(|errors| all(&errors))?;
        topic.id = found.topic_id;
        require_an_address(asker.brokers(), &deadline.cut(LOOKUP_LIMIT))?;
        let serves = || {
            asker.speaks(Api::ConsumerGroupHeartbeat)
                && (embedded.is_some() || asker.serves_consumer_groups())
        };
        if topic.is_of_consumer_protocol && !serves() {
            return Err(BrokerError::fatal(listener::NO_CONSUMER_PROTOCOL));
        }
        Ok(TcpCluster {
            plan: plan.clone(),
            run,
            brokers: asker.brokers().clone(),
            topic,
            clock,
            instance_ids: InstanceIds::of(plan.group()),
            bootstrap: bootstrap.to_owned(),
            partitions: Arc::new(AtomicU32::new(plan.topic.partitions)),
            embedded,
            requests: Arc::default(),
        })
    }

    /// A client for requests. The brokers' logs show `name`.
    fn asker(&self, name: &str) -> Asker {
        Asker::new(&self.bootstrap, format!("lanekeeper-{name}"), self.brokers.access())
    }

    /// The time limits and backoffs of clients.
    fn client_settings(&self) -> NativeSettings {
        let defaults = NativeSettings::default();
        let fetch_wait_max = match self.plan.broker.capability().long_polls {
            true => defaults.fetch_wait_max,
            // The mock cluster answers no fetch before the end of its wait.
            false => Duration::from_millis(3),
        };
        NativeSettings {
            brokers: self.brokers.len() as u32,
            fetch_wait_max,
            request_bytes: REQUEST_BYTES,
            reconnect_backoff: Duration::from_millis(20),
            reconnect_backoff_max: Duration::from_secs(1),
            ..defaults
        }
    }

    fn transport<C: super::protocol::Client>(
        &self,
        clients: Vec<C>,
        name: &str,
    ) -> Result<Transport<C>, BrokerError> {
        let topic = Topic { client_id: format!("lanekeeper-{name}").into(), ..self.topic.clone() };
        let counter = RequestCounter::new(self.requests.clone());
        Transport::new(clients, self.brokers.clone(), topic, (self.clock, counter))
            .map_err(|error| BrokerError::fatal(format!("no descriptors for a client: {error}")))
    }
}

impl ClusterPort for TcpCluster {
    fn consumer(&self, spec: &ConsumerSpec) -> Result<Box<dyn ConsumerPort>, BrokerError> {
        let client = match &spec.group {
            None => NativeConsumer::new(self.client_settings()),
            Some(group) => {
                let member = MemberSettings::of(&self.plan, self.run, spec, group);
                NativeConsumer::member(member, self.client_settings(), group)
            }
        };
        let transport = self.transport(vec![client], &spec.name)?;
        let member = spec.group.as_ref().map(|group| {
            let claim = |ids: &InstanceIds| {
                let limit = self.plan.watch.close;
                ids.claim(group.consumer, group.incarnation, self.clock, limit)
            };
            TcpMember::new(group.crashed.clone(), self.instance_ids.as_ref().map(claim))
        });
        Ok(Box::new(TcpConsumer::new(transport, member, self.clock)))
    }

    fn consumer_loop(&self) -> Result<Box<dyn ConsumerLoop>, BrokerError> {
        let transport = self.transport(Vec::new(), "consumers")?;
        Ok(Box::new(TcpConsumerLoop::new(transport, self.client_settings(), self.clock)))
    }

    fn producer(&self, pool: PoolId) -> Result<Box<dyn ProducerPort>, BrokerError> {
        let load = &self.plan.load;
        let count = match load.clients {
            ProducerClients::PerPool => 1,
            ProducerClients::PerProducer => {
                (pool.0..load.producers).step_by(load.pools as usize).count()
            }
        };
        let partitions = self.plan.topic.partitions;
        let client = |_| NativeProducer::new(load, partitions, self.client_settings());
        let transport =
            self.transport((0..count).map(client).collect(), &format!("pool-{pool}"))?;
        Ok(Box::new(TcpProducer::new(transport, load.pools)))
    }

    fn committer(&self, group: &str) -> Result<Box<dyn Committer>, BrokerError> {
        let asker = self.asker("committer");
        Ok(Box::new(TcpCommitter::new(asker, group, &self.topic.name, self.clock)))
    }

    fn end_offsets(&self) -> Result<Box<dyn EndOffsets>, BrokerError> {
        let ends = TcpEndOffsets::new(self.asker("end-offsets"), &self.topic.name, self.clock);
        Ok(Box::new(RunEndOffsets { ends, partitions: self.partitions.clone() }))
    }

    fn topic(&self) -> Result<Option<Box<dyn TopicPort>>, BrokerError> {
        if !self.plan.broker.capability().can_grow {
            return Ok(None);
        }
        let (asker, topic) = (self.asker("topic"), self.topic.name.clone());
        Ok(Some(Box::new(TcpTopic { asker, topic, clock: self.clock })))
    }

    fn requests(&self) -> Option<Arc<RequestLog>> {
        Some(self.requests.clone())
    }

    fn grown(&self, partitions: u32) {
        self.partitions.fetch_max(partitions, Ordering::AcqRel);
    }

    fn inject(&self, cluster_fault: &ClusterFault) -> Result<(), BrokerError> {
        let (topic, deadline) = (&self.topic.name, Deadline::of(self.clock, CHANGE_LIMIT));
        match (cluster_fault, &self.embedded) {
            (ClusterFault::Grow(total), _) => {
                topics::grow(&mut self.asker("admin"), topic, *total, &deadline)
            }
            (ClusterFault::DeleteRecords(partitions), None) => {
                topics::empty(&mut self.asker("admin"), topic, partitions, &deadline)
            }
            (cluster_fault, Some(embedded)) => embedded.inject(cluster_fault),
            (cluster_fault, None) => {
                Err(BrokerError::fatal(format!("no cluster of our own for {cluster_fault:?}")))
            }
        }
    }
}

/// Looks up the names of all brokers, so that the addresses are known when the load begins.
///
/// # Errors
/// No broker has an address.
fn require_an_address(brokers: &Brokers, deadline: &Deadline) -> Result<(), BrokerError> {
    let all = 0..brokers.len() as BrokerId;
    // The lookups run one after the other on the resolver's thread, while this thread waits for the first.
    all.clone().for_each(|broker| drop(brokers.address(broker)));
    let found = all.map(|broker| brokers.await_address(broker, deadline));
    let errors: Vec<String> = match found.collect::<Vec<_>>() {
        found if found.iter().any(Result::is_ok) => return Ok(()),
        found => found.into_iter().filter_map(Result::err).collect(),
    };
    let named = errors.len();
    let said = errors.first().map_or(String::new(), |error| format!(": {error}"));
    let message =
        format!("the cluster names {named} brokers, and no address of them can be resolved{said}");
    Err(BrokerError::fatal(message))
}

/// The errors of all addresses.
fn all(errors: &[(String, AskError)]) -> BrokerError {
    let reasons: Vec<String> =
        errors.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    BrokerError::fatal(format!("the native client finds no broker: {}", reasons.join("; ")))
}

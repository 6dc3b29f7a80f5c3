//! The rdkafka adapter: real brokers and the embedded mock cluster through librdkafka.

mod config;
mod consumer;
mod effective;
mod embedded;
mod error;
mod library;
mod offsets;
mod producer;
mod refusal;
mod setup;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) use self::library::RdLibrary;

use self::consumer::RdConsumer;
use self::offsets::RdTopic;
use self::offsets::{RdCommitter, RdEndOffsets};
use self::producer::RdProducer;
use super::embedded::EmbeddedControl;
use super::instance_ids::{InstanceIdClaim, InstanceIds};
use super::library::ClusterPlace;
use super::settings::ClientSettings;
use super::{
    BrokerError, ClusterPort, Committer, ConsumerPort, ConsumerSpec, EndOffsets, ProducerPort,
    TopicPort,
};
use crate::base::{Clock, PoolId};
use crate::fault::ClusterFault;
use crate::plan::ProducerClients;

/// A cluster reached through librdkafka.
#[derive(Clone, Debug)]
struct RdCluster {
    settings: ClientSettings,
    topic: String,
    /// The number of known partitions, shared with the clients that ask for end offsets.
    partitions: Arc<AtomicU32>,
    /// The number of partitions at the start of the run.
    at_first: u32,
    can_grow: bool,
    producers: u32,
    pools: u32,
    clients: ProducerClients,
    clock: Clock,
    /// The instance ids of the group, if only one client may hold each. `None` otherwise.
    instance_ids: Option<InstanceIds>,
    /// Longest time that the close of a client may take.
    close_limit: Duration,
    /// The control of an embedded cluster; `None` for a cluster outside this process.
    embedded: Option<EmbeddedControl>,
}

impl RdCluster {
    /// The cluster of a plan whose topic exists. Creates no client yet.
    fn new(place: ClusterPlace<'_>) -> RdCluster {
        let plan = place.plan;
        RdCluster {
            settings: place.settings.clone(),
            topic: place.topic.to_owned(),
            partitions: Arc::new(AtomicU32::new(plan.topic.partitions)),
            at_first: plan.topic.partitions,
            can_grow: plan.broker.kind().capability().can_grow,
            producers: plan.load.producers,
            pools: plan.load.pools,
            clients: plan.load.clients,
            clock: place.clock,
            instance_ids: InstanceIds::of(plan.group()),
            close_limit: plan.watch.close,
            embedded: place.embedded,
        }
    }

    fn claim_of(&self, spec: &ConsumerSpec) -> Option<InstanceIdClaim> {
        let (ids, member) = (self.instance_ids.as_ref()?, spec.group.as_ref()?);
        Some(ids.claim(member.consumer, member.incarnation, self.clock, self.close_limit))
    }
}

impl ClusterPort for RdCluster {
    fn consumer(&self, spec: &ConsumerSpec) -> Result<Box<dyn ConsumerPort>, BrokerError> {
        let claim = self.claim_of(spec);
        let (settings, topic, clock) = (&self.settings, &self.topic, self.clock);
        Ok(Box::new(RdConsumer::new(settings, topic, self.at_first, spec, claim, clock)?))
    }

    fn producer(&self, pool: PoolId) -> Result<Box<dyn ProducerPort>, BrokerError> {
        let clients = match self.clients {
            ProducerClients::PerPool => 1,
            ProducerClients::PerProducer => {
                (pool.0..self.producers).step_by(self.pools as usize).count()
            }
        };
        let shape = (pool, self.pools, clients);
        Ok(Box::new(RdProducer::new(&self.settings, &self.topic, shape, self.clock)?))
    }

    fn end_offsets(&self) -> Result<Box<dyn EndOffsets>, BrokerError> {
        Ok(Box::new(RdEndOffsets::new(&self.settings, &self.topic, self.partitions.clone())?))
    }

    fn topic(&self) -> Result<Option<Box<dyn TopicPort>>, BrokerError> {
        if !self.can_grow {
            return Ok(None);
        }
        Ok(Some(Box::new(RdTopic::new(&self.settings, &self.topic)?)))
    }

    fn grown(&self, partitions: u32) {
        self.partitions.fetch_max(partitions, Ordering::AcqRel);
    }

    fn inject(&self, cluster_fault: &ClusterFault) -> Result<(), BrokerError> {
        match (cluster_fault, &self.embedded) {
            (ClusterFault::Grow(total), _) => {
                offsets::create_partitions(&self.settings, &self.topic, *total)
            }
            (ClusterFault::DeleteRecords(partitions), None) => {
                offsets::delete_records(&self.settings, &self.topic, partitions)
            }
            (cluster_fault, Some(embedded)) => embedded.inject(cluster_fault),
            (cluster_fault, None) => {
                Err(BrokerError::fatal(format!("no cluster of our own for {cluster_fault:?}")))
            }
        }
    }

    fn committer(&self, group: &str) -> Result<Box<dyn Committer>, BrokerError> {
        Ok(Box::new(RdCommitter::new(&self.settings, &self.topic, group, self.clock)?))
    }
}

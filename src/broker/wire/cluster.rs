//! Metadata, FindCoordinator and InitProducerId: leaders of partitions, coordinators of groups, and ids of producers.
//!
//! Source: the message definitions of Kafka. The protocol names brokers by `node.id`. [`KnownNodes`] gives each a
//! number, by which this client names it.

use std::collections::BTreeMap;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse,
    MetadataRequest, MetadataResponse,
};

use super::errors::KafkaError;
use super::fetch::TopicId;
use super::hints::Endpoint;
use super::layouts::{FIND_COORDINATOR, INIT_PRODUCER_ID, METADATA};
use super::messages::{put, read, text};
use super::primitives::WireError;
use super::versions::Api;
use crate::broker::protocol::{BrokerId, Response};

/// Brokers with their numbers, in the order in which they became known. A number is never given to another broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownNodes {
    endpoints: Vec<Endpoint>,
    /// The number of each broker, by `node.id`.
    numbers: BTreeMap<i32, BrokerId>,
}

impl KnownNodes {
    /// Notes addresses. A later address of a broker replaces the earlier one.
    pub(crate) fn learn(&mut self, endpoints: &[Endpoint]) {
        for endpoint in endpoints {
            let next = self.endpoints.len();
            let number = *self.numbers.entry(endpoint.node_id).or_insert(next as BrokerId);
            match self.endpoints.get_mut(number as usize) {
                Some(known) => known.clone_from(endpoint),
                None => self.endpoints.push(endpoint.clone()),
            }
        }
    }

    /// The number of a broker; `None` if its address is not known.
    pub(crate) fn number(&self, node_id: i32) -> Option<BrokerId> {
        self.numbers.get(&node_id).copied()
    }

    /// The address of the broker with this number; `None` if there is none.
    pub(crate) fn endpoint(&self, broker: BrokerId) -> Option<&Endpoint> {
        self.endpoints.get(broker as usize)
    }

    /// Number of known brokers.
    pub(crate) fn len(&self) -> usize {
        self.endpoints.len()
    }
}

/// A partition in a Metadata response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    /// Error of the partition.
    pub(crate) error: Option<KafkaError>,
    /// `node.id` of its leader; `None` if it has none.
    pub(crate) leader: Option<i32>,
    /// The leader's epoch (from version 7 on); -1 if it is not known.
    pub(crate) leader_epoch: i32,
    /// `node.id` of each replica.
    pub(crate) replicas: Vec<i32>,
    /// `node.id` of each replica in sync.
    pub(crate) in_sync: Vec<i32>,
}

/// A Metadata response for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetadataAnswer {
    /// The id of the cluster; `None` if it is not sent.
    pub(crate) cluster_id: Option<String>,
    /// Addresses of the brokers.
    pub(crate) brokers: Vec<Endpoint>,
    /// `node.id` of a broker that forwards requests to the controller; -1 if there is none.
    pub(crate) controller: i32,
    /// Error of the topic.
    pub(crate) error: Option<KafkaError>,
    /// The topic's id (from version 10 on); all zero if it is not known.
    pub(crate) topic_id: TopicId,
    /// The partitions, by number.
    pub(crate) partitions: Vec<PartitionMetadata>,
}

impl MetadataAnswer {
    /// The response for the client. A leader whose address is not known counts as none.
    pub(crate) fn response(&self, nodes: &KnownNodes) -> Response {
        if let Some(error) = self.error {
            return Response::Refused(error.of_partition());
        }
        let leader = |its: &PartitionMetadata| its.leader.and_then(|node| nodes.number(node));
        Response::Metadata(self.partitions.iter().map(leader).collect())
    }
}

/// Writes the body of a Metadata request for one topic, which does not create it.
///
/// # Errors
/// The name is too long.
pub(crate) fn put_metadata(out: &mut Vec<u8>, version: i16, topic: &str) -> Result<(), WireError> {
    let topic = MetadataRequestTopic::default().with_name(Some(text(topic).into()));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(false);
    put(out, (Api::Metadata, version), &request)
}

/// Reads the body of a Metadata response.
///
/// # Errors
/// The bytes are not a response for `topic`, or a partition id is missing between others.
pub(crate) fn metadata(
    body: &[u8],
    version: i16,
    topic: &str,
) -> Result<MetadataAnswer, WireError> {
    let response: MetadataResponse = read(body, (Api::Metadata, version), METADATA)?;
    let brokers = response.brokers.into_iter().map(|broker| Endpoint {
        node_id: broker.node_id.0,
        host: broker.host.to_string(),
        port: broker.port,
    });
    let is_ours = |name: &str| name == topic;
    let mut topics = response.topics.into_iter();
    let found = topics.find(|it| it.name.as_ref().is_some_and(|name| is_ours(name.as_str())));
    let mut found = found.ok_or(WireError::Malformed("the topic of a metadata response"))?;
    found.partitions.sort_by_key(|partition| partition.partition_index);
    let numbers = found.partitions.iter().map(|partition| i64::from(partition.partition_index));
    if !numbers.eq(0..found.partitions.len() as i64) {
        return Err(WireError::Malformed("the partitions of a metadata response"));
    }
    Ok(MetadataAnswer {
        cluster_id: response.cluster_id.map(|id| id.to_string()),
        brokers: brokers.collect(),
        controller: response.controller_id.0,
        error: KafkaError::of(found.error_code),
        topic_id: found.topic_id.into_bytes(),
        partitions: found.partitions.into_iter().map(partition).collect(),
    })
}

fn partition(its: MetadataResponsePartition) -> PartitionMetadata {
    let ids = |nodes: Vec<kafka_protocol::messages::BrokerId>| {
        nodes.into_iter().map(|node| node.0).collect()
    };
    PartitionMetadata {
        error: KafkaError::of(its.error_code),
        leader: Some(its.leader_id.0).filter(|node| *node >= 0),
        leader_epoch: its.leader_epoch,
        replicas: ids(its.replica_nodes),
        in_sync: ids(its.isr_nodes),
    }
}

/// Writes the body of a FindCoordinator request for one group.
///
/// # Errors
/// The name is too long.
pub(crate) fn put_find_coordinator(
    out: &mut Vec<u8>,
    version: i16,
    group: &str,
) -> Result<(), WireError> {
    // Key type 0: a group.
    let request = match version >= 4 {
        true => FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]),
        false => FindCoordinatorRequest::default().with_key(text(group)),
    };
    put(out, (Api::FindCoordinator, version), &request)
}

/// Reads the body of a FindCoordinator response: the coordinator, or the error.
///
/// # Errors
/// The bytes are not a response for `group`.
pub(crate) fn coordinator(
    body: &[u8],
    version: i16,
    group: &str,
) -> Result<Result<Endpoint, KafkaError>, WireError> {
    let response: FindCoordinatorResponse =
        read(body, (Api::FindCoordinator, version), FIND_COORDINATOR)?;
    let (code, node_id, host, port) = if version >= 4 {
        let mut found = response.coordinators.into_iter();
        let found = found.find(|it| it.key.as_str() == group);
        let found = found.ok_or(WireError::Malformed("the group of a coordinator response"))?;
        (found.error_code, found.node_id.0, found.host, found.port)
    } else {
        (response.error_code, response.node_id.0, response.host, response.port)
    };
    Ok(match KafkaError::of(code) {
        Some(error) => Err(error),
        None => Ok(Endpoint { node_id, host: host.to_string(), port }),
    })
}

/// The response for the client with a coordinator, whose address must be known.
pub(crate) fn coordinator_response(
    found: &Result<Endpoint, KafkaError>,
    nodes: &KnownNodes,
) -> Response {
    match found {
        Err(error) => Response::Refused(error.of_partition()),
        Ok(endpoint) => match nodes.number(endpoint.node_id) {
            Some(broker) => Response::Coordinator(broker),
            None => Response::Refused(crate::broker::protocol::ErrorCode::Unavailable),
        },
    }
}

/// Writes the body of an InitProducerId request of an idempotent producer without transactions. With `current`, an id
/// and its epoch, the broker gives the same id a new epoch, from version 3 on (KIP-360).
///
/// # Errors
/// None in practice, because no field can be too long.
pub(crate) fn put_init_producer_id(
    out: &mut Vec<u8>,
    version: i16,
    current: Option<(i64, i16)>,
) -> Result<(), WireError> {
    let mut request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX);
    if let Some((id, epoch)) = current.filter(|_| version >= 3) {
        request = request.with_producer_id(id.into()).with_producer_epoch(epoch);
    }
    put(out, (Api::InitProducerId, version), &request)
}

/// Reads the body of an InitProducerId response: the id and its epoch, or the error.
///
/// # Errors
/// The bytes are not such a body.
pub(crate) fn producer_id(
    body: &[u8],
    version: i16,
) -> Result<Result<(i64, i16), KafkaError>, WireError> {
    let response: InitProducerIdResponse =
        read(body, (Api::InitProducerId, version), INIT_PRODUCER_ID)?;
    Ok(match KafkaError::of(response.error_code) {
        Some(error) => Err(error),
        None => Ok((response.producer_id.0, response.producer_epoch)),
    })
}

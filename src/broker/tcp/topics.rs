//! Changes of the topic: creation, deletion, new partitions, deletion of records.

use std::collections::BTreeMap;

use super::ask_error::AskError;
use super::asker::{Asker, last};
use super::conversation::Ask;
use crate::base::PartitionId;
use crate::broker::protocol::BrokerId;
use crate::broker::setup::Deadline;
use crate::broker::wire::{
    Api, KafkaError, NewTopic, TopicResult, WireError, created_partitions, created_topic,
    deleted_records, deleted_topic, put_create_partitions, put_create_topic, put_delete_records,
    put_delete_topic,
};
use crate::broker::{BrokerError, ErrorClass};
use crate::plan::TopicPlan;

/// INVALID_TOPIC, INVALID_REPLICATION_FACTOR and POLICY_VIOLATION.
const INVALID_TOPIC: i16 = 17;
const INVALID_REPLICATION_FACTOR: i16 = 38;
const POLICY_VIOLATION: i16 = 44;

/// The reason why a topic is not changed.
#[derive(Debug)]
pub(super) enum TopicError {
    /// An error of the cluster, with its message if there is one.
    Refused(KafkaError, Option<String>),
    /// No broker has answered.
    NotAsked(AskError),
}

/// Sends a request to the controller. Every broker forwards such requests to it.
fn change(
    asker: &mut Asker,
    topic: &str,
    ask: &Ask<
        impl Fn(&mut Vec<u8>, i16) -> Result<(), WireError>,
        impl Fn(&[u8], i16) -> Result<TopicResult, WireError>,
    >,
    deadline: &Deadline,
) -> Result<(), TopicError> {
    let known = asker.metadata(topic, deadline).map_err(|e| TopicError::NotAsked(last(e)))?;
    let result = match asker.brokers().nodes().number(known.controller) {
        Some(controller) => asker.ask(controller, ask, deadline),
        None => asker.ask_any(ask, deadline).map_err(last),
    };
    match result.map_err(TopicError::NotAsked)? {
        Ok(()) => Ok(()),
        Err((code, said)) => Err(TopicError::Refused(code, said)),
    }
}

/// The remaining time, in milliseconds.
fn left_ms(deadline: &Deadline) -> i32 {
    i32::try_from(deadline.left().as_millis()).unwrap_or(i32::MAX)
}

/// Creates the topic, or lets the brokers only validate the request.
///
/// # Errors
/// See [`TopicError`]. The topic may exist nevertheless, unless the cluster has refused.
pub(super) fn create(
    asker: &mut Asker,
    name: &str,
    (plan, is_check): (&TopicPlan, bool),
    deadline: &Deadline,
) -> Result<(), TopicError> {
    let retention_ms = plan.retention.as_millis().to_string();
    let retention_bytes = plan.retention_bytes.to_string();
    let min_insync = plan.min_insync_replicas.to_string();
    let configs = [
        ("retention.ms", &*retention_ms),
        ("retention.bytes", &*retention_bytes),
        ("min.insync.replicas", &*min_insync),
    ];
    let topic = NewTopic {
        name,
        partitions: i32::try_from(plan.partitions).unwrap_or(i32::MAX),
        replication: i16::try_from(plan.replication_factor).unwrap_or(i16::MAX),
        configs: &configs,
        is_check,
    };
    let timeout = left_ms(deadline);
    let ask = Ask {
        api: Api::CreateTopics,
        write: |out: &mut Vec<u8>, version| put_create_topic(out, version, &topic, timeout),
        read: |body: &[u8], version| created_topic(body, version, name),
    };
    change(asker, name, &ask, deadline)
}

/// Deletes the topic.
///
/// # Errors
/// See [`TopicError`].
pub(super) fn delete(asker: &mut Asker, name: &str, deadline: &Deadline) -> Result<(), TopicError> {
    let timeout = left_ms(deadline);
    let ask = Ask {
        api: Api::DeleteTopics,
        write: |out: &mut Vec<u8>, version| put_delete_topic(out, version, name, timeout),
        read: |body: &[u8], version| deleted_topic(body, version, name),
    };
    change(asker, name, &ask, deadline)
}

/// Adds partitions to the topic until it has `total`.
///
/// # Errors
/// The cluster refuses, or does not answer in time.
pub(super) fn grow(
    asker: &mut Asker,
    name: &str,
    total: u32,
    deadline: &Deadline,
) -> Result<(), BrokerError> {
    let (timeout, count) = (left_ms(deadline), i32::try_from(total).unwrap_or(i32::MAX));
    let ask = Ask {
        api: Api::CreatePartitions,
        write: |out: &mut Vec<u8>, version| {
            put_create_partitions(out, version, (name, count), timeout)
        },
        read: |body: &[u8], version| created_partitions(body, version, name),
    };
    match change(asker, name, &ask, deadline) {
        Ok(()) => Ok(()),
        Err(TopicError::NotAsked(error)) => Err(error.into()),
        Err(TopicError::Refused(code, said)) => {
            let why = said.unwrap_or_else(|| code.to_string());
            let message = format!("topic `{name}` cannot have {total} partitions: {why}");
            Err(BrokerError { class: ErrorClass::Denied, message })
        }
    }
}

/// Deletes all records of these partitions.
///
/// # Errors
/// A leader refuses, or does not answer in time.
pub(super) fn empty(
    asker: &mut Asker,
    name: &str,
    partitions: &[PartitionId],
    deadline: &Deadline,
) -> Result<(), BrokerError> {
    let known = asker.metadata(name, deadline).map_err(last)?;
    let mut of_leader: BTreeMap<BrokerId, Vec<PartitionId>> = BTreeMap::new();
    for partition in partitions {
        let leader = known.partitions.get(partition.0 as usize).and_then(|its| its.leader);
        let leader = leader.and_then(|node| asker.brokers().nodes().number(node));
        let Some(leader) = leader else {
            let message = format!("partition {partition} of `{name}` has no leader");
            return Err(BrokerError { class: ErrorClass::Informational, message });
        };
        of_leader.entry(leader).or_default().push(*partition);
    }
    let timeout = left_ms(deadline);
    for (leader, partitions) in of_leader {
        let ask = Ask {
            api: Api::DeleteRecords,
            write: |out: &mut Vec<u8>, version| {
                put_delete_records(out, version, (name, &partitions), timeout)
            },
            read: deleted_records,
        };
        if let Some(error) = asker.ask(leader, &ask, deadline)? {
            return Err(AskError::Refused(error).into());
        }
    }
    Ok(())
}

/// Advice for the user about a topic that is not created.
pub(super) fn remedy(code: KafkaError) -> &'static str {
    match code.code() {
        INVALID_REPLICATION_FACTOR => {
            "the cluster has fewer brokers than `topic.replication_factor`"
        }
        POLICY_VIOLATION => {
            "the cluster has a policy for new topics: create it yourself and name it with `topic.name`"
        }
        INVALID_TOPIC => "choose another `topic.name` (letters, digits, `.`, `_`, `-`)",
        _ => "create it yourself and name it with `topic.name`, or check the cluster's health",
    }
}

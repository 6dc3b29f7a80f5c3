//! The data that members of a classic group send each other through the coordinator: subscriptions and assignments.
//!
//! Source: `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment` among the message definitions of Kafka,
//! versions 0 to 3 (KIP-429, KIP-792, KIP-881). A version that is newer begins with the fields of version 3.

use bytes::BufMut;
use kafka_protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as Assigned,
};
use kafka_protocol::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition as Owned,
};

use super::layouts::{ASSIGNMENT, SUBSCRIPTION};
use super::messages::{decode, encode, text};
use super::primitives::{WireError, WireReader};
use crate::base::PartitionId;

/// The newest known version.
const VERSION_MAX: i16 = 3;
/// Assignments have the same fields in each version. Every client reads the oldest one.
const ASSIGNMENT_VERSION: i16 = 0;

/// The partitions that a member owns, and the generation in which it got them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedPartitions {
    /// Partitions of the topic.
    pub(crate) partitions: Vec<PartitionId>,
    /// The generation; -1 before the first one, and from clients that do not send it.
    pub(crate) generation: i32,
}

/// The bytes of a subscription to one topic, in version 3.
///
/// # Errors
/// The topic's name is too long.
pub(crate) fn subscription_bytes(
    topic: &str,
    owned: &[PartitionId],
    generation: i32,
) -> Result<Vec<u8>, WireError> {
    let mut subscription = ConsumerProtocolSubscription::default()
        .with_topics(vec![text(topic)])
        .with_generation_id(generation);
    if !owned.is_empty() {
        let owned = Owned::default().with_topic(text(topic).into()).with_partitions(numbers(owned));
        subscription.owned_partitions = vec![owned];
    }
    let mut out = Vec::new();
    out.put_i16(VERSION_MAX);
    encode(&mut out, ("subscription", VERSION_MAX), &subscription)?;
    Ok(out)
}

/// The partitions of `topic` in a member's subscription. Without bytes the member owns none.
///
/// # Errors
/// The bytes are not a subscription.
pub(crate) fn subscription(bytes: &[u8], topic: &str) -> Result<OwnedPartitions, WireError> {
    let Some((version, body)) = versioned(bytes)? else {
        return Ok(OwnedPartitions { partitions: Vec::new(), generation: -1 });
    };
    let found: ConsumerProtocolSubscription =
        decode(body, ("subscription", version), SUBSCRIPTION, false)?;
    let ours = found.owned_partitions.iter().filter(|its| its.topic.as_str() == topic);
    let partitions = ids(ours.flat_map(|its| &its.partitions))?;
    Ok(OwnedPartitions { partitions, generation: found.generation_id })
}

/// The bytes of an assignment of one topic's partitions.
///
/// # Errors
/// The topic's name is too long.
pub(crate) fn assignment_bytes(
    topic: &str,
    partitions: &[PartitionId],
) -> Result<Vec<u8>, WireError> {
    let mut assignment = ConsumerProtocolAssignment::default();
    if !partitions.is_empty() {
        let its =
            Assigned::default().with_topic(text(topic).into()).with_partitions(numbers(partitions));
        assignment.assigned_partitions = vec![its];
    }
    let mut out = Vec::new();
    out.put_i16(ASSIGNMENT_VERSION);
    encode(&mut out, ("assignment", ASSIGNMENT_VERSION), &assignment)?;
    Ok(out)
}

/// The partitions of `topic` in an assignment, ascending. An empty assignment has none.
///
/// # Errors
/// The bytes are not an assignment.
pub(crate) fn assignment(bytes: &[u8], topic: &str) -> Result<Vec<PartitionId>, WireError> {
    let Some((version, body)) = versioned(bytes)? else { return Ok(Vec::new()) };
    let found: ConsumerProtocolAssignment =
        decode(body, ("assignment", version), ASSIGNMENT, false)?;
    let ours = found.assigned_partitions.iter().filter(|its| its.topic.as_str() == topic);
    let mut partitions = ids(ours.flat_map(|its| &its.partitions))?;
    partitions.sort_unstable();
    Ok(partitions)
}

/// The version, at most the newest known one, and the bytes behind it; `None` without bytes.
fn versioned(bytes: &[u8]) -> Result<Option<(i16, &[u8])>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut reader = WireReader::new(bytes);
    match reader.i16("the version of the consumer protocol")? {
        version if version < 0 => Err(WireError::Malformed("the version of the consumer protocol")),
        version => Ok(Some((version.min(VERSION_MAX), reader.rest()))),
    }
}

/// Partition ids in the protocol's type.
pub(super) fn numbers(partitions: &[PartitionId]) -> Vec<i32> {
    partitions.iter().map(|id| i32::try_from(id.0).unwrap_or(i32::MAX)).collect()
}

/// Partition ids in this client's type.
///
/// # Errors
/// A number is negative.
pub(super) fn ids<'a>(
    numbers: impl Iterator<Item = &'a i32>,
) -> Result<Vec<PartitionId>, WireError> {
    let id = |number: &i32| u32::try_from(*number).map(PartitionId);
    numbers.map(id).collect::<Result<_, _>>().map_err(|_| WireError::Malformed("a partition"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_members_say_is_read_as_written(
            numbers in prop::collection::btree_set(0u32..1 << 31, 0..5),
            generation in -1i32..,
        ) {
            let partitions: Vec<_> = numbers.into_iter().map(PartitionId).collect();
            let bytes = subscription_bytes("lanes", &partitions, generation).expect("short");
            let owned = OwnedPartitions { partitions: partitions.clone(), generation };
            prop_assert_eq!(subscription(&bytes, "lanes"), Ok(owned));
            prop_assert_eq!(subscription(&bytes, "other").expect("one").partitions, []);
            let bytes = assignment_bytes("lanes", &partitions).expect("short");
            prop_assert_eq!(assignment(&bytes, "lanes"), Ok(partitions));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, version in 0u8..5) {
            let versioned = [&[0, version][..], &bytes].concat();
            for bytes in [bytes, versioned] {
                let _ = subscription(&bytes, "lanes");
                let _ = assignment(&bytes, "lanes");
            }
        }
    }

    #[test]
    fn other_versions_are_read() {
        let old = [0, 0, 0, 0, 0, 1, 0, 1, b't', 255, 255, 255, 255];
        let nothing = OwnedPartitions { partitions: Vec::new(), generation: -1 };
        assert_eq!(subscription(&old, "t"), Ok(nothing.clone()));
        assert_eq!(subscription(&[], "t"), Ok(nothing));
        assert_eq!(assignment(&[], "t"), Ok(Vec::new()));
        let mut newer = subscription_bytes("t", &[PartitionId(3)], 7).expect("short");
        newer[1] = 9;
        newer.push(5);
        assert_eq!(subscription(&newer, "t").expect("one").partitions, [PartitionId(3)]);
        assert!(subscription(&[255, 255, 0], "t").is_err());
    }
}

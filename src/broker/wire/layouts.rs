//! The layouts of the responses that `kafka_protocol` decodes, and of the data that members of a group send each other.
//!
//! Source: the message definitions of Kafka. A test compares each layout with an encoded message.

use super::layout::Kind::{Array, Bytes, Fixed, Numbers, Optional, Tags, TagsWith, Text};
use super::layout::{Field, always, between, since};

/// Bytes of a UUID.
const UUID: usize = 16;
/// Bytes of an error code.
const CODE: usize = 2;

/// Metadata.
pub(super) const METADATA: &[Field] = &[
    since(3, Fixed(4)),
    always(Array(METADATA_BROKER)),
    since(2, Text),
    since(1, Fixed(4)),
    always(Array(METADATA_TOPIC)),
    between(8, 10, Fixed(4)),
    since(13, Fixed(CODE)),
    since(9, Tags),
];
const METADATA_BROKER: &[Field] =
    &[always(Fixed(4)), always(Text), always(Fixed(4)), since(1, Text), since(9, Tags)];
const METADATA_TOPIC: &[Field] = &[
    always(Fixed(CODE)),
    always(Text),
    since(10, Fixed(UUID)),
    since(1, Fixed(1)),
    always(Array(METADATA_PARTITION)),
    since(8, Fixed(4)),
    since(9, Tags),
];
const METADATA_PARTITION: &[Field] = &[
    always(Fixed(CODE)),
    always(Fixed(4)),
    always(Fixed(4)),
    since(7, Fixed(4)),
    always(Numbers(4)),
    always(Numbers(4)),
    since(5, Numbers(4)),
    since(9, Tags),
];

/// InitProducerId: throttle time, error, id, epoch.
pub(super) const INIT_PRODUCER_ID: &[Field] = &[always(Fixed(4 + CODE + 8 + 2)), since(2, Tags)];

/// ListOffsets.
pub(super) const LIST_OFFSETS: &[Field] =
    &[since(2, Fixed(4)), always(Array(LIST_OFFSETS_TOPIC)), since(6, Tags)];
const LIST_OFFSETS_TOPIC: &[Field] =
    &[always(Text), always(Array(LIST_OFFSETS_PARTITION)), since(6, Tags)];
const LIST_OFFSETS_PARTITION: &[Field] =
    &[always(Fixed(4 + CODE + 8 + 8)), since(4, Fixed(4)), since(6, Tags)];

/// FindCoordinator.
pub(super) const FIND_COORDINATOR: &[Field] = &[
    since(1, Fixed(4)),
    between(0, 3, Fixed(CODE)),
    between(1, 3, Text),
    between(0, 3, Fixed(4)),
    between(0, 3, Text),
    between(0, 3, Fixed(4)),
    since(4, Array(COORDINATOR)),
    since(3, Tags),
];
const COORDINATOR: &[Field] = &[
    always(Text),
    always(Fixed(4)),
    always(Text),
    always(Fixed(4 + CODE)),
    always(Text),
    always(Tags),
];

/// JoinGroup.
pub(super) const JOIN_GROUP: &[Field] = &[
    since(2, Fixed(4)),
    always(Fixed(CODE + 4)),
    since(7, Text),
    always(Text),
    always(Text),
    since(9, Fixed(1)),
    always(Text),
    always(Array(JOINED_MEMBER)),
    since(6, Tags),
];
const JOINED_MEMBER: &[Field] = &[always(Text), since(5, Text), always(Bytes), since(6, Tags)];

/// Heartbeat.
pub(super) const HEARTBEAT: &[Field] = &[since(1, Fixed(4)), always(Fixed(CODE)), since(4, Tags)];

/// LeaveGroup.
pub(super) const LEAVE_GROUP: &[Field] =
    &[since(1, Fixed(4)), always(Fixed(CODE)), since(3, Array(LEFT_MEMBER)), since(4, Tags)];
const LEFT_MEMBER: &[Field] = &[always(Text), always(Text), always(Fixed(CODE)), since(4, Tags)];

/// OffsetCommit.
pub(super) const OFFSET_COMMIT: &[Field] =
    &[since(3, Fixed(4)), always(Array(COMMITTED_TOPIC)), since(8, Tags)];
const COMMITTED_TOPIC: &[Field] =
    &[always(Text), always(Array(COMMITTED_PARTITION)), since(8, Tags)];
const COMMITTED_PARTITION: &[Field] = &[always(Fixed(4 + CODE)), since(8, Tags)];

/// OffsetFetch.
pub(super) const OFFSET_FETCH: &[Field] = &[
    since(3, Fixed(4)),
    between(0, 7, Array(OFFSETS_TOPIC)),
    between(2, 7, Fixed(CODE)),
    since(8, Array(OFFSETS_GROUP)),
    since(6, Tags),
];
const OFFSETS_GROUP: &[Field] =
    &[always(Text), always(Array(OFFSETS_TOPIC)), always(Fixed(CODE)), always(Tags)];
const OFFSETS_TOPIC: &[Field] = &[always(Text), always(Array(OFFSETS_PARTITION)), since(6, Tags)];
const OFFSETS_PARTITION: &[Field] =
    &[always(Fixed(4 + 8)), since(5, Fixed(4)), always(Text), always(Fixed(CODE)), since(6, Tags)];

/// ConsumerGroupHeartbeat.
pub(super) const CONSUMER_GROUP_HEARTBEAT: &[Field] = &[
    always(Fixed(4 + CODE)),
    always(Text),
    always(Text),
    always(Fixed(4 + 4)),
    always(Optional(&[always(Array(TOPIC_PARTITIONS)), always(Tags)])),
    always(Tags),
];
const TOPIC_PARTITIONS: &[Field] = &[always(Fixed(UUID)), always(Numbers(4)), always(Tags)];

/// CreateTopics.
pub(super) const CREATE_TOPICS: &[Field] =
    &[always(Fixed(4)), always(Array(CREATED_TOPIC)), since(5, Tags)];
const CREATED_TOPIC: &[Field] = &[
    always(Text),
    since(7, Fixed(UUID)),
    always(Fixed(CODE)),
    always(Text),
    since(5, Fixed(4 + 2)),
    since(5, Array(TOPIC_CONFIG)),
    // The error of the configuration.
    since(5, TagsWith(0, CODE)),
];
const TOPIC_CONFIG: &[Field] = &[always(Text), always(Text), always(Fixed(3)), always(Tags)];

/// DeleteTopics.
pub(super) const DELETE_TOPICS: &[Field] =
    &[always(Fixed(4)), always(Array(DELETED_TOPIC)), since(4, Tags)];
const DELETED_TOPIC: &[Field] =
    &[always(Text), since(6, Fixed(UUID)), always(Fixed(CODE)), since(5, Text), since(4, Tags)];

/// DeleteRecords.
pub(super) const DELETE_RECORDS: &[Field] =
    &[always(Fixed(4)), always(Array(EMPTIED_TOPIC)), since(2, Tags)];
const EMPTIED_TOPIC: &[Field] = &[always(Text), always(Array(EMPTIED_PARTITION)), since(2, Tags)];
const EMPTIED_PARTITION: &[Field] = &[always(Fixed(4 + 8 + CODE)), since(2, Tags)];

/// DescribeConfigs.
pub(super) const DESCRIBE_CONFIGS: &[Field] =
    &[always(Fixed(4)), always(Array(DESCRIBED_RESOURCE)), since(4, Tags)];
const DESCRIBED_RESOURCE: &[Field] = &[
    always(Fixed(CODE)),
    always(Text),
    always(Fixed(1)),
    always(Text),
    always(Array(DESCRIBED_CONFIG)),
    since(4, Tags),
];
const DESCRIBED_CONFIG: &[Field] = &[
    always(Text),
    always(Text),
    // `IsReadOnly`, `ConfigSource`, `IsSensitive`.
    always(Fixed(3)),
    since(1, Array(CONFIG_SYNONYM)),
    since(3, Fixed(1)),
    since(3, Text),
    since(4, Tags),
];
const CONFIG_SYNONYM: &[Field] = &[always(Text), always(Text), always(Fixed(1)), since(4, Tags)];

/// CreatePartitions.
pub(super) const CREATE_PARTITIONS: &[Field] =
    &[always(Fixed(4)), always(Array(GROWN_TOPIC)), since(2, Tags)];
const GROWN_TOPIC: &[Field] = &[always(Text), always(Fixed(CODE)), always(Text), since(2, Tags)];

/// The subscription of a member.
pub(super) const SUBSCRIPTION: &[Field] = &[
    always(Array(&[always(Text)])),
    always(Bytes),
    since(1, Array(NAMED_PARTITIONS)),
    since(2, Fixed(4)),
    since(3, Text),
];

/// The assignment of a member.
pub(super) const ASSIGNMENT: &[Field] = &[always(Array(NAMED_PARTITIONS)), always(Bytes)];
const NAMED_PARTITIONS: &[Field] = &[always(Text), always(Numbers(4))];

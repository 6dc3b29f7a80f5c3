//! The codec between this client's requests and responses and the bytes of Kafka's protocol.
//!
//! It has no socket and no clock. Produce, Fetch and record batches are written and read by hand, because the load
//! consists of them, and ApiVersions, because all other requests depend on it. The other messages are those of
//! `kafka_protocol`. It gets only bytes whose counts have been checked (see `layout`).
//!
//! No input makes the codec panic or loop without end. Its memory is at most a multiple of the received bytes. For
//! compressed batches it is at most the caller's limit and the window of the codec (8 MiB).

mod batch;
mod cluster;
mod commits;
mod compression;
mod configs;
mod consumer_heartbeat;
mod consumer_protocol;
mod delete_records;
mod errors;
mod fetch;
mod fetched;
mod frame;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod group;
mod hints;
mod layout;
mod layouts;
mod list_offsets;
mod messages;
mod primitives;
mod produce;
mod records;
mod sasl;
mod topics;
mod versions;

#[cfg(fuzzing)]
pub use fuzzing::decode;

pub(crate) use batch::{BatchMemory, BatchSizes};
pub(crate) use cluster::{
    KnownNodes, MetadataAnswer, coordinator, coordinator_response, metadata, producer_id,
    put_find_coordinator, put_init_producer_id, put_metadata,
};
pub(crate) use commits::{committed, fetched_offsets, put_commit, put_fetch_offsets};
pub(crate) use configs::{Configured, described_config, put_describe_config};
pub(crate) use consumer_heartbeat::{MemberHeartbeat, member_heartbeat, put_member_heartbeat};
pub(crate) use delete_records::{deleted_records, put_delete_records};
pub(crate) use errors::KafkaError;
pub(crate) use fetch::{FetchContext, TopicId, put_fetch};
pub(crate) use fetched::{FetchAsked, FetchMemory, FetchedPartition};
pub(crate) use frame::{
    FrameBuffer, Pending, Waiting, begin_request, end_request, put_request, throttle_ms,
};
pub(crate) use group::{GroupContext, group_answer, group_api, put_group};
pub(crate) use hints::{Endpoint, LeaderHint};
pub(crate) use list_offsets::{LogEnd, listed_offsets, put_list_offsets};
pub(crate) use primitives::{WireError, WireReader};
pub(crate) use produce::{ProduceContext, ProduceError, produced, put_produce};
pub(crate) use sasl::{SaslAnswer, authenticated, mechanisms, put_authenticate, put_handshake};
pub(crate) use topics::{
    NewTopic, TopicResult, created_partitions, created_topic, deleted_topic, put_create_partitions,
    put_create_topic, put_delete_topic,
};
pub(crate) use versions::{
    Api, BrokerVersions, UNSUPPORTED_VERSION, VersionError, VersionsAnswer, api_versions,
    put_api_versions,
};

pub(crate) use cluster::PartitionMetadata;
#[cfg(test)]
pub(crate) use tests::batch_in_log;
#[cfg(test)]
pub(crate) use versions::answer_of;

#[cfg(test)]
mod tests;

//! CreateTopics, DeleteTopics and CreatePartitions, which the controller carries out.
//!
//! Source: the message definitions of Kafka.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::errors::KafkaError;
use super::layouts::{CREATE_PARTITIONS, CREATE_TOPICS, DELETE_TOPICS};
use super::messages::{put, read, text};
use super::primitives::WireError;
use super::versions::Api;

/// A topic to be created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewTopic<'a> {
    /// Name of the topic.
    pub(crate) name: &'a str,
    /// Number of partitions; -1 for the broker's default, from version 4 on (KIP-464).
    pub(crate) partitions: i32,
    /// Number of replicas of each partition; -1 for the broker's default, from version 4 on.
    pub(crate) replication: i16,
    /// The topic's configuration: names and values.
    pub(crate) configs: &'a [(&'a str, &'a str)],
    /// True if the broker only checks if it could create the topic.
    pub(crate) is_check: bool,
}

/// The result for a topic: success, or the error and its message.
pub(crate) type TopicResult = Result<(), (KafkaError, Option<String>)>;

/// Writes the body of a CreateTopics request for one topic. The broker responds when the topic exists, or after
/// `timeout_ms` milliseconds.
///
/// # Errors
/// A text is too long.
pub(crate) fn put_create_topic(
    out: &mut Vec<u8>,
    version: i16,
    topic: &NewTopic<'_>,
    timeout_ms: i32,
) -> Result<(), WireError> {
    let config = |(name, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    let is_check = topic.is_check;
    let topic = CreatableTopic::default()
        .with_name(text(topic.name).into())
        .with_num_partitions(topic.partitions)
        .with_replication_factor(topic.replication)
        .with_configs(topic.configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(timeout_ms)
        .with_validate_only(is_check);
    put(out, (Api::CreateTopics, version), &request)
}

/// Reads the body of a CreateTopics response.
///
/// # Errors
/// The bytes are not a response for the topic of this name.
pub(crate) fn created_topic(
    body: &[u8],
    version: i16,
    name: &str,
) -> Result<TopicResult, WireError> {
    let response: CreateTopicsResponse = read(body, (Api::CreateTopics, version), CREATE_TOPICS)?;
    let results = response.topics.into_iter();
    one(results.map(|its| (Some(its.name), its.error_code, its.error_message)), name)
}

/// Writes the body of a DeleteTopics request for one topic.
///
/// # Errors
/// The name is too long.
pub(crate) fn put_delete_topic(
    out: &mut Vec<u8>,
    version: i16,
    name: &str,
    timeout_ms: i32,
) -> Result<(), WireError> {
    let request = DeleteTopicsRequest::default().with_timeout_ms(timeout_ms);
    let request = match version >= 6 {
        true => request
            .with_topics(vec![DeleteTopicState::default().with_name(Some(text(name).into()))]),
        false => request.with_topic_names(vec![text(name).into()]),
    };
    put(out, (Api::DeleteTopics, version), &request)
}

/// Reads the body of a DeleteTopics response.
///
/// # Errors
/// The bytes are not a response for the topic of this name.
pub(crate) fn deleted_topic(
    body: &[u8],
    version: i16,
    name: &str,
) -> Result<TopicResult, WireError> {
    let response: DeleteTopicsResponse = read(body, (Api::DeleteTopics, version), DELETE_TOPICS)?;
    let results = response.responses.into_iter();
    one(results.map(|its| (its.name, its.error_code, its.error_message)), name)
}

/// Writes the body of a CreatePartitions request, after which the topic has `count` partitions.
///
/// # Errors
/// The name is too long.
pub(crate) fn put_create_partitions(
    out: &mut Vec<u8>,
    version: i16,
    (name, count): (&str, i32),
    timeout_ms: i32,
) -> Result<(), WireError> {
    let topic = CreatePartitionsTopic::default()
        .with_name(text(name).into())
        .with_count(count)
        .with_assignments(None);
    let request =
        CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms);
    put(out, (Api::CreatePartitions, version), &request)
}

/// Reads the body of a CreatePartitions response.
///
/// # Errors
/// The bytes are not a response for the topic of this name.
pub(crate) fn created_partitions(
    body: &[u8],
    version: i16,
    name: &str,
) -> Result<TopicResult, WireError> {
    let of = (Api::CreatePartitions, version);
    let response: CreatePartitionsResponse = read(body, of, CREATE_PARTITIONS)?;
    let results = response.results.into_iter();
    one(results.map(|its| (Some(its.name), its.error_code, its.error_message)), name)
}

/// A topic's name, its error code, and the text of the error.
type NamedResult =
    (Option<kafka_protocol::messages::TopicName>, i16, Option<kafka_protocol::protocol::StrBytes>);

/// The result of the topic of this name.
fn one(
    mut results: impl Iterator<Item = NamedResult>,
    name: &str,
) -> Result<TopicResult, WireError> {
    let is_it = |its: &NamedResult| its.0.as_ref().is_some_and(|found| found.as_str() == name);
    let found = results.find(is_it).ok_or(WireError::Malformed("the topic of a response"))?;
    let (_, code, message) = found;
    Ok(match KafkaError::of(code) {
        None => Ok(()),
        Some(error) => Err((error, message.map(|message| message.to_string()))),
    })
}

//! DescribeConfigs: the configuration of a topic or a broker.
//!
//! Source: the message definitions of Kafka.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::errors::KafkaError;
use super::layouts::DESCRIBE_CONFIGS;
use super::messages::{put, read, text};
use super::primitives::WireError;
use super::versions::Api;

/// The resource of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Configured<'a> {
    /// A topic of this name.
    Topic(&'a str),
    /// A broker with this `node.id`.
    Broker(i32),
}

/// Writes the body of a DescribeConfigs request for one configuration.
///
/// # Errors
/// A text is too long.
pub(crate) fn put_describe_config(
    out: &mut Vec<u8>,
    version: i16,
    of: Configured<'_>,
    name: &str,
) -> Result<(), WireError> {
    let (kind, resource) = match of {
        Configured::Topic(topic) => (2, topic.to_owned()),
        Configured::Broker(node_id) => (4, node_id.to_string()),
    };
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(&resource))
        .with_configuration_keys(Some(vec![text(name)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    put(out, (Api::DescribeConfigs, version), &request)
}

/// Reads the body of a DescribeConfigs response: the value of the configuration of this name, `None` if it has none, or
/// the error.
///
/// # Errors
/// The bytes are not such a body.
pub(crate) fn described_config(
    body: &[u8],
    version: i16,
    name: &str,
) -> Result<Result<Option<String>, KafkaError>, WireError> {
    let response: DescribeConfigsResponse =
        read(body, (Api::DescribeConfigs, version), DESCRIBE_CONFIGS)?;
    for result in response.results {
        if let Some(error) = KafkaError::of(result.error_code) {
            return Ok(Err(error));
        }
        let mut configs = result.configs.into_iter();
        if let Some(config) = configs.find(|config| config.name.as_str() == name) {
            return Ok(Ok(config.value.map(|value| value.to_string())));
        }
    }
    Ok(Ok(None))
}

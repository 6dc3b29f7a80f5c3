//! The largest batch a topic takes.

use rdkafka::admin::ResourceSpecifier;

use super::error::SetupError;
use super::{Admin, Deadline, options};
use crate::base::{batch_bytes, batch_payload_max};

impl Admin {
    /// Makes sure that the topic takes records of this payload, in bytes: a broker refuses larger ones, each for itself.
    /// Without the right to see the topic's configuration (DescribeConfigs) nothing is known, and nothing is refused.
    ///
    /// # Errors
    /// The topic's `max.message.bytes` is too small.
    pub async fn require_room_for(
        &self,
        payload: u64,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        let Some(limit) = self.message_limit(deadline).await else { return Ok(()) };
        if batch_bytes(payload) <= limit {
            return Ok(());
        }
        let (topic, largest) = (self.topic.clone(), batch_payload_max(limit));
        Err(SetupError::TooLarge { topic, payload, limit, largest })
    }

    /// The topic's `max.message.bytes`, its own or the broker's.
    async fn message_limit(&self, deadline: &Deadline) -> Option<u64> {
        let asked = [ResourceSpecifier::Topic(&self.topic)];
        let configs = self.admin().ok()?.describe_configs(&asked, &options(deadline.left())).await;
        let config = configs.ok()?.into_iter().next()?;
        let config =
            config.inspect_err(|error| tracing::debug!(%error, "the topic's configuration"));
        config.ok()?.entry_map().get("max.message.bytes")?.value.as_ref()?.parse().ok()
    }
}

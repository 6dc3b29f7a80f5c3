//! The largest batch a topic takes.

use rdkafka::admin::ResourceSpecifier;

use super::error::SetupError;
use super::{Admin, Deadline};
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
        // The topic's own, or the broker's.
        let topic = ResourceSpecifier::Topic(&self.topic);
        let Some(limit) = self.configured(topic, "max.message.bytes", deadline).await else {
            return Ok(());
        };
        if batch_bytes(payload) <= limit {
            return Ok(());
        }
        let (topic, largest) = (self.topic.clone(), batch_payload_max(limit));
        Err(SetupError::TooLarge { topic, payload, limit, largest })
    }
}

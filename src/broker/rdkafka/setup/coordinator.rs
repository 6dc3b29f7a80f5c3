//! The reason why a group has no coordinator.

use rdkafka::admin::ResourceSpecifier;

use super::{Admin, STEP};
use crate::broker::setup::{Deadline, Found, counted_brokers};

impl Admin {
    /// Checks if the cluster has too few brokers to create the offsets topic, without which a group has no coordinator.
    /// Returns the message, or `None` if that is not the reason or not known.
    pub(super) async fn too_few_for_offsets(
        &self,
        found: &Found,
        deadline: &Deadline,
    ) -> Option<String> {
        const NAME: &str = "offsets.topic.replication.factor";
        let metadata = self.ask_metadata("__consumer_offsets", STEP, deadline).ok()?;
        if metadata.topics().iter().any(|topic| !topic.partitions().is_empty()) {
            return None;
        }
        let broker = ResourceSpecifier::Broker(metadata.brokers().first()?.id());
        let wanted: usize = self.configured(broker, NAME, deadline).await?;
        let (has, brokers) = (found.brokers, counted_brokers(found.brokers));
        (wanted > has).then(|| {
            format!(
                "the topic `__consumer_offsets` is to have {wanted} copies, and the cluster has {brokers}; set \
                 `{NAME}={has}` in the brokers' configuration, or start more brokers"
            )
        })
    }
}

//! The inspection of a topic that exists, without librdkafka.

use super::TcpAdmin;
use super::admin::STEP;
use crate::broker::setup::{Administrator, Deadline, ExistingTopic};
use crate::broker::wire::{Configured, MetadataAnswer};

impl TcpAdmin {
    /// The properties of a topic that exists. Nothing is written.
    pub(super) fn existing(
        &mut self,
        metadata: &MetadataAnswer,
        deadline: &Deadline,
    ) -> ExistingTopic {
        let partitions = metadata.partitions.len();
        let topic = self.topic.clone();
        let this = Configured::Topic(&topic);
        ExistingTopic {
            partitions,
            copies: metadata.partitions.iter().map(|it| it.replicas.len()).min().unwrap_or(0),
            records: self.records(partitions as u32, &deadline.cut(STEP)),
            retention_ms: self.configured(this, "retention.ms", deadline),
            retention_bytes: self.configured(this, "retention.bytes", deadline),
            groups: Err("only `--client rdkafka` asks for them".to_owned()),
            groups_left: 0,
        }
    }
}

//! What a cluster is, and what this user may do there, without librdkafka; nothing is written.

use super::TcpAdmin;
use super::admin::{STEP, failed};
use super::asker::last;
use crate::broker::setup::{
    Deadline, ExistingTopic, Found, Inspection, Requests, SetupError, needed_rights,
};
use crate::broker::wire::{Api, Configured, MetadataAnswer};
use crate::plan::{Plan, StartAt};

impl TcpAdmin {
    /// Looks at the cluster, at the topic of `plan`, and at what the user may do. Writes nothing.
    ///
    /// # Errors
    /// Why no broker, or not every broker, can be talked to, or that the user may not see the topic.
    pub(super) fn inspect(
        &mut self,
        plan: &Plan,
        deadline: &Deadline,
    ) -> Result<Inspection, SetupError> {
        let connected = self.connect(deadline);
        let took = deadline.passed();
        let exists = connected.as_ref().is_ok_and(|found| found.partitions.is_some());
        let names = (self.topic.as_str(), self.group.clone());
        let rights = needed_rights(self.access(), &self.bootstrap, plan, names, exists);
        let is_hidden = matches!(connected, Err(SetupError::Denied(_)));
        let found = match (connected, &rights) {
            // All rights that are missing are named together.
            (Err(SetupError::Denied(_)), Ok(_)) => Found { brokers: usize::MAX, partitions: None },
            (connected, _) => connected?,
        };
        let metadata = self.asker.metadata(&self.topic, &deadline.cut(STEP));
        let metadata =
            metadata.map_err(|errors| failed("asking for the brokers", &last(errors), deadline))?;
        let mut brokers: Vec<(i32, String)> = metadata
            .brokers
            .iter()
            .map(|broker| (broker.node_id, format!("{}:{}", broker.host, broker.port)))
            .collect();
        brokers.sort_unstable();
        let existing = found.partitions.map(|_| self.existing(&metadata, deadline));
        // A right that is missing is one of those that are listed.
        let not_created = match existing {
            Some(_) => None,
            None => match self.ask_to_create(&plan.topic, &found, true, deadline) {
                Ok(()) | Err(SetupError::Denied(_)) => None,
                Err(error) => Some(error),
            },
        };
        Ok(Inspection {
            took,
            cluster: metadata.cluster_id,
            brokers,
            requests: Ok(Requests {
                produce: self.asker.highest(Api::Produce),
                fetch: self.asker.highest(Api::Fetch),
                has_consumer_protocol: self.asker.serves_consumer_groups(),
            }),
            topic: self.topic.clone(),
            existing,
            is_hidden,
            not_created,
            rights,
        })
    }

    fn existing(&mut self, metadata: &MetadataAnswer, deadline: &Deadline) -> ExistingTopic {
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

    /// Offsets between the beginning and the end of every partition; `None` if not every partition answers.
    pub(super) fn records(&mut self, partitions: u32, deadline: &Deadline) -> Option<u64> {
        let mut at = |start| self.start_offsets(start, partitions, deadline).ok();
        let (first, end) = (at(StartAt::Beginning)?, at(StartAt::End)?);
        Some(first.iter().zip(&end).map(|(first, end)| (end.0 - first.0) as u64).sum())
    }
}

//! The group's first commits, and why a group has no coordinator.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::ResourceSpecifier;
use rdkafka::error::RDKafkaErrorCode;

use super::{Admin, STEP, made, quick};
use crate::base::{Offset, PartitionId};
use crate::broker::rdkafka::error::{Told, describe, missing_right};
use crate::broker::rdkafka::offsets::RdCommitter;
use crate::broker::setup::{Deadline, Doing, Found, SetupError, counted_brokers};

/// How long a coordinator is asked for before it is looked at why there is none. The first group of a cluster waits
/// until the topic of the offsets has been created.
const PATIENCE: Duration = Duration::from_secs(5);

impl Admin {
    /// Commits the start offsets for the run's group while it is still empty. A coordinator that is just being
    /// made is asked again until `deadline`.
    ///
    /// # Errors
    /// Why there is no coordinator, the right that is missing, or what the coordinator said.
    pub(super) async fn commit_starts(
        &self,
        starts: &[Offset],
        found: Option<&Found>,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        let group = self.settings.group_id();
        let told = Told::new(self.settings.hidden()).keeping(self.reports.clone());
        let config = quick(self.settings.committer().config());
        let mut committer =
            made(RdCommitter::with(&self.settings, &config, &self.topic, self.clock, told))?;
        let positions: BTreeMap<PartitionId, Offset> =
            (0..).map(PartitionId).zip(starts.iter().copied()).collect();
        let outcome = loop {
            let limit = deadline.cut(PATIENCE);
            let Err(error) = committer.commit_within(&positions, &limit) else { break Ok(()) };
            if deadline.is_interrupted() {
                break Err(SetupError::Interrupted);
            }
            let denied = error
                .rdkafka_error_code()
                .and_then(|code| missing_right(code, Doing::Read, &self.topic, Some(&group)));
            if let Some(denied) = denied.map(SetupError::Denied) {
                break Err(denied);
            }
            let no_coordinator = |reason| SetupError::NoCoordinator {
                group: group.clone(),
                waited: deadline.passed(),
                reason,
            };
            if let Some(found) = found
                && let Some(reason) = self.too_few_for_offsets(found, deadline).await
            {
                break Err(no_coordinator(reason));
            }
            if deadline.is_over() {
                let why = match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::OperationTimedOut) => "no answer".to_owned(),
                    _ => describe(&error),
                };
                break Err(no_coordinator(format!(
                    "{why}; check the partitions of the topic `__consumer_offsets`, or raise `run.startup`"
                )));
            }
            deadline.pause(super::PAUSE);
        };
        // Closing it asks the coordinator once more, and may take as long as that does.
        let _ = std::thread::Builder::new().name("close".to_owned()).spawn(move || drop(committer));
        outcome
    }

    /// Whether the topic of the offsets can have its copies: a group has no coordinator before it exists.
    async fn too_few_for_offsets(&self, found: &Found, deadline: &Deadline) -> Option<String> {
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

//! Topics and groups that earlier runs have left on the cluster, and their deletion.
//!
//! Only names that a run has generated are considered ([`RunId::is_mark_of`]). A name from a user is never listed.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset as RdOffset, TopicPartitionList};

use super::{Admin, STEP, failed, options, within};
use crate::base::RunId;
use crate::broker::rdkafka::error::missing_right;
use crate::broker::setup::{Answer, Cleaner, Deadline, Doing, InUse, LeftBehind, SetupError};

/// A topic with a record that is younger than this may belong to a run in progress.
const RECENT: Duration = Duration::from_secs(600);

impl Cleaner for Admin {
    fn left_behind(&self, deadline: &Deadline) -> Result<Vec<LeftBehind>, SetupError> {
        self.find_cluster(deadline)?;
        let metadata = self
            .client
            .fetch_metadata(None, within(STEP, deadline))
            .map_err(|error| failed("asking for all topics", &error, deadline))?;
        let mut topics: Vec<LeftBehind> = metadata
            .topics()
            .iter()
            .filter(|topic| RunId::is_mark_of(topic.name()))
            .map(|topic| self.left_topic(topic.name(), topic.partitions().len(), deadline))
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        let listed = self
            .client
            .fetch_group_list(None, within(STEP, deadline))
            .map_err(|error| failed("asking for all groups", &error, deadline))?;
        let mut groups: Vec<LeftBehind> = listed
            .groups()
            .iter()
            .filter(|group| RunId::is_mark_of(group.name()) && group.state() != "Dead")
            .map(|group| {
                let members = group.members().len();
                // The state is empty if the request does not know the protocol of the group.
                let is_empty = members == 0 && matches!(group.state(), "Empty" | "");
                LeftBehind {
                    name: group.name().to_owned(),
                    is_topic: false,
                    holds: "committed offsets".to_owned(),
                    in_use: (!is_empty).then_some(InUse::Members),
                }
            })
            .collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups.dedup_by(|a, b| a.name == b.name);
        topics.extend(groups);
        Ok(topics)
    }

    fn remove<'a>(&'a self, left: &'a LeftBehind, deadline: &'a Deadline) -> Answer<'a, ()> {
        Box::pin(self.delete(left, deadline))
    }
}

impl Admin {
    fn left_topic(&self, name: &str, partitions: usize, deadline: &Deadline) -> LeftBehind {
        let recent = self.clock.epoch_unix_ns() / 1_000_000 - RECENT.as_millis() as i64;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            // Fails only for offsets that no broker has.
            let _ = list.add_partition_offset(name, partition as i32, RdOffset::Offset(recent));
        }
        let found = self.client.offsets_for_times(list, within(STEP, deadline));
        let in_use = match found {
            Ok(found) => {
                let is_recent = |offset| matches!(offset, RdOffset::Offset(_));
                let has_recent = found.elements().iter().any(|it| is_recent(it.offset()));
                has_recent.then_some(InUse::Recent)
            }
            Err(_) => Some(InUse::Unknown),
        };
        let plural = if partitions == 1 { "" } else { "s" };
        LeftBehind {
            name: name.to_owned(),
            is_topic: true,
            holds: format!("{partitions} partition{plural}"),
            in_use,
        }
    }

    async fn delete(&self, left: &LeftBehind, deadline: &Deadline) -> Result<(), SetupError> {
        const WHAT: &str = "removing what a run has left";
        let name = left.name.as_str();
        let said =
            |reason: String| SetupError::Failed { what: WHAT, reason, waited: deadline.passed() };
        if !RunId::is_mark_of(name) {
            return Err(said("no run has chosen this name".to_owned()));
        }
        let (admin, options) = (self.admin()?, options(deadline));
        let done = match left.is_topic {
            true => admin.delete_topics(&[name], &options).await,
            false => admin.delete_groups(&[name], &options).await,
        };
        let done = done.map_err(|error| failed(WHAT, &error, deadline))?;
        match done.into_iter().next() {
            Some(Err((_, code))) => match code {
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::GroupIdNotFound => {
                    Ok(())
                }
                code => {
                    let group = (!left.is_topic).then_some(name);
                    let denied = missing_right(code, Doing::Delete, name, group);
                    Err(denied.map_or_else(|| said(code.to_string()), SetupError::Denied))
                }
            },
            _ => Ok(()),
        }
    }
}

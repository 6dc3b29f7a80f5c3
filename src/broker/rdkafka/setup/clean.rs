//! Topics and groups that earlier runs have left on the cluster, and their deletion.
//!
//! Only names that a run has generated are considered ([`RunId::of_name`]). A name from a user is never listed.

use std::time::Duration;

use rdkafka::Offset as RdOffset;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::groups::GroupInfo;
use rdkafka::metadata::MetadataTopic;

use super::{Admin, STEP, failed, options, within};
use crate::base::RunId;
use crate::broker::rdkafka::error::missing_right;
use crate::broker::rdkafka::offsets::listed;
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
        let mut left: Vec<LeftBehind> = metadata
            .topics()
            .iter()
            .filter_map(|topic| Some((RunId::of_name(topic.name())?, topic)))
            .map(|(run, topic)| self.left_topic(run, topic, deadline))
            .collect();
        left.sort_by(|a, b| a.name.cmp(&b.name));
        let listed = self
            .client
            .fetch_group_list(None, within(STEP, deadline))
            .map_err(|error| failed("asking for all groups", &error, deadline))?;
        let mut groups: Vec<LeftBehind> = listed
            .groups()
            .iter()
            .filter(|group| group.state() != "Dead")
            .filter_map(|group| left_group(group, &left))
            .collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups.dedup_by(|a, b| a.name == b.name);
        left.extend(groups);
        Ok(left)
    }

    fn remove<'a>(&'a self, left: &'a LeftBehind, deadline: &'a Deadline) -> Answer<'a, ()> {
        Box::pin(self.delete(left, deadline))
    }
}

/// The group, if a run has chosen its name. A group without members is in use while the topic of its run is: with
/// explicit assignment, a run commits to a group that has no members.
fn left_group(group: &GroupInfo, topics: &[LeftBehind]) -> Option<LeftBehind> {
    let run = RunId::of_name(group.name())?;
    // The state is empty if the request does not know the protocol of the group.
    let is_empty = group.members().is_empty() && matches!(group.state(), "Empty" | "");
    let in_use = match is_empty {
        false => Some(InUse::Members),
        true => topics.iter().find(|topic| topic.run == run).and_then(|topic| topic.in_use),
    };
    let (name, holds) = (group.name().to_owned(), "committed offsets".to_owned());
    Some(LeftBehind { run, name, is_topic: false, holds, in_use })
}

impl Admin {
    fn left_topic(&self, run: RunId, topic: &MetadataTopic, deadline: &Deadline) -> LeftBehind {
        let (name, partitions) = (topic.name(), topic.partitions().len());
        let has = |what: RdOffset, is_so: fn(RdOffset) -> bool| {
            let limit = within(STEP, deadline);
            let found = listed(&self.client, name, partitions as u32, what, limit).ok()?;
            let found = found.elements();
            let is_complete = found.iter().all(|element| element.error().is_ok());
            is_complete.then(|| found.iter().any(|element| is_so(element.offset())))
        };
        let recent = self.clock.epoch_unix_ns() / 1_000_000 - RECENT.as_millis() as i64;
        let is_record = |offset| matches!(offset, RdOffset::Offset(_));
        let is_end_of_records = |end| matches!(end, RdOffset::Offset(1..));
        let in_use = match has(RdOffset::Offset(recent), is_record) {
            Some(true) => Some(InUse::Recent),
            Some(false) => match has(RdOffset::End, is_end_of_records) {
                Some(true) => None,
                Some(false) => Some(InUse::NoRecords),
                None => Some(InUse::Unknown),
            },
            None => Some(InUse::Unknown),
        };
        let plural = if partitions == 1 { "" } else { "s" };
        let (name, holds) = (name.to_owned(), format!("{partitions} partition{plural}"));
        LeftBehind { run, name, is_topic: true, holds, in_use }
    }

    async fn delete(&self, left: &LeftBehind, deadline: &Deadline) -> Result<(), SetupError> {
        const WHAT: &str = "removing what a run has left";
        let name = left.name.as_str();
        let said =
            |reason: String| SetupError::Failed { what: WHAT, reason, waited: deadline.passed() };
        if RunId::of_name(name).is_none() {
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

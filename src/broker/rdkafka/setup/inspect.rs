//! The queries of an inspection through librdkafka: request versions, groups, and the existing topic or a check of its
//! creation. Nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset as RdOffset, TopicPartitionList};

use super::{Admin, ClientReports, STEP, failed, made, options, quick, within};
use crate::base::RunId;
use crate::broker::listener::serves_consumer_groups;
use crate::broker::rdkafka::error::{Told, describe};
use crate::broker::setup::{Deadline, ExistingTopic, Found, Requests, SetupError};
use crate::plan::TopicPlan;

/// Most groups whose offsets are queried. Each takes a client.
const GROUPS_MAX: usize = 20;
/// Most polls for the lines of the log, and the time of each.
const LOOKS_MAX: usize = 20;
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for the committed offsets of a group.
const ANSWER: Duration = Duration::from_secs(3);

impl Admin {
    /// The request versions that the brokers support. librdkafka writes them to its log for each connection.
    pub(super) fn requests(&self, deadline: &Deadline) -> Result<Requests, String> {
        const CONSUMER_GROUP_HEARTBEAT: i16 = 68;
        let reports = Arc::new(ClientReports::default());
        let told = Told::new(self.settings.hidden()).keeping(reports.clone());
        let mut config = quick(self.settings.observer("check").config());
        config.set("debug", "feature").set_log_level(RDKafkaLogLevel::Debug);
        let client: BaseConsumer<Told> =
            made(self.settings.create_with(&config, told)).map_err(|error| error.to_string())?;
        let _ = client.fetch_metadata(Some(&self.topic), within(STEP, deadline));
        // Each event brings one line of the log.
        let mut versions = reports.versions();
        for _ in 0..LOOKS_MAX {
            let _ = client.poll(LOOK);
            let known = versions.len();
            versions = reports.versions();
            if known > 0 && versions.len() == known {
                break;
            }
        }
        if versions.is_empty() {
            return Err("the brokers do not say".to_owned());
        }
        let highest = |api: i16| versions.get(&api).copied();
        Ok(Requests {
            produce: highest(0),
            fetch: highest(1),
            has_consumer_protocol: highest(CONSUMER_GROUP_HEARTBEAT).is_some()
                && self.serves_consumer_groups(),
        })
    }

    /// True if the cluster has enabled groups of the consumer protocol (KIP-848), which librdkafka does not report.
    /// Also true if that is not known.
    fn serves_consumer_groups(&self) -> bool {
        let Ok(access) = &self.access else { return true };
        serves_consumer_groups(&self.bootstrap, access, false)
    }

    /// The description of an existing topic.
    pub(super) async fn existing(&self, metadata: &Metadata, deadline: &Deadline) -> ExistingTopic {
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let partitions = topic.map_or(&[][..], |topic| topic.partitions());
        let ends = self.marks(partitions.len(), deadline);
        let (groups, groups_left) = match &ends {
            Some(marks) => self.groups(marks, deadline),
            None => (Err("not every partition answers".to_owned()), 0),
        };
        let this = || ResourceSpecifier::Topic(&self.topic);
        ExistingTopic {
            partitions: partitions.len(),
            copies: partitions.iter().map(|it| it.replicas().len()).min().unwrap_or(0),
            records: ends.map(|marks| marks.iter().map(|(low, high)| (high - low) as u64).sum()),
            retention_ms: self.configured(this(), "retention.ms", deadline).await,
            retention_bytes: self.configured(this(), "retention.bytes", deadline).await,
            groups,
            groups_left,
        }
    }

    /// The first and the end offset of every partition; `None` if not every partition answers.
    pub(super) fn marks(&self, partitions: usize, deadline: &Deadline) -> Option<Vec<(i64, i64)>> {
        let marks = |partition: usize| {
            self.client.fetch_watermarks(&self.topic, partition as i32, within(STEP, deadline)).ok()
        };
        (0..partitions).map(marks).collect()
    }

    /// The number of unread records of each group with offsets on the topic, and the number of groups left out.
    fn groups(
        &self,
        marks: &[(i64, i64)],
        deadline: &Deadline,
    ) -> (Result<BTreeMap<String, u64>, String>, usize) {
        // A request for a coordinator creates the offsets topic if it does not exist.
        let has_offsets = self
            .ask_metadata("__consumer_offsets", STEP, deadline)
            .is_ok_and(|found| found.topics().iter().any(|topic| !topic.partitions().is_empty()));
        if !has_offsets {
            return (Ok(BTreeMap::new()), 0);
        }
        let listed = self.client.fetch_group_list(None, within(STEP, deadline));
        let mut names: Vec<String> = match listed {
            Ok(list) => list.groups().iter().map(|group| group.name().to_owned()).collect(),
            Err(error) => return (Err(describe(&error)), 0),
        };
        // Groups of other programs first.
        names.sort_by_cached_key(|name| (RunId::of_name(name).is_some(), name.clone()));
        names.dedup();
        let left = names.len().saturating_sub(GROUPS_MAX);
        let mut unread = BTreeMap::new();
        for name in names.into_iter().take(GROUPS_MAX) {
            if deadline.is_over() {
                return (Err("the time was over".to_owned()), left);
            }
            if let Some(count) = self.unread(&name, marks, deadline) {
                unread.insert(name, count);
            }
        }
        (Ok(unread), left)
    }

    /// The number of records that a group has not read; `None` if it has no offsets on the topic.
    fn unread(&self, group: &str, marks: &[(i64, i64)], deadline: &Deadline) -> Option<u64> {
        let config = self.settings.mirror(group).config();
        let client: BaseConsumer<Told> = made(self.settings.create(&config)).ok()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic, 0, marks.len() as i32 - 1);
        let committed = client.committed_offsets(list, within(ANSWER, deadline)).ok()?;
        let mut unread = None;
        for element in committed.elements() {
            if let RdOffset::Offset(next) = element.offset() {
                let (low, high) = marks.get(element.partition() as usize)?;
                *unread.get_or_insert(0) += (high - next.max(*low)).max(0) as u64;
            }
        }
        unread
    }

    /// Lets the brokers check the creation of the topic without creating it. A missing right is no error here, because
    /// the inspection lists rights separately.
    pub(super) async fn would_create(
        &self,
        plan: &TopicPlan,
        found: &Found,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        let options = options(deadline).validate_only(true);
        match self.ask_to_create(plan, found, options, deadline).await {
            Err(SetupError::Denied(_)) => Ok(()),
            asked => asked,
        }
    }

    /// Creates the topic with these options, or only checks the creation if they say `validate_only`.
    pub(super) async fn ask_to_create(
        &self,
        plan: &TopicPlan,
        found: &Found,
        options: AdminOptions,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        if found.brokers < plan.replication_factor as usize {
            let (topic, wanted) = (self.topic.clone(), plan.replication_factor);
            return Err(SetupError::TooFewBrokers { topic, found: found.brokers, wanted });
        }
        let replication = TopicReplication::Fixed(plan.replication_factor as i32);
        let retention_ms = plan.retention.as_millis().to_string();
        let retention_bytes = plan.retention_bytes.to_string();
        let min_insync = plan.min_insync_replicas.to_string();
        let topic = NewTopic::new(&self.topic, plan.partitions as i32, replication)
            .set("retention.ms", &retention_ms)
            .set("retention.bytes", &retention_bytes)
            .set("min.insync.replicas", &min_insync);
        let results = self
            .admin()?
            .create_topics([&topic], &options)
            .await
            .map_err(|error| failed("creating the topic", &error, deadline))?;
        match results.into_iter().next() {
            Some(Err((topic, code))) => Err(super::not_created(topic, code)),
            _ => Ok(()),
        }
    }
}

//! The results of an administrator's queries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::failure::SetupError;
use super::rights::NeededRight;
use crate::base::RunId;

/// The brokers of a cluster, and the run's topic on it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The number of brokers.
    pub brokers: usize,
    /// The number of partitions of the topic; `None` if it does not exist.
    pub partitions: Option<usize>,
}

impl Found {
    /// The result that an inspection continues with, and true if the topic is hidden from this user. An inspection that
    /// knows the user's rights lists all missing ones together, so that a hidden topic is no error then.
    ///
    /// # Errors
    /// The error of `connected`, unless the topic is hidden and rights are known.
    pub(in crate::broker) fn or_hidden(
        connected: Result<Found, SetupError>,
        are_rights_known: bool,
    ) -> Result<(Found, bool), SetupError> {
        match connected {
            Err(SetupError::Denied(_)) if are_rights_known => {
                Ok((Found { brokers: usize::MAX, partitions: None }, true))
            }
            connected => connected.map(|found| (found, false)),
        }
    }
}

/// The replicas of the run's topic, and the brokers of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicReplicas {
    /// The smallest number of replicas that a partition has.
    pub copies: u32,
    /// The topic's `min.insync.replicas`; `None` if the user may not see it.
    pub min_insync: Option<u32>,
    /// The ids of all brokers.
    pub brokers: BTreeSet<u32>,
}

/// The result of an inspection.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The time until the first answer.
    pub took: Duration,
    /// The id of the cluster; `None` if the cluster gives none.
    pub cluster: Option<String>,
    /// The advertised address of every broker, by id. All of them can be reached.
    pub brokers: Vec<(i32, String)>,
    /// The requests that the brokers support. The error says why they are not known.
    pub requests: Result<Requests, String>,
    /// The topic's name.
    pub topic: String,
    /// The topic; `None` if it does not exist.
    pub existing: Option<ExistingTopic>,
    /// True if the topic is hidden from this user.
    pub is_hidden: bool,
    /// The reason why the topic could not be created; `None` if it exists or could be created.
    pub not_created: Option<SetupError>,
    /// The rights that the run needs. The error says why they are not known.
    pub rights: Result<Vec<NeededRight>, String>,
}

/// The requests that the brokers support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// Highest version of Produce.
    pub produce: Option<i16>,
    /// Highest version of Fetch.
    pub fetch: Option<i16>,
    /// True if groups of the consumer protocol (KIP-848) are enabled.
    pub has_consumer_protocol: bool,
}

/// A topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingTopic {
    /// The number of partitions.
    pub partitions: usize,
    /// The smallest number of replicas that a partition has.
    pub copies: usize,
    /// The number of offsets between the beginning and the end of all partitions; `None` if not every partition
    /// answers.
    pub records: Option<u64>,
    /// `retention.ms`; `None` if the user may not see it.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; `None` if the user may not see it.
    pub retention_bytes: Option<i64>,
    /// The number of unread records of each group with committed offsets on the topic, by name. The error says why it
    /// is not known.
    pub groups: Result<BTreeMap<String, u64>, String>,
    /// The number of groups of the cluster that were not queried.
    pub groups_left: usize,
}

/// A topic or a group that an earlier run has left on the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// The run that has chosen the name.
    pub run: RunId,
    /// The name of the topic or group.
    pub name: String,
    /// True for a topic, false for a group.
    pub is_topic: bool,
    /// A description of the content.
    pub holds: String,
    /// The reason why it may be in use; `None` if it is not.
    pub in_use: Option<InUse>,
}

/// The reason why a topic or a group of an earlier run may be in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// A record in the run's topic is less than 10 min old.
    Recent,
    /// The run's topic never had a record, so the run may be starting.
    NoRecords,
    /// The group has members.
    Members,
    /// Leaders of the topic do not answer.
    Unknown,
}

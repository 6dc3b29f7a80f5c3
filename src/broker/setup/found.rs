//! What an administrator finds on a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::failure::SetupError;
use super::rights::NeededRight;

/// What a cluster says about itself and the run's topic.
#[derive(Clone, Debug)]
pub struct Found {
    /// Brokers that are there.
    pub brokers: usize,
    /// The topic's partitions, `None` when it does not exist.
    pub partitions: Option<usize>,
}

impl Found {
    /// What an inspection goes on with, and whether the topic is hidden from this user. Where it is, and rights are known,
    /// all rights that are missing are named together.
    ///
    /// # Errors
    /// Why there is nothing to go on with.
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

/// The replicas of the run's topic, and the brokers they may be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicReplicas {
    /// The fewest copies that a partition has.
    pub copies: u32,
    /// The topic's `min.insync.replicas`; `None` where the user may not see it.
    pub min_insync: Option<u32>,
    /// The ids of all brokers.
    pub brokers: BTreeSet<u32>,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// How long the first answer took.
    pub took: Duration,
    /// The cluster's own id, if it tells one.
    pub cluster: Option<String>,
    /// Every broker as it advertises itself, by id. All of them can be reached.
    pub brokers: Vec<(i32, String)>,
    /// Which requests the brokers take, or why that is not known.
    pub requests: Result<Requests, String>,
    /// The topic's name.
    pub topic: String,
    /// The topic, `None` if it does not exist.
    pub existing: Option<ExistingTopic>,
    /// Whether the topic is not shown to this user.
    pub is_hidden: bool,
    /// Why the topic could not be created, if it does not exist.
    pub not_created: Option<SetupError>,
    /// What the run needs to be allowed, or why that is not known.
    pub rights: Result<Vec<NeededRight>, String>,
}

/// The requests that the brokers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// Highest version of Produce.
    pub produce: Option<i16>,
    /// Highest version of Fetch.
    pub fetch: Option<i16>,
    /// Whether groups of the consumer protocol (KIP-848) are served.
    pub has_consumer_protocol: bool,
}

/// A topic that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingTopic {
    /// Partitions.
    pub partitions: usize,
    /// The fewest copies that a partition has.
    pub copies: usize,
    /// Offsets between the beginning and the end of every partition; `None` if not every partition answers.
    pub records: Option<u64>,
    /// `retention.ms`, where the user may see it.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`, where the user may see it.
    pub retention_bytes: Option<i64>,
    /// Groups with committed offsets on it and the records they have not read, by name; or why that is not known.
    pub groups: Result<BTreeMap<String, u64>, String>,
    /// Groups of the cluster that were not looked at.
    pub groups_left: usize,
}

/// A topic or a group that a run has left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its name.
    pub name: String,
    /// Whether it is a topic; if not, it is a group.
    pub is_topic: bool,
    /// What is in it.
    pub holds: String,
    /// Why it may be in use.
    pub in_use: Option<InUse>,
}

/// Why something that a run has left may be in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// A record in the topic is less than 10 min old.
    Recent,
    /// The group has members.
    Members,
    /// Leaders of the topic do not answer.
    Unknown,
}

//! The topic under test.

use std::time::Duration;

use crate::base::RunId;

/// The topic and what may be done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: TopicName,
    /// Number of partitions; an existing topic must have exactly these.
    pub partitions: u32,
    /// Copies of each partition, if the topic is created.
    pub replication_factor: u32,
    /// Replicas that have to be in sync for `acks = all`.
    pub min_insync_replicas: u32,
    /// How long records are kept, if the topic is created.
    pub retention: Duration,
    /// How many bytes per partition are kept, if the topic is created.
    pub retention_bytes: u64,
    /// Whether a topic this run created stays after it.
    pub keep: bool,
    /// How often new partitions are looked for.
    pub discover: Duration,
}

/// A fixed name, or one of the run's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicName {
    /// As given; may exist already.
    Given(String),
    /// `lanekeeper-<scenario>-<run id>`: never exists before the run.
    OfRun {
        /// The scenario's name, reduced to characters a topic may have.
        scenario: String,
    },
}

impl TopicName {
    /// The name in run `run`.
    pub fn resolve(&self, run: RunId) -> String {
        match self {
            TopicName::Given(name) => name.clone(),
            TopicName::OfRun { scenario } => format!("lanekeeper-{scenario}-{run}"),
        }
    }
}

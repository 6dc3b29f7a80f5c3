//! The operations of an administrator of a run's topic, for each client library.

use std::pin::Pin;

use super::failure::SetupError;
use super::found::{Found, Inspection, LeftBehind, TopicReplicas};
use super::reach::Deadline;
use crate::base::Offset;
use crate::plan::{Plan, StartAt, TopicPlan};

/// The future of an answer. It may block the thread that polls it.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SetupError>> + 'a>>;

/// Prepares a cluster for one run, and deletes what the run has created.
///
/// A topic that this run did not create is never altered and never deleted. Every step has a [`Deadline`] and ends
/// within seconds of it, even if the cluster does not answer.
pub trait Administrator: Send {
    /// Connects to the cluster, checks that every broker can be reached at the address it advertises, and finds the
    /// topic.
    ///
    /// # Errors
    /// No broker, or not every broker, can be reached, or the user may not see the topic.
    fn connect(&mut self, deadline: &Deadline) -> Result<Found, SetupError>;

    /// Queries the cluster, the topic of `plan`, and the user's rights. Writes nothing.
    ///
    /// # Errors
    /// No broker, or not every broker, can be reached, or the user may not see the topic.
    fn inspect<'a>(&'a mut self, plan: &'a Plan, deadline: &'a Deadline) -> Answer<'a, Inspection>;

    /// Creates the topic. It may exist even after an error, unless the broker refused it.
    ///
    /// # Errors
    /// The broker's error, or the cluster has fewer brokers than the topic is to have copies.
    fn create_topic<'a>(
        &'a mut self,
        plan: &'a TopicPlan,
        found: &'a Found,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()>;

    /// Checks that the topic accepts records with this payload, in bytes. Otherwise the broker refuses each of them.
    /// Without the right to see the topic's configuration (DescribeConfigs) the limit is not known, and the check
    /// succeeds.
    ///
    /// # Errors
    /// The topic's `max.message.bytes` is too small.
    fn require_room_for<'a>(&'a mut self, payload: u64, deadline: &'a Deadline) -> Answer<'a, ()>;

    /// The replicas of the topic, and the ids of the cluster's brokers.
    ///
    /// # Errors
    /// No broker answers.
    fn replicas<'a>(&'a mut self, deadline: &'a Deadline) -> Answer<'a, TopicReplicas>;

    /// The id of the cluster; `None` if the cluster gives none.
    fn cluster_id(&mut self, deadline: &Deadline) -> Option<String>;

    /// The start offset of each partition, by partition id. A topic that has just been created answers only after a
    /// moment, so this retries until `deadline`.
    ///
    /// # Errors
    /// The last error of the brokers.
    fn start_offsets(
        &mut self,
        start: StartAt,
        partitions: u32,
        deadline: &Deadline,
    ) -> Result<Vec<Offset>, SetupError>;

    /// The number of offsets between the beginning and the end of all partitions; `None` if not every partition
    /// answers.
    fn records(&mut self, partitions: u32, deadline: &Deadline) -> Option<u64>;

    /// Commits the start offsets for the run's group while the group is still empty. Retries until `deadline`, because
    /// a new cluster has no coordinator for a moment. `found` is `None` for an embedded cluster.
    ///
    /// # Errors
    /// The group has no coordinator, a right is missing, or the coordinator refuses the commit.
    fn commit_starts<'a>(
        &'a mut self,
        starts: &'a [Offset],
        found: Option<&'a Found>,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()>;

    /// Deletes the topic, within 10 s. Must only be called for a topic that this run created.
    ///
    /// # Errors
    /// The broker's error, unless the topic does not exist.
    fn delete_topic(&mut self) -> Answer<'_, ()>;
}

/// Finds and deletes the topics and groups that earlier runs have left on a cluster.
pub trait Cleaner {
    /// The topics and groups whose names a run has generated: first the topics, each kind by name.
    ///
    /// # Errors
    /// No broker answers.
    fn left_behind(&self, deadline: &Deadline) -> Result<Vec<LeftBehind>, SetupError>;

    /// Deletes one of the topics or groups found by [`left_behind`](Cleaner::left_behind).
    ///
    /// # Errors
    /// The name is not one that a run generates, or the broker's error.
    fn remove<'a>(&'a self, left: &'a LeftBehind, deadline: &'a Deadline) -> Answer<'a, ()>;
}

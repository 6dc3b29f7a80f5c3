//! What an administrator of a run's topic does, whatever client library it uses.

use std::pin::Pin;

use super::failure::SetupError;
use super::found::{Found, Inspection, LeftBehind, TopicReplicas};
use super::reach::Deadline;
use crate::base::Offset;
use crate::plan::{Plan, StartAt, TopicPlan};

/// An answer that is waited for. It may block the thread meanwhile.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SetupError>> + 'a>>;

/// Prepares a cluster for one run, and takes back what it has made.
///
/// The one rule: a topic this run did not create is never altered and never deleted. Every step has a [`Deadline`] and
/// ends within seconds of it, whatever the cluster does.
pub trait Administrator: Send {
    /// Connects to the cluster, makes sure that every broker can be reached at the address it advertises, and looks for
    /// the topic.
    ///
    /// # Errors
    /// Why no broker, or not every broker, can be talked to, or that the user may not see the topic.
    fn connect(&mut self, deadline: &Deadline) -> Result<Found, SetupError>;

    /// Looks at the cluster, at the topic of `plan`, and at what the user may do. Writes nothing.
    ///
    /// # Errors
    /// Why no broker, or not every broker, can be talked to, or that the user may not see the topic.
    fn inspect<'a>(&'a mut self, plan: &'a Plan, deadline: &'a Deadline) -> Answer<'a, Inspection>;

    /// Creates the topic. It may be there even after an error, unless the broker refused it.
    ///
    /// # Errors
    /// What the broker said, or that too few brokers are there for the copies that are wanted.
    fn create_topic<'a>(
        &'a mut self,
        plan: &'a TopicPlan,
        found: &'a Found,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()>;

    /// Makes sure that the topic takes records of this payload, in bytes: a broker refuses larger ones, each for itself.
    /// Without the right to see the topic's configuration (DescribeConfigs) nothing is known, and nothing is refused.
    ///
    /// # Errors
    /// The topic's `max.message.bytes` is too small.
    fn require_room_for<'a>(&'a mut self, payload: u64, deadline: &'a Deadline) -> Answer<'a, ()>;

    /// The replicas of the topic, and the brokers they may be on.
    ///
    /// # Errors
    /// Why no broker tells them.
    fn replicas<'a>(&'a mut self, deadline: &'a Deadline) -> Answer<'a, TopicReplicas>;

    /// The cluster's own id, if it tells one.
    fn cluster_id(&mut self, deadline: &Deadline) -> Option<String>;

    /// Where each partition's reading starts, as numbers, by partition id. A topic that has just been created answers only
    /// after a moment, so this asks again until `deadline`.
    ///
    /// # Errors
    /// What the brokers said last.
    fn start_offsets(
        &mut self,
        start: StartAt,
        partitions: u32,
        deadline: &Deadline,
    ) -> Result<Vec<Offset>, SetupError>;

    /// Offsets between the beginning and the end of every partition; `None` if not every partition answers.
    fn records(&mut self, partitions: u32, deadline: &Deadline) -> Option<u64>;

    /// Commits the start offsets for the run's group while it is still empty. A coordinator that is just being made is
    /// asked again until `deadline`. `found` is known for a cluster elsewhere.
    ///
    /// # Errors
    /// Why there is no coordinator, the right that is missing, or what the coordinator said.
    fn commit_starts<'a>(
        &'a mut self,
        starts: &'a [Offset],
        found: Option<&'a Found>,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()>;

    /// Deletes the topic, within 10 s. Only ever called for one this run created.
    ///
    /// # Errors
    /// What the broker said, unless the topic is not there.
    fn delete_topic(&mut self) -> Answer<'_, ()>;
}

/// Finds and removes what earlier runs have left behind.
pub trait Cleaner {
    /// Everything that carries the mark of a run, by kind and name.
    ///
    /// # Errors
    /// No broker answers.
    fn left_behind(&self, deadline: &Deadline) -> Result<Vec<LeftBehind>, SetupError>;

    /// Deletes one of what [`left_behind`](Cleaner::left_behind) has found.
    ///
    /// # Errors
    /// The name has no mark, or what the broker said.
    fn remove<'a>(&'a self, left: &'a LeftBehind, deadline: &'a Deadline) -> Answer<'a, ()>;
}

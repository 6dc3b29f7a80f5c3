//! Requests while a run goes on: end offsets, the number of partitions, and commits of checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::ask_error::AskError;
use super::asker::{Asker, last};
use super::conversation::Ask;
use crate::base::{Clock, Offset, PartitionId};
use crate::broker::protocol::BrokerId;
use crate::broker::setup::Deadline;
use crate::broker::wire::{
    Api, KafkaError, LogEnd, MetadataAnswer, PartitionMetadata, committed, fetched_offsets,
    listed_offsets, put_commit, put_fetch_offsets, put_list_offsets,
};
use crate::broker::{BrokerError, Committer, EndOffsets, TopicPort, TopicSize, Watermarks};
use crate::measure::PartitionBrokers;

/// Time limit of requests for offsets.
const OFFSETS_LIMIT: Duration = Duration::from_secs(2);
/// Time limit of a commit of checkpoints, so that a broker without an answer does not delay the end of a run.
const COMMIT_LIMIT: Duration = Duration::from_secs(5);
/// Time limit of a request for the topic.
const TOPIC_LIMIT: Duration = Duration::from_secs(10);
/// Time between two requests to a coordinator that is not ready.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks the leaders for the beginnings and ends of their partitions.
#[derive(Debug)]
pub(super) struct TcpEndOffsets {
    asker: Asker,
    topic: String,
    clock: Clock,
    /// Partitions of each leader, with the leader's epoch; empty if the leaders have to be asked for.
    leaders: BTreeMap<BrokerId, Vec<(PartitionId, i32)>>,
}

impl TcpEndOffsets {
    /// Asks about `topic`.
    pub(super) fn new(asker: Asker, topic: &str, clock: Clock) -> TcpEndOffsets {
        TcpEndOffsets { asker, topic: topic.to_owned(), clock, leaders: BTreeMap::new() }
    }

    /// The beginning or the end of each partition whose leader answers in time.
    ///
    /// # Errors
    /// No leader answers.
    pub(super) fn list(
        &mut self,
        end: LogEnd,
        deadline: &Deadline,
    ) -> Result<BTreeMap<PartitionId, Offset>, AskError> {
        if self.leaders.is_empty() {
            let answer = self.asker.metadata(&self.topic, deadline).map_err(last)?;
            self.learn(&answer)?;
        }
        let (mut found, mut error) = (BTreeMap::new(), None);
        for (broker, partitions) in &self.leaders {
            let topic = &self.topic;
            let ask = Ask {
                api: Api::ListOffsets,
                write: |out: &mut Vec<u8>, version| {
                    put_list_offsets(out, version, topic, partitions, end)
                },
                read: |body: &[u8], version| listed_offsets(body, version, topic),
            };
            match self.asker.ask(*broker, &ask, deadline) {
                Err(why) => error = Some(why),
                Ok(listed) => {
                    for (partition, offset) in listed {
                        match offset {
                            Ok(offset) => _ = found.insert(partition, offset),
                            Err(code) => error = Some(AskError::Refused(code)),
                        }
                    }
                }
            }
        }
        if error.is_some() {
            self.leaders.clear();
        }
        match error {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    fn learn(&mut self, answer: &MetadataAnswer) -> Result<(), AskError> {
        if let Some(error) = answer.error {
            return Err(AskError::Refused(error));
        }
        for (id, its) in (0..).zip(&answer.partitions) {
            let leader = its.leader.and_then(|node| self.asker.brokers().nodes().number(node));
            if let Some(leader) = leader {
                let partitions = self.leaders.entry(leader).or_default();
                partitions.push((PartitionId(id), its.leader_epoch));
            }
        }
        Ok(())
    }

    /// Lets the next query begin with metadata, because there are unknown partitions.
    pub(super) fn ask_leaders_again(&mut self) {
        self.leaders.clear();
    }
}

/// The same for a run, whose number of partitions may grow.
#[derive(Debug)]
pub(super) struct RunEndOffsets {
    /// The client for requests.
    pub(super) ends: TcpEndOffsets,
    /// Number of known partitions.
    pub(super) partitions: Arc<AtomicU32>,
}

impl EndOffsets for RunEndOffsets {
    fn fetch(&mut self) -> Result<BTreeMap<PartitionId, Offset>, BrokerError> {
        let deadline = Deadline::of(self.ends.clock, OFFSETS_LIMIT);
        let mut found = self.ends.list(LogEnd::Latest, &deadline)?;
        let known = self.partitions.load(Ordering::Acquire);
        if found.len() < known as usize {
            self.ends.ask_leaders_again();
        }
        // The run does not know of later partitions yet.
        found.retain(|partition, _| partition.0 < known);
        Ok(found)
    }

    fn watermarks(&mut self) -> Result<Watermarks, BrokerError> {
        // The end first: records that are removed in between must not look like a truncated log.
        let high = self.fetch()?;
        let low =
            self.ends.list(LogEnd::Earliest, &Deadline::of(self.ends.clock, OFFSETS_LIMIT))?;
        let both = |(partition, high)| Some((partition, (*low.get(&partition)?, high)));
        Ok(high.into_iter().filter_map(both).collect())
    }
}

/// Commits for a group without being a member. A coordinator accepts that while the group has no members.
#[derive(Debug)]
pub(super) struct TcpCommitter {
    asker: Asker,
    group: String,
    topic: String,
    clock: Clock,
    coordinator: Option<BrokerId>,
}

impl TcpCommitter {
    /// Commits for `group` in `topic`.
    pub(super) fn new(asker: Asker, group: &str, topic: &str, clock: Clock) -> TcpCommitter {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        TcpCommitter { asker, group, topic, clock, coordinator: None }
    }

    /// Commits. A coordinator that has moved or is not ready is asked again until `deadline`.
    ///
    /// # Errors
    /// The error of the coordinator, or the reason why it could not be asked.
    pub(super) fn commit_within(
        &mut self,
        positions: &BTreeMap<PartitionId, Offset>,
        deadline: &Deadline,
    ) -> Result<(), AskError> {
        self.until(deadline, |this, broker| {
            let (group, topic) = (&this.group, &this.topic);
            let ask = Ask {
                api: Api::OffsetCommit,
                write: |out: &mut Vec<u8>, version| {
                    put_commit(out, version, group, topic, (None, positions))
                },
                read: committed,
            };
            let (error, _) = this.asker.ask(broker, &ask, deadline)?;
            error.map_or(Ok(()), |error| Err(AskError::Refused(error)))
        })
    }

    fn until<T>(
        &mut self,
        deadline: &Deadline,
        mut attempt: impl FnMut(&mut TcpCommitter, BrokerId) -> Result<T, AskError>,
    ) -> Result<T, AskError> {
        loop {
            let found = match self.coordinator {
                Some(broker) => Ok(broker),
                None => self.asker.coordinator(&self.group, deadline),
            };
            let error = match found.and_then(|broker| {
                self.coordinator = Some(broker);
                attempt(self, broker)
            }) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            self.coordinator = None;
            let may_pass = match &error {
                AskError::Refused(code) => code.is_retriable(),
                AskError::Version(_) => false,
                _ => true,
            };
            if !may_pass || deadline.is_over() {
                return Err(error);
            }
            deadline.pause(PAUSE);
        }
    }
}

impl Committer for TcpCommitter {
    fn commit(&mut self, positions: &BTreeMap<PartitionId, Offset>) -> Result<(), BrokerError> {
        let deadline = Deadline::of(self.clock, COMMIT_LIMIT);
        Ok(self.commit_within(positions, &deadline)?)
    }

    fn committed(&mut self, partitions: u32) -> Result<BTreeMap<PartitionId, Offset>, BrokerError> {
        let deadline = Deadline::of(self.clock, OFFSETS_LIMIT);
        let ids: Vec<PartitionId> = (0..partitions).map(PartitionId).collect();
        let offsets = self.until(&deadline, |this, broker| {
            let (group, topic) = (&this.group, &this.topic);
            let ask = Ask {
                api: Api::OffsetFetch,
                write: |out: &mut Vec<u8>, version| {
                    put_fetch_offsets(out, version, group, (topic, &ids))
                },
                read: |body: &[u8], version| fetched_offsets(body, version, group, topic),
            };
            let (offsets, _) = this.asker.ask(broker, &ask, &deadline)?;
            offsets.map_err(AskError::Refused)
        });
        Ok(offsets?)
    }
}

/// Asks for the topic.
#[derive(Debug)]
pub(super) struct TcpTopic {
    /// The client for requests.
    pub(super) asker: Asker,
    /// The topic's name.
    pub(super) topic: String,
    /// For the time limit of a request.
    pub(super) clock: Clock,
}

impl TopicPort for TcpTopic {
    fn size(&mut self) -> Result<TopicSize, BrokerError> {
        let deadline = Deadline::of(self.clock, TOPIC_LIMIT);
        let answer = self.asker.metadata(&self.topic, &deadline).map_err(last)?;
        Ok(size_in(&answer).map_err(AskError::Refused)?)
    }
}

/// The size of the topic according to metadata; 0 partitions if it does not exist.
///
/// # Errors
/// Another error of the topic.
pub(super) fn size_in(answer: &MetadataAnswer) -> Result<TopicSize, KafkaError> {
    match answer.error {
        None => {}
        Some(error) if error.is_unknown_topic() => {
            return Ok(TopicSize::default());
        }
        Some(error) => return Err(error),
    }
    let led = answer.partitions.iter().take_while(|its| its.leader.is_some()).count();
    let brokers = |(id, its): (u32, &PartitionMetadata)| {
        let (replicas, in_sync) = (its.replicas.clone(), its.in_sync.clone());
        (PartitionId(id), PartitionBrokers { leader: its.leader, replicas, in_sync })
    };
    Ok(TopicSize {
        partitions: answer.partitions.len() as u32,
        led: led as u32,
        brokers: (0..).zip(&answer.partitions).map(brokers).collect(),
    })
}

//! Offsets, with a client of its own: asks where partitions end, and commits for a group without being a member of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientConfig, Offset as RdOffset, TopicPartitionList};

use super::client_log::Told;
use super::config::ClientSettings;
use super::error::classify;
use super::setup::Deadline;
use crate::base::{Clock, Offset, PartitionId};
use crate::broker::{BrokerError, Committer, EndOffsets, Watermarks};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// ListOffsets for all partitions at once: one request per leader.
pub(super) struct RdEndOffsets {
    client: BaseConsumer<Told>,
    topic: String,
    /// How many partitions are known by now.
    partitions: Arc<AtomicU32>,
}

impl RdEndOffsets {
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        partitions: Arc<AtomicU32>,
    ) -> Result<RdEndOffsets, BrokerError> {
        let client = settings.create(&settings.end_offsets())?;
        Ok(RdEndOffsets { client, topic: topic.to_owned(), partitions })
    }

    /// The first or the end offset of every partition.
    pub(super) fn ask(&self, what: RdOffset) -> Result<BTreeMap<PartitionId, Offset>, BrokerError> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions.load(Ordering::Acquire) {
            list.add_partition_offset(&self.topic, partition as i32, what)
                .map_err(|error| classify(&error))?;
        }
        // "Timestamps" -1 and -2 ask for the end and the beginning (ListOffsets, KIP-79).
        let list =
            self.client.offsets_for_times(list, TIMEOUT).map_err(|error| classify(&error))?;
        let offset = |element: &TopicPartitionListElem<'_>| match element.offset() {
            RdOffset::Offset(offset) => {
                Some((PartitionId(element.partition() as u32), Offset(offset)))
            }
            _ => None,
        };
        Ok(list.elements().iter().filter_map(offset).collect())
    }
}

impl EndOffsets for RdEndOffsets {
    fn fetch(&mut self) -> Result<BTreeMap<PartitionId, Offset>, BrokerError> {
        self.ask(RdOffset::End)
    }

    fn watermarks(&mut self) -> Result<Watermarks, BrokerError> {
        // The end first: what is removed in between must not look like a log that was cut.
        let high = self.ask(RdOffset::End)?;
        let low = self.ask(RdOffset::Beginning)?;
        let both = |(partition, high)| Some((partition, (*low.get(&partition)?, high)));
        Ok(high.into_iter().filter_map(both).collect())
    }
}

/// A client that only commits. A coordinator takes that as long as the group has no members.
pub(super) struct RdCommitter {
    client: Arc<BaseConsumer<Told>>,
    topic: String,
    clock: Clock,
    /// The answer to a commit that was not waited for to its end.
    pending: Option<Receiver<KafkaResult<()>>>,
}

/// How long a commit of checkpoints may take: a broker that does not answer must not hold up a run's end.
const LIMIT: Duration = Duration::from_secs(5);
/// How long the answer to a question for committed offsets may take.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two looks at what the client reports.
const LOOK: Duration = Duration::from_millis(100);

impl RdCommitter {
    /// A client that commits for `group`.
    ///
    /// # Errors
    /// The client library refuses its properties.
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        group: &str,
        clock: Clock,
    ) -> Result<RdCommitter, BrokerError> {
        RdCommitter::with(
            settings,
            &settings.mirror(group),
            topic,
            clock,
            Told::new(settings.hidden()),
        )
    }

    /// The same with these properties.
    pub(super) fn with(
        settings: &ClientSettings,
        config: &ClientConfig,
        topic: &str,
        clock: Clock,
        told: Told,
    ) -> Result<RdCommitter, BrokerError> {
        let client = Arc::new(settings.create_with(config, told)?);
        Ok(RdCommitter { client, topic: topic.to_owned(), clock, pending: None })
    }

    /// Commits, and waits for the answer until `deadline`. librdkafka's synchronous commit has no limit of time and its
    /// asynchronous one reports no answer to this client, so that a thread waits for the former.
    ///
    /// # Errors
    /// What the coordinator or the client library said; a timeout if neither said anything.
    pub(super) fn commit_within(
        &mut self,
        positions: &BTreeMap<PartitionId, Offset>,
        deadline: &Deadline,
    ) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            let offset = RdOffset::Offset(offset.0);
            list.add_partition_offset(&self.topic, partition.0 as i32, offset)?;
        }
        if let Some(earlier) = self.pending.take() {
            // One at a time: its answer is of no interest any more.
            let _ = self.answer(earlier, deadline)?;
        }
        let (client, (answer, answers)) = (self.client.clone(), channel());
        let waiting = std::thread::Builder::new().name("commit".to_owned()).spawn(move || {
            let _ = answer.send(client.commit(&list, CommitMode::Sync));
        });
        waiting
            .map_err(|_| KafkaError::ConsumerCommit(RDKafkaErrorCode::CriticalSystemResource))?;
        self.answer(answers, deadline)?
    }

    /// Waits for an answer; the outer error says that none came.
    fn answer(
        &mut self,
        answers: Receiver<KafkaResult<()>>,
        deadline: &Deadline,
    ) -> KafkaResult<KafkaResult<()>> {
        let mut said = KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut);
        loop {
            match answers.recv_timeout(LOOK.min(deadline.left())) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(said),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(Err(error)) = self.client.poll(Duration::ZERO) {
                said = error;
            }
            if deadline.is_over() {
                self.pending = Some(answers);
                return Err(said);
            }
        }
    }
}

impl Committer for RdCommitter {
    fn commit(&mut self, positions: &BTreeMap<PartitionId, Offset>) -> Result<(), BrokerError> {
        let deadline = Deadline::of(self.clock, LIMIT);
        self.commit_within(positions, &deadline).map_err(|error| classify(&error))
    }

    fn committed(&mut self, partitions: u32) -> Result<BTreeMap<PartitionId, Offset>, BrokerError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic, 0, partitions.saturating_sub(1) as i32);
        let list = self.client.committed_offsets(list, ANSWER).map_err(|error| classify(&error))?;
        let offset = |partition: &TopicPartitionListElem<'_>| match partition.offset() {
            RdOffset::Offset(next) => {
                Some((PartitionId(partition.partition() as u32), Offset(next)))
            }
            _ => None,
        };
        Ok(list.elements().iter().filter_map(offset).collect())
    }
}

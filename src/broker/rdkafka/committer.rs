//! Commits offsets for a group without being a member of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext, Offset as RdOffset, TopicPartitionList};

use super::config::ClientSettings;
use super::error::classify;
use super::setup::Deadline;
use super::told::Told;
use crate::base::{Clock, Offset, PartitionId};
use crate::broker::{BrokerError, Committer};

/// A client that only commits. A coordinator takes that as long as the group has no members.
pub(super) struct RdCommitter {
    client: BaseConsumer<Answers>,
    topic: String,
    clock: Clock,
    /// Commits that were sent.
    sent: u64,
}

/// What the coordinator said to each commit, in the order in which they were sent.
struct Answers {
    told: Told,
    /// How many there are, and the last one.
    answers: Mutex<(u64, KafkaResult<()>)>,
}

impl ClientContext for Answers {
    fn log(&self, level: RDKafkaLogLevel, about: &str, said: &str) {
        self.told.log(level, about, said);
    }

    fn error(&self, error: KafkaError, said: &str) {
        self.told.error(error, said);
    }
}

impl ConsumerContext for Answers {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers = (answers.0 + 1, result);
    }
}

/// How long a commit of checkpoints may take: a broker that does not answer must not hold up a run's end.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two looks at the deadline.
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
        let context = Answers { told, answers: Mutex::new((0, Ok(()))) };
        let client = settings.create_with(config, context)?;
        Ok(RdCommitter { client, topic: topic.to_owned(), clock, sent: 0 })
    }

    /// Commits, and waits for the answer until `deadline`: the client library's own way to wait has no limit.
    ///
    /// # Errors
    /// What the coordinator or the client library said; a time-out if neither said anything.
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
        self.client.commit(&list, CommitMode::Async)?;
        self.sent += 1;
        // The answer to an earlier one that was given up does not count.
        let mut said = KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut);
        while !deadline.is_over() {
            if let Some(Err(error)) = self.client.poll(LOOK.min(deadline.left())) {
                said = error;
            }
            let answers =
                self.client.context().answers.lock().unwrap_or_else(PoisonError::into_inner);
            if answers.0 >= self.sent {
                return answers.1.clone();
            }
        }
        Err(said)
    }
}

impl Committer for RdCommitter {
    fn commit(&mut self, positions: &BTreeMap<PartitionId, Offset>) -> Result<(), BrokerError> {
        let deadline = Deadline::of(self.clock, LIMIT);
        self.commit_within(positions, &deadline).map_err(|error| classify(&error))
    }
}

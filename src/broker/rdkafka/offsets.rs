//! Queries and changes with clients of their own: end offsets, commits without membership in the group, the size of a
//! topic, more partitions, and the deletion of records.
//!
//! The clients of producers also refresh their metadata here, because a client sends nothing to a partition that it
//! does not know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataPartition};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientConfig, Offset as RdOffset, TopicPartitionList};
use tokio::runtime::Runtime;

use super::error::{Told, classify};
use crate::base::{Clock, Offset, PartitionId};
use crate::broker::settings::ClientSettings;
use crate::broker::setup::Deadline;
use crate::broker::{
    BrokerError, Committer, EndOffsets, ErrorClass, TopicPort, TopicSize, Watermarks,
};
use crate::measure::PartitionBrokers;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Queries ListOffsets for all partitions at once, with one request per leader.
pub(super) struct RdEndOffsets {
    client: BaseConsumer<Told>,
    topic: String,
    /// The number of partitions known so far.
    partitions: Arc<AtomicU32>,
}

impl RdEndOffsets {
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        partitions: Arc<AtomicU32>,
    ) -> Result<RdEndOffsets, BrokerError> {
        let client = settings.create(&settings.end_offsets().config())?;
        Ok(RdEndOffsets { client, topic: topic.to_owned(), partitions })
    }

    /// The first or the end offset of every partition.
    pub(super) fn ask(&self, what: RdOffset) -> Result<BTreeMap<PartitionId, Offset>, BrokerError> {
        let partitions = self.partitions.load(Ordering::Acquire);
        let list = listed(&self.client, &self.topic, partitions, what, TIMEOUT)
            .map_err(|error| classify(&error))?;
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
        // The end is queried first. Otherwise a deletion of records between the queries would look like a truncated
        // log.
        let high = self.ask(RdOffset::End)?;
        let low = self.ask(RdOffset::Beginning)?;
        let both = |(partition, high)| Some((partition, (*low.get(&partition)?, high)));
        Ok(high.into_iter().filter_map(both).collect())
    }
}

/// Asks ListOffsets for an offset of each partition below `partitions`. With a time in milliseconds instead of an offset,
/// that is the offset of the first record from then on, or the end. An element has an error if its partition has.
///
/// # Errors
/// No answer within `limit`.
pub(super) fn listed(
    client: &BaseConsumer<Told>,
    topic: &str,
    partitions: u32,
    what: RdOffset,
    limit: Duration,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition as i32, what)?;
    }
    // "Timestamps" -1 and -2 ask for the end and the beginning (ListOffsets, KIP-79).
    client.offsets_for_times(list, limit)
}

/// A client that only commits. The coordinator accepts its commits as long as the group has no members.
pub(super) struct RdCommitter {
    client: Arc<BaseConsumer<Told>>,
    topic: String,
    clock: Clock,
    /// The channel for the answer to an earlier commit whose deadline has passed.
    pending: Option<Receiver<KafkaResult<()>>>,
}

/// Longest time for a commit of checkpoints, so that a broker that does not answer cannot delay the end of a run.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for committed offsets.
const ANSWER: Duration = Duration::from_secs(2);
/// Time between two polls of the client while a commit is outstanding.
const LOOK: Duration = Duration::from_millis(100);

impl RdCommitter {
    /// Creates a client that commits for `group`.
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
            &settings.mirror(group).config(),
            topic,
            clock,
            Told::new(settings.hidden()),
        )
    }

    /// Creates the client with these properties.
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

    /// Commits, and waits for the answer until `deadline`. librdkafka's synchronous commit has no time limit, and its
    /// asynchronous one reports no answer to this client. So a thread runs the synchronous one.
    ///
    /// # Errors
    /// The error of the coordinator or the client library, or a timeout if there is none.
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
            // Only one commit is outstanding at a time. The result of the earlier one is not needed any more.
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

    /// Waits for an answer. The outer error means that none came by the deadline.
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

/// Longest time for an administrative request.
const STEP: Duration = Duration::from_secs(10);

/// Deletes every record of these partitions, read or not. Blocks.
pub(super) fn delete_records(
    settings: &ClientSettings,
    topic: &str,
    partitions: &[PartitionId],
) -> Result<(), BrokerError> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, partition.0 as i32, RdOffset::End)
            .map_err(|error| classify(&error))?;
    }
    let (admin, runtime, options) = admin(settings)?;
    let deleted = runtime
        .block_on(admin.delete_records(&list, &options))
        .map_err(|error| classify(&error))?;
    deleted.elements().iter().try_for_each(|element| element.error()).map_err(|e| classify(&e))
}

type Admin = (AdminClient<Told>, Runtime, AdminOptions);

fn admin(settings: &ClientSettings) -> Result<Admin, BrokerError> {
    let admin = settings.create(&settings.observer("admin").config())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| BrokerError::fatal(format!("no runtime: {error}")))?;
    let options = AdminOptions::new().request_timeout(Some(STEP)).operation_timeout(Some(STEP));
    Ok((admin, runtime, options))
}

/// Adds partitions to `topic` until it has `total`. Blocks.
pub(super) fn create_partitions(
    settings: &ClientSettings,
    topic: &str,
    total: u32,
) -> Result<(), BrokerError> {
    let (admin, runtime, options) = admin(settings)?;
    let wanted = NewPartitions::new(topic, total as usize);
    let results = runtime
        .block_on(admin.create_partitions([&wanted], &options))
        .map_err(|error| classify(&error))?;
    match results.into_iter().next() {
        Some(Err((_, code))) => Err(BrokerError {
            class: ErrorClass::Denied,
            message: format!("topic `{topic}` cannot have {total} partitions: {code}"),
        }),
        _ => Ok(()),
    }
}

/// Queries the size of a topic with a client of its own.
pub(super) struct RdTopic {
    client: BaseConsumer<Told>,
    topic: String,
}

impl RdTopic {
    pub(super) fn new(settings: &ClientSettings, topic: &str) -> Result<RdTopic, BrokerError> {
        let client = settings.create(&settings.observer("topic").config())?;
        Ok(RdTopic { client, topic: topic.to_owned() })
    }
}

impl TopicPort for RdTopic {
    fn size(&mut self) -> Result<TopicSize, BrokerError> {
        size(self.client.client(), &self.topic, STEP).map_err(|error| classify(&error))
    }
}

/// Queries the topic's metadata. Afterwards the client knows every partition of the answer.
pub(super) fn size<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> Result<TopicSize, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), limit)?;
    size_in(&metadata, topic).map_err(KafkaError::MetadataFetch)
}

/// The size of the topic in `metadata`; empty if the topic does not exist.
pub(super) fn size_in(metadata: &Metadata, topic: &str) -> Result<TopicSize, RDKafkaErrorCode> {
    let none = TopicSize::default();
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(none);
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            return Ok(none);
        }
        Some(code) => return Err(code),
    }
    let mut led: Vec<i32> =
        found.partitions().iter().filter(|p| p.leader() >= 0).map(|p| p.id()).collect();
    led.sort_unstable();
    let gapless = led.iter().zip(0..).take_while(|(id, number)| *id == number).count();
    let brokers = |its: &MetadataPartition| {
        let brokers = PartitionBrokers {
            leader: (its.leader() >= 0).then(|| its.leader()),
            replicas: its.replicas().to_vec(),
            in_sync: its.isr().to_vec(),
        };
        Some((PartitionId(u32::try_from(its.id()).ok()?), brokers))
    };
    Ok(TopicSize {
        partitions: found.partitions().len() as u32,
        led: gapless as u32,
        brokers: found.partitions().iter().filter_map(brokers).collect(),
    })
}

/// Number of metadata queries per client, and the pause between two of them, before a refresh fails.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The partitions that all clients of a pool know.
#[derive(Debug, Default)]
pub(super) struct MetadataRefresh {
    /// The number of partitions that every client knows.
    known: Arc<AtomicU32>,
    under_way: Arc<AtomicBool>,
}

impl MetadataRefresh {
    /// Returns true if every client knows the partitions below `partitions`. If not, a thread refreshes their metadata.
    pub(super) fn ensure_partitions<C: ProducerContext + 'static>(
        &self,
        clients: &Arc<Vec<BaseProducer<C>>>,
        topic: &str,
        partitions: u32,
    ) -> bool {
        if self.known.load(Ordering::Acquire) >= partitions {
            return true;
        }
        if self.under_way.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (clients, topic) = (clients.clone(), topic.to_owned());
        let (known, under_way) = (self.known.clone(), self.under_way.clone());
        let thread = std::thread::Builder::new().name("metadata".to_owned()).spawn(move || {
            if clients.iter().all(|client| knows(client, &topic, partitions)) {
                known.fetch_max(partitions, Ordering::AcqRel);
            }
            under_way.store(false, Ordering::Release);
        });
        if thread.is_err() {
            self.under_way.store(false, Ordering::Release);
        }
        false
    }
}

fn knows<C: ProducerContext>(client: &BaseProducer<C>, topic: &str, partitions: u32) -> bool {
    (0..TRIES).any(|_| {
        let size = size(client.client(), topic, LIMIT);
        let knows = size.is_ok_and(|size| size.led >= partitions);
        if !knows {
            std::thread::sleep(PAUSE);
        }
        knows
    })
}

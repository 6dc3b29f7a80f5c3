//! A consumer port on librdkafka's `BaseConsumer`.
//!
//! The port uses `BaseConsumer` and not `StreamConsumer`, because its poll blocks inside librdkafka and cannot lose a
//! wake-up. The client is created, polled and dropped on the host's thread.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Message, Offset as RdOffset, TopicPartitionList};

use super::error::{Told, classify, classify_while, describe};
use super::offsets;
use crate::base::{Clock, Headers, Offset, PartitionId, RecordView, Time, in_handler, put_header};
use crate::broker::instance_ids::InstanceIdClaim;
use crate::broker::port::{ConsumerEvents, Flow};
use crate::broker::settings::ClientSettings;
use crate::broker::setup::Doing;
use crate::broker::{BrokerError, ConsumerCommand, ConsumerPort, ConsumerSpec, GroupSpec};

/// Longest wait for the metadata of a new partition.
const LEARN_LIMIT: Duration = Duration::from_secs(2);
/// Longest wait for the committed offsets from the coordinator.
const COMMITTED_LIMIT: Duration = Duration::from_secs(5);

/// The port of a consumer.
pub(super) struct RdConsumer {
    client: BaseConsumer<Context>,
    /// Timestamps the records that are handed over, and the end of a poll.
    clock: Clock,
    topic: String,
    /// The number of partitions that the client has in its metadata for certain.
    known: u32,
    /// The claim to the instance id, if only one client may hold it. Dropped after `client`, so that the id is released
    /// when the client is closed.
    claim: Option<InstanceIdClaim>,
    /// True while a group member has not subscribed.
    is_outside: bool,
    /// The partitions whose end was reported, and of which no record has come and no new position was set since.
    at_end: Ends,
}

impl RdConsumer {
    /// Creates the client, without waiting for the broker.
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        partitions: u32,
        spec: &ConsumerSpec,
        claim: Option<InstanceIdClaim>,
        clock: Clock,
    ) -> Result<RdConsumer, BrokerError> {
        let context = Context {
            topic: topic.to_owned(),
            partitions,
            group: spec.group.clone(),
            changes: Mutex::default(),
            told: Told::new(settings.hidden()),
        };
        let client = settings.create_with(&settings.consumer(spec).config(), context)?;
        let is_outside = spec.group.is_some();
        let topic = topic.to_owned();
        let at_end = Ends::default();
        Ok(RdConsumer { client, clock, topic, known: partitions, claim, is_outside, at_end })
    }

    /// Subscribes as soon as the instance id is released, for which this waits at most `wait`. Returns true if the
    /// client is subscribed, or has a fixed partition.
    fn enter(&mut self, wait: Duration) -> Result<bool, KafkaError> {
        if self.is_outside && self.claim.as_ref().is_none_or(|claim| claim.take(wait)) {
            self.client.subscribe(&[&self.topic])?;
            self.is_outside = false;
        }
        Ok(!self.is_outside)
    }

    fn one(
        &self,
        partition: PartitionId,
        offset: RdOffset,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition.0 as i32, offset)?;
        Ok(list)
    }

    /// Lets the client fetch the metadata of a partition that was added during the run. Without it, the client reports
    /// an unknown partition.
    fn learn(&mut self, partition: PartitionId) {
        if partition.0 >= self.known
            && let Ok(size) = offsets::size(self.client.client(), &self.topic, LEARN_LIMIT)
        {
            self.known = self.known.max(size.partitions);
        }
    }

    fn try_submit(&mut self, command: ConsumerCommand) -> Result<(), KafkaError> {
        match &command {
            ConsumerCommand::Assign(partition, _)
            | ConsumerCommand::Seek(partition, _)
            | ConsumerCommand::Unassign(partition) => self.at_end.goes_on(*partition),
            ConsumerCommand::Commit(_) => {}
        }
        match command {
            ConsumerCommand::Assign(partition, offset) => {
                self.learn(partition);
                self.client.incremental_assign(&self.one(partition, RdOffset::Offset(offset.0))?)
            }
            ConsumerCommand::Seek(partition, offset) => {
                // Does not block: records of the partition that are still in the queue are outdated from now on.
                let (id, offset) = (partition.0 as i32, RdOffset::Offset(offset.0));
                self.client.seek(&self.topic, id, offset, Duration::ZERO)
            }
            ConsumerCommand::Unassign(partition) => {
                self.client.incremental_unassign(&self.one(partition, RdOffset::Invalid)?)
            }
            ConsumerCommand::Commit(offsets) => {
                let mut list = TopicPartitionList::new();
                for (partition, offset) in offsets {
                    let offset = RdOffset::Offset(offset.0);
                    list.add_partition_offset(&self.topic, partition.0 as i32, offset)?;
                }
                self.client.commit(&list, CommitMode::Async)
            }
        }
    }
}

/// True if the user lacks the right to use the group. With explicit assignment librdkafka still asks for the
/// coordinator (`rd_kafka_cgrp_coord_query`). librdkafka may report the refusal at any time after the first fetch, and
/// continues to read.
fn is_about_the_group(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

/// Passes on the changes that the rebalance callback noted during the last poll.
fn hand_over(context: &Context, clock: Clock, at_end: &mut Ends, events: &mut dyn ConsumerEvents) {
    let changes = std::mem::take(&mut *context.lock());
    for change in changes {
        if let Change::Assigned(partitions) | Change::Revoked(partitions) = &change {
            partitions.iter().for_each(|partition| at_end.goes_on(*partition));
        }
        match change {
            Change::Assigned(partitions) => events.assigned(clock.now(), &partitions),
            Change::Revoked(partitions) => events.revoked(clock.now(), &partitions),
            Change::Failed(error) => events.error(clock.now(), error),
        }
    }
}

/// The partitions at whose end the client is: the end was reported, and since then no record has come and no new
/// position was set. For other partitions, the position that librdkafka reports may be outdated.
#[derive(Default)]
struct Ends(Vec<bool>);

impl Ends {
    fn reached(&mut self, partition: PartitionId) {
        let at = partition.0 as usize;
        if at >= self.0.len() {
            self.0.resize(at + 1, false);
        }
        self.0[at] = true;
    }

    #[inline]
    fn goes_on(&mut self, partition: PartitionId) {
        if let Some(is_at) = self.0.get_mut(partition.0 as usize) {
            *is_at = false;
        }
    }

    fn has(&self, partition: PartitionId) -> bool {
        self.0.get(partition.0 as usize) == Some(&true)
    }
}

impl ConsumerPort for RdConsumer {
    fn submit(&mut self, _now: Time, command: ConsumerCommand) -> Result<(), BrokerError> {
        self.try_submit(command).map_err(|error| classify(&error))
    }

    fn poll(&mut self, _now: Time, wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        let clock = self.clock;
        match self.enter(wait) {
            Ok(true) => {}
            Ok(false) => return clock.now(),
            Err(error) => {
                let now = clock.now();
                events.error(now, BrokerError::fatal(describe(&error)));
                return now;
            }
        }
        let is_group = self.client.context().group.is_some();
        let mut wait = wait;
        loop {
            let polled = self.client.poll(wait);
            if is_group {
                hand_over(self.client.context(), clock, &mut self.at_end, events);
            }
            let flow = match polled {
                None => return clock.now(),
                Some(Ok(message)) => {
                    let partition = PartitionId(message.partition() as u32);
                    self.at_end.goes_on(partition);
                    let mut memory = Vec::new();
                    let record = view(&message, &mut memory);
                    events.record(partition, Offset(message.offset()), &record, clock.now())
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let partition = PartitionId(partition as u32);
                    self.at_end.reached(partition);
                    events.end_of_partition(partition);
                    Flow::More
                }
                // librdkafka asks for the group's coordinator although it is not needed.
                Some(Err(error)) if !is_group && is_about_the_group(&error) => Flow::More,
                Some(Err(error)) => {
                    events.error(clock.now(), classify_while(&error, Doing::Read, &self.topic));
                    Flow::Stop
                }
            };
            if flow == Flow::Stop {
                return clock.now();
            }
            wait = Duration::ZERO;
        }
    }

    /// librdkafka's position moves over control records when they are taken from the queue (`rd_kafka_op_handle_std`).
    /// The end of a partition is reported after all records fetched before.
    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        if !self.at_end.0.contains(&true) {
            return BTreeMap::new();
        }
        // The query goes to the client's main thread. After an error no end is reported, and the next call asks again.
        let Ok(list) = self.client.position() else { return BTreeMap::new() };
        let position = |(partition, offset): (i32, RdOffset)| match offset {
            RdOffset::Offset(next) => Some((PartitionId(partition as u32), Offset(next))),
            _ => None,
        };
        let positions = list.elements();
        let positions = positions.iter().map(|element| (element.partition(), element.offset()));
        positions
            .filter_map(position)
            .filter(|(partition, _)| self.at_end.has(*partition))
            .collect()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "how long a close takes is no part of the run's time"
    )]
    fn close(self: Box<Self>, limit: Duration) -> bool {
        // The wrapper's `drop` waits for the close in steps of 100 ms. With a poll every millisecond it takes 2 ms.
        if self.client.close_queue().is_err() {
            return false;
        }
        let start = std::time::Instant::now();
        while !self.client.closed() {
            if start.elapsed() > limit {
                return false;
            }
            // Serves the revocation callback of a group member, then waits.
            let _ = self.client.poll(Duration::from_millis(1));
        }
        true
    }
}

/// A view of a record in librdkafka's memory. Its headers are copied to `memory`.
#[inline]
fn view<'a>(message: &'a BorrowedMessage<'_>, memory: &'a mut Vec<u8>) -> RecordView<'a> {
    if let Some(headers) = message.headers() {
        // The wrapper panics at a header name that is not UTF-8, which another producer may have written.
        let put = || headers.iter().for_each(|it| put_header(memory, it.key, it.value));
        if in_handler(put).is_err() {
            memory.clear();
        }
    }
    RecordView {
        key: message.key(),
        value: message.payload().unwrap_or_default(),
        headers: Headers::written(memory),
        timestamp_ms: message.timestamp().to_millis(),
    }
}

/// A change of a group member's assignment, noted in the rebalance callback.
enum Change {
    Assigned(Vec<PartitionId>),
    Revoked(Vec<PartitionId>),
    Failed(BrokerError),
}

/// The context of librdkafka's callbacks. The callbacks must not panic, because their callers are C.
struct Context {
    topic: String,
    /// The number of partitions at the start of the run. The run has committed a start offset for each of these.
    partitions: u32,
    group: Option<GroupSpec>,
    changes: Mutex<Vec<Change>>,
    told: Told,
}

impl Context {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits the host's positions in the partitions that are about to be revoked, and waits for the answer.
    fn commit(&self, consumer: &BaseConsumer<Self>, partitions: &[PartitionId]) {
        let Some(group) = self.group.as_ref().filter(|g| !g.crashed.load(Ordering::Acquire)) else {
            return;
        };
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            if let Some(next) = group.positions.next(*partition) {
                let offset = RdOffset::Offset(next.0);
                let _ = list.add_partition_offset(&self.topic, partition.0 as i32, offset);
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = consumer.commit(&list, CommitMode::Sync) {
            // The next owner starts at an earlier offset: its records are redelivered, and counted there.
            let message = format!("commit on revocation failed: {}", describe(&error));
            self.lock().push(Change::Failed(BrokerError {
                class: crate::broker::ErrorClass::Informational,
                message,
            }));
        }
    }
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, about: &str, said: &str) {
        self.told.line(about, said);
    }

    fn error(&self, error: KafkaError, said: &str) {
        self.told.failure(&error, said);
    }
}

impl Context {
    /// Starts a partition that was added during the run at its first record, unless a member has committed an offset
    /// there. The partitions of the start have committed offsets already.
    fn begin_new_ones(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let is_new = |id: i32| id >= self.partitions as i32;
        let mut new = TopicPartitionList::new();
        for element in list.elements().iter().filter(|element| is_new(element.partition())) {
            new.add_partition(&self.topic, element.partition());
        }
        if new.count() == 0 {
            return;
        }
        // After an error no offset is set, and the client asks for the committed offset itself.
        let Ok(committed) = consumer.committed_offsets(new, COMMITTED_LIMIT) else { return };
        for element in committed.elements() {
            let start = match element.offset() {
                RdOffset::Offset(next) => RdOffset::Offset(next),
                _ => RdOffset::Offset(0),
            };
            let _ = list.set_partition_offset(&self.topic, element.partition(), start);
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let cooperates = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.begin_new_ones(consumer, list);
                let partitions = ids(list);
                let done = match cooperates {
                    true => consumer.incremental_assign(list),
                    false => consumer.assign(list),
                };
                self.lock().push(Change::Assigned(partitions));
                done
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let partitions = ids(list);
                if !consumer.assignment_lost() {
                    self.commit(consumer, &partitions);
                }
                self.lock().push(Change::Revoked(partitions));
                match cooperates {
                    true => consumer.incremental_unassign(list),
                    false => consumer.unassign(),
                }
            }
            other => {
                let _ = consumer.unassign();
                Err(KafkaError::Rebalance(other.into()))
            }
        };
        if let Err(error) = done {
            self.lock().push(Change::Failed(classify(&error)));
        }
    }
}

fn ids(list: &TopicPartitionList) -> Vec<PartitionId> {
    list.elements().iter().map(|element| PartitionId(element.partition() as u32)).collect()
}

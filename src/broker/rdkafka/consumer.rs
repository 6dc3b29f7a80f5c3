//! A consumer port on librdkafka's `BaseConsumer`.
//!
//! `BaseConsumer` and not `StreamConsumer`: its poll blocks inside librdkafka and cannot lose a wake-up.
//! It lives and dies on the host's thread.

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
use crate::broker::places::Place;
use crate::broker::port::{ConsumerEvents, Flow};
use crate::broker::settings::ClientSettings;
use crate::broker::setup::Doing;
use crate::broker::{BrokerError, ConsumerCommand, ConsumerPort, ConsumerSpec, GroupSpec};

/// How long a client may take to learn of a new partition.
const LEARN_LIMIT: Duration = Duration::from_secs(2);
/// How long the coordinator may take to say what is committed.
const COMMITTED_LIMIT: Duration = Duration::from_secs(5);

/// A consumer's client.
pub(super) struct RdConsumer {
    client: BaseConsumer<Context>,
    /// Says when each record was handed over, and when a poll that has waited ended.
    clock: Clock,
    topic: String,
    /// How many partitions the client surely knows.
    known: u32,
    /// The place it holds, if only one client may. Behind the client: it is free when that is closed.
    place: Option<Place>,
    /// Whether it has still to subscribe, and so to join its group.
    is_outside: bool,
    /// Partitions whose end was reported since their last record, or since reading them began.
    at_end: Ends,
}

impl RdConsumer {
    /// Creates the client. Does not wait for the broker.
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        partitions: u32,
        spec: &ConsumerSpec,
        place: Option<Place>,
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
        Ok(RdConsumer { client, clock, topic, known: partitions, place, is_outside, at_end })
    }

    /// Joins the group, as soon as there is a place in it; waits for that at most `wait`. Returns whether it is in.
    fn enter(&mut self, wait: Duration) -> Result<bool, KafkaError> {
        if self.is_outside && self.place.as_ref().is_none_or(|place| place.take(wait)) {
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

    /// Has the client learn of a partition that was added while the run went on: to one it has not heard of it
    /// would say that there is no such thing.
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
                // Without waiting: what is queued of the partition is outdated from now on.
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

/// Whether a user may not use the group. With explicit assignment librdkafka asks for the coordinator all the same
/// (`rd_kafka_cgrp_coord_query`), reports the refusal at any time after the first fetch, and reads on.
fn is_about_the_group(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

/// Hands over what the rebalance callback noted during the last poll.
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

/// At which partitions' ends a client is: the end was reported and nothing has come since, nor was it told to read
/// elsewhere. Until then librdkafka may still say how far it had come before.
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
                // librdkafka asks for the group's coordinator without need.
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

    /// The position of librdkafka moves over control records when they come up in the queue (`rd_kafka_op_handle_std`),
    /// and an end is reported behind everything that was fetched before.
    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        if !self.at_end.0.contains(&true) {
            return BTreeMap::new();
        }
        // It asks the client's main thread for the assignment. Without an answer nothing is known, and it is asked again.
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
        // The wrapper's plain drop waits for the close in steps of 100 ms; asking once a millisecond
        // makes it two.
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

/// A record as it lies in librdkafka's memory; its headers in `memory`.
#[inline]
fn view<'a>(message: &'a BorrowedMessage<'_>, memory: &'a mut Vec<u8>) -> RecordView<'a> {
    if let Some(headers) = message.headers() {
        // The wrapper panics at a name that is not UTF-8, which any other producer may have written.
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

/// What librdkafka calls back into. Must not panic: its callers are C.
struct Context {
    topic: String,
    /// How many partitions there were at first: for those the run has committed where to start.
    partitions: u32,
    group: Option<GroupSpec>,
    changes: Mutex<Vec<Change>>,
    told: Told,
}

impl Context {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits how far the host has come in the partitions about to be given up, and waits for it.
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
            // Then the next owner starts a little earlier: redelivered, and counted there.
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
    /// A partition that was added while the run went on is read from its first record, unless a member has
    /// committed there. What the run began with has commits, and others are not asked about.
    fn begin_new_ones(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let is_new = |id: i32| id >= self.partitions as i32;
        let mut new = TopicPartitionList::new();
        for element in list.elements().iter().filter(|element| is_new(element.partition())) {
            new.add_partition(&self.topic, element.partition());
        }
        if new.count() == 0 {
            return;
        }
        // Without an answer nothing is set, and the client asks again by itself.
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

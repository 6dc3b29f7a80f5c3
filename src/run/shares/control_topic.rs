//! The control topic: a topic of the run with one partition, on the cluster under load. A thread writes and reads it,
//! with the client of the run.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::conversation::Conversation;
use crate::base::{Clock, Offset, PartitionId, PoolId, ProducerId, RecordView, RunId, Seed, Time};
use crate::broker::{
    Answers, BrokerError, ClusterPort, ConsumerCommand, ConsumerEvents, ConsumerPort, ConsumerSpec,
    Flow, ProducerPort, SendError, SendRecord,
};
use crate::measure::Measurements;
use crate::plan::{Compression, PartitionChoice, Plan, ProducerClients, TopicName};
use crate::report::say;

/// Longest wait for a record in one poll.
const WAIT: Duration = Duration::from_millis(10);
/// Time limit for the acknowledgements of the last messages.
const FLUSH: Duration = Duration::from_secs(3);
/// Time limit for closing the client.
const CLOSE: Duration = Duration::from_secs(1);

/// The name of the control topic of the runs on topic `topic`. It has the mark of a run, so that `clean` finds it after
/// a run was killed.
pub(super) fn control_topic(topic: &str) -> String {
    format!("lanekeeper-shares-{}", RunId::marked(Seed(0).child(topic, 0).0))
}

/// The plan of the control topic: one partition, one client, no linger.
pub(super) fn control_plan(plan: &Plan, name: &str) -> Plan {
    let mut control = plan.clone();
    control.topic.name = TopicName::Given(name.to_owned());
    control.topic.partitions = 1;
    control.topic.keep = false;
    let load = &mut control.load;
    (load.producers, load.pools, load.payload_bytes) = (1, 1, 1024);
    (load.linger, load.compression) = (Duration::ZERO, Compression::None);
    (load.partition, load.clients) = (PartitionChoice::Fixed, ProducerClients::PerPool);
    load.skew = 0.0;
    control
}

/// A conversation, and the thread that exchanges its messages.
pub(super) struct ControlTopic {
    conversation: Arc<Mutex<Conversation>>,
    is_over: Arc<AtomicBool>,
    /// The error after which the topic cannot be used any more.
    failure: Arc<Mutex<Option<String>>>,
    measurements: Arc<OnceLock<Arc<Measurements>>>,
    thread: Option<JoinHandle<()>>,
}

/// The state of the thread.
struct Talk {
    conversation: Arc<Mutex<Conversation>>,
    is_over: Arc<AtomicBool>,
    failure: Arc<Mutex<Option<String>>>,
    /// The measurements whose positions are sent to the others.
    measurements: Arc<OnceLock<Arc<Measurements>>>,
    cluster: Arc<dyn ClusterPort>,
    clock: Clock,
    /// Becomes true when the user interrupts this process.
    interrupted: watch::Receiver<bool>,
    /// Set to true when this process is to end, because its user or another process ends the run.
    ends: watch::Sender<bool>,
}

impl ControlTopic {
    /// Starts the thread, which sets `ends` to true when the run is to end.
    pub(super) fn start(
        conversation: Conversation,
        cluster: Arc<dyn ClusterPort>,
        clock: Clock,
        interrupted: watch::Receiver<bool>,
        ends: watch::Sender<bool>,
    ) -> io::Result<ControlTopic> {
        let conversation = Arc::new(Mutex::new(conversation));
        let (is_over, failure) = (Arc::<AtomicBool>::default(), Arc::default());
        let measurements = Arc::<OnceLock<Arc<Measurements>>>::default();
        let talk = Talk {
            conversation: conversation.clone(),
            is_over: is_over.clone(),
            failure: Arc::clone(&failure),
            measurements: measurements.clone(),
            cluster,
            clock,
            interrupted,
            ends,
        };
        let thread = std::thread::Builder::new().name("shares".to_owned()).spawn(move || {
            if let Err(error) = talk.run() {
                *talk.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.message);
            }
        })?;
        Ok(ControlTopic { conversation, is_over, failure, measurements, thread: Some(thread) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the positions of the own consumers to the others, and notes the positions that they send.
    pub(super) fn share_positions(&self, measurements: Arc<Measurements>) {
        let _ = self.measurements.set(measurements);
    }

    /// The error after which the topic cannot be used; `None` while it can.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ControlTopic {
    /// Ends the thread, which first writes the messages that are left.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Talk {
    fn lock(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and writes until the conversation is over and its last messages are acknowledged.
    fn run(&self) -> Result<(), BrokerError> {
        let partition = PartitionId(0);
        let spec = ConsumerSpec { name: "shares".to_owned(), group: None };
        let mut consumer = self.cluster.consumer(&spec)?;
        consumer.submit(self.clock.now(), ConsumerCommand::Assign(partition, Offset(0)))?;
        let mut producer = self.cluster.producer(PoolId(0))?;
        let mut writer = Writer::default();
        let mut over_at: Option<Time> = None;
        loop {
            let mut heard = Heard::default();
            let now = consumer.poll(self.clock.now(), WAIT, &mut heard);
            {
                let mut conversation = self.lock();
                heard.records.iter().for_each(|record| conversation.receive(record, now));
                if let Some(measurements) =
                    self.measurements.get().filter(|_| conversation.is_due(now))
                {
                    pass_on_progress(&mut conversation, measurements);
                }
                conversation.speak(now);
            }
            self.heed_ends();
            writer.write(&mut *producer, &self.conversation, self.clock.now());
            if let Some(error) = heard.error {
                return Err(error);
            }
            if self.is_over.load(Ordering::Acquire) {
                let now = self.clock.now();
                let until = *over_at.get_or_insert(now + FLUSH);
                let is_said = self.lock().has_said_all() && writer.under_way == 0;
                if is_said || now > until {
                    break;
                }
            }
        }
        consumer.close(CLOSE);
        Ok(())
    }

    /// Handles the end of the run. An interruption by the user is sent to the others. A stop that another process sent
    /// ends this process.
    fn heed_ends(&self) {
        if *self.ends.borrow() {
            return;
        }
        let mut conversation = self.lock();
        if *self.interrupted.borrow() {
            let why = "its user has interrupted it";
            conversation.stop(why);
        } else if let Some(why) = conversation.stopped() {
            say(&format!("{why}: stopping and saving results"));
        } else {
            return;
        }
        drop(conversation);
        self.ends.send_replace(true);
    }
}

/// Passes the positions of the own consumers to the conversation, and notes those of the others.
fn pass_on_progress(conversation: &mut Conversation, measurements: &Measurements) {
    let own = measurements.own_cells().filter_map(|(id, _)| {
        let next = measurements.progress.get(id.0 as usize)?;
        Some((id, Offset(next.load(Ordering::Relaxed))))
    });
    conversation.set_progress(own.collect());
    for (id, next) in conversation.progress() {
        if let Some(progress) = measurements.progress.get(id.0 as usize)
            && !measurements.reads(*id)
        {
            progress.fetch_max(next.0, Ordering::Relaxed);
        }
    }
}

/// The records and the error of one poll.
#[derive(Default)]
struct Heard {
    records: Vec<Vec<u8>>,
    error: Option<BrokerError>,
}

impl ConsumerEvents for Heard {
    fn record(&mut self, _: PartitionId, _: Offset, record: &RecordView<'_>, _: Time) -> Flow {
        self.records.push(record.value.to_vec());
        // A poll takes part of a backlog, so that heartbeats are not delayed.
        if self.records.len() < 64 { Flow::More } else { Flow::Stop }
    }

    fn present(&mut self, _: Time) {}

    fn end_of_partition(&mut self, _: PartitionId) {}

    fn assigned(&mut self, _: Time, _: &[PartitionId]) {}

    fn revoked(&mut self, _: Time, _: &[PartitionId]) {}

    fn error(&mut self, _: Time, error: BrokerError) {
        if error.class.is_definite() || error.class == crate::broker::ErrorClass::Fatal {
            self.error = Some(error);
        } else {
            tracing::warn!(%error, "the control topic");
        }
    }
}

/// Writes records, and counts those that are not acknowledged.
#[derive(Default)]
struct Writer {
    sequence: u64,
    under_way: u64,
    answers: Answers,
}

/// Largest number of records in flight.
const UNDER_WAY_MAX: u64 = 16;

impl Writer {
    fn write(
        &mut self,
        producer: &mut dyn ProducerPort,
        conversation: &Mutex<Conversation>,
        now: Time,
    ) {
        while self.under_way < UNDER_WAY_MAX {
            let mut conversation = conversation.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(record) = conversation.next_record() else { break };
            let sent = producer.send(
                now,
                &SendRecord {
                    producer: ProducerId(0),
                    partition: PartitionId(0),
                    sequence: self.sequence,
                    payload: &record,
                    is_packed: false,
                    sent: now,
                    is_alone: true,
                },
            );
            match sent {
                Ok(()) => (self.sequence, self.under_way) = (self.sequence + 1, self.under_way + 1),
                Err(SendError::Full) => {
                    conversation.put_back(record);
                    break;
                }
                Err(SendError::Refused(error)) => {
                    tracing::warn!(%error, "a message to the other shares was not sent");
                }
            }
        }
        producer.send_due(now);
        producer.answers(now, Duration::from_millis(1), &mut self.answers);
        self.under_way = self.under_way.saturating_sub(self.answers.acks.len() as u64);
        for (error, times) in &self.answers.errors {
            tracing::warn!(%error, times, "a message to the other shares");
        }
        self.answers = Answers::default();
    }
}

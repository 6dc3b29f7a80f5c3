//! The ports: what a host needs of a cluster, what is done to one on purpose, and what a client's errors mean.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::positions::Positions;
use crate::base::{ConsumerId, Incarnation, Offset, PartitionId, PoolId, RecordView, RunId, Time};
use crate::fault::Disturbance;
use crate::measure::{Ack, PartitionBrokers, RequestLog};

/// Makes the ports to a cluster, and acts on the cluster itself. Shared by all hosts.
pub trait ClusterPort: Send + Sync {
    /// A consumer's client. Called on the thread that will poll it; does not wait for the broker.
    ///
    /// # Errors
    /// The client library refuses to make the client.
    fn consumer(&self, spec: &ConsumerSpec) -> Result<Box<dyn ConsumerPort>, BrokerError>;

    /// Clients of consumers that share a thread. For client libraries that leave the waiting to their caller.
    ///
    /// # Errors
    /// This client has threads of its own, or the system has no more descriptors.
    fn consumer_loop(&self) -> Result<Box<dyn ConsumerLoop>, BrokerError> {
        Err(BrokerError::fatal("each client of this library has threads of its own"))
    }

    /// A pool's client or clients. Called on the thread that will use it.
    ///
    /// # Errors
    /// The client library refuses to make a client.
    fn producer(&self, pool: PoolId) -> Result<Box<dyn ProducerPort>, BrokerError>;

    /// A client of its own that commits offsets for `group`, without being a member of it.
    ///
    /// # Errors
    /// The client library refuses to make the client.
    fn committer(&self, group: &str) -> Result<Box<dyn Committer>, BrokerError>;

    /// A client of its own that asks for end offsets.
    ///
    /// # Errors
    /// The client library refuses to make the client.
    fn end_offsets(&self) -> Result<Box<dyn EndOffsets>, BrokerError>;

    /// A client of its own that looks at the topic; none where a topic never changes.
    ///
    /// # Errors
    /// The client library refuses to make the client.
    fn topic(&self) -> Result<Option<Box<dyn TopicPort>>, BrokerError> {
        Ok(None)
    }

    /// Announces the topic's new number of partitions. Clients that exist already may be asked about the new ones,
    /// too.
    fn grown(&self, _partitions: u32) {}

    /// What the clients of this cluster count of their requests; none of clients that do not tell.
    fn requests(&self) -> Option<Arc<RequestLog>> {
        None
    }

    /// Does something to the cluster. May block for up to 10 s; not to be called where an async runtime runs.
    /// Refused by a cluster that cannot do it; plans that want that are refused before.
    ///
    /// # Errors
    /// The cluster refuses the fault, cannot have it, or does not answer in time.
    fn disturb(&self, disturbance: &Disturbance) -> Result<(), BrokerError> {
        Err(BrokerError::fatal(format!("this cluster cannot do {disturbance:?}")))
    }
}

/// Which consumer a client is for.
#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    /// Name of the client, for the broker's logs: `consumer-7`.
    pub name: String,
    /// Membership of a group, or explicit assignment by [`ConsumerCommand::Assign`].
    pub group: Option<GroupSpec>,
}

/// A member of the run's group.
#[derive(Clone, Debug)]
pub struct GroupSpec {
    /// Which member.
    pub consumer: ConsumerId,
    /// Its start number.
    pub incarnation: Incarnation,
    /// Kept up to date by the host. What is committed on revocation, before a partition goes to another member.
    pub positions: Positions,
    /// Set when the member has crashed: from then on nothing may be committed for it.
    pub crashed: Arc<AtomicBool>,
}

/// What a host asks of a consumer's client.
#[derive(Clone, Debug)]
pub enum ConsumerCommand {
    /// Read this partition from this offset on.
    Assign(PartitionId, Offset),
    /// Go on reading this partition, which is being read, at this offset; what came of it and was not handed over is
    /// forgotten. For group members as well.
    Seek(PartitionId, Offset),
    /// Stop reading this partition.
    Unassign(PartitionId),
    /// Commit these positions (next offsets to process), without waiting.
    Commit(BTreeMap<PartitionId, Offset>),
}

/// A consumer's client, on the thread that owns it. It is told the time of each call.
pub trait ConsumerPort {
    /// Takes a command. Its effects show in later polls.
    ///
    /// # Errors
    /// The client refuses the command.
    fn submit(&mut self, now: Time, command: ConsumerCommand) -> Result<(), BrokerError>;

    /// Waits at most `wait` for a first event and then hands over what is there, without waiting, until
    /// nothing is left or `events` says stop. Returns the time at its end. A simulated port always gets a zero wait, and
    /// takes no time.
    fn poll(&mut self, now: Time, wait: Duration, events: &mut dyn ConsumerEvents) -> Time;

    /// How far the client has come in the partitions at whose end it is, and where everything before was handed over:
    /// the next offset it would hand over. That is more than one after the last record where what follows is not
    /// handed over: transaction markers, aborted records, what compaction has left of them.
    ///
    /// May ask the client's own threads, so it is not for every poll. Empty where a client says nothing of the kind, as
    /// where logs hold nothing but records.
    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        BTreeMap::new()
    }

    /// Whether a poll would hand something over without a wait, as far as a client tells.
    fn has_events(&self) -> bool {
        false
    }

    /// Closes the client, in at most about `limit`. Returns whether it closed in time.
    fn close(self: Box<Self>, limit: Duration) -> bool;
}

impl<P: ConsumerPort + ?Sized> ConsumerPort for Box<P> {
    fn submit(&mut self, now: Time, command: ConsumerCommand) -> Result<(), BrokerError> {
        (**self).submit(now, command)
    }

    fn poll(&mut self, now: Time, wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        (**self).poll(now, wait, events)
    }

    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        (**self).ends_reached()
    }

    fn has_events(&self) -> bool {
        (**self).has_events()
    }

    fn close(self: Box<Self>, limit: Duration) -> bool {
        (*self).close(limit)
    }
}

/// Clients of several consumers, for which one thread waits: an event loop. It is told the time of each call.
pub trait ConsumerLoop: Send {
    /// A client more, with a number that no other one has until it is closed. Its `poll` never waits.
    fn add(&mut self, spec: &ConsumerSpec) -> (usize, Box<dyn ConsumerPort>);

    /// Waits at most `wait` until something comes for one of the clients, and appends the numbers of those that have
    /// something to hand over. Returns the time at its end.
    fn wait(&mut self, now: Time, wait: Duration, ready: &mut Vec<usize>) -> Time;

    /// What ends a wait from another thread.
    ///
    /// # Errors
    /// The system has no more descriptors, or that was asked for before.
    fn waker(&self) -> io::Result<Arc<dyn Fn() + Send + Sync>>;
}

/// Whether a poll goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Hand over the next event.
    More,
    /// Return to the host first.
    Stop,
}

/// Where a consumer port hands its events.
pub trait ConsumerEvents {
    /// A record, where it lies in the client's memory. The response with it `arrived` at the client then, and it has
    /// waited there since; a client that [does not know](crate::base::ClientKind::fetch_is_timed) says when it hands
    /// the record over.
    fn record(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        record: &RecordView<'_>,
        arrived: Time,
    ) -> Flow;
    /// It is `now`, later than when the response with the next record arrived. From a client in real time, where time
    /// passes between two records of a response.
    fn present(&mut self, now: Time);
    /// The end of a partition was reached: the client has really fetched from it.
    fn end_of_partition(&mut self, partition: PartitionId);
    /// The group gave this member partitions (in addition to those it has).
    fn assigned(&mut self, now: Time, partitions: &[PartitionId]);
    /// The group took partitions from this member; positions are committed already.
    fn revoked(&mut self, now: Time, partitions: &[PartitionId]);
    /// Something went wrong.
    fn error(&mut self, now: Time, error: BrokerError);
}

/// Looks at the topic, beside everything else.
pub trait TopicPort: Send {
    /// How many partitions the topic has now. May block for some seconds.
    ///
    /// # Errors
    /// The cluster does not answer in time, or refuses the request.
    fn size(&mut self) -> Result<TopicSize, BrokerError>;
}

/// How many partitions a topic has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSize {
    /// All of them; 0 when there is no such topic.
    pub partitions: u32,
    /// Those with a leader, counted from partition 0 to the first without.
    pub led: u32,
    /// The brokers of each partition, where they are known.
    pub brokers: Vec<(PartitionId, PartitionBrokers)>,
}

/// A record to be sent.
#[derive(Clone, Copy, Debug)]
pub struct SendRecord<'a> {
    /// Who sends it.
    pub producer: crate::base::ProducerId,
    /// Where it goes.
    pub partition: PartitionId,
    /// Its lane sequence, given back with the acknowledgement. Less than 2^40.
    pub sequence: u64,
    /// The stamped payload, or the whole record in its packed form; copied by the client.
    pub payload: &'a [u8],
    /// Whether `payload` is a packed record, with key and headers.
    pub is_packed: bool,
    /// When it is sent, as its stamp says.
    pub sent: Time,
    /// Whether no other record is sent at the same time: its batch need not wait for more.
    pub is_alone: bool,
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The client's queue is full: try again later.
    Full,
    /// This record will never be sent.
    Refused(String),
}

/// What a producer's client has answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// The fate of records.
    pub acks: Vec<Ack>,
    /// How often each error came, by name.
    pub errors: BTreeMap<String, u64>,
}

impl Answers {
    /// Counts an error that came `times` times.
    pub fn add_error(&mut self, name: &str, times: u64) {
        match self.errors.get_mut(name) {
            Some(count) => *count += times,
            None => _ = self.errors.insert(name.to_owned(), times),
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.acks.is_empty() && self.errors.is_empty()
    }

    /// Moves everything from `others` here.
    #[inline]
    pub fn append(&mut self, others: &mut Answers) {
        match self.is_empty() {
            true => std::mem::swap(self, others),
            false => {
                self.acks.append(&mut others.acks);
                let errors = std::mem::take(&mut others.errors);
                errors.into_iter().for_each(|(name, times)| self.add_error(&name, times));
            }
        }
    }
}

/// A pool's client or clients, on the thread that owns it. It is told the time of each call, which may be later than the
/// present of a simulation: see [`sends_immediately_at`](Self::sends_immediately_at).
pub trait ProducerPort {
    /// Hands a record to the client; never waits.
    ///
    /// # Errors
    /// The queue of the client is full, or the client refuses the record.
    fn send(&mut self, now: Time, record: &SendRecord<'_>) -> Result<(), SendError>;

    /// Sends what has waited long enough in a client without threads of its own. Returns when something is due next.
    fn send_due(&mut self, _now: Time) -> Time {
        Time::NEVER
    }

    /// Whether a record sent alone at `at`, which may be later than now, leaves the client as it is sent, whatever is
    /// answered until then, and nothing is due in the client before.
    fn sends_immediately_at(&self, _at: Time) -> bool {
        true
    }

    /// Lets `wait` pass, or less if acknowledgements come, and appends what came since the last call.
    /// A simulated port always gets a zero wait.
    fn answers(&mut self, now: Time, wait: Duration, answers: &mut Answers);

    /// Whether records may be sent to partitions below `partitions`; if not, sees to it that they may be soon.
    /// Never waits.
    fn follow(&mut self, now: Time, partitions: u32) -> bool;

    /// Gives up what is still queued or in flight: every record gets its answer, as failed or
    /// indeterminate, within about `limit`.
    fn give_up(&mut self, now: Time, limit: Duration);
}

impl<P: ProducerPort + ?Sized> ProducerPort for Box<P> {
    fn send(&mut self, now: Time, record: &SendRecord<'_>) -> Result<(), SendError> {
        (**self).send(now, record)
    }

    fn send_due(&mut self, now: Time) -> Time {
        (**self).send_due(now)
    }

    fn sends_immediately_at(&self, at: Time) -> bool {
        (**self).sends_immediately_at(at)
    }

    fn answers(&mut self, now: Time, wait: Duration, answers: &mut Answers) {
        (**self).answers(now, wait, answers);
    }

    fn follow(&mut self, now: Time, partitions: u32) -> bool {
        (**self).follow(now, partitions)
    }

    fn give_up(&mut self, now: Time, limit: Duration) {
        (**self).give_up(now, limit);
    }
}

/// The group of a run's members.
pub fn run_group(run: RunId) -> String {
    format!("lanekeeper-{run}")
}

/// Commits offsets for a group, and asks for them, independently of any consumer.
pub trait Committer {
    /// Commits these positions (next offsets to process). May block for some seconds.
    ///
    /// # Errors
    /// The cluster does not answer in time, or refuses the commit.
    fn commit(&mut self, positions: &BTreeMap<PartitionId, Offset>) -> Result<(), BrokerError>;

    /// The offsets that the group's coordinator has for the partitions below `partitions`, of those that have one. May
    /// block for about two seconds.
    ///
    /// # Errors
    /// The coordinator does not answer in time, or refuses the request.
    fn committed(&mut self, partitions: u32) -> Result<BTreeMap<PartitionId, Offset>, BrokerError>;
}

/// Asks the broker where partitions end, independently of any consumer.
pub trait EndOffsets: Send {
    /// The end offset of every partition. May block for about a second.
    ///
    /// # Errors
    /// The cluster does not answer in time, or refuses the request.
    fn fetch(&mut self) -> Result<BTreeMap<PartitionId, Offset>, BrokerError>;

    /// The low and the high watermark of every partition that answers. May block for some seconds.
    ///
    /// # Errors
    /// The cluster does not answer in time, or refuses a request.
    fn watermarks(&mut self) -> Result<Watermarks, BrokerError>;
}

/// Low and high watermark of partitions: the first offset that is there, and the end.
pub type Watermarks = BTreeMap<PartitionId, (Offset, Offset)>;

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The client deals with it by itself; it is counted and never ends a consumer.
    Informational,
    /// The position does not exist: data loss, truncation, a re-created topic. Restarting cannot help.
    Position,
    /// Not allowed, or not there. Restarting cannot help.
    Denied,
    /// A record that can never be processed. Restarting cannot help, skipping it may.
    Poison,
    /// The client is beyond repair; a new one may do.
    Fatal,
    /// Not the client but what is done with a record has failed.
    Processing,
}

impl ErrorClass {
    /// Whether the same would happen after a restart.
    pub fn is_definite(self) -> bool {
        matches!(self, ErrorClass::Position | ErrorClass::Denied)
    }
}

/// An error with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerError {
    /// What it means.
    pub class: ErrorClass,
    /// What the client said.
    pub message: String,
}

impl BrokerError {
    /// An error that ends the client.
    pub fn fatal(message: impl Into<String>) -> BrokerError {
        BrokerError { class: ErrorClass::Fatal, message: message.into() }
    }

    /// An error of what is done with records.
    pub fn processing(message: impl Into<String>) -> BrokerError {
        BrokerError { class: ErrorClass::Processing, message: message.into() }
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BrokerError {}

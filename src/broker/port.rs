//! The ports: what a host needs of a cluster, what is done to one on purpose, and what a client's errors mean.
//!
//! How far a group member has come in the partitions it has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::{ConsumerId, Incarnation, Offset, PartitionId, PoolId, RunId, Time};
use crate::fault::Disturbance;
use crate::measure::Ack;

/// Makes the ports to a cluster, and acts on the cluster itself. Shared by all hosts.
pub trait ClusterPort: Send + Sync {
    /// A consumer's client. Called on the thread that will poll it; does not wait for the broker.
    ///
    /// # Errors
    /// The client library refuses to make the client.
    fn consumer(&self, spec: &ConsumerSpec) -> Result<Box<dyn ConsumerPort>, BrokerError>;

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

/// A consumer's client, on the thread that owns it.
pub trait ConsumerPort {
    /// Takes a command. Its effects show in later polls.
    ///
    /// # Errors
    /// The client refuses the command.
    fn submit(&mut self, command: ConsumerCommand) -> Result<(), BrokerError>;

    /// Waits at most `wait` for a first event and then hands over what is there, without waiting, until
    /// nothing is left or `events` says stop. A simulated port always gets a zero wait.
    fn poll(&mut self, wait: Duration, events: &mut dyn ConsumerEvents);

    /// How far the client has come in the partitions at whose end it is, and where everything before was handed over:
    /// the next offset it would hand over. That is more than one after the last record where what follows is not
    /// handed over: transaction markers, aborted records, what compaction has left of them.
    ///
    /// May ask the client's own threads, so it is not for every poll. Empty where a client says nothing of the kind, as
    /// where logs hold nothing but records.
    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        BTreeMap::new()
    }

    /// Closes the client, in at most about `limit`. Returns whether it closed in time.
    fn close(self: Box<Self>, limit: Duration) -> bool;
}

impl<P: ConsumerPort + ?Sized> ConsumerPort for Box<P> {
    fn submit(&mut self, command: ConsumerCommand) -> Result<(), BrokerError> {
        (**self).submit(command)
    }

    fn poll(&mut self, wait: Duration, events: &mut dyn ConsumerEvents) {
        (**self).poll(wait, events);
    }

    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        (**self).ends_reached()
    }

    fn close(self: Box<Self>, limit: Duration) -> bool {
        (*self).close(limit)
    }
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
    /// The response with the records that follow reached the client at `at`; they have waited there until now. Only
    /// clients that know say so.
    fn came_at(&mut self, _at: Time) {}
    /// A record, where it lies in the client's memory.
    fn record(&mut self, partition: PartitionId, offset: Offset, payload: &[u8]) -> Flow;
    /// The end of a partition was reached: the client has really fetched from it.
    fn end_of_partition(&mut self, partition: PartitionId);
    /// The group gave this member partitions (in addition to those it has).
    fn assigned(&mut self, partitions: &[PartitionId]);
    /// The group took partitions from this member; positions are committed already.
    fn revoked(&mut self, partitions: &[PartitionId]);
    /// Something went wrong.
    fn error(&mut self, error: BrokerError);
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSize {
    /// All of them; 0 when there is no such topic.
    pub partitions: u32,
    /// Those with a leader, counted from partition 0 to the first without.
    pub led: u32,
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
    /// The stamped payload; copied by the client.
    pub payload: &'a [u8],
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

/// A pool's client or clients, on the thread that owns it.
pub trait ProducerPort {
    /// Hands a record to the client; never waits.
    ///
    /// # Errors
    /// The queue of the client is full, or the client refuses the record.
    fn send(&mut self, record: &SendRecord<'_>) -> Result<(), SendError>;

    /// Lets `wait` pass, or less if acknowledgements come, and appends what came since the last call.
    /// A simulated port always gets a zero wait.
    fn answers(&mut self, wait: Duration, answers: &mut Answers);

    /// Whether records may be sent to partitions below `partitions`; if not, sees to it that they may be soon.
    /// Never waits.
    fn follow(&mut self, partitions: u32) -> bool;

    /// Gives up what is still queued or in flight: every record gets its answer, as failed or
    /// indeterminate, within about `limit`.
    fn give_up(&mut self, limit: Duration);
}

impl<P: ProducerPort + ?Sized> ProducerPort for Box<P> {
    fn send(&mut self, record: &SendRecord<'_>) -> Result<(), SendError> {
        (**self).send(record)
    }

    fn answers(&mut self, wait: Duration, answers: &mut Answers) {
        (**self).answers(wait, answers);
    }

    fn follow(&mut self, partitions: u32) -> bool {
        (**self).follow(partitions)
    }

    fn give_up(&mut self, limit: Duration) {
        (**self).give_up(limit);
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

/// Next offsets to process of a member's partitions. The host moves them record by record; the client reads them when
/// it gives a partition up.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    partitions: Arc<Mutex<BTreeMap<PartitionId, Arc<AtomicI64>>>>,
}

/// The position in one partition.
#[derive(Clone, Debug)]
pub struct Position(Arc<AtomicI64>);

/// Nothing processed yet.
const NONE: i64 = -1;

impl Positions {
    /// The position in `partition`, which begins anew.
    pub fn begin(&self, partition: PartitionId) -> Position {
        let position = Position(Arc::new(AtomicI64::new(NONE)));
        self.lock().insert(partition, position.0.clone());
        position
    }

    /// The next offset to process in `partition`, once something was processed there.
    pub fn next(&self, partition: PartitionId) -> Option<Offset> {
        let next = self.lock().get(&partition)?.load(Ordering::Acquire);
        (next != NONE).then_some(Offset(next))
    }

    /// Forgets `partition`.
    pub fn end(&self, partition: PartitionId) {
        self.lock().remove(&partition);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Arc<AtomicI64>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Position {
    /// Moves on to `next`.
    #[inline]
    pub fn advance(&self, next: Offset) {
        self.0.store(next.0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_known_from_the_first_record_until_the_partition_is_given_up() {
        let positions = Positions::default();
        let position = positions.begin(PartitionId(3));
        assert_eq!(positions.next(PartitionId(3)), None);
        position.advance(Offset(8));
        assert_eq!(positions.next(PartitionId(3)), Some(Offset(8)));
        positions.end(PartitionId(3));
        assert_eq!(positions.next(PartitionId(3)), None);
    }
}

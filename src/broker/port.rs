//! The ports: the interface of a cluster to hosts, the injection of faults into it, and the classes of client errors.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::positions::Positions;
use super::producer_port::ProducerPort;
use crate::base::{ConsumerId, Incarnation, Offset, PartitionId, PoolId, RecordView, RunId, Time};
use crate::fault::ClusterFault;
use crate::measure::{PartitionBrokers, RequestLog};

/// Makes the ports to a cluster, and injects faults into it. Shared by all hosts.
pub trait ClusterPort: Send + Sync {
    /// Makes a consumer's client. To be called on the thread that will poll it. Does not wait for the broker.
    ///
    /// # Errors
    /// The client library refuses to make the client.
    fn consumer(&self, spec: &ConsumerSpec) -> Result<Box<dyn ConsumerPort>, BrokerError>;

    /// Makes the clients of consumers that share a thread, for client libraries that let the caller wait.
    ///
    /// # Errors
    /// This client library has threads of its own, or the operating system has no more descriptors.
    fn consumer_loop(&self) -> Result<Box<dyn ConsumerLoop>, BrokerError> {
        Err(BrokerError::fatal("each client of this library has threads of its own"))
    }

    /// Makes a pool's client or clients. To be called on the thread that will use them.
    ///
    /// # Errors
    /// The client library refuses to make a client.
    fn producer(&self, pool: PoolId) -> Result<Box<dyn ProducerPort>, BrokerError>;

    /// Makes a client that commits offsets for `group`, without being a member of it.
    ///
    /// # Errors
    /// The client library refuses to make the client.
    fn committer(&self, group: &str) -> Result<Box<dyn Committer>, BrokerError>;

    /// Makes a client that queries end offsets.
    ///
    /// # Errors
    /// The client library refuses to make the client.
    fn end_offsets(&self) -> Result<Box<dyn EndOffsets>, BrokerError>;

    /// Makes a client that queries the topic; `None` if the topic never changes.
    ///
    /// # Errors
    /// The client library refuses to make the client.
    fn topic(&self) -> Result<Option<Box<dyn TopicPort>>, BrokerError> {
        Ok(None)
    }

    /// Sets the new number of the topic's partitions. Existing clients may then be queried about the new ones as well.
    fn grown(&self, _partitions: u32) {}

    /// The counts of requests of this cluster's clients; `None` if the clients do not count.
    fn requests(&self) -> Option<Arc<RequestLog>> {
        None
    }

    /// Injects a fault into the cluster, or heals it. May block for up to 10 s, so it must not be called where an async
    /// runtime runs. A plan with a fault that the cluster does not support is refused before the run.
    ///
    /// # Errors
    /// The cluster refuses the fault, does not support it, or does not answer in time.
    fn inject(&self, cluster_fault: &ClusterFault) -> Result<(), BrokerError> {
        Err(BrokerError::fatal(format!("this cluster cannot do {cluster_fault:?}")))
    }
}

/// The consumer that a client is for.
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
    /// The member.
    pub consumer: ConsumerId,
    /// The number of its start.
    pub incarnation: Incarnation,
    /// The positions to commit on revocation, before a partition gets another owner. The host updates them.
    pub positions: Positions,
    /// Set when the member has crashed: nothing may be committed for it after that.
    pub crashed: Arc<AtomicBool>,
}

/// A command from a host to a consumer's client.
#[derive(Clone, Debug)]
pub enum ConsumerCommand {
    /// Read this partition, from this offset on.
    Assign(PartitionId, Offset),
    /// Continue to read this partition at this offset. Records that were received and not handed over are dropped. For
    /// group members as well.
    Seek(PartitionId, Offset),
    /// Stop reading this partition.
    Unassign(PartitionId),
    /// Commit these positions (next offsets to process), without waiting.
    Commit(BTreeMap<PartitionId, Offset>),
}

/// A consumer's client, on the thread that owns it. The time is an argument of each call.
pub trait ConsumerPort {
    /// Accepts a command. Later polls show its effects.
    ///
    /// # Errors
    /// The client refuses the command.
    fn submit(&mut self, now: Time, command: ConsumerCommand) -> Result<(), BrokerError>;

    /// Waits at most `wait` for a first event. Then hands over all that has arrived, without waiting, until nothing is
    /// left or `events` returns [`Flow::Stop`]. Returns the time at its end. The wait of a simulated port is always
    /// zero, and its polls take no time.
    fn poll(&mut self, now: Time, wait: Duration, events: &mut dyn ConsumerEvents) -> Time;

    /// The positions in those partitions whose end the client has reached, with everything before handed over: the next
    /// offset that it would hand over. The position is more than one after the last record if offsets without a record
    /// follow: transaction markers, aborted records, records that compaction has removed.
    ///
    /// May query the client's own threads, so it should not be called at each poll. Empty for a client that does not
    /// report such positions, and where logs have nothing but records.
    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        BTreeMap::new()
    }

    /// True if the client has records or other events that a poll would hand over without a wait. False if that is not
    /// known.
    fn has_events(&self) -> bool {
        false
    }

    /// Closes the client, in at most about `limit`. Returns true if it closed in time.
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

/// The clients of several consumers, for which one thread waits: an event loop. The time is an argument of each call.
pub trait ConsumerLoop: Send {
    /// Adds a client. Its number is unique until the client is closed. Its `poll` never waits.
    fn add(&mut self, spec: &ConsumerSpec) -> (usize, Box<dyn ConsumerPort>);

    /// Waits at most `wait` until data arrive for one of the clients, and appends the numbers of the clients with
    /// something to hand over. Returns the time at its end.
    fn wait(&mut self, now: Time, wait: Duration, ready: &mut Vec<usize>) -> Time;

    /// A function that ends a wait from another thread.
    ///
    /// # Errors
    /// The operating system has no more descriptors, or this was called before.
    fn waker(&self) -> io::Result<Arc<dyn Fn() + Send + Sync>>;
}

/// Tells a poll if it continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Hand over the next event.
    More,
    /// Return to the host first.
    Stop,
}

/// Receives the events of a consumer port.
pub trait ConsumerEvents {
    /// A record, in the client's memory. `arrived` is the time at which its response reached the client, where the
    /// record has waited since. A client that [does not know](crate::base::ClientKind::fetch_is_timed) passes the time
    /// at which it hands the record over.
    fn record(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        record: &RecordView<'_>,
        arrived: Time,
    ) -> Flow;
    /// Sets the current time, which is later than the arrival of the next record's response. From a client in real
    /// time, where time passes between two records of a response.
    fn present(&mut self, now: Time);
    /// The end of a partition was reached: the client has fetched from it.
    fn end_of_partition(&mut self, partition: PartitionId);
    /// The group has assigned partitions to this member, in addition to those it has.
    fn assigned(&mut self, now: Time, partitions: &[PartitionId]);
    /// The group has revoked partitions of this member. Their positions are committed already.
    fn revoked(&mut self, now: Time, partitions: &[PartitionId]);
    /// The client has reported an error.
    fn error(&mut self, now: Time, error: BrokerError);
}

/// Queries the topic, independently of other clients.
pub trait TopicPort: Send {
    /// The size of the topic. May block for some seconds.
    ///
    /// # Errors
    /// The cluster does not answer in time, or refuses the request.
    fn size(&mut self) -> Result<TopicSize, BrokerError>;
}

/// The number of partitions of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSize {
    /// All partitions; 0 if the topic does not exist.
    pub partitions: u32,
    /// Partitions with a leader, counted from partition 0 to the first one without.
    pub led: u32,
    /// The brokers of each partition, where they are known.
    pub brokers: Vec<(PartitionId, PartitionBrokers)>,
}

/// The group of a run's members.
pub fn run_group(run: RunId) -> String {
    format!("lanekeeper-{run}")
}

/// Commits offsets for a group, and queries them, independently of any consumer.
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

/// Queries the ends of partitions, independently of any consumer.
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

/// Low and high watermark of partitions: the first offset in the log, and its end.
pub type Watermarks = BTreeMap<PartitionId, (Offset, Offset)>;

/// The class of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The client recovers by itself. The error is counted and never ends a consumer.
    Informational,
    /// The position does not exist: data loss, truncation, a topic that was created again. A restart cannot help.
    Position,
    /// A missing right, or a missing resource. A restart cannot help.
    Denied,
    /// A record that can never be processed. A restart cannot help, but skipping the record may.
    Poison,
    /// The client cannot be used any more. A new one may work.
    Fatal,
    /// A static member's instance id is not released yet. A new client gets it once the predecessor has left its group,
    /// or its session is over.
    Unreleased,
    /// The processing of a record has failed, not the client.
    Processing,
}

impl ErrorClass {
    /// True if the same error would follow a restart.
    pub fn is_definite(self) -> bool {
        matches!(self, ErrorClass::Position | ErrorClass::Denied)
    }
}

/// An error with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerError {
    /// The class of the error.
    pub class: ErrorClass,
    /// The message of the client.
    pub message: String,
}

impl BrokerError {
    /// An error after which the client cannot be used.
    pub fn fatal(message: impl Into<String>) -> BrokerError {
        BrokerError { class: ErrorClass::Fatal, message: message.into() }
    }

    /// The error of a static member whose predecessor has not left the group (`UNRELEASED_INSTANCE_ID`).
    pub(crate) fn unreleased() -> BrokerError {
        let message = "the broker has not released the instance id of this static member (UnreleasedInstanceId): it \
                       does so once the last holder has left the group, or the session of that is over \
                       (group.consumer.session.timeout.ms of the brokers, 45s by default); a member with \
                       `consumers.membership = \"dynamic\"` or `consumers.protocol = \"classic\"` does not wait for that";
        BrokerError { class: ErrorClass::Unreleased, message: message.to_owned() }
    }

    /// An error of the processing of a record.
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

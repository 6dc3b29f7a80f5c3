//! The reasons why a cluster cannot be prepared for a run.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::connection::ConnectionFailure;
use crate::base::{batch_bytes, batch_payload_max, format_count, format_duration};

/// The reason why a cluster cannot be prepared for a run. Every message contains a remedy.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SetupError {
    /// The user has interrupted the run.
    #[error("interrupted")]
    Interrupted,
    /// No broker can be reached.
    #[error("no connection to the cluster at `{bootstrap}`: {failure} (tried for {}); {}", seconds(*.waited), .failure.remedy())]
    NoConnection {
        /// The addresses that were tried.
        bootstrap: String,
        /// The failure of the connection.
        failure: ConnectionFailure,
        /// The time spent on attempts.
        waited: Duration,
    },
    /// The cluster answers, and advertises brokers at addresses that cannot be reached.
    #[error(
        "the cluster at `{bootstrap}` advertises {}, which cannot be reached from here; correct `advertised.listeners` \
         of that broker, or use a listener in `--bootstrap` that is meant for clients on this machine",
        addresses(.unreachable)
    )]
    Advertised {
        /// The addresses that answered.
        bootstrap: String,
        /// The brokers that cannot be reached.
        unreachable: Vec<UnreachableBroker>,
    },
    /// The topic is to have more copies than there are brokers.
    #[error(
        "the cluster has {}, and topic `{topic}` is to have {wanted} copies; use `--set \
         topic.replication_factor={found}`, or start more brokers",
        counted_brokers(*.found)
    )]
    TooFewBrokers {
        /// The topic.
        topic: String,
        /// The number of brokers in the cluster.
        found: usize,
        /// The replication factor of the scenario.
        wanted: u32,
    },
    /// The topic exists with another number of partitions.
    #[error(
        "topic `{topic}` exists with {found} partitions, the scenario has {wanted}; an existing topic is never \
         altered: use `--set topic.partitions={found}`, or another `topic.name`"
    )]
    OtherPartitions {
        /// The topic.
        topic: String,
        /// The number of partitions it has.
        found: usize,
        /// The number of partitions in the scenario.
        wanted: u32,
    },
    /// The topic exists, and the user has not allowed the run to write into it.
    #[error(
        "topic `{topic}` exists{}, and this run would write into it; add `--allow-existing-topic` if that is \
         meant (`check --connect` shows which groups read it), or leave `topic.name` out for a topic of the run's own",
        holding(*.records)
    )]
    NoConsent {
        /// The topic.
        topic: String,
        /// The number of its records; `None` if it is not known.
        records: Option<u64>,
    },
    /// The run only reads, and the topic does not exist.
    #[error(
        "topic `{topic}` does not exist, and a run with `load.producers = 0` creates none; correct `topic.name`"
    )]
    NothingToRead {
        /// The topic.
        topic: String,
    },
    /// The topic could not be created.
    #[error("topic `{topic}` cannot be created: {reason}; {remedy}")]
    NotCreated {
        /// The topic.
        topic: String,
        /// The broker's error.
        reason: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// The topic does not accept records of this size.
    #[error(
        "`load.payload` of {payload} B is more than topic `{topic}` takes: its `max.message.bytes` is {limit}; the \
         largest payload is {largest}B, or raise `max.message.bytes` of the topic"
    )]
    TooLarge {
        /// The topic.
        topic: String,
        /// Bytes of a record's payload.
        payload: u64,
        /// Bytes of the largest batch that the topic accepts.
        limit: u64,
        /// Bytes of the largest payload that fits.
        largest: u64,
    },
    /// The user lacks a right.
    #[error("{0}")]
    Denied(String),
    /// The group has no coordinator.
    #[error("group `{group}` has no coordinator after {}: {reason}", seconds(*.waited))]
    NoCoordinator {
        /// The group.
        group: String,
        /// The time spent on attempts.
        waited: Duration,
        /// The reason, if it is known, and the remedy.
        reason: String,
    },
    /// The client library refuses the client's properties. No broker is involved.
    #[error(
        "{reason}; check the properties in `[client]`, in the client file and in LANEKEEPER_CLIENT_* of the \
         environment, and the files they name"
    )]
    NotMade {
        /// The client library's text, without values from outside the scenario.
        reason: String,
    },
    /// Any other step that failed.
    #[error("{what} failed after {}: {reason}; check the cluster's health, or raise `run.startup`", seconds(*.waited))]
    Failed {
        /// The step.
        what: &'static str,
        /// The error of the broker or the client library.
        reason: String,
        /// The time spent on attempts.
        waited: Duration,
    },
}

/// A broker that cannot be reached at the address it advertises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreachableBroker {
    /// The `node.id`.
    pub id: i32,
    /// `host:port`.
    pub address: String,
    /// The error of the connection attempt.
    pub reason: String,
}

impl SetupError {
    /// Checks that a topic whose batches have at most `limit` bytes accepts records with this payload, in bytes. `None`
    /// means that the limit is not known, and the check succeeds.
    ///
    /// # Errors
    /// A batch with one such record is larger than the limit.
    pub(in crate::broker) fn unless_it_fits(
        topic: &str,
        payload: u64,
        limit: Option<u64>,
    ) -> Result<(), SetupError> {
        match limit.filter(|limit| batch_bytes(payload) > *limit) {
            None => Ok(()),
            Some(limit) => {
                let (topic, largest) = (topic.to_owned(), batch_payload_max(limit));
                Err(SetupError::TooLarge { topic, payload, limit, largest })
            }
        }
    }
}

impl fmt::Display for UnreachableBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {} as `{}` ({})", self.id, self.address, self.reason)
    }
}

/// Most brokers that a message names.
const NAMED_MAX: usize = 3;

fn addresses(unreachable: &[UnreachableBroker]) -> String {
    let mut text = unreachable
        .iter()
        .take(NAMED_MAX)
        .map(UnreachableBroker::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if unreachable.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", unreachable.len() - NAMED_MAX));
    }
    text
}

/// The number of records in a topic, for a message; empty for `None`.
fn holding(records: Option<u64>) -> String {
    records.map_or(String::new(), |records| format!(" with {} records", format_count(records)))
}

/// A number of brokers, for a message.
pub(in crate::broker) fn counted_brokers(count: usize) -> String {
    format!("{count} broker{}", if count == 1 { "" } else { "s" })
}

/// A duration for a message, in tenths of a second from one second on.
fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format_duration(Duration::from_millis(time.as_millis() as u64)),
        seconds => format!("{seconds:.1} s"),
    }
}

//! Why a cluster cannot be prepared for a run.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::connection::ConnectionFailure;
use crate::base::{batch_bytes, batch_payload_max, format_count, format_duration};

/// Why a cluster cannot be prepared for a run. Every message says what to do about it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SetupError {
    /// The user has interrupted.
    #[error("interrupted")]
    Interrupted,
    /// No broker can be talked to.
    #[error("no connection to the cluster at `{bootstrap}`: {failure} (tried for {}); {}", seconds(*.waited), .failure.remedy())]
    NoConnection {
        /// The addresses that were tried.
        bootstrap: String,
        /// What is in the way.
        failure: ConnectionFailure,
        /// How long it was tried.
        waited: Duration,
    },
    /// The cluster answers, and names brokers at addresses that cannot be reached.
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
        /// Brokers that are there.
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
        /// Its name.
        topic: String,
        /// Its partitions.
        found: usize,
        /// The scenario's.
        wanted: u32,
    },
    /// The topic exists, and the run was not allowed to write into it.
    #[error(
        "topic `{topic}` exists{}, and this run would write into it; add `--allow-existing-topic` if that is \
         meant (`check --connect` shows which groups read it), or leave `topic.name` out for a topic of the run's own",
        holding(*.records)
    )]
    NoConsent {
        /// Its name.
        topic: String,
        /// Its records, if they are known.
        records: Option<u64>,
    },
    /// The run only reads, and the topic does not exist.
    #[error(
        "topic `{topic}` does not exist, and a run with `load.producers = 0` creates none; correct `topic.name`"
    )]
    NothingToRead {
        /// Its name.
        topic: String,
    },
    /// The topic could not be created.
    #[error("topic `{topic}` cannot be created: {reason}; {remedy}")]
    NotCreated {
        /// Its name.
        topic: String,
        /// What the broker said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The topic does not take records of this size.
    #[error(
        "`load.payload` of {payload} B is more than topic `{topic}` takes: its `max.message.bytes` is {limit}; the \
         largest payload is {largest}B, or raise `max.message.bytes` of the topic"
    )]
    TooLarge {
        /// The topic.
        topic: String,
        /// Bytes of a record's payload.
        payload: u64,
        /// Bytes of a batch the topic takes.
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
        /// Its name.
        group: String,
        /// How long one was asked for.
        waited: Duration,
        /// Why, as far as it is known, and what to do.
        reason: String,
    },
    /// The client does not take its properties, which no broker has to do with.
    #[error(
        "{reason}; check the properties in `[client]`, in the client file and in LANEKEEPER_CLIENT_* of the \
         environment, and the files they name"
    )]
    NotMade {
        /// What the client library said, without values from outside the scenario.
        reason: String,
    },
    /// Anything else that did not succeed.
    #[error("{what} failed after {}: {reason}; check the cluster's health, or raise `run.startup`", seconds(*.waited))]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What the broker or the client library said.
        reason: String,
        /// How long it was tried.
        waited: Duration,
    },
}

/// A broker that cannot be reached at the address it advertises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreachableBroker {
    /// Its id.
    pub id: i32,
    /// `host:port`.
    pub address: String,
    /// Why not.
    pub reason: String,
}

impl SetupError {
    /// Checks that a topic whose batches have at most `limit` bytes takes records with this payload, in bytes. A limit
    /// that is not known refuses none.
    ///
    /// # Errors
    /// A batch with one such record is larger.
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

/// Brokers that a message names.
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

/// How many records a topic has, for a message.
fn holding(records: Option<u64>) -> String {
    records.map_or(String::new(), |records| format!(" with {} records", format_count(records)))
}

/// A number of brokers, for a message.
pub(in crate::broker) fn counted_brokers(count: usize) -> String {
    format!("{count} broker{}", if count == 1 { "" } else { "s" })
}

/// A length of time for a message, in tenths of a second from one second on.
fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format_duration(Duration::from_millis(time.as_millis() as u64)),
        seconds => format!("{seconds:.1} s"),
    }
}

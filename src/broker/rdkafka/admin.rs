//! Setting the stage: the topic, its start offsets, the group's first commits, and cleaning up.
//!
//! The one rule: a topic this run did not create is never altered and never deleted.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset as RdOffset, TopicPartitionList};
use thiserror::Error;

use super::config::ClientSettings;
use super::end_offsets::RdEndOffsets;
use super::error::describe;
use super::told::Told;
use crate::base::Offset;
use crate::broker::BrokerError;
use crate::plan::{StartAt, TopicPlan};

/// Why the stage could not be set. Every message says what to do about it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SetupError {
    /// There is no answer.
    #[error(
        "no broker answers at `{bootstrap}` within {} s; check the address and port, and that the cluster is up",
        .waited.as_secs()
    )]
    NoBroker {
        /// Where it looked.
        bootstrap: String,
        /// For how long.
        waited: Duration,
    },
    /// The topic is there with another number of partitions.
    #[error(
        "topic `{topic}` exists with {found} partitions, the scenario has {wanted}; an existing topic is never \
         altered: use `--set topic.partitions={found}`, or another `topic.name`"
    )]
    OtherPartitions {
        /// Its name.
        topic: String,
        /// As it is.
        found: usize,
        /// As the scenario wants it.
        wanted: u32,
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
    /// The client does not take its properties, which no broker has to do with.
    #[error(
        "{reason}; check the properties in `[client]`, in the client file and in LANEKEEPER_CLIENT_* of the \
         environment, and the files they name"
    )]
    NotMade {
        /// What the client library said, without values from outside the scenario.
        reason: String,
    },
    /// Anything else the broker refused.
    #[error("{what} failed: {reason}; check the cluster's health and this user's permissions")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// What the broker said.
        reason: String,
    },
}

/// An administrator of the cluster for one run.
pub struct Admin {
    settings: ClientSettings,
    bootstrap: String,
    topic: String,
}

/// How long a single question may take.
const STEP: Duration = Duration::from_secs(10);

impl Admin {
    /// An administrator of `topic` on the cluster at `bootstrap`.
    pub fn new(settings: ClientSettings, bootstrap: &str, topic: &str) -> Admin {
        Admin { settings, bootstrap: bootstrap.to_owned(), topic: topic.to_owned() }
    }

    /// Makes sure the topic is there with the right number of partitions. Returns whether it was
    /// created. Blocks for at most `limit`.
    pub async fn ensure_topic(
        &self,
        plan: &TopicPlan,
        limit: Duration,
    ) -> Result<bool, SetupError> {
        let found = self.partitions_found(limit)?;
        match found {
            Some(found) if found == plan.partitions as usize => Ok(false),
            Some(found) => Err(SetupError::OtherPartitions {
                topic: self.topic.clone(),
                found,
                wanted: plan.partitions,
            }),
            None => self.create_topic(plan, limit).await.map(|()| true),
        }
    }

    /// The topic's number of partitions, `None` when it does not exist.
    fn partitions_found(&self, limit: Duration) -> Result<Option<usize>, SetupError> {
        let client = self.observer()?;
        let metadata =
            client.fetch_metadata(Some(&self.topic), limit).map_err(|error| {
                match error.rdkafka_error_code() {
                    Some(
                        RDKafkaErrorCode::BrokerTransportFailure
                        | RDKafkaErrorCode::AllBrokersDown
                        | RDKafkaErrorCode::Resolve
                        | RDKafkaErrorCode::OperationTimedOut,
                    ) => SetupError::NoBroker { bootstrap: self.bootstrap.clone(), waited: limit },
                    _ => refused("asking for the topic", &error),
                }
            })?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        Ok(topic.filter(|topic| topic.error().is_none()).map(|topic| topic.partitions().len()))
    }

    async fn create_topic(&self, plan: &TopicPlan, limit: Duration) -> Result<(), SetupError> {
        let replication = TopicReplication::Fixed(plan.replication_factor as i32);
        let retention_ms = plan.retention.as_millis().to_string();
        let retention_bytes = plan.retention_bytes.to_string();
        let min_insync = plan.min_insync_replicas.to_string();
        let topic = NewTopic::new(&self.topic, plan.partitions as i32, replication)
            .set("retention.ms", &retention_ms)
            .set("retention.bytes", &retention_bytes)
            .set("min.insync.replicas", &min_insync);
        let results = self
            .admin()?
            .create_topics([&topic], &options())
            .await
            .map_err(|error| refused("creating the topic", &error))?;
        if let Some(Err((name, code))) = results.into_iter().next() {
            return Err(SetupError::NotCreated {
                topic: name,
                reason: code.to_string(),
                remedy: remedy(code),
            });
        }
        self.await_leaders(plan.partitions, limit)
    }

    /// Waits until every partition has a leader.
    fn await_leaders(&self, partitions: u32, limit: Duration) -> Result<(), SetupError> {
        let client = self.observer()?;
        again(limit, || {
            let metadata = client
                .fetch_metadata(Some(&self.topic), STEP)
                .map_err(|error| refused("waiting for the partitions' leaders", &error))?;
            let led = metadata.topics().first().map_or(0, |topic| {
                topic.partitions().iter().filter(|partition| partition.leader() >= 0).count()
            });
            if led == partitions as usize {
                return Ok(());
            }
            Err(SetupError::Refused {
                what: "waiting for the partitions' leaders",
                reason: format!("only {led} of {partitions} partitions have a leader"),
            })
        })
    }

    /// The cluster's own id, if it tells one.
    pub fn cluster_id(&self, limit: Duration) -> Option<String> {
        self.observer().ok()?.client().fetch_cluster_id(limit)
    }

    /// Where each partition's reading starts, as numbers, by partition id. A topic that has just been created
    /// answers only after a moment, so this asks again for up to `limit`.
    pub fn start_offsets(
        &self,
        start: StartAt,
        partitions: u32,
        limit: Duration,
    ) -> Result<Vec<Offset>, SetupError> {
        let what = match start {
            StartAt::Beginning => RdOffset::Beginning,
            StartAt::End => RdOffset::End,
        };
        let refused =
            |reason: String| SetupError::Refused { what: "asking for the start offsets", reason };
        let client = RdEndOffsets::new(&self.settings, &self.topic, Arc::new(partitions.into()))
            .map_err(|error| refused(error.to_string()))?;
        again(limit, || {
            let asked = client.ask(what).map_err(|error| refused(error.to_string()))?;
            match asked.len() {
                all if all == partitions as usize => Ok(asked.into_values().collect()),
                some => Err(refused(format!("only {some} of {partitions} partitions answered"))),
            }
        })
    }

    /// Commits the start offsets for the run's group while it is still empty. A coordinator that is just being
    /// made (the first group of a cluster) is asked again for up to `limit`.
    pub fn commit_starts(&self, starts: &[Offset], limit: Duration) -> Result<(), SetupError> {
        let refused = |error: &KafkaError| refused("committing the start offsets", error);
        let client = self.client(&self.settings.committer())?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in starts.iter().enumerate() {
            list.add_partition_offset(&self.topic, partition as i32, RdOffset::Offset(offset.0))
                .map_err(|error| refused(&error))?;
        }
        again(limit, || client.commit(&list, CommitMode::Sync).map_err(|error| refused(&error)))
    }

    /// Deletes the topic. Only ever called for one this run created.
    pub async fn delete_topic(&self) -> Result<(), SetupError> {
        let results = self
            .admin()?
            .delete_topics(&[&self.topic], &options())
            .await
            .map_err(|error| refused("deleting the run's topic", &error))?;
        match results.into_iter().next() {
            Some(Err((_, code))) => Err(SetupError::Refused {
                what: "deleting the run's topic",
                reason: code.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn observer(&self) -> Result<BaseConsumer<Told>, SetupError> {
        self.client(&self.settings.observer("setup"))
    }

    fn admin(&self) -> Result<AdminClient<Told>, SetupError> {
        self.made(self.settings.create(&self.settings.observer("admin")))
    }

    fn client(&self, config: &ClientConfig) -> Result<BaseConsumer<Told>, SetupError> {
        self.made(self.settings.create(config))
    }

    fn made<T>(&self, made: Result<T, BrokerError>) -> Result<T, SetupError> {
        made.map_err(|error| SetupError::NotMade { reason: error.message })
    }
}

fn refused(what: &'static str, error: &KafkaError) -> SetupError {
    SetupError::Refused { what, reason: describe(error) }
}

/// Between two tries of something that needs a moment.
const PAUSE: Duration = Duration::from_millis(100);

/// Tries until it works, for about `limit`; the last error counts.
fn again<T>(
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T, SetupError>,
) -> Result<T, SetupError> {
    let tries = limit.as_millis() / PAUSE.as_millis();
    for _ in 0..tries {
        if let Ok(done) = attempt() {
            return Ok(done);
        }
        std::thread::sleep(PAUSE);
    }
    attempt()
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(STEP)).operation_timeout(Some(STEP))
}

fn remedy(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "give this user the right to create topics, or create it yourself and name it with `topic.name`"
        }
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "the cluster has fewer brokers than `topic.replication_factor`"
        }
        RDKafkaErrorCode::PolicyViolation => {
            "the cluster has a policy for new topics: create it yourself and name it with `topic.name`"
        }
        RDKafkaErrorCode::InvalidTopic => {
            "choose another `topic.name` (letters, digits, `.`, `_`, `-`)"
        }
        _ => "create it yourself and name it with `topic.name`, or check the cluster's health",
    }
}

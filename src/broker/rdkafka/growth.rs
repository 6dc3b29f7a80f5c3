//! How many partitions a topic has, more of them, and fewer records.
//!
//! Producers' clients learn of new partitions: to one it has not heard of, a client sends nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::{Offset as RdOffset, TopicPartitionList};
use tokio::runtime::Runtime;

use super::client_log::Told;
use super::config::ClientSettings;
use super::error::classify;
use crate::base::PartitionId;
use crate::broker::{BrokerError, ErrorClass, TopicPort, TopicSize};

/// How long the cluster may take.
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
    let admin = settings.create(&settings.observer("admin"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| BrokerError::fatal(format!("no runtime: {error}")))?;
    let options = AdminOptions::new().request_timeout(Some(STEP)).operation_timeout(Some(STEP));
    Ok((admin, runtime, options))
}

/// Gives `topic` partitions until it has `total`. Blocks.
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

/// Looks at a topic with a client of its own.
pub(super) struct RdTopic {
    client: BaseConsumer<Told>,
    topic: String,
}

impl RdTopic {
    pub(super) fn new(settings: &ClientSettings, topic: &str) -> Result<RdTopic, BrokerError> {
        let client = settings.create(&settings.observer("topic"))?;
        Ok(RdTopic { client, topic: topic.to_owned() })
    }
}

impl TopicPort for RdTopic {
    fn size(&mut self) -> Result<TopicSize, BrokerError> {
        size(self.client.client(), &self.topic, STEP).map_err(|error| classify(&error))
    }
}

/// Asks for the topic's metadata; afterwards the client knows every partition that was found.
pub(super) fn size<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> Result<TopicSize, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), limit)?;
    size_in(&metadata, topic).map_err(KafkaError::MetadataFetch)
}

/// The topic as metadata have it; nothing of one that does not exist.
pub(super) fn size_in(metadata: &Metadata, topic: &str) -> Result<TopicSize, RDKafkaErrorCode> {
    let none = TopicSize { partitions: 0, led: 0 };
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
    Ok(TopicSize { partitions: found.partitions().len() as u32, led: gapless as u32 })
}

/// How long a client may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Questions to a client, and what lies between two of them, before it starts all over.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// What a pool's clients know.
#[derive(Debug, Default)]
pub(super) struct Learning {
    /// Partitions every client knows.
    known: Arc<AtomicU32>,
    under_way: Arc<AtomicBool>,
}

impl Learning {
    /// Whether every client knows partitions below `partitions`; if not, they are asked to look beside their work.
    pub(super) fn follow<C: ProducerContext + 'static>(
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
        let learning = std::thread::Builder::new().name("learning".to_owned()).spawn(move || {
            if clients.iter().all(|client| knows(client, &topic, partitions)) {
                known.fetch_max(partitions, Ordering::AcqRel);
            }
            under_way.store(false, Ordering::Release);
        });
        if learning.is_err() {
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

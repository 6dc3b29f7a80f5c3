//! A producer port on librdkafka's `BaseProducer`.
//!
//! Delivery reports are served by a thread of the port's own, so that an acknowledgement carries the time
//! it came and not the time the pool next looked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig,
};
use rdkafka::{ClientContext, Message};

use super::config::ClientSettings;
use super::error::{describe, outcome};
use crate::base::{Clock, PartitionId, PoolId, ProducerId, Time, sent_time};
use crate::broker::{BrokerError, ProducerPort, SendError, SendRecord};
use crate::measure::{Ack, Outcome};

/// A pool's clients and the thread that serves their delivery reports.
pub(super) struct RdProducer {
    clients: Arc<Vec<BaseProducer<Context>>>,
    reports: Arc<Reports>,
    topic: String,
    pools: u32,
    stop: Arc<AtomicBool>,
    pump: Option<JoinHandle<()>>,
}

impl RdProducer {
    /// Creates `clients` clients: one for the pool, or one for each of its producers.
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        pool: PoolId,
        pools: u32,
        clients: usize,
        clock: Clock,
    ) -> Result<RdProducer, BrokerError> {
        let reports = Arc::new(Reports::default());
        let client = |i: usize| {
            let context = Context { reports: reports.clone(), clock };
            settings
                .producer(&format!("pool-{pool}-{i}"))
                .create_with_context(context)
                .map_err(|error| BrokerError::fatal(format!("client not created: {error}")))
        };
        let clients: Arc<Vec<_>> = Arc::new((0..clients).map(client).collect::<Result<_, _>>()?);
        let stop = Arc::new(AtomicBool::new(false));
        let pump = {
            let (clients, stop) = (clients.clone(), stop.clone());
            std::thread::Builder::new()
                .name(format!("acks-{pool}"))
                .spawn(move || pump(&clients, &stop))
                .map_err(|error| BrokerError::fatal(format!("no thread: {error}")))?
        };
        Ok(RdProducer { clients, reports, topic: topic.to_owned(), pools, stop, pump: Some(pump) })
    }
}

/// Serves delivery reports until told to stop.
fn pump(clients: &[BaseProducer<Context>], stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        if let [client] = clients {
            client.poll(Duration::from_millis(50));
        } else {
            // With a client per producer, reports are looked for once a millisecond.
            clients.iter().for_each(|client| client.poll(Duration::ZERO));
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

const SEQUENCE_BITS: u32 = 40;

fn token(producer: ProducerId, sequence: u64) -> usize {
    ((producer.0 as usize) << SEQUENCE_BITS) | (sequence as usize & ((1 << SEQUENCE_BITS) - 1))
}

fn from_token(token: usize) -> (ProducerId, u64) {
    (ProducerId((token >> SEQUENCE_BITS) as u32), (token & ((1 << SEQUENCE_BITS) - 1)) as u64)
}

impl ProducerPort for RdProducer {
    #[inline]
    fn send(&mut self, record: &SendRecord<'_>) -> Result<(), SendError> {
        let client = match self.clients.as_slice() {
            [client] => client,
            clients => &clients[(record.producer.0 / self.pools) as usize % clients.len()],
        };
        let message: BaseRecord<'_, (), [u8], usize> =
            BaseRecord::with_opaque_to(&self.topic, token(record.producer, record.sequence))
                .partition(record.partition.0 as i32)
                .payload(record.payload);
        client.send(message).map_err(|(error, _)| match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => SendError::Full,
            error => SendError::Refused(describe(&error)),
        })
    }

    fn acks(&mut self, acks: &mut Vec<Ack>) {
        let mut noted = self.reports.lock();
        if acks.is_empty() {
            // The pump waits for this lock: give it the other buffer instead of copying its own.
            std::mem::swap(acks, &mut noted.acks);
        } else {
            acks.append(&mut noted.acks);
        }
    }

    fn errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.reports.lock().errors)
    }

    fn give_up(&mut self, limit: Duration) {
        for client in self.clients.iter() {
            client.purge(PurgeConfig::default().queue().inflight());
        }
        // The pump serves the reports of what was purged; this only waits for them.
        let steps = limit.as_millis().max(1) / 10 + 1;
        for _ in 0..steps {
            if self.clients.iter().all(|client| client.in_flight_count() == 0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RdProducer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(pump) = self.pump.take() {
            let _ = pump.join();
        }
    }
}

/// What the delivery callback noted since the port last looked.
#[derive(Default)]
struct Reports(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    acks: Vec<Ack>,
    errors: Vec<String>,
}

/// Errors kept until the port looks; more of them would say nothing new.
const ERRORS_MAX: usize = 1000;

impl Reports {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, name: String) {
        let mut noted = self.lock();
        if noted.errors.len() < ERRORS_MAX {
            noted.errors.push(name);
        }
    }
}

/// What librdkafka calls back into. Must not panic: its callers are C.
struct Context {
    reports: Arc<Reports>,
    clock: Clock,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "client error");
        self.reports.error(describe(&error));
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let (message, outcome) = match result {
            Ok(message) => (message, Outcome::Acked),
            Err((error, message)) => {
                self.reports.error(describe(error));
                (message, outcome(error))
            }
        };
        let (producer, sequence) = from_token(token);
        let ack = Ack {
            producer,
            partition: PartitionId(message.partition() as u32),
            sequence,
            sent: message.payload().and_then(sent_time).unwrap_or(Time::ZERO),
            at: self.clock.now(),
            outcome,
        };
        self.reports.lock().acks.push(ack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_record() {
        for (producer, sequence) in [(0, 0), (1023, 7), (999_999, (1 << 40) - 1)] {
            assert_eq!(
                from_token(token(ProducerId(producer), sequence)),
                (ProducerId(producer), sequence)
            );
        }
    }
}

//! A producer port on librdkafka's `BaseProducer`.
//!
//! A thread of the port is always blocked in the client's `poll` and serves delivery reports as they come. The callback
//! reads the clock, so that the time of an acknowledgement does not depend on what the pool does. `BaseProducer::poll`
//! does not return after an event, but serves events until its time is over. So only the callback knows the time of
//! each one.
//!
//! One thread cannot block in several clients. With a client per producer it polls each of them in turn. Every answer
//! enters the ledger, and its time is not used.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig,
};
use rdkafka::{ClientContext, Message};

use super::error::{Told, describe_while, outcome};
use super::offsets::MetadataRefresh;
use crate::base::{
    Clock, Headers, Offset, PartitionId, PoolId, ProducerId, RecordView, STAMP_HEADER, Time,
    sent_time,
};
use crate::broker::settings::ClientSettings;
use crate::broker::setup::Doing;
use crate::broker::{Answers, BrokerError, ProducerPort, SendError, SendRecord};
use crate::measure::{Ack, Outcome};

/// A pool's clients and the thread that serves their delivery reports.
pub(super) struct RdProducer {
    clients: Arc<Vec<BaseProducer<Context>>>,
    reports: Arc<Reports>,
    topic: String,
    pools: u32,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
    metadata_refresh: MetadataRefresh,
}

impl RdProducer {
    /// Creates the clients of pool `shape.0` of `shape.1` pools. There are `shape.2` clients: one for the pool, or one
    /// for each of its producers.
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        shape: (PoolId, u32, usize),
        clock: Clock,
    ) -> Result<RdProducer, BrokerError> {
        let (pool, pools, clients) = shape;
        let reports = Arc::new(Reports::default());
        let client = |i: usize| {
            let told = Told::new(settings.hidden());
            let context =
                Context { reports: reports.clone(), topic: topic.to_owned(), clock, told };
            settings.create_with(&settings.producer(&format!("pool-{pool}-{i}")).config(), context)
        };
        let clients: Arc<Vec<_>> = Arc::new((0..clients).map(client).collect::<Result<_, _>>()?);
        let stop = Arc::new(AtomicBool::new(false));
        let server = {
            let (clients, reports, stop) = (clients.clone(), reports.clone(), stop.clone());
            std::thread::Builder::new()
                .name(format!("acks-{pool}"))
                .spawn(move || serve(&clients, &reports, &stop))
                .map_err(|error| BrokerError::fatal(format!("no thread: {error}")))?
        };
        let (topic, metadata_refresh) = (topic.to_owned(), MetadataRefresh::default());
        Ok(RdProducer {
            clients,
            reports,
            topic,
            pools,
            stop,
            server: Some(server),
            metadata_refresh,
        })
    }
}

/// Longest wait for a report, so that the thread stops in time. The wrapper polls without a pause in the last
/// millisecond of a wait, because librdkafka takes whole milliseconds.
const SERVE_WAIT: Duration = Duration::from_millis(100);
/// Time between two rounds over several clients.
const SWEEP_EVERY: Duration = Duration::from_millis(10);
/// Most events that one round serves per client. An event has up to a few thousand reports.
const EVENTS_PER_LOOK: usize = 1000;

/// Serves delivery reports until `stop` is set.
fn serve(clients: &[BaseProducer<Context>], reports: &Reports, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        if let [client] = clients {
            client.poll(SERVE_WAIT);
            continue;
        }
        clients.iter().for_each(|client| reports.drain(client));
        std::thread::sleep(SWEEP_EVERY);
    }
}

/// A copy of the headers for librdkafka.
fn owned(headers: Headers<'_>) -> OwnedHeaders {
    let insert =
        |all: OwnedHeaders, (key, value): (&str, Option<&[u8]>)| all.insert(Header { key, value });
    headers.iter().fold(OwnedHeaders::new(), insert)
}

/// The send time of a record: from the stamp in its header, or else from the stamp in its value.
fn sent_at(message: &BorrowedMessage<'_>) -> Option<Time> {
    let its = |header: &Header<'_, &[u8]>| header.key == STAMP_HEADER;
    let header = message.headers().and_then(|headers| headers.iter().filter(its).last());
    header.and_then(|header| header.value).or(message.payload()).and_then(sent_time)
}

const SEQUENCE_BITS: u32 = 40;

fn token(producer: ProducerId, sequence: u64) -> usize {
    ((producer.0 as usize) << SEQUENCE_BITS) | (sequence as usize & ((1 << SEQUENCE_BITS) - 1))
}

fn from_token(token: usize) -> (ProducerId, u64) {
    (ProducerId((token >> SEQUENCE_BITS) as u32), (token & ((1 << SEQUENCE_BITS) - 1)) as u64)
}

impl RdProducer {
    fn refused(&self, error: &KafkaError) -> SendError {
        SendError::Refused(describe_while(error, Doing::Write, &self.topic))
    }
}

impl ProducerPort for RdProducer {
    #[inline]
    fn send(&mut self, _now: Time, record: &SendRecord<'_>) -> Result<(), SendError> {
        let client = match self.clients.as_slice() {
            [client] => client,
            clients => &clients[(record.producer.0 / self.pools) as usize % clients.len()],
        };
        let parts = RecordView::of(record.payload, record.is_packed);
        let mut message: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&self.topic, token(record.producer, record.sequence))
                .partition(record.partition.0 as i32)
                .payload(parts.value);
        if let Some(key) = parts.key {
            message = message.key(key);
        }
        if !parts.headers.is_empty() {
            message = message.headers(owned(parts.headers));
        }
        client.send(message).map_err(|(error, _)| match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => SendError::Full,
            // A client with a fatal error refuses every record with this code. Only `fatal_error` returns the cause.
            KafkaError::MessageProduction(RDKafkaErrorCode::Fatal) => {
                let cause =
                    client.client().fatal_error().map_or(RDKafkaErrorCode::Fatal, |(code, _)| code);
                self.refused(&KafkaError::MessageProduction(cause))
            }
            error => self.refused(&error),
        })
    }

    fn answers(&mut self, _now: Time, wait: Duration, answers: &mut Answers) {
        std::thread::sleep(wait);
        let mut noted = self.reports.lock();
        if answers.is_empty() {
            // The callback waits for this lock. The swap gives it the other buffer instead of copying the answers.
            std::mem::swap(answers, &mut noted);
        } else {
            answers.append(&mut noted);
        }
    }

    fn ensure_partitions(&mut self, _now: Time, partitions: u32) -> bool {
        self.metadata_refresh.ensure_partitions(&self.clients, &self.topic, partitions)
    }

    fn give_up(&mut self, _now: Time, limit: Duration) {
        for client in self.clients.iter() {
            client.purge(PurgeConfig::default().queue().inflight());
        }
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
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// The answers that the delivery callback has noted since the last call of `answers`.
#[derive(Default)]
struct Reports {
    noted: Mutex<Answers>,
    /// The number of reports served.
    served: AtomicU64,
}

impl Reports {
    /// Serves the events of `client` without waiting. Only one thread calls this.
    fn drain(&self, client: &BaseProducer<Context>) {
        for _ in 0..EVENTS_PER_LOOK {
            let before = self.served.load(Ordering::Relaxed);
            // Serves one event.
            client.poll(Duration::ZERO);
            if self.served.load(Ordering::Relaxed) == before {
                break;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, name: &str) {
        self.lock().add_error(name, 1);
    }
}

/// The context of librdkafka's callbacks. The callbacks must not panic, because their callers are C.
struct Context {
    reports: Arc<Reports>,
    topic: String,
    clock: Clock,
    told: Told,
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, about: &str, said: &str) {
        self.told.line(about, said);
    }

    fn error(&self, error: KafkaError, said: &str) {
        self.told.failure(&error, said);
        self.reports.error(&describe_while(&error, Doing::Write, &self.topic));
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let (message, outcome) = match result {
            Ok(message) => (message, Outcome::Acked),
            Err((error, message)) => {
                self.reports.error(&describe_while(error, Doing::Write, &self.topic));
                (message, outcome(error))
            }
        };
        let (producer, sequence) = from_token(token);
        let sent = sent_at(message).unwrap_or(Time::ZERO);
        let ack = Ack {
            producer,
            partition: PartitionId(message.partition() as u32),
            sequence,
            // Negative if the broker gave no offset: with `acks = 0`, and for a retry of a batch that it had appended
            // before.
            offset: Some(Offset(message.offset())).filter(|offset| offset.0 >= 0),
            sent,
            at: self.clock.now(),
            outcome,
        };
        self.reports.lock().acks.push(ack);
        self.reports.served.fetch_add(1, Ordering::Relaxed);
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

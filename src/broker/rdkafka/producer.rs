//! A producer port on librdkafka's `BaseProducer`.
//!
//! At maximum rate the pool looks for delivery reports all the time and serves them itself: a second thread
//! would only free what the first allocates, at the price of both. A paced pool looks when it wakes, which says
//! nothing about when an acknowledgement came; there a thread of the port's own, the pump, serves them as they
//! come. Waking it for every record costs a tenth of the CPU at the guide's load, so it only does so for records
//! sent in one stretch of time in eight; in the others the pool serves reports when it looks, and their times are
//! not used. Every answer enters the ledger either way.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
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
use super::learning::Learning;
use crate::base::{Clock, Offset, PartitionId, PoolId, ProducerId, Time, sent_time};
use crate::broker::{Answers, BrokerError, ProducerPort, SendError, SendRecord};
use crate::measure::{Ack, Outcome};

/// A pool's clients and the thread that serves their delivery reports.
pub(super) struct RdProducer {
    clients: Arc<Vec<BaseProducer<Context>>>,
    reports: Arc<Reports>,
    serving: Serving,
    topic: String,
    pools: u32,
    stop: Arc<AtomicBool>,
    pump: Option<JoinHandle<()>>,
    learning: Learning,
}

impl RdProducer {
    /// Creates the clients of pool `shape.0` of `shape.1`: `shape.2` of them, one for the pool or one for each of
    /// its producers.
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        shape: (PoolId, u32, usize),
        serving: Serving,
        clock: Clock,
    ) -> Result<RdProducer, BrokerError> {
        let (pool, pools, clients) = shape;
        let reports = Arc::new(Reports::default());
        if serving != Serving::Sampled {
            reports.sample(Time(i64::MIN), Time::NEVER);
        }
        let client = |i: usize| {
            let context = Context { reports: reports.clone(), serving, clock };
            settings
                .producer(&format!("pool-{pool}-{i}"))
                .create_with_context(context)
                .map_err(|error| BrokerError::fatal(format!("client not created: {error}")))
        };
        let clients: Arc<Vec<_>> = Arc::new((0..clients).map(client).collect::<Result<_, _>>()?);
        let stop = Arc::new(AtomicBool::new(false));
        let start_pump = || {
            let (clients, reports, stop) = (clients.clone(), reports.clone(), stop.clone());
            std::thread::Builder::new()
                .name(format!("acks-{pool}"))
                .spawn(move || pump(&clients, &reports, serving, clock, &stop))
                .map_err(|error| BrokerError::fatal(format!("no thread: {error}")))
        };
        let pump = (serving != Serving::ByPool).then(start_pump).transpose()?;
        let (topic, learning) = (topic.to_owned(), Learning::default());
        Ok(RdProducer { clients, reports, serving, topic, pools, stop, pump, learning })
    }

    /// Waits, at maximum rate for a first report and else for the time; then serves the reports that are there,
    /// unless the pump is doing so.
    fn serve(&self, wait: Duration) {
        match self.clients.as_slice() {
            [client] if self.serving == Serving::ByPool => _ = self.reports.look(client, wait),
            _ => std::thread::sleep(wait),
        }
        if self.reports.pumped.load(Ordering::Acquire) {
            return;
        }
        for client in self.clients.iter() {
            for _ in 0..EVENTS_PER_LOOK {
                if !self.reports.look(client, Duration::ZERO) {
                    break;
                }
            }
        }
    }
}

/// Who serves delivery reports, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// The pool's thread, which never rests.
    ByPool,
    /// The pump, all the time.
    Always,
    /// The pump in one stretch of time in eight, as a sample.
    Sampled,
}

/// A sample: records sent in so long are timed, one such stretch in eight.
const SAMPLE: Duration = Duration::from_millis(300);
const SAMPLE_EVERY: Duration = Duration::from_millis(2_400);
/// Their acknowledgements are waited for so long after the stretch, so that slow ones are not left out.
const SAMPLE_TAIL: Duration = Duration::from_millis(100);
/// Longest wait of the pump, so that it stops in time.
const PUMP_WAIT: Duration = Duration::from_millis(50);
/// Events, of up to a few thousand reports each, that the pool serves at most when it looks.
const EVENTS_PER_LOOK: usize = 1000;

/// Serves delivery reports until told to stop.
fn pump(
    clients: &[BaseProducer<Context>],
    reports: &Reports,
    serving: Serving,
    clock: Clock,
    stop: &AtomicBool,
) {
    let mut next_sample = clock.now();
    while !stop.load(Ordering::Acquire) {
        let now = clock.now();
        if serving == Serving::Sampled && now >= next_sample {
            reports.sample(now, now + SAMPLE);
            next_sample = next_sample + SAMPLE_EVERY;
        }
        let serves = serving == Serving::Always || now < reports.sample_end() + SAMPLE_TAIL;
        reports.pumped.store(serves, Ordering::Release);
        match clients {
            _ if !serves => std::thread::sleep(next_sample.remaining(now).min(PUMP_WAIT)),
            [client] => _ = reports.look(client, PUMP_WAIT),
            // With a client per producer, reports are looked for once a millisecond.
            clients => {
                clients.iter().for_each(|client| _ = reports.look(client, Duration::ZERO));
                std::thread::sleep(Duration::from_millis(1));
            }
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

    fn answers(&mut self, wait: Duration, answers: &mut Answers) {
        self.serve(wait);
        let mut noted = self.reports.lock();
        if answers.is_empty() {
            // The pump waits for this lock: give it the other buffer instead of copying its own.
            std::mem::swap(answers, &mut noted);
        } else {
            answers.append(&mut noted);
        }
    }

    fn follow(&mut self, partitions: u32) -> bool {
        self.learning.follow(&self.clients, &self.topic, partitions)
    }

    fn give_up(&mut self, limit: Duration) {
        for client in self.clients.iter() {
            client.purge(PurgeConfig::default().queue().inflight());
        }
        let steps = limit.as_millis().max(1) / 10 + 1;
        for _ in 0..steps {
            if self.clients.iter().all(|client| client.in_flight_count() == 0) {
                break;
            }
            self.serve(Duration::from_millis(10));
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
struct Reports {
    noted: Mutex<Answers>,
    /// Records sent from and before these times are timed, in nanoseconds of [`Time`].
    sample_from: AtomicI64,
    sample_to: AtomicI64,
    /// Whether the pump serves reports now, as they come.
    pumped: AtomicBool,
    /// When the reports being served came, in nanoseconds of [`Time`]; [`NOT_YET`] before the first. They come in
    /// events, one for each answer of a broker, and all of an event came at once.
    came_at: AtomicI64,
}

/// Errors kept until the port looks; more of them would say nothing new.
const ERRORS_MAX: usize = 1000;

const NOT_YET: i64 = i64::MIN;

impl Reports {
    /// Serves one event of `client`, waiting so long for it; whether there was one with reports. One thread at a
    /// time does this.
    fn look(&self, client: &BaseProducer<Context>, wait: Duration) -> bool {
        self.came_at.store(NOT_YET, Ordering::Relaxed);
        client.poll(wait);
        self.came_at.load(Ordering::Relaxed) != NOT_YET
    }

    /// When the event being served came.
    fn came_at(&self, clock: Clock) -> Time {
        let noted = self.came_at.load(Ordering::Relaxed);
        if noted != NOT_YET {
            return Time(noted);
        }
        let now = clock.now();
        self.came_at.store(now.0, Ordering::Relaxed);
        now
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Times records sent in this stretch.
    fn sample(&self, from: Time, to: Time) {
        self.sample_from.store(from.0, Ordering::Release);
        self.sample_to.store(to.0, Ordering::Release);
    }

    fn sample_end(&self) -> Time {
        Time(self.sample_to.load(Ordering::Acquire))
    }

    /// Whether the time at which this record's report is served is the time it came.
    fn is_timed(&self, serving: Serving, sent: Time) -> bool {
        (serving == Serving::ByPool || self.pumped.load(Ordering::Relaxed))
            && sent.0 >= self.sample_from.load(Ordering::Relaxed)
            && sent.0 < self.sample_to.load(Ordering::Relaxed)
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
    serving: Serving,
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
        let sent = message.payload().and_then(sent_time).unwrap_or(Time::ZERO);
        let ack = Ack {
            producer,
            partition: PartitionId(message.partition() as u32),
            sequence,
            // Negative where the broker did not say: without acknowledgements, and of a retry it had already.
            offset: Some(Offset(message.offset())).filter(|offset| offset.0 >= 0),
            sent,
            at: self.reports.came_at(self.clock),
            timed: self.reports.is_timed(self.serving, sent),
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

//! A producer port on librdkafka's `BaseProducer`.
//!
//! Delivery reports are served by a thread of the port's own, so that an acknowledgement carries the time
//! it came and not the time the pool next looked. Waking that thread for every record costs a tenth of the CPU
//! at the guide's load, so there it only serves records sent in one stretch of time in eight; in the others the pool
//! serves reports when it looks, and their times are not used. Every answer enters the ledger either way.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
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
        if serving == Serving::Always {
            reports.sample(Time(i64::MIN), Time::NEVER);
        }
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
            let (clients, reports, stop) = (clients.clone(), reports.clone(), stop.clone());
            std::thread::Builder::new()
                .name(format!("acks-{pool}"))
                .spawn(move || pump(&clients, &reports, serving, clock, &stop))
                .map_err(|error| BrokerError::fatal(format!("no thread: {error}")))?
        };
        Ok(RdProducer { clients, reports, topic: topic.to_owned(), pools, stop, pump: Some(pump) })
    }

    /// Serves the reports that are there, unless the pump is doing so.
    fn serve(&self) {
        if self.reports.pumped.load(Ordering::Acquire) {
            return;
        }
        for client in self.clients.iter() {
            for _ in 0..REPORTS_PER_LOOK {
                let before = self.reports.served.load(Ordering::Relaxed);
                client.poll(Duration::ZERO);
                if self.reports.served.load(Ordering::Relaxed) == before {
                    break;
                }
            }
        }
    }
}

/// When the pump serves delivery reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// All the time.
    Always,
    /// One stretch of time in eight, as a sample.
    Sampled,
}

/// A sample: records sent in so long are timed, one such stretch in eight.
const SAMPLE: Duration = Duration::from_millis(300);
const SAMPLE_EVERY: Duration = Duration::from_millis(2_400);
/// Their acknowledgements are waited for so long after the stretch, so that slow ones are not left out.
const SAMPLE_TAIL: Duration = Duration::from_millis(100);
/// Longest wait of the pump, so that it stops in time.
const PUMP_WAIT: Duration = Duration::from_millis(50);
/// Events the pool serves at most when it looks.
const REPORTS_PER_LOOK: usize = 1000;

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
            [client] => client.poll(PUMP_WAIT),
            // With a client per producer, reports are looked for once a millisecond.
            clients => {
                clients.iter().for_each(|client| client.poll(Duration::ZERO));
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

    fn acks(&mut self, acks: &mut Vec<Ack>) {
        self.serve();
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
            self.serve();
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
struct Reports {
    noted: Mutex<Noted>,
    /// Records sent from and before these times are timed, in nanoseconds of [`Time`].
    sample_from: AtomicI64,
    sample_to: AtomicI64,
    /// Whether the pump serves reports now, as they come.
    pumped: AtomicBool,
    /// Reports served so far.
    served: AtomicU64,
}

#[derive(Default)]
struct Noted {
    acks: Vec<Ack>,
    errors: Vec<String>,
}

/// Errors kept until the port looks; more of them would say nothing new.
const ERRORS_MAX: usize = 1000;

impl Reports {
    fn lock(&self) -> MutexGuard<'_, Noted> {
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
    fn is_timed(&self, sent: Time) -> bool {
        self.pumped.load(Ordering::Relaxed)
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
            sent,
            at: self.clock.now(),
            timed: self.reports.is_timed(sent),
            outcome,
        };
        self.reports.served.fetch_add(1, Ordering::Relaxed);
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

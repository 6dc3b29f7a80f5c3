//! The baseline: the same load test written directly with rdkafka, as in a guide.
//!
//! One idempotent `BaseProducer` is on the main thread, and one `BaseConsumer` per partition on a thread each (or one
//! for all with `--shared`). Client properties are those of lanekeeper. There is no supervision, no ledger and no
//! checksum. Each record contains its send time, and each consumer has one histogram. Only lanekeeper's clock and its
//! reading of `/proc` are used, so that both are measured in the same way. The output is one line of JSON. `cpu_s` is
//! user + system time of the process from the first send to the last received record, in seconds. With `--acks`,
//! another thread blocks in the producer's `poll` and times each acknowledgement in its callback. That costs more CPU
//! time than the loop of a guide, and measures the time until acknowledgement. `--create` and `--delete` create and
//! delete the topic, and do nothing else.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use lanekeeper::base::{Clock, Time};
use lanekeeper::measure::CostMeter;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: bare --bootstrap HOST:PORT --topic NAME [--partitions 18] [--producers 1024] \
[--rate 2 (0 = max)] [--count 3000000 (at max)] [--seconds 10] [--warmup 3] [--linger-ms 0] [--size 100] \
[--shared] [--acks] [--create | --delete] [--consumer PROPERTY=VALUE]… [--producer PROPERTY=VALUE]…";

/// Longest wait for the records in flight at the end of the load.
const DRAIN: Duration = Duration::from_secs(30);

struct Arguments {
    bootstrap: String,
    topic: String,
    partitions: u32,
    producers: u32,
    rate: f64,
    count: u64,
    seconds: u64,
    warmup: u64,
    linger_ms: String,
    size: usize,
    shared: bool,
    acks: bool,
    create: bool,
    delete: bool,
    consumer: Vec<(String, String)>,
    producer: Vec<(String, String)>,
}

impl Arguments {
    fn read() -> Result<Arguments, Failure> {
        let mut read = Arguments {
            bootstrap: String::new(),
            topic: String::new(),
            partitions: 18,
            producers: 1024,
            rate: 2.0,
            count: 3_000_000,
            seconds: 10,
            warmup: 3,
            linger_ms: "0".to_owned(),
            size: 100,
            shared: false,
            acks: false,
            create: false,
            delete: false,
            consumer: Vec::new(),
            producer: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let flag = match name.as_str() {
                "--shared" => Some(&mut read.shared),
                "--acks" => Some(&mut read.acks),
                "--create" => Some(&mut read.create),
                "--delete" => Some(&mut read.delete),
                _ => None,
            };
            if let Some(flag) = flag {
                *flag = true;
                continue;
            }
            let value = arguments.next().ok_or(USAGE)?;
            let property = || value.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
            match name.as_str() {
                "--bootstrap" => read.bootstrap = value,
                "--topic" => read.topic = value,
                "--partitions" => read.partitions = value.parse()?,
                "--producers" => read.producers = value.parse()?,
                "--rate" => read.rate = value.parse()?,
                "--count" => read.count = value.parse()?,
                "--seconds" => read.seconds = value.parse()?,
                "--warmup" => read.warmup = value.parse()?,
                "--linger-ms" => read.linger_ms = value,
                "--size" => read.size = value.parse()?,
                "--consumer" => read.consumer.push(property().ok_or(USAGE)?),
                "--producer" => read.producer.push(property().ok_or(USAGE)?),
                _ => return Err(USAGE.into()),
            }
        }
        let is_usable = read.partitions > 0 && read.producers > 0 && read.size >= 8;
        if read.bootstrap.is_empty() || read.topic.is_empty() || !is_usable || read.rate < 0.0 {
            return Err(USAGE.into());
        }
        Ok(read)
    }

    fn client(&self, own: &[(&str, &str)], given: &[(String, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config.set("enable.metrics.push", "false");
        config.set("reconnect.backoff.max.ms", "1000");
        config.set("socket.nagle.disable", "true");
        for (key, value) in own {
            config.set(*key, *value);
        }
        for (key, value) in given {
            config.set(key, value);
        }
        config
    }

    fn consumer_config(&self) -> ClientConfig {
        let own = [
            ("group.id", "bare"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("fetch.queue.backoff.ms", "5"),
            ("queued.max.messages.kbytes", "16384"),
            ("session.timeout.ms", "6000"),
        ];
        self.client(&own, &self.consumer)
    }

    fn producer_config(&self) -> ClientConfig {
        let own = [("acks", "all"), ("enable.idempotence", "true"), ("linger.ms", &self.linger_ms)];
        self.client(&own, &self.producer)
    }
}

/// Creates the topic and waits until its leaders respond, or deletes it.
fn administer(arguments: &Arguments) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = arguments.client(&[], &[]).create()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    let results = runtime.block_on(async {
        if arguments.delete {
            return admin.delete_topics(&[&arguments.topic], &options).await;
        }
        let partitions = arguments.partitions as i32;
        let topic = NewTopic::new(&arguments.topic, partitions, TopicReplication::Fixed(1));
        admin.create_topics([&topic], &options).await
    })?;
    for result in results {
        result.map_err(|(topic, code)| format!("topic {topic}: {code}"))?;
    }
    if arguments.create {
        let asking: BaseConsumer = arguments.consumer_config().create()?;
        for id in 0..arguments.partitions as i32 {
            for _ in 0..100 {
                let second = Duration::from_secs(1);
                if asking.fetch_watermarks(&arguments.topic, id, second).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
    Ok(())
}

/// The state that all threads share.
struct Shared {
    clock: Clock,
    ready: AtomicU64,
    /// Records sent before this instant are warmup.
    measured_from: Time,
    received: AtomicU64,
    last_received: AtomicU64,
    stop: AtomicBool,
}

/// Counts delivery reports, and times them if `times` is set.
struct Reports {
    acked: AtomicU64,
    failed: AtomicU64,
    times: Option<(Arc<Shared>, Mutex<Histogram<u64>>)>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() { &self.acked } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        let (Some((shared, times)), Ok(message)) = (&self.times, result) else { return };
        let now = shared.clock.now();
        let stamp = message.payload().and_then(<[u8]>::first_chunk);
        let sent = stamp.map_or(Time::ZERO, |stamp| Time(i64::from_le_bytes(*stamp)));
        if sent >= shared.measured_from {
            let took = now.since_ns(sent).max(0) as u64;
            // A histogram that resizes accepts every value.
            _ = times.lock().unwrap_or_else(PoisonError::into_inner).record(took);
        }
    }
}

impl Reports {
    /// The times until acknowledgement; `None` if they were not timed.
    fn acks(&self) -> Option<serde_json::Value> {
        let (_, times) = self.times.as_ref()?;
        let times = times.lock().unwrap_or_else(PoisonError::into_inner);
        let us = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        Some(serde_json::json!({ "p50_us": us(0.50), "p99_us": us(0.99), "count": times.len() }))
    }

    /// Reports that are only counted, or also timed, for records sent in the measured time of `shared`.
    fn new(shared: &Arc<Shared>, are_timed: bool) -> Result<Reports, Failure> {
        let times = match are_timed {
            true => Some((shared.clone(), Mutex::new(Histogram::new(3)?))),
            false => None,
        };
        Ok(Reports { acked: AtomicU64::new(0), failed: AtomicU64::new(0), times })
    }
}

/// Serves delivery reports for the given time, or waits if another thread serves them.
fn look(client: &BaseProducer<Reports>, wait: Duration) {
    match client.context().times {
        Some(_) => std::thread::sleep(wait),
        None => client.poll(wait),
    }
}

/// Serves delivery reports on another thread until the stop, if they are timed.
fn serve(client: &Arc<BaseProducer<Reports>>) -> Option<JoinHandle<()>> {
    let (shared, _) = client.context().times.as_ref()?;
    let (client, shared) = (client.clone(), shared.clone());
    Some(std::thread::spawn(move || {
        while !shared.stop.load(Ordering::Acquire) {
            client.poll(Duration::from_millis(100));
        }
    }))
}

/// Reads `partitions` until the stop. Returns the service times of the measured records in nanoseconds.
fn consume(
    client: &BaseConsumer,
    partitions: u64,
    shared: &Shared,
) -> Result<Histogram<u64>, Failure> {
    let mut service = Histogram::new(3)?;
    let mut ends_seen = 0;
    while !shared.stop.load(Ordering::Acquire) {
        match client.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => {
                ends_seen += 1;
                if ends_seen <= partitions {
                    shared.ready.fetch_add(1, Ordering::AcqRel);
                }
            }
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => {
                let now = shared.clock.now();
                let payload = message.payload().unwrap_or_default();
                let stamp = payload.first_chunk().ok_or("a record without a stamp")?;
                let sent = Time(i64::from_le_bytes(*stamp));
                if sent >= shared.measured_from {
                    service.record(now.since_ns(sent).max(0) as u64)?;
                }
                shared.last_received.fetch_max(now.0.max(0) as u64, Ordering::Relaxed);
                shared.received.fetch_add(1, Ordering::Release);
            }
        }
    }
    Ok(service)
}

type Reader = JoinHandle<Result<Histogram<u64>, Failure>>;

/// Starts the consumers at the ends of the partitions, and waits until all of them fetch.
fn start_consumers(arguments: &Arguments, shared: &Arc<Shared>) -> Result<Vec<Reader>, Failure> {
    let asking: BaseConsumer = arguments.consumer_config().create()?;
    let topic = &arguments.topic;
    let mut lists = Vec::new();
    for id in 0..arguments.partitions as i32 {
        let (_, end) = asking.fetch_watermarks(topic, id, Duration::from_secs(10))?;
        if lists.is_empty() || !arguments.shared {
            lists.push(TopicPartitionList::new());
        }
        let list = lists.last_mut().ok_or("no list")?;
        list.add_partition_offset(topic, id, Offset::Offset(end))?;
    }
    let mut readers = Vec::new();
    for list in lists {
        let client: BaseConsumer = arguments.consumer_config().create()?;
        client.assign(&list)?;
        let (shared, partitions) = (shared.clone(), list.count() as u64);
        readers.push(std::thread::spawn(move || consume(&client, partitions, &shared)));
    }
    while shared.ready.load(Ordering::Acquire) < u64::from(arguments.partitions) {
        if shared.clock.now() > Time::ZERO + DRAIN || readers.iter().any(Reader::is_finished) {
            return Err("the consumers did not become ready".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(readers)
}

/// Stamps and sends one record of `producer`. Waits while the client's queue is full.
fn send(
    client: &BaseProducer<Reports>,
    arguments: &Arguments,
    clock: Clock,
    producer: u32,
    payload: &mut [u8],
) -> Result<(), Failure> {
    loop {
        payload[..8].copy_from_slice(&clock.now().0.to_le_bytes());
        let partition = (producer % arguments.partitions) as i32;
        let record: BaseRecord<'_, (), [u8]> =
            BaseRecord::to(&arguments.topic).partition(partition).payload(payload);
        match client.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                look(client, Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// A pseudo-random number in 0..1: SplitMix64 of `seed`.
fn unit(seed: u64) -> f64 {
    let mut z = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Sends the records of all producers: each at its own phase of the period, or all at maximum rate.
fn produce(
    client: &BaseProducer<Reports>,
    arguments: &Arguments,
    clock: Clock,
    begin: Time,
) -> Result<u64, Failure> {
    let mut payload = vec![b'x'; arguments.size];
    if arguments.rate == 0.0 {
        for number in 0..arguments.count {
            let producer = (number % u64::from(arguments.producers)) as u32;
            send(client, arguments, clock, producer, &mut payload)?;
            if number % 1000 == 0 {
                look(client, Duration::ZERO);
            }
        }
        return Ok(arguments.count);
    }
    let period = Duration::from_secs_f64(1.0 / arguments.rate);
    // Random phases, as those of lanekeeper. With even ones, records would never queue behind each other.
    let phase = |id: u32| period.mul_f64(unit(u64::from(id)));
    let mut phases: Vec<_> = (0..arguments.producers).map(|id| (phase(id), id)).collect();
    phases.sort_unstable();
    let end = begin + Duration::from_secs(arguments.warmup + arguments.seconds);
    let mut sent = 0;
    let mut turn = begin;
    while turn < end {
        for (phase, producer) in &phases {
            let due = turn + *phase;
            if due >= end {
                break;
            }
            look(client, Duration::ZERO);
            std::thread::sleep(due.remaining(clock.now()));
            send(client, arguments, clock, *producer, &mut payload)?;
            sent += 1;
        }
        turn = turn + period;
    }
    Ok(sent)
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    if arguments.create || arguments.delete {
        return administer(&arguments);
    }
    let clock = Clock::start();
    // The startup has a fixed time, so that the window is known before any thread starts.
    let begin = Time::ZERO + Duration::from_secs(2);
    let is_max = arguments.rate == 0.0;
    let warmup = Duration::from_secs(if is_max { 0 } else { arguments.warmup });
    let shared = Arc::new(Shared {
        clock,
        ready: AtomicU64::new(0),
        measured_from: begin + warmup,
        received: AtomicU64::new(0),
        last_received: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let reports = Reports::new(&shared, arguments.acks)?;
    let client = Arc::new(arguments.producer_config().create_with_context(reports)?);
    let server = serve(&client);
    let readers = start_consumers(&arguments, &shared)?;
    std::thread::sleep(begin.remaining(clock.now()));
    if clock.now() > begin + Duration::from_millis(500) {
        return Err("the start took too long; try again on a quieter machine".into());
    }

    let mut cost = CostMeter::default();
    cost.start();
    let first_send = clock.now();
    let sent = produce(&client, &arguments, clock, begin)?;
    let until = clock.now() + DRAIN;
    while shared.received.load(Ordering::Acquire) < sent && clock.now() < until {
        look(&client, Duration::from_millis(1));
    }
    cost.sample();
    client.flush(DRAIN)?;
    shared.stop.store(true, Ordering::Release);
    if let Some(server) = server {
        server.join().map_err(|_| "serving delivery reports panicked")?;
    }
    let mut service = Histogram::<u64>::new(3)?;
    for reader in readers {
        service.add(reader.join().map_err(|_| "a consumer panicked")??)?;
    }

    let received = shared.received.load(Ordering::Acquire);
    let last = Time(shared.last_received.load(Ordering::Relaxed) as i64);
    let spent_s =
        if is_max { last.since_ns(first_send) as f64 / 1e9 } else { arguments.seconds as f64 };
    let costs = cost.cost(spent_s, 1.0);
    let result = serde_json::json!({
        "cpu_s": costs.cpu_s,
        "rss_max_bytes": costs.rss_max_bytes,
        "threads": costs.threads_max,
        "msgs_per_s": service.len() as f64 / spent_s,
        "p50_us": service.value_at_quantile(0.50) as f64 / 1e3,
        "p99_us": service.value_at_quantile(0.99) as f64 / 1e3,
        "count": service.len(),
        "sent": sent,
        "received": received,
        "acked": client.context().acked.load(Ordering::Relaxed),
        "failed": client.context().failed.load(Ordering::Relaxed),
        "ack": client.context().acks(),
    });
    writeln!(std::io::stdout(), "{result}")?;
    if received == sent { Ok(()) } else { Err("not all records arrived".into()) }
}

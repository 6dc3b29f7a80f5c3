//! Leaders that move, brokers that join, quotas, and truncated logs, on a scripted cluster.

use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Script, ScriptedCluster};
use super::{plan, topic};
use crate::base::{Clock, Offset, PartitionId, ProducerId, RecordView, Time};
use crate::broker::native::{NativeConsumer, NativeProducer, NativeSettings};
use crate::broker::protocol::Batch;
use crate::broker::tcp::brokers::Brokers;
use crate::broker::tcp::consumer::TcpConsumer;
use crate::broker::tcp::transport::Transport;
use crate::broker::wire::{Api, Endpoint, batch_in_log};
use crate::broker::{
    Answers, BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, ErrorClass, Flow,
    ProducerPort, SendRecord,
};
use crate::measure::{Outcome, RequestCounter};
use crate::plan::LoadPlan;

/// Longest wait of a test.
const LONG: Duration = Duration::from_secs(20);

pub(super) fn script() -> Script {
    Script {
        named: vec![1],
        host_of_2: None,
        said: (1, 3),
        real: (1, 3),
        names_leader: false,
        names_next: false,
        throttle_ms: 0,
        log: Vec::new(),
        diverges_at: None,
    }
}

/// A transport whose client knows broker 1, as after the first metadata.
fn transport<C: crate::broker::protocol::Client>(
    cluster: &ScriptedCluster,
    client: impl FnOnce(NativeSettings) -> C,
    clock: Clock,
) -> Transport<C> {
    transport_with(Brokers::default(), cluster, client, clock)
}

fn transport_with<C: crate::broker::protocol::Client>(
    mut brokers: Brokers,
    cluster: &ScriptedCluster,
    client: impl FnOnce(NativeSettings) -> C,
    clock: Clock,
) -> Transport<C> {
    let (node_id, port) = (1, i32::from(cluster.ports[0]));
    let endpoint = Endpoint { node_id, host: "127.0.0.1".to_owned(), port };
    brokers.learn(&[endpoint]);
    let counter = RequestCounter::new(cluster.counted.clone());
    let clients = vec![client(NativeSettings::default())];
    Transport::new(clients, brokers, topic(clock), (clock, counter)).expect("descriptors")
}

/// A producer, with the numbers of records that were sent and acknowledged.
pub(super) struct TestProducer {
    transport: Transport<NativeProducer>,
    clock: Clock,
    sent: u64,
}

impl TestProducer {
    fn new(cluster: &ScriptedCluster) -> TestProducer {
        TestProducer::with(Brokers::default(), cluster)
    }

    /// A producer with these brokers.
    pub(super) fn with(brokers: Brokers, cluster: &ScriptedCluster) -> TestProducer {
        TestProducer::of_load(&plan().load, brokers, cluster)
    }

    /// A producer without idempotence, which may have more requests in flight.
    pub(super) fn without_idempotence(brokers: Brokers, cluster: &ScriptedCluster) -> TestProducer {
        let load = LoadPlan { idempotence: false, ..plan().load };
        TestProducer::of_load(&load, brokers, cluster)
    }

    fn of_load(load: &LoadPlan, brokers: Brokers, cluster: &ScriptedCluster) -> TestProducer {
        let clock = Clock::start();
        let client = |settings| NativeProducer::new(load, 1, settings);
        TestProducer { transport: transport_with(brokers, cluster, client, clock), clock, sent: 0 }
    }

    /// Sends a record.
    pub(super) fn begin(&mut self) {
        self.begin_with(b"x");
    }

    /// Sends a record of these bytes.
    pub(super) fn begin_with(&mut self, payload: &[u8]) {
        let (producer, partition, sequence) = (ProducerId(0), PartitionId(0), self.sent);
        let record = SendRecord {
            producer,
            partition,
            sequence,
            payload,
            is_packed: false,
            sent: Time(0),
            is_alone: true,
        };
        let now = self.clock.now();
        self.transport.client(0).send(now, &record).expect("room");
        self.sent += 1;
    }

    /// Runs turns for this time.
    pub(super) fn turns(&mut self, time: Duration) {
        let mut now = self.clock.now();
        let end = now + time;
        while now < end {
            now = self.transport.turn(now, end.remaining(now));
        }
    }

    /// Sends a record and waits until it is acknowledged.
    pub(super) fn send(&mut self) {
        self.begin();
        self.await_acks(1);
    }

    /// Waits for at least this number of acknowledgements. Returns the sequences of their records.
    pub(super) fn await_acks(&mut self, count: usize) -> Vec<u64> {
        let (mut now, mut answers) = (self.clock.now(), Answers::default());
        let end = now + LONG;
        while answers.acks.len() < count {
            assert!(now < end, "{} acks, {:?}", answers.acks.len(), answers.errors);
            now = self.transport.turn(now, end.remaining(now));
            self.transport
                .take_served(|_, client| client.answers(now, Duration::ZERO, &mut answers));
        }
        assert!(answers.acks.iter().all(|ack| ack.outcome == Outcome::Acked), "{:?}", answers.acks);
        answers.acks.iter().map(|ack| ack.sequence).collect()
    }
}

pub(super) fn brokers_asked(cluster: &ScriptedCluster, api: Api) -> Vec<i32> {
    cluster.asked(api).iter().map(|asked| asked.broker).collect()
}

#[test]
fn a_leader_that_is_named_in_a_refusal_is_asked_without_metadata() {
    // Metadata never has broker 2. The error response has its address.
    let script = Script { real: (2, 4), names_leader: true, ..script() };
    let cluster = ScriptedCluster::start(2, script);
    TestProducer::new(&cluster).send();
    assert_eq!(brokers_asked(&cluster, Api::Produce), [1, 2]);
    assert_eq!(brokers_asked(&cluster, Api::Metadata).len(), 1);
}

#[test]
fn a_leader_on_a_broker_that_has_joined_is_found_by_metadata() {
    let cluster = ScriptedCluster::start(2, script());
    let mut producer = TestProducer::new(&cluster);
    producer.send();
    *cluster.script() = Script { named: vec![1, 2], said: (2, 4), real: (2, 4), ..script() };
    producer.send();
    assert_eq!(brokers_asked(&cluster, Api::Produce), [1, 1, 2]);
    assert_eq!(brokers_asked(&cluster, Api::Metadata).len(), 2);
}

#[test]
fn brokers_that_name_each_other_are_not_asked_in_turn_without_a_pause() {
    // Each broker names the next one as the leader.
    let script = Script { names_next: true, real: (0, 3), ..script() };
    let cluster = ScriptedCluster::start(2, script);
    let mut producer = TestProducer::new(&cluster);
    producer.begin();
    producer.turns(Duration::from_millis(500));
    let asked = brokers_asked(&cluster, Api::Produce);
    assert!(asked.contains(&2) && asked.len() < 20, "{asked:?}");
}

#[test]
fn a_throttled_client_sends_nothing_more_until_the_time_is_over() {
    let throttle_ms = 300;
    let cluster = ScriptedCluster::start(1, Script { throttle_ms, ..script() });
    let mut producer = TestProducer::new(&cluster);
    producer.send();
    producer.send();
    let asked = cluster.asked(Api::Produce);
    let between = asked[0].at.remaining(Time::ZERO);
    let between = asked[1].at.remaining(Time::ZERO) - between;
    assert!(between >= Duration::from_millis(throttle_ms as u64), "{between:?}");
    drop(producer);
    let counted = cluster.counted.summary(Time::NEVER);
    assert_eq!((counted.throttled_ms, counted.produced.count), (600.0, 2));
    assert_eq!((counted.connections_made, counted.produce_us.count), (1, 2));
}

/// The events of a consumer.
#[derive(Default)]
struct Told {
    offsets: Vec<i64>,
    errors: Vec<BrokerError>,
}

impl ConsumerEvents for Told {
    fn record(&mut self, _: PartitionId, offset: Offset, _: &RecordView<'_>, _: Time) -> Flow {
        self.offsets.push(offset.0);
        Flow::More
    }

    fn present(&mut self, _: Time) {}

    fn end_of_partition(&mut self, _: PartitionId) {}

    fn assigned(&mut self, _: Time, _: &[PartitionId]) {}

    fn revoked(&mut self, _: Time, _: &[PartitionId]) {}

    fn error(&mut self, _: Time, error: BrokerError) {
        self.errors.push(error);
    }
}

/// Reads the log from its beginning until `enough` returns true for the events.
fn read(cluster: &Arc<ScriptedCluster>, enough: impl Fn(&Told) -> bool) -> Told {
    let clock = Clock::start();
    let mut consumer =
        TcpConsumer::new(transport(cluster, NativeConsumer::new, clock), None, clock);
    let (mut now, mut told) = (clock.now(), Told::default());
    consumer.submit(now, ConsumerCommand::Assign(PartitionId(0), Offset(0))).expect("taken");
    let end = now + LONG;
    while !enough(&told) {
        assert!(now < end, "{:?} {:?}", told.offsets, told.errors);
        now = consumer.poll(now, Duration::from_millis(100), &mut told);
    }
    told
}

/// A log of one record, appended in this epoch.
fn log(epoch: i32) -> Vec<u8> {
    let mut batch = Batch::default();
    batch.push(b"x");
    batch_in_log(&batch, 0, epoch)
}

#[test]
fn a_consumer_follows_a_leader_that_is_named_and_says_which_epoch_it_knows() {
    let script = Script { real: (2, 4), names_leader: true, log: log(4), ..script() };
    let cluster = ScriptedCluster::start(2, script);
    let told = read(&cluster, |told| !told.offsets.is_empty());
    assert_eq!((told.offsets, told.errors), (vec![0], vec![]));
    let fetches = cluster.asked(Api::Fetch);
    assert_eq!((fetches[0].broker, fetches[0].fetch), (1, Some((0, 3, -1))));
    assert_eq!((fetches[1].broker, fetches[1].fetch), (2, Some((0, 4, -1))));
    assert_eq!(brokers_asked(&cluster, Api::Metadata).len(), 1);
}

#[test]
fn a_log_that_was_cut_and_continued_ends_the_position() {
    let script = Script { log: log(3), diverges_at: Some(0), ..script() };
    let cluster = ScriptedCluster::start(1, script);
    let told = read(&cluster, |told| !told.errors.is_empty());
    assert_eq!(told.offsets, [0]);
    assert_eq!(told.errors[0].class, ErrorClass::Position);
    assert!(told.errors[0].message.contains("was cut before offset 1"), "{:?}", told.errors);
    assert_eq!(cluster.asked(Api::Fetch)[1].fetch, Some((1, 3, 3)));
}

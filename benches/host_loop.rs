//! The loops of both sides without a broker: a consumer machine with its cell, and the pacer of a pool.

mod settings;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lanekeeper::base::{
    Clock, ConsumerId, Incarnation, Offset, PartitionId, ProducerId, RunId, Seed, Stamp, Time,
    write_payload,
};
use lanekeeper::logic::{ActiveFaults, ConsumerMachine, Pacer, WorkSampler};
use lanekeeper::measure::{Heartbeat, LaneShape, Owner, PartitionCell};
use lanekeeper::plan::{
    Acks, Compression, LoadPlan, Pace, PartitionChoice, Phases, ProducerClients, Work,
};

const RUN: RunId = RunId(42);
const RECORDS: u64 = 4096;
const BATCH: usize = 256;
/// Producers of one partition when 1,024 share 18.
const LANES: u64 = 57;
const PARTITIONS: u32 = 18;
const PRODUCERS: u32 = 1024;

fn payload(i: u64, size: usize) -> Vec<u8> {
    let mut payload = vec![0xab; size];
    let stamp = Stamp {
        run: RUN,
        producer: ProducerId((i % LANES) as u32 * PARTITIONS),
        partition: PartitionId(0),
        sequence: i / LANES,
        intended: Time(0),
        sent: Time(0),
    };
    write_payload(&stamp, &mut payload);
    payload
}

fn cell() -> PartitionCell {
    let shape = LaneShape { fixed: true, partitions: PARTITIONS, pools: 1 };
    let cell = PartitionCell::new(PartitionId(0), Offset(0), shape);
    cell.lock().begin(Time::ZERO, (Time::ZERO, Time::NEVER), Vec::new().into());
    cell
}

fn consumer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("consumer");
    group.throughput(Throughput::Elements(RECORDS));
    let clock = Clock::start();
    let owner = Owner { consumer: ConsumerId(0), incarnation: Incarnation(1) };
    let work = WorkSampler::new(Work::None, Seed(1));
    for size in [100, 1024] {
        let payloads: Vec<_> = (0..RECORDS).map(|i| payload(i, size)).collect();
        // As in a host, with the heartbeat for the watchdog and the check for planned faults.
        let (heartbeat, active_faults) =
            (Heartbeat::new(clock.now()), ActiveFaults::new(1, 1, 1, Seed(1)));
        let watched = |cell: PartitionCell| {
            let mut machine = ConsumerMachine::new(PartitionId(0), owner, RUN, work.clone(), BATCH);
            for (offset, payload) in payloads.iter().enumerate() {
                let (offset, now) = (Offset(offset as i64), clock.now());
                heartbeat.begin(PartitionId(0), offset, now);
                let worked = catch_unwind(AssertUnwindSafe(|| {
                    machine.begin(offset, payload, now);
                    assert!(!active_faults.is_armed());
                }));
                assert!(worked.is_ok());
                machine.done(now);
                heartbeat.done();
                if machine.is_full() {
                    machine.flush(&cell);
                }
            }
            machine.flush(&cell);
            cell
        };
        group.bench_function(BenchmarkId::new("the same, watched", size), |bencher| {
            bencher.iter_batched(cell, watched, BatchSize::SmallInput);
        });
        let process = |cell: PartitionCell| {
            let mut machine = ConsumerMachine::new(PartitionId(0), owner, RUN, work.clone(), BATCH);
            for (offset, payload) in payloads.iter().enumerate() {
                let now = clock.now();
                machine.begin(Offset(offset as i64), payload, now);
                machine.done(now);
                if machine.is_full() {
                    machine.flush(&cell);
                }
            }
            machine.flush(&cell);
            cell
        };
        group.bench_function(BenchmarkId::new("begin, done, flush", size), |bencher| {
            bencher.iter_batched(cell, process, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn load(pace: Pace) -> LoadPlan {
    LoadPlan {
        producers: PRODUCERS,
        pace,
        stages: Vec::new(),
        backlog: None,
        messages: None,
        payload: std::sync::Arc::new(lanekeeper::plan::PayloadPlan::plain(100)),
        payload_bytes: 100,
        payload_bytes_max: 100,
        key_skew: 0.0,
        partition: PartitionChoice::Fixed,
        skew: 0.0,
        phases: Phases::Random,
        pools: 1,
        clients: ProducerClients::PerPool,
        acks: Acks::All,
        idempotence: true,
        linger: Duration::ZERO,
        compression: Compression::None,
        unprocessed_bytes_max: None,
    }
}

fn pacer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pacer");
    group.throughput(Throughput::Elements(1));
    let paced = Pace::Paced { period: Duration::from_millis(500) };
    for (name, pace) in [("2/s", paced), ("max", Pace::Max)] {
        let load = load(pace);
        let mut pacer = Pacer::new(&load, PARTITIONS, 0, Seed(1), Time::ZERO, Time::NEVER);
        let mut now = Time::ZERO;
        group.bench_function(BenchmarkId::new("next, take", name), |bencher| {
            bencher.iter(|| {
                now = pacer.next_due(now).unwrap_or(now).max(now);
                pacer.take(now)
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = settings::settings();
    targets = consumer, pacer
}
criterion_main!(benches);

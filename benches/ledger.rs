//! The ledger: lanes of readers and of senders, and a whole batch counted by a partition's cell.

mod settings;

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lanekeeper::base::{
    ConsumerId, Incarnation, Offset, PartitionId, ProducerId, RunId, Stamp, Time,
};
use lanekeeper::measure::{
    Content, LaneShape, Outcome, Owner, PartitionCell, Processed, ReadLane, SentLane,
};

const RECORDS: u64 = 4096;
const BATCH: u64 = 256;
/// Producers of one partition when 1,024 share 18.
const LANES: u64 = 57;
const PARTITIONS: u32 = 18;

fn lanes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lane");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("read in order", |bencher| {
        bencher.iter(|| {
            let mut lane = ReadLane::default();
            (0..RECORDS).for_each(|sequence| _ = lane.arrive(sequence));
            lane
        });
    });
    // Neighbours are swapped, so a gap opens and closes with every pair.
    group.bench_function("read with gaps", |bencher| {
        bencher.iter(|| {
            let mut lane = ReadLane::default();
            (0..RECORDS).for_each(|sequence| _ = lane.arrive(sequence ^ 1));
            lane
        });
    });
    // Every hundredth record is lost.
    group.bench_function("read with losses", |bencher| {
        bencher.iter(|| {
            let mut lane = ReadLane::default();
            (0..RECORDS).filter(|sequence| sequence % 100 != 99).for_each(|s| _ = lane.arrive(s));
            lane
        });
    });
    group.bench_function("send and resolve", |bencher| {
        bencher.iter(|| {
            let mut lane = SentLane::default();
            for sequence in 0..RECORDS {
                lane.sent();
                lane.resolve(sequence, Outcome::Acked);
            }
            lane
        });
    });
    group.finish();
}

/// Batch `number` of a partition, with records of all lanes in turn.
fn batch(number: u64) -> Vec<Processed> {
    let record = |i: u64| {
        let sent = Time((i * 1_000) as i64);
        let stamp = Stamp {
            run: RunId(42),
            producer: ProducerId((i % LANES) as u32 * PARTITIONS),
            partition: PartitionId(0),
            sequence: i / LANES,
            intended: sent,
            sent,
        };
        let at = sent + Duration::from_micros(300 + i % 500);
        let content = Content::Intact(stamp);
        Processed { offset: Offset(i as i64), content, handed: at.into(), done: at, bytes: 100 }
    };
    (number * BATCH..(number + 1) * BATCH).map(record).collect()
}

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cell");
    group.throughput(Throughput::Elements(BATCH));
    let shape = LaneShape { fixed: true, partitions: PARTITIONS, pools: 1 };
    let cell = PartitionCell::new(PartitionId(0), Offset(0), shape);
    cell.lock().begin(Time::ZERO, (Time::ZERO, Time::NEVER), Vec::new().into());
    let owner = Owner { consumer: ConsumerId(0), incarnation: Incarnation(1) };
    let mut number = 0;
    group.bench_function("apply", |bencher| {
        let next = || {
            number += 1;
            batch(number - 1)
        };
        bencher.iter_batched(next, |batch| cell.lock().apply(owner, &batch), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = settings::settings();
    targets = lanes, apply
}
criterion_main!(benches);

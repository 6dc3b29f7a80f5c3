//! The cost of a record alone: writing and checking its stamp.

mod settings;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lanekeeper::base::{PartitionId, ProducerId, RunId, Stamp, Time, verify, write_payload};

const RUN: RunId = RunId(42);

fn stamp(sequence: u64) -> Stamp {
    Stamp {
        run: RUN,
        producer: ProducerId(7),
        partition: PartitionId(7),
        sequence,
        intended: Time(1_000),
        sent: Time(2_000),
    }
}

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    for size in [100, 1024] {
        let mut payload = vec![0xab; size];
        group.bench_function(BenchmarkId::new("stamp", size), |bencher| {
            let mut sequence = 0;
            bencher.iter(|| {
                sequence += 1;
                write_payload(black_box(&stamp(sequence)), black_box(&mut payload));
            });
        });
        group.bench_function(BenchmarkId::new("verify", size), |bencher| {
            bencher.iter(|| verify(black_box(&payload), RUN));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = settings::settings();
    targets = record
}
criterion_main!(benches);

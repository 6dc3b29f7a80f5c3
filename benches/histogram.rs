//! Latency distributions: recording, and the work of the collector once a second.

mod settings;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lanekeeper::base::{Offset, PartitionId};
use lanekeeper::measure::{LaneShape, Latencies, PartitionCell, Shard};

const VALUES: u64 = 4096;

/// Latencies between 100 us and about 50 ms, mostly short.
fn latency_ns(i: u64) -> i64 {
    let spread = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (100_000 + ((spread * spread) >> 23)) as i64
}

fn filled() -> Latencies {
    let mut latencies = Latencies::default();
    (0..VALUES).for_each(|i| latencies.record(latency_ns(i)));
    latencies
}

fn histogram(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("histogram");
    group.throughput(Throughput::Elements(VALUES));
    let mut latencies = filled();
    group.bench_function("record", |bencher| {
        bencher.iter(|| {
            (0..VALUES).for_each(|i| latencies.record(black_box(latency_ns(i))));
        });
    });

    group.throughput(Throughput::Elements(1));
    let (mut total, part) = (filled(), filled());
    group.bench_function("merge", |bencher| bencher.iter(|| total.merge(black_box(&part))));
    group.bench_function("p99", |bencher| bencher.iter(|| part.quantile_ns(black_box(0.99))));

    let shape = LaneShape { fixed: true, partitions: 18, pools: 1 };
    let cell = PartitionCell::new(PartitionId(0), Offset(0), shape);
    let mut spare = Shard::default();
    for shard in 0..2 {
        (0..VALUES).for_each(|i| spare.response.record(latency_ns(i + shard)));
        (0..VALUES).for_each(|i| spare.service.record(latency_ns(i + shard)));
        (0..VALUES).for_each(|i| spare.parts.handed_over.record(latency_ns(i + shard)));
        cell.lock().take_shard(&mut spare);
    }
    group.bench_function("take a shard", |bencher| {
        bencher.iter(|| cell.lock().take_shard(black_box(&mut spare)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = settings::settings();
    targets = histogram
}
criterion_main!(benches);

//! Figures of a run of two partitions that is made by hand.

use std::time::Duration;

use super::*;
use crate::base::{ConsumerId, Incarnation, Offset, PartitionId, ProducerId, Stamp};
use crate::measure::{Ack, Content, CostMeter, Handed, LaneShape, Outcome, Owner, Processed};
use crate::plan::{Overrides, compile};
use crate::scenario::Source;

const PACED: &str = "rate = \"1/s\"";
const AT_MAX: &str = "rate = \"max\"\nmessages = 100";

fn ms(ms: i64) -> Time {
    Time(ms * 1_000_000)
}

fn plan_of(load: &str) -> Plan {
    let text = format!("[topic]\npartitions = 2\n[load]\nproducers = 2\npools = 1\n{load}\n");
    let source = Source { name: "test".to_owned(), text };
    let overrides = Overrides::default();
    let (plan, found) = compile(&source, &[], &overrides);
    plan.unwrap_or_else(|| panic!("{found:?}"))
}

fn measured() -> (Time, Time) {
    (ms(0), ms(40_000))
}

fn nothing_measured() -> Measurements {
    let shape = LaneShape { fixed: false, partitions: 2, pools: 1 };
    let measurements = Measurements::new(shape, &[Offset(0); 2]);
    measurements.begin(Time::ZERO, measured(), Vec::new());
    measurements
}

/// In the last quarter of the window 100 records of 60 bytes go to partition 0, one each 100 ms. Half of them are
/// processed by consumer 3, each 20 s after its send, in 20 ms.
fn half_processed() -> (Measurements, Collector) {
    let measurements = nothing_measured();
    let (producer, partition) = (ProducerId(0), PartitionId(0));
    let owner = Owner { consumer: ConsumerId(3), incarnation: Incarnation(1) };
    let mut batch = Vec::new();
    for number in 0..100 {
        let at = ms(30_000 + 100 * number);
        let mut pool = measurements.pools[0].lock();
        let sequence = pool.sent(producer, partition, at, at);
        let (offset, outcome) = (Offset(number), Outcome::Acked);
        let ack =
            Ack { producer, partition, sequence, offset: Some(offset), sent: at, at, outcome };
        pool.resolve(&[ack], |_| Offset(0));
        let sent = Time(at.0 - 20_000_000_000);
        let stamp = Stamp { run: RunId(1), producer, partition, sequence, intended: at, sent };
        let handed = Handed { fetched: None, at: Time(at.0 - 20_000_000) };
        let content = Content::Intact(stamp);
        batch.push(Processed { offset, content, handed, done: at, bytes: 60 });
    }
    let mut cell = measurements.cell(partition).lock();
    cell.take_over(owner, Time::ZERO);
    cell.apply(owner, &batch[..50]);
    drop(cell);
    let mut collector = Collector::new(2, Time::ZERO, measured());
    collector.tick(&measurements, ms(40_000), |_| ());
    (measurements, collector)
}

#[test]
fn a_partition_is_overloaded_when_less_is_processed_than_comes_and_is_still_to_be_processed() {
    let (measurements, collector) = half_processed();
    let plan = plan_of(PACED);
    let rates = Rates::of(&plan, Time::ZERO, measured(), &measurements, &collector);
    let found = |unread: u64| {
        let ledger = Ledger { sent: 100, delivered: 50, unread, ..Ledger::default() };
        overloaded(&plan, &measurements, &collector, &[ledger, Ledger::default()], &rates)
    };
    let [only] = &found(50)[..] else { panic!("{:?}", found(50)) };
    assert_eq!((only.partition, only.consumer, only.offered_per_s), (0, Some(3), 2.5));
    assert_eq!((only.handling_ms, only.consumers_needed), (Some(20.0), Some(0.05)));
    // Records that failed or are lost are not left to consumers.
    assert!(found(0).is_empty());
    let at_max = overloaded(&plan_of(AT_MAX), &measurements, &collector, &[], &rates);
    assert!(at_max.is_empty());
}

#[test]
fn rates_are_of_the_window_and_at_maximum_rate_of_the_transfer() {
    let (measurements, collector) = half_processed();
    let of = |load| Rates::of(&plan_of(load), ms(10_000), measured(), &measurements, &collector);
    let paced = of(PACED);
    assert_eq!((paced.seconds, paced.load_seconds), (40.0, 24.9));
    assert_eq!((paced.achieved_per_s, paced.achieved_bytes_per_s), (1.25, 75.0));
    assert_eq!(
        (paced.offered, paced.offered_sent, paced.sent_in_window),
        (Some(100), Some(100), 100)
    );
    assert_eq!((paced.offered_of(0), paced.offered_of(1)), (Some(2.5), Some(0.0)));
    let at_max = of(AT_MAX);
    assert_eq!((at_max.seconds, at_max.load_seconds), (4.9, 24.9));
    let per_s = (at_max.achieved_per_s, at_max.achieved_bytes_per_s);
    assert_eq!(per_s, (50.0 / 4.9, 3_000.0 / 4.9));
    assert_eq!((at_max.offered, at_max.offered_sent, at_max.offered_of(0)), (None, None, None));
}

#[test]
fn the_bottleneck_is_the_side_that_the_others_waited_for() {
    let side = |load: &str, client_ms: u64, consumers_ms: u64, tail_ms: i64| {
        let measurements = nothing_measured();
        let mut pool = measurements.pools[0].lock();
        pool.blocked_by_client = Duration::from_millis(client_ms);
        pool.blocked_by_consumers = Duration::from_millis(consumers_ms);
        pool.last_sent = Some(ms(1_000));
        drop(pool);
        measurements.cell(PartitionId(1)).lock().last_done = Some(ms(1_000 + tail_ms));
        bottleneck(&plan_of(load), &measurements, 10.0)
    };
    for (client_ms, consumers_ms, tail_ms, expected) in [
        (0, 0, 0, "producer"),
        // A tenth of the time is not worth naming.
        (1_000, 0, 0, "producer"),
        (1_001, 0, 0, "broker"),
        (0, 1_000, 0, "producer"),
        (0, 1_001, 0, "consumers"),
        (1_500, 2_000, 0, "consumers"),
        (2_000, 1_500, 0, "broker"),
        (2_000, 2_000, 0, "broker"),
        // The consumers went on long after the last record was sent.
        (0, 0, 2_500, "producer"),
        (2_000, 0, 2_501, "consumers"),
    ] {
        let found = side(AT_MAX, client_ms, consumers_ms, tail_ms);
        assert_eq!(found.as_deref(), Some(expected), "{client_ms} {consumers_ms} {tail_ms}");
    }
    assert_eq!(side(PACED, 2_000, 0, 0), None);
}

#[test]
fn a_summary_has_the_account_the_rates_and_what_they_mean() {
    let (measurements, collector) = half_processed();
    let plan = plan_of(PACED);
    let facts = RunFacts { until: ms(40_000), measured: measured(), ..RunFacts::default() };
    let summary = assemble(&plan, &facts, &measurements, &collector);
    let ledger = &summary.ledger;
    assert_eq!((ledger.sent, ledger.delivered, ledger.unread, ledger.lost), (100, 50, 50, 0));
    assert_eq!((summary.duration_s, summary.load_lasted_s), (40.0, 40.0));
    assert_eq!((summary.offered, summary.offered_per_s), (Some(100), Some(2.5)));
    assert_eq!(summary.offered_bytes_per_s, Some(250.0));
    assert_eq!((summary.achieved_per_s, summary.not_processed), (1.25, 50));
    assert_eq!((summary.overloaded.len(), summary.keeps_up), (1, Some(false)));
    assert_eq!(summary.expectations.len(), plan.expectations.len());
    assert_eq!(summary.partitions.len(), 2);
    let so_far = RunFacts { ended: Ended::NotYet, ..facts };
    let summary = assemble(&plan, &so_far, &measurements, &collector);
    assert_eq!((summary.verdict, summary.keeps_up), (Verdict::CutOff, None));
    assert_eq!((summary.ledger.sent, summary.ledger.delivered), (100, 50));
}

#[test]
fn the_cpu_time_of_a_partition_is_that_of_its_thread_or_a_share_of_it() {
    let (_, mut collector) = half_processed();
    collector.cost = CostMeter::with_threads(&[("consumer-3", 1.5), ("consumers", 4.0)]);
    let of = |consumers: &str, consumer| {
        let plan = plan_of(&format!("{PACED}\n[consumers]\n{consumers}"));
        cpu(&plan, consumer, 0.25, &collector)
    };
    assert_eq!(of("", Some(3)), (Some(1.5), false));
    assert_eq!(of("", Some(4)), (None, false));
    assert_eq!(of("", None), (None, false));
    assert_eq!(of("clients = \"shared\"", Some(3)), (Some(1.0), true));
    // The only member has both partitions.
    assert_eq!(of("mode = \"group\"\ncount = 1", Some(3)), (Some(0.75), true));
}

//! With any rules, every sent record gets its answer, and every record of a log is read once and in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{RuledConsumer, RuledProducer};
use crate::base::{
    ConsumerId, FillerRing, Offset, PartitionId, PoolId, ProducerId, RecordView, RunId, Seed,
    Stamp, StampCheck, Time, verify,
};
use crate::broker::{
    Answers, BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, Flow, ProducerPort,
    SendError, SendRecord, StampedRecord,
};
use crate::fault::{Call, CallAction, CallError, CallRule, Targets};
use crate::logic::ActiveFaults;
use crate::measure::{Ack, Outcome};

const PARTITIONS: u32 = 2;
const STEP: Duration = Duration::from_millis(1);

fn active_faults() -> Arc<ActiveFaults> {
    Arc::new(ActiveFaults::new(PARTITIONS, PARTITIONS, 1, Seed(1)))
}

fn action() -> impl Strategy<Value = CallAction> {
    prop_oneof![
        (1u64..30).prop_map(|ms| CallAction::Delay(Duration::from_millis(ms))),
        Just(CallAction::Drop),
        Just(CallAction::LoseAnswer),
        Just(CallAction::Error(CallError::Retriable)),
        Just(CallAction::Error(CallError::Fatal)),
    ]
}

/// Rules: an action, the share of calls that it applies to, and a partition.
fn rules(without_fatal: bool) -> impl Strategy<Value = Vec<(CallAction, f64, u32)>> {
    let rule = (action(), 0.05..1.0, 0..PARTITIONS);
    let kept = move |(action, ..): &(CallAction, f64, u32)| {
        !(without_fatal && *action == CallAction::Error(CallError::Fatal))
    };
    proptest::collection::vec(rule.prop_filter("not fatal", kept), 0..4)
}

fn arm(active_faults: &ActiveFaults, call: Call, rules: &[(CallAction, f64, u32)]) {
    for (number, (action, share, partition)) in rules.iter().enumerate() {
        let rule = CallRule { call, action: *action, share: *share, count: None };
        let targets = Targets::Partitions(vec![PartitionId(*partition)]);
        active_faults.calls().arm(number, number, rule, targets);
    }
}

/// Accepts and acknowledges every record.
#[derive(Default)]
struct Sink(Vec<(PartitionId, u64)>, Vec<Ack>);

impl ProducerPort for Sink {
    fn send(&mut self, _now: Time, record: &SendRecord<'_>) -> Result<(), SendError> {
        let SendRecord { producer, partition, sequence, payload, .. } = *record;
        assert!(matches!(verify(payload, RunId(1)), StampCheck::Intact(_)));
        self.0.push((partition, sequence));
        let (sent, at, outcome) = (Time::ZERO, Time::ZERO, Outcome::Acked);
        let offset = None;
        self.1.push(Ack { producer, partition, sequence, offset, sent, at, outcome });
        Ok(())
    }

    fn answers(&mut self, _now: Time, _wait: Duration, answers: &mut Answers) {
        answers.acks.append(&mut self.1);
    }

    fn ensure_partitions(&mut self, _now: Time, _partitions: u32) -> bool {
        true
    }

    fn give_up(&mut self, _now: Time, _limit: Duration) {}
}

/// A client of a log with `length` records in each partition, which returns a few with each poll.
struct Source {
    length: i64,
    next: BTreeMap<PartitionId, i64>,
}

impl ConsumerPort for Source {
    fn submit(&mut self, _now: Time, command: ConsumerCommand) -> Result<(), BrokerError> {
        if let ConsumerCommand::Assign(partition, from) | ConsumerCommand::Seek(partition, from) =
            command
        {
            self.next.insert(partition, from.0);
        }
        Ok(())
    }

    fn poll(&mut self, now: Time, _wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        for (partition, next) in &mut self.next {
            for _ in 0..3 {
                if *next == self.length {
                    events.end_of_partition(*partition);
                    break;
                }
                let at = Offset(*next);
                *next += 1;
                if events.record(*partition, at, &RecordView::from(&at.0.to_le_bytes()[..]), now)
                    == Flow::Stop
                {
                    return now;
                }
            }
        }
        now
    }

    fn close(self: Box<Self>, _limit: Duration) -> bool {
        true
    }
}

#[derive(Default)]
struct Seen {
    records: BTreeMap<PartitionId, Vec<i64>>,
    ended: BTreeMap<PartitionId, i64>,
    errors: usize,
}

impl ConsumerEvents for Seen {
    fn present(&mut self, _now: Time) {}

    fn record(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        record: &RecordView<'_>,
        _arrived: Time,
    ) -> Flow {
        assert_eq!(record.value, offset.0.to_le_bytes());
        self.records.entry(partition).or_default().push(offset.0);
        if offset.0 % 7 == 0 { Flow::Stop } else { Flow::More }
    }

    fn end_of_partition(&mut self, partition: PartitionId) {
        let so_far = self.records.get(&partition).map_or(0, Vec::len);
        self.ended.insert(partition, so_far as i64);
    }

    fn assigned(&mut self, _now: Time, _partitions: &[PartitionId]) {}

    fn revoked(&mut self, _now: Time, _partitions: &[PartitionId]) {}

    fn error(&mut self, _now: Time, _error: BrokerError) {
        self.errors += 1;
    }
}

proptest! {
    #[test]
    fn every_record_that_was_taken_is_answered_once_and_partitions_keep_their_order(
        rules in rules(false),
        ends_early in any::<bool>(),
    ) {
        let mut now = Time::ZERO;
        let active_faults = active_faults();
        arm(&active_faults, Call::Produce, &rules);
        let mut port = RuledProducer::new(Sink::default(), PoolId(0), active_faults.clone());
        let (mut answers, mut taken) = (Answers::default(), 0);
        let ring = Arc::new(FillerRing::new(64, 1, Seed(1)));
        for sequence in 0..100 {
            for partition in (0..PARTITIONS).map(PartitionId) {
                let (run, producer) = (RunId(1), ProducerId(0));
                let (intended, sent) = (now, now);
                let stamp = Stamp { run, producer, partition, sequence, intended, sent };
                let record = StampedRecord { stamp, ring: &ring, position: 0, is_alone: false };
                let accepted = match sequence % 2 {
                    0 => port.send(now, &record.with_payload(&mut Vec::new())),
                    _ => port.send_stamped(now, &record),
                };
                taken += usize::from(accepted.is_ok());
            }
            port.answers(now, Duration::ZERO, &mut answers);
            now = now + STEP;
        }
        if ends_early {
            port.give_up(now, Duration::ZERO);
        }
        active_faults.calls().clear();
        for _ in 0..40 {
            port.answers(now, Duration::ZERO, &mut answers);
            now = now + STEP;
        }
        prop_assert_eq!(answers.acks.len(), taken);
        let mut answered: Vec<_> = answers.acks.iter().map(|ack| (ack.partition, ack.sequence)).collect();
        answered.sort_unstable();
        answered.dedup();
        prop_assert_eq!(answered.len(), taken);
        let acked = answers.acks.iter().filter(|ack| ack.outcome == Outcome::Acked).count();
        let lost = answers.errors.get("answer lost by a fault").map_or(0, |count| *count as usize);
        prop_assert_eq!(acked + lost, port.inner().0.len());
        for partition in (0..PARTITIONS).map(PartitionId) {
            let sent = port.inner().0.iter().filter(|(of, _)| *of == partition);
            prop_assert!(sent.map(|(_, sequence)| sequence).is_sorted());
        }
    }

    #[test]
    fn every_record_of_a_log_comes_once_and_in_order(rules in rules(true)) {
        let mut now = Time::ZERO;
        let active_faults = active_faults();
        let source = Source { length: 60, next: BTreeMap::new() };
        let mut port = RuledConsumer::new(source, None, active_faults.clone());
        for partition in (0..PARTITIONS).map(PartitionId) {
            port.submit(now, ConsumerCommand::Assign(partition, Offset(0))).expect("taken");
        }
        arm(&active_faults, Call::Fetch, &rules);
        let mut seen = Seen::default();
        for round in 0..600 {
            if round == 300 {
                active_faults.calls().clear();
            }
            port.poll(now, Duration::ZERO, &mut seen);
            now = now + STEP;
        }
        for partition in (0..PARTITIONS).map(PartitionId) {
            prop_assert_eq!(&seen.records[&partition], &(0..60).collect::<Vec<i64>>());
            prop_assert_eq!(seen.ended[&partition], 60);
        }
        let is_refused = |(action, ..): &(CallAction, f64, u32)| {
            *action == CallAction::Error(CallError::Retriable)
        };
        prop_assert!(seen.errors == 0 || rules.iter().any(is_refused));
    }
}

#[test]
fn what_was_held_back_or_dropped_is_forgotten_when_the_partition_is_read_anew() {
    let mut now = Time::ZERO;
    let active_faults = active_faults();
    let source = Source { length: 5, next: BTreeMap::new() };
    let mut port = RuledConsumer::new(source, None, active_faults.clone());
    port.submit(now, ConsumerCommand::Assign(PartitionId(0), Offset(0))).expect("taken");
    arm(&active_faults, Call::Fetch, &[(CallAction::Delay(STEP * 10), 1.0, 0)]);
    let mut seen = Seen::default();
    port.poll(now, Duration::ZERO, &mut seen);
    port.submit(now, ConsumerCommand::Assign(PartitionId(0), Offset(2))).expect("taken");
    for _ in 0..40 {
        port.poll(now, Duration::ZERO, &mut seen);
        now = now + STEP;
    }
    assert_eq!(seen.records[&PartitionId(0)], [2, 3, 4]);
}

#[test]
fn a_client_that_breaks_names_its_fault_for_every_consumer_it_reads_for() {
    let now = Time::ZERO;
    let active_faults = active_faults();
    let source = Source { length: 5, next: BTreeMap::new() };
    let mut port = RuledConsumer::new(source, None, active_faults.clone());
    for partition in (0..PARTITIONS).map(PartitionId) {
        port.submit(now, ConsumerCommand::Assign(partition, Offset(0))).expect("taken");
    }
    let rule = CallRule {
        call: Call::Fetch,
        action: CallAction::Error(CallError::Fatal),
        share: 1.0,
        count: None,
    };
    active_faults.calls().arm(0, 4, rule, Targets::Consumers(vec![ConsumerId(1)]));
    let mut seen = Seen::default();
    port.poll(now, Duration::ZERO, &mut seen);
    port.poll(now, Duration::ZERO, &mut seen);
    assert_eq!((seen.errors, seen.records.contains_key(&PartitionId(1))), (1, false));
    let causes = [0, 1].map(|consumer| active_faults.take_cause(ConsumerId(consumer)));
    assert_eq!(causes, [Some(4), Some(4)]);
}

/// Returns a record with each poll, which has just arrived.
struct Timed(i64);

impl ConsumerPort for Timed {
    fn submit(&mut self, _now: Time, _command: ConsumerCommand) -> Result<(), BrokerError> {
        Ok(())
    }

    fn poll(&mut self, now: Time, _wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        events.record(PartitionId(0), Offset(self.0), &RecordView::default(), now);
        self.0 += 1;
        now
    }

    fn close(self: Box<Self>, _limit: Duration) -> bool {
        true
    }
}

/// The present time. For each record: offset, and the times in milliseconds at which it was handed over and at which it
/// arrived.
struct Times(Time, Vec<(i64, i64, i64)>);

impl ConsumerEvents for Times {
    fn present(&mut self, _now: Time) {}

    fn record(
        &mut self,
        _partition: PartitionId,
        offset: Offset,
        _record: &RecordView<'_>,
        arrived: Time,
    ) -> Flow {
        let ms = |at: Time| at.0 / 1_000_000;
        self.1.push((offset.0, ms(self.0), ms(arrived)));
        Flow::More
    }

    fn end_of_partition(&mut self, _partition: PartitionId) {}

    fn assigned(&mut self, _now: Time, _partitions: &[PartitionId]) {}

    fn revoked(&mut self, _now: Time, _partitions: &[PartitionId]) {}

    fn error(&mut self, _now: Time, _error: BrokerError) {}
}

#[test]
fn a_delayed_record_is_in_the_client_later_and_what_comes_behind_it_waits_there() {
    let active_faults = active_faults();
    let mut port = RuledConsumer::new(Timed(0), None, active_faults.clone());
    let mut times = Times(Time::ZERO, Vec::new());
    for round in 0..6 {
        if round == 1 {
            arm(&active_faults, Call::Fetch, &[(CallAction::Delay(STEP * 3), 1.0, 0)]);
        } else if round == 2 {
            active_faults.calls().clear();
        }
        port.poll(times.0, Duration::ZERO, &mut times);
        times.0 = times.0 + STEP;
    }
    // Record 1 is delayed by 3 ms. Records 2 and 3 had arrived when it was handed over.
    assert_eq!(times.1, [(0, 0, 0), (1, 4, 4), (2, 4, 2), (3, 4, 3), (4, 4, 4), (5, 5, 5)]);
}

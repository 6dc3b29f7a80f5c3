//! The sum of parts equals the counts of one process.

use proptest::prelude::*;

use super::*;
use crate::base::{ConsumerId, Incarnation, RunId, Stamp};
use crate::measure::{Ack, Content, Outcome, Owner, Processed};

const PARTITIONS: u32 = 5;
const SHARES: u32 = 3;

/// The outcome of a record.
#[derive(Clone, Copy, Debug)]
struct Fate {
    producer: u32,
    partition: u32,
    outcome: u8,
    /// Number of times that the record is appended.
    copies: u8,
    /// True if its acknowledgement has an offset.
    has_offset: bool,
    /// True if the consumer passes its offset without reading it, so that the record is lost.
    is_passed: bool,
}

fn fate() -> impl Strategy<Value = Fate> {
    let copies = prop_oneof![8 => Just(1_u8), 1 => Just(2), 1 => Just(0)];
    let rarely = || prop_oneof![9 => Just(false), 1 => Just(true)];
    (0_u32..7, 0..PARTITIONS, 0_u8..6, copies, rarely(), rarely()).prop_map(
        |(producer, partition, outcome, copies, no_offset, is_passed)| Fate {
            producer,
            partition,
            outcome,
            copies,
            has_offset: !no_offset,
            is_passed,
        },
    )
}

fn shape(fixed: bool) -> LaneShape {
    LaneShape { fixed, partitions: PARTITIONS, pools: SHARES }
}

/// Makes the processes in `all` send, acknowledge and read the records. Consumers end before the last `unread` records
/// of a log.
fn happen(all: &[Measurements], fates: &[Fate], fixed: bool, unread: usize) {
    let mut logs: Vec<Vec<(Stamp, bool)>> = vec![Vec::new(); PARTITIONS as usize];
    for (number, fate) in fates.iter().enumerate() {
        let producer = ProducerId(fate.producer);
        let partition =
            PartitionId(if fixed { fate.producer % PARTITIONS } else { fate.partition });
        let at = Time(number as i64 * 1_000);
        let pool = PoolId(fate.producer % SHARES);
        let sender = all.iter().find(|one| one.share.is_none_or(|share| share.has_pool(pool)));
        let mut pool = sender.expect("a sender").pools[pool.0 as usize].lock();
        let sequence = pool.sent(producer, partition, at, at);
        let stamp = Stamp { run: RunId(1), producer, partition, sequence, intended: at, sent: at };
        let log = &mut logs[partition.0 as usize];
        let offset = Some(Offset(log.len() as i64)).filter(|_| fate.has_offset);
        (0..fate.copies).for_each(|_| log.push((stamp, fate.is_passed)));
        let outcome = match fate.outcome {
            0 => Outcome::Failed,
            1 => Outcome::Indeterminate,
            _ if fate.copies == 0 => Outcome::Failed,
            _ => Outcome::Acked,
        };
        let ack = Ack { producer, partition, sequence, offset, sent: at, at, outcome };
        pool.resolve(&[ack], |_| Offset(0));
    }
    for (id, log) in (0..).map(PartitionId).zip(&logs) {
        let reader = all.iter().find(|one| one.reads(id)).expect("a reader");
        let owner = Owner { consumer: ConsumerId(id.0), incarnation: Incarnation(1) };
        let read = log.len().saturating_sub(unread);
        let batch = log[..read].iter().enumerate().filter(|(_, (_, is_passed))| !is_passed);
        let batch: Vec<Processed> = batch
            .map(|(offset, (stamp, _))| Processed {
                offset: Offset(offset as i64),
                content: Content::Intact(*stamp),
                handed: Time(1_000_000).into(),
                done: Time(1_000_000),
                bytes: 100,
            })
            .collect();
        let mut cell = reader.cell(id).lock();
        cell.take_over(owner, Time(0));
        cell.apply(owner, &batch);
        drop(cell);
        let mut ends = BTreeMap::from([(id, (Offset(0), Offset(log.len() as i64)))]);
        ends.extend(
            (0..PARTITIONS).map(PartitionId).filter_map(|it| Some((it, reader.end_of(it)?))),
        );
        reader.set_ends(ends);
    }
}

/// The parts of processes with these measurements, written and read.
fn parts(all: &[Measurements]) -> Vec<SharePart> {
    let positions: BTreeMap<PartitionId, (Offset, Offset)> = all
        .iter()
        .flat_map(|one| one.own_cells().map(|(id, _)| (id, one.unread_bounds(id))))
        .collect();
    let part = |one: &Measurements| {
        one.count_unread(&positions);
        let collector =
            Collector::new(PARTITIONS as usize, Time::ZERO, (Time::ZERO, Time(1_000_000)));
        let mut part = empty(one.share.expect("a share"));
        one.into_part(&mut part, &collector);
        let text = serde_json::to_string(&part).expect("written");
        serde_json::from_str(&text).expect("read")
    };
    all.iter().map(part).collect()
}

fn empty(share: Share) -> SharePart {
    SharePart {
        run_id: "run".to_owned(),
        digest: "digest".to_owned(),
        until: Time(1_000_000),
        over: Time(1_000_000),
        measured: (Time::ZERO, Time(1_000_000)),
        ..SharePart::empty(share)
    }
}

fn measurements(fixed: bool, share: Option<Share>) -> Measurements {
    let mut one = Measurements::new(shape(fixed), &[Offset(0); PARTITIONS as usize]);
    one.share = share;
    one.begin(Time::ZERO, (Time::ZERO, Time(1_000_000)), Vec::new());
    one
}

fn plan(fixed: bool) -> Plan {
    let choice = if fixed { "fixed" } else { "round-robin" };
    let text = format!(
        "[topic]\nname = \"t\"\npartitions = {PARTITIONS}\n[load]\nproducers = 7\nrate = \"1/s\"\npartition = \"{choice}\"\n"
    );
    let source = crate::scenario::Source { name: "test.toml".to_owned(), text };
    let overrides = crate::plan::Overrides {
        bootstrap: Some("127.0.0.1:9092".to_owned()),
        share: Some(Share { number: 1, count: SHARES }),
        ..crate::plan::Overrides::default()
    };
    let (plan, found) = crate::plan::compile(&source, &[], &overrides);
    plan.unwrap_or_else(|| panic!("{found:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn merged_parts_have_the_ledgers_of_one_process(
        fates in proptest::collection::vec(fate(), 0..120),
        fixed in any::<bool>(),
        unread in 0_usize..6,
    ) {
        let whole = measurements(fixed, None);
        happen(std::slice::from_ref(&whole), &fates, fixed, unread);
        let all: Vec<Measurements> =
            Share::all(SHARES).map(|share| measurements(fixed, Some(share))).collect();
        happen(&all, &fates, fixed, unread);
        let parts = parts(&all);
        let merged = Measurements::of_parts(&plan(fixed), &parts);
        prop_assert_eq!(merged.ledgers(), whole.ledgers());
        prop_assert!(merged.not_covered.is_empty());
        // Without one of the parts, no record counts as lost that the missing process may have read.
        let merged = Measurements::of_parts(&plan(fixed), &parts[..2]);
        for (id, (ledger, whole)) in merged.ledgers().iter().zip(whole.ledgers()).enumerate() {
            let share = Share { number: SHARES, count: SHARES };
            prop_assert_eq!(merged.not_covered.contains(&PartitionId(id as u32)), share.reads(PartitionId(id as u32)));
            prop_assert_eq!(ledger.unaccounted(), 0);
            match share.reads(PartitionId(id as u32)) {
                true => prop_assert_eq!((ledger.lost, ledger.unread, ledger.not_covered), (0, 0, ledger.acked)),
                false => prop_assert!(ledger.lost <= whole.lost + whole.unread && ledger.not_covered == 0),
            }
        }
    }
}

#[test]
fn a_lost_process_makes_the_run_invalid_and_is_named() {
    let all: Vec<Measurements> =
        Share::all(SHARES).map(|share| measurements(true, Some(share))).collect();
    let fates: Vec<Fate> = (0..70)
        .map(|k| Fate {
            producer: k % 7,
            partition: 0,
            outcome: 2,
            copies: 1,
            has_offset: true,
            is_passed: false,
        })
        .collect();
    happen(&all, &fates, true, 0);
    let all_parts = parts(&all);
    let plan = plan(true);
    let merged = |parts: &[SharePart], lost: &BTreeMap<u32, String>| {
        merge_parts(&plan, parts, lost, &Measurements::of_parts(&plan, parts), None)
    };
    let whole = merged(&all_parts, &BTreeMap::new());
    assert_eq!((whole.ledger.sent, whole.ledger.delivered, whole.ledger.lost), (70, 70, 0));
    let shares = whole.shares.expect("shares");
    assert_eq!((shares.count, shares.lost().count(), shares.not_covered.len()), (3, 0, 0));
    let sent: Vec<u64> = shares.processes.iter().map(|share| share.sent).collect();
    assert_eq!(sent, [30, 20, 20]);

    let lost = BTreeMap::from([(2, "it was not heard of for 10 s".to_owned())]);
    let without = [all_parts[0].clone(), all_parts[2].clone()];
    let partial = merged(&without, &lost);
    assert_eq!(partial.verdict, crate::summary::Verdict::Invalid);
    let reason = partial.invalid_reasons.join("; ");
    assert!(reason.contains("share 2 of 3 was lost: it was not heard of for 10 s"), "{reason}");
    assert_eq!(partial.ledger.lost, 0);
    let shares = partial.shares.expect("shares");
    assert_eq!(shares.not_covered, [1, 4]);
    // Producers 1 and 4 of 10 records each; of those only producer 1 writes to partition 1, and 4 to 4.
    assert_eq!(partial.ledger.sent, 50);
    assert!(partial.ledger.not_covered > 0 || shares.delivered_of_lost > 0);
}

#[test]
fn what_is_said_of_a_process_is_what_it_has_measured_alone() {
    let share = Share { number: 2, count: SHARES };
    let clock = ShareClock {
        machine: Some("b".to_owned()),
        is_same: false,
        offset_ns: -1_500_000,
        bound_ns: 20_000,
    };
    let mut part = SharePart { clock, host: Some("second".to_owned()), ..empty(share) };
    part.alone.consumers_started = 2;
    part.alone.lateness_us.p99 = Some(70.0);
    part.alone.cost.cpu_s = Some(1.5);
    part.alone.cost.rss_max_bytes = Some(9);
    let known = ShareSummary { share: 2, producers: 4, ..ShareSummary::default() };
    let said = of_part(known, &part);
    assert_eq!((said.share, said.producers, said.state), (2, 4, ShareState::Complete));
    assert_eq!((said.host.as_deref(), said.same_clock), (Some("second"), false));
    assert_eq!((said.clock_offset_us, said.clock_bound_us), (Some(-1_500.0), Some(20.0)));
    assert_eq!((said.consumers_started, said.lateness_p99_us), (2, Some(70.0)));
    assert_eq!((said.cpu_s, said.rss_max_bytes), (Some(1.5), Some(9)));
    part.ended = Ended::NotYet;
    assert_eq!(of_part(ShareSummary::default(), &part).state, ShareState::Interrupted);
}

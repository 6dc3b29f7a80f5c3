//! A partition before and after faults, record by record.

use super::*;

fn ms(ms: i64) -> Time {
    Time(ms * 1_000_000)
}

/// Faults 0 and 1 at 10 s, and fault 2 at 20 s, each with 5 s before and after it.
fn watch() -> FaultWatch {
    let window = |seconds: i64, faults: Range<usize>| FaultWindows {
        at: ms(seconds * 1_000),
        faults,
        quiet: (ms(seconds * 1_000 - 5_000), ms(seconds * 1_000)),
        disturbed: (ms(seconds * 1_000), ms(seconds * 1_000 + 5_000)),
    };
    FaultWatch::new(
        Time::ZERO,
        (ms(1_000), ms(30_000)),
        [window(10, 0..2), window(20, 2..3)].into(),
    )
}

/// A record that was due and sent at one time and done at another, in milliseconds.
fn processed(watch: &mut FaultWatch, offset: i64, sent: i64, done: i64) -> RecordFindings {
    let response_ns = Some(ms(done).since_ns(ms(sent)));
    let sent = Some(ms(sent));
    watch.processed(&ProcessedRecord { offset: Offset(offset), sent, response_ns, done: ms(done) })
}

#[test]
fn a_stall_lasts_while_records_wait_and_none_is_processed() {
    let mut watch = watch();
    let stall_ms = |found: RecordFindings| found.stall_ns / 1_000_000;
    // From the send, from the record before, and from when there was last nothing to read.
    assert_eq!(stall_ms(processed(&mut watch, 0, 2_000, 2_007)), 7);
    assert_eq!(stall_ms(processed(&mut watch, 1, 2_000, 2_010)), 3);
    watch.observed(false, ms(2_050), ms(2_060));
    assert_eq!(stall_ms(processed(&mut watch, 2, 2_020, 2_070)), 20);
    assert_eq!(watch.longest_stall_ns(ms(9_000)), 20_000_000);
    // A record without a stamp shows no stall and no age.
    let record =
        ProcessedRecord { offset: Offset(3), sent: None, response_ns: None, done: ms(3_000) };
    let found = watch.processed(&record);
    assert_eq!((found.stall_ns, found.age_ns, found.lag), (0, 0, 0));
    // A current stall is known if records wait.
    watch.observed(true, ms(4_000), ms(4_001));
    watch.observed(true, ms(4_500), ms(4_501));
    assert_eq!(watch.stands_still_since(), Some(ms(4_001)));
    assert_eq!(watch.longest_stall_ns(ms(4_101)), 100_000_000);
}

#[test]
fn a_stall_is_measured_within_the_window_only() {
    let mut watch = watch();
    processed(&mut watch, 0, 500, 1_100);
    assert_eq!(watch.longest_stall_ns(ms(2_000)), 100_000_000);
}

#[test]
fn records_that_wait_are_counted_where_there_are_faults() {
    for (watch, expected) in [
        (&mut watch(), [1, 2, 3, 1]),
        (&mut FaultWatch::new(Time::ZERO, (Time::ZERO, ms(1)), [].into()), [0; 4]),
    ] {
        let records = [(0, 100, 200), (1, 110, 210), (2, 120, 220), (3, 215, 230)];
        let lags = records.map(|(offset, sent, done)| processed(watch, offset, sent, done).lag);
        assert_eq!(lags[..3], expected[..3]);
        assert_eq!(lags[3] > 0, expected[3] > 0);
    }
}

#[test]
fn each_occurrence_has_the_window_of_its_instant() {
    let mut watch = watch();
    let times = [0, 1, 2, 3].map(|fault| watch.fault_at(fault));
    assert_eq!(times, [Some(ms(10_000)), Some(ms(10_000)), Some(ms(20_000)), None]);
    let known = |watch: &FaultWatch| [0, 1, 2, 3].map(|fault| watch.effect(fault).is_some());
    watch.reach(ms(9_999));
    assert_eq!(known(&watch), [false; 4]);
    watch.reach(ms(10_000));
    assert_eq!(known(&watch), [true, true, false, false]);
    watch.reach(ms(30_000));
    assert_eq!(known(&watch), [true, true, true, false]);
}

#[test]
fn a_fault_has_hit_a_partition_whose_stall_is_out_of_the_ordinary() {
    // More than 100 ms, and more than three times the longest quiet stall.
    for (quiet, stall, is_hit) in
        [(10, 100, false), (10, 101, true), (50, 150, false), (50, 151, true)]
    {
        let mut watch = watch();
        processed(&mut watch, 0, 6_000, 6_000 + quiet);
        let found = processed(&mut watch, 1, 11_000, 11_000 + stall);
        assert_eq!(found.hit_by, is_hit.then_some(0..2), "{quiet} {stall}");
        let effect = watch.effect(1).expect("it was due");
        assert_eq!(
            (effect.quiet.stall_ns, effect.stall_ns),
            (quiet * 1_000_000, stall * 1_000_000)
        );
        assert_eq!(effect.is_hit(), is_hit);
    }
    // A stall after the disturbed window is not an effect of the fault.
    let mut watch = watch();
    assert_eq!(processed(&mut watch, 0, 15_000, 15_500).hit_by, None);
    assert_eq!(watch.effect(0).expect("it was due").stall_ns, 0);
}

#[test]
fn a_partition_that_stands_still_to_the_end_is_hit_by_it() {
    let mut watch = watch();
    watch.observed(true, ms(20_000), ms(20_100));
    assert_eq!(watch.end(ms(20_300)), Some(2..3));
    // Across a fault: it did so before.
    let mut watch = self::watch();
    watch.observed(true, ms(9_000), ms(9_100));
    watch.reach(ms(10_000));
    assert_eq!(watch.effect(0).expect("it was due").quiet.stall_ns, 900_000_000);
}

#[test]
fn figures_before_a_fault_are_of_its_quiet_window_and_slow_is_what_is_above_their_p99() {
    let mut watch = watch();
    processed(&mut watch, 0, 4_000, 4_999);
    for offset in 1..=100 {
        let at = 5_000 + offset * 40;
        processed(&mut watch, offset, at, at + offset % 2 + 1);
    }
    processed(&mut watch, 101, 10_000, 10_002);
    processed(&mut watch, 102, 10_100, 10_150);
    processed(&mut watch, 103, 15_000, 15_100);
    let effect = *watch.effect(0).expect("it was due");
    assert_eq!((effect.quiet.records, effect.quiet.age_ns, effect.quiet.lag), (100, 2_000_000, 1));
    assert_eq!((effect.quiet.slow, effect.quiet.is_stable), (0, Some(true)));
    assert_eq!((effect.records, effect.slow), (2, 1));
    assert_eq!(watch.quiet(Some(0)), effect.quiet);
    assert_eq!(watch.quiet(Some(2)), Quiet::default(), "it was not due yet");
    // A failure that was not planned is compared with the whole run.
    let ever = watch.quiet(None);
    assert_eq!((ever.records, ever.age_ns, ever.lag), (104, 999_000_000, u64::MAX));
}

#[test]
fn a_quiet_window_that_gets_slower_is_not_stable() {
    for (records, slow, is_stable) in [(100, 3, Some(true)), (100, 4, Some(false)), (18, 4, None)] {
        let mut watch = watch();
        for number in 0..records {
            let is_late = number >= records / 2;
            let is_slow = is_late && number < records / 2 + slow;
            let at = if is_late { 7_500 } else { 5_000 } + number * 10;
            processed(&mut watch, number, at, at + if is_slow { 9 } else { 2 });
        }
        watch.reach(ms(10_000));
        assert_eq!(watch.quiet(Some(0)).is_stable, is_stable, "{records} {slow}");
    }
}

#[test]
fn normal_is_what_was_there_before_but_never_less_than_what_a_record_takes() {
    let quiet = |records, age_ns, lag| Quiet { records, age_ns, lag, ..Quiet::default() };
    let normal = |quiet: Quiet| (quiet.normal_age_ns(), quiet.normal_lag());
    assert_eq!(normal(quiet(9, 5, 0)), (100_000_000, 1));
    assert_eq!(normal(quiet(10, 5, 1)), (1_000_000, 1));
    assert_eq!(normal(quiet(10, 7_000_000, 4)), (7_000_000, 4));
}

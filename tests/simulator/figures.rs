//! Each figure is compared with its known value in a simulated run, whose times are exact, or in a run on the embedded
//! broker.

use crate::support::{self, Finished, Tool};
use lanekeeper::summary::{Summary, Verdict};

fn simulate(text: &str, arguments: &[&str]) -> Finished {
    Tool::run_text(text).args(["--broker", "sim"]).args(arguments.iter().copied()).finish()
}

fn simulated(text: &str) -> Summary {
    simulate(text, &[]).summary()
}

fn expectation<'a>(
    summary: &'a Summary,
    beginning: &str,
) -> &'a lanekeeper::summary::ExpectationSummary {
    let its = summary.expectations.iter().find(|e| e.expression.starts_with(beginning));
    its.unwrap_or_else(|| panic!("no {beginning}: {:?}", summary.expectations))
}

/// Three partitions at 1,000 msg/s each, whose consumers have a capacity of 1,111. A backlog of 6,000 after a crash
/// takes a minute.
const BACKLOG: &str = "[topic]\npartitions = 3\n[load]\nproducers = 300\nrate = \"10/s\"\n\
    [consumers]\nmode = \"group\"\ncount = 3\nwork = { wait = \"900us\" }\n\
    [run]\nwarmup = \"2s\"\nduration = \"58s\"\n\
    [[fault]]\nat = \"15s\"\nkill = { consumer = 1 }\n[expect]\n\"fault[0].recovery\" = \"< 1h\"\n";

#[test]
fn a_backlog_that_is_not_worked_off_is_no_recovery_whatever_is_expected() {
    let finished = simulate(BACKLOG, &[]);
    assert_eq!(finished.code, 1, "{}", finished.output());
    let summary = finished.summary();
    let fault = &summary.faults[0];
    assert_eq!((fault.recovered_ms, fault.not_recovered.len()), (None, 3), "{fault:?}");
    assert!(fault.lag_peak > 4_000 && fault.lag_after.len() >= 5, "{fault:?}");
    let recovery = expectation(&summary, "fault[0].recovery");
    assert!(!recovery.passed && recovery.measured.is_none(), "{recovery:?}");
    assert!(recovery.reason.as_ref().is_some_and(|it| it.contains("not within the run")));
    assert!(finished.stdout.contains("not recovered within the run"), "{}", finished.output());
    // The consumers are fast enough, and the backlog shrinks.
    assert_eq!(summary.keeps_up, Some(true));
}

/// lag / (capacity - rate): one partition at 100 msg/s, a consumer with a capacity of 200, and a stall of 4 s.
#[test]
fn the_time_to_recover_is_backlog_over_spare_capacity() {
    let summary = simulated(
        "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"100/s\"\nphases = \"uniform\"\n\
         [consumers]\nwork = { wait = \"5ms\" }\n[sim]\njitter = \"0s\"\n[run]\nwarmup = \"0s\"\nduration = \"30s\"\n\
         [[fault]]\nat = \"12s\"\nfor = \"4s\"\nstall = { consumer = 0 }\n",
    );
    let fault = &summary.faults[0];
    let recovered_s = fault.recovered_ms.expect("a recovery") / 1e3;
    // A stall of 4 s, then 400 records at 200 - 100 msg/s.
    assert!((recovered_s - 8.0).abs() < 0.1, "{recovered_s} s: {fault:?}");
    assert_eq!(fault.partitions_hit, [0]);
    let stalled_ms = summary.partitions[0].longest_stall_ms;
    assert!((stalled_ms - 4_000.0).abs() < 20.0, "{stalled_ms} ms");
}

#[test]
fn the_worst_partition_of_a_crash_is_named_although_the_crash_was_not_aimed_at_it() {
    let summary =
        Tool::run("guide-claims-before.toml").args(["--broker", "sim"]).finish().summary();
    let fault = &summary.faults[0];
    // The consumer of the worst partition also has the slow partition 4.
    assert!([3, 4, 5].contains(&fault.worst_partition.expect("a partition")), "{fault:?}");
    assert!(!fault.partitions_aimed_at.contains(&fault.worst_partition.expect("a partition")));
    let its = fault.partitions.iter().find(|p| Some(p.partition) == fault.worst_partition);
    let recovery = its.and_then(|p| p.recovery.as_ref()).expect("its way back");
    assert_eq!(recovery.recovered_ms, fault.recovered_ms);
}

/// 18 partitions with skewed keys and 3 ms of work per record. Partition 0 needs more than one consumer.
const OVERLOADED: &str = "[topic]\npartitions = 18\n[load]\nproducers = 500\nrate = \"4/s\"\n\
    partition = \"keyed\"\nkeys = 5000\nskew = 0.8\n[consumers]\nwork = { wait = \"3ms\" }\n\
    [run]\nwarmup = \"5s\"\nduration = \"30s\"\ndrain = \"1s\"\n";

#[test]
fn consumers_that_cannot_keep_up_are_a_finding_and_what_they_leave_is_unread() {
    let finished = simulate(OVERLOADED, &[]);
    assert_eq!(finished.code, 1, "{}", finished.output());
    let summary = finished.summary();
    assert_eq!((summary.verdict, summary.keeps_up), (Verdict::Failed, Some(false)));
    assert_eq!(summary.invalid_reasons, [""; 0]);
    let [overload] = summary.overloaded.as_slice() else { panic!("{:?}", summary.overloaded) };
    assert_eq!(overload.partition, 0);
    let needed = overload.consumers_needed.expect("work");
    assert!((needed - overload.offered_per_s * 0.003).abs() < 0.02 && needed > 1.2, "{overload:?}");
    let ledger = summary.ledger;
    assert_eq!((ledger.lost, ledger.unread), (0, ledger.acked - ledger.delivered));
    assert!(ledger.unread > 1_000 && ledger.unaccounted() == 0, "{ledger:?}");
    // The quantiles are those of the processed records, and the report says so.
    let with = summary.latency_us.response_with_unprocessed.expect("ages");
    assert_eq!(with.count, summary.latency_us.response.count + summary.not_processed);
    assert_eq!(Some(with.count), summary.offered);
    assert!(with.p999 > summary.latency_us.response.p999, "{with:?}");
    assert!(finished.stdout.contains("quantiles are lower bounds"), "{}", finished.output());
    // `check` finds it before the run.
    let check = Tool::new().file("x.toml", OVERLOADED.as_bytes());
    let check = check.args(["check", "x.toml", "--broker", "sim"]).exits(0);
    for (what, text) in [("report", &finished.stdout), ("check", &check.stderr)] {
        let is_said = text
            .lines()
            .any(|line| line.contains("partition 0: 44") && line.contains(" msg/s x 3ms = 1.3"));
        assert!(is_said, "{what}\n{text}");
    }
}

/// Only one partition of member 0 needs more than a consumer. The message has the sum of all its partitions.
#[test]
fn a_member_that_cannot_keep_up_is_named_with_its_partitions_before_the_run_and_after_it() {
    let text = OVERLOADED.replace("[consumers]", "[consumers]\nmode = \"group\"\ncount = 8");
    let finished = simulate(&text, &[]);
    assert_eq!(finished.code, 1, "{}", finished.output());
    let check = Tool::new().file("x.toml", text.as_bytes());
    let check = check.args(["check", "x.toml", "--broker", "sim"]).exits(0);
    let told = "member 0 with partitions 0, 1, 2 = 2.6";
    assert!(check.stderr.contains(told), "{}", check.output());
    let summary = finished.summary();
    let reason = expectation(&summary, "keeps_up").reason.as_deref();
    assert!(reason.is_some_and(|reason| reason.starts_with(told)), "{reason:?}");
}

#[test]
fn a_scenario_that_expects_consumers_to_fall_behind_passes() {
    let text = format!("{OVERLOADED}[expect]\nkeeps_up = false\nunread = \"> 1000\"\n");
    assert_eq!(simulate(&text, &[]).code, 0);
}

#[test]
fn a_partition_stands_still_only_while_records_wait() {
    let quiet = "[topic]\npartitions = 3\n[load]\nproducers = 3\nrate = \"1/s\"\nphases = \"uniform\"\n\
                 [run]\nwarmup = \"1s\"\nduration = \"24s\"\n[[fault]]\nat = \"12s\"\n";
    // A record waits for up to 2.9 s, which is a stall even at one record a second.
    let summary = simulated(&format!("{quiet}for = \"2900ms\"\nstall = {{ consumer = 0 }}\n"));
    assert_eq!(summary.faults[0].partitions_hit, [0], "{:?}", summary.faults[0]);
    // Without sends for 5 s, no record waits and no partition stalls.
    let summary = simulated(&format!("{quiet}for = \"5s\"\npause = {{ pool = \"all\" }}\n"));
    assert_eq!(summary.faults[0].blast_radius, 0, "{:?}", summary.faults[0]);
    for partition in &summary.partitions {
        assert!(partition.longest_stall_ms < 10.0, "{partition:?}");
    }
}

#[test]
fn the_effect_on_others_is_their_stall_and_their_slow_records() {
    let crash = |mode: &str| {
        simulated(&format!(
            "[topic]\npartitions = 6\n[load]\nproducers = 60\nrate = \"10/s\"\n[consumers]\n{mode}\n\
             [run]\nwarmup = \"2s\"\nduration = \"40s\"\n[[fault]]\nat = \"15s\"\nkill = {{ consumer = 0 }}\n"
        ))
    };
    let others = |summary: &Summary| summary.faults[0].others.clone().expect("others");
    let group = others(&crash("mode = \"group\"\ncount = 6"));
    assert!(group.stall_after_ms > 3_000.0 && group.stall_before_ms < 100.0, "{group:?}");
    assert!(group.slow_after > Some(0.2) && group.slow_before <= Some(0.011), "{group:?}");
    let assigned = others(&crash("mode = \"assigned\""));
    assert!(assigned.stall_after_ms < 100.0 && assigned.slow_after < Some(0.03), "{assigned:?}");
    // A partition whose latency drifted before the fault is left out of its effects, and listed.
    let drifting =
        simulated(&format!("{OVERLOADED}[[fault]]\nat = \"20s\"\nkill = {{ consumer = 7 }}\n"));
    assert_eq!(others(&drifting).left_out, [0], "{drifting:?}");
}

/// A scenario with six partitions and 60 producers.
fn q6(load: &str, rest: &str) -> String {
    format!(
        "[topic]\npartitions = 6\n[load]\nproducers = 60\n{load}\n[run]\nwarmup = \"1s\"\n{rest}\n\
         [expect]\nlost = 0\nduplicated = 0\nreordered = 0\ncorrupt = 0\n"
    )
}

#[test]
fn offered_is_what_the_schedule_asked_for() {
    for seed in 1..=20 {
        let text = q6("rate = \"1/s\"\nphases = \"poisson\"", "duration = \"20s\"");
        let finished = simulate(&text, &["--seed", &seed.to_string()]);
        assert_eq!(finished.code, 0, "{}", finished.output());
        let summary = finished.summary();
        assert_eq!(summary.offered, summary.offered_sent, "seed {seed}");
        assert_eq!(summary.offered, Some(summary.latency_us.response.count), "seed {seed}");
    }
    let text = "[topic]\npartitions = 6\n[load]\nproducers = 600\nrate = \"1/m\"\nphases = \"uniform\"\n[run]\nwarmup = \"0s\"\nduration = \"30s\"\n";
    let summary = simulated(text);
    assert_eq!((summary.verdict, summary.offered), (Verdict::Passed, Some(300)));
}

#[test]
fn the_load_lasts_as_long_as_it_says_and_faults_come_in_it() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"1/m\"\nphases = \"uniform\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"110s\"\n[[fault]]\nat = \"100s\"\nkill = { consumer = 0 }\n\
                [expect]\n\"fault[0].recovery\" = \"< 1s\"\n";
    let finished = simulate(text, &[]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let summary = finished.summary();
    assert_eq!((summary.load_lasted_s, summary.duration_s), (110.0, 110.0));
    assert_eq!(summary.faults[0].at_s, Some(100.0));
    assert_eq!(summary.offered, Some(4));
}

#[test]
fn a_fault_that_is_not_reached_fails_its_expectations() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"10/s\"\nmessages = 20\n\
                [run]\nwarmup = \"0s\"\nduration = \"110s\"\n[[fault]]\nat = \"100s\"\nkill = { consumer = 0 }\n\
                [expect]\n\"fault[0].recovery\" = \"< 1h\"\n";
    let finished = simulate(text, &[]);
    assert_eq!(finished.code, 1, "{}", finished.output());
    assert!(finished.stdout.contains("the fault was not reached"), "{}", finished.output());
}

#[test]
fn an_idle_partition_has_recovered_when_it_can_be_read_again() {
    let text = "[topic]\npartitions = 6\n[load]\nproducers = 3\nrate = \"10/s\"\n\
                [run]\nwarmup = \"1s\"\nduration = \"20s\"\n[[fault]]\nat = \"10s\"\nkill = { consumer = 5 }\n\
                [expect]\n\"fault[0].recovery\" = \"< 1s\"\n";
    let finished = simulate(text, &[]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let fault = &finished.summary().faults[0];
    assert!(fault.recovered_ms.is_some_and(|ms| ms > 0.0) && fault.first_record_ms.is_none());
}

#[test]
fn nothing_sent_and_nothing_measured_are_no_success() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"1/h\"\nphases = \"random\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"10s\"\n";
    let summary = simulated(text);
    assert_eq!((summary.verdict, summary.ledger.sent), (Verdict::Failed, 0));
    assert!(!expectation(&summary, "measured").passed);
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 10\nrate = \"100/s\"\nmessages = 100\n\
                [run]\nwarmup = \"1s\"\nduration = \"10s\"\n";
    let summary = simulated(text);
    assert_eq!((summary.verdict, summary.ledger.delivered), (Verdict::Failed, 100));
}

#[test]
fn a_number_of_messages_is_offered_at_the_rate_it_asks_for() {
    for (producers, rate, messages, seconds, expected) in
        [(1, "1/s", 5, 60, 1.0), (10, "40/s", 100, 60, 400.0), (4, "1/m", 4, 3_600, 4.0 / 60.0)]
    {
        let text = format!(
            "[topic]\npartitions = 2\n[load]\nproducers = {producers}\nrate = \"{rate}\"\nmessages = {messages}\n\
             phases = \"uniform\"\n[run]\nwarmup = \"0s\"\nduration = \"{seconds}s\"\n"
        );
        let summary = simulated(&text);
        assert_eq!(summary.verdict, Verdict::Passed, "{summary:?}");
        let offered = summary.offered_per_s.expect("a schedule");
        assert!((offered / expected - 1.0).abs() < 0.001, "{offered} instead of {expected}");
        assert!((summary.achieved_per_s / expected - 1.0).abs() < 0.001, "{summary:?}");
    }
    let text = "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"1/s\"\nphases = \"uniform\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"5s\"\n";
    assert_eq!(simulated(text).achieved_per_s, 1.0);
}

/// The leader is cut off from its followers and accepts records that the next leader never gets.
#[test]
fn a_proven_loss_is_a_failure_and_no_doubt_about_the_tester() {
    let text = q6(
        "rate = \"10/s\"\nacks = \"leader\"\nidempotence = false",
        "duration = \"30s\"\n[sim]\nbrokers = 3\nbroker_session = \"3s\"\nrequest_timeout = \"2s\"\n\
         [[fault]]\nat = \"10s\"\nfor = \"10s\"\nlink_cut = { broker = 1, side = \"brokers\" }",
    );
    let text = text.replacen("[topic]\n", "[topic]\nreplication_factor = 3\n", 1);
    let finished = simulate(&text, &[]);
    assert_eq!(finished.code, 1, "{}", finished.output());
    let summary = finished.summary();
    // Broker 1 leads two partitions, and accepts 100 records a second for each of them for ten seconds.
    assert_eq!((summary.ledger.lost, summary.ledger.unread), (2_000, 0), "{:?}", summary.ledger);
    let mut lost: Vec<u64> = summary.partitions.iter().map(|p| p.ledger.lost).collect();
    lost.sort_unstable();
    assert_eq!(lost, [0, 0, 0, 0, 1_000, 1_000]);
}

/// One request with one record is rejected each second. The next records are in the log before its retry.
#[test]
fn records_that_are_overtaken_are_counted_one_by_one() {
    let summary = simulated(
        "[topic]\npartitions = 3\nreplication_factor = 1\n[load]\nproducers = 3\nrate = \"400/s\"\n\
         phases = \"uniform\"\nidempotence = false\n[sim]\nlatency = \"2ms\"\n[run]\nwarmup = \"0s\"\n\
         duration = \"10s\"\n[[fault]]\nat = \"3s\"\nevery = \"1s\"\n\
         request_error = { api = \"produce\", code = \"not-enough-replicas\", count = 1 }\n",
    );
    let ledger = summary.ledger;
    assert_eq!((summary.faults.len(), ledger.reordered), (7, 7), "{ledger:?}");
    assert_eq!((ledger.lost, ledger.duplicated, ledger.delivered), (0, 0, ledger.sent));
}

/// A delay of each response of the broker is in each acknowledgement and each record. The work on a record is its
/// handling time.
#[test]
fn known_delays_are_measured_exactly() {
    let mean_us = |fault: &str, work: &str| {
        let summary = simulated(&format!(
            "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"1/s\"\nphases = \"uniform\"\n\
             [consumers]\nwork = {{ wait = \"{work}\" }}\n[sim]\nbrokers = 1\njitter = \"0s\"\n\
             [run]\nwarmup = \"2s\"\nduration = \"20s\"\n{fault}"
        ));
        let latency = summary.latency_us;
        let [ack, handling] = [latency.ack.expect("timed"), latency.handling];
        assert_eq!((ack.count, ack.negative), (20, 0));
        (ack.mean.expect("records"), handling.mean.expect("records"))
    };
    let slow =
        "[[fault]]\nat = \"1s\"\nfor = \"1m\"\nbroker_rtt = { broker = 1, delay = \"300ms\" }\n";
    let ((quick, short), (slow, long)) = (mean_us("", "1ms"), mean_us(slow, "7ms"));
    assert!((slow - quick - 300_000.0).abs() < 0.01, "{slow} {quick}");
    assert_eq!((short, long), (1_000.0, 7_000.0));
}

/// Each response is delayed by 800 ms during the whole run. Records arrive late and in bursts, but no later at the end
/// than at the beginning.
#[test]
fn a_slow_but_steady_cluster_is_kept_up_with() {
    let text = "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"10/s\"\n\
                [run]\nwarmup = \"1s\"\nduration = \"14s\"\n[[fault]]\nat = \"100ms\"\nfor = \"20s\"\n\
                broker_rtt = { broker = \"all\", delay = \"800ms\" }\n\
                [expect]\n\"latency.ack.p99\" = \">= 800ms\"\n";
    for seed in 1..=10 {
        let finished = simulate(text, &["--seed", &seed.to_string()]);
        assert_eq!(finished.code, 0, "seed {seed}: {}", finished.output());
    }
}

#[test]
fn an_outage_in_the_window_is_no_doubt_about_the_tester() {
    let text = q6(
        "rate = \"10/s\"",
        "duration = \"20s\"\n[sim]\nbrokers = 3\n[[fault]]\nat = \"5s\"\nfor = \"3s\"\nbroker_down = { broker = \"all\" }",
    );
    let finished = simulate(&text, &[]);
    assert_eq!(finished.summary().invalid_reasons, [""; 0], "{}", finished.output());
    assert!(matches!(finished.code, 0 | 1), "{}", finished.output());
}

#[test]
fn all_times_count_from_the_beginning_of_the_load() {
    let text = "[topic]\npartitions = 4\n[load]\nproducers = 40\nrate = \"10/s\"\n[consumers]\nmode = \"group\"\ncount = 2\n\
                [run]\nwarmup = \"1s\"\nduration = \"9s\"\n[[fault]]\nat = \"4s\"\nfor = \"1s\"\nstall = { consumer = 0 }\n";
    let finished = simulate(text, &["--set", "run.latency_interval=1s"]);
    let summary = finished.summary();
    // The group needs six seconds to form.
    assert!(summary.epoch_to_load_s > 6.0, "{}", summary.epoch_to_load_s);
    let events = finished.read("events.jsonl");
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let at = |name: &str| {
        let event = events.iter().find(|event| event["event"] == name).expect("the event");
        event["at_s"].as_f64().expect("a number")
    };
    assert_eq!(at("fault_injected"), 4.0);
    assert_eq!(summary.faults[0].at_s, Some(4.0));
    assert!(at("consumer_started") < -6.0);
    let seconds = finished.read("seconds.jsonl");
    let first: serde_json::Value =
        serde_json::from_str(seconds.lines().next().expect("a line")).expect("JSON");
    assert_eq!((first["from_s"].as_f64(), first["to_s"].as_f64()), (Some(0.0), Some(1.0)));
    let log = finished.read("latency.hlog");
    assert!(log.contains("#[StartTime: 0.000 (seconds since epoch)]"), "{}", &log[..200]);
    let legend = "\n\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";
    assert!(log.contains(legend), "{}", &log[..400]);
    assert!(log.lines().any(|line| line.contains(",1.000,1.000,")), "{}", &log[..400]);
}

#[test]
fn rates_of_partitions_are_offered_and_processed_and_add_up() {
    let summary = simulated(OVERLOADED);
    let sum = |of: fn(&lanekeeper::summary::PartitionSummary) -> f64| -> f64 {
        summary.partitions.iter().map(of).sum()
    };
    let offered = sum(|p| p.offered_per_s.expect("a schedule"));
    assert!((offered - summary.offered_per_s.expect("a schedule")).abs() < 1e-6);
    assert!((sum(|p| p.processed_per_s) - summary.achieved_per_s).abs() < 1e-6);
    assert!((sum(|p| p.processed_bytes_per_s) - summary.achieved_bytes_per_s).abs() < 1e-3);
    // A value of 100 bytes, and a key of one to four digits.
    let each = summary.achieved_bytes_per_s / summary.achieved_per_s;
    assert!((101.0..=104.0).contains(&each), "{each}");
}

/// Every record is rejected. The run fails with the error and the whole count, although the scenario expects only that
/// no record is lost.
#[test]
fn a_run_in_which_nothing_gets_through_is_no_success() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 4\nrate = \"250/s\"\n\
                [run]\nwarmup = \"1s\"\nduration = \"3s\"\n[expect]\nlost = 0\n\
                [[fault]]\nat = \"0s\"\nfor = \"1m\"\nproduce_call = { pool = \"all\", error = \"fatal\" }\n";
    let finished = Tool::run_text(text).finish();
    assert_eq!(finished.code, 1, "{}", finished.output());
    let summary = finished.summary();
    // The first records may be sent before the fault begins.
    let ledger = &summary.ledger;
    assert!(ledger.failed > 3_000 && ledger.acked < 1_000, "{ledger:?}");
    assert_eq!(ledger.failed + ledger.acked, ledger.sent, "{ledger:?}");
    assert!(!expectation(&summary, "measured").passed);
    let failed = expectation(&summary, "failed");
    let times = format!("({} x)", lanekeeper::base::format_count(ledger.failed));
    assert!(failed.reason.as_ref().is_some_and(|it| it.contains(&times)), "{failed:?}");
    assert_eq!(
        summary.send_errors.values().sum::<u64>(),
        ledger.failed,
        "{:?}",
        summary.send_errors
    );
}

/// A stall of 1.4 s at 100 msg/s delays 140 records by up to 1.4 s, which determines the quantiles.
#[test]
fn a_stall_is_in_the_percentiles_as_arithmetic_says() {
    let text = "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"100/s\"\nphases = \"uniform\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"10s\"\n\
                [[fault]]\nat = \"5s\"\nfor = \"1400ms\"\nstall = { consumer = 0 }\n[expect]\nlost = 0\n";
    for (broker, off_us) in [("sim", 15_000.0), ("embedded", 250_000.0)] {
        let summary = Tool::run_text(text).args(["--broker", broker]).exits(0).summary();
        let response = &summary.latency_us.response;
        // Of 1,000 records, the k-th slowest waited for 1.4 s minus k times 10 ms.
        for (quantile, slower) in
            [(response.p90, 100.0), (response.p95, 50.0), (response.p99, 10.0)]
        {
            let expected_us = 1_400_000.0 - slower * 10_000.0;
            let measured_us = quantile.expect("records");
            assert!((measured_us - expected_us).abs() < off_us, "{broker}: {response:?}");
        }
        assert!(response.max >= Some(1_390_000.0), "{broker}: {response:?}");
    }
}

/// An expectation that cannot hold fails for each figure. A wrong bound, a missing figure or a mistyped name never
/// passes by accident.
#[test]
fn no_expectation_passes_by_accident() {
    let reference = support::text_of("book/src/scenario-reference.md");
    let table = reference.split("<!-- metrics -->").nth(1).expect("the table of figures");
    let mut expectations = String::new();
    let mut count = 0;
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (name, kind) = (cells[1].trim_matches('`').replace("<q>", "p99"), cells[2]);
        // These figures are not measured in this run, and the plan rejects them.
        if ["not with `--broker sim`", "with `--client native`"].iter().any(|it| line.contains(it))
        {
            continue;
        }
        let bound = match kind {
            "time" => "\"< 1ns\"",
            "count" | "number" => "\"< 0\"",
            _ => "\"< 0\"",
        };
        expectations.push_str(&format!("\"{name}\" = {bound}\n"));
        count += 1;
    }
    let text = format!(
        "[topic]\npartitions = 8\n[load]\nproducers = 80\nrate = \"10/s\"\npools = 2\nphases = \"poisson\"\nbacklog = 800\n\
         [[load.stage]]\nfor = \"20s\"\n\
         [consumers]\nmode = \"group\"\ncount = 4\nwork = {{ wait = \"2ms\" }}\n\
         [run]\nwarmup = \"1s\"\nduration = \"29s\"\n[[fault]]\nat = \"10s\"\nkill = {{ consumer = 1 }}\n\
         [expect]\n{expectations}"
    );
    let finished = simulate(&text, &[]);
    assert_eq!(finished.code, 1, "{}", finished.output());
    let summary = finished.summary();
    let own: Vec<_> = summary.expectations.iter().filter(|it| !it.is_default).collect();
    assert_eq!(own.len(), count);
    // In a simulation, records are sent when they are due, and a failure is detected at once.
    let exact_zero = ["lateness.p99", "fault[0].detected", "fault[0].fenced", "fault[0].restarted"];
    for it in own {
        let is_zero = exact_zero.iter().any(|name| it.expression.starts_with(name));
        assert!(!it.passed || is_zero, "{it:?}");
        assert!(it.measured.is_some() || it.reason.is_some(), "{it:?}");
    }
}

//! No expectation holds by accident. For each metric there are two runs that differ in one setting. An expectation of
//! the metric holds in the first run. It cannot hold in the second one, in which the metric has a bad value. A metric
//! that is always 0, always the same, or equal to another one fails in one of the two.

use std::collections::BTreeSet;

use crate::support::{self, Finished, Tool};
use lanekeeper::summary::{METRICS, Verdict};

/// The broker and the client of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum On {
    /// The simulator, in virtual time.
    Sim,
    /// The embedded cluster with librdkafka.
    Embedded,
    /// The embedded cluster with the native client.
    Native,
}

/// Two runs, and the expectations that hold in the first one only. Their scenarios begin with `base` and end with
/// `well` or `ill`.
struct Pair {
    on: On,
    base: &'static str,
    well: &'static str,
    ill: &'static str,
    expected: &'static [(&'static str, &'static str)],
}

/// 6 partitions with 100 records a second each: 1 s of warm-up, a measured window of 10 s, and a drain of 1 s. The last
/// section is the load.
const EVEN: &str = "[topic]\npartitions = 6\n[run]\nwarmup = \"1s\"\nduration = \"10s\"\ndrain = \"1s\"\n\
    [load]\nproducers = 60\nrate = \"10/s\"\n";
/// The same with a measured window of 30 s.
const LONG: &str = "[topic]\npartitions = 6\n[run]\nwarmup = \"1s\"\nduration = \"30s\"\ndrain = \"10s\"\n\
    [load]\nproducers = 60\nrate = \"10/s\"\n";
/// Producers that do not wait for followers, on brokers with short sessions.
const LOOSE: &str = "[topic]\npartitions = 6\n[run]\nwarmup = \"1s\"\nduration = \"14s\"\n\
    [sim]\nbroker_session = \"3s\"\nrequest_timeout = \"2s\"\n\
    [load]\nproducers = 60\nrate = \"10/s\"\nacks = \"leader\"\nidempotence = false\n";
/// Many records in flight at once.
const DENSE: &str = "[topic]\npartitions = 3\nreplication_factor = 1\n\
    [sim]\nlatency = \"2ms\"\n[run]\nwarmup = \"0s\"\nduration = \"10s\"\n[load]\nproducers = 3\nrate = \"400/s\"\n\
    idempotence = false\n";
/// A load with a backlog.
const BEHIND: &str = "[topic]\npartitions = 2\n[run]\nwarmup = \"0s\"\nduration = \"20s\"\ndrain = \"10s\"\n\
    [load]\nproducers = 20\nrate_total = \"200/s\"\nbacklog = 1200\n";
/// A few seconds in real time: two partitions with 50 records a second each.
const BRIEF: &str = "[topic]\npartitions = 2\n[run]\nwarmup = \"500ms\"\nduration = \"3s\"\n\
    [load]\nproducers = 2\nrate = \"50/s\"\n";

const PAIRS: &[Pair] = &[
    Pair {
        on: On::Sim,
        base: EVEN,
        well: "",
        ill: "messages = 500\n",
        expected: &[
            ("sent", "6600"),
            ("acked", "6600"),
            ("delivered", "6600"),
            ("measured", "> 0"),
        ],
    },
    Pair {
        on: On::Sim,
        base: LOOSE,
        well: "",
        ill: "[[fault]]\nat = \"4s\"\nfor = \"6s\"\nlink_cut = { broker = 1, side = \"brokers\" }\n",
        expected: &[("lost", "0")],
    },
    Pair {
        on: On::Sim,
        base: DENSE,
        well: "",
        ill: "[[fault]]\nat = \"3s\"\nrequest_error = { api = \"produce\", code = \"request-timed-out\", count = 5 }\n",
        expected: &[("duplicated", "0")],
    },
    Pair {
        on: On::Sim,
        base: DENSE,
        well: "",
        ill: "[[fault]]\nat = \"3s\"\nevery = \"1s\"\n\
              request_error = { api = \"produce\", code = \"not-enough-replicas\", count = 1 }\n",
        expected: &[("reordered", "0")],
    },
    Pair {
        on: On::Sim,
        base: EVEN,
        well: "",
        ill: "[[fault]]\nat = \"3s\"\nfor = \"1s\"\nproduce_call = { pool = \"all\", error = \"fatal\" }\n",
        expected: &[("failed", "0")],
    },
    Pair {
        on: On::Sim,
        base: EVEN,
        well: "",
        ill: "[[fault]]\nat = \"3s\"\nfor = \"1s\"\nproduce_call = { pool = \"all\", drop = true }\n",
        expected: &[("indeterminate", "0")],
    },
    // The capacity of a consumer is 1,000 records a second, or 67 at a rate of 100.
    Pair {
        on: On::Sim,
        base: EVEN,
        well: "[consumers]\nwork = { wait = \"1ms\" }\n",
        ill: "[consumers]\nwork = { wait = \"15ms\" }\n",
        expected: &[
            ("unread", "0"),
            ("keeps_up", "true"),
            ("achieved_share", ">= 0.99"),
            ("achieved_per_s", ">= 590"),
            ("latency.p50", "< 10ms"),
            ("latency.response.p50", "< 10ms"),
            ("latency.service.p50", "< 10ms"),
            ("latency.waiting.p50", "< 10ms"),
            ("latency.handling.p50", "< 10ms"),
            ("partition[*].rate", ">= 95"),
            ("partition[*].lag_max", "< 50"),
            ("partition[*].latency.p50", "< 10ms"),
            ("partition[*].latency.response.p50", "< 10ms"),
            ("partition[*].latency.service.p50", "< 10ms"),
        ],
    },
    Pair {
        on: On::Sim,
        base: EVEN,
        well: "",
        ill: "[[fault]]\nat = \"1s\"\nfor = \"1m\"\nbroker_rtt = { broker = \"all\", delay = \"800ms\" }\n",
        expected: &[("latency.ack.p50", "< 100ms"), ("latency.fetch.p50", "< 100ms")],
    },
    Pair {
        on: On::Sim,
        base: EVEN,
        well: "[consumers]\npoison = \"skip\"\n",
        ill: "[consumers]\npoison = \"skip\"\n[[fault]]\nat = \"4s\"\npoison = { partition = 2 }\n",
        expected: &[("skipped", "0"), ("restarts", "0")],
    },
    Pair {
        on: On::Sim,
        base: EVEN,
        well: "",
        ill: "[[fault]]\nat = \"4s\"\nfor = \"2s\"\nsecond_owner = { partition = 3 }\n",
        expected: &[("two_owners", "0")],
    },
    Pair {
        on: On::Sim,
        base: LONG,
        well: "[consumers]\nmode = \"group\"\ncount = 3\n",
        ill: "[consumers]\nmode = \"group\"\ncount = 2\n[[fault]]\nat = \"9s\"\nkill = { consumer = 1 }\n",
        expected: &[("consumers_started", "3"), ("rebalances", "0"), ("redelivered", "0")],
    },
    Pair {
        on: On::Sim,
        base: LONG,
        well: "[watchdog]\nabandoned = 1\n[[fault]]\nat = \"9s\"\nhang = { consumer = 1 }\n",
        ill: "[watchdog]\nabandoned = 0\n[[fault]]\nat = \"9s\"\nhang = { consumer = 1 }\n",
        expected: &[("given_up", "0")],
    },
    Pair {
        on: On::Sim,
        base: EVEN,
        well: "",
        ill: "partition = \"random\"\nskew = 1.5\n",
        expected: &[("fairness.rate_cv", "< 0.1")],
    },
    Pair {
        on: On::Sim,
        base: EVEN,
        well: "",
        ill: "[consumers]\nwork_of = { 3 = { wait = \"8ms\" } }\n",
        expected: &[("fairness.p99_spread", "< 2")],
    },
    // Each partition has a backlog of 600 records, which shrinks by 1,000 - 100 or by 125 - 100 a second.
    Pair {
        on: On::Sim,
        base: BEHIND,
        well: "[consumers]\nwork = { wait = \"1ms\" }\n",
        ill: "[consumers]\nwork = { wait = \"8ms\" }\n",
        expected: &[
            ("backlog.read", "< 2s"),
            ("backlog.rate", "> 600"),
            ("backlog.caught_up", "< 2s"),
        ],
    },
    Pair {
        on: On::Sim,
        base: "[topic]\npartitions = 6\n[run]\nwarmup = \"1s\"\n[load]\nproducers = 60\nrate = \"10/s\"\n",
        well: "stage = [{ for = \"10s\", step = \"600/s\" }, { for = \"20s\", pause = true, until = \"lag is 0\" }]\n",
        ill: "stage = [{ for = \"10s\", step = \"590/s\" }, { for = \"20s\", pause = true, until = \"lag is 0\" }]\n\
              [consumers]\nwork = { wait = \"15ms\" }\n",
        expected: &[
            ("stage[0].offered_per_s", ">= 599"),
            ("stage[0].rate", ">= 590"),
            ("stage[0].latency.p50", "< 100ms"),
            ("stage[0].lag_max", "< 100"),
            ("stage[1].lasted", "< 3s"),
        ],
    },
    // A crash is detected at once, and a hang after five seconds.
    Pair {
        on: On::Sim,
        base: LONG,
        well: "[[fault]]\nat = \"12s\"\nkill = { consumer = 1 }\n",
        ill: "[[fault]]\nat = \"12s\"\nfor = \"9s\"\nhang = { consumer = 1 }\n",
        expected: &[
            ("fault[0].detected", "< 1s"),
            ("fault[0].fenced", "< 1s"),
            ("fault[0].restarted", "< 1s"),
            ("fault[0].first_record", "< 1s"),
            ("fault[0].recovery", "< 1s"),
            ("fault[0].lag_peak", "< 100"),
            ("fault[0].blast_radius", "0"),
        ],
    },
    // A crash stops all members of a group, but no other assigned consumer.
    Pair {
        on: On::Sim,
        base: LONG,
        well: "[[fault]]\nat = \"12s\"\nkill = { consumer = 1 }\n",
        ill: "[consumers]\nmode = \"group\"\ncount = 6\ncommit_interval = \"3s\"\n\
              [[fault]]\nat = \"12s\"\nkill = { consumer = 1 }\n",
        expected: &[
            ("fault[0].redelivered", "0"),
            ("fault[0].others_stall", "< 500ms"),
            ("fault[0].others_slow", "< 0.05"),
        ],
    },
    Pair {
        on: On::Sim,
        base: LONG,
        well: "[[fault]]\nat = \"11s\"\nkill = { consumer = 2 }\n[[fault]]\nat = \"12s\"\nkill = { consumer = 1 }\n",
        ill: "[restart]\nbackoff = \"10s\"\n[[fault]]\nat = \"11s\"\ncrash_loop = { consumer = 1, times = 2 }\n\
              [[fault]]\nat = \"12s\"\nkill = { consumer = 1 }\n",
        expected: &[("fault[1].missed", "0")],
    },
    // These values only occur in real time. The bounds are far from both runs.
    Pair {
        on: On::Embedded,
        base: BRIEF,
        well: "",
        ill: "[[fault]]\nat = \"0s\"\nfor = \"1m\"\nfetch_call = { consumer = \"all\", delay = \"3s\" }\n",
        expected: &[("latency.handed_over.p50", "< 2900ms")],
    },
    Pair {
        on: On::Native,
        base: BRIEF,
        well: "",
        ill: "[[fault]]\nat = \"0s\"\nfor = \"1m\"\nbroker_rtt = { broker = \"all\", delay = \"3s\" }\n",
        expected: &[("request.produce.p50", "< 2900ms"), ("request.fetch.max", "< 2900ms")],
    },
    Pair {
        on: On::Native,
        base: BRIEF,
        well: "linger = \"400ms\"\n",
        ill: "linger = \"0ms\"\n",
        expected: &[
            ("records_per_produce", ">= 10"),
            ("bytes_per_produce", ">= 1000"),
            ("records_per_fetch", ">= 10"),
            ("bytes_per_fetch", ">= 1000"),
        ],
    },
    Pair {
        on: On::Native,
        base: BRIEF,
        well: "",
        ill: "clients = \"producer\"\n",
        expected: &[("connections_max", "<= 3")],
    },
];

/// Metrics whose bad values need more than a scenario, with the file and the test that produce them.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("lateness.p50", "tests/brokers/accidents.rs", "sends_of_a_process_that_stood_still_are_late"),
    // Another producer or another client, on a real cluster.
    ("corrupt", RECORDS, "changed_bytes_and_records_of_another_partition_are_counted_one_by_one"),
    (
        "wrong_partition",
        RECORDS,
        "changed_bytes_and_records_of_another_partition_are_counted_one_by_one",
    ),
    (
        "other_producers",
        "tests/brokers/conformance.rs",
        "records_of_other_producers_are_counted_and_not_lost",
    ),
    (
        "offset_gaps",
        "tests/brokers/conformance/transactions.rs",
        "a_partition_that_ends_in_a_transaction_is_read_to_its_end",
    ),
    ("earlier", "tests/brokers/checkpoints.rs", "a_later_run_goes_on_where_the_killed_one_stopped"),
    (
        "committed_ahead",
        "tests/brokers/truths.rs",
        "an_offset_that_another_client_commits_is_found_beyond_what_was_processed",
    ),
    // The number of requests depends on the load of the machine.
    (
        "requests_per_s",
        "src/measure/requests.rs",
        "what_lies_in_the_window_counts_from_every_thread_and_rates_are_of_its_length",
    ),
    // A cluster with quotas.
    (
        "throttled",
        "src/broker/tcp/tests/moves.rs",
        "a_throttled_client_sends_nothing_more_until_the_time_is_over",
    ),
    // Only a defect produces these.
    ("unaccounted", "src/summary/parts.rs", UNACCOUNTED),
    (
        "unexpected_redelivered",
        "src/logic/consumer.rs",
        "a_repetition_is_noted_as_unexpected_unless_the_partition_has_moved",
    ),
    (
        "miscommitted",
        "src/broker/sim/group_checker.rs",
        "commits_stay_between_the_last_one_and_what_is_processed",
    ),
    ("shared", "src/broker/sim/group_checker.rs", "a_partition_has_one_owner_in_a_generation"),
];
const RECORDS: &str = "tests/brokers/truths/records.rs";
const UNACCOUNTED: &str = "what_the_account_does_not_cover_is_counted";

/// The name of the metric of the figure `name`.
fn metric_of(name: &str) -> String {
    let figure = lanekeeper::summary::Figure::parse(name).unwrap_or_else(|| panic!("{name}"));
    let kind = name.split_once('[').map_or("", |(kind, _)| kind);
    format!("{kind}.{}", figure.metric.name)
}

/// The names of all metrics, with their prefixes.
fn all_metrics() -> BTreeSet<String> {
    let names = lanekeeper::summary::Figure::names();
    names.map(|(name, _)| metric_of(&name.replace("[]", "[0]"))).collect()
}

#[test]
fn each_metric_has_a_run_in_which_it_is_wrong() {
    let all = all_metrics();
    assert!(all.len() >= METRICS.len(), "{all:?}");
    let mut shown = BTreeSet::new();
    for (name, file, test) in ELSEWHERE {
        assert!(support::text_of(file).contains(&format!("fn {test}(")), "{file}: {test}");
        shown.insert(metric_of(name));
    }
    let paired = PAIRS.iter().flat_map(|pair| pair.expected);
    shown.extend(paired.map(|(name, _)| metric_of(&name.replace("[*]", "[0]"))));
    let lacking: Vec<_> = all.difference(&shown).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

fn run(pair: &Pair, more: &str) -> Finished {
    let expected: String =
        pair.expected.iter().map(|(name, bound)| expectation(name, bound)).collect();
    let tool = Tool::run_text(&format!("{}{more}[expect]\n{expected}", pair.base));
    match pair.on {
        On::Sim => tool.args(["--broker", "sim"]),
        On::Embedded => tool,
        On::Native => tool.args(["--client", "native"]),
    }
    .finish()
}

fn expectation(name: &str, bound: &str) -> String {
    let is_plain = bound == "true" || bound.parse::<f64>().is_ok();
    let quote = if is_plain { "" } else { "\"" };
    format!("\"{name}\" = {quote}{bound}{quote}\n")
}

fn check(pair: &Pair) {
    for (more, holds) in [(pair.well, true), (pair.ill, false)] {
        let finished = run(pair, more);
        let summary = finished.summary();
        let own: Vec<_> = summary.expectations.iter().filter(|it| !it.is_default).collect();
        assert_eq!(own.len(), pair.expected.len(), "{}", finished.output());
        for it in own {
            let is_known = it.measured.is_some() || it.reason.is_some();
            assert!(it.passed == holds && is_known, "{more}\n{it:?}\n{}", finished.output());
        }
        if !holds {
            assert_eq!((summary.verdict, finished.code), (Verdict::Failed, 1));
        }
    }
}

#[test]
fn in_virtual_time_each_expectation_holds_in_one_run_and_fails_in_the_other() {
    PAIRS.iter().filter(|pair| pair.on == On::Sim).for_each(check);
}

#[test]
fn in_real_time_each_expectation_holds_in_one_run_and_fails_in_the_other() {
    PAIRS.iter().filter(|pair| pair.on != On::Sim).for_each(check);
}

/// Records are sent late if the process is stopped for a while.
#[test]
fn sends_of_a_process_that_stood_still_are_late() {
    let text = format!("{BRIEF}[expect]\n\"lateness.max\" = \"< 900ms\"\n");
    let mut running = Tool::run_text(&text).start();
    running.await_text("seconds.jsonl", "\"partition\":0");
    running.signal("STOP");
    std::thread::sleep(std::time::Duration::from_secs(1));
    running.signal("CONT");
    let summary = running.finish().summary();
    let lateness = &summary.expectations[0];
    assert!(!lateness.passed && lateness.measured >= Some(900.0), "{lateness:?}");
}

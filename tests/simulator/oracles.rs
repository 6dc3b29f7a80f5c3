//! Results of theory about queues, batches, shares and time-outs, compared with runs in virtual time.

#![allow(clippy::print_stdout, reason = "the table of the book is made from it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lanekeeper::base::{BrokerKind, PartitionId, Seed, Time};
use lanekeeper::broker::model::Cores;
use lanekeeper::broker::model::assignor::{Subscription, assign};
use lanekeeper::broker::sim::TraceSink;
use lanekeeper::measure::{Interval, TraceKind, TraceLine};
use lanekeeper::plan::{Assignor, Overrides, compile};
use lanekeeper::run::{Observer, Options, run};
use lanekeeper::scenario::Source;
use lanekeeper::summary::{Digest, Summary};

/// A network without randomness: 1 µs each way, and requests without cost.
const NETWORK: &str = "[sim]\nlatency = \"1us\"\njitter = \"0s\"\nrequest_cost = \"0s\"\n\
                       [limits]\nlateness_p99 = \"1h\"\nsent_min = 0.0\n";
const ONE_WAY: Duration = Duration::from_micros(1);

/// Sums up response times: processed - intended send.
#[derive(Clone, Default)]
struct Responses(Arc<Mutex<(f64, u64)>>);

impl Observer for Responses {
    fn interval(&mut self, interval: &Interval<'_>) {
        let Interval::Partition(window) = interval else { return };
        let response = &window.shard.response;
        let mut sum = self.0.lock().expect("no panic");
        sum.0 += response.mean_ns() * response.count() as f64;
        sum.1 += response.count();
    }
}

fn simulate(text: &str, trace_sink: Option<TraceSink>) -> (Summary, Responses) {
    let source = Source { name: "oracle.toml".to_owned(), text: format!("{text}\n{NETWORK}") };
    let overrides = Overrides { broker: Some(BrokerKind::SIM), ..Overrides::default() };
    let (plan, diagnostics) = compile(&source, &[], &overrides);
    let plan = plan.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let responses = Responses::default();
    let options = Options { trace_sink, ..Options::default() };
    let summary = run(plan, options, Box::new(responses.clone())).expect("a run");
    (summary, responses)
}

#[track_caller]
fn assert_within_2_percent(what: &str, measured: f64, theory: f64) {
    let off = measured / theory - 1.0;
    println!("{what}: measured {measured:.6e}, theory {theory:.6e}, {:+.2} %", off * 100.0);
    assert!(off.abs() < 0.02, "{what}: {measured} instead of {theory}");
}

const JOBS: u64 = 1_000_000;

/// Mean time in the queue of an M/G/1 queue (Pollaczek 1930, Khinchine 1932): `λ E[S²] / 2(1 - ρ)`, in units of the
/// mean service time. `E[S²]` is 2 for exponential service, 1 if all service times are the same.
fn waiting(load: f64, second_moment: f64) -> f64 {
    load * second_moment / (2.0 * (1.0 - load))
}

/// A record of 10,000 bytes passes two connections of 1 MB/s, to the broker and to the consumer. The framing is 10
/// bytes per record and 100 bytes per message.
#[test]
fn bandwidth_adds_the_time_that_the_bytes_take() {
    let text = "[topic]\npartitions = 1\nreplication_factor = 1\n\
                [load]\nproducers = 1\nrate = \"10/s\"\npayload = \"10000B\"\nphases = \"uniform\"\n\
                [run]\nwarmup = \"1s\"\nduration = \"20s\"\n";
    let mean_s = |set: &[String]| {
        let source = Source { name: "oracle.toml".to_owned(), text: format!("{text}{NETWORK}") };
        let overrides = Overrides { broker: Some(BrokerKind::SIM), ..Overrides::default() };
        let plan = compile(&source, set, &overrides).0.expect("a plan");
        let responses = Responses::default();
        run(plan, Options::default(), Box::new(responses.clone())).expect("a run");
        let (sum_ns, count) = *responses.0.lock().expect("no panic");
        assert_eq!(count, 200);
        sum_ns / count as f64 / 1e9
    };
    let more_s = mean_s(&["sim.bandwidth=\"1MB\"".to_owned()]) - mean_s(&[]);
    assert_within_2_percent(
        "two transfers of a record",
        more_s,
        2.0 * (10_000.0 + 10.0 + 100.0) / 1e6,
    );
}

#[test]
fn cores_are_the_queue_of_theory() {
    const SERVICE_NS: f64 = 1e6;
    for load in [0.3, 0.5, 0.7] {
        for (name, second_moment) in [("M/M/1", 2.0), ("M/D/1", 1.0)] {
            let mut cores = Cores::new(1);
            let mut arrivals = Seed(1).child("arrivals", 0).random();
            let mut services = Seed(1).child("services", 0).random();
            let (mut now, mut waited) = (0.0, 0.0);
            for _ in 0..JOBS {
                now += arrivals.exponential(SERVICE_NS / load);
                let service = match second_moment {
                    2.0 => services.exponential(SERVICE_NS),
                    _ => SERVICE_NS,
                };
                let done = cores.occupy(Time(now as i64), Duration::from_nanos(service as u64));
                waited += done.0 as f64 - now - service;
            }
            let measured = waited / JOBS as f64 / SERVICE_NS;
            let what = format!("{name} at {load}");
            assert_within_2_percent(&what, measured, waiting(load, second_moment));
        }
    }
}

/// The whole path: a Poisson producer, the broker, and a consumer whose work is the service.
#[test]
fn a_consumer_is_the_queue_of_theory() {
    for (name, work, second_moment) in
        [("M/M/1", "{ mean = \"1ms\" }", 2.0), ("M/D/1", "\"1ms\"", 1.0)]
    {
        let text = format!(
            "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"700/s\"\nphases = \"poisson\"\n\
             [consumers]\nwork = {{ wait = {work} }}\n[run]\nwarmup = \"0s\"\nduration = \"1430s\"\n"
        );
        let (summary, responses) = simulate(&text, None);
        let (sum, count) = *responses.0.lock().expect("no panic");
        assert_eq!((count, summary.ledger.lost), (summary.ledger.sent, 0));
        assert!(count > 990_000, "{count}");
        let way = 2.0 * ONE_WAY.as_secs_f64() * 1e9;
        let waited = sum / count as f64 - way - 1e6;
        let what = format!("{name} at 0.7, producer to consumer");
        assert_within_2_percent(&what, waited / 1e6, waiting(0.7, second_moment));
        // The same by parts: the wait behind other records is part of neither fetch nor handling.
        let parts = &summary.latency_us;
        let (fetch, wait) =
            (parts.fetch.as_ref().expect("told"), parts.waiting.as_ref().expect("told"));
        let what = format!("{name} at 0.7, waiting in the client");
        let mean = |digest: &Digest| digest.mean.expect("records");
        assert_within_2_percent(&what, mean(wait) / 1e3, waiting(0.7, second_moment));
        assert_within_2_percent(&format!("{name}, handling"), mean(&parts.handling) / 1e3, 1.0);
        assert!(fetch.p999.expect("records") < 5.0, "{fetch:?}");
    }
}

/// A batch is sent when its first record has lingered for `T`. With Poisson arrivals of rate `λ`, `λT` more come
/// meanwhile, evenly spread, so the mean wait is `(T + λT·T/2) / (1 + λT)`.
#[test]
fn records_wait_for_their_batch_as_long_as_theory_says() {
    for (rate, linger_ms, duration_s) in [(400.0, 5.0, 2_500), (2_000.0, 2.0, 500)] {
        let text = format!(
            "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"{rate}/s\"\nphases = \"poisson\"\n\
             linger = \"{linger_ms}ms\"\n[run]\nwarmup = \"0s\"\nduration = \"{duration_s}s\"\n"
        );
        let (_, responses) = simulate(&text, None);
        let (sum, count) = *responses.0.lock().expect("no panic");
        assert!(count > 990_000, "{count}");
        let (linger, more) = (linger_ms * 1e6, rate * linger_ms / 1e3);
        let theory = (linger + more * linger / 2.0) / (1.0 + more);
        let waited = sum / count as f64 - 2.0 * ONE_WAY.as_secs_f64() * 1e9;
        assert_within_2_percent(&format!("batches, λT = {more}"), waited, theory);
    }
}

/// The largest lag of each partition if every partition gets `rate` records per second with 10 ms of work each.
fn lags(consumers: &str, rate: f64) -> Vec<u64> {
    let text = format!(
        "[topic]\npartitions = 18\n[load]\nproducers = 18\nrate = \"{rate:.3}/s\"\nphases = \"uniform\"\n\
         [consumers]\nwork = {{ wait = \"10ms\" }}\n{consumers}\n[run]\nwarmup = \"0s\"\nduration = \"60s\"\n"
    );
    simulate(&text, None).0.partitions.iter().map(|p| p.lag_max).collect()
}

/// Eight members have 3, 3 and six times 2 of eighteen partitions. So the group keeps up with 18 / 3 = 6 times the
/// capacity of one consumer, and not with 8 times. Eighteen consumers keep up with 18 times.
#[test]
fn a_group_saturates_with_its_fullest_member() {
    const ONE: f64 = 100.0;
    let group = |count: u32| format!("mode = \"group\"\ncount = {count}\nassignor = \"range\"");
    let cases = [
        ("8 members", group(8), 6.0, 6),
        ("18 members", group(18), 18.0, 18),
        ("18 assigned", String::new(), 18.0, 18),
    ];
    for (name, consumers, times_one, behind) in cases {
        let at = |share: f64| lags(&consumers, share * times_one * ONE / 18.0);
        let (below, above) = (at(0.97), at(1.03));
        println!("{name}: {times_one} x one: lags at 97 % {below:?}, at 103 % {above:?}");
        assert!(below.iter().all(|lag| *lag <= 6), "{name}: {below:?}");
        let falls_behind = |lag: &&u64| **lag > 20;
        assert_eq!(above.iter().filter(falls_behind).count(), behind, "{name}: {above:?}");
    }
}

/// The cases with one topic from the unit tests of librdkafka 2.15's range, round-robin and sticky assignors, and some
/// others: partitions, members by name with their partitions, and the final assignment of each.
#[test]
fn assignors_give_what_librdkafkas_tests_want() {
    use Assignor::{CooperativeSticky, Range, RoundRobin};
    type Case<'a> = (&'a str, u32, &'a [(&'a str, &'a [u32])], &'a [&'a [u32]]);
    const ALL: [Assignor; 3] = [Range, RoundRobin, CooperativeSticky];
    let everywhere: [Case<'_>; 3] = [
        ("one consumer, one topic", 3, &[("c1", &[])], &[&[0, 1, 2]]),
        ("two consumers, one partition", 1, &[("c1", &[]), ("c2", &[])], &[&[0], &[]]),
        ("two consumers, two partitions", 2, &[("c1", &[]), ("c2", &[])], &[&[0], &[1]]),
    ];
    // ut_testStickiness2: consumers join and leave.
    let sticky: [Case<'_>; 4] = [
        ("a second", 6, &[("c1", &[0, 1, 2, 3, 4, 5]), ("c2", &[])], &[&[3, 4, 5], &[0, 1, 2]]),
        (
            "a third",
            6,
            &[("c1", &[3, 4, 5]), ("c2", &[0, 1, 2]), ("c3", &[])],
            &[&[4, 5], &[1, 2], &[0, 3]],
        ),
        // The only difference: librdkafka assigns the two free partitions the other way round, 5 to c2 and 4 to c3.
        ("without the first", 6, &[("c2", &[1, 2]), ("c3", &[0, 3])], &[&[1, 2, 4], &[0, 3, 5]]),
        ("one is left", 6, &[("c3", &[0, 3, 4])], &[&[0, 1, 2, 3, 4, 5]]),
    ];
    let own: [(Assignor, Case<'_>); 6] = [
        (Range, ("neighbours", 3, &[("c1", &[]), ("c2", &[])], &[&[0, 1], &[2]])),
        (RoundRobin, ("in turns", 3, &[("c1", &[]), ("c2", &[])], &[&[0, 2], &[1]])),
        (
            CooperativeSticky,
            ("a consumer is added", 3, &[("c1", &[0, 1, 2]), ("c2", &[])], &[&[1, 2], &[0]]),
        ),
        (CooperativeSticky, ("the other one leaves", 3, &[("c2", &[0])], &[&[0, 1, 2]])),
        (
            CooperativeSticky,
            (
                "a member keeps what it has",
                1,
                &[("c1", &[]), ("c2", &[0]), ("c3", &[])],
                &[&[], &[0], &[]],
            ),
        ),
        (
            CooperativeSticky,
            ("nothing to do", 4, &[("c1", &[1, 3]), ("c2", &[0, 2])], &[&[1, 3], &[0, 2]]),
        ),
    ];
    let sticky = sticky.map(|case| (CooperativeSticky, case));
    let everywhere = everywhere.iter().flat_map(|case| ALL.map(|assignor| (assignor, *case)));
    for (assignor, (name, partitions, members, wanted)) in everywhere.chain(sticky).chain(own) {
        let mut group: Vec<Subscription> = members
            .iter()
            .map(|(id, owned)| Subscription {
                member_id: (*id).to_owned(),
                instance_id: None,
                owned: owned.iter().copied().map(PartitionId).collect(),
                generation: 1,
            })
            .collect();
        // A cooperative assignor needs a second round for partitions that move.
        for generation in 2..4 {
            let given = assign(assignor, partitions, &group);
            for (member, owned) in group.iter_mut().zip(given) {
                (member.owned, member.generation) = (owned, generation);
            }
        }
        let got: Vec<Vec<u32>> =
            group.iter().map(|member| member.owned.iter().map(|id| id.0).collect()).collect();
        assert_eq!(got, wanted, "{assignor:?}: {name}");
    }
}

/// Runs a group of eight with this fault. Returns the summary and the events of the group.
fn group_events(fault: &str) -> (Summary, Vec<TraceLine>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let taking = lines.clone();
    let trace_sink = TraceSink::new(move |line: TraceLine| {
        let is_wanted = matches!(line.kind, TraceKind::Request | TraceKind::Response)
            && (line.what.contains("Group") || line.what.contains("Heartbeat"))
            || line.kind == TraceKind::Control;
        if is_wanted {
            taking.lock().expect("no panic").push(line);
        }
    });
    let text = format!(
        "[topic]\npartitions = 18\n[load]\nproducers = 18\nrate = \"10/s\"\n[consumers]\nmode = \"group\"\n\
         count = 8\nassignor = \"range\"\nsession_timeout = \"6s\"\n[run]\nwarmup = \"0s\"\nduration = \"30s\"\n\
         [[fault]]\nat = \"10s\"\n{fault}\n"
    );
    let (summary, _) = simulate(&text, Some(trace_sink));
    (summary, std::mem::take(&mut *lines.lock().expect("no panic")))
}

/// The time at which the members learn that generation `number` has begun, which is the same for all.
fn begins(lines: &[TraceLine], number: u32) -> Time {
    let text = format!("is in generation {number}");
    let mut heard = lines.iter().filter(|line| line.what.ends_with(&text)).map(|line| line.at);
    let first = heard.next().expect("a generation");
    assert!(heard.all(|other| other == first), "they wait for each other");
    first
}

/// The arrival of the last request with these words before `before`.
fn last_request(lines: &[TraceLine], words: &str, before: Time) -> Time {
    let wanted = |line: &&TraceLine| {
        line.kind == TraceKind::Request && line.what.contains(words) && line.at < before
    };
    lines.iter().rfind(wanted).expect("a request").at
}

const INITIAL_DELAY: Duration = Duration::from_secs(3);
const SESSION: Duration = Duration::from_secs(6);
const HEARTBEAT: Duration = Duration::from_secs(2);

/// `group.initial.rebalance.delay.ms` is 3 s. It begins again once, because others join during it.
#[test]
fn the_first_generation_begins_after_twice_the_initial_delay() {
    let (_, lines) = group_events("kill = { consumer = 2 }");
    let first_join = lines.iter().find(|line| line.what.contains("JoinGroup")).expect("a join").at;
    assert_eq!(begins(&lines, 1), first_join + 2 * INITIAL_DELAY + ONE_WAY);
}

/// No member gets the partitions of a crashed one before the end of its session, which counts from its last heartbeat.
/// With an eager assignor, all others wait as well.
#[test]
fn a_crash_lasts_until_the_session_is_over_to_the_nanosecond() {
    let (summary, lines) = group_events("kill = { consumer = 2 }");
    let member = "from consumer-2: Heartbeat";
    let second = begins(&lines, 2);
    let heartbeat = last_request(&lines, member, second);
    assert_eq!(second, heartbeat + SESSION + ONE_WAY);
    let killed = lines.iter().find(|line| line.what.contains("injected")).expect("a fault").at;
    assert!(killed.since_ns(heartbeat) < HEARTBEAT.as_nanos() as i64);
    // After the detection come SyncGroup, OffsetFetch, and the next record at 10/s.
    let detected_ms = second.ms_since(killed);
    let first_record_ms = summary.faults[0].first_record_ms.expect("a record");
    assert!((detected_ms..detected_ms + 110.0).contains(&first_record_ms), "{first_record_ms} ms");
}

/// A member that leaves causes no time-out. The others learn of it with their next heartbeat, and the last one to join
/// begins the generation.
#[test]
fn a_member_that_leaves_costs_a_heartbeat() {
    let (_, lines) = group_events("stop = { consumer = 2 }");
    let left = lines.iter().find(|line| line.what.contains("LeaveGroup")).expect("a goodbye").at;
    let second = begins(&lines, 2);
    let last_join = last_request(&lines, "JoinGroup of consumer", second);
    assert_eq!(second, last_join + ONE_WAY);
    let heard = last_request(&lines, "Heartbeat of consumer", last_join);
    // Four ways: the response to the heartbeat, the commit of the revoked partitions and its response, and the
    // JoinGroup.
    assert_eq!(last_join, heard + 4 * ONE_WAY);
    assert!(heard.since_ns(left) <= HEARTBEAT.as_nanos() as i64, "{heard} {left}");
}

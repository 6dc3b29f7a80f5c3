//! Runs in virtual time: the actors of real runs on the broker model, with the same bytes for the same seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{self, Finished, Tool, owners};
use lanekeeper::base::BrokerKind;
use lanekeeper::measure::Interval;
use lanekeeper::plan::{Overrides, compile};
use lanekeeper::run::{Observer, Options, run};
use lanekeeper::scenario::Source;
use lanekeeper::summary::{Digest, Verdict};

fn simulate(scenario: &str, arguments: &[&str]) -> Finished {
    Tool::run(scenario).args(["--broker", "sim"]).args(arguments.iter().copied()).exits(0)
}

#[test]
fn the_guides_load_arrives_exactly_and_a_minute_takes_no_minute() {
    let run = simulate("guide-option-2.toml", &[]);
    let summary = run.summary();
    assert_eq!(summary.verdict, Verdict::Passed);
    assert_eq!((summary.ledger.delivered, summary.ledger.lost), (65 * 2048, 0));
    assert_eq!(summary.consumers_started, 18);
    let ack = summary.latency_us.ack.expect("acknowledgements");
    assert_eq!((ack.count, ack.negative), (60 * 2048, 0));
    let simulation = summary.simulation.expect("a simulation");
    assert!(simulation.virtual_ns > 65_000_000_000);
    assert!(simulation.events < 8 * 65 * 2048, "{} events", simulation.events);
}

#[test]
fn a_killed_consumer_is_back_at_once_and_nobody_else_notices() {
    let summary = simulate("kill-one-consumer.toml", &[]).summary();
    assert_eq!((summary.restarts, summary.ledger.lost, summary.ledger.duplicated), (1, 0, 0));
    let fault = &summary.faults[0];
    assert_eq!(fault.partitions_aimed_at, [7]);
    // Virtual time can be asserted. The records of a partition are 9 ms apart.
    assert!(fault.first_record_ms.expect("a record") < 60.0);
    assert_eq!(summary.partitions.iter().map(|p| p.restarts).sum::<u32>(), 1);
}

#[test]
fn shipped_scenarios_for_one_purpose_do_what_they_say() {
    for orders in [simulate("avro-orders.toml", &[]), simulate("protobuf-orders.toml", &[])] {
        let orders = orders.summary();
        assert_eq!(orders.ledger.delivered, orders.ledger.sent);
    }
    let backlog = simulate("backlog.toml", &[]).summary();
    assert!(backlog.backlog.is_some_and(|backlog| backlog.written == 90_000));
    let slow = simulate("slow-partition.toml", &[]).summary();
    assert_eq!(slow.fairness.worst_partition, Some(7));
    // Partition 0 needs more than one consumer, as `check` warns.
    let own = Tool::run("own-load.toml").args(["--broker", "sim"]).exits(1).summary();
    assert_eq!(own.overloaded.iter().map(|it| it.partition).collect::<Vec<_>>(), [0]);
}

/// Work takes virtual time. Waits are concurrent, and CPU work queues for the cores of the machine.
#[test]
fn work_takes_virtual_time() {
    let text = |work: &str| {
        format!(
            "[topic]\npartitions = 4\n[load]\nproducers = 4\nrate = \"20/s\"\nphases = \"uniform\"\n\
             [consumers]\nwork = {work}\n[sim]\nbrokers = 1\nhost_cores = 1\nlatency = \"100us\"\njitter = \"0s\"\n\
             request_cost = \"0s\"\n[run]\nwarmup = \"0s\"\nduration = \"5s\"\n"
        )
    };
    let run = |work: &str| {
        let finished = Tool::run_text(&text(work)).args(["--broker", "sim"]).finish();
        finished.summary()
    };
    // Each of the four partitions gets a record every 50 ms, which takes 200 us to the consumer, and then its work.
    let wait = run("{ wait = \"20ms\" }");
    assert_eq!(wait.ledger.delivered, 400);
    let p50_us = wait.latency_us.response.p50.expect("records");
    assert!((p50_us - 20_200.0).abs() < 50.0, "{p50_us} us");
    // The work needs 4 x 20 x 20 ms = 1.6 s of the one core each second, so it cannot keep up.
    let cpu = run("{ cpu = \"20ms\" }");
    assert_eq!(cpu.ledger.delivered, 400);
    assert!(cpu.latency_us.response.max.expect("records") > 1e6);
}

/// The heartbeats of a hung member continue, but its client leaves the group after `consumers.max_poll_interval`. It
/// joins again after the hang.
#[test]
fn a_member_that_hangs_too_long_loses_its_partitions_and_comes_back() {
    let scenario = "faults/group-poll-interval.toml";
    // The watchdog must not replace it before.
    let summary = simulate(scenario, &["--set", "watchdog.poll=1m"]).summary();
    let hung = summary.faults[0].at_s.expect("a hang");
    let [out, back] = &summary.rebalances[..] else { panic!("{:?}", summary.rebalances) };
    let noticed = out.at_s - hung;
    assert!((5.9..8.1).contains(&noticed), "{noticed} s");
    // It joins again after 9 s, and the others learn of it with their next heartbeats, at most a second later. Its
    // earlier event about lost partitions begins no rebalance.
    assert!((9.0..10.1).contains(&(back.at_s - hung)), "{back:?}");
    assert_eq!((summary.restarts, summary.ledger.lost, summary.unexpected_redelivered), (0, 0, 0));
}

/// Two partitions with 50 records a second each, and a consumer that hangs.
fn hang(lasts: &str, set: &[&str]) -> Finished {
    let text = format!(
        "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"50/s\"\n[run]\nwarmup = \"0s\"\n\
         duration = \"20s\"\n[[fault]]\nat = \"2s\"\nhang = {{ consumer = 1 }}\n{lasts}\n[expect]\nlost = 0\n"
    );
    Tool::run_text(&text).args(["--broker", "sim"]).set(set.iter().copied()).finish()
}

#[test]
fn the_watchdog_notices_a_consumer_that_hangs_and_replaces_it() {
    let finished = hang("for = \"9s\"", &[]);
    let summary = finished.summary();
    assert_eq!((finished.code, summary.restarts), (0, 1), "{}", finished.output());
    assert_eq!(owners(&summary.partitions[1]), [(1, 1), (1, 2)]);
    assert_eq!(owners(&summary.partitions[0]), [(0, 1)]);
    let l = &summary.ledger;
    assert_eq!((l.delivered, l.duplicated, l.unaccounted()), (l.sent, 0, 0));
    // It is detected after `watchdog.poll`, 5 s, and replaced at the next check.
    let detected = summary.faults[0].detected_ms.expect("noticed");
    assert!((5_000.0..6_000.0).contains(&detected), "{detected} ms");
    let events = finished.read("events.jsonl");
    for text in ["hung poll: ", "\"noted\"", "\"replaced\"", "\"consumer_closed\""] {
        assert!(events.contains(text), "{text}\n{events}");
    }
    // The hang ended within `watchdog.close` after that, and its records were fenced.
    assert_eq!((summary.abandoned_threads, summary.given_up.len()), (0, 0));
    // A consumer whose hang ends earlier is not replaced.
    let patient = hang("for = \"9s\"", &["watchdog.poll=10s"]).summary();
    assert_eq!((patient.restarts, patient.ledger.lost), (0, 0));
}

#[test]
fn a_consumer_that_hangs_for_ever_is_abandoned_and_may_not_be_where_none_may_be() {
    let set = ["watchdog.poll=300ms", "watchdog.close=200ms"];
    let finished = hang("for = \"1h\"", &set);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let summary = finished.summary();
    assert_eq!((summary.abandoned_threads, summary.restarts), (1, 1));
    assert!(finished.read("events.jsonl").contains("\"thread_abandoned\""));
    let none = hang("for = \"1h\"", &[set[0], set[1], "watchdog.abandoned=0"]);
    assert_eq!(none.code, 1, "{}", none.output());
    let summary = none.summary();
    assert!(summary.given_up[&1].starts_with("hung poll: "), "{:?}", summary.given_up);
    let other = &summary.partitions[0].ledger;
    assert_eq!((other.lost, other.delivered), (0, other.sent));
}

/// As on a real cluster with the same scenario, the member is replaced after 5.2 s to 5.5 s, before its client leaves
/// the group at 6 s. Its successor joins at once, and late events of the old client do not affect the successor.
#[test]
fn a_member_that_hangs_is_replaced_before_its_group_notices() {
    let summary = simulate("faults/group-poll-interval.toml", &[]).summary();
    let fault = &summary.faults[0];
    let detected = fault.detected_ms.expect("noticed");
    assert!((5_000.0..6_000.0).contains(&detected), "{detected} ms");
    let [one] = &summary.rebalances[..] else { panic!("{:?}", summary.rebalances) };
    assert!(one.duration_ms.is_some(), "{one:?}");
    assert_eq!((summary.restarts, summary.ledger.lost, summary.unexpected_redelivered), (1, 0, 0));
}

#[test]
fn the_same_seed_gives_the_same_bytes_wherever_it_runs() {
    let scenario = "kill-one-consumer.toml";
    let here = Tool::run(scenario).args(["--broker", "sim", "--seed", "7"]).exits(0);
    let there = Tool::run(scenario)
        .args(["--broker", "sim", "--seed", "7", "-vv"])
        .env("LANEKEEPER_LOG", "debug")
        .env("SOMETHING_LONG", "x".repeat(10_000))
        .start();
    // The second run is on a busy machine and in another directory.
    let over = AtomicBool::new(false);
    let there = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let there = there.finish();
        over.store(true, Ordering::Relaxed);
        there
    });
    assert_eq!(there.code, 0, "{}", there.output());
    let other = Tool::run(scenario).args(["--broker", "sim", "--seed", "8"]).exits(0);
    let result = |run: &Finished| run.read("result.json");
    assert_eq!(result(&here), result(&there));
    assert_eq!(here.read("latency.hlog"), there.read("latency.hlog"));
    let trace = |run: &Finished| run.summary().simulation.expect("a simulation").trace;
    assert_ne!(trace(&here), trace(&other));
    assert!(here.read("host.json").contains("\"speed\""));
}

/// Traces of earlier simulations in the process (counters of ids, memory, threads) have no effect.
#[test]
fn the_same_seed_gives_the_same_after_a_hundred_others_in_a_process() {
    let run = |seed: u64| {
        let text = "[topic]\npartitions = 6\n[load]\nproducers = 12\nrate = \"20/s\"\n[consumers]\n\
                    mode = \"group\"\ncount = 4\n[run]\nwarmup = \"0s\"\nduration = \"12s\"\n\
                    [[fault]]\nat = \"1s\"\nkill = { consumer = 3 }\n";
        let source = Source { name: "again.toml".to_owned(), text: text.to_owned() };
        let overrides =
            Overrides { broker: Some(BrokerKind::SIM), seed: Some(seed), ..Overrides::default() };
        let plan = compile(&source, &[], &overrides).0.expect("a plan");
        let summary = run(plan, Options::default(), Box::new(())).expect("a run");
        (
            summary.simulation.clone().expect("a simulation").trace,
            serde_json::to_string(&summary).expect("JSON"),
        )
    };
    let first = run(1);
    let others: BTreeSet<String> = (2..102).map(|seed| run(seed).0).collect();
    assert_eq!(others.len(), 100, "no two seeds are the same");
    assert!(!others.contains(&first.0));
    assert_eq!(run(1), first);
}

/// Common random numbers: with one seed, assigned consumers and a group get the same arrivals, partitions and faults.
/// So differences between their results are not random.
#[test]
fn the_same_seed_gives_both_modes_the_same_load_and_the_same_faults() {
    let met = |consumers: &str, seed: &str| {
        let text = format!(
            "[topic]\npartitions = 6\n[load]\nproducers = 30\nrate = \"10/s\"\nphases = \"poisson\"\n\
             partition = \"random\"\n[consumers]\n{consumers}\n[run]\nwarmup = \"0s\"\nduration = \"15s\"\n\
             [[fault]]\nat = \"2s\"\nevery = \"3s\"\njitter = \"500ms\"\nkill = {{ consumer = {{ random = 2 }} }}\n\
             [[fault]]\nat = \"4s\"\nfor = \"1s\"\nlink = {{ broker = \"all\", delay = \"5ms\", loss = 0.1 }}\n"
        );
        let summary =
            Tool::run_text(&text).args(["--broker", "sim", "--seed", seed]).finish().summary();
        assert_eq!(summary.ledger.lost, 0);
        let sent: Vec<u64> = summary.partitions.iter().map(|p| p.ledger.sent).collect();
        let faults = summary.faults.iter();
        let faults: Vec<_> = faults.map(|fault| (fault.at_s, fault.target.clone())).collect();
        assert!(faults.len() >= 6, "{faults:?}");
        (sent, faults)
    };
    let assigned = met("mode = \"assigned\"", "7");
    assert_eq!(assigned, met("mode = \"group\"\ncount = 6", "7"));
    let other = met("mode = \"assigned\"", "8");
    assert!(assigned.0 != other.0 && assigned.1 != other.1);
}

/// Kills, panics, crash loops, poison, stalls, broken clients and a killed pool, some at random. Targets, decisions of
/// the supervisor and their times are the same for the same seed, and differ for another one.
#[test]
fn the_same_seed_gives_the_same_decisions_whatever_fails() {
    let text = "[topic]\npartitions = 18\n[load]\nproducers = 36\nrate = \"20/s\"\npools = 2\n\
        [consumers]\nwork = { wait = \"1ms\" }\npoison = \"skip\"\n[run]\nwarmup = \"0s\"\nduration = \"20s\"\n\
        [[fault]]\nat = \"1s\"\nevery = \"2s\"\njitter = \"500ms\"\nkill = { consumer = { random = 2 } }\n\
        [[fault]]\nat = \"2s\"\nevery = \"3s\"\njitter = \"1s\"\npanic = { consumer = { random = 3 } }\n\
        [[fault]]\nat = \"3s\"\ncrash_loop = { consumer = { random = 4 }, times = 3 }\n\
        [[fault]]\nat = \"4s\"\npoison = { partition = { random = 1 } }\n\
        [[fault]]\nat = \"5s\"\nkill = { pool = 1 }\n\
        [[fault]]\nat = \"6s\"\nfor = \"300ms\"\nfetch_call = { consumer = \"all\", error = \"fatal\", share = 0.2 }\n\
        [[fault]]\nat = \"12s\"\npanic = { consumer = \"all\" }\n";
    let decisions = |seed: &str| {
        let run = Tool::run_text(text).args(["--broker", "sim", "--seed", seed]).finish();
        let summary = run.summary();
        assert_eq!((summary.ledger.lost, summary.given_up.len()), (0, 0), "{}", run.output());
        assert!(summary.restarts > 40, "{}", run.output());
        run.read("events.jsonl")
    };
    let first = decisions("7");
    assert_eq!(first, decisions("7"));
    assert_ne!(first, decisions("8"));
}

/// A member panics several times at the same record, because no other arrives between the faults. The record is not the
/// cause.
#[test]
fn planned_panics_make_no_record_poison() {
    let text = "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"10/s\"\n\
                [consumers]\nmode = \"group\"\ncount = 1\n\
                [restart]\nbackoff_max = \"1s\"\nbudget = 1000\n\
                [run]\nwarmup = \"0s\"\nduration = \"30s\"\n\
                [[fault]]\nat = \"2s\"\nevery = \"3s\"\npanic = { consumer = 0 }\n";
    let summary = Tool::run_text(text).args(["--broker", "sim"]).finish().summary();
    assert!(summary.restarts > 3, "{} restarts", summary.restarts);
    assert_eq!((summary.ledger.delivered, summary.ledger.lost), (300, 0));
    assert_eq!(summary.given_up.len(), 0);
}

/// The guide's "Before" and its option 1, in a second of real time each.
#[test]
fn groups_share_the_partitions_and_wait_for_each_other_as_kafka_lets_them() {
    let before = simulate("guide-before.toml", &[]).summary();
    assert_eq!((before.ledger.delivered, before.ledger.lost), (65 * 2048, 0));
    let mut shares = vec![0; 8];
    for partition in &before.partitions {
        shares[owners(partition)[0].0 as usize] += 1;
    }
    shares.sort_unstable();
    assert_eq!(shares, [2, 2, 2, 2, 2, 2, 3, 3]);
    assert!(before.rebalances.is_empty());
    // `group.initial.rebalance.delay.ms` is 3 s, and begins again because members join during it.
    let startup = before.startup_ms.expect("a start");
    assert!((6_000.0..6_100.0).contains(&startup), "{startup} ms");
}

/// Isolation of a slow partition, blast radius of a crash, no rebalance: each scenario has the claims about it as
/// expectations.
#[test]
fn what_the_guide_claims_of_its_three_configurations_holds() {
    let before = simulate("guide-claims-before.toml", &[]).summary();
    let option_1 = simulate("guide-claims-option-1.toml", &[]).summary();
    let option_2 = simulate("guide-claims-option-2.toml", &[]).summary();
    let fast = |summary: &lanekeeper::summary::Summary| {
        let is_fast = |p: &&lanekeeper::summary::PartitionSummary| {
            p.latency_us.response.p50.is_some_and(|us| us < 2_000.0)
        };
        summary.partitions.iter().filter(is_fast).count()
    };
    // Partitions 3 and 5 wait behind partition 4 only if they have the same consumer.
    assert_eq!([fast(&before), fast(&option_1), fast(&option_2)], [15, 17, 17]);
    let hit = [&before, &option_1, &option_2].map(|summary| summary.faults[0].blast_radius);
    assert_eq!(hit, [18, 18, 0]);
    assert!(option_2.rebalances.is_empty());
    // A partition that was slow before the fault is no effect of it.
    let others = option_2.faults[0].others.as_ref().expect("others");
    assert!(others.stall_after_ms < 10.0 && others.slow_after < Some(0.015), "{others:?}");
}

/// A crash costs the session timeout. With an eager assignor, it also stops all others.
#[test]
fn a_crashed_member_stops_everybody_with_range_and_only_its_own_with_cooperative_sticky() {
    let crash = |assignor: &str| {
        let assignor = format!("consumers.assignor=\"{assignor}\"");
        Tool::run("kill-one-consumer.toml")
            .args(["--broker", "sim"])
            .set(["consumers.mode=\"group\"", "consumers.count=18", &assignor])
            .finish()
            .summary()
    };
    let (eager, sticky) = (crash("range"), crash("cooperative-sticky"));
    for summary in [&eager, &sticky] {
        assert_eq!((summary.ledger.lost, summary.ledger.duplicated), (0, 0));
        assert_eq!(summary.restarts, 1);
        // The session timeout of 6 s counts from the last heartbeat, which is up to 2 s before the crash.
        let gone = summary.faults[0].first_record_ms.expect("a record");
        assert!((3_900.0..6_500.0).contains(&gone), "{gone} ms");
    }
    assert_eq!(eager.faults[0].partitions_hit.len(), 18);
    assert_eq!(sticky.faults[0].partitions_hit.len(), 1);
}

/// A member that leaves and returns gets its partitions at once, and a crashed member stops no others. In the classic
/// protocol, the first waits until the others have joined again, and the crash stops all others.
#[test]
fn a_group_of_the_consumer_protocol_stops_only_what_moves() {
    let consumer = simulate("consumer-protocol.toml", &[]).summary();
    let classic = Tool::run("consumer-protocol.toml").args(["--broker", "sim"]);
    let classic = classic.set(["consumers.protocol=classic"]).exits(1).summary();
    let of_faults = |summary: &lanekeeper::summary::Summary| {
        let [leaves, crashes] = &summary.faults[..] else { panic!("{:?}", summary.faults) };
        let first_ms = [leaves, crashes].map(|fault| fault.first_record_ms.expect("a record"));
        let others = crashes.others.as_ref().expect("others");
        (leaves.blast_radius, first_ms, others.stall_after_ms)
    };
    let (hit, first_ms, others_ms) = of_faults(&consumer);
    assert_eq!((hit, others_ms), (0, 0.0));
    assert!(first_ms[0] < 100.0 && (3_900.0..6_500.0).contains(&first_ms[1]), "{first_ms:?}");
    let (hit, first_ms, others_ms) = of_faults(&classic);
    assert_eq!(hit, 2);
    // The others learn of it with their next heartbeats, which are 2 s apart.
    assert!((500.0..2_100.0).contains(&first_ms[0]), "{first_ms:?}");
    assert!((3_000.0..6_500.0).contains(&others_ms), "{others_ms} ms");
}

/// The hashes of the traces of eight seeds, and of two of a group of the consumer protocol. `BLESS=1` writes the file
/// again after an intended change.
#[test]
fn the_traces_of_eight_seeds_are_the_golden_ones() {
    let path = support::root().join("tests/sim-traces.txt");
    let trace = |run: Tool, seed: u32| {
        let run = run.args(["--broker", "sim", "--seed", &seed.to_string()]).exits(0);
        run.summary().simulation.expect("a simulation").trace
    };
    let quick = (1..=8).map(|seed| format!("{seed} {}\n", trace(Tool::run("quick.toml"), seed)));
    let group = || Tool::run("consumer-protocol.toml");
    let group =
        (1..=2).map(|seed| format!("consumer-protocol.toml {seed} {}\n", trace(group(), seed)));
    let traces: String = quick.chain(group).collect();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &traces).expect("a writable file");
    }
    assert_eq!(traces, std::fs::read_to_string(path).unwrap_or_default());
}

/// Sums of latencies, in nanoseconds.
#[derive(Clone, Default)]
struct Sums(Arc<Mutex<BTreeMap<&'static str, (u128, u64)>>>);

impl Observer for Sums {
    fn interval(&mut self, interval: &Interval<'_>) {
        let Interval::Partition(window) = interval else { return };
        let (shard, parts) = (window.shard, &window.shard.parts);
        let mut sums = self.0.lock().expect("no panic");
        for (name, latencies) in [
            ("response", &shard.response),
            ("service", &shard.service),
            ("fetch", &parts.fetch),
            ("waiting", &parts.waiting),
            ("handed over", &parts.handed_over),
            ("handling", &parts.handling),
        ] {
            assert_eq!(latencies.negative(), 0, "{name}");
            let sum = sums.entry(name).or_default();
            sum.0 += (latencies.mean_ns() * latencies.count() as f64).round() as u128;
            sum.1 += latencies.count();
        }
    }
}

/// The latency of each record is the sum of its parts, to the nanosecond, with each fault.
#[test]
fn the_parts_of_the_latency_add_up() {
    let base = "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"20/s\"\n\
                [run]\nwarmup = \"1s\"\nduration = \"8s\"\n";
    let group = "[consumers]\nmode = \"group\"\ncount = 2\nwork = { wait = \"2ms\" }\n";
    let slow = "[consumers]\nwork = { wait = { mean = \"4ms\" } }\n";
    let fault = |fault: &str| format!("[[fault]]\nat = \"3s\"\n{fault}\n");
    for (name, text) in [
        ("no work", String::new()),
        ("work", slow.to_owned()),
        ("work for the processor", "[consumers]\nwork = { cpu = \"3ms\" }\n".to_owned()),
        ("a kill", format!("{slow}{}", fault("kill = { consumer = 1 }"))),
        ("a kill without work", fault("kill = { consumer = 1 }")),
        ("a hang", format!("{slow}{}", fault("hang = { consumer = 1 }\nfor = \"1s\""))),
        ("a hang without work", fault("hang = { consumer = 1 }\nfor = \"1s\"")),
        ("a group", format!("{group}{}", fault("kill = { consumer = 1 }"))),
        ("a broker that is away", fault("broker_pause = { broker = 1 }\nfor = \"1s\"")),
        (
            "answers that come late",
            fault("fetch_call = { consumer = 1, delay = \"50ms\" }\nfor = \"2s\""),
        ),
    ] {
        let source = Source { name: "parts.toml".to_owned(), text: format!("{base}{text}") };
        let overrides = Overrides { broker: Some(BrokerKind::SIM), ..Overrides::default() };
        let (plan, diagnostics) = compile(&source, &[], &overrides);
        let plan = plan.unwrap_or_else(|| panic!("{name}: {diagnostics:?}"));
        let sums = Sums::default();
        let summary = run(plan, Options::default(), Box::new(sums.clone())).expect("a run");
        let sums = sums.0.lock().expect("no panic");
        let sum = |name: &str| sums[name].0;
        assert!(summary.latency_us.response.count > 4_000, "{name}");
        for part in ["response", "service", "fetch", "waiting", "handling"] {
            assert_eq!(sums[part].1, summary.latency_us.response.count, "{name}: {part}");
        }
        assert_eq!(sums["handed over"], (0, 0), "{name}");
        let parts = sum("fetch") + sum("waiting") + sum("handling");
        assert_eq!(sum("service"), parts, "{name}: {sums:?}");
        let late = &summary.lateness_us;
        let late_ns = (late.mean.expect("records") * 1e3 * late.count as f64).round() as u128;
        assert_eq!(sum("response"), sum("service") + late_ns, "{name}: {sums:?}");
        let [fetch, waiting] = [&summary.latency_us.fetch, &summary.latency_us.waiting];
        let p99 = |digest: &Option<Digest>| digest.as_ref().and_then(|digest| digest.p99);
        if name == "answers that come late" {
            // The fault affects a third of the partitions for a quarter of the time.
            assert!(p99(fetch) > Some(50_000.0), "{fetch:?}");
        }
        for part in [p99(fetch), p99(waiting), summary.latency_us.handling.p99] {
            assert!(part <= summary.latency_us.response.p99, "{name}: {:?}", summary.latency_us);
        }
    }
}

/// A consumer with 5 ms of work for each of 100 records a second is busy half of the time.
#[test]
fn a_queue_at_half_of_its_rate_is_short() {
    let summary = simulate("one-queue.toml", &[]).summary();
    assert_eq!((summary.verdict, summary.ledger.delivered), (Verdict::Passed, 900));
    let handling = summary.latency_us.handling.p50.expect("records");
    let response = summary.latency_us.response.p50.expect("records");
    assert!((4_995.0..5_010.0).contains(&handling), "{handling} us");
    // A record waits at most behind one record of each of the other nine producers.
    assert!(response > handling && response < 10.0 * 5_100.0, "{response} us");
}

//! Known failures of Kafka happen in the simulator, and not with the setting that prevents them. Each test is such a
//! pair.

use crate::support::Tool;
use lanekeeper::summary::{Ledger, PartitionSummary, Summary};

/// 3 partitions on 3 brokers, 600 records a second, and a latency of 2 ms between client and broker.
struct Case {
    topic: &'static str,
    load: &'static str,
    sim: &'static str,
    faults: &'static str,
}

const USUAL: Case =
    Case { topic: "", load: "producers = 30\nrate = \"20/s\"", sim: "", faults: "" };

impl Case {
    fn run(&self) -> Summary {
        let Case { topic, load, sim, faults } = self;
        let text = format!(
            "[topic]\npartitions = 3\n{topic}\n[load]\n{load}\n[sim]\nlatency = \"2ms\"\n\
             broker_session = \"3s\"\nrequest_timeout = \"2s\"\n{sim}\n\
             [limits]\nsent_min = 0.0\n[run]\nwarmup = \"0s\"\nduration = \"20s\"\n{faults}\n"
        );
        let finished = Tool::run_text(&text).args(["--broker", "sim"]).finish();
        assert!(matches!(finished.code, 0 | 1), "{}", finished.output());
        let summary = finished.summary();
        let missed: Vec<_> =
            summary.faults.iter().filter(|fault| !fault.missed.is_empty()).collect();
        assert!(missed.is_empty(), "{missed:?}");
        summary
    }

    /// Runs the case with these additional settings of the load.
    fn with(&self, load: &str) -> Summary {
        let load = format!("{}\n{load}", self.load);
        Case { load: load.leak(), ..*self }.run()
    }
}

const WITHOUT: &str = "idempotence = false";
const WITH: &str = "idempotence = true";

/// A batch is rejected while the next ones of the same producer are in flight, so they overtake its retry.
#[test]
fn a_retry_is_overtaken_without_idempotence_and_is_not_with_it() {
    let refused = Case {
        topic: "replication_factor = 1",
        load: "producers = 3\nrate = \"400/s\"",
        faults: "[[fault]]\nat = \"3s\"\nevery = \"1s\"\n\
                 request_error = { api = \"produce\", code = \"not-enough-replicas\", count = 1 }",
        ..USUAL
    };
    let (without, with) = (refused.with(WITHOUT), refused.with(WITH));
    assert!(without.ledger.reordered > 0, "{:?}", without.ledger);
    assert_eq!(with.ledger.reordered, 0);
    for summary in [without, with] {
        assert_eq!((summary.ledger.lost, summary.ledger.duplicated), (0, 0));
    }
}

/// The followers are 50 ms behind when the leader crashes.
#[test]
fn a_crash_of_the_leader_loses_what_only_it_had_with_acks_1_and_nothing_with_acks_all() {
    let crash = Case {
        topic: "min_insync_replicas = 2",
        faults: "[[fault]]\nat = \"4s\"\nfor = \"6s\"\nlink = { broker = [2, 3], delay = \"50ms\" }\n\
                 [[fault]]\nat = \"8s\"\nfor = \"6s\"\nbroker_down = { broker = 1 }",
        ..USUAL
    };
    let leader = crash.with("acks = \"leader\"\nidempotence = false").ledger;
    // The records of about 100 ms in one of three partitions, at 200 a second.
    assert!((5..40).contains(&leader.lost), "{leader:?}");
    let all = crash.with("acks = \"all\"").ledger;
    assert_eq!((all.lost, all.duplicated, all.acked), (0, 0, all.sent), "{all:?}");
}

/// The broker appends a batch and responds with a time-out, or the connection breaks before its response.
#[test]
fn an_acknowledgement_that_is_lost_makes_duplicates_without_idempotence_and_none_with_it() {
    let unclear = Case {
        faults: "[[fault]]\nat = \"5s\"\n\
                 request_error = { api = \"produce\", code = \"request-timed-out\", count = 5 }",
        ..USUAL
    };
    assert_eq!(unclear.with(WITHOUT).ledger.duplicated, 5);
    assert_eq!(unclear.with(WITH).ledger.duplicated, 0);
    let broken = Case {
        faults: "[[fault]]\nat = \"4s\"\nevery = \"1s\"\nlink_reset = { broker = 1 }",
        ..USUAL
    };
    assert!(broken.with(WITHOUT).ledger.duplicated > 0);
    assert_eq!(broken.with(WITH).ledger.duplicated, 0);
}

/// With `acks = 1`, a leader that is cut off from the others accepts records that no consumer gets.
#[test]
fn a_leader_that_does_not_know_that_it_is_none_loses_what_it_takes_with_acks_1_only() {
    let cut = Case {
        topic: "min_insync_replicas = 2",
        faults: "[[fault]]\nat = \"5s\"\nfor = \"6s\"\nlink_cut = { broker = 1, side = \"brokers\" }",
        ..USUAL
    };
    let leader = cut.with("acks = \"leader\"\nidempotence = false").ledger;
    assert!((1_100..1_300).contains(&leader.lost), "six seconds of a partition: {leader:?}");
    let all = cut.with("acks = \"all\"").ledger;
    assert_eq!((all.lost, all.duplicated, all.acked), (0, 0, all.sent), "{all:?}");
}

/// Followers are out of sync, and the last replica in sync crashes. A replica that is not in sync leads only with
/// unclean elections. Then the log is truncated, and consumers that have read further report the loss and skip nothing.
#[test]
fn an_unclean_election_is_data_loss_by_name_and_a_clean_one_waits() {
    let last = Case {
        sim: "replica_lag_max = \"1s\"",
        faults: "[[fault]]\nat = \"4s\"\nfor = \"4s\"\nlink = { broker = [2, 3], delay = \"30s\" }\n\
                 [[fault]]\nat = \"7s\"\nfor = \"8s\"\nbroker_down = { broker = 1 }",
        ..USUAL
    };
    let clean = last.with(WITH);
    assert_eq!(
        (clean.ledger.lost, clean.ledger.acked),
        (0, clean.ledger.sent),
        "{:?}",
        clean.ledger
    );
    let sim = "replica_lag_max = \"1s\"\nunclean_elections = true";
    let unclean = Case { sim, ..last }.with(WITH);
    assert!(unclean.ledger.lost > 0, "{:?}", unclean.ledger);
    let truncated = |(_, reason): (&_, &String)| reason.starts_with("truncated");
    assert!(unclean.given_up.iter().any(truncated), "{:?}", unclean.given_up);
}

/// Two processes can assign the same partition to themselves, because no broker checks that. In a group the coordinator
/// assigns it to one member, and no other member gets records that this one has processed.
#[test]
fn a_partition_has_two_owners_under_assignment_and_one_in_a_group() {
    let assigned = Case {
        faults: "[[fault]]\nat = \"5s\"\nfor = \"5s\"\nsecond_owner = { partition = 1 }",
        ..USUAL
    };
    let summary = assigned.run();
    assert!((990..1_010).contains(&summary.two_owners), "{} of 1,000", summary.two_owners);
    let text = "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"20/s\"\n[consumers]\nmode = \"group\"\n\
                count = 2\n[run]\nwarmup = \"0s\"\nduration = \"20s\"\n\
                [[fault]]\nat = \"5s\"\nfor = \"5s\"\njoin = { members = 1 }\n";
    let group = Tool::run_text(text).args(["--broker", "sim"]).exits(0).summary();
    assert!(group.rebalances.len() >= 2, "it came and went: {:?}", group.rebalances);
    assert_eq!((group.two_owners, group.ledger.redelivered, group.ledger.lost), (0, 0, 0));
}

/// New partitions are found, get records, and are read from their first record on.
#[test]
fn a_topic_grows_in_virtual_time() {
    let summary = Tool::run("faults/grow.toml").args(["--broker", "sim"]).exits(0).summary();
    assert_eq!((summary.partitions.len(), summary.consumers_started), (9, 9));
    assert!(summary.partitions.iter().all(|partition| partition.delivered > 100));
}

/// Members search for new partitions. There are no commits for these, so they are read from their beginning. A group
/// with an eager assignor stops for the rebalance, and one with a cooperative assignor does not.
#[test]
fn a_group_deals_out_new_partitions_in_virtual_time() {
    for assignor in ["range", "roundrobin", "cooperative-sticky"] {
        let set = [
            "consumers.mode=group",
            "consumers.count=4",
            &format!("consumers.assignor={assignor}"),
            "topic.discover=500ms",
        ];
        let tool = Tool::run("faults/grow.toml").args(["--broker", "sim"]);
        let tool = set.iter().fold(tool, |tool, set| tool.args(["--set", *set]));
        let summary = tool.finish().summary();
        let ledger = summary.ledger;
        assert_eq!((ledger.delivered, ledger.lost, ledger.duplicated), (9_000, 0, 0), "{assignor}");
        assert_eq!((ledger.reordered, summary.unexpected_redelivered, summary.restarts), (0, 0, 0));
        assert_eq!((summary.partitions.len(), summary.members), (9, 4));
        assert!(summary.partitions.iter().all(|partition| partition.delivered > 100));
        // Nine partitions on four members: each has two or three.
        let owner = |p: &PartitionSummary| p.owners.last().map(|owner| owner.consumer);
        let owners: Vec<_> = summary.partitions.iter().filter_map(owner).collect();
        let most = (0..4).map(|member| owners.iter().filter(|owner| **owner == member).count());
        assert!(most.clone().all(|has| (2..=3).contains(&has)), "{assignor}: {owners:?}");
        let [growth] = summary.growth.as_slice() else { panic!("{:?}", summary.growth) };
        assert_eq!((growth.from, growth.to), (6, 9));
        let [rebalance] = summary.rebalances.as_slice() else { panic!("{:?}", summary.rebalances) };
        assert_eq!(rebalance.partitions_stopped == 0, assignor == "cooperative-sticky");
    }
}

/// The preferred replica leads again at the controller's next check after its restart, or never if the check is turned
/// off. Producers and consumers find it, and no record is lost.
#[test]
fn a_preferred_leader_that_is_back_leads_again() {
    let crash = |interval: &str| {
        format!(
            "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"20/s\"\n\
             [sim]\nbroker_session = \"3s\"\nleader_balance = \"{interval}\"\n\
             [run]\nwarmup = \"0s\"\nduration = \"20s\"\n\
             [[fault]]\nat = \"3s\"\nfor = \"5s\"\nbroker_down = {{ broker = 1 }}\n"
        )
    };
    for (interval, leader) in [("10s", "broker-1"), ("0s", "broker-2")] {
        let summary = Tool::run_text(&crash(interval)).args(["--broker", "sim"]).exits(0).summary();
        let ledger = summary.ledger;
        assert_eq!((ledger.acked, ledger.lost, ledger.duplicated), (ledger.sent, 0, 0));
        let tool = Tool::new().file("crash.toml", crash(interval).as_bytes());
        let replay = ["replay", "crash.toml", "--trace", "--kind", "request", "--partition", "0"];
        let trace = tool.args(replay).args(["--from", "15s", "--to", "16s"]).exits(0).stdout;
        let asked: Vec<_> = trace.lines().filter(|line| line.contains("  broker-")).collect();
        assert!(asked.len() > 100, "{trace}");
        assert!(asked.iter().all(|line| line.contains(leader)), "{interval}: {trace}");
        assert!(["Produce", "Fetch"].iter().all(|what| trace.contains(what)), "{trace}");
    }
}

/// With fewer replicas in sync than `min.insync.replicas`, no record is acknowledged and none is lost.
#[test]
fn too_few_replicas_are_waited_for() {
    let alone = Case {
        topic: "min_insync_replicas = 3",
        faults: "[[fault]]\nat = \"5s\"\nfor = \"8s\"\nbroker_down = { broker = 2 }",
        ..USUAL
    };
    let summary = alone.with(WITH);
    assert_eq!((summary.ledger.lost, summary.ledger.acked), (0, summary.ledger.sent));
    let slowest = summary.latency_us.response.max.expect("records");
    assert!(slowest > 7e6, "{slowest} us: they waited until the broker was back");
}

/// After a crash of its coordinator, a group finds the next one, which has its generation and its offsets.
#[test]
fn a_group_survives_its_coordinator() {
    let text = "[topic]\npartitions = 6\nmin_insync_replicas = 2\n[load]\nproducers = 30\nrate = \"20/s\"\n\
                [consumers]\nmode = \"group\"\ncount = 3\nsession_timeout = \"20s\"\n\
                [sim]\nbroker_session = \"3s\"\n[run]\nwarmup = \"0s\"\nduration = \"30s\"\n\
                [[fault]]\nat = \"8s\"\nfor = \"8s\"\nbroker_down = { broker = 1 }\n";
    let summary = Tool::run_text(text).args(["--broker", "sim"]).exits(0).summary();
    let ledger = summary.ledger;
    assert_eq!((ledger.lost, ledger.duplicated, ledger.redelivered), (0, 0, 0), "{ledger:?}");
    assert!(summary.rebalances.is_empty(), "{:?}", summary.rebalances);
}

/// Found by `explore`: the leader pauses until another one leads. The first batches are then still at the old leader.
/// The log of the new one is empty, so it would accept any sequence.
#[test]
fn an_idempotent_producer_sends_nothing_to_a_new_leader_before_the_old_one_has_answered() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"5/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"10s\"\ndrain = \"10m\"\nseed = 2059\n\
                [[fault]]\nat = \"91ms\"\nfor = \"11698ms\"\nbroker_pause = { broker = [2, 1] }\n\
                [[fault]]\nat = \"9508ms\"\nhalf_open = { broker = 2 }\n";
    let summary = Tool::run_text(text).args(["--broker", "sim"]).finish().summary();
    let ledger = summary.ledger;
    assert_eq!((ledger.delivered, ledger.lost, ledger.reordered), (100, 0, 0));
}

/// Found by `explore`: a broker resets its connections, and the producer sends another batch before it notices. The
/// broker has no state of the producer yet, so it would accept that batch with any sequence.
#[test]
fn what_is_sent_to_a_broker_that_has_reset_the_connection_does_not_overtake_what_was_lost_on_it() {
    let run = |at_ms: u64, broker: u32| {
        let text = format!(
            "[topic]\npartitions = 6\n[load]\nproducers = 3\nrate = \"50/s\"\n[sim]\nlatency = \"5ms\"\n\
             [run]\nwarmup = \"0s\"\nduration = \"1s\"\n\
             [[fault]]\nat = \"{at_ms}ms\"\nlink_reset = {{ broker = {broker} }}\n"
        );
        Tool::run_text(&text).args(["--broker", "sim"]).finish().summary().ledger
    };
    for (at_ms, broker) in (15..45).step_by(2).flat_map(|at| [(at, 1), (at, 2), (at, 3)]) {
        let ledger = run(at_ms, broker);
        assert_eq!((ledger.delivered, ledger.lost), (150, 0), "{at_ms} ms, broker {broker}");
        assert_eq!((ledger.duplicated, ledger.reordered), (0, 0), "{at_ms} ms, broker {broker}");
    }
}

/// A leader pauses and another one is elected. A producer without acknowledgements continues to send to the old one.
/// When that continues, it rejects the batches by closing the connection, and the producer refreshes its metadata.
#[test]
fn without_acknowledgements_the_next_leader_is_found_when_the_old_one_hangs_up() {
    let paused = Case {
        faults: "[[fault]]\nat = \"3s\"\nfor = \"10s\"\nbroker_pause = { broker = 1 }",
        ..USUAL
    };
    let none = paused.with("acks = \"none\"\nidempotence = false");
    // It led one partition, so 200 records a second are lost for 10 s, and none in the 7 s after that.
    assert!((1_900..2_100).contains(&none.ledger.lost), "{:?}", none.ledger);
    for p in &none.partitions {
        let Ledger { sent, delivered, lost, .. } = p.ledger;
        assert_eq!(sent, delivered + lost);
        assert_eq!(lost > 0, p.partition == 0, "partition {}: {:?}", p.partition, p.ledger);
    }
    assert_eq!(paused.with("acks = \"all\"").ledger.lost, 0);
}

/// An injected rejection has the effects of a real one, also without a response.
#[test]
fn a_refused_batch_without_acknowledgements_is_lost_and_its_connection_closed() {
    let refused = Case {
        faults: "[[fault]]\nat = \"3s\"\n\
                 request_error = { api = \"produce\", code = \"not-leader\", count = 3 }",
        ..USUAL
    };
    let none = refused.with("acks = \"none\"\nidempotence = false");
    assert!(none.ledger.lost >= 3, "{:?}", none.ledger);
    let warned = |text: &str| none.warnings.iter().any(|warning| warning.contains(text));
    assert!(warned("BrokerTransportFailure"), "{:?}", none.warnings);
}

/// Found by `explore`: all brokers pause. The first two batches of a producer are rejected, because no broker leads. A
/// moment later a leader without state of the producer accepts the third one. The rejected batches must not be appended
/// after it.
#[test]
fn what_was_refused_before_the_first_batch_was_taken_does_not_come_after_it() {
    let text = "[topic]\npartitions = 1\n[load]\nproducers = 2\nrate = \"0.664/s\"\npools = 2\n\
                [sim]\nbroker_session = \"3196ms\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"4s\"\nseed = 8998\n\
                [[fault]]\nat = \"9ms\"\nfor = \"3197ms\"\nbroker_pause = { broker = \"all\" }\n";
    let ledger = Tool::run_text(text).args(["--broker", "sim"]).finish().summary().ledger;
    assert_eq!((ledger.sent, ledger.lost, ledger.duplicated, ledger.reordered), (6, 0, 0, 0));
    assert_eq!((ledger.delivered, ledger.failed), (4, 2));
}

/// Found by `explore`: a member processes a record when it has to stop, and is killed a moment before the end of the
/// work. The record does not count, and is not committed when the member leaves.
#[test]
fn a_member_that_is_killed_while_it_stops_commits_nothing_that_does_not_count() {
    let text = "[topic]\npartitions = 3\n[load]\nproducers = 1\nrate = \"7.813/s\"\n\
                [consumers]\nmode = \"group\"\ncount = 3\nassignor = \"cooperative-sticky\"\n\
                [run]\nwarmup = \"5s\"\nduration = \"3s\"\nseed = 5256\n\
                [[fault]]\nat = \"4969ms\"\nfor = \"2959ms\"\nstall = { consumer = 1 }\n\
                [[fault]]\nat = \"7002ms\"\nstop = { consumer = 1 }\n\
                [[fault]]\nat = \"7992ms\"\nfor = \"1ms\"\nlate_close = { consumer = 1 }\n";
    let summary = Tool::run_text(text).args(["--broker", "sim"]).finish().summary();
    let (ledger, simulated) = (summary.ledger, summary.simulation.expect("simulated"));
    assert_eq!((ledger.lost, ledger.unread, simulated.miscommitted), (0, 0, 0), "{ledger:?}");
    assert_eq!((ledger.sent, ledger.delivered), (63, 63));
}

/// Found by `explore`: a batch for one partition was given up, so the next one is out of order and the producer gets a
/// new producer id. Batches in flight to another partition are retried with the old id. With the new one, they could be
/// appended twice.
#[test]
fn what_may_be_in_the_log_is_sent_again_with_the_number_it_was_sent_with() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 18\nrate = \"12.86/s\"\npayload = \"698B\"\n\
                [sim]\nbandwidth = \"7542307B\"\nmessage_timeout = \"29770ms\"\n\
                [run]\nwarmup = \"243ms\"\nduration = \"17811ms\"\ndrain = \"10m\"\nseed = 24611\n\
                [[fault]]\nat = \"5637ms\"\nhalf_open = { broker = 2 }\n\
                [[fault]]\nat = \"10984ms\"\nhalf_open = { broker = [3, 1] }\n";
    let ledger = Tool::run_text(text).args(["--broker", "sim"]).finish().summary().ledger;
    assert_eq!((ledger.lost, ledger.duplicated, ledger.reordered), (0, 0, 0), "{ledger:?}");
}

/// Found by `explore`: a slow round of replication ends after a faster one that began later. The follower keeps the
/// records of the faster one, so no acknowledged record is truncated when it leads.
#[test]
fn a_slow_round_of_replication_takes_nothing_away() {
    let text = "[topic]\npartitions = 1\n[load]\nproducers = 7\nrate = \"23.076/s\"\n[sim]\nbroker_session = \"3457ms\"\n\
                [run]\nwarmup = \"39ms\"\nduration = \"4359ms\"\ndrain = \"10m\"\nseed = 38201\n\
                [[fault]]\nat = \"2739ms\"\nfor = \"12ms\"\n\
                link = { broker = 2, delay = \"48ms\", loss = 0.18, duplicate = 0.08 }\n\
                [[fault]]\nat = \"2821ms\"\nhalf_open = { broker = \"all\" }\n\
                [[fault]]\nat = \"3882ms\"\nfor = \"3457ms\"\nbroker_down = { broker = 1 }\n";
    let ledger = Tool::run_text(text).args(["--broker", "sim"]).finish().summary().ledger;
    assert_eq!((ledger.lost, ledger.unread, ledger.duplicated), (0, 0, 0), "{ledger:?}");
}

/// Found by `explore`: members wait for the others in a JoinGroup when their coordinator moves. The old coordinator
/// responds to them. Without a response they would wait for the rebalance timeout of five minutes twice; the link that
/// breaks later costs one of these waits.
#[test]
fn a_coordinator_that_moves_tells_the_members_that_wait_for_it() {
    let text = "[consumers]\nmode = \"group\"\ncount = 3\nassignor = \"cooperative-sticky\"\nsession_timeout = \"2417ms\"\n\
                [topic]\npartitions = 3\n[load]\nproducers = 1\nrate = \"35.278/s\"\n\
                [sim]\nrequest_timeout = \"2874ms\"\n\
                [run]\nwarmup = \"915ms\"\nduration = \"8s\"\ndrain = \"10m\"\nseed = 209588\n\
                [[fault]]\nat = \"610ms\"\nhalf_open = { broker = \"all\" }\n\
                [[fault]]\nat = \"2186ms\"\nfor = \"4470ms\"\nbroker_pause = { broker = 2 }\n\
                [[fault]]\nat = \"6655ms\"\ncoordinator_move = {}\n\
                [[fault]]\nat = \"8241ms\"\nhalf_open = { broker = 3 }\n";
    let ledger = Tool::run_text(text).args(["--broker", "sim"]).finish().summary().ledger;
    assert_eq!((ledger.lost, ledger.unread), (0, 0), "{ledger:?}");
}

/// Found by `explore`: a member pauses, is removed from its group, and joins again before its consumer learns that it
/// has lost its partitions. The consumer's commits for these do not replace later commits of the next owner.
#[test]
fn a_member_that_joined_again_commits_nothing_it_has_lost() {
    let text = "[consumers]\nmode = \"group\"\ncount = 3\nassignor = \"cooperative-sticky\"\nsession_timeout = \"929ms\"\n\
                [topic]\npartitions = 9\n[load]\nproducers = 2\nrate = \"19.17/s\"\n\
                [run]\nwarmup = \"785ms\"\nduration = \"5s\"\ndrain = \"1m\"\nseed = 251509\n\
                [[fault]]\nat = \"2032ms\"\nfor = \"3422ms\"\nstall = { consumer = [1, 2] }\n\
                [[fault]]\nat = \"3069ms\"\nfor = \"2247ms\"\nbroker_pause = { broker = 2 }\n\
                [[fault]]\nat = \"5316ms\"\nfor = \"1ms\"\nbroker_down = { broker = 2 }\n";
    let summary = Tool::run_text(text).args(["--broker", "sim"]).finish().summary();
    let simulated = summary.simulation.expect("a simulation");
    assert_eq!((simulated.miscommitted, summary.ledger.unread), (0, 0), "{:?}", summary.ledger);
}

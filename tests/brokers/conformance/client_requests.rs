//! The counts of the native client, and the threads of its process.

use super::{SCENARIO, SENT};
use crate::cluster::{Arm, on_the_cluster};

/// The names of the threads of a running program.
#[cfg(target_os = "linux")]
fn threads_of(arm: &Arm) -> Vec<String> {
    let mut running = arm.run(SCENARIO).start();
    running.await_text("so-far.json", "{");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.id())).expect("a process");
    let names: Vec<String> = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    running.finish();
    names
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_with_the_native_client_has_no_client_of_librdkafka() {
    on_the_cluster(|arm| {
        let threads = threads_of(arm);
        // Native consumers share threads, at most one per core and at most 4.
        let consumers = threads.iter().filter(|name| name.starts_with("consumer")).count();
        match arm.has_the_native_client() {
            true => assert!((1..=4).contains(&consumers), "{threads:?}"),
            false => assert_eq!(consumers, 18, "{threads:?}"),
        }
        // The names of librdkafka's threads begin with `rdk`.
        let has_librdkafka = threads.iter().any(|name| name.starts_with("rdk"));
        assert_eq!(has_librdkafka, !arm.has_the_native_client(), "{threads:?}");
    });
}

#[test]
fn requests_are_counted_where_the_client_tells() {
    on_the_cluster(|arm| {
        let set = ["run.warmup=0s", "expect.\"request.produce.max\"=\"> 0ms\""];
        let tool = arm.run(SCENARIO).set(["run.warmup=0s"]);
        if !arm.has_the_native_client() {
            assert_eq!(tool.exits(0).summary().requests, None);
            let refused = arm.run(SCENARIO).set(set).exits(2);
            assert!(refused.stderr.contains("--client native"), "{}", refused.output());
            return;
        }
        let summary = tool.exits(0).summary();
        let requests = summary.requests.expect("counted");
        // Most records are sent and read in the measured window, and fewer on a busy machine. Retries count again.
        let due = SENT * 20 / 25;
        for (what, sizes) in [("produced", &requests.produced), ("fetched", &requests.fetched)] {
            let records = sizes.records;
            assert!((due / 4..=due * 2).contains(&records), "{what}: {records} of {due}");
            assert!(sizes.bytes > records * 100, "{what}: {} bytes", sizes.bytes);
        }
        let answered = (requests.per_s["Produce"] * summary.duration_s).round() as u64;
        assert_eq!(answered, requests.produce_us.count);
        // There is at least one connection per consumer, and not more than sockets of the process.
        let sockets = summary.cost.sockets_max.unwrap_or(u64::MAX);
        assert!((19..=sockets).contains(&requests.connections_max), "{requests:?}");
        assert!(requests.connections_made >= requests.connections_max);
        assert_eq!(requests.throttled_ms, 0.0);
    });
}

#[test]
fn batches_for_a_broker_share_a_request_of_the_native_client() {
    on_the_cluster(|arm| {
        if !arm.has_the_native_client() {
            return;
        }
        let at_maximum = "[topic]\npartitions = 18\n[load]\nproducers = 60\nrate = \"max\"\nmessages = 200_000\n\
                          [run]\nwarmup = \"0s\"\n";
        let requests = arm.run(at_maximum).exits(0).summary().requests.expect("counted");
        let answered = requests.produce_us.count;
        // Five requests are soon in flight. Until the first response, batches of the other partitions collect records.
        assert!(
            answered > 0 && requests.produced.count >= 2 * answered,
            "{} batches in {answered} requests",
            requests.produced.count
        );
    });
}

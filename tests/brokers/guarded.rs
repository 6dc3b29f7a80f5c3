//! A cluster with access control: logins, TLS, rights, wrong advertised addresses, and a group without a coordinator.
//!
//! Needs `GUARDED=127.0.0.1:PORT`, the address that `LANEKEEPER_KAFKA_GUARDED=1 tests/kafka.sh start` prints. Without
//! it, the tests pass without a check. The function `guard` of that script describes the listeners.

mod native;
mod tokens;

use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::cluster::Arm;
use crate::support::{self, Finished, Tool, root};
use lanekeeper::base::{Clock, Time};

const BRIEF: &str = "[topic]\npartitions = 2\nreplication_factor = 1\n[load]\nproducers = 10\nrate = \"10/s\"\n\
                     [run]\nwarmup = \"0s\"\nduration = \"1s\"\nstartup = \"60s\"\n";
const STARTUP: Duration = Duration::from_secs(60);

/// One test pauses the broker, and no other test runs meanwhile.
static BROKER: RwLock<()> = RwLock::new(());

fn shared() -> RwLockReadGuard<'static, ()> {
    BROKER.read().unwrap_or_else(PoisonError::into_inner)
}

/// The first port of the cluster's listeners; `None` without `GUARDED`.
fn port() -> Option<u16> {
    let address = std::env::var("GUARDED").ok()?;
    Some(address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port"))
}

fn login(user: &str, password: &str) -> String {
    format!(
        "security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\nsasl.username={user}\nsasl.password={password}\n"
    )
}

/// A run on the listener at the first port plus `offset`, with a client file.
fn tool(port: u16, offset: u16, properties: &str) -> Tool {
    let address = format!("127.0.0.1:{}", port + offset);
    let tool = Tool::run_text(BRIEF).file("client.properties", properties.as_bytes());
    tool.args(["--bootstrap", &address, "--client-config", "client.properties"])
}

#[track_caller]
fn says(finished: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(finished.stderr.contains(text), "`{text}` is not in\n{}", finished.output());
    }
}

/// Asserts that a run fails with this cause, long before the end of `run.startup`.
#[track_caller]
fn refused(tool: Tool, texts: &[&str]) {
    let clock = Clock::start();
    let finished = tool.exits(3);
    says(&finished, texts);
    assert!(clock.now() < Time::ZERO + STARTUP, "{}", finished.output());
    assert!(!finished.output().contains("left behind"), "{}", finished.output());
    // Every password here ends with this text, and no output contains one.
    assert!(!finished.output().contains("-secret"), "{}", finished.output());
}

#[test]
fn what_is_in_the_way_of_a_connection_is_named() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let admin = login("admin", "admin-secret");
    let wrong = || tool(port, 2, &login("admin", "wrong-secret"));
    refused(wrong(), &["refuses the login", "sasl.password"]);
    refused(wrong().arg("-vv"), &["client log", "refuses the login"]);
    refused(tool(port, 2, &login("stranger", "their-secret")), &["refuses the login"]);
    let sasl = ["is a listener with SASL (PLAIN)", "security.protocol=sasl_plaintext"];
    refused(tool(port, 2, ""), &sasl);
    refused(tool(port, 0, &admin), &["is a listener without SASL", "security.protocol"]);
    refused(tool(port, 3, ""), &["is a listener with TLS", "security.protocol"]);
    refused(tool(port, 1, ""), &["is a listener of a controller"]);
    let family = ["has the address 127.0.0.1", "tries IPv6 alone"];
    refused(tool(port, 0, "broker.address.family=v6\n"), &family);
    refused(
        tool(port, 4, ""),
        &["advertises broker 1 as `127.0.0.1:9` (connection refused)", "advertised.listeners"],
    );
    refused(
        tool(port, 5, ""),
        &["no-such-host.invalid", "cannot be resolved", "advertised.listeners"],
    );
    tool(port, 2, &admin).exits(0);
}

/// A mechanism that this build does not support is reported before any connection.
#[cfg(not(feature = "tls"))]
#[test]
fn a_mechanism_that_is_not_built_in_is_named() {
    let Some(port) = port() else { return };
    let with = |mechanism: &str| {
        login("admin", "admin-secret").replace("mechanism=PLAIN", &format!("mechanism={mechanism}"))
    };
    for mechanism in ["SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] {
        let finished = tool(port, 2, &with(mechanism)).exits(2);
        says(&finished, &[&format!("`sasl.mechanism` {mechanism}")]);
        assert!(!finished.output().contains("-secret"), "{}", finished.output());
    }
    let finished = tool(port, 2, "security.protocol=sasl_plaintext\n").exits(2);
    says(&finished, &["without `sasl.mechanism` is GSSAPI", "set `sasl.mechanism`"]);
}

/// `check --connect` finds the same mistakes, and lists all missing rights together.
#[test]
fn a_check_of_the_connection_says_the_same_and_names_every_right() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let check = |offset: u16, properties: &str, topic: &str| {
        Tool::new()
            .file("brief.toml", BRIEF.as_bytes())
            .file("client.properties", properties.as_bytes())
            .args(["check", "brief.toml", "--connect", "--client-config", "client.properties"])
            .args(["--bootstrap", &format!("127.0.0.1:{}", port + offset)])
            .set([format!("topic.name={topic}").as_str()])
    };
    refused(check(2, &login("admin", "wrong-secret"), "x"), &["refuses the login"]);
    refused(check(4, "", "x"), &["advertises broker 1 as `127.0.0.1:9`"]);
    let process = std::process::id();
    let none = format!("none-{process}-check");
    let finished = check(2, &login("guest", "guest-secret"), &none).exits(3);
    let lacks = format!("this user lacks Describe, Delete, Write, Read on topic `{none}`");
    let give = format!("--operation Write --operation Read --topic {none}`");
    says(&finished, &[&lacks, &give]);
    assert!(finished.stdout.contains("is not shown to this user"), "{}", finished.output());
    let some = format!("some-{process}-");
    allow(port, &["Describe", "Create", "Read"], "--topic", &some);
    let topic = format!("{some}check");
    let finished = check(2, &login("guest", "guest-secret"), &topic).exits(3);
    says(&finished, &[&format!("lacks Delete, Write on topic `{topic}`")]);
    let has = format!("has Describe, Create, Read on topic `{topic}`");
    assert!(finished.stdout.contains(&has), "{}", finished.output());
    assert!(!finished.output().contains("-secret"), "{}", finished.output());
    let arm = Arm::Cluster(format!("127.0.0.1:{port}"));
    assert_eq!(arm.partitions_of(&topic), None);
    let finished = check(2, &login("admin", "admin-secret"), &topic).exits(0);
    assert!(
        finished.stdout.contains("has Describe, Create, Delete, Write, Read"),
        "{}",
        finished.output()
    );
}

/// Needs a build with `--features tls`.
#[cfg(feature = "tls")]
#[test]
fn what_is_in_the_way_of_a_connection_with_tls_is_named() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let tls = "security.protocol=ssl\n";
    let login = login("admin", "admin-secret").replace("sasl_plaintext", "sasl_ssl");
    for offset in [0, 2] {
        refused(tool(port, offset, tls), &["is a listener without TLS", "security.protocol"]);
    }
    refused(tool(port, 2, &login), &["is a listener without TLS", "security.protocol"]);
    let unknown = ["the TLS handshake with", "an authority that is not trusted", "ssl.ca.location"];
    refused(tool(port, 3, tls), &unknown);
    let authority = "ssl.ca.location=broker.pem\n";
    let missing = tool(port, 3, &format!("{tls}{authority}")).exits(2);
    says(&missing, &["ssl.ca.location failed"]);
    let certificate = Command::new(root().join("tests/kafka.sh")).arg("certificate").output();
    let certificate = certificate.expect("a shell").stdout;
    let trusting = |properties: &str| {
        tool(port, 3, &format!("{properties}{authority}")).file("broker.pem", &certificate)
    };
    refused(trusting(&login), &["is a listener without SASL", "security.protocol"]);
    trusting(tls).exits(0);
}

#[test]
fn what_the_cluster_has_not_is_named_and_the_topic_is_taken_back() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let copies = tool(port, 0, "").set(["topic.replication_factor=3"]);
    refused(copies, &["the cluster has 1 broker,", "--set topic.replication_factor=1"]);
    // The client accepts the record, and the topic would reject it.
    let large = ["load.payload=1048550B", "client.message.max.bytes=2000000"];
    refused(
        tool(port, 0, "").set(large),
        &["more than topic", "`max.message.bytes` is 1048588", "largest payload is 1048516B"],
    );
    let arm = Arm::Cluster(format!("127.0.0.1:{port}"));
    let name = format!("lanekeeper-test-guarded-{}", std::process::id());
    let named = format!("topic.name={name}");
    let group = ["consumers.mode=group", "consumers.count=2", &named];
    refused(
        tool(port, 0, "").set(group),
        &[
            "has no coordinator",
            "3 copies, and the cluster has 1 broker",
            "offsets.topic.replication.factor=1",
        ],
    );
    assert_is_gone(&arm, &name);
    // All steps of the startup share its time limit.
    let finished = tool(port, 0, "").set(group).set(["run.startup=2s"]).exits(3);
    says(&finished, &["has no coordinator after 2."]);
    assert_is_gone(&arm, &name);
}

/// Waits until a topic is deleted, because a cluster deletes asynchronously.
#[track_caller]
fn assert_is_gone(arm: &Arm, topic: &str) {
    for _ in 0..100 {
        if arm.partitions_of(topic).is_none() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{topic} is there");
}

/// Grants `guest` these operations on topics or groups whose names begin with `prefix`.
fn allow(port: u16, operations: &[&str], kind: &str, prefix: &str) {
    let mut command = Command::new(root().join("tests/kafka.sh"));
    command.args(["run", "org.apache.kafka.tools.AclCommand", "--bootstrap-server"]);
    command.arg(format!("127.0.0.1:{port}")).args(["--add", "--allow-principal", "User:guest"]);
    command.args(operations.iter().flat_map(|operation| ["--operation", operation]));
    command.args([kind, prefix, "--resource-pattern-type", "prefixed"]);
    let output = command.output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_right_that_is_missing_is_named() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let guest = |topic: &str| {
        tool(port, 2, &login("guest", "guest-secret")).set([format!("topic.name={topic}").as_str()])
    };
    let process = std::process::id();
    let name = |prefix: &str, number: u32| format!("{prefix}{process}-{number}");
    let topic = name("none-", 1);
    let text = format!("lacks the right Describe on topic `{topic}`; give it with");
    refused(guest(&topic), &[&text, &format!("--operation Describe --topic {topic}")]);

    let read = format!("reads-{process}-");
    allow(port, &["Describe", "Create", "Delete", "Read"], "--topic", &read);
    let group = guest(&name("reads-", 1)).set(["consumers.mode=group", "consumers.count=2"]);
    refused(group, &["lacks the right Read on group `lanekeeper-", "--group lanekeeper-"]);
    // Assigned consumers need no right on a group. An idempotent producer without any right to write gets no producer
    // id.
    let finished = guest(&name("reads-", 2)).exits(1);
    let text = "lacks the right IdempotentWrite on the cluster";
    assert!(finished.stdout.contains(text), "{}", finished.output());
    let finished = guest(&name("reads-", 2)).set(["load.idempotence=false"]).exits(1);
    let text = format!("lacks the right Write on topic `{}`", name("reads-", 2));
    assert!(finished.stdout.contains(&text), "{}", finished.output());

    let write = format!("writes-{process}-");
    allow(port, &["Describe", "Create", "Write"], "--topic", &write);
    let topic = name("writes-", 1);
    let finished = guest(&topic).exits(3);
    // Topics that it may not delete are listed with the reason and the command.
    let left = format!(
        "left behind: topic `{topic}` was created by this run and may still be there: this user lacks the right Delete"
    );
    let delete = format!("--delete --topic {topic}`");
    says(&finished, &[&format!("lacks the right Read on topic `{topic}`"), &left, &delete]);
    delete_topic(port, &topic);
}

/// Deletes a topic. A broker that was paused needs a while until it leads partitions again.
fn delete_topic(port: u16, topic: &str) {
    let arm = Arm::Cluster(format!("127.0.0.1:{port}"));
    let delete = || arm.admin(async |admin, options| admin.delete_topics(&[topic], &options).await);
    let deleted = (0..4).find_map(|_| delete().ok());
    deleted.expect("an answer").remove(0).expect("a topic that was there");
}

#[test]
fn signals_take_the_topic_back() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let arm = Arm::Cluster(format!("127.0.0.1:{port}"));
    let name = format!("lanekeeper-test-signals-{}", std::process::id());
    let named = format!("topic.name={name}");
    for signal in ["INT", "TERM", "HUP"] {
        // A signal during the startup, which waits for the coordinator.
        let group = ["consumers.mode=group", "consumers.count=2", &named, "run.startup=10m"];
        let mut running = tool(port, 0, "").set(group).start();
        while arm.partitions_of(&name).is_none() {
            running.look();
        }
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code, 130, "{}", finished.output());
        assert_is_gone(&arm, &name);
        // A signal during the load.
        let mut running = tool(port, 0, "").set([named.as_str(), "run.duration=10m"]).start();
        running.await_text("seconds.jsonl", "\"partition\":1");
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code, 130, "{}", finished.output());
        assert!(finished.summary().ledger.delivered > 0, "{}", finished.output());
        assert_is_gone(&arm, &name);
    }
}

#[test]
fn a_topic_that_a_second_signal_leaves_is_listed() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let name = format!("lanekeeper-test-left-{}", std::process::id());
    let set = [
        &format!("topic.name={name}"),
        "run.duration=10m",
        "run.drain=10m",
        "consumers.work={ wait = \"20s\" }",
    ];
    let mut running = tool(port, 0, "").set(set).start();
    running.await_text("seconds.jsonl", "\"partition\":1");
    running.signal("TERM");
    running.await_text("run.log", "stopping");
    running.signal("TERM");
    let finished = running.finish();
    assert_eq!(finished.code, 130, "{}", finished.output());
    says(
        &finished,
        &["stopped before everything was taken back", &format!("--delete --topic {name}`")],
    );
    delete_topic(port, &name);
}

/// A run continues if responses take longer than its first waits.
#[test]
fn a_cluster_that_answers_slowly_is_waited_for() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let to = ([127, 0, 0, 1], port).into();
    let slow = support::server::slow(to, Duration::from_millis(700)).to_string();
    let finished = Tool::run_text(BRIEF).args(["--bootstrap", &slow]).finish();
    let ledger = finished.summary().ledger;
    assert_eq!((ledger.sent, ledger.delivered), (100, 100), "{}", finished.output());
}

/// A broker that is paused during the load delays neither the end of the run nor the report about the topic.
#[test]
fn a_broker_that_stands_still_does_not_hold_the_end_up() {
    let Some(port) = port() else { return };
    let _alone = BROKER.write().unwrap_or_else(PoisonError::into_inner);
    let broker = |command: &str| {
        let script = Command::new(root().join("tests/kafka.sh")).args([command, "1"]).status();
        assert!(script.expect("a shell").success(), "{command}");
    };
    let name = format!("lanekeeper-test-still-{}", std::process::id());
    let set = [&format!("topic.name={name}"), "run.duration=10m", "run.drain=10m"];
    let mut running = tool(port, 0, "").set(set).start();
    running.await_text("seconds.jsonl", "\"partition\":1");
    broker("pause");
    running.signal("TERM");
    let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| running.finish()));
    broker("resume");
    let finished = finished.expect("it ends by itself");
    assert_eq!(finished.code, 130, "{}", finished.output());
    assert!(finished.summary().ledger.delivered > 0, "{}", finished.output());
    let left = format!("--delete --topic {name}`");
    assert!(finished.stdout.contains(&left), "{}", finished.output());
    delete_topic(port, &name);
}

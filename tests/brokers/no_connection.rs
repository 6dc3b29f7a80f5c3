//! The messages for users when no broker can be reached, and the resources that a run needs of its process.

mod tls;

use std::time::Duration;

use crate::support::{self, Tool};
use lanekeeper::base::{Clock, Time};
use support::server::{self, Answer};

const BRIEF: &str = "[topic]\npartitions = 2\n[load]\nproducers = 10\nrate = \"10/s\"\n\
                     [run]\nwarmup = \"0s\"\nduration = \"1s\"\n";

/// Much longer than the search for a cause takes. A run that lasts as long has found none.
const STARTUP: Duration = Duration::from_secs(60);

/// Asserts the message of a run on a cluster at these addresses, and that it comes long before the end of
/// `run.startup`.
#[track_caller]
fn refused(bootstrap: &str, texts: &[&str]) {
    let clock = Clock::start();
    let tool = Tool::run_text(BRIEF).args(["--bootstrap", bootstrap]);
    let finished = tool.set(["run.startup=60s"]).exits(3);
    for text in [&["error", bootstrap], texts].concat() {
        assert!(finished.stderr.contains(text), "`{text}` is not in\n{}", finished.output());
    }
    assert!(clock.now() < Time::ZERO + STARTUP, "{}", finished.output());
    assert_eq!(finished.stdout, "");
    // A run that did not begin leaves no directory.
    assert!(!finished.out().exists(), "{}", finished.output());
}

#[test]
fn a_closed_port_refuses_connections() {
    let closed = server::closed().to_string();
    refused(&closed, &["refuses connections", "check the address and port"]);
    let another = server::closed();
    refused(&format!("{closed},{another}"), &["refuses connections"]);
}

// Other operating systems refuse connections that do not fit into the backlog.
#[cfg(target_os = "linux")]
#[test]
fn a_firewall_that_drops_packets_is_suggested() {
    let dropping = server::dropping();
    let address = dropping.address.to_string();
    let said = format!("no answer from `{address}`: is it behind a firewall");
    for client in ["rdkafka", "native"] {
        let tool = Tool::run_text(BRIEF).args(["--bootstrap", &address, "--client", client]);
        let finished = tool.set(["run.startup=60s"]).exits(3);
        for text in [said.as_str(), "the firewalls between"] {
            assert!(finished.stderr.contains(text), "{client}: {}", finished.output());
        }
        assert!(!finished.stderr.contains("tried for 60"), "{client}: {}", finished.output());
    }
}

#[test]
fn a_host_that_does_not_exist_is_not_resolved() {
    refused("no-such-host.invalid:9092", &["cannot be resolved", "check the host name"]);
}

#[test]
fn a_server_that_is_no_broker_is_named_by_what_it_does() {
    let cases: [(Answer, &[&str]); 4] = [
        (Answer::Silence, &["takes the connection and does not answer"]),
        (Answer::Close, &["closes the connection at the first request", "security.protocol"]),
        (
            Answer::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            &["does not answer in Kafka's protocol", "check the port"],
        ),
        // The beginning of a response of 1,000 bytes.
        (Answer::Bytes(b"\0\0\x03\xe8\0\0\0\x01"), &["does not answer"]),
    ];
    for (answer, texts) in cases {
        refused(&server::start(answer).to_string(), texts);
    }
}

#[test]
fn a_listener_with_tls_is_told_from_one_with_sasl() {
    // The alert that a server with TLS sends after bytes that are not TLS.
    let alert = server::start(Answer::Bytes(b"\x15\x03\x03\0\x02\x02\x46")).to_string();
    refused(&alert, &["is a listener with TLS", "`ssl` or `sasl_ssl`"]);
}

#[test]
fn an_address_of_the_other_family_is_named() {
    let address = server::closed();
    let tool = Tool::run_text(BRIEF).args(["--bootstrap", &address.to_string()]);
    let finished = tool.env("LANEKEEPER_CLIENT_BROKER_ADDRESS_FAMILY", "v6").exits(3);
    for text in ["has the address 127.0.0.1", "IPv6 alone (`broker.address.family=v6`)"] {
        assert!(finished.stderr.contains(text), "`{text}` is not in\n{}", finished.output());
    }
}

/// A run with a short `run.startup` ends with it, and reports the time that it waited.
#[test]
fn the_start_up_is_a_limit_of_time() {
    let address = server::start(Answer::Silence).to_string();
    let tool = Tool::run_text(BRIEF).args(["--bootstrap", &address]).set(["run.startup=1s"]);
    let finished = tool.exits(3);
    assert!(finished.stderr.contains("tried for 1.0 s"), "{}", finished.output());
}

/// The signals of Ctrl-C, of `kill` and of a closed terminal end a run that waits for a broker.
#[test]
fn a_signal_ends_the_start_up() {
    for (signal, text) in [("INT", "interrupted"), ("TERM", "terminated"), ("HUP", "hung up")] {
        let address = server::start(Answer::Silence).to_string();
        let tool = Tool::run_text(BRIEF).args(["--bootstrap", &address]).set(["run.startup=10m"]);
        let mut running = tool.start();
        running.await_text("run.log", "preparing the cluster");
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code, 130, "{signal}: {}", finished.output());
        assert!(finished.stderr.contains(text), "{signal}: {}", finished.output());
        assert!(!finished.out().exists(), "{signal}: {}", finished.output());
    }
}

#[test]
fn a_signal_ends_the_load_and_keeps_what_was_measured() {
    let text = format!(
        "{BRIEF}[[fault]]\nat = \"100ms\"\nfor = \"5m\"\n\
         exec = {{ start = [\"touch\", \"broken\"], end = [\"touch\", \"mended\"] }}\n"
    );
    for signal in ["TERM", "HUP"] {
        let tool = Tool::run_text(&text).arg("--allow-exec").set(["run.duration=10m"]);
        let mut running = tool.start();
        running.await_text("seconds.jsonl", "\"partition\":1");
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code, 130, "{signal}: {}", finished.output());
        let summary = finished.summary();
        assert!(summary.ledger.sent > 0 && summary.ledger.lost == 0, "{:?}", summary.ledger);
        for file in ["broken", "mended"] {
            assert!(
                finished.scratch().join(file).exists(),
                "{signal}: {file}: {}",
                finished.output()
            );
        }
    }
}

/// The second signal ends the process at once. Its message lists the unhealed faults with the command that heals them.
#[test]
fn what_a_second_signal_leaves_is_listed() {
    let text = format!(
        "{BRIEF}[consumers]\nwork = {{ wait = \"20s\" }}\n[[fault]]\nat = \"100ms\"\nfor = \"5m\"\n\
         exec = {{ start = [\"touch\", \"broken\"], end = [\"touch\", \"it is mended\"] }}\n"
    );
    let tool = Tool::run_text(&text).arg("--allow-exec").set(["run.duration=10m", "run.drain=10m"]);
    let mut running = tool.start();
    running.await_text("seconds.jsonl", "\"partition\":1");
    running.signal("TERM");
    running.await_text("run.log", "stopping");
    running.signal("HUP");
    let finished = running.finish();
    assert_eq!(finished.code, 130, "{}", finished.output());
    let left = "fault 0 is not undone: run touch 'it is mended'";
    assert!(finished.stderr.contains(left), "{}", finished.output());
    assert!(!finished.scratch().join("it is mended").exists());
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let tool = Tool::run_text(BRIEF).set(["run.duration=2s"]).after("trap '' HUP");
    let mut running = tool.start();
    running.await_text("seconds.jsonl", "\"partition\":1");
    running.signal("HUP");
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.output());
}

#[test]
fn too_few_open_files_are_found_before_the_run() {
    for files in [12, 20, 40, 60] {
        let finished = Tool::run_text(BRIEF).after(&format!("ulimit -n {files}")).exits(3);
        for text in ["open files", &format!("may have {files};"), "ulimit -n"] {
            assert!(finished.stderr.contains(text), "{text}: {}", finished.output());
        }
        assert!(!finished.out().exists(), "{}", finished.output());
    }
    // Each of a thousand producers has a client.
    let tool = Tool::run_text(BRIEF).set(["load.producers=1000", "load.clients=producer"]);
    let finished = tool.after("ulimit -n 1024").exits(3);
    for text in ["1,002 clients", "`load.clients = \"pool\"`"] {
        assert!(finished.stderr.contains(text), "{text}: {}", finished.output());
    }
    // The soft limit is raised as far as the hard one allows.
    Tool::run_text(BRIEF).after("ulimit -S -n 30").exits(0);
    // A simulation has no clients.
    Tool::run_text(BRIEF).args(["--broker", "sim"]).after("ulimit -n 20").exits(0);
}

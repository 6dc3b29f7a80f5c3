//! A simulation always ends: with lost messages, at any load, and after an interruption.

use crate::support::Tool;

fn simulate(text: &str) -> Tool {
    Tool::run_text(text).args(["--broker", "sim"])
}

/// A request for the end offsets is lost on a blackholed connection, at the end of the load.
#[test]
fn a_question_that_is_lost_is_asked_again() {
    let text = "[topic]\npartitions = 1\n[load]\nproducers = 18\nmessages = 1\n\
                [sim]\nbrokers = 1\nlatency = \"30ms\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"1s\"\ndrain = \"0s\"\n\
                [[fault]]\nat = \"100ms\"\nhalf_open = { broker = 1 }\n";
    let summary = simulate(text).finish().summary();
    assert!(summary.simulation.expect("simulated").virtual_ns < 120_000_000_000);
    assert_eq!(summary.ledger.sent, 1);
}

#[test]
fn links_that_lead_nowhere_all_the_time_end_with_the_load() {
    for drain in ["", "drain = \"0s\""] {
        for messages in ["", "messages = 1"] {
            let text = format!(
                "[topic]\npartitions = 1\n[load]\nproducers = 18\nacks = \"none\"\nidempotence = false\n{messages}\n\
                 [sim]\nbrokers = 1\nlatency = \"30ms\"\njitter = \"311ms\"\n\
                 [run]\nwarmup = \"0s\"\nduration = \"3s\"\n{drain}\n\
                 [[fault]]\nat = \"100ms\"\nevery = \"400ms\"\nhalf_open = {{ broker = 1 }}\n"
            );
            let summary = simulate(&text).finish().summary();
            assert!(summary.simulation.expect("simulated").virtual_ns < 200_000_000_000);
        }
    }
}

/// The load is ten times the bandwidth of the connection. The client's queue fills, and the pool sends late, with any
/// `acks`.
#[test]
fn load_above_the_bandwidth_makes_a_queue_that_is_bounded_and_records_late() {
    for acks in ["all", "leader", "none"] {
        let text = format!(
            "[topic]\npartitions = 3\n[load]\nproducers = 100\nrate = \"100/s\"\nacks = \"{acks}\"\n\
             idempotence = false\n[sim]\nbrokers = 1\nbandwidth = \"100KB\"\nmessage_timeout = \"10s\"\n\
             [run]\nwarmup = \"0s\"\nduration = \"30s\"\n"
        );
        let finished = simulate(&text).finish();
        let summary = finished.summary();
        // The pool waits for its client, which queues at most 100,000 records, so not every due record is sent.
        let ledger = &summary.ledger;
        assert!(ledger.sent > 100_000 && ledger.sent < 200_000, "{acks}: {ledger:?}");
        assert!((90_000..=100_000).contains(&ledger.indeterminate), "{acks}: {ledger:?}");
        assert_eq!(summary.ledger.unaccounted(), 0, "{acks}");
    }
}

/// An interruption in the middle of a load with which actors are rarely idle.
#[test]
fn an_interruption_ends_a_simulation_at_any_load() {
    let loads = [
        "producers = 1000\nrate = \"max\"",
        "producers = 1000\nrate = \"max\"\nacks = \"none\"\nidempotence = false",
        "producers = 1\nrate = \"1/h\"",
    ];
    for load in loads {
        let text = format!("[load]\n{load}\n[run]\nwarmup = \"0s\"\nduration = \"168h\"\n");
        let mut running = simulate(&text).start();
        running.await_text("scenario.toml", "168h");
        // The signal handler is installed a moment after the first file.
        std::thread::sleep(std::time::Duration::from_secs(1));
        running.interrupt();
        let finished = running.finish();
        assert_eq!(finished.code, 130, "{load}: {}", finished.output());
        assert!(finished.stderr.contains("interrupted"), "{load}: {}", finished.output());
        finished.summary();
    }
}

//! The effects of `exec` faults are healed: at the end of a run, after a signal, and after a crash of the process.

use std::path::Path;

use crate::support::{Running, Tool};

/// A load of ten minutes, of which tests use the first second.
const LONG: &str = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"10/s\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"10m\"\n";
const LEASE: &str = "out/lease.jsonl";

/// A fault that creates a file, and removes it again.
fn fault(at: &str, name: &str) -> String {
    format!(
        "[[fault]]\nat = \"{at}\"\nfor = \"5m\"\nexec = {{ start = [\"touch\", \"{name}\"], end = [\"rm\", \"{name}\"] }}\n"
    )
}

/// A run whose commands have created these files.
fn broken(text: &str, files: &[&str]) -> Running {
    let mut running = Tool::run_text(text).arg("--allow-exec").start();
    for file in files {
        while !running.scratch().join(file).exists() {
            running.look();
        }
    }
    running
}

fn heal(scratch: &Path, arguments: &[&str]) -> Tool {
    Tool::new().current_dir(scratch).arg("heal").args(arguments.iter().copied())
}

#[test]
fn a_signal_in_the_middle_of_a_fault_heals_it() {
    for signal in ["INT", "TERM"] {
        let running = broken(&format!("{LONG}{}", fault("100ms", "broken")), &["broken"]);
        assert!(running.scratch().join(LEASE).exists());
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code, 130, "{}", finished.output());
        for gone in ["broken", LEASE] {
            assert!(!finished.scratch().join(gone).exists(), "{gone}: {}", finished.output());
        }
    }
}

#[test]
fn what_a_killed_run_has_broken_is_healed_by_a_command_and_keeps_others_from_running() {
    let text = format!("{LONG}{}{}", fault("100ms", "first"), fault("200ms", "second"));
    let mut running = broken(&text, &["first", "second"]);
    // The lease is held while its process lives.
    let held = heal(running.scratch(), &["out", "--allow-exec"]).exits(3);
    assert!(held.stderr.contains("still going on"), "{}", held.output());
    running.await_text("seconds.jsonl", "\"partition\":1");
    let finished = running.kill();
    let scratch = finished.scratch();
    assert!(scratch.join("first").exists() && scratch.join("second").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let mode = std::fs::metadata(scratch.join(LEASE)).expect("a lease").mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    // A run beside an unhealed one does not begin.
    let next = ["run", "scenario.toml", "--allow-exec", "--out", "next"];
    let refused = Tool::new().current_dir(scratch).args(next).exits(3);
    for text in ["2 faults unhealed", "lanekeeper heal ./out/lease.jsonl --allow-exec"] {
        assert!(refused.stderr.contains(text), "`{text}` {}", refused.output());
    }
    assert!(!scratch.join("next").exists());

    // Without `--allow-exec` they are only listed.
    let listed = heal(scratch, &["."]).exits(2);
    for text in ["touch first", "healed by: rm first", "rm second", "`scenario`"] {
        assert!(listed.stdout.contains(text), "`{text}` {}", listed.output());
    }
    assert!(listed.stderr.contains("--allow-exec"), "{}", listed.output());
    assert!(scratch.join("first").exists());

    let healed = heal(scratch, &["out", "--allow-exec"]).exits(0);
    let lines: Vec<&str> =
        healed.stdout.lines().filter(|line| line.starts_with("healed: ")).collect();
    // The latest fault is healed first.
    assert_eq!(lines, ["healed: rm second", "healed: rm first"]);
    for gone in ["first", "second", LEASE] {
        assert!(!scratch.join(gone).exists(), "{gone}");
    }
    let nothing = heal(scratch, &["out", "--allow-exec"]).exits(0);
    assert!(nothing.stdout.contains("nothing to heal"), "{}", nothing.output());
}

#[test]
fn what_does_not_heal_stays_in_the_lease_and_no_second_broker_is_stopped() {
    let stop = |at: &str, id: u32, end: &str| {
        format!(
            "[[fault]]\nat = \"{at}\"\nfor = \"200ms\"\nexec = {{ start = [\"touch\", \"stopped-{id}\"], \
             end = [\"test\", \"-e\", \"{end}\"], brokers = [{id}] }}\n"
        )
    };
    let text = format!(
        "[topic]\npartitions = 2\nreplication_factor = 2\n[embedded]\nbrokers = 2\n\
         [load]\nproducers = 2\nrate = \"10/s\"\n[run]\nwarmup = \"0s\"\nduration = \"3s\"\n\
         {}{}{}",
        stop("100ms", 1, "stopped-1"),
        stop("1s", 1, "switch"),
        stop("2s", 2, "stopped-2")
    );
    let finished = Tool::run_text(&text).arg("--allow-exec").finish();
    let summary = finished.summary();
    let scratch = finished.scratch();
    assert_eq!(summary.faults[0].missed.len(), 0, "{:?}", summary.faults);
    assert!(summary.faults[1].missed[0].contains("exit status: 1"), "{:?}", summary.faults);
    assert!(summary.faults[2].missed[0].contains("broker 1 is still down"), "{:?}", summary.faults);
    assert!(!scratch.join("stopped-2").exists());
    let left = "lanekeeper heal out/lease.jsonl --allow-exec";
    assert!(summary.warnings.iter().any(|it| it.contains(left)), "{:?}", summary.warnings);

    let failed = heal(scratch, &["--allow-exec", "out/lease.jsonl"]).exits(3);
    assert!(failed.stderr.contains("fault 1 is not healed"), "{}", failed.output());
    std::fs::write(scratch.join("switch"), "").expect("a writable scratch");
    heal(scratch, &["--allow-exec", "out/lease.jsonl"]).exits(0);
    assert!(!scratch.join(LEASE).exists());
    // The result still exists.
    assert!(finished.out().join("result.json").exists());
}

/// No round begins on a cluster with an unhealed fault of an earlier round.
#[test]
fn a_comparison_begins_no_round_on_what_an_earlier_one_has_not_healed() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"10/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"1s\"\n\
                [[fault]]\nat = \"100ms\"\nfor = \"100ms\"\n\
                exec = { start = [\"sh\", \"-c\", \"echo broken >> starts\"], end = [\"test\", \"-e\", \"switch\"] }\n";
    let arguments = ["compare", "scenario.toml", "--variants", "group:2,assign", "--repeat", "1"];
    let compare = |tool: Tool| {
        let tool = tool.args(arguments).args(["--broker", "embedded", "--allow-exec"]);
        tool.args(["--out", "compared"])
    };
    let refused = compare(Tool::new().file("scenario.toml", text.as_bytes())).exits(3);
    let scratch = refused.scratch();
    let starts =
        || std::fs::read_to_string(scratch.join("starts")).expect("a round").lines().count();
    for text in ["1 fault unhealed", "run `lanekeeper heal results/", "the same command continues"]
    {
        assert!(refused.stderr.contains(text), "`{text}` is not in\n{}", refused.output());
    }
    assert_eq!(starts(), 1, "{}", refused.output());
    // The same command begins no round either, until the fault is healed.
    compare(Tool::new().current_dir(scratch)).exits(3);
    assert_eq!(starts(), 1);
    std::fs::write(scratch.join("switch"), "").expect("a writable scratch");
    heal(scratch, &["--allow-exec"]).exits(0);
    compare(Tool::new().current_dir(scratch)).exits(0);
    // One start for the warm-up, and one for a round of each variant.
    assert_eq!(starts(), 4);
}

#[test]
fn a_place_without_leases_has_nothing_to_heal() {
    let nothing = Tool::new().arg("heal").exits(0);
    assert!(nothing.stdout.contains("nothing to heal"), "{}", nothing.output());
    let missing = Tool::new().args(["heal", "none"]).exits(2);
    assert!(missing.stderr.contains("there is no `none`"), "{}", missing.output());
    let damaged = Tool::new().file("lease.jsonl", b"{}\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let private = PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(damaged.path("lease.jsonl"), private).expect("our file");
    }
    let damaged = damaged.args(["heal", ".", "--allow-exec"]).exits(3);
    assert!(damaged.stderr.contains("no lease of this version"), "{}", damaged.output());
}

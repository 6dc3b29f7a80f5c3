//! Does exploring find what it is there to find? Defects are planted, one at a time, and looked for.

use std::process::Command;

use super::{ExploreSettings, explore};
use crate::base::Defect;
use crate::scenario::Source;

/// Nine partitions with a consumer each.
const ASSIGNED: &str = "work = { wait = \"1ms\" }";
/// Three members of a group whose sessions are shorter than many faults.
const GROUP: &str = "work = { wait = \"1ms\" }\nmode = \"group\"\ncount = 3\nsession_timeout = \"1s\"\n\
                     commit_interval = \"200ms\"";

/// What is looked for, and where.
struct Hunt {
    /// The defect, or, for what a setting does, a name of its own.
    name: &'static str,
    consumers: &'static str,
    load: &'static str,
    /// What must be among the figures that break.
    breaks: &'static str,
}

const HUNTS: [Hunt; 4] = [
    Hunt { name: "commit-first", consumers: GROUP, load: "", breaks: "miscommitted" },
    // The record at the checkpoint is another one, so the consumer is given up before it reads anything.
    Hunt { name: "wrong-partition", consumers: ASSIGNED, load: "", breaks: "quarantined" },
    Hunt { name: "stale-generation", consumers: GROUP, load: "", breaks: "miscommitted" },
    Hunt {
        name: "retry-without-idempotence",
        consumers: ASSIGNED,
        load: "idempotence = false",
        breaks: "duplicated",
    },
];

/// Nothing is planted, and nothing may be found.
const PEACE: [Hunt; 2] = [
    Hunt { name: "none", consumers: ASSIGNED, load: "", breaks: "" },
    Hunt { name: "none", consumers: GROUP, load: "", breaks: "" },
];

/// Seeds that are tried for each defect, from three places on, with so many faults at most.
const SEEDS: u64 = 200;
const FIRST_SEEDS: [u64; 3] = [1, 1_001, 2_001];
const FAULTS: [u32; 2] = [12, 1];

const OUT: &str = "LANEKEEPER_TEST_FOUND";

/// What one exploration found: after how many seeds, which figures broke, and how many faults that takes.
type Find = Option<(u64, String, usize)>;

impl Hunt {
    fn look(&self, first: u64, faults_max: u32) -> Find {
        let text = format!(
            "[topic]\npartitions = 9\n[load]\nproducers = 18\nrate = \"20/s\"\n{}\n[consumers]\n{}\n\
             [run]\nwarmup = \"0s\"\nduration = \"15s\"\n",
            self.load, self.consumers
        );
        let source = Source { name: "mutation.toml".to_owned(), text };
        let seeds = first..first + SEEDS;
        let settings = ExploreSettings { seeds, jobs: 2, faults_max };
        let (_, violation) = explore(&source, &[], &settings, &mut |_| true).expect("explorable");
        let violation = violation?;
        let figures: Vec<&str> = violation.broken.iter().map(|broken| broken.figure).collect();
        Some((violation.seed - first + 1, figures.join(" "), violation.faults_needed))
    }
}

/// Explores in a process of its own in which the defect is planted: this test, which then only looks.
fn found_with(name: &str) -> Vec<Find> {
    let out = tempfile::NamedTempFile::new().expect("a file");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "run::explore::mutation::every_planted_defect_is_found"])
        .env(Defect::VARIABLE, name)
        .env(OUT, out.path())
        .output()
        .expect("another process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = std::fs::read_to_string(out.path()).expect("what was found");
    serde_json::from_str(&text).expect("what was found")
}

#[test]
#[expect(clippy::print_stdout, reason = "the table of the book is made from it")]
fn every_planted_defect_is_found() {
    if let (Ok(name), Some(out)) = (std::env::var(Defect::VARIABLE), std::env::var_os(OUT)) {
        let found: Vec<Find> = match HUNTS.iter().find(|hunt| hunt.name == name) {
            Some(hunt) => FAULTS
                .iter()
                .flat_map(|faults| FIRST_SEEDS.map(|first| hunt.look(first, *faults)))
                .collect(),
            None => PEACE.iter().map(|hunt| hunt.look(1, FAULTS[0])).collect(),
        };
        std::fs::write(out, serde_json::to_string(&found).expect("JSON")).expect("a writable file");
        return;
    }
    assert_eq!(found_with("none"), [None, None], "there is a real one");
    let all = HUNTS.map(|hunt| (found_with(hunt.name), hunt));
    for (found, hunt) in &all {
        println!("{}: {found:?}", hunt.name);
    }
    for (found, Hunt { name, breaks, .. }) in &all {
        // One fault does not always suffice.
        let mut is_named = false;
        for find in &found[..FIRST_SEEDS.len()] {
            let (_, figures, faults) =
                find.as_ref().unwrap_or_else(|| panic!("{name} is not found: {found:?}"));
            is_named |= figures.contains(breaks);
            assert!(*faults <= 5, "{name}: {faults} faults");
        }
        assert!(is_named, "{name} never breaks {breaks}: {found:?}");
    }
}

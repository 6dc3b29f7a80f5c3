//! Does exploring find what it is there to find? Defects are planted, one at a time, and looked for.

use std::collections::BTreeMap;
use std::process::Command;

use super::{ExploreSettings, explore};
use crate::base::Defect;
use crate::scenario::Source;

/// Nine partitions with a consumer each.
const ASSIGNED: &str = "[topic]\npartitions = 9\n[load]\nproducers = 18\nrate = \"20/s\"\n[consumers]\n\
                        work = { wait = \"1ms\" }\n[run]\nwarmup = \"0s\"\nduration = \"15s\"\n";
/// Three members of a group whose sessions are shorter than many hangs.
const GROUP: &str = "[topic]\npartitions = 9\n[load]\nproducers = 18\nrate = \"20/s\"\n[consumers]\n\
                     mode = \"group\"\ncount = 3\nsession_timeout = \"1s\"\nwork = { wait = \"1ms\" }\n\
                     commit_interval = \"200ms\"\n[run]\nwarmup = \"0s\"\nduration = \"15s\"\n";

/// Seeds that are tried for each defect, from three places on, with so many faults at most.
const SEEDS: u64 = 200;
const FIRST_SEEDS: [u64; 3] = [1, 1_001, 2_001];
const FAULTS: [u32; 2] = [12, 1];

const OUT: &str = "LANEKEEPER_TEST_FOUND";

/// What one exploration found: after how many seeds, which figures broke, and how many faults that takes.
type Find = (u64, String, usize);

fn look(scenario: &str, first: u64, faults_max: u32) -> Option<Find> {
    let source = Source { name: "mutation.toml".to_owned(), text: scenario.to_owned() };
    let settings = ExploreSettings { seeds: first..first + SEEDS, jobs: 2, faults_max };
    let (_, violation) = explore(&source, &[], &settings, &mut |_| true).expect("explorable");
    let violation = violation?;
    let figures: Vec<&str> = violation.broken.iter().map(|broken| broken.figure).collect();
    Some((violation.seed - first + 1, figures.join(" "), violation.faults_needed))
}

fn scenario_of(defect: Option<Defect>) -> &'static str {
    match defect {
        Some(Defect::WrongPartition) => ASSIGNED,
        Some(Defect::CommitFirst) | None => GROUP,
    }
}

/// Explores in a process of its own in which the defect is planted: this test, which then only looks.
fn found_with(defect: &str) -> Vec<Find> {
    let out = tempfile::NamedTempFile::new().expect("a file");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "run::explore::mutation::every_planted_defect_is_found"])
        .env(Defect::VARIABLE, defect)
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
        let planted =
            Defect::ALL.iter().find(|(_, other)| *other == name).map(|(defect, _)| *defect);
        let scenarios = match planted {
            Some(_) => vec![scenario_of(planted)],
            // Nothing is planted, and nothing may be found, in either scenario.
            None => vec![ASSIGNED, GROUP],
        };
        let places = if planted.is_some() { &FIRST_SEEDS[..] } else { &FIRST_SEEDS[..1] };
        let mut found: Vec<Find> = Vec::new();
        for text in scenarios {
            for faults_max in FAULTS {
                found.extend(places.iter().filter_map(|first| look(text, *first, faults_max)));
            }
        }
        std::fs::write(out, serde_json::to_string(&found).expect("JSON")).expect("a writable file");
        return;
    }
    assert_eq!(found_with("none"), [], "there is a real one");
    let expected = BTreeMap::from([
        ("commit-first", "miscommitted"),
        // The record at the checkpoint is not there, so the consumer is given up before it reads anything.
        ("wrong-partition", "quarantined"),
    ]);
    let all = Defect::ALL.map(|(_, name)| (name, found_with(name)));
    for (name, found) in &all {
        println!("{name}: {found:?}");
    }
    for (name, found) in all {
        assert_eq!(
            found.len(),
            FAULTS.len() * FIRST_SEEDS.len(),
            "{name} is not always found: {found:?}"
        );
        for (_, figures, faults) in &found {
            assert!(figures.contains(expected[name]), "{name}: {figures}");
            assert!(*faults <= 5, "{name}: {faults} faults");
        }
    }
}

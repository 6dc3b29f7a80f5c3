//! Tests of exploring with planted defects, one at a time. Exploring must find each of them. The case that it reports
//! must be small, and its scenario file must show the defect again.

use std::process::Command;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{Broken, CaseSize, Draw, ExploreSettings, Violation, broken, explore};
use crate::base::{BrokerKind, Clock, Defect};
use crate::plan::{Overrides, compile};
use crate::run::{Options, run};
use crate::scenario::Source;

/// Nine partitions with a consumer each.
const ASSIGNED: &str = "work = { wait = \"1ms\" }";
/// Three members of a group whose sessions are shorter than many faults.
const GROUP: &str = "work = { wait = \"1ms\" }\nmode = \"group\"\ncount = 3\nsession_timeout = \"1s\"\n\
                     commit_interval = \"200ms\"";
/// The same with the consumer protocol, whose session timeout is set at the broker.
const CONSUMER_GROUP: &str = "work = { wait = \"1ms\" }\nmode = \"group\"\ncount = 3\nprotocol = \"consumer\"\n\
                              commit_interval = \"200ms\"\n[sim]\ngroup_session_timeout = \"1s\"\n\
                              group_heartbeat_interval = \"300ms\"";

/// A defect, and the scenario in which exploring must find it.
struct Hunt {
    /// The name of the defect, or a name for the effect of a setting.
    name: &'static str,
    consumers: &'static str,
    load: &'static str,
    /// A figure that must be among those that break.
    breaks: &'static str,
}

const HUNTS: [Hunt; 6] = [
    Hunt { name: "commit-first", consumers: GROUP, load: "", breaks: "miscommitted" },
    // The record at the checkpoint is another one, so the consumer is given up before it reads anything.
    Hunt { name: "wrong-partition", consumers: ASSIGNED, load: "", breaks: "given_up" },
    Hunt { name: "stale-generation", consumers: GROUP, load: "", breaks: "miscommitted" },
    Hunt { name: "stale-epoch", consumers: CONSUMER_GROUP, load: "", breaks: "miscommitted" },
    Hunt { name: "early-handover", consumers: CONSUMER_GROUP, load: "", breaks: "shared" },
    Hunt {
        name: "retry-without-idempotence",
        consumers: ASSIGNED,
        load: "idempotence = false",
        breaks: "duplicated",
    },
];

/// Scenarios without a defect, in which exploring must find nothing.
const PEACE: [Hunt; 3] = [
    Hunt { name: "none", consumers: ASSIGNED, load: "", breaks: "" },
    Hunt { name: "none", consumers: GROUP, load: "", breaks: "" },
    Hunt { name: "none", consumers: CONSUMER_GROUP, load: "", breaks: "" },
];

/// The searches for each defect, from three first seeds on: largest number of faults, and number of seeds. The second
/// one has the default numbers of `explore`. A rare defect needs some tens of seeds on average, and sometimes some
/// hundreds.
const SEARCHES: [(u32, u64); 2] = [(12, 1_000), (1, 200)];
const FIRST_SEEDS: [u64; 3] = [1, 1_001, 2_001];

const OUT: &str = "LANEKEEPER_TEST_FOUND";

/// Largest number of runs for making a case small.
const TRIES: usize = 200;
/// Largest number of faults in a small case, which an engineer can check by hand.
const FAULTS_LEFT: usize = 5;

/// The result of one exploration.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    /// Number of seeds that ran.
    seeds: u64,
    /// The figures that broke, the first one first.
    figures: String,
    from: CaseSize,
    to: CaseSize,
    tries: usize,
    /// Seconds for finding the case, and for making it smaller.
    seconds: (f64, f64),
}

impl Hunt {
    /// The results of each search from each of the first seeds on.
    fn look_everywhere(&self) -> Vec<Option<Found>> {
        let from = |search| FIRST_SEEDS.map(|first| self.look(first, search));
        SEARCHES.into_iter().flat_map(from).collect()
    }

    fn look(&self, first: u64, (faults_max, seeds): (u32, u64)) -> Option<Found> {
        let text = format!(
            "[topic]\npartitions = 9\n[load]\nproducers = 18\nrate = \"20/s\"\n{}\n[consumers]\n{}\n\
             [run]\nwarmup = \"0s\"\nduration = \"15s\"\n",
            self.load, self.consumers
        );
        let source = Source { name: "mutation.toml".to_owned(), text };
        let seeds = first..first + seeds;
        let settings = ExploreSettings { seeds, jobs: 2, faults_max, draw: Draw::Faults };
        let clock = Clock::start();
        let (_, violation) = explore(&source, &[], &settings, &mut |_| true).expect("explorable");
        let (violation, took) = (violation?, clock.now().as_secs_f64());
        is_small_and_replays(&violation);
        let figures: Vec<&str> = violation.broken.iter().map(|broken| broken.figure).collect();
        let shrinking = violation.smallest.took.as_secs_f64();
        Some(Found {
            seeds: violation.seed - first + 1,
            figures: figures.join(" "),
            from: violation.size,
            to: violation.smallest.size,
            tries: violation.smallest.tries,
            seconds: (took - shrinking, shrinking),
        })
    }
}

/// The scenario file breaks the same invariant when it is run, and no invariant without any one of its faults.
fn is_small_and_replays(Violation { broken, smallest, .. }: &Violation) {
    assert!(smallest.is_minimal && smallest.tries <= TRIES, "{} runs", smallest.tries);
    assert!(smallest.size.faults <= FAULTS_LEFT, "{}", smallest.text);
    let figure = broken[0].figure;
    assert_eq!(smallest.broken[0].figure, figure);
    assert_eq!(run_file(&smallest.text), smallest.broken, "{}", smallest.text);
    let file: Table = smallest.text.parse().expect("a scenario");
    let faults = file.get("fault").and_then(Value::as_array).cloned().unwrap_or_default();
    assert_eq!(faults.len(), smallest.size.faults);
    for left_out in 0..faults.len() {
        let (mut file, mut faults) = (file.clone(), faults.clone());
        faults.remove(left_out);
        file.insert("fault".to_owned(), Value::Array(faults));
        let broken = run_file(&file.to_string());
        assert!(
            broken.iter().all(|broken| broken.figure != figure),
            "{left_out}\n{}",
            smallest.text
        );
    }
}

/// The invariants that a scenario file breaks in an ordinary run, the most important first.
fn run_file(text: &str) -> Vec<Broken> {
    let source = Source { name: "repro.toml".to_owned(), text: text.to_owned() };
    let overrides = Overrides { broker: Some(BrokerKind::simulated()), ..Overrides::default() };
    let (plan, diagnostics) = compile(&source, &[], &overrides);
    let plan = plan.unwrap_or_else(|| panic!("{diagnostics:?}\n{text}"));
    broken(&run(plan, Options::default(), Box::new(())))
}

/// Explores in another process, in which the defect is planted. That process runs this test, which then only explores.
fn found_with(name: &str) -> Vec<Option<Found>> {
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
#[expect(clippy::print_stdout, reason = "the tables of the book are made from it")]
fn every_planted_defect_is_found() {
    if let (Ok(name), Some(out)) = (std::env::var(Defect::VARIABLE), std::env::var_os(OUT)) {
        let found: Vec<Option<Found>> = match HUNTS.iter().find(|hunt| hunt.name == name) {
            Some(hunt) => hunt.look_everywhere(),
            None => PEACE.iter().map(|hunt| hunt.look(1, SEARCHES[0])).collect(),
        };
        std::fs::write(out, serde_json::to_string(&found).expect("JSON")).expect("a writable file");
        return;
    }
    assert!(found_with("none").iter().all(Option::is_none), "there is a real one");
    let all = HUNTS.map(|hunt| (found_with(hunt.name), hunt));
    for (found, hunt) in &all {
        println!("{}:", hunt.name);
        found.iter().for_each(|found| println!("  {found:?}"));
    }
    for (found, Hunt { name, breaks, .. }) in &all {
        // A single fault is not always enough.
        let mut is_named = false;
        for find in &found[..FIRST_SEEDS.len()] {
            let find = find.as_ref().unwrap_or_else(|| panic!("{name} is not found: {found:?}"));
            is_named |= find.figures.contains(breaks);
        }
        assert!(is_named, "{name} never breaks {breaks}: {found:?}");
    }
}

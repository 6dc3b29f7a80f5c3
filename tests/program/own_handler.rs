//! A user's handler: it is called in order, supervised, and hit by faults, and it replaces the scenario's work.

mod load_tests;
mod payloads;

#[path = "../../examples/own_handler.rs"]
#[allow(dead_code, reason = "its `main` is for the command line")]
mod example;

use std::sync::{Arc, Mutex};

use crate::support::{PATIENT, owners};
use lanekeeper::base::{Incarnation, PartitionId};
use lanekeeper::logic::{Handler, HandlerError, Handlers, Record};
use lanekeeper::plan::{Overrides, compile};
use lanekeeper::report::full_report;
use lanekeeper::run::{Options, run};
use lanekeeper::scenario::Source;
use lanekeeper::summary::{Summary, Verdict};

/// 2 partitions, 10 records a second on each, for a second.
const LOAD: &str = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"20/s\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"1s\"\n[restart]\nbackoff = \"10ms\"\n";
const KILL: &str =
    "[[fault]]\nat = \"500ms\"\nkill = { consumer = 1 }\n[expect]\nlost = 0\nrestarts = 1\n";

/// A run with these handlers, as in a user's program.
fn run_with(handlers: Handlers, scenario: &str) -> Summary {
    let source = Source { name: "own.toml".to_owned(), text: scenario.to_owned() };
    let (plan, found) = compile(&source, &PATIENT.map(str::to_owned), &Overrides::default());
    let plan = plan.unwrap_or_else(|| panic!("{found:?}"));
    let options = Options { handlers: Some(handlers), ..Options::default() };
    run(plan, options, Box::new(())).expect("a summary")
}

/// The records that the handlers of a run got: partition, incarnation, offset.
type Given = Arc<Mutex<Vec<(PartitionId, Incarnation, i64)>>>;
type Script = fn(Incarnation, &Record<'_>) -> Result<(), HandlerError>;

/// Notes every record, and calls its script.
struct Scripted {
    given: Given,
    incarnation: Incarnation,
    script: Script,
}

impl Handler for Scripted {
    fn handle(&mut self, record: &Record<'_>) -> Result<(), HandlerError> {
        let entry = (record.partition, self.incarnation, record.offset.0);
        self.given.lock().unwrap().push(entry);
        (self.script)(self.incarnation, record)
    }
}

fn scripted(script: Script) -> (Handlers, Given) {
    let given = Given::default();
    let notes = given.clone();
    let make = move |_, incarnation| Ok(Scripted { given: notes.clone(), incarnation, script });
    (Handlers::new("scripted", make), given)
}

/// The offsets that the handler of a partition got in an incarnation.
fn offsets(given: &Given, partition: u32, incarnation: u32) -> Vec<i64> {
    let wanted = (PartitionId(partition), Incarnation(incarnation));
    let given = given.lock().unwrap();
    given.iter().filter(|(p, i, _)| (*p, *i) == wanted).map(|(_, _, offset)| *offset).collect()
}

#[test]
fn the_example_survives_a_kill() {
    let handlers = example::handlers();
    let summary = run_with(handlers, &format!("{LOAD}{KILL}"));
    assert_eq!(summary.verdict, Verdict::Passed, "{}", full_report(&summary, None));
    assert_eq!((summary.restarts, summary.handler.as_deref()), (1, Some("orders")));
    assert!(full_report(&summary, None).contains("handler orders"));
}

#[test]
fn a_handler_gets_every_record_in_order_and_a_new_one_begins_where_the_old_one_ended() {
    let (handlers, given) = scripted(|_, _| Ok(()));
    let summary = run_with(handlers, &format!("{LOAD}{KILL}"));
    assert_eq!(summary.verdict, Verdict::Passed, "{}", full_report(&summary, None));
    assert_eq!(offsets(&given, 0, 1), (0..20).collect::<Vec<i64>>());
    let (first, second) = (offsets(&given, 1, 1), offsets(&given, 1, 2));
    assert_eq!(first, (0..first.len() as i64).collect::<Vec<i64>>());
    assert_eq!(second, (second[0]..20).collect::<Vec<i64>>());
    // Records that were processed but not counted when the consumer failed are processed again, and none is omitted.
    assert!(second[0] <= first.len() as i64, "{first:?} {second:?}");
    assert_eq!(summary.ledger.redelivered, first.len() as u64 - second[0] as u64);
}

/// Asserts that the seventh record, which fails in the first incarnation, is processed again.
fn assert_seventh_is_repeated(script: Script, reason: &str) {
    let (handlers, given) = scripted(script);
    let summary = run_with(handlers, &format!("{LOAD}[expect]\nlost = 0\nredelivered = 0\n"));
    assert_eq!(summary.verdict, Verdict::Passed, "{reason}\n{}", full_report(&summary, None));
    assert_eq!(offsets(&given, 1, 1), (0..=7).collect::<Vec<i64>>(), "{reason}");
    assert_eq!(offsets(&given, 1, 2), (7..20).collect::<Vec<i64>>(), "{reason}");
    assert_eq!(owners(&summary.partitions[1]), [(1, 1), (1, 2)], "{reason}");
    assert_eq!(owners(&summary.partitions[0]), [(0, 1)], "{reason}");
}

#[test]
fn an_error_is_a_failure_and_the_record_comes_again() {
    let script: Script = |incarnation, record| match (incarnation.0, record.partition.0) {
        (1, 1) if record.offset.0 == 7 => Err(HandlerError::Failed("no room".to_owned())),
        _ => Ok(()),
    };
    assert_seventh_is_repeated(script, "error");
}

#[test]
fn a_panic_is_a_failure_and_the_record_comes_again() {
    let script: Script = |incarnation, record| {
        assert!((incarnation.0, record.partition.0, record.offset.0) != (1, 1, 7), "on purpose");
        Ok(())
    };
    assert_seventh_is_repeated(script, "panic");
}

#[test]
fn poison_gives_the_consumer_up_at_once_and_says_where() {
    let (handlers, given) = scripted(|_, record| match record.partition.0 {
        1 if record.offset.0 == 7 => Err(HandlerError::Poison("not an order".to_owned())),
        _ => Ok(()),
    });
    let summary = run_with(handlers, LOAD);
    assert_eq!(summary.verdict, Verdict::Failed, "{}", full_report(&summary, None));
    let reason = &summary.given_up[&1];
    let expected =
        "poison at offset 7 of partition 1: handler failed at offset 7: poison: not an order; ";
    assert!(reason.starts_with(expected), "{reason}");
    assert_eq!(offsets(&given, 1, 1), (0..=7).collect::<Vec<i64>>());
    assert_eq!(offsets(&given, 0, 1).len(), 20);
    let delivered: Vec<u64> = summary.partitions.iter().map(|p| p.ledger.delivered).collect();
    assert_eq!(delivered, [20, 7]);
}

#[test]
fn poison_is_skipped_where_the_scenario_says_so() {
    let (handlers, given) = scripted(|_, record| match record.partition.0 {
        1 if record.offset.0 == 7 => Err(HandlerError::Poison("not an order".to_owned())),
        _ => Ok(()),
    });
    let skip = "[consumers]\npoison = \"skip\"\n[expect]\nlost = 0\nskipped = 1\nrestarts = 1\n";
    let summary = run_with(handlers, &format!("{LOAD}{skip}"));
    assert_eq!(summary.verdict, Verdict::Passed, "{}", full_report(&summary, None));
    assert_eq!(offsets(&given, 1, 1), (0..=7).collect::<Vec<i64>>());
    assert_eq!(offsets(&given, 1, 2), (8..20).collect::<Vec<i64>>());
    assert_eq!((summary.ledger.sent, summary.ledger.delivered), (40, 39));
}

#[test]
fn a_record_on_which_three_incarnations_die_is_poison() {
    let script: Script = |_, record| {
        assert!((record.partition.0, record.offset.0) != (1, 7), "on purpose");
        Ok(())
    };
    let (handlers, given) = scripted(script);
    let summary = run_with(handlers, LOAD);
    assert_eq!(summary.verdict, Verdict::Failed, "{}", full_report(&summary, None));
    let reason = &summary.given_up[&1];
    assert!(reason.starts_with("poison at offset 7 of partition 1: panic while"), "{reason}");
    assert_eq!(owners(&summary.partitions[1]), [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(summary.partitions[1].ledger.delivered, 7);

    let (handlers, given_on_skip) = scripted(script);
    let skip = "[consumers]\npoison = \"skip\"\n[expect]\nlost = 0\nskipped = 1\n";
    let summary = run_with(handlers, &format!("{LOAD}{skip}"));
    assert_eq!(summary.verdict, Verdict::Passed, "{}", full_report(&summary, None));
    // Each incarnation failed on it once, and none processed it.
    for given in [given, given_on_skip] {
        let tries = given.lock().unwrap().iter().filter(|(p, _, o)| (p.0, *o) == (1, 7)).count();
        assert_eq!(tries, 3);
    }
    assert_eq!(summary.partitions[1].ledger.delivered, 19);
    let warning = "offset 7 of partition 1 is skipped as poison";
    assert!(full_report(&summary, None).contains(warning), "{}", full_report(&summary, None));
}

#[test]
fn a_handler_that_cannot_be_made_is_a_failure_with_a_restart() {
    let make = |partition: PartitionId, incarnation: Incarnation| match (partition.0, incarnation.0)
    {
        (1, 1) => Err(HandlerError::Failed("the database is down".to_owned())),
        (1, 2) => panic!("on purpose"),
        _ => Ok(Scripted { given: Given::default(), incarnation, script: |_, _| Ok(()) }),
    };
    let summary = run_with(Handlers::new("late", make), &format!("{LOAD}[expect]\nlost = 0\n"));
    assert_eq!(summary.verdict, Verdict::Passed, "{}", full_report(&summary, None));
    assert_eq!((summary.restarts, summary.ledger.delivered), (2, 40));
}

#[test]
fn the_scenarios_work_is_not_done_beside_a_handler() {
    let (handlers, _) = scripted(|_, _| Ok(()));
    // This work would take minutes.
    let text = LOAD.replace("[run]", "[consumers]\nwork = { wait = \"10s\" }\n[run]");
    let summary = run_with(handlers, &text);
    assert_eq!(summary.ledger.delivered, 40);
    let said = "`consumers.work` was not done: records went to the handler `scripted`";
    assert!(
        summary.warnings.iter().any(|warning| warning.contains(said)),
        "{:?}",
        summary.warnings
    );
}

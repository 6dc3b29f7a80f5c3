//! Where processed offsets are kept: in memory, in a file, committed.

use std::path::PathBuf;
use std::time::Duration;

use crate::plan::{BrokerPlan, CheckpointPlan, TopicName, TopicPlan};
use crate::reader::Findings;
use crate::reader::key;
use crate::scenario::sections::{CheckpointWord, ModeWord};
use crate::scenario::{At, Consumers, Diagnostic, codes};

pub(super) fn build(
    name: &str,
    consumers: &Consumers,
    topic: &TopicPlan,
    broker: &BrokerPlan,
    found: &mut Findings,
) -> CheckpointPlan {
    let word = consumers.checkpoint.as_ref();
    if consumers.mode.as_ref().is_some_and(|at| at.value == ModeWord::Group) {
        let (with, now) = ("`consumers.mode` to `assigned`", "`mode = \"group\"`");
        found.no_effect("consumers.checkpoint", word, with, now);
        unused(consumers, Used::default(), Some(with), now, found);
        return CheckpointPlan::Memory;
    }
    outlived(word, broker, found);
    match word.map(|at| at.value) {
        None | Some(CheckpointWord::Memory) => {
            unused(consumers, Used::default(), None, "`checkpoint = \"memory\"`", found);
            CheckpointPlan::Memory
        }
        Some(CheckpointWord::File) => {
            let used = Used { file: true, interval: true, group: false };
            unused(consumers, used, None, "`checkpoint = \"file\"`", found);
            file(consumers, topic, found)
        }
        Some(CheckpointWord::Commit) => {
            let used = Used { file: false, interval: true, group: true };
            unused(consumers, used, None, "`checkpoint = \"commit\"`", found);
            CheckpointPlan::Commit {
                group: match &consumers.checkpoint_group {
                    Some(at) => at.value.clone(),
                    None => format!("lanekeeper-{name}"),
                },
                interval: interval(consumers, found),
            }
        }
    }
}

/// Warns where checkpoints outlive what they are about.
fn outlived(word: Option<&At<CheckpointWord>>, broker: &BrokerPlan, found: &mut Findings) {
    let Some(at) = word.filter(|at| at.value != CheckpointWord::Memory) else { return };
    let (code, message) = match broker {
        BrokerPlan::Kafka { .. } => return,
        BrokerPlan::Embedded { .. } => (
            codes::EMBEDDED_LIMIT,
            "the embedded cluster ends with the run: no later run can continue from its checkpoints",
        ),
        BrokerPlan::Sim(_) => {
            (codes::NOT_SIMULATED, "nothing of a simulation outlives it: no checkpoints are kept")
        }
    };
    let warning = Diagnostic::warning(code, at.origin, message);
    found.push(warning.remedy("use `--broker kafka` to go on in a later run"));
}

/// Which of the other keys say something.
#[derive(Clone, Copy, Default)]
struct Used {
    file: bool,
    interval: bool,
    group: bool,
}

/// Refuses the other keys that are written all the same. `with` is what each of them would need, if that is the same
/// for all.
fn unused(consumers: &Consumers, used: Used, with: Option<&str>, now: &str, found: &mut Findings) {
    let for_file = with.unwrap_or("`consumers.checkpoint` to `file`");
    let for_commit = with.unwrap_or("`consumers.checkpoint` to `commit`");
    if !used.file {
        let given = consumers.checkpoint_file.as_ref();
        found.no_effect("consumers.checkpoint_file", given, for_file, now);
    }
    if !used.interval {
        let given = consumers.checkpoint_interval.as_ref();
        found.no_effect("consumers.checkpoint_interval", given, for_file, now);
    }
    if !used.group {
        let given = consumers.checkpoint_group.as_ref();
        found.no_effect("consumers.checkpoint_group", given, for_commit, now);
    }
}

fn file(consumers: &Consumers, topic: &TopicPlan, found: &mut Findings) -> CheckpointPlan {
    let word = consumers.checkpoint.as_ref();
    let path = path(word, consumers.checkpoint_file.as_ref(), found);
    if let (Some(at), TopicName::OfRun { .. }) = (word, &topic.name) {
        let message = "`checkpoint = \"file\"` needs `topic.name`: each run has a topic of its own without it";
        found.push(
            Diagnostic::error(codes::CONFLICT, at.origin, message)
                .label("no later run could continue there")
                .remedy("name a topic, for example `topic.name = \"orders\"`"),
        );
    }
    CheckpointPlan::File { path, interval: interval(consumers, found) }
}

fn path(
    word: Option<&At<CheckpointWord>>,
    given: Option<&At<String>>,
    found: &mut Findings,
) -> PathBuf {
    match (given, word) {
        (Some(at), _) if !at.value.is_empty() => return PathBuf::from(&at.value),
        (given, word) => {
            let at = given.map(|at| at.origin).or(word.map(|at| at.origin));
            let message = "`checkpoint = \"file\"` needs the key `checkpoint_file`";
            if let Some(origin) = at {
                found.push(
                    Diagnostic::error(codes::MISSING_KEY, origin, message)
                        .remedy("for example `checkpoint_file = \"orders.checkpoint\"`"),
                );
            }
        }
    }
    PathBuf::new()
}

fn interval(consumers: &Consumers, found: &mut Findings) -> Duration {
    found.duration(
        key!(consumers.checkpoint_interval),
        Duration::from_secs(1),
        Duration::from_millis(10)..=Duration::from_secs(3600),
        "what was processed after the last one is processed again by a later run",
    )
}

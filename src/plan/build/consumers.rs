//! The consumers, and the work on a record. Warns if consumers will hardly keep up with the load.
//!
//! Also the place of processed offsets: memory, a file, or commits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::group;
use crate::plan::{
    BrokerPlan, CheckpointPlan, ClientTopology, ConsumersPlan, FaultPlan, Membership, PartitionUse,
    Plan, PoisonPolicy, ServiceTime, StartAt, TopicName, TopicPlan, Work, WorkPlan,
};
use crate::reader::{Findings, key};
use crate::scenario::sections::{
    CheckpointWord, ConsumerClientsWord, ModeWord, PoisonWord, StartWord,
};
use crate::scenario::{self, At, Consumers, Diagnostic, Origin, Scenario, codes};
use crate::summary::{member_arithmetic, partition_arithmetic};

/// The consumers, the work on each record, and the group.
pub(super) fn build(
    scenario: &Scenario,
    topic: &TopicPlan,
    faults: &[FaultPlan],
    checkpoint: CheckpointPlan,
    found: &mut Findings,
) -> ConsumersPlan {
    let consumers = &scenario.consumers;
    let membership = match consumers.mode.as_ref().map(|at| at.value) {
        Some(ModeWord::Group) => {
            let group = group::build(consumers, topic, faults, found);
            group::warn_about_stops(scenario, &group, faults, found);
            Membership::Group(group)
        }
        Some(ModeWord::Assigned) | None => assigned(consumers, found),
    };
    ConsumersPlan {
        membership,
        start: match consumers.start.as_ref().map(|at| at.value) {
            Some(StartWord::Beginning) => StartAt::Beginning,
            Some(StartWord::End) | None => StartAt::End,
        },
        work: work_plan(consumers, topic, found),
        poison: match consumers.poison.as_ref().map(|at| at.value) {
            Some(PoisonWord::Skip) => PoisonPolicy::Skip,
            Some(PoisonWord::Stop) | None => PoisonPolicy::Stop,
        },
        batch_records: found.count(
            key!(consumers.batch),
            256,
            1..=100_000,
            "a batch has at least one record, and its records are processed again if the consumer fails",
        ),
        checkpoint,
    }
}

fn assigned(consumers: &Consumers, found: &mut Findings) -> Membership {
    let (with, now) = ("`consumers.mode` to `group`", "`mode = \"assigned\"`");
    found.no_effect("consumers.count", consumers.count.as_ref(), with, now);
    found.no_effect("consumers.membership", consumers.membership.as_ref(), with, now);
    found.no_effect("consumers.protocol", consumers.protocol.as_ref(), with, now);
    found.no_effect("consumers.assignor", consumers.assignor.as_ref(), with, now);
    found.no_effect("consumers.commit_interval", consumers.commit_interval.as_ref(), with, now);
    found.no_effect("consumers.session_timeout", consumers.session_timeout.as_ref(), with, now);
    let heartbeat = consumers.heartbeat_interval.as_ref();
    found.no_effect("consumers.heartbeat_interval", heartbeat, with, now);
    let max_poll = consumers.max_poll_interval.as_ref();
    found.no_effect("consumers.max_poll_interval", max_poll, with, now);
    Membership::Assigned {
        clients: match consumers.clients.as_ref().map(|at| at.value) {
            Some(ConsumerClientsWord::Shared) => ClientTopology::Shared,
            Some(ConsumerClientsWord::PerPartition) | None => ClientTopology::PerPartition,
        },
    }
}

fn work_plan(consumers: &Consumers, topic: &TopicPlan, found: &mut Findings) -> WorkPlan {
    let mut of = BTreeMap::new();
    for (&partition, at) in consumers.work_of.iter().flat_map(|work_of| &work_of.value) {
        if partition >= topic.partitions {
            let message = format!("there is no partition {partition} to give work");
            found.push(
                Diagnostic::error(codes::NO_SUCH_MEMBER, at.key, message)
                    .remedy(format!("partitions are numbered 0 to {}", topic.partitions - 1)),
            );
        }
        of.insert(partition, work(&format!("consumers.work_of.{partition}"), at, found));
    }
    let default = consumers.work.as_ref();
    WorkPlan { default: default.map_or(Work::None, |at| work("consumers.work", at, found)), of }
}

fn work(path: &str, at: &At<scenario::Work>, found: &mut Findings) -> Work {
    match (&at.value.cpu, &at.value.wait) {
        (Some(cpu), None) => Work::Cpu(span(path, cpu, found)),
        (None, Some(wait)) => Work::Wait(span(path, wait, found)),
        _ => {
            exactly_one(
                path,
                at.origin,
                "exactly one of `cpu` and `wait`",
                "{ cpu = \"50us\" }",
                found,
            );
            Work::None
        }
    }
}

fn span(path: &str, at: &At<scenario::Span>, found: &mut Findings) -> ServiceTime {
    let random = match &at.value {
        scenario::Span::Fixed(span) => {
            return ServiceTime::Fixed(limited(path, *span, at.origin, found));
        }
        scenario::Span::Random(random) => random,
    };
    match (&random.mean, &random.min, &random.max) {
        (Some(mean), None, None) => {
            ServiceTime::Exponential { mean: limited(path, mean.value, mean.origin, found) }
        }
        (None, Some(min), Some(max)) => {
            if min.value > max.value {
                let message = format!("`min` of `{path}` is longer than its `max`");
                found.push(
                    Diagnostic::error(codes::CONFLICT, min.origin, message).remedy("exchange them"),
                );
            }
            ServiceTime::Uniform {
                min: min.value,
                max: limited(path, max.value, max.origin, found),
            }
        }
        _ => {
            let (either, example) = ("either `mean`, or `min` and `max`", "{ mean = \"50us\" }");
            exactly_one(path, at.origin, either, example, found);
            ServiceTime::Fixed(Duration::ZERO)
        }
    }
}

fn exactly_one(path: &str, origin: Origin, keys: &str, example: &str, found: &mut Findings) {
    let message = format!("`{path}` needs {keys}");
    found.push(
        Diagnostic::error(codes::EXACTLY_ONE, origin, message)
            .remedy(format!("for example `{example}`")),
    );
}

/// Limits the work on a record. More than a minute is taken for a typing error.
fn limited(path: &str, span: Duration, origin: Origin, found: &mut Findings) -> Duration {
    let longest = Duration::from_secs(60);
    if span > longest {
        let message = format!("`{path}` must be at most 60s per record");
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, origin, message)
                .remedy("it is what a single record costs, for example `50us`"),
        );
    }
    span.min(longest)
}

/// Utilisation of a consumer from which on its queue grows long.
const BUSY: f64 = 0.8;

/// Warns about partitions whose utilisation is above [`BUSY`].
pub(super) fn check(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let utilisation = plan.utilisation();
    let Some(partition) = utilisation.busiest_partition() else { return };
    if utilisation.most() < BUSY {
        return;
    }
    let work = scenario.consumers.work.as_ref().map(|at| at.key);
    let origin =
        work.or(scenario.load.rate_total.as_ref().or(scenario.load.rate.as_ref()).map(|at| at.key));
    let own = partition.consumers();
    let text = match utilisation.busiest_member().filter(|member| member.consumers > own) {
        Some(member) => member_arithmetic(&member.name, &member.partitions, member.consumers),
        None => arithmetic(partition),
    };
    let message = match utilisation.most() {
        most if most > 1.0 => format!("consumers will not keep up: {text}"),
        most => format!("consumers will be busy for {:.0} % of their time: {text}", 100.0 * most),
    };
    let origin = origin.unwrap_or(Origin::WholeFile);
    found.push(Diagnostic::warning(codes::BUSY_CONSUMER, origin, message).remedy(
        "more partitions or consumers, less work for a record, less skew, or a lower rate; `keeps_up = false` if that \
         is what you want to see",
    ));
}

/// `partition 0: 447 msg/s x 3ms = 1.34 consumers`.
fn arithmetic(partition: &PartitionUse) -> String {
    let work = Duration::from_secs_f64(partition.work_s);
    let needed = partition.consumers();
    partition_arithmetic(partition.partition, partition.per_second, work, needed)
}

/// The place of processed offsets, and the time between two writes.
pub(super) fn build_checkpoint(
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

/// Warns if checkpoints would remain after the cluster that they are about.
fn outlived(word: Option<&At<CheckpointWord>>, broker: &BrokerPlan, found: &mut Findings) {
    let Some(at) = word.filter(|at| at.value != CheckpointWord::Memory) else { return };
    if broker.capability().is_elsewhere {
        return;
    }
    let (code, message) = match broker.capability().is_modelled {
        false => (
            codes::EMBEDDED_LIMIT,
            "the embedded cluster ends with the run: no later run can continue from its checkpoints",
        ),
        true => {
            (codes::NOT_SIMULATED, "nothing of a simulation outlives it: no checkpoints are kept")
        }
    };
    let warning = Diagnostic::warning(code, at.origin, message);
    found.push(warning.remedy("use `--broker kafka` to continue in a later run"));
}

/// The other keys that have an effect.
#[derive(Clone, Copy, Default)]
struct Used {
    file: bool,
    interval: bool,
    group: bool,
}

/// Refuses the other keys that are set and have no effect. `with` is the setting that all of them would need; `None` if
/// it differs.
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

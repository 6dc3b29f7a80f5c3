//! Who reads the topic, what a record costs to process, and a warning before a load that consumers will hardly keep
//! up with.

use std::collections::BTreeMap;
use std::time::Duration;

use super::group;
use crate::base::format_duration;
use crate::plan::{
    CheckpointPlan, ClientTopology, ConsumersPlan, FaultPlan, MemberUse, Membership, PartitionUse,
    Plan, PoisonPolicy, ServiceTime, StartAt, TopicPlan, Work, WorkPlan,
};
use crate::reader::Findings;
use crate::reader::key;
use crate::scenario::sections::{ConsumerClientsWord, ModeWord, PoisonWord, StartWord};
use crate::scenario::{self, At, Consumers, Diagnostic, Origin, Scenario, codes};

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
            "a batch has a record at least, and what is in it when a consumer dies is repeated",
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

/// Work beyond a minute for a single record is a typing error.
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

/// From this share of its time on, a consumer that works has queues that grow long.
const BUSY: f64 = 0.8;

pub(super) fn check(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let utilisation = plan.utilisation();
    let Some(partition) = utilisation.busiest_partition() else { return };
    if utilisation.most() < BUSY {
        return;
    }
    let work = scenario.consumers.work.as_ref().map(|at| at.key);
    let origin = work.or(scenario.load.rate.as_ref().map(|at| at.key));
    let own = partition.consumers();
    let text = match utilisation.busiest_member().filter(|member| member.consumers > own) {
        Some(member) => of_member(member),
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
    format!(
        "partition {}: {:.0} msg/s x {} = {:.2} consumers",
        partition.partition,
        partition.per_second,
        format_duration(Duration::from_secs_f64(partition.work_s)),
        partition.consumers()
    )
}

/// `member 0 with partitions 0, 1, 2 = 2.66 consumers`.
fn of_member(member: &MemberUse) -> String {
    let ids: Vec<String> = member.partitions.iter().take(6).map(ToString::to_string).collect();
    let more = if member.partitions.len() > 6 { ", …" } else { "" };
    format!(
        "{} with partitions {}{more} = {:.2} consumers",
        member.name,
        ids.join(", "),
        member.consumers
    )
}

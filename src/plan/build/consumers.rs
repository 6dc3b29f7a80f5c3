//! Who reads the topic, and what a record costs to process.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Findings;
use crate::plan::{
    Assignor, ClientTopology, ConsumersPlan, FaultKind, FaultPlan, GroupPlan, Identity, Membership,
    Span, StartAt, TopicPlan, Work, WorkPlan,
};
use crate::scenario::sections::{AssignorWord, ConsumerClientsWord, ModeWord, StartWord};
use crate::scenario::{self, At, Consumers, Diagnostic, Origin, Scenario, codes};

const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) fn build(
    scenario: &Scenario,
    topic: &TopicPlan,
    faults: &[FaultPlan],
    found: &mut Findings,
) -> ConsumersPlan {
    let consumers = &scenario.consumers;
    let membership = match consumers.mode.as_ref().map(|at| at.value) {
        Some(ModeWord::Group) => group(consumers, topic, faults, found),
        Some(ModeWord::Assigned) | None => assigned(consumers, found),
    };
    ConsumersPlan {
        membership,
        start: match consumers.start.as_ref().map(|at| at.value) {
            Some(StartWord::Beginning) => StartAt::Beginning,
            Some(StartWord::End) | None => StartAt::End,
        },
        work: work_plan(consumers, topic, found),
        batch_records: found.count(
            "consumers.batch",
            consumers.batch.as_ref(),
            256,
            1..=100_000,
            "a batch has a record at least, and what is in it when a consumer dies is repeated",
        ),
    }
}

fn assigned(consumers: &Consumers, found: &mut Findings) -> Membership {
    let (with, now) = ("`consumers.mode` to `group`", "`mode = \"assigned\"`");
    found.no_effect("consumers.count", consumers.count.as_ref(), with, now);
    found.no_effect("consumers.assignor", consumers.assignor.as_ref(), with, now);
    found.no_effect("consumers.commit_interval", consumers.commit_interval.as_ref(), with, now);
    found.no_effect("consumers.session_timeout", consumers.session_timeout.as_ref(), with, now);
    let heartbeat = consumers.heartbeat_interval.as_ref();
    found.no_effect("consumers.heartbeat_interval", heartbeat, with, now);
    Membership::Assigned {
        clients: match consumers.clients.as_ref().map(|at| at.value) {
            Some(ConsumerClientsWord::Shared) => ClientTopology::Shared,
            Some(ConsumerClientsWord::PerPartition) | None => ClientTopology::PerPartition,
        },
    }
}

fn group(
    consumers: &Consumers,
    topic: &TopicPlan,
    faults: &[FaultPlan],
    found: &mut Findings,
) -> Membership {
    let (with, now) = ("`consumers.mode` to `assigned`", "`mode = \"group\"`");
    found.no_effect("consumers.clients", consumers.clients.as_ref(), with, now);
    let session_timeout = found.duration(
        "consumers.session_timeout",
        consumers.session_timeout.as_ref(),
        Duration::from_secs(6),
        MILLISECOND * 10..=Duration::from_secs(3600),
        "clusters usually allow 6s to 30m",
    );
    let crashes = |fault: &FaultPlan| matches!(fault.kind, FaultKind::KillConsumer(_));
    Membership::Group(GroupPlan {
        members: members(consumers, topic, found),
        assignor: match consumers.assignor.as_ref().map(|at| at.value) {
            Some(AssignorWord::Range) | None => Assignor::Range,
            Some(AssignorWord::RoundRobin) => Assignor::RoundRobin,
            Some(AssignorWord::CooperativeSticky) => Assignor::CooperativeSticky,
        },
        identity: match faults.iter().any(crashes) {
            true => Identity::Crashable,
            false => Identity::Dynamic,
        },
        commit_interval: found.duration(
            "consumers.commit_interval",
            consumers.commit_interval.as_ref(),
            Duration::from_secs(1),
            MILLISECOND * 10..=Duration::from_secs(3600),
            "what is not committed when a member dies is repeated",
        ),
        session_timeout,
        heartbeat_interval: heartbeat(
            consumers.heartbeat_interval.as_ref(),
            session_timeout,
            found,
        ),
    })
}

fn members(consumers: &Consumers, topic: &TopicPlan, found: &mut Findings) -> u32 {
    let Some(count) = &consumers.count else {
        let origin = consumers.mode.as_ref().map_or(Origin::WholeFile, |at| at.origin);
        let message = "`mode = \"group\"` needs the key `count`";
        found.push(
            Diagnostic::error(codes::MISSING_KEY, origin, message)
                .remedy("say how many members the group has, for example `count = 8`"),
        );
        return topic.partitions;
    };
    if count.value > u64::from(topic.partitions) {
        let message =
            format!("{} group members are more than {} partitions", count.value, topic.partitions);
        found.push(
            Diagnostic::error(codes::CONFLICT, count.origin, message)
                .label("the rest would have nothing to do")
                .remedy(format!("set `consumers.count` to at most {}", topic.partitions)),
        );
        return topic.partitions;
    }
    let reason = "a group has at least one member";
    found.count("consumers.count", Some(count), topic.partitions, 1..=topic.partitions, reason)
}

fn heartbeat(given: Option<&At<Duration>>, session: Duration, found: &mut Findings) -> Duration {
    // A third, as everybody does: two heartbeats may be lost.
    let default = Duration::from_secs(2).min(session / 3);
    let Some(at) = given else { return default };
    let interval = found.duration(
        "consumers.heartbeat_interval",
        given,
        default,
        MILLISECOND..=Duration::from_secs(3600),
        "a third of `consumers.session_timeout` is usual",
    );
    if interval >= session / 2 {
        let message = "`consumers.heartbeat_interval` is not less than half of `session_timeout`";
        found.push(
            Diagnostic::error(codes::CONFLICT, at.origin, message).remedy(
                "one lost heartbeat would cost the member its partitions; a third is usual",
            ),
        );
    }
    interval
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

fn span(path: &str, at: &At<scenario::Span>, found: &mut Findings) -> Span {
    let random = match &at.value {
        scenario::Span::Fixed(span) => return Span::Fixed(limited(path, *span, at.origin, found)),
        scenario::Span::Random(random) => random,
    };
    match (&random.mean, &random.min, &random.max) {
        (Some(mean), None, None) => {
            Span::Exponential { mean: limited(path, mean.value, mean.origin, found) }
        }
        (None, Some(min), Some(max)) => {
            if min.value > max.value {
                let message = format!("`min` of `{path}` is longer than its `max`");
                found.push(
                    Diagnostic::error(codes::CONFLICT, min.origin, message).remedy("exchange them"),
                );
            }
            Span::Uniform { min: min.value, max: limited(path, max.value, max.origin, found) }
        }
        _ => {
            let (either, example) = ("either `mean`, or `min` and `max`", "{ mean = \"50us\" }");
            exactly_one(path, at.origin, either, example, found);
            Span::Fixed(Duration::ZERO)
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

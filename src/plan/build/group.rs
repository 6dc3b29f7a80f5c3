//! The settings of a consumer group.

use std::time::Duration;

use crate::base::{PARTITIONS_MAX, format_duration};
use crate::fault::{ConsumerFault, FaultEffect};
use crate::plan::{
    Assignor, FaultPlan, GroupPlan, GroupProtocol, Identity, RemoteAssignor, TopicPlan,
};
use crate::reader::Findings;
use crate::reader::{GivenKey, key};
use crate::scenario::sections::{AssignorWord, MembershipWord, ProtocolWord};
use crate::scenario::{At, Consumers, Diagnostic, Origin, Scenario, codes};

const MILLISECOND: Duration = Duration::from_millis(1);
/// Largest number of members of a group with standbys. Each has a thread and a client.
pub(super) const MEMBERS_MAX: u32 = PARTITIONS_MAX as u32;

/// The group of the consumers, with its members, protocol and time limits.
pub(super) fn build(
    consumers: &Consumers,
    topic: &TopicPlan,
    faults: &[FaultPlan],
    found: &mut Findings,
) -> GroupPlan {
    let (with, now) = ("`consumers.mode` to `assigned`", "`mode = \"group\"`");
    found.no_effect("consumers.clients", consumers.clients.as_ref(), with, now);
    let members = members(consumers, topic, found);
    let protocol = match consumers.protocol.as_ref().map(|at| at.value) {
        Some(ProtocolWord::Consumer) => by_the_broker(consumers, found),
        Some(ProtocolWord::Classic) | None => by_a_member(consumers, found),
    };
    let crashes = faults.iter().filter(|fault| fault.kind.is_crash());
    GroupPlan {
        members,
        max_poll_interval: max_poll_interval(consumers, &protocol, found),
        protocol,
        identity: identity(consumers, faults),
        killed: crashes.flat_map(|fault| fault.targets.consumers()).copied().collect(),
        commit_interval: found.duration(
            key!(consumers.commit_interval),
            Duration::from_secs(1),
            MILLISECOND * 10..=Duration::from_secs(3600),
            "records that are not committed when a member fails are processed again",
        ),
    }
}

/// Warns about a graceful stop of a member that another fault kills. Such a member has an instance id, which makes its
/// death a crash, and therefore its client never leaves the group in order.
pub(super) fn warn_about_stops(
    scenario: &Scenario,
    group: &GroupPlan,
    faults: &[FaultPlan],
    found: &mut Findings,
) {
    let stops = FaultEffect::Consumers(ConsumerFault::Stop);
    for (entry, fault) in scenario.fault.iter().enumerate() {
        let Some(stop) = fault.value.kinds.first() else { continue };
        let its = faults.iter().filter(|plan| plan.entry == entry && plan.kind.effect == stops);
        let mut stopped = its.flat_map(|plan| plan.targets.consumers());
        let both = stopped.find(|member| group.identity_of(**member) == Identity::Crashable);
        let Some(member) = both else { continue };
        let message = format!("to its group, `stop` of member {member} looks like a crash");
        found.push(
            Diagnostic::warning(codes::CONFLICT, stop.key, message)
                .label("another fault kills that member, so it cannot say goodbye")
                .remedy("aim `stop` and `kill` at different members, or at one in two scenarios"),
        );
    }
}

/// The longest time between two polls. librdkafka refuses a time shorter than the session timeout.
fn max_poll_interval(
    consumers: &Consumers,
    protocol: &GroupProtocol,
    found: &mut Findings,
) -> Duration {
    let given = consumers.max_poll_interval.as_ref();
    let default = Duration::from_secs(300);
    let interval = found.duration(
        GivenKey::new("consumers.max_poll_interval", given),
        default,
        Duration::from_secs(1)..=Duration::from_secs(86_400),
        "a host asks a few times a second, and a client that is not asked for longer leaves the group",
    );
    let GroupProtocol::Classic { session_timeout, .. } = *protocol else { return interval };
    let origins = [given, consumers.session_timeout.as_ref()];
    if interval < session_timeout
        && let Some(origin) = origins.into_iter().flatten().map(|at| at.origin).next()
    {
        let message = format!(
            "`consumers.max_poll_interval` of {} is less than `consumers.session_timeout`, {}",
            format_duration(interval),
            format_duration(session_timeout)
        );
        found.push(
            Diagnostic::error(codes::CONFLICT, origin, message)
                .label("clients refuse that")
                .remedy("make the session timeout shorter, or this interval longer"),
        );
    }
    interval
}

fn identity(consumers: &Consumers, faults: &[FaultPlan]) -> Identity {
    let crashes =
        |fault: &FaultPlan| fault.kind.is_crash() && !fault.targets.consumers().is_empty();
    match consumers.membership.as_ref().map(|at| at.value) {
        Some(MembershipWord::Static) => Identity::Static,
        Some(MembershipWord::Dynamic) | None if faults.iter().any(crashes) => Identity::Crashable,
        Some(MembershipWord::Dynamic) | None => Identity::Dynamic,
    }
}

/// The classic protocol, in which a member assigns the partitions.
fn by_a_member(consumers: &Consumers, found: &mut Findings) -> GroupProtocol {
    let session_timeout = found.duration(
        key!(consumers.session_timeout),
        Duration::from_secs(6),
        MILLISECOND * 10..=Duration::from_secs(3600),
        "clusters usually allow 6s to 30m",
    );
    let heartbeat_interval =
        heartbeat(consumers.heartbeat_interval.as_ref(), session_timeout, found);
    let assignor = match consumers.assignor.as_ref().map(|at| at.value) {
        Some(AssignorWord::Range) | None => Assignor::Range,
        Some(AssignorWord::RoundRobin) => Assignor::RoundRobin,
        Some(AssignorWord::CooperativeSticky) => Assignor::CooperativeSticky,
        Some(AssignorWord::Uniform) => {
            let remedy = "set `consumers.protocol` to `consumer`, or use `range`, `roundrobin` or \
                          `cooperative-sticky`";
            wrong_assignor(
                consumers,
                "only brokers know, with `protocol = \"consumer\"`",
                remedy,
                found,
            );
            Assignor::Range
        }
    };
    GroupProtocol::Classic { assignor, session_timeout, heartbeat_interval }
}

/// The consumer protocol (KIP-848), in which the broker assigns the partitions.
fn by_the_broker(consumers: &Consumers, found: &mut Findings) -> GroupProtocol {
    let (with, now) = (
        "`consumers.protocol` to `classic`; the broker's `group.consumer.*` properties decide here",
        "`protocol = \"consumer\"`",
    );
    found.no_effect("consumers.session_timeout", consumers.session_timeout.as_ref(), with, now);
    let heartbeat = consumers.heartbeat_interval.as_ref();
    found.no_effect("consumers.heartbeat_interval", heartbeat, with, now);
    let assignor = match consumers.assignor.as_ref().map(|at| at.value) {
        None => None,
        Some(AssignorWord::Range) => Some(RemoteAssignor::Range),
        Some(AssignorWord::Uniform) => Some(RemoteAssignor::Uniform),
        Some(AssignorWord::RoundRobin | AssignorWord::CooperativeSticky) => {
            let remedy = "use `uniform` or `range`, or set `consumers.protocol` to `classic`";
            wrong_assignor(
                consumers,
                "only members know, with `protocol = \"classic\"`",
                remedy,
                found,
            );
            None
        }
    };
    GroupProtocol::Consumer { assignor }
}

fn wrong_assignor(consumers: &Consumers, why: &str, remedy: &str, found: &mut Findings) {
    let origin = consumers.assignor.as_ref().map_or(Origin::WholeFile, |at| at.origin);
    let message = format!("`consumers.assignor` is one that {why}");
    found.push(Diagnostic::error(codes::CONFLICT, origin, message).remedy(remedy));
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
    if found.is_variant() {
        let reason =
            "a group has at least one member, and at most as many as a topic may have partitions";
        let key = GivenKey::new("consumers.count", Some(count));
        return found.count(key, topic.partitions, 1..=MEMBERS_MAX, reason);
    }
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
    found.count(
        GivenKey::new("consumers.count", Some(count)),
        topic.partitions,
        1..=topic.partitions,
        reason,
    )
}

fn heartbeat(given: Option<&At<Duration>>, session: Duration, found: &mut Findings) -> Duration {
    // A third, so that two heartbeats may be lost.
    let default = Duration::from_secs(2).min(session / 3);
    let Some(at) = given else { return default };
    let interval = found.duration(
        GivenKey::new("consumers.heartbeat_interval", given),
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

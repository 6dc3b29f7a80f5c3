//! The interface of a group member to its client, for both group protocols: settings, methods, and events.
//!
//! A member has no socket and no clock. Requests leave through [`MemberProtocol::outbox`]. Responses come in through
//! [`MemberProtocol::receive`], in the order of the requests. [`MemberProtocol::tick`] returns the time of the next
//! call. [`MemberEvent`]s tell the consumer what to do.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::base::{Offset, PartitionId, RunId, Time};
use crate::broker::model::group::{GroupRequest, GroupResponse};
use crate::broker::{ConsumerSpec, GroupSpec};
use crate::plan::{Assignor, GroupPlan, GroupProtocol, Identity, Plan, RemoteAssignor};

/// A member's settings, named after the client's properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSettings {
    /// `client.id`.
    pub client_id: String,
    /// `group.instance.id`: a static member, which sends no leave request when it closes.
    pub instance_id: Option<String>,
    /// `session.timeout.ms` of a classic group.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms` of a classic group.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`.
    pub rebalance_timeout: Duration,
    /// `partition.assignment.strategy` of a classic group.
    pub assignor: Assignor,
    /// Number of partitions to assign, for a member that leads.
    pub partitions: u32,
    /// `topic.metadata.refresh.interval.ms`: time between checks whether the topic has grown; `None` if it never does.
    pub topic_refresh: Option<Duration>,
    /// The settings for `group.protocol = consumer`; `None` for the classic protocol.
    pub consumer_protocol: Option<ConsumerProtocolSettings>,
}

/// The settings of members of the consumer protocol only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerProtocolSettings {
    /// The id of the member, which the member makes itself (KIP-1082). It must be unique in the group.
    pub member_id: String,
    /// `group.remote.assignor`; `None` for the group's default.
    pub assignor: Option<RemoteAssignor>,
    /// True if no other client can take the member's place before it has left. Such a member leaves even when it
    /// crashes.
    pub holds_instance_id: bool,
}

impl MemberSettings {
    /// The settings of a member of the run's group.
    pub fn of(plan: &Plan, run: RunId, spec: &ConsumerSpec, group: &GroupSpec) -> MemberSettings {
        let group_plan = plan.group();
        let consumer = group.consumer;
        let instance_id = match group_plan.map(|plan| plan.identity_of(consumer)) {
            None | Some(Identity::Dynamic) => None,
            Some(Identity::Crashable) => Some(format!("{run}-{consumer}-{}", group.incarnation)),
            Some(Identity::Static) => Some(format!("{run}-{consumer}")),
        };
        let protocol = group_plan.map(|plan| &plan.protocol);
        let (session_timeout, heartbeat_interval, assignor) = match protocol {
            Some(GroupProtocol::Classic { session_timeout, heartbeat_interval, assignor }) => {
                (*session_timeout, *heartbeat_interval, *assignor)
            }
            // The broker has these settings.
            Some(GroupProtocol::Consumer { .. }) | None => {
                (Duration::from_secs(45), Duration::from_secs(3), Assignor::Range)
            }
        };
        let consumer_protocol = match protocol {
            Some(GroupProtocol::Consumer { assignor }) => Some(ConsumerProtocolSettings {
                member_id: format!("{run}-{consumer}-{}", group.incarnation),
                assignor: *assignor,
                holds_instance_id: group_plan.is_some_and(GroupPlan::has_exclusive_instance_ids),
            }),
            Some(GroupProtocol::Classic { .. }) | None => None,
        };
        // In a cluster that ends with the run, only faults change the topic. In the consumer protocol the broker
        // detects changes.
        let looks = plan.grows() || plan.broker.capability().is_elsewhere;
        let topic_refresh = (looks && consumer_protocol.is_none()).then_some(plan.topic.discover);
        let longest = Duration::from_secs(300);
        MemberSettings {
            client_id: spec.name.clone(),
            instance_id,
            session_timeout,
            heartbeat_interval,
            rebalance_timeout: group_plan.map_or(longest, |plan| plan.max_poll_interval),
            assignor,
            partitions: plan.topic.partitions,
            topic_refresh,
            consumer_protocol,
        }
    }
}

/// An instruction to the consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// Read these partitions, each from its committed offset, if there is one.
    Assigned(Vec<(PartitionId, Option<Offset>)>),
    /// Stop reading these partitions, and then call [`MemberProtocol::given_up`].
    Revoke(Vec<PartitionId>),
    /// Stop reading these partitions. Another member may own them already, so nothing can be committed.
    Lost(Vec<PartitionId>),
    /// The member is fenced for good: another client uses its `group.instance.id`.
    Fenced,
    /// The coordinator refuses this member for good, with the error of this name.
    Refused(&'static str),
}

/// A member of a group. See the documentation of the module.
pub trait MemberProtocol: fmt::Debug + Send {
    /// The requests for the coordinator, in order.
    fn outbox(&mut self) -> Vec<GroupRequest>;

    /// The events since the last call.
    fn events(&mut self) -> Vec<MemberEvent>;

    /// The partitions that the member owns, ascending.
    fn owned(&self) -> &[PartitionId];

    /// Does what is due, and returns the time of the next call.
    fn tick(&mut self, now: Time) -> Time;

    /// Commits next offsets to process. Partitions that the member does not own are left out: a consumer that stood
    /// still may not know yet that it lost them, and another member has progressed further.
    fn commit(&mut self, offsets: BTreeMap<PartitionId, Offset>);

    /// Notes that the consumer has stopped reading the partitions of [`MemberEvent::Revoke`], at these offsets.
    fn given_up(&mut self, offsets: BTreeMap<PartitionId, Offset>);

    /// Leaves the group.
    fn leave(&mut self);

    /// Ends like [`MemberProtocol::leave`], but as a process that has crashed.
    fn crash(&mut self) {
        self.leave();
    }

    /// True if a response is outstanding.
    fn is_asking(&self) -> bool;

    /// Leaves the group, because no records were asked for during `max.poll.interval.ms`.
    fn poll_timed_out(&mut self);

    /// Notes that records are asked for.
    fn asked_for_records(&mut self);

    /// True if the member reads its partitions.
    fn is_up(&self) -> bool;

    /// Notes that the connection broke or the coordinator has moved, so that outstanding requests get no response.
    fn disconnected(&mut self);

    /// Time at which the oldest outstanding response is overdue. Most responses may take `limit`.
    fn overdue(&self, limit: Duration) -> Option<Time>;

    /// Handles the response to the oldest outstanding request.
    fn receive(&mut self, response: GroupResponse, now: Time);

    /// True if the member needs the current metadata of the topic to continue.
    fn waits_for_topic(&self) -> bool;

    /// Notes that the topic is known, and its number of partitions.
    fn topic_is_known(&mut self, partitions: u32);

    /// Notes that the topic has more partitions than before.
    fn topic_has_grown(&mut self);
}

//! A member of a group as its client sees it, whatever protocol the group has: settings, what it is told, and what it
//! tells its consumer.
//!
//! No socket and no clock: requests go out through [`MemberProtocol::outbox`], answers come in through
//! [`MemberProtocol::receive`] in the order of the requests, and [`MemberProtocol::tick`] says when it wants to be called
//! again. What it means for the consumer comes out as [`MemberEvent`]s.

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
    /// `group.instance.id`: a static member, which does not say goodbye when it closes.
    pub instance_id: Option<String>,
    /// `session.timeout.ms` of a classic group.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms` of a classic group.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`.
    pub rebalance_timeout: Duration,
    /// `partition.assignment.strategy` of a classic group.
    pub assignor: Assignor,
    /// Number of partitions there are to deal out, for when this member leads.
    pub partitions: u32,
    /// `topic.metadata.refresh.interval.ms`: how often it looks whether there are more; `None` where there never are.
    pub topic_refresh: Option<Duration>,
    /// What it has to know for `group.protocol = consumer`; none for the classic protocol.
    pub consumer_protocol: Option<ConsumerProtocolSettings>,
}

/// The settings that only members of the consumer protocol have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerProtocolSettings {
    /// The member's id, which the member makes (KIP-1082). No two members of a group may have the same.
    pub member_id: String,
    /// `group.remote.assignor`; none for the group's own.
    pub assignor: Option<RemoteAssignor>,
    /// Whether no other client can take its place before it has left: then it leaves even when it crashes.
    pub holds_place: bool,
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
                holds_place: group_plan.is_some_and(GroupPlan::has_exclusive_places),
            }),
            Some(GroupProtocol::Classic { .. }) | None => None,
        };
        // Only faults change the topic of a run in a cluster that ends with it. In the consumer protocol it is the
        // broker that looks.
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

/// What a member's consumer has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// Read these, each from its committed offset, if there is one.
    Assigned(Vec<(PartitionId, Option<Offset>)>),
    /// Stop reading these, and then call [`MemberProtocol::given_up`].
    Revoke(Vec<PartitionId>),
    /// Stop reading these; another member may have them already, so nothing can be committed.
    Lost(Vec<PartitionId>),
    /// This member is out for good: another client uses its `group.instance.id`.
    Fenced,
    /// The coordinator refuses this member, and would again: the name of the error.
    Refused(&'static str),
}

/// A member of a group. See the module's documentation.
pub trait MemberProtocol: fmt::Debug + Send {
    /// Requests to be sent to the coordinator, in order.
    fn outbox(&mut self) -> Vec<GroupRequest>;

    /// What happened since the last call.
    fn events(&mut self) -> Vec<MemberEvent>;

    /// What it has, ascending.
    fn owned(&self) -> &[PartitionId];

    /// Does what is due, and says when something is due next.
    fn tick(&mut self, now: Time) -> Time;

    /// Commits next offsets to process, of partitions it has. Others are left out: a consumer that stood still may not
    /// have heard yet that it lost them, and another member has come further.
    fn commit(&mut self, offsets: BTreeMap<PartitionId, Offset>);

    /// The consumer has stopped reading what [`MemberEvent::Revoke`] named, and this is how far it came.
    fn given_up(&mut self, offsets: BTreeMap<PartitionId, Offset>);

    /// Leaves the group.
    fn leave(&mut self);

    /// Ends like [`MemberProtocol::leave`], but as a process that has crashed.
    fn crash(&mut self) {
        self.leave();
    }

    /// Whether an answer is waited for.
    fn is_asking(&self) -> bool;

    /// For `max.poll.interval.ms` no records were asked for: it leaves.
    fn fell_silent(&mut self);

    /// Records are asked for.
    fn asked_for_records(&mut self);

    /// Whether it reads.
    fn is_up(&self) -> bool;

    /// The connection broke, or the coordinator has moved: what was asked is not answered any more.
    fn disconnected(&mut self);

    /// When the coordinator's answer is overdue, if it owes one; most may take `limit`.
    fn overdue(&self, limit: Duration) -> Option<Time>;

    /// Takes the answer to the oldest request that has none.
    fn receive(&mut self, response: GroupResponse, now: Time);

    /// Whether it has to know the topic, as it is now, to go on.
    fn waits_for_topic(&self) -> bool;

    /// The topic is known, and this is its number of partitions.
    fn topic_is_known(&mut self, partitions: u32);

    /// It has seen that the topic has more partitions than before.
    fn topic_has_grown(&mut self);
}

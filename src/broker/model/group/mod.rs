//! The coordinator of one consumer group: the classic protocol as Apache Kafka's brokers run it, and the consumer
//! protocol.
//!
//! A group has the protocol of its members. A group without members gets the protocol of the next member. A member with
//! the other protocol is refused, where Kafka would convert the group.
//!
//! ```text
//!            first join            delay over            leader's sync
//!   Empty ───────────► Preparing ───────────► Completing ────────────► Stable
//!     ▲                 ▲     ▲                    │                      │
//!     └── none is left ─┘     └────────────────────┴── a member joins, ───┘
//!                                                      leaves, falls silent
//! ```
//!
//! A pure machine for both protocols. [`GroupCoordinator::request`] handles a request, and [`GroupCoordinator::tick`]
//! notes that time has passed. [`GroupCoordinator::take_answers`] returns the responses of both. A response may come
//! much later than its request: a JoinGroup waits for the other members, a SyncGroup for the leader.
//! [`GroupCoordinator::next_deadline`] is the time of the next tick.
//!
//! Rules and names after Kafka's `GroupCoordinator` and `GroupMetadata` (KIP-62, KIP-345, KIP-394).

mod consumer_group;
mod join;
mod messages;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use self::consumer_group::ConsumerGroup;
pub use self::consumer_group::ConsumerGroupSettings;
use self::messages::Member;
pub use self::messages::{
    ConsumerHeartbeat, GroupError, GroupRequest, GroupResponse, HeartbeatAccepted,
    HeartbeatSettings, JOINS, Join, Joined, LEAVES, LEAVES_FOR_A_WHILE, MemberRef,
    TargetAssignment, Ticket,
};
use crate::base::{Offset, PartitionId, Random, Seed, Time};
use crate::plan::Assignor;

/// The settings of a broker for groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`: time that an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// Longest time that a new member waits for its first generation; five minutes in Kafka.
    pub new_member_timeout: Duration,
    /// The settings for groups of the consumer protocol.
    pub consumer: ConsumerGroupSettings,
}

impl Default for GroupSettings {
    fn default() -> GroupSettings {
        GroupSettings {
            initial_rebalance_delay: Duration::from_secs(3),
            new_member_timeout: Duration::from_secs(300),
            consumer: ConsumerGroupSettings::default(),
        }
    }
}

/// The state of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has no members.
    Empty,
    /// Members are joining. The generation starts when all have joined, or at the deadline.
    Preparing { deadline: Time, initial: Option<Initial> },
    /// The generation has started, and the leader has not sent the assignments yet.
    Completing { deadline: Time },
    /// Every member has its assignment.
    Stable,
}

/// The delay of the first generation, for members that join later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Initial {
    /// End of the delay at the latest.
    latest: Time,
    /// True if a member has joined during the present delay.
    joined_since: bool,
}

/// A group and its committed offsets. See the documentation of the module.
#[derive(Clone, Debug)]
pub struct GroupCoordinator {
    settings: GroupSettings,
    state: State,
    generation: i32,
    members: BTreeMap<String, Member>,
    /// Ids that were assigned and with which no member has joined yet.
    promised: BTreeMap<String, Time>,
    leader: Option<String>,
    assignor: Option<Assignor>,
    /// The members of the consumer protocol.
    consumers: ConsumerGroup,
    offsets: BTreeMap<PartitionId, Offset>,
    ids: Random,
    answers: Vec<(Ticket, GroupResponse)>,
}

impl GroupCoordinator {
    /// A group without members. Member ids have a random part from `seed`, which decides their order.
    pub fn new(settings: GroupSettings, seed: Seed) -> GroupCoordinator {
        GroupCoordinator {
            settings,
            state: State::Empty,
            generation: 0,
            members: BTreeMap::new(),
            promised: BTreeMap::new(),
            leader: None,
            assignor: None,
            consumers: ConsumerGroup::new(settings.consumer),
            offsets: BTreeMap::new(),
            ids: seed.child("member-id", 0).random(),
            answers: Vec::new(),
        }
    }

    /// Sets the number of partitions of the topic.
    pub fn topic_has(&mut self, partitions: u32) {
        self.consumers.topic_has(partitions);
    }

    /// Handles a request. Its response, now or later, has this `ticket`.
    pub fn request(&mut self, ticket: Ticket, request: GroupRequest, now: Time) {
        let done = match request {
            GroupRequest::Join(join) => return self.join(ticket, &join, now),
            GroupRequest::Sync { member, assignments } => {
                return self.sync(ticket, &member, &assignments, now);
            }
            GroupRequest::FetchOffsets(_) => {
                let offsets = self.offsets.clone();
                return self.answer(ticket, GroupResponse::Offsets(offsets));
            }
            GroupRequest::ConsumerHeartbeat(heartbeat) => {
                let is_classic = !self.members.is_empty() || !self.promised.is_empty();
                let answer = match is_classic {
                    true => Err(GroupError::Rejected("GroupIdNotFound")),
                    false => self.consumers.heartbeat(heartbeat, now),
                };
                return self.answer(ticket, GroupResponse::ConsumerHeartbeat(answer));
            }
            GroupRequest::Heartbeat(member) => self.heartbeat(&member, now),
            GroupRequest::Leave(member) => self.leave(&member, now),
            GroupRequest::Commit { member, offsets } => self.commit(member.as_ref(), offsets, now),
        };
        self.answer(ticket, GroupResponse::Done(done));
    }

    /// The responses since the last call.
    pub fn take_answers(&mut self) -> Vec<(Ticket, GroupResponse)> {
        std::mem::take(&mut self.answers)
    }

    /// Time of the next [`GroupCoordinator::tick`]. Earlier and later calls do no harm.
    pub fn next_deadline(&self) -> Option<Time> {
        let state = match self.state {
            State::Preparing { deadline, .. } | State::Completing { deadline } => deadline,
            State::Empty | State::Stable => Time::NEVER,
        };
        let silent = self.members.values().map(Member::expires);
        let deadline = silent.chain(self.promised.values().copied()).fold(state, Time::min);
        let deadline = deadline.min(self.consumers.next_deadline());
        (deadline < Time::NEVER).then_some(deadline)
    }

    /// Removes members whose session is over at `now`, and starts generations that are due.
    pub fn tick(&mut self, now: Time) {
        self.promised.retain(|_, until| *until > now);
        let silent =
            |(id, member): (&String, &Member)| (member.expires() <= now).then(|| id.clone());
        let silent: Vec<String> = self.members.iter().filter_map(silent).collect();
        for id in silent {
            self.remove(&id, now);
        }
        self.state_is_due(now);
        self.complete_if_all_joined(now);
        self.consumers.tick(now);
    }

    /// Another broker becomes the coordinator, with members, generation and offsets from `__consumer_offsets`. A member
    /// that waits for a response gets none, and every session starts again.
    pub fn interrupted(&mut self, now: Time) {
        for member in self.members.values_mut() {
            (member.joining, member.syncing) = (None, None);
            member.heard(now);
        }
        self.consumers.interrupted(now);
    }

    /// The same while the old coordinator runs: members that wait for a response get NOT_COORDINATOR
    /// (`GroupCoordinator.onGroupUnloaded`).
    pub fn unloaded(&mut self, now: Time) {
        let error = Err(GroupError::NotCoordinator);
        for (id, member) in &mut self.members {
            let join = member.joining.take().map(|ticket| {
                (ticket, GroupResponse::Join(id.clone(), Err(GroupError::NotCoordinator)))
            });
            let sync =
                member.syncing.take().map(|ticket| (ticket, GroupResponse::Sync(error.clone())));
            self.answers.extend(join.into_iter().chain(sync));
        }
        self.interrupted(now);
    }

    /// The generation; in the consumer protocol the group's epoch; 0 before the first.
    pub fn generation(&self) -> i32 {
        self.generation.max(self.consumers.epoch())
    }

    /// True if every member has its assignment.
    pub fn is_stable(&self) -> bool {
        match self.consumers.is_empty() {
            true => self.state == State::Stable,
            false => self.consumers.is_stable(),
        }
    }

    /// The partitions that each member owns or is giving up, by member id.
    pub fn assignments(&self) -> impl Iterator<Item = (&str, Vec<PartitionId>)> {
        let classic = self.members.iter();
        let classic = classic.map(|(id, member)| (id.as_str(), member.assignment.clone()));
        classic.chain(self.consumers.holdings())
    }

    fn answer(&mut self, ticket: Ticket, response: GroupResponse) {
        self.answers.push((ticket, response));
    }

    /// The member with this identity, if it is valid.
    fn known(&mut self, member: &MemberRef) -> Result<&mut Member, GroupError> {
        self.check_instance(member.instance_id.as_deref(), &member.member_id)?;
        self.members.get_mut(&member.member_id).ok_or(GroupError::UnknownMemberId)
    }

    /// Checks that a `group.instance.id` belongs to the client that used it last.
    fn check_instance(&self, instance: Option<&str>, member_id: &str) -> Result<(), GroupError> {
        match instance.and_then(|instance| self.member_of_instance(instance)) {
            Some(holder) if holder != member_id => Err(GroupError::FencedInstanceId),
            _ => Ok(()),
        }
    }

    fn member_of_instance(&self, instance: &str) -> Option<String> {
        let has = |member: &&Member| member.subscription.instance_id.as_deref() == Some(instance);
        self.members.values().find(has).map(|member| member.subscription.member_id.clone())
    }

    fn heartbeat(&mut self, member: &MemberRef, now: Time) -> Result<(), GroupError> {
        let (state, generation) = (self.state, self.generation);
        let known = self.known(member)?;
        if member.generation != generation {
            return Err(GroupError::IllegalGeneration);
        }
        known.heard(now);
        match state {
            State::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            State::Empty | State::Completing { .. } | State::Stable => Ok(()),
        }
    }

    fn leave(&mut self, member: &MemberRef, now: Time) -> Result<(), GroupError> {
        if self.promised.remove(&member.member_id).is_some() {
            self.complete_if_all_joined(now);
            return Ok(());
        }
        self.known(member)?;
        self.remove(&member.member_id, now);
        Ok(())
    }

    fn commit(
        &mut self,
        member: Option<&MemberRef>,
        offsets: BTreeMap<PartitionId, Offset>,
        now: Time,
    ) -> Result<(), GroupError> {
        check_commit(self, member, now)?;
        self.offsets.extend(offsets);
        Ok(())
    }

    /// Checks whether offsets may be committed: by a member in its present generation, and by any other client while
    /// the group has no members.
    fn check_committer(&mut self, member: Option<&MemberRef>, now: Time) -> Result<(), GroupError> {
        if !self.consumers.is_empty() {
            return self.consumers.check_committer(member);
        }
        let (state, generation) = (self.state, self.generation);
        match member {
            None if state == State::Empty => {}
            None => return Err(GroupError::UnknownMemberId),
            Some(member) => {
                let known = self.known(member)?;
                if member.generation != generation {
                    return Err(GroupError::IllegalGeneration);
                }
                if matches!(state, State::Completing { .. }) {
                    return Err(GroupError::RebalanceInProgress);
                }
                known.heard(now);
            }
        }
        Ok(())
    }
}

/// Checks whether offsets may be committed. Tests replace this check by one with a planted defect.
#[cfg(not(test))]
fn check_commit(
    group: &mut GroupCoordinator,
    member: Option<&MemberRef>,
    now: Time,
) -> Result<(), GroupError> {
    group.check_committer(member, now)
}

/// The same, with the defect that is planted in this process, if any.
#[cfg(test)]
fn check_commit(
    group: &mut GroupCoordinator,
    member: Option<&MemberRef>,
    now: Time,
) -> Result<(), GroupError> {
    use crate::base::Defect;

    let takes_any = match group.consumers.is_empty() {
        true => Defect::StaleGeneration.is_planted(),
        false => Defect::StaleEpoch.is_planted(),
    };
    if takes_any {
        return Ok(());
    }
    group.check_committer(member, now)
}

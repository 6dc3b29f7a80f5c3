//! The coordinator of one consumer group: the classic protocol as Apache Kafka's brokers run it, and the consumer
//! protocol.
//!
//! A group has the protocol of its members. One without members has the protocol of the next one that joins; a member of
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
//! A pure machine for both: [`GroupCoordinator::request`] takes a request and [`GroupCoordinator::tick`] notes that time has
//! passed; both put answers into [`GroupCoordinator::take_answers`]. An answer may come much later than its request:
//! a JoinGroup waits for the other members, a SyncGroup for the leader. [`GroupCoordinator::next_deadline`] says when
//! the next tick is due.
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

/// How a broker treats groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// How long a newcomer may wait for its first generation; five minutes in Kafka.
    pub new_member_timeout: Duration,
    /// Groups of the consumer protocol.
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

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has no members.
    Empty,
    /// Members are joining; the generation begins when all are there, or at the deadline.
    Preparing { deadline: Time, initial: Option<Initial> },
    /// The generation has begun; the leader has not dealt partitions out yet.
    Completing { deadline: Time },
    /// Every member knows what it has.
    Stable,
}

/// The first generation waits for latecomers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Initial {
    /// It waits no longer than this.
    latest: Time,
    /// Whether a member came during the present delay.
    joined_since: bool,
}

/// A group and its committed offsets. See the module's documentation.
#[derive(Clone, Debug)]
pub struct GroupCoordinator {
    settings: GroupSettings,
    state: State,
    generation: i32,
    members: BTreeMap<String, Member>,
    /// Ids that were given out and have not joined with yet.
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
    /// A group without members. Member ids carry a random part from `seed`, which decides their order.
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

    /// The topic has this number of partitions.
    pub fn topic_has(&mut self, partitions: u32) {
        self.consumers.topic_has(partitions);
    }

    /// Takes a request. Its answer, now or later, carries `ticket`.
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

    /// The answers since the last call.
    pub fn take_answers(&mut self) -> Vec<(Ticket, GroupResponse)> {
        std::mem::take(&mut self.answers)
    }

    /// When the next [`GroupCoordinator::tick`] is due; earlier and later ones do no harm.
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

    /// Notes that it is `now`: removes who was silent for too long, and begins generations that are due.
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

    /// Another broker takes the group over, with its members, generation and offsets as they are in
    /// `__consumer_offsets`. A member that waits for an answer gets none, and every session begins anew.
    pub fn interrupted(&mut self, now: Time) {
        for member in self.members.values_mut() {
            (member.joining, member.syncing) = (None, None);
            member.heard(now);
        }
        self.consumers.interrupted(now);
    }

    /// The same while the broker that hands the group over runs: members that wait for an answer are told that it is not
    /// their coordinator any more (`GroupCoordinator.onGroupUnloaded`).
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

    /// The generation, in the consumer protocol the group's epoch; 0 before the first.
    pub fn generation(&self) -> i32 {
        self.generation.max(self.consumers.epoch())
    }

    /// Whether every member knows what it has.
    pub fn is_stable(&self) -> bool {
        match self.consumers.is_empty() {
            true => self.state == State::Stable,
            false => self.consumers.is_stable(),
        }
    }

    /// What each member has or is giving up, by member id.
    pub fn assignments(&self) -> impl Iterator<Item = (&str, Vec<PartitionId>)> {
        let classic = self.members.iter();
        let classic = classic.map(|(id, member)| (id.as_str(), member.assignment.clone()));
        classic.chain(self.consumers.holdings())
    }

    fn answer(&mut self, ticket: Ticket, response: GroupResponse) {
        self.answers.push((ticket, response));
    }

    /// The member that is meant, if it is who it says it is.
    fn known(&mut self, member: &MemberRef) -> Result<&mut Member, GroupError> {
        self.check_instance(member.instance_id.as_deref(), &member.member_id)?;
        self.members.get_mut(&member.member_id).ok_or(GroupError::UnknownMemberId)
    }

    /// A `group.instance.id` belongs to the client that used it last.
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

    /// Whether offsets may be committed: by a member in the generation it has joined, and, while there is no member,
    /// by any other client.
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

/// Whether offsets may be committed. Tests have another check, in which a defect is planted.
#[cfg(not(test))]
fn check_commit(
    group: &mut GroupCoordinator,
    member: Option<&MemberRef>,
    now: Time,
) -> Result<(), GroupError> {
    group.check_committer(member, now)
}

/// The same with the defect that is planted in this process, if one is.
#[cfg(test)]
fn check_commit(
    group: &mut GroupCoordinator,
    member: Option<&MemberRef>,
    now: Time,
) -> Result<(), GroupError> {
    if crate::base::Defect::StaleGeneration.is_planted() {
        return Ok(());
    }
    group.check_committer(member, now)
}

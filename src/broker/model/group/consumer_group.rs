//! The consumer protocol (KIP-848) as a coordinator runs it: it assigns, and members follow.
//!
//! ```text
//!                        has to give something up
//!            Stable ─────────────────────────────────► Unrevoked ──► removed, after the rebalance timeout
//!             ▲  │                                        │
//!             │  │ is to have what another member has     │ has said that it has given it up
//!             │  ▼                                        │
//!            Unreleased ◄─────────────────────────────────┘
//! ```
//!
//! A member that joins, leaves or falls silent raises the group's epoch, and so does a topic that has grown. The next
//! heartbeat of any member then has a new *target assignment* computed. Each member is reconciled with its target when it
//! sends a heartbeat: it first gives up what it is not to have, and says so with the partitions it owns; then its epoch
//! becomes that of the target, and it gets what is free. A partition is free when no member has it or is giving it up.
//! Every answer comes at once.
//!
//! Rules and names after KIP-848 and the classes of Kafka 4.1's module `group-coordinator`: `GroupMetadataManager`
//! (`consumerGroupHeartbeat`, `consumerGroupLeave`, the timers), `CurrentAssignmentBuilder`, and `ConsumerGroup` for the
//! epochs of commits. Members of the classic protocol in such a group are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::messages::{
    ConsumerHeartbeat, GroupError, HeartbeatAccepted, HeartbeatSettings, JOINS, LEAVES,
    LEAVES_FOR_A_WHILE, MemberRef, TargetAssignment,
};
use crate::base::{PartitionId, Time};
use crate::broker::model::remote_assignor::{Assignee, assign_remotely};
use crate::plan::RemoteAssignor;

/// How a broker treats groups of the consumer protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    /// `group.consumer.session.timeout.ms`: how long a member may be silent.
    pub session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`: how often members are told to send a heartbeat.
    pub heartbeat_interval: Duration,
}

impl Default for ConsumerGroupSettings {
    fn default() -> ConsumerGroupSettings {
        ConsumerGroupSettings {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
        }
    }
}

/// How far a member is on the way to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reconciliation {
    /// It has its target of its epoch.
    Stable,
    /// It has to say that it has given partitions up.
    Unrevoked,
    /// It waits for partitions that other members have.
    Unreleased,
}

/// A member of a group of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReconciledMember {
    instance_id: Option<String>,
    wants: HeartbeatSettings,
    /// Its epoch, and the one before that.
    epoch: i32,
    previous_epoch: i32,
    state: Reconciliation,
    /// What it was told to have.
    assigned: BTreeSet<PartitionId>,
    /// What it is giving up.
    revoking: BTreeSet<PartitionId>,
    /// What it is to have in the end.
    target: BTreeSet<PartitionId>,
    /// When its silence has lasted too long, and when giving up has.
    silent_until: Time,
    revokes_until: Time,
}

impl ReconciledMember {
    fn new(instance_id: Option<String>, wants: HeartbeatSettings) -> ReconciledMember {
        ReconciledMember {
            instance_id,
            wants,
            epoch: JOINS,
            previous_epoch: JOINS,
            state: Reconciliation::Stable,
            assigned: BTreeSet::new(),
            revoking: BTreeSet::new(),
            target: BTreeSet::new(),
            silent_until: Time::NEVER,
            revokes_until: Time::NEVER,
        }
    }

    /// Accepts the epoch before the present one with partitions of the present assignment: the answer that raised the
    /// epoch was lost.
    fn check_epoch(&self, epoch: i32, owned: Option<&[PartitionId]>) -> Result<(), GroupError> {
        let is_subset =
            |owned: &[PartitionId]| owned.iter().all(|partition| self.assigned.contains(partition));
        let has_missed_an_answer =
            epoch == self.previous_epoch && epoch < self.epoch && owned.is_some_and(is_subset);
        if epoch == self.epoch || has_missed_an_answer {
            return Ok(());
        }
        Err(GroupError::FencedMemberEpoch)
    }

    /// Whether it still has any of these, as far as it says.
    fn owns_any(owned: Option<&[PartitionId]>, of: &BTreeSet<PartitionId>) -> bool {
        owned.is_none_or(|owned| owned.iter().any(|partition| of.contains(partition)))
    }

    /// Goes as far towards its target, which is of the epoch `target_epoch`, as it can. `is_held` says whether a partition
    /// is held by any member, this one included.
    fn reconcile(
        &mut self,
        target_epoch: i32,
        owned: Option<&[PartitionId]>,
        is_held: impl Fn(&PartitionId) -> bool,
    ) {
        let has_to_wait = match self.state {
            Reconciliation::Stable => self.epoch == target_epoch,
            Reconciliation::Unrevoked => ReconciledMember::owns_any(owned, &self.revoking),
            Reconciliation::Unreleased => false,
        };
        if has_to_wait {
            return;
        }
        let kept = self.assigned.intersection(&self.target).copied().collect();
        let gone: BTreeSet<_> = self.assigned.difference(&self.target).copied().collect();
        let missing: Vec<_> = self.target.difference(&kept).copied().collect();
        let (held, free): (Vec<_>, Vec<_>) = missing.into_iter().partition(is_held);
        self.assigned = kept;
        if !gone.is_empty() && ReconciledMember::owns_any(owned, &gone) {
            self.state = Reconciliation::Unrevoked;
            self.previous_epoch = self.epoch;
            self.revoking = gone;
            return;
        }
        self.assigned.extend(free);
        self.revoking.clear();
        (self.previous_epoch, self.epoch) = (self.epoch, target_epoch);
        self.state =
            if held.is_empty() { Reconciliation::Stable } else { Reconciliation::Unreleased };
    }
}

/// A group of the consumer protocol. See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct ConsumerGroup {
    settings: ConsumerGroupSettings,
    /// The group's epoch, and the one its target assignment is of.
    epoch: i32,
    target_epoch: i32,
    members: BTreeMap<String, ReconciledMember>,
    /// Partitions of the topic, and those there were when the group's epoch was raised last.
    partitions: u32,
    known_partitions: u32,
}

impl ConsumerGroup {
    pub(super) fn new(settings: ConsumerGroupSettings) -> ConsumerGroup {
        ConsumerGroup {
            settings,
            epoch: 0,
            target_epoch: 0,
            members: BTreeMap::new(),
            partitions: 0,
            known_partitions: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Whether every member has its target.
    pub(super) fn is_stable(&self) -> bool {
        let is_reconciled = |member: &ReconciledMember| {
            member.state == Reconciliation::Stable && member.epoch == self.target_epoch
        };
        self.epoch == self.target_epoch && self.members.values().all(is_reconciled)
    }

    /// What each member holds, by member id: what it was told to have, and what it is giving up.
    pub(super) fn holdings(&self) -> impl Iterator<Item = (&str, Vec<PartitionId>)> {
        let all = |member: &ReconciledMember| -> Vec<PartitionId> {
            member.assigned.union(&member.revoking).copied().collect()
        };
        self.members.iter().map(move |(id, member)| (id.as_str(), all(member)))
    }

    /// The topic has this number of partitions. Members get new ones after their next heartbeats.
    pub(super) fn topic_has(&mut self, partitions: u32) {
        self.partitions = partitions;
    }

    /// Takes a heartbeat.
    pub(super) fn heartbeat(
        &mut self,
        heartbeat: ConsumerHeartbeat,
        now: Time,
    ) -> Result<HeartbeatAccepted, GroupError> {
        let ConsumerHeartbeat { member, settings, owned } = heartbeat;
        if matches!(member.generation, LEAVES | LEAVES_FOR_A_WHILE) {
            return self.leave(&member);
        }
        let (is_join, owned) = (member.generation == JOINS, owned.as_deref());
        let is_valid = match (is_join, settings, owned) {
            // "TopicPartitions must be empty when (re-)joining."
            (true, settings, owned) => settings.is_some() && owned.is_some_and(<[_]>::is_empty),
            (false, ..) => member.generation > 0,
        };
        if !is_valid {
            return Err(GroupError::Rejected("InvalidRequest"));
        }
        let is_new = self.admit(&member, settings, owned)?;
        let id = member.member_id;
        if is_new || self.known_partitions != self.partitions {
            self.raise_epoch();
        }
        if self.epoch > self.target_epoch {
            self.assign();
        }
        let before = self.members.get(&id).map(|member| member.assigned.clone());
        self.reconcile(&id, owned, now);
        let interval = self.settings.heartbeat_interval;
        let session_timeout = self.settings.session_timeout;
        let known = self.members.get_mut(&id).ok_or(GroupError::UnknownMemberId)?;
        known.silent_until = now + session_timeout;
        let says_everything = is_join || settings.is_some() && owned.is_some();
        let is_told = says_everything || before.as_ref() != Some(&known.assigned);
        let assigned = || TargetAssignment::Known(known.assigned.iter().copied().collect());
        let assignment = is_told.then(assigned);
        Ok(HeartbeatAccepted { member_id: Some(id), epoch: known.epoch, interval, assignment })
    }

    /// The member that sends a heartbeat, which may have to be made. Returns whether the group has another member now.
    fn admit(
        &mut self,
        member: &MemberRef,
        settings: Option<HeartbeatSettings>,
        owned: Option<&[PartitionId]>,
    ) -> Result<bool, GroupError> {
        let (id, epoch) = (&member.member_id, member.generation);
        let holder = member.instance_id.as_deref().and_then(|it| self.member_of_instance(it));
        match (settings.filter(|_| epoch == JOINS), holder) {
            (Some(_), Some(holder)) => {
                self.succeed(&holder, id)?;
            }
            (Some(wants), None) if !self.members.contains_key(id) => {
                let new = ReconciledMember::new(member.instance_id.clone(), wants);
                self.members.insert(id.clone(), new);
                return Ok(true);
            }
            (None, None) if member.instance_id.is_some() => {
                return Err(GroupError::UnknownMemberId);
            }
            (None, Some(holder)) if holder != *id => return Err(GroupError::FencedInstanceId),
            _ => {}
        }
        let known = self.members.get_mut(id).ok_or(GroupError::UnknownMemberId)?;
        known.check_epoch(epoch, owned)?;
        known.wants = settings.unwrap_or(known.wants);
        Ok(false)
    }

    fn member_of_instance(&self, instance: &str) -> Option<String> {
        let has = |(_, member): &(&String, &ReconciledMember)| {
            member.instance_id.as_deref() == Some(instance)
        };
        self.members.iter().find(has).map(|(id, _)| id.clone())
    }

    /// A static member is back under a new id and has what its predecessor had, if that has said that it leaves for a
    /// while. Kafka refuses any other, even one that joins again under its own id because an answer was lost.
    fn succeed(&mut self, holder: &str, id: &str) -> Result<(), GroupError> {
        let has_left = |member: &ReconciledMember| member.epoch == LEAVES_FOR_A_WHILE;
        if !self.members.get(holder).is_some_and(has_left) {
            return Err(GroupError::Rejected("UnreleasedInstanceId"));
        }
        if let Some(left) = self.members.remove(holder) {
            let back = ReconciledMember { epoch: JOINS, previous_epoch: JOINS, ..left };
            self.members.insert(id.to_owned(), back);
        }
        Ok(())
    }

    fn leave(&mut self, member: &MemberRef) -> Result<HeartbeatAccepted, GroupError> {
        let id = &member.member_id;
        if let Some(instance) = member.instance_id.as_deref() {
            let holder = self.member_of_instance(instance).ok_or(GroupError::UnknownMemberId)?;
            if holder != *id {
                return Err(GroupError::FencedInstanceId);
            }
        } else if member.generation == LEAVES_FOR_A_WHILE {
            return Err(GroupError::Rejected("InvalidRequest"));
        }
        let known = self.members.get_mut(id).ok_or(GroupError::UnknownMemberId)?;
        if member.generation == LEAVES_FOR_A_WHILE {
            known.epoch = LEAVES_FOR_A_WHILE;
            known.revoking.clear();
        } else {
            self.remove(&id.clone());
        }
        let (member_id, interval) = (Some(id.clone()), Duration::ZERO);
        Ok(HeartbeatAccepted { member_id, epoch: member.generation, interval, assignment: None })
    }

    fn remove(&mut self, id: &str) {
        if self.members.remove(id).is_some() {
            self.raise_epoch();
        }
    }

    fn raise_epoch(&mut self) {
        self.epoch += 1;
        self.known_partitions = self.partitions;
    }

    /// The target assignment of the present epoch, by the assignor that most members want.
    fn assign(&mut self) {
        let wanting = |assignor| {
            let wants = |member: &&ReconciledMember| member.wants.assignor == Some(assignor);
            self.members.values().filter(wants).count()
        };
        // The first one of `group.consumer.assignors` is the group's own.
        let assignor = match wanting(RemoteAssignor::Range) > wanting(RemoteAssignor::Uniform) {
            true => RemoteAssignor::Range,
            false => RemoteAssignor::Uniform,
        };
        let assignee = |(id, member): (&String, &ReconciledMember)| Assignee {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            target: member.target.clone(),
        };
        let assignees: Vec<Assignee> = self.members.iter().map(assignee).collect();
        let targets = assign_remotely(assignor, self.known_partitions, &assignees);
        for (member, target) in self.members.values_mut().zip(targets) {
            member.target = target;
        }
        self.target_epoch = self.epoch;
    }

    /// Brings a member nearer to its target.
    fn reconcile(&mut self, id: &str, owned: Option<&[PartitionId]>, now: Time) {
        let held: BTreeSet<PartitionId> = self
            .members
            .values()
            .flat_map(|member| member.assigned.iter().chain(&member.revoking))
            .copied()
            .collect();
        let Some(member) = self.members.get_mut(id) else { return };
        let before = member.clone();
        member.reconcile(self.target_epoch, owned, |partition| held.contains(partition));
        if member.state != Reconciliation::Unrevoked {
            member.revokes_until = Time::NEVER;
        } else if *member != before {
            member.revokes_until = now + member.wants.rebalance_timeout;
        }
    }

    /// When a member will have been silent for too long, or will have taken too long to give partitions up.
    pub(super) fn next_deadline(&self) -> Time {
        let due = |member: &ReconciledMember| member.silent_until.min(member.revokes_until);
        self.members.values().map(due).fold(Time::NEVER, Time::min)
    }

    /// Removes members whose time is over.
    pub(super) fn tick(&mut self, now: Time) {
        let is_over = |member: &ReconciledMember| {
            // A static member that has left for a while gives nothing up.
            let is_late = member.revokes_until <= now && member.epoch != LEAVES_FOR_A_WHILE;
            member.silent_until <= now || is_late
        };
        let over = self.members.iter().filter(|(_, member)| is_over(member));
        let over: Vec<String> = over.map(|(id, _)| id.clone()).collect();
        over.iter().for_each(|id| self.remove(id));
        for member in self.members.values_mut().filter(|member| member.revokes_until <= now) {
            member.revokes_until = Time::NEVER;
        }
    }

    /// Another broker takes the group over: every timer begins anew.
    pub(super) fn interrupted(&mut self, now: Time) {
        let session_timeout = self.settings.session_timeout;
        for member in self.members.values_mut() {
            member.silent_until = now + session_timeout;
            if member.state == Reconciliation::Unrevoked {
                member.revokes_until = now + member.wants.rebalance_timeout;
            }
        }
    }

    /// Whether a member may commit: in its epoch only. A commit is no sign of life.
    pub(super) fn check_committer(&self, member: Option<&MemberRef>) -> Result<(), GroupError> {
        let member = member.ok_or(GroupError::UnknownMemberId)?;
        let known = self.members.get(&member.member_id).ok_or(GroupError::UnknownMemberId)?;
        if member.generation == known.epoch { Ok(()) } else { Err(GroupError::StaleMemberEpoch) }
    }
}

//! The consumer protocol (KIP-848) at the coordinator, which assigns the partitions.
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
//! A member that joins, leaves or is silent for too long raises the group's epoch. So does a growth of the topic. The
//! next heartbeat of any member then leads to a new *target assignment*. Each heartbeat of a member reconciles it with
//! its target. The member first gives up the partitions that are not in the target, and confirms that by the partitions
//! it owns. Then its epoch becomes that of the target, and it gets the partitions that are free. A partition is free
//! when no member owns it or is giving it up. Every response is sent immediately.
//!
//! The rules and names follow KIP-848 and the classes of Kafka 4.1's module `group-coordinator`: `GroupMetadataManager`
//! (`consumerGroupHeartbeat`, `consumerGroupLeave`, the timers), `CurrentAssignmentBuilder`, and `ConsumerGroup` for
//! the epochs of commits. Members of the classic protocol in such a group are not modelled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::messages::{
    ConsumerHeartbeat, GroupError, HeartbeatAccepted, HeartbeatSettings, JOINS, LEAVES,
    LEAVES_FOR_A_WHILE, MemberRef, TargetAssignment,
};
use crate::base::{PartitionId, Time};
use crate::broker::model::remote_assignor::{Assignee, assign_remotely};
use crate::plan::RemoteAssignor;

/// The settings of a broker for groups of the consumer protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    /// `group.consumer.session.timeout.ms`: longest time without a heartbeat.
    pub session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`: the interval that members are told.
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

/// The progress of a member towards its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reconciliation {
    /// The member has its target of its epoch.
    Stable,
    /// The member has to confirm that it has given up partitions.
    Unrevoked,
    /// The member waits for partitions that other members own.
    Unreleased,
}

/// A member of a group of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReconciledMember {
    instance_id: Option<String>,
    wants: HeartbeatSettings,
    /// The member's epoch, and the one before it.
    epoch: i32,
    previous_epoch: i32,
    state: Reconciliation,
    /// The partitions that the member was told to own.
    assigned: BTreeSet<PartitionId>,
    /// The partitions that the member is giving up.
    revoking: BTreeSet<PartitionId>,
    /// The partitions of the member in the target assignment.
    target: BTreeSet<PartitionId>,
    /// End of the session, and end of the time to give up partitions.
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

    /// Accepts the epoch before the present one if the partitions are of the present assignment, because the response
    /// that raised the epoch may have been lost.
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

    /// True if the member still owns any of these, according to its heartbeat.
    fn owns_any(owned: Option<&[PartitionId]>, of: &BTreeSet<PartitionId>) -> bool {
        owned.is_none_or(|owned| owned.iter().any(|partition| of.contains(partition)))
    }

    /// Brings the member as close to its target, which is of the epoch `target_epoch`, as possible. `is_held` is true
    /// for a partition that any member owns, this one included.
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

/// A group of the consumer protocol. See the documentation of the module.
#[derive(Clone, Debug)]
pub(super) struct ConsumerGroup {
    settings: ConsumerGroupSettings,
    /// The group's epoch, and the epoch of its target assignment.
    epoch: i32,
    target_epoch: i32,
    members: BTreeMap<String, ReconciledMember>,
    /// Number of partitions of the topic, and the number when the group's epoch was last raised.
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

    /// True if every member has its target.
    pub(super) fn is_stable(&self) -> bool {
        let is_reconciled = |member: &ReconciledMember| {
            member.state == Reconciliation::Stable && member.epoch == self.target_epoch
        };
        self.epoch == self.target_epoch && self.members.values().all(is_reconciled)
    }

    /// The partitions of each member, by member id: those that it was told to own, and those that it is giving up.
    pub(super) fn holdings(&self) -> impl Iterator<Item = (&str, Vec<PartitionId>)> {
        let all = |member: &ReconciledMember| -> Vec<PartitionId> {
            member.assigned.union(&member.revoking).copied().collect()
        };
        self.members.iter().map(move |(id, member)| (id.as_str(), all(member)))
    }

    /// Sets the number of partitions of the topic. Members get new ones after their next heartbeats.
    pub(super) fn topic_has(&mut self, partitions: u32) {
        self.partitions = partitions;
    }

    /// Handles a heartbeat.
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

    /// Finds or adds the member that sends a heartbeat. True if the members of the group have changed.
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

    /// A static member is back under a new id. It gets the partitions of its predecessor, if that has left temporarily.
    /// Kafka refuses any other, even one that joins again under its own id because a response was lost.
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

    /// The target assignment of the present epoch, made by the assignor that most members want.
    fn assign(&mut self) {
        let wanting = |assignor| {
            let wants = |member: &&ReconciledMember| member.wants.assignor == Some(assignor);
            self.members.values().filter(wants).count()
        };
        // The first one of `group.consumer.assignors` is the default of the group.
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

    /// Brings a member closer to its target.
    fn reconcile(&mut self, id: &str, owned: Option<&[PartitionId]>, now: Time) {
        let held: BTreeSet<PartitionId> = self.members.values().flat_map(held_by).collect();
        let Some(member) = self.members.get_mut(id) else { return };
        let before = member.clone();
        member.reconcile(self.target_epoch, owned, |partition| held.contains(partition));
        if member.state != Reconciliation::Unrevoked {
            member.revokes_until = Time::NEVER;
        } else if *member != before {
            member.revokes_until = now + member.wants.rebalance_timeout;
        }
    }

    /// The earliest end of a session, or of a time to give up partitions.
    pub(super) fn next_deadline(&self) -> Time {
        let due = |member: &ReconciledMember| member.silent_until.min(member.revokes_until);
        self.members.values().map(due).fold(Time::NEVER, Time::min)
    }

    /// Removes members whose session or time to give up partitions is over.
    pub(super) fn tick(&mut self, now: Time) {
        let is_over = |member: &ReconciledMember| {
            // A static member that has left temporarily gives nothing up.
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

    /// Another broker becomes the coordinator: every timer starts again.
    pub(super) fn interrupted(&mut self, now: Time) {
        let session_timeout = self.settings.session_timeout;
        for member in self.members.values_mut() {
            member.silent_until = now + session_timeout;
            if member.state == Reconciliation::Unrevoked {
                member.revokes_until = now + member.wants.rebalance_timeout;
            }
        }
    }

    /// Checks that a member commits in its present epoch. A commit does not extend its session.
    pub(super) fn check_committer(&self, member: Option<&MemberRef>) -> Result<(), GroupError> {
        let member = member.ok_or(GroupError::UnknownMemberId)?;
        let known = self.members.get(&member.member_id).ok_or(GroupError::UnknownMemberId)?;
        if member.generation == known.epoch { Ok(()) } else { Err(GroupError::StaleMemberEpoch) }
    }
}

/// The partitions that no other member may get: those that a member was told to own, and those that it is giving up.
/// Tests have another function, in which a defect is planted.
#[cfg(not(test))]
fn held_by(member: &ReconciledMember) -> BTreeSet<PartitionId> {
    member.assigned.union(&member.revoking).copied().collect()
}

/// The same with the defect that is planted in this process, if one is.
#[cfg(test)]
fn held_by(member: &ReconciledMember) -> BTreeSet<PartitionId> {
    if crate::base::Defect::EarlyHandover.is_planted() {
        return member.assigned.clone();
    }
    member.assigned.union(&member.revoking).copied().collect()
}

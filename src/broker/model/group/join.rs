//! Generations: joining, the start of a generation, and its assignment.

use std::collections::BTreeMap;
use std::time::Duration;

use super::messages::Member;
use super::messages::{GroupError, GroupResponse, Join, Joined, MemberRef, Ticket};
use super::{GroupCoordinator, Initial, State};
use crate::base::{PartitionId, Time};

impl GroupCoordinator {
    pub(super) fn join(&mut self, ticket: Ticket, join: &Join, now: Time) {
        let is_other = self.assignor.is_some_and(|own| own != join.assignor);
        if !self.consumers.is_empty() || !self.members.is_empty() && is_other {
            return self.refuse(ticket, &join.member_id, GroupError::InconsistentGroupProtocol);
        }
        let holder = join.instance_id.as_deref().and_then(|own| self.member_of_instance(own));
        match (join.member_id.is_empty(), holder) {
            (true, Some(holder)) => self.replace(ticket, &holder, join, now),
            (true, None) => {
                let id = format!("{}-{:016x}", join.client_id, self.ids.next_u64());
                if join.instance_id.is_some() {
                    self.add(ticket, id, join, now);
                } else {
                    self.promised.insert(id.clone(), now + join.session_timeout);
                    self.refuse(ticket, &id, GroupError::MemberIdRequired);
                }
            }
            (false, Some(holder)) if holder != join.member_id => {
                self.refuse(ticket, &join.member_id, GroupError::FencedInstanceId);
            }
            (false, _) if self.promised.remove(&join.member_id).is_some() => {
                self.add(ticket, join.member_id.clone(), join, now);
            }
            (false, _) if self.members.contains_key(&join.member_id) => {
                self.rejoin(ticket, join, now);
            }
            (false, _) => self.refuse(ticket, &join.member_id, GroupError::UnknownMemberId),
        }
    }

    fn refuse(&mut self, ticket: Ticket, member_id: &str, error: GroupError) {
        self.answer(ticket, GroupResponse::Join(member_id.to_owned(), Err(error)));
    }

    /// Adds a new member with an id.
    fn add(&mut self, ticket: Ticket, id: String, join: &Join, now: Time) {
        self.assignor = Some(join.assignor);
        let mut member = Member::new(id.clone(), join, now + self.settings.new_member_timeout);
        member.joining = Some(ticket);
        self.members.insert(id.clone(), member);
        self.leader.get_or_insert(id);
        if let State::Preparing { initial: Some(initial), .. } = &mut self.state {
            initial.joined_since = true;
        }
        self.rebalance(now);
    }

    /// A static member came back under a new id. Unless its settings have changed, the other members do not notice.
    fn replace(&mut self, ticket: Ticket, old: &str, join: &Join, now: Time) {
        let Some(mut member) = self.members.remove(old) else { return };
        let id = format!("{}-{:016x}", join.client_id, self.ids.next_u64());
        if let Some(waiting) = member.joining.take() {
            self.refuse(waiting, old, GroupError::FencedInstanceId);
        }
        if let Some(waiting) = member.syncing.take() {
            self.answer(waiting, GroupResponse::Sync(Err(GroupError::FencedInstanceId)));
        }
        member.subscription.member_id.clone_from(&id);
        member.update(join);
        member.heard(now);
        if self.leader.as_deref() == Some(old) {
            self.leader = Some(id.clone());
        }
        self.members.insert(id.clone(), member);
        if self.state == State::Stable {
            self.welcome(ticket, &id, false);
        } else {
            self.join_again(ticket, &id, now);
        }
    }

    /// A member joins again, because it was told to or because its settings have changed.
    fn rejoin(&mut self, ticket: Ticket, join: &Join, now: Time) {
        let is_leader = self.leader.as_deref() == Some(&join.member_id);
        let Some(member) = self.members.get_mut(&join.member_id) else { return };
        let changed = member.update(join);
        member.heard(now);
        match self.state {
            State::Stable if !is_leader && !changed => self.welcome(ticket, &join.member_id, false),
            State::Completing { .. } if !changed => {
                self.welcome(ticket, &join.member_id, is_leader);
            }
            _ => self.join_again(ticket, &join.member_id, now),
        }
    }

    fn join_again(&mut self, ticket: Ticket, id: &str, now: Time) {
        if let Some(member) = self.members.get_mut(id) {
            // A second request replaces the first, which its client has given up.
            member.joining = Some(ticket);
        }
        self.rebalance(now);
    }

    /// Prepares the next generation, unless it is being prepared.
    fn rebalance(&mut self, now: Time) {
        let timeout = self.rebalance_timeout();
        match self.state {
            State::Empty => {
                let deadline = now + self.settings.initial_rebalance_delay;
                let latest = (now + timeout).max(deadline);
                let initial = Initial { latest, joined_since: false };
                self.state = State::Preparing { deadline, initial: Some(initial) };
            }
            State::Completing { .. } | State::Stable => {
                for member in self.members.values_mut() {
                    member.assignment.clear();
                    if let Some(ticket) = member.syncing.take() {
                        let again = GroupResponse::Sync(Err(GroupError::RebalanceInProgress));
                        self.answers.push((ticket, again));
                        member.heard(now);
                    }
                }
                self.state = State::Preparing { deadline: now + timeout, initial: None };
            }
            State::Preparing { .. } => {}
        }
        self.complete_if_all_joined(now);
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    pub(super) fn complete_if_all_joined(&mut self, now: Time) {
        let have_all_joined = self.promised.is_empty()
            && self.members.values().all(|member| member.joining.is_some());
        if have_all_joined && matches!(self.state, State::Preparing { initial: None, .. }) {
            self.begin(now);
        }
    }

    /// Handles the deadline of the state.
    pub(super) fn state_is_due(&mut self, now: Time) {
        match self.state {
            State::Preparing { deadline, initial: Some(initial) } if now >= deadline => {
                if initial.joined_since && deadline < initial.latest {
                    let later = deadline + self.settings.initial_rebalance_delay;
                    let initial = Initial { joined_since: false, ..initial };
                    let deadline = later.min(initial.latest);
                    self.state = State::Preparing { deadline, initial: Some(initial) };
                } else {
                    self.begin(now);
                }
            }
            State::Preparing { deadline, initial: None } if now >= deadline => self.begin(now),
            State::Completing { deadline } if now >= deadline => {
                let missing = |(id, member): (&String, &Member)| {
                    (!member.has_synced && member.syncing.is_none()).then(|| id.clone())
                };
                let missing: Vec<String> = self.members.iter().filter_map(missing).collect();
                missing.iter().for_each(|id| self.remove(id, now));
                self.rebalance(now);
            }
            _ => {}
        }
    }

    /// Starts the generation, with the members that have joined and static members that may come back.
    fn begin(&mut self, now: Time) {
        let before = self.members.len();
        self.members.retain(|_, member| member.joining.is_some() || member.is_static());
        let left = self.members.len() < before;
        let present = |member: &Member| member.joining.is_some();
        if !self.members.is_empty() && !self.members.values().any(present) {
            self.state =
                State::Preparing { deadline: now + self.rebalance_timeout(), initial: None };
            return;
        }
        self.generation += 1;
        if self.members.is_empty() {
            self.state = State::Empty;
            self.leader = None;
            return;
        }
        let leads = |id: &String| self.members.get(id).is_some_and(present);
        if left || !self.leader.as_ref().is_some_and(leads) {
            let kept = self.leader.take().filter(leads);
            self.leader = kept.or_else(|| {
                self.members.iter().find(|(_, member)| present(member)).map(|(id, _)| id.clone())
            });
        }
        self.state = State::Completing { deadline: now + self.rebalance_timeout() };
        let joined: Vec<(String, Ticket)> = self
            .members
            .iter_mut()
            .filter_map(|(id, member)| {
                let ticket = member.joining.take()?;
                (member.is_new, member.has_synced) = (false, false);
                member.heard(now);
                Some((id.clone(), ticket))
            })
            .collect();
        for (id, ticket) in joined {
            let is_leader = self.leader.as_ref() == Some(&id);
            self.welcome(ticket, &id, is_leader);
        }
    }

    /// Answers a JoinGroup with the generation; for the leader, also with all members.
    fn welcome(&mut self, ticket: Ticket, id: &str, with_members: bool) {
        let members = self.members.values().map(|member| member.subscription.clone());
        let joined = Joined {
            generation: self.generation,
            leader: self.leader.clone().unwrap_or_default(),
            members: if with_members { members.collect() } else { Vec::new() },
        };
        self.answer(ticket, GroupResponse::Join(id.to_owned(), Ok(joined)));
    }

    pub(super) fn sync(
        &mut self,
        ticket: Ticket,
        caller: &MemberRef,
        assignments: &BTreeMap<String, Vec<PartitionId>>,
        now: Time,
    ) {
        let (state, generation) = (self.state, self.generation);
        let refusal = match self.known(caller) {
            Err(error) => Some(error),
            Ok(_) if caller.generation != generation => Some(GroupError::IllegalGeneration),
            Ok(_) if matches!(state, State::Preparing { .. }) => {
                Some(GroupError::RebalanceInProgress)
            }
            Ok(_) if state == State::Empty => Some(GroupError::UnknownMemberId),
            Ok(member) => {
                member.heard(now);
                member.syncing = Some(ticket);
                None
            }
        };
        if let Some(error) = refusal {
            return self.answer(ticket, GroupResponse::Sync(Err(error)));
        }
        if matches!(state, State::Completing { .. })
            && self.leader.as_ref() == Some(&caller.member_id)
        {
            for (id, member) in &mut self.members {
                member.assignment = assignments.get(id).cloned().unwrap_or_default();
            }
            self.state = State::Stable;
        }
        if self.state == State::Stable {
            self.hand_out(now);
        }
    }

    /// Answers every SyncGroup that waits.
    fn hand_out(&mut self, now: Time) {
        for member in self.members.values_mut() {
            if let Some(ticket) = member.syncing.take() {
                member.heard(now);
                member.has_synced = true;
                let own = member.assignment.clone();
                self.answers.push((ticket, GroupResponse::Sync(Ok(own))));
            }
        }
    }

    /// Removes a member, because it left or its session is over.
    pub(super) fn remove(&mut self, id: &str, now: Time) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(ticket) = member.joining {
            self.refuse(ticket, id, GroupError::UnknownMemberId);
        }
        if let Some(ticket) = member.syncing {
            self.answer(ticket, GroupResponse::Sync(Err(GroupError::UnknownMemberId)));
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        match self.state {
            State::Completing { .. } | State::Stable => self.rebalance(now),
            State::Preparing { .. } => self.complete_if_all_joined(now),
            State::Empty => {}
        }
    }
}

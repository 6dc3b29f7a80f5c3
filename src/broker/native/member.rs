//! A member of a classic group that behaves like librdkafka: it joins, syncs, sends heartbeats, gives up partitions as
//! asked, and joins again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::member_protocol::{MemberEvent, MemberProtocol, MemberSettings};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::assignor::assign;
use crate::broker::model::group::{
    GroupError, GroupRequest, GroupResponse, Join, Joined, MemberRef,
};
use crate::plan::Assignor;

/// The kind of a request, needed for its response.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Join,
    Sync,
    Heartbeat,
    Commit,
    /// The commit before partitions are given up.
    LastCommit,
    Offsets(Vec<PartitionId>),
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not a member. Joins at the next tick.
    Outside,
    /// Waits for a generation, or for its assignment in it.
    Joining,
    /// A member that reads its partitions.
    Up,
    /// Waits until the consumer has stopped reading, and then for the last commit.
    GivingUp,
    /// Has left because no records were asked for. Joins again when they are.
    Silent,
    /// Has left, or was fenced.
    Gone,
}

/// Time that librdkafka gives a coordinator in addition to the timeouts that the coordinator knows.
const PATIENCE: Duration = Duration::from_secs(3);

/// A member of a group. See the documentation of the module.
#[derive(Clone, Debug)]
pub struct GroupMember {
    settings: MemberSettings,
    me: MemberRef,
    state: State,
    /// The partitions that the member owns, ascending.
    owned: Vec<PartitionId>,
    /// The partitions that the member takes once others are given up.
    added: Vec<PartitionId>,
    asked: VecDeque<Asked>,
    outbox: Vec<GroupRequest>,
    events: Vec<MemberEvent>,
    next_beat: Time,
    last_answer: Time,
    /// The generation to assign partitions in, once the number of partitions is known, if this member leads.
    dealing: Option<Joined>,
    /// True if the topic has grown while this member was busy with the last generation.
    has_grown: bool,
    /// Time of the last request or response while requests are in flight, and time of the last tick.
    asked_at: Option<Time>,
    now: Time,
}

impl GroupMember {
    /// A member that joins with its first tick.
    pub fn new(settings: MemberSettings) -> GroupMember {
        let instance_id = settings.instance_id.clone();
        GroupMember {
            settings,
            me: MemberRef { member_id: String::new(), instance_id, generation: -1 },
            state: State::Outside,
            owned: Vec::new(),
            added: Vec::new(),
            asked: VecDeque::new(),
            outbox: Vec::new(),
            events: Vec::new(),
            next_beat: Time::NEVER,
            last_answer: Time::ZERO,
            dealing: None,
            has_grown: false,
            asked_at: None,
            now: Time::ZERO,
        }
    }

    /// The generation that the member knows; -1 before the first.
    pub fn generation(&self) -> i32 {
        self.me.generation
    }

    fn ask(&mut self, asked: Asked, request: GroupRequest) {
        self.asked_at.get_or_insert(self.now);
        self.asked.push_back(asked);
        self.outbox.push(request);
    }

    fn is_cooperative(&self) -> bool {
        self.settings.assignor == Assignor::CooperativeSticky
    }

    fn join(&mut self) {
        self.state = State::Joining;
        self.dealing = None;
        let cooperative = self.is_cooperative();
        let settings = &self.settings;
        let join = Join {
            client_id: settings.client_id.clone(),
            member_id: self.me.member_id.clone(),
            instance_id: self.me.instance_id.clone(),
            session_timeout: settings.session_timeout,
            rebalance_timeout: settings.rebalance_timeout,
            assignor: settings.assignor,
            owned: if cooperative { self.owned.clone() } else { Vec::new() },
            generation: self.me.generation,
        };
        self.ask(Asked::Join, GroupRequest::Join(join));
    }

    /// The generation has begun: the leader assigns the partitions, and each member asks for its assignment.
    fn joined(&mut self, member_id: String, joined: &Joined) {
        self.me.member_id = member_id;
        self.me.generation = joined.generation;
        if self.settings.topic_refresh.is_some() && !joined.members.is_empty() {
            self.dealing = Some(joined.clone());
        } else {
            self.deal_out(joined, self.settings.partitions);
        }
    }

    fn deal_out(&mut self, joined: &Joined, partitions: u32) {
        let dealt = assign(self.settings.assignor, partitions, &joined.members);
        let ids = joined.members.iter().map(|member| member.member_id.clone());
        let (member, assignments) = (self.me.clone(), ids.zip(dealt).collect());
        self.ask(Asked::Sync, GroupRequest::Sync { member, assignments });
    }

    fn synced(&mut self, own: Vec<PartitionId>, now: Time) {
        self.state = State::Up;
        self.last_answer = now;
        self.next_beat = now + self.settings.heartbeat_interval;
        let gone: Vec<_> = self.owned.iter().copied().filter(|had| !own.contains(had)).collect();
        self.added = own.into_iter().filter(|new| !self.owned.contains(new)).collect();
        let has_grown = std::mem::take(&mut self.has_grown);
        if !gone.is_empty() {
            return self.give_up(gone);
        }
        self.take_added();
        if has_grown {
            self.rebalance();
        }
    }

    fn give_up(&mut self, partitions: Vec<PartitionId>) {
        self.state = State::GivingUp;
        self.owned.retain(|owned| !partitions.contains(owned));
        self.events.push(MemberEvent::Revoke(partitions));
    }

    /// The partitions to give up were given up, and the member takes the new ones. If it gave any up, it joins again,
    /// so that they get an owner.
    fn go_on(&mut self) {
        self.take_added();
        self.join();
    }

    fn take_added(&mut self) {
        let added = std::mem::take(&mut self.added);
        if !added.is_empty() {
            self.owned.extend(&added);
            self.owned.sort_unstable();
            self.ask(Asked::Offsets(added.clone()), GroupRequest::FetchOffsets(added));
        }
    }

    /// The member has lost all its partitions.
    fn lose(&mut self) {
        self.added.clear();
        self.me.generation = -1;
        if !self.owned.is_empty() {
            self.events.push(MemberEvent::Lost(std::mem::take(&mut self.owned)));
        }
    }

    /// Joins again, without partitions or, with the cooperative protocol, with the partitions it owns.
    fn rebalance(&mut self) {
        if self.is_cooperative() || self.owned.is_empty() {
            self.join();
        } else {
            self.give_up(self.owned.clone());
        }
    }

    fn refused(&mut self, error: GroupError) {
        match error {
            GroupError::RebalanceInProgress => self.rebalance(),
            GroupError::FencedInstanceId | GroupError::InconsistentGroupProtocol => {
                self.lose();
                self.state = State::Gone;
                self.events.push(MemberEvent::Fenced);
            }
            // The last two are errors of the consumer protocol.
            GroupError::IllegalGeneration
            | GroupError::FencedMemberEpoch
            | GroupError::StaleMemberEpoch => {
                self.lose();
                self.join();
            }
            GroupError::Rejected(name) => {
                self.lose();
                self.state = State::Gone;
                self.events.push(MemberEvent::Refused(name));
            }
            // The host finds the coordinator first.
            GroupError::NotCoordinator | GroupError::Unavailable => self.disconnected(),
            GroupError::UnknownMemberId | GroupError::MemberIdRequired => {
                self.lose();
                self.me.member_id.clear();
                self.join();
            }
        }
    }
}

impl MemberProtocol for GroupMember {
    fn outbox(&mut self) -> Vec<GroupRequest> {
        std::mem::take(&mut self.outbox)
    }

    fn events(&mut self) -> Vec<MemberEvent> {
        std::mem::take(&mut self.events)
    }

    fn owned(&self) -> &[PartitionId] {
        &self.owned
    }

    fn tick(&mut self, now: Time) -> Time {
        self.now = now;
        match self.state {
            State::Outside => self.join(),
            State::Up if now >= self.last_answer + self.settings.session_timeout => {
                self.lose();
                self.join();
            }
            State::Up if now >= self.next_beat => {
                self.next_beat = now + self.settings.heartbeat_interval;
                if !self.asked.contains(&Asked::Heartbeat) {
                    self.ask(Asked::Heartbeat, GroupRequest::Heartbeat(self.me.clone()));
                }
            }
            _ => {}
        }
        match self.state {
            State::Up => self.next_beat.min(self.last_answer + self.settings.session_timeout),
            _ => Time::NEVER,
        }
    }

    fn commit(&mut self, mut offsets: BTreeMap<PartitionId, Offset>) {
        offsets.retain(|partition, _| self.owned.contains(partition));
        if self.state == State::Up && !offsets.is_empty() {
            let member = Some(self.me.clone());
            self.ask(Asked::Commit, GroupRequest::Commit { member, offsets });
        }
    }

    fn given_up(&mut self, offsets: BTreeMap<PartitionId, Offset>) {
        if self.state != State::GivingUp {
            return;
        }
        if offsets.is_empty() {
            return self.go_on();
        }
        let member = Some(self.me.clone());
        self.ask(Asked::LastCommit, GroupRequest::Commit { member, offsets });
    }

    /// A static member sends no leave request.
    fn leave(&mut self) {
        if self.settings.instance_id.is_none() && !self.me.member_id.is_empty() {
            self.ask(Asked::Leave, GroupRequest::Leave(self.me.clone()));
        }
        self.dealing = None;
        self.state = State::Gone;
    }

    fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Leaves the group, as librdkafka does, unless the member is static.
    fn poll_timed_out(&mut self) {
        if self.state != State::Up {
            return;
        }
        if self.settings.instance_id.is_none() {
            self.ask(Asked::Leave, GroupRequest::Leave(self.me.clone()));
            self.me.member_id.clear();
        }
        self.lose();
        self.state = State::Silent;
    }

    fn asked_for_records(&mut self) {
        if self.state == State::Silent {
            self.state = State::Outside;
        }
    }

    fn is_up(&self) -> bool {
        self.state == State::Up
    }

    fn disconnected(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.outbox.clear();
        self.dealing = None;
        self.asked_at = None;
        match self.state {
            State::Joining => self.state = State::Outside,
            State::GivingUp if asked.contains(&Asked::LastCommit) => self.go_on(),
            State::GivingUp | State::Outside | State::Up | State::Silent | State::Gone => {}
        }
        // The questions for the offsets of partitions that are not read yet are sent again.
        for asked in asked {
            if let Asked::Offsets(added) = asked {
                self.ask(Asked::Offsets(added.clone()), GroupRequest::FetchOffsets(added));
            }
        }
    }

    /// The response to a JoinGroup or a SyncGroup may take longer, as in librdkafka.
    fn overdue(&self, limit: Duration) -> Option<Time> {
        let patience = match self.asked.front()? {
            Asked::Join => self.settings.rebalance_timeout + PATIENCE,
            Asked::Sync => self.settings.session_timeout + PATIENCE,
            _ => limit,
        };
        Some(self.asked_at? + patience)
    }

    fn receive(&mut self, response: GroupResponse, now: Time) {
        let Some(asked) = self.asked.pop_front() else { return };
        self.now = now;
        self.asked_at = (!self.asked.is_empty()).then_some(now);
        if self.state == State::Gone {
            return;
        }
        match (asked, response) {
            (Asked::Join, GroupResponse::Join(id, Ok(joined))) => self.joined(id, &joined),
            (Asked::Join, GroupResponse::Join(id, Err(GroupError::MemberIdRequired))) => {
                self.me.member_id = id;
                self.join();
            }
            (Asked::Join, GroupResponse::Join(_, Err(error)))
            | (Asked::Sync, GroupResponse::Sync(Err(error))) => self.refused(error),
            (Asked::Sync, GroupResponse::Sync(Ok(own))) => self.synced(own, now),
            (Asked::Heartbeat, GroupResponse::Done(result)) => match result {
                Ok(()) => self.last_answer = now,
                // A response that was in flight may have changed the state.
                Err(_) if self.state != State::Up => {}
                Err(error) => {
                    self.last_answer = now;
                    self.refused(error);
                }
            },
            (Asked::LastCommit, GroupResponse::Done(_)) => self.go_on(),
            (Asked::Offsets(added), GroupResponse::Offsets(offsets)) => {
                let from = |partition: PartitionId| (partition, offsets.get(&partition).copied());
                let still = added.into_iter().filter(|added| self.owned.contains(added));
                let starts: Vec<_> = still.map(from).collect();
                self.events.push(MemberEvent::Assigned(starts));
            }
            (Asked::Offsets(_), GroupResponse::Done(Err(error))) => self.refused(error),
            _ => {}
        }
    }

    fn waits_for_topic(&self) -> bool {
        self.dealing.is_some()
    }

    fn topic_is_known(&mut self, partitions: u32) {
        if let Some(joined) = self.dealing.take() {
            self.has_grown = false;
            self.deal_out(&joined, partitions);
        }
    }

    /// All members join again, as in librdkafka (`rd_kafka_cgrp_metadata_update_check`), although KIP-429 requires it
    /// of the leader only. The coordinator acts on the leader's.
    fn topic_has_grown(&mut self) {
        match self.state {
            State::Up => self.rebalance(),
            State::Joining => self.has_grown = true,
            State::Outside | State::GivingUp | State::Silent | State::Gone => {}
        }
    }
}

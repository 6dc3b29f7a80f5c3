//! A member of a group of the consumer protocol (KIP-848), in which the broker assigns the partitions.
//!
//! ```text
//!             accepted           has what it is not to have
//!   Joining ───────────► Up ──────────────────────────────────► GivingUp
//!      ▲                  │ ▲        last commit answered          │
//!      │                  │ └──────────────────────────────────────┘
//!      └── fenced ◄───────┴────────────────────────────────────────┘
//! ```
//!
//! ConsumerGroupHeartbeat is the one request of the protocol. Its response has the assignment. The member first gives
//! up the partitions that are not in it, with a last commit, and then takes the new ones. The next heartbeat reports
//! the partitions that the member owns now, and is sent at once. At most one heartbeat is in flight.
//!
//! A coordinator that may not know the member, or may not have its last state, gets a full heartbeat (KIP-848): after a
//! broken connection, and after a move of the coordinator. With it, a member whose epoch was raised in between is not
//! fenced.
//!
//! Sources: KIP-848, KIP-1082, and the checks of Kafka's coordinator. Unlike a member of a classic group, one that
//! cannot reach its coordinator continues to read, because only the broker knows the session timeout.

mod state;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::Duration;

use self::state::{Asked, Commit, State};
use super::member_protocol::{ConsumerProtocolSettings, MemberEvent, MemberProtocol};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::group::{
    ConsumerHeartbeat, GroupError, GroupRequest, GroupResponse, HeartbeatAccepted,
    HeartbeatSettings, JOINS, LEAVES, LEAVES_FOR_A_WHILE, MemberRef, TargetAssignment,
};
use crate::plan::LONGEST_SESSION_OF_BROKERS;

/// Tries of a commit whose epoch is out of date.
const COMMIT_TRIES_MAX: u32 = 3;
/// Heartbeat interval until a coordinator has sent one.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);
/// Time between the attempts of a static member to get an instance id whose holder has not left. It tries for
/// [`LONGEST_SESSION_OF_BROKERS`], because the id is free after a session at the latest.
const INSTANCE_ID_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest heartbeat interval, whatever a coordinator sends, and shortest time between attempts to join.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A member of a group of the consumer protocol. See the documentation of the module.
#[derive(Clone, Debug)]
pub(super) struct ConsumerMember {
    wants: HeartbeatSettings,
    holds_instance_id: bool,
    me: MemberRef,
    state: State,
    /// The partitions that the member owns, ascending, and those of them that it gives up.
    owned: Vec<PartitionId>,
    giving_up: Vec<PartitionId>,
    /// The assignment.
    target: Vec<PartitionId>,
    /// The offsets committed last, so that a commit that is repeated sets none of them back.
    committed: BTreeMap<PartitionId, Offset>,
    asked: VecDeque<Asked>,
    /// True if the coordinator may have it as a member: it has joined, and has not left since as far as is known.
    may_be_known: bool,
    /// Time since which another member holds its instance id.
    waits_since: Option<Time>,
    outbox: Vec<GroupRequest>,
    events: Vec<MemberEvent>,
    interval: Duration,
    /// Time of the next heartbeat.
    next_heartbeat: Time,
    /// Content of the next heartbeat: everything, or the owned partitions.
    says_all: bool,
    says_owned: bool,
    /// True if the assignment has a topic whose id is unknown, and true if that id should be known by now.
    waits_for_topic: bool,
    knows_topic: bool,
    /// Time of the last request or response while requests are in flight, and time of the last tick.
    asked_at: Option<Time>,
    now: Time,
}

impl ConsumerMember {
    /// A member that joins with its first tick. `rebalance_timeout` is `max.poll.interval.ms`.
    pub(super) fn new(
        settings: ConsumerProtocolSettings,
        instance_id: Option<String>,
        rebalance_timeout: Duration,
    ) -> ConsumerMember {
        let ConsumerProtocolSettings { member_id, assignor, holds_instance_id } = settings;
        ConsumerMember {
            wants: HeartbeatSettings { rebalance_timeout, assignor },
            holds_instance_id,
            me: MemberRef { member_id, instance_id, generation: JOINS },
            state: State::Outside(Time::ZERO),
            owned: Vec::new(),
            giving_up: Vec::new(),
            target: Vec::new(),
            committed: BTreeMap::new(),
            asked: VecDeque::new(),
            may_be_known: false,
            waits_since: None,
            outbox: Vec::new(),
            events: Vec::new(),
            interval: FIRST_INTERVAL,
            next_heartbeat: Time::NEVER,
            says_all: false,
            says_owned: false,
            waits_for_topic: false,
            knows_topic: false,
            asked_at: None,
            now: Time::ZERO,
        }
    }

    fn ask(&mut self, asked: Asked, request: GroupRequest) {
        self.asked_at.get_or_insert(self.now);
        self.asked.push_back(asked);
        self.outbox.push(request);
    }

    fn is_in(&self) -> bool {
        matches!(self.state, State::Up | State::GivingUp)
    }

    /// Joins. A coordinator refuses a static member that it knows, even one that joins again because an answer was
    /// lost, unless that has left for a while.
    fn join(&mut self) {
        if self.may_be_known && self.me.instance_id.is_some() {
            self.ask_to_leave();
        }
        self.may_be_known = true;
        self.state = State::Joining;
        self.me.generation = JOINS;
        (self.says_all, self.says_owned) = (false, false);
        let (member, settings) = (self.me.clone(), Some(self.wants));
        // A coordinator refuses a member that joins and owns partitions, and one that does not list its partitions.
        let heartbeat = ConsumerHeartbeat { member, settings, owned: Some(Vec::new()) };
        self.ask(Asked::Join, GroupRequest::ConsumerHeartbeat(heartbeat));
    }

    fn heartbeat(&mut self) {
        self.next_heartbeat = self.now + self.interval;
        let says_all = mem::take(&mut self.says_all) | mem::take(&mut self.knows_topic);
        let says_owned = mem::take(&mut self.says_owned) || says_all;
        let heartbeat = ConsumerHeartbeat {
            member: self.me.clone(),
            settings: says_all.then_some(self.wants),
            owned: says_owned.then(|| self.owned.clone()),
        };
        self.ask(Asked::Heartbeat, GroupRequest::ConsumerHeartbeat(heartbeat));
    }

    /// True if a heartbeat may be sent, and is due or has something new to report.
    fn has_to_say(&self, now: Time) -> bool {
        let is_due = self.says_all || self.says_owned || now >= self.next_heartbeat;
        is_due && !self.waits_for_heartbeat()
    }

    fn waits_for_heartbeat(&self) -> bool {
        self.asked.iter().any(|asked| matches!(asked, Asked::Join | Asked::Heartbeat))
    }

    fn ask_to_leave(&mut self) {
        let is_static = self.me.instance_id.is_some();
        let generation = if is_static { LEAVES_FOR_A_WHILE } else { LEAVES };
        let member = MemberRef { generation, ..self.me.clone() };
        let heartbeat = ConsumerHeartbeat { member, settings: None, owned: None };
        self.ask(Asked::Leave, GroupRequest::ConsumerHeartbeat(heartbeat));
        self.may_be_known = false;
    }

    fn accepted(&mut self, accepted: HeartbeatAccepted) {
        if let Some(id) = accepted.member_id {
            self.me.member_id = id;
        }
        self.me.generation = accepted.epoch;
        self.waits_since = None;
        self.interval = accepted.interval.max(INTERVAL_MIN);
        self.next_heartbeat = self.now + self.interval;
        match accepted.assignment {
            None => {}
            Some(TargetAssignment::Known(partitions)) => {
                self.target = partitions;
                self.waits_for_topic = false;
            }
            Some(TargetAssignment::UnknownTopic) => self.waits_for_topic = true,
        }
        if self.state == State::Joining {
            self.state = State::Up;
        }
        self.reconcile();
    }

    /// Gives up the partitions that are not in the assignment; if there are none, takes the new ones.
    fn reconcile(&mut self) {
        if self.state != State::Up {
            return;
        }
        let target = &self.target;
        let gone: Vec<_> =
            self.owned.iter().copied().filter(|owned| !target.contains(owned)).collect();
        if !gone.is_empty() {
            self.state = State::GivingUp;
            self.giving_up.clone_from(&gone);
            self.forget_questions(&gone);
            return self.events.push(MemberEvent::Revoke(gone));
        }
        let added: Vec<_> =
            target.iter().copied().filter(|new| !self.owned.contains(new)).collect();
        if !added.is_empty() {
            self.owned.clone_from(&self.target);
            self.says_owned = true;
            self.ask_for_offsets(added);
        }
    }

    /// The previous owner committed before the coordinator assigned these partitions to this member. OffsetFetch is
    /// sent without the member's epoch, so that a change of the epoch in between does not make it fail.
    fn ask_for_offsets(&mut self, added: Vec<PartitionId>) {
        self.ask(Asked::Offsets(added.clone()), GroupRequest::FetchOffsets(added));
    }

    /// Drops questions for the offsets of partitions that are not assigned any more.
    fn forget_questions(&mut self, gone: &[PartitionId]) {
        for asked in &mut self.asked {
            if let Asked::Offsets(added) = asked {
                added.retain(|partition| !gone.contains(partition));
            }
        }
    }

    fn put_commit(&mut self, commit: Commit) {
        let (member, offsets) = (Some(self.me.clone()), commit.offsets.clone());
        self.committed.extend(&offsets);
        let commit = Commit { epoch: self.me.generation, tries: commit.tries + 1, ..commit };
        self.ask(Asked::Commit(commit), GroupRequest::Commit { member, offsets });
    }

    fn committed(&mut self, mut commit: Commit, result: Result<(), GroupError>) {
        // The heartbeat whose response raised the epoch was in flight at the same time.
        let is_out_of_date = result == Err(GroupError::StaleMemberEpoch)
            && commit.epoch != self.me.generation
            && commit.tries < COMMIT_TRIES_MAX;
        if is_out_of_date && self.is_in() {
            let (owned, sent) = (&self.owned, &self.committed);
            commit.offsets.retain(|partition, next| {
                owned.contains(partition) && sent.get(partition) <= Some(&*next)
            });
            if !commit.offsets.is_empty() {
                return self.put_commit(commit);
            }
        }
        if result.is_err() && self.is_in() {
            // The response to the next heartbeat has the state of this member.
            self.next_heartbeat = self.now;
        }
        if commit.is_last {
            self.go_on();
        }
    }

    /// The partitions to give up were given up. The next heartbeat reports that, so that others can get them.
    fn go_on(&mut self) {
        if self.state != State::GivingUp {
            return;
        }
        let gone = mem::take(&mut self.giving_up);
        self.owned.retain(|owned| !gone.contains(owned));
        self.committed.retain(|partition, _| !gone.contains(partition));
        self.says_owned = true;
        self.state = State::Up;
        self.reconcile();
    }

    /// The member has lost all its partitions.
    fn lose(&mut self) {
        self.giving_up.clear();
        self.target.clear();
        self.committed.clear();
        self.waits_for_topic = false;
        self.me.generation = JOINS;
        let owned = mem::take(&mut self.owned);
        self.forget_questions(&owned);
        if !owned.is_empty() {
            self.events.push(MemberEvent::Lost(owned));
        }
    }

    fn end(&mut self, event: MemberEvent) {
        self.lose();
        (self.state, self.may_be_known) = (State::Gone, false);
        self.events.push(event);
    }

    /// True while it may wait for a predecessor that could not leave.
    fn may_wait_for_its_instance_id(&mut self) -> bool {
        self.now < *self.waits_since.get_or_insert(self.now) + LONGEST_SESSION_OF_BROKERS
    }

    /// Handles an error response to a heartbeat. `joins` is true for the first one.
    fn refused(&mut self, error: GroupError, joins: bool) {
        match error {
            GroupError::FencedMemberEpoch
            | GroupError::UnknownMemberId
            | GroupError::StaleMemberEpoch => {
                self.lose();
                // A coordinator that refuses every join is not asked again without a pause.
                let pause = if joins { self.interval } else { Duration::ZERO };
                self.state = State::Outside(self.now + pause);
            }
            GroupError::Rejected("UnreleasedInstanceId")
                if joins && self.may_wait_for_its_instance_id() =>
            {
                self.may_be_known = false;
                self.state = State::Outside(self.now + INSTANCE_ID_INTERVAL);
            }
            GroupError::FencedInstanceId => self.end(MemberEvent::Fenced),
            GroupError::Rejected(name) => self.end(MemberEvent::Refused(name)),
            GroupError::InconsistentGroupProtocol => {
                self.end(MemberEvent::Refused("InconsistentGroupProtocol"));
            }
            // Errors of the classic protocol.
            GroupError::IllegalGeneration
            | GroupError::MemberIdRequired
            | GroupError::RebalanceInProgress => self.end(MemberEvent::Refused("InvalidRequest")),
            // The host finds the coordinator first.
            GroupError::NotCoordinator | GroupError::Unavailable => self.disconnected(),
        }
    }

    fn answered(&mut self, asked: Asked, response: GroupResponse) {
        match (asked, response) {
            (Asked::Join, GroupResponse::ConsumerHeartbeat(Ok(accepted)))
                if self.state == State::Joining =>
            {
                self.accepted(accepted);
            }
            (Asked::Heartbeat, GroupResponse::ConsumerHeartbeat(Ok(accepted))) if self.is_in() => {
                self.accepted(accepted);
            }
            (Asked::Join, GroupResponse::ConsumerHeartbeat(Err(error)))
                if self.state == State::Joining =>
            {
                self.refused(error, true);
            }
            (Asked::Heartbeat, GroupResponse::ConsumerHeartbeat(Err(error))) if self.is_in() => {
                self.refused(error, false);
            }
            (Asked::Commit(commit), GroupResponse::Done(result)) => self.committed(commit, result),
            (Asked::Offsets(added), GroupResponse::Offsets(offsets)) if !added.is_empty() => {
                let from = |partition: PartitionId| (partition, offsets.get(&partition).copied());
                self.events.push(MemberEvent::Assigned(added.into_iter().map(from).collect()));
            }
            (Asked::Offsets(added), GroupResponse::Done(Err(error))) if !added.is_empty() => {
                self.refused(error, false);
            }
            // The response belongs to an earlier state of this member.
            _ => {}
        }
    }
}

impl MemberProtocol for ConsumerMember {
    fn outbox(&mut self) -> Vec<GroupRequest> {
        mem::take(&mut self.outbox)
    }

    fn events(&mut self) -> Vec<MemberEvent> {
        mem::take(&mut self.events)
    }

    fn owned(&self) -> &[PartitionId] {
        &self.owned
    }

    fn tick(&mut self, now: Time) -> Time {
        self.now = now;
        match self.state {
            State::Outside(not_before) if now >= not_before => self.join(),
            State::Up | State::GivingUp if self.has_to_say(now) => self.heartbeat(),
            _ => {}
        }
        match self.state {
            State::Outside(not_before) => not_before,
            State::Up | State::GivingUp if !self.waits_for_heartbeat() => self.next_heartbeat,
            _ => Time::NEVER,
        }
    }

    fn commit(&mut self, mut offsets: BTreeMap<PartitionId, Offset>) {
        offsets.retain(|partition, _| self.owned.contains(partition));
        if self.is_in() && !offsets.is_empty() {
            let epoch = self.me.generation;
            self.put_commit(Commit { offsets, epoch, is_last: false, tries: 0 });
        }
    }

    fn given_up(&mut self, offsets: BTreeMap<PartitionId, Offset>) {
        if self.state != State::GivingUp {
            return;
        }
        if offsets.is_empty() {
            return self.go_on();
        }
        let epoch = self.me.generation;
        self.put_commit(Commit { offsets, epoch, is_last: true, tries: 0 });
    }

    /// A static member announces that it will be back. It keeps its partitions until the session timeout.
    fn leave(&mut self) {
        if self.may_be_known {
            self.ask_to_leave();
        }
        self.state = State::Gone;
    }

    /// Sends nothing: the session timeout removes the member. One that holds its instance id has to leave.
    fn crash(&mut self) {
        match self.holds_instance_id {
            true => self.leave(),
            false => self.state = State::Gone,
        }
    }

    fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    fn poll_timed_out(&mut self) {
        if self.state == State::Up {
            self.ask_to_leave();
            self.lose();
            self.state = State::Silent;
        }
    }

    fn asked_for_records(&mut self) {
        if self.state == State::Silent {
            self.state = State::Outside(Time::ZERO);
        }
    }

    fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// After a reconnect the coordinator gets a full heartbeat. The last commit before partitions are given up is sent
    /// again, and so are questions for offsets. Other commits are followed by later ones.
    fn disconnected(&mut self) {
        let asked = mem::take(&mut self.asked);
        self.outbox.clear();
        self.asked_at = None;
        if self.state == State::Joining {
            self.state = State::Outside(Time::ZERO);
        }
        self.says_all = self.is_in();
        for asked in asked {
            match asked {
                Asked::Offsets(added) if !added.is_empty() => self.ask_for_offsets(added),
                Asked::Commit(commit) if commit.is_last && self.state == State::GivingUp => {
                    self.put_commit(Commit { tries: 0, ..commit });
                }
                Asked::Leave => self.may_be_known = true,
                _ => {}
            }
        }
    }

    fn overdue(&self, limit: Duration) -> Option<Time> {
        (!self.asked.is_empty()).then_some(self.asked_at? + limit)
    }

    fn receive(&mut self, response: GroupResponse, now: Time) {
        let Some(asked) = self.asked.pop_front() else { return };
        self.now = now;
        self.asked_at = (!self.asked.is_empty()).then_some(now);
        if self.state != State::Gone {
            self.answered(asked, response);
        }
    }

    fn waits_for_topic(&self) -> bool {
        self.waits_for_topic
    }

    /// The next heartbeat that is due is a full one, and its response has the assignment again. It is not sent early,
    /// because the id may still be unknown.
    fn topic_is_known(&mut self, _partitions: u32) {
        self.knows_topic |= mem::take(&mut self.waits_for_topic);
    }

    /// The broker sees the growth as well, and assigns the new partitions.
    fn topic_has_grown(&mut self) {}
}

#[cfg(test)]
mod tests;

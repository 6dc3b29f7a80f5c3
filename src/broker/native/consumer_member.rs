//! A member of a group of the consumer protocol (KIP-848): the broker assigns, and the member follows.
//!
//! ```text
//!             accepted           has what it is not to have
//!   Joining ───────────► Up ──────────────────────────────────► GivingUp
//!      ▲                  │ ▲        last commit answered          │
//!      │                  │ └──────────────────────────────────────┘
//!      └── fenced ◄───────┴────────────────────────────────────────┘
//! ```
//!
//! ConsumerGroupHeartbeat is the one request of the protocol. Its answer has what the member is to have. The member first
//! gives up what is missing there, with a last commit, and then takes what is new; the next heartbeat says what it has
//! now, and is sent at once. A heartbeat is sent when the one before is answered, never two at a time.
//!
//! A coordinator that may not know the member, or its last answer, is told everything (KIP-848, "full heartbeat"): after
//! a broken connection, and when the coordinator has moved. Then a member whose epoch has been raised meanwhile is not
//! fenced.
//!
//! Sources: KIP-848, KIP-1082, and the checks of Kafka's coordinator. Unlike members of a classic group, a member that
//! cannot reach its coordinator reads on, because it does not know the session timeout: that is the broker's.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::Duration;

use super::member_protocol::{ConsumerProtocolSettings, MemberEvent, MemberProtocol};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::group::{
    ConsumerHeartbeat, GroupError, GroupRequest, GroupResponse, HeartbeatAccepted,
    HeartbeatSettings, JOINS, LEAVES, LEAVES_FOR_A_WHILE, MemberRef, TargetAssignment,
};

/// What a request was, for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Join,
    Heartbeat,
    Leave,
    /// A commit with what is needed to repeat it.
    Commit(Commit),
    Offsets(Vec<PartitionId>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Commit {
    offsets: BTreeMap<PartitionId, Offset>,
    epoch: i32,
    /// Whether partitions are given up once it is answered.
    is_last: bool,
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Joins at the next tick that is not before this time.
    Outside(Time),
    /// Waits for the answer to that.
    Joining,
    /// Reads.
    Up,
    /// Waits for the consumer to stop reading, and for the last commit.
    GivingUp,
    /// Left because no records were asked for; joins when they are.
    Silent,
    /// Left, fenced or refused.
    Gone,
}

/// How often a commit is sent whose epoch was out of date.
const COMMIT_TRIES_MAX: u32 = 3;
/// Until a coordinator has said how often it wants to be told.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);
/// The least interval of heartbeats, whatever a coordinator says, and of tries to join.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A member of a group of the consumer protocol. See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct ConsumerMember {
    wants: HeartbeatSettings,
    holds_place: bool,
    me: MemberRef,
    state: State,
    /// What it has, ascending, and what of that is being given up.
    owned: Vec<PartitionId>,
    giving_up: Vec<PartitionId>,
    /// What it is to have.
    target: Vec<PartitionId>,
    /// The offsets it has sent last, so that a commit which is repeated takes none of them back.
    committed: BTreeMap<PartitionId, Offset>,
    asked: VecDeque<Asked>,
    outbox: Vec<GroupRequest>,
    events: Vec<MemberEvent>,
    interval: Duration,
    /// When the next heartbeat is due.
    next_heartbeat: Time,
    /// What the next heartbeat has to say: everything, or what it has.
    says_all: bool,
    says_owned: bool,
    /// Whether it is to have partitions of a topic whose id is unknown, and whether that id should be known by now.
    waits_for_topic: bool,
    knows_topic: bool,
    /// When something was asked last, or answered, while questions are open; and the time of the last tick.
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
        let ConsumerProtocolSettings { member_id, assignor, holds_place } = settings;
        ConsumerMember {
            wants: HeartbeatSettings { rebalance_timeout, assignor },
            holds_place,
            me: MemberRef { member_id, instance_id, generation: JOINS },
            state: State::Outside(Time::ZERO),
            owned: Vec::new(),
            giving_up: Vec::new(),
            target: Vec::new(),
            committed: BTreeMap::new(),
            asked: VecDeque::new(),
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

    fn join(&mut self) {
        self.state = State::Joining;
        self.me.generation = JOINS;
        (self.says_all, self.says_owned) = (false, false);
        let (member, settings) = (self.me.clone(), Some(self.wants));
        // A coordinator refuses a member that has something and joins, and one that does not say what it has.
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

    /// Whether a heartbeat may be sent, and is due or has something to say.
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
    }

    fn accepted(&mut self, accepted: HeartbeatAccepted) {
        if let Some(id) = accepted.member_id {
            self.me.member_id = id;
        }
        self.me.generation = accepted.epoch;
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

    /// Gives up what it is not to have any more; without that, takes what is new.
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

    /// The previous owner has committed before the coordinator gave these to this member. The question comes without the
    /// member's epoch, so that none is refused because it has changed meanwhile.
    fn ask_for_offsets(&mut self, added: Vec<PartitionId>) {
        self.ask(Asked::Offsets(added.clone()), GroupRequest::FetchOffsets(added));
    }

    /// Where these begin is not of interest any more.
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
        // The heartbeat whose answer has raised the epoch was under way at the same time.
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
            // The coordinator says with the next heartbeat what has become of this member.
            self.next_heartbeat = self.now;
        }
        if commit.is_last {
            self.go_on();
        }
    }

    /// What had to be given up is: the coordinator is told, and gives it to others.
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

    /// What it has is not its own any more.
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
        self.state = State::Gone;
        self.events.push(event);
    }

    /// A heartbeat was refused; `joins` if it was the first.
    fn refused(&mut self, error: GroupError, joins: bool) {
        match error {
            GroupError::FencedMemberEpoch
            | GroupError::UnknownMemberId
            | GroupError::StaleMemberEpoch => {
                self.lose();
                // A coordinator that refuses each join is not asked without a pause.
                let pause = if joins { self.interval } else { Duration::ZERO };
                self.state = State::Outside(self.now + pause);
            }
            GroupError::FencedInstanceId => self.end(MemberEvent::Fenced),
            GroupError::Rejected(name) => self.end(MemberEvent::Refused(name)),
            GroupError::InconsistentGroupProtocol => {
                self.end(MemberEvent::Refused("InconsistentGroupProtocol"));
            }
            // Of the classic protocol.
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
            // An answer to what this member was before.
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

    /// A static member says that it comes back: it keeps its partitions until the session timeout.
    fn leave(&mut self) {
        if self.is_in() || self.state == State::Joining {
            self.ask_to_leave();
        }
        self.state = State::Gone;
    }

    /// It says nothing any more, so the coordinator misses it after the session timeout.
    fn crash(&mut self) {
        if self.holds_place {
            self.leave();
        }
        self.state = State::Gone;
    }

    fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    fn fell_silent(&mut self) {
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

    /// Everything is said again to the coordinator that is found then. Commits before partitions are given up are sent
    /// again, and so is the question where partitions begin; other commits are followed by later ones.
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

    /// The next heartbeat that is due says everything, and its answer has the assignment again. It is not sent early: the
    /// id may be unknown still.
    fn topic_is_known(&mut self, _partitions: u32) {
        self.knows_topic |= mem::take(&mut self.waits_for_topic);
    }

    /// The broker sees it as well, and assigns.
    fn topic_has_grown(&mut self) {}
}

#[cfg(test)]
mod tests;

//! What a client knows of the cluster: who leads which partition, and which brokers it reaches.
//!
//! A group member's way to its coordinator: finds it, and finds it again when it has moved or is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Profile;
use super::member::{GroupMember, MemberEvent, MemberSettings};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::group::{GroupRequest, GroupResponse};
use crate::broker::protocol::{BrokerId, Request};
use crate::broker::{GroupSpec, Positions};

/// Leaders, and the brokers' connections.
#[derive(Debug)]
pub(super) struct Metadata {
    profile: Profile,
    /// By partition.
    leaders: Vec<Option<BrokerId>>,
    state: State,
    /// The broker that is asked next.
    ask: BrokerId,
    /// Not before then, and how much later after the next time.
    not_before: Time,
    backoff: Duration,
    brokers: Vec<Reach>,
    /// How many of these connections are broken. Hardly ever one, and every record asks.
    broken: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Asked(BrokerId, Time),
    Known,
}

/// Whether a broker can be reached.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// Its connection broke; the next one is not made before then.
    not_before: Time,
    /// How long after the next time.
    backoff: Duration,
    is_broken: bool,
}

impl Metadata {
    pub(super) fn new(profile: Profile) -> Metadata {
        let backoff = profile.reconnect_backoff;
        let reach = Reach { not_before: Time::ZERO, backoff, is_broken: false };
        Metadata {
            leaders: Vec::new(),
            state: State::Unknown,
            ask: 0,
            not_before: Time::ZERO,
            backoff: profile.retry_backoff,
            brokers: vec![reach; profile.brokers as usize],
            broken: 0,
            profile,
        }
    }

    /// Whether all leaders are known and every broker is reached.
    #[inline]
    pub(super) fn all_leaders_known(&self) -> bool {
        self.state == State::Known && self.broken == 0
    }

    /// Number of partitions, as far as it knows.
    pub(super) fn partitions(&self) -> usize {
        self.leaders.len()
    }

    /// Who leads a partition and can be reached.
    #[inline]
    pub(super) fn leader(&self, partition: PartitionId, now: Time) -> Option<BrokerId> {
        let leader = (*self.leaders.get(partition.0 as usize)?)?;
        let reach = &self.brokers[leader as usize];
        (!reach.is_broken || reach.not_before <= now).then_some(leader)
    }

    /// A broker that can be reached, for what any of them can answer.
    pub(super) fn any(&mut self, now: Time) -> Option<BrokerId> {
        let count = self.brokers.len() as BrokerId;
        let free = |id: &BrokerId| self.brokers[*id as usize].not_before <= now;
        (0..count).map(|step| (self.ask + step) % count).find(free)
    }

    /// What it knows may be wrong.
    pub(super) fn invalidate(&mut self, now: Time) {
        if self.state == State::Known {
            self.state = State::Unknown;
            self.not_before = self.not_before.max(now);
        }
    }

    /// Asks once more at the next opportunity, without a reason to believe that anything is wrong.
    pub(super) fn request_refresh(&mut self, now: Time) {
        if self.state == State::Known {
            self.state = State::Unknown;
            self.not_before = now;
        }
    }

    /// Asks for leaders if that is due; returns when something is due next.
    #[inline]
    pub(super) fn refresh(&mut self, now: Time, outbox: &mut Vec<(BrokerId, Request)>) -> Time {
        if let State::Known = self.state {
            return Time::NEVER;
        }
        self.look(now, outbox)
    }

    fn look(&mut self, now: Time, outbox: &mut Vec<(BrokerId, Request)>) -> Time {
        if let State::Asked(broker, since) = self.state {
            let limit = since + self.profile.request_timeout;
            if now < limit {
                return limit;
            }
            outbox.push((broker, Request::Close));
            self.broken(broker, now);
        }
        if now < self.not_before {
            return self.not_before;
        }
        let Some(broker) = self.any(now) else {
            return self.brokers.iter().map(|reach| reach.not_before).fold(Time::NEVER, Time::min);
        };
        self.state = State::Asked(broker, now);
        self.not_before = now + self.backoff;
        self.backoff = (self.backoff * 2).min(self.profile.retry_backoff_max);
        outbox.push((broker, Request::Metadata));
        now + self.profile.request_timeout
    }

    /// The leaders are these.
    pub(super) fn learn(&mut self, leaders: Vec<Option<BrokerId>>) {
        // A broker leads a partition; a partition without a leader is asked about again.
        self.state = if leaders.contains(&None) { State::Unknown } else { State::Known };
        if self.state == State::Known {
            self.backoff = self.profile.retry_backoff;
        }
        self.leaders = leaders;
    }

    /// The question was refused.
    pub(super) fn refused(&mut self) {
        if let State::Asked(..) = self.state {
            self.state = State::Unknown;
        }
    }

    /// A broker has answered something.
    #[inline]
    pub(super) fn answered(&mut self, broker: BrokerId) {
        let reach = &mut self.brokers[broker as usize];
        if reach.is_broken {
            reach.is_broken = false;
            self.broken -= 1;
            reach.backoff = self.profile.reconnect_backoff;
        }
    }

    /// The connection to a broker is gone. Whether that is news.
    pub(super) fn broken(&mut self, broker: BrokerId, now: Time) -> bool {
        let reach = &mut self.brokers[broker as usize];
        if !reach.is_broken || reach.not_before <= now {
            reach.not_before = now + reach.backoff;
            reach.backoff = (reach.backoff * 2).min(self.profile.reconnect_backoff_max);
        }
        let is_news = !std::mem::replace(&mut reach.is_broken, true);
        self.broken += u32::from(is_news);
        if matches!(self.state, State::Asked(asked, _) if asked == broker) {
            self.state = State::Unknown;
        }
        self.ask = (broker + 1) % self.brokers.len() as BrokerId;
        self.invalidate(now);
        is_news
    }

    /// When the next of the brokers that are out of reach is tried again.
    #[inline]
    pub(super) fn next_try(&self, now: Time) -> Time {
        match self.broken {
            0 => Time::NEVER,
            _ => self.next_try_of_any(now),
        }
    }

    fn next_try_of_any(&self, now: Time) -> Time {
        let out = self.brokers.iter().filter(|reach| reach.is_broken && reach.not_before > now);
        out.map(|reach| reach.not_before).fold(Time::NEVER, Time::min)
    }
}

/// A member and its coordinator.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) member: GroupMember,
    profile: Profile,
    /// How far the host is, for the commit before partitions are given up.
    positions: Positions,
    crashed: Arc<AtomicBool>,
    coordinator: Coordinator,
    /// Whether the host has asked for records since the last tick, and when it last did.
    pub(super) polled: bool,
    last_poll: Time,
    /// `max.poll.interval.ms`.
    max_poll: Duration,
    /// What the member has to say once its coordinator is known.
    held: Vec<GroupRequest>,
    topic: TopicLook,
}

/// How a member looks whether its topic has grown.
#[derive(Debug)]
struct TopicLook {
    /// How often; `None` for never.
    refresh: Option<Duration>,
    next: Time,
    /// Whether the answer to that is on its way, and whether that to the leader's question is.
    is_searching: bool,
    has_asked: bool,
    /// What was seen last.
    partitions: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coordinator {
    /// To be looked for, not before this time.
    Unknown(Time),
    Asked(BrokerId, Time),
    Known(BrokerId),
}

impl Membership {
    pub(super) fn new(settings: MemberSettings, profile: Profile, spec: &GroupSpec) -> Membership {
        Membership {
            polled: false,
            last_poll: Time::ZERO,
            max_poll: settings.rebalance_timeout,
            topic: TopicLook {
                refresh: settings.topic_refresh,
                next: Time::ZERO,
                is_searching: false,
                has_asked: false,
                partitions: None,
            },
            member: GroupMember::new(settings),
            profile,
            positions: spec.positions.clone(),
            crashed: spec.crashed.clone(),
            coordinator: Coordinator::Unknown(Time::ZERO),
            held: Vec::new(),
        }
    }

    /// Leaves the group when no records are asked for, and comes back when they are. Returns when it wants to
    /// look again.
    fn watch_polls(&mut self, now: Time) -> Time {
        if std::mem::take(&mut self.polled) {
            self.last_poll = now;
            self.member.asked_for_records();
        } else if now >= self.last_poll + self.max_poll {
            self.member.fell_silent();
        }
        if self.member.is_up() { self.last_poll + self.max_poll } else { Time::NEVER }
    }

    /// Next offsets to process of `partitions`, as far as they may be committed.
    pub(super) fn progress(&self, partitions: &[PartitionId]) -> BTreeMap<PartitionId, Offset> {
        if self.crashed.load(Ordering::Acquire) {
            return BTreeMap::new();
        }
        let next = |id: &PartitionId| Some((*id, self.positions.next(*id)?));
        partitions.iter().filter_map(next).collect()
    }

    /// Sends what the member has to say. Its events.
    pub(super) fn tell(&mut self, outbox: &mut Vec<(BrokerId, Request)>) -> Vec<MemberEvent> {
        self.held.extend(self.member.outbox());
        if let Coordinator::Known(broker) = self.coordinator {
            let held = self.held.drain(..);
            outbox.extend(held.map(|request| (broker, Request::Group(Box::new(request)))));
        }
        self.member.events()
    }

    /// Asks how many partitions there are: at its interval, and before it deals them out, as librdkafka does. Returns
    /// when it is due again.
    fn look_at_topic(
        &mut self,
        now: Time,
        metadata: &mut Metadata,
        outbox: &mut Vec<(BrokerId, Request)>,
    ) -> Time {
        let Some(refresh) = self.topic.refresh else { return Time::NEVER };
        if now >= self.topic.next {
            self.topic.next = now + refresh;
            self.topic.is_searching = true;
            metadata.request_refresh(now);
        }
        if self.member.is_dealing() && !self.topic.has_asked {
            self.topic.has_asked = true;
            metadata.request_refresh(now);
        }
        if self.topic.is_searching || self.member.is_dealing() {
            self.topic.next.min(metadata.refresh(now, outbox))
        } else {
            self.topic.next
        }
    }

    /// A broker reports the topic's number of partitions. A topic never shrinks: a broker that reports fewer was cut
    /// off from the others.
    pub(super) fn topic_has(&mut self, partitions: u32) {
        let topic = &mut self.topic;
        let most = partitions.max(topic.partitions.unwrap_or(0));
        if std::mem::take(&mut topic.is_searching)
            && topic.partitions.replace(most).is_some_and(|before| before < most)
        {
            self.member.topic_has_grown();
        }
        self.topic.has_asked = false;
        self.member.deal(most);
    }

    /// Does what is due, and says when something is due next.
    pub(super) fn tick(
        &mut self,
        now: Time,
        metadata: &mut Metadata,
        outbox: &mut Vec<(BrokerId, Request)>,
    ) -> Time {
        let next = self.tick_member(now, metadata, outbox);
        next.min(self.look_at_topic(now, metadata, outbox))
    }

    fn tick_member(
        &mut self,
        now: Time,
        metadata: &mut Metadata,
        outbox: &mut Vec<(BrokerId, Request)>,
    ) -> Time {
        let look = self.watch_polls(now);
        let member = self.member.tick(now).min(look);
        let limit = match self.coordinator {
            Coordinator::Known(_) => self.member.overdue(self.profile.request_timeout),
            Coordinator::Asked(_, since) => Some(since + self.profile.request_timeout),
            Coordinator::Unknown(_) => None,
        };
        if let (Some(limit), Coordinator::Known(broker) | Coordinator::Asked(broker, _)) =
            (limit, self.coordinator)
        {
            if limit > now {
                return member.min(limit);
            }
            outbox.push((broker, Request::Close));
            metadata.broken(broker, now);
            self.disconnected(broker, now);
        }
        let Coordinator::Unknown(not_before) = self.coordinator else { return member };
        if now < not_before {
            return member.min(not_before);
        }
        let Some(broker) = metadata.any(now) else {
            return member.min(metadata.next_try(now));
        };
        self.coordinator = Coordinator::Asked(broker, now);
        outbox.push((broker, Request::FindCoordinator));
        member.min(now + self.profile.request_timeout)
    }

    /// The coordinator is this broker.
    pub(super) fn found(&mut self, broker: BrokerId) {
        self.coordinator = Coordinator::Known(broker);
    }

    /// The question who it is was refused.
    pub(super) fn not_found(&mut self, now: Time) {
        if let Coordinator::Asked(..) = self.coordinator {
            self.coordinator = Coordinator::Unknown(now + self.profile.retry_backoff);
        }
    }

    /// Takes the coordinator's answer.
    pub(super) fn receive(&mut self, broker: BrokerId, response: GroupResponse, now: Time) {
        if self.coordinator != Coordinator::Known(broker) {
            return;
        }
        if response.is_not_coordinator() {
            self.lose_coordinator(now);
        } else {
            self.member.receive(response, now);
        }
    }

    /// A connection is gone.
    pub(super) fn disconnected(&mut self, broker: BrokerId, now: Time) {
        match self.coordinator {
            Coordinator::Known(own) | Coordinator::Asked(own, _) if own == broker => {
                self.lose_coordinator(now);
            }
            _ => {}
        }
    }

    fn lose_coordinator(&mut self, now: Time) {
        self.coordinator = Coordinator::Unknown(now + self.profile.retry_backoff);
        self.held.clear();
        self.member.disconnected();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn asked(outbox: &mut Vec<(BrokerId, Request)>) -> Vec<BrokerId> {
        let asks = |(broker, request)| matches!(request, Request::Metadata).then_some(broker);
        outbox.drain(..).filter_map(asks).collect()
    }

    #[test]
    fn another_broker_is_asked_when_one_does_not_answer_and_each_time_later() {
        let mut metadata = Metadata::new(Profile { brokers: 3, ..Profile::default() });
        let mut outbox = Vec::new();
        metadata.refresh(Time(0), &mut outbox);
        assert_eq!(asked(&mut outbox), [0]);
        assert!(metadata.broken(0, Time(MS)) && !metadata.broken(0, Time(2 * MS)));
        assert_eq!(metadata.refresh(Time(2 * MS), &mut outbox), Time(100 * MS));
        metadata.refresh(Time(100 * MS), &mut outbox);
        assert_eq!(asked(&mut outbox), [1]);
        metadata.learn(vec![Some(0), Some(1)]);
        assert_eq!(metadata.refresh(Time(101 * MS), &mut outbox), Time::NEVER);
        assert_eq!(metadata.leader(PartitionId(0), Time(100 * MS)), None, "out of reach");
        assert_eq!(metadata.leader(PartitionId(0), Time(101 * MS)), Some(0), "tried again");
        metadata.answered(0);
        assert_eq!(metadata.leader(PartitionId(0), Time(0)), Some(0));
    }

    #[test]
    fn partitions_without_a_leader_are_asked_about_until_they_have_one() {
        let mut metadata = Metadata::new(Profile::default());
        let mut outbox = Vec::new();
        metadata.refresh(Time(0), &mut outbox);
        metadata.learn(vec![None]);
        assert_eq!(metadata.refresh(Time(0), &mut outbox), Time(100 * MS));
        metadata.refresh(Time(100 * MS), &mut outbox);
        metadata.learn(vec![None]);
        assert_eq!(metadata.refresh(Time(100 * MS), &mut outbox), Time(300 * MS));
    }
}

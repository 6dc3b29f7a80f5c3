//! What a client knows of the cluster: who leads which partition, and which brokers it reaches.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Profile;
use crate::base::{PartitionId, Time};
use crate::broker::protocol::{BrokerId, Outbox, Request};

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
    /// Partitions whose leader was named by the one before it, since all leaders were asked for last.
    moved: BTreeSet<PartitionId>,
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

impl Reach {
    fn new(profile: &Profile) -> Reach {
        Reach { not_before: Time::ZERO, backoff: profile.reconnect_backoff, is_broken: false }
    }
}

impl Metadata {
    pub(super) fn new(profile: Profile) -> Metadata {
        Metadata {
            leaders: Vec::new(),
            state: State::Unknown,
            ask: 0,
            not_before: Time::ZERO,
            backoff: profile.retry_backoff,
            brokers: vec![Reach::new(&profile); profile.brokers as usize],
            broken: 0,
            moved: BTreeSet::new(),
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
    pub(super) fn refresh(&mut self, now: Time, outbox: &mut Outbox) -> Time {
        if let State::Known = self.state {
            return Time::NEVER;
        }
        self.look(now, outbox)
    }

    fn look(&mut self, now: Time, outbox: &mut Outbox) -> Time {
        if let State::Asked(broker, since) = self.state {
            let limit = since + self.profile.request_timeout;
            if now < limit {
                return limit;
            }
            outbox.push((now, broker, Request::Close));
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
        outbox.push((now, broker, Request::Metadata));
        now + self.profile.request_timeout
    }

    /// There are `count` brokers now.
    pub(super) fn brokers_are(&mut self, count: u32) {
        let count = self.brokers.len().max(count as usize);
        self.brokers.resize(count, Reach::new(&self.profile));
    }

    /// A partition's leader as the one before it names it. Counts once until all leaders are asked for: two brokers that
    /// name each other must not be asked in turn without a pause.
    pub(super) fn leader_is(&mut self, partition: PartitionId, leader: BrokerId) {
        if let Some(known) = self.leaders.get_mut(partition.0 as usize)
            && self.moved.insert(partition)
        {
            *known = Some(leader);
        }
    }

    /// Whether `broker` has refused as a leader that has named another one, which is known by now.
    pub(super) fn has_moved_from(&self, broker: BrokerId, partition: PartitionId) -> bool {
        let leader = self.leaders.get(partition.0 as usize).copied().flatten();
        self.moved.contains(&partition) && leader.is_some_and(|leader| leader != broker)
    }

    /// The leaders are these.
    pub(super) fn learn(&mut self, leaders: Vec<Option<BrokerId>>) {
        self.moved.clear();
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn asked(outbox: &mut Outbox) -> Vec<BrokerId> {
        let asks = |(_, broker, request)| matches!(request, Request::Metadata).then_some(broker);
        outbox.drain(..).filter_map(asks).collect()
    }

    #[test]
    fn another_broker_is_asked_when_one_does_not_answer_and_each_time_later() {
        let mut metadata = Metadata::new(Profile { brokers: 3, ..Profile::default() });
        let mut outbox = Outbox::new();
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
        let mut outbox = Outbox::new();
        metadata.refresh(Time(0), &mut outbox);
        metadata.learn(vec![None]);
        assert_eq!(metadata.refresh(Time(0), &mut outbox), Time(100 * MS));
        metadata.refresh(Time(100 * MS), &mut outbox);
        metadata.learn(vec![None]);
        assert_eq!(metadata.refresh(Time(100 * MS), &mut outbox), Time(300 * MS));
    }
}

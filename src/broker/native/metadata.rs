//! The metadata of a client: the leader of each partition, and the brokers that can be reached.

use std::collections::BTreeSet;
use std::time::Duration;

use super::NativeSettings;
use crate::base::{PartitionId, Time};
use crate::broker::protocol::{BrokerId, Outbox, Request};

/// Leaders of partitions, and connections to brokers.
#[derive(Debug)]
pub(super) struct Metadata {
    settings: NativeSettings,
    /// Index: the partition.
    leaders: Vec<Option<BrokerId>>,
    state: State,
    /// The broker to ask next.
    ask: BrokerId,
    /// No question before this time, and the backoff after the next one.
    not_before: Time,
    backoff: Duration,
    brokers: Vec<Reach>,
    /// Number of broken connections. It is almost always 0, and is read for every record.
    broken: u32,
    /// Partitions whose new leader was named by the old one, since all leaders were last asked for.
    moved: BTreeSet<PartitionId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Asked(BrokerId, Time),
    Known,
}

/// The state of the connection to a broker.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// The connection broke, and is not made again before this time.
    not_before: Time,
    /// Backoff after the next failure.
    backoff: Duration,
    is_broken: bool,
}

impl Reach {
    fn new(settings: &NativeSettings) -> Reach {
        Reach { not_before: Time::ZERO, backoff: settings.reconnect_backoff, is_broken: false }
    }
}

impl Metadata {
    pub(super) fn new(settings: NativeSettings) -> Metadata {
        Metadata {
            leaders: Vec::new(),
            state: State::Unknown,
            ask: 0,
            not_before: Time::ZERO,
            backoff: settings.retry_backoff,
            brokers: vec![Reach::new(&settings); settings.brokers as usize],
            broken: 0,
            moved: BTreeSet::new(),
            settings,
        }
    }

    /// True if all leaders are known and all brokers can be reached.
    #[inline]
    pub(super) fn all_leaders_known(&self) -> bool {
        self.state == State::Known && self.broken == 0
    }

    /// Number of known partitions.
    pub(super) fn partitions(&self) -> usize {
        self.leaders.len()
    }

    /// The leader of a partition, if it can be reached.
    #[inline]
    pub(super) fn leader(&self, partition: PartitionId, now: Time) -> Option<BrokerId> {
        let leader = (*self.leaders.get(partition.0 as usize)?)?;
        let reach = &self.brokers[leader as usize];
        (!reach.is_broken || reach.not_before <= now).then_some(leader)
    }

    /// A broker that can be reached, for a request that each broker can answer.
    pub(super) fn any(&mut self, now: Time) -> Option<BrokerId> {
        let count = self.brokers.len() as BrokerId;
        let free = |id: &BrokerId| self.brokers[*id as usize].not_before <= now;
        (0..count).map(|step| (self.ask + step) % count).find(free)
    }

    /// Notes that the metadata may be wrong.
    pub(super) fn invalidate(&mut self, now: Time) {
        if self.state == State::Known {
            self.state = State::Unknown;
            self.not_before = self.not_before.max(now);
        }
    }

    /// Asks once more at the next opportunity, although nothing indicates that the metadata are wrong.
    pub(super) fn request_refresh(&mut self, now: Time) {
        if self.state == State::Known {
            self.state = State::Unknown;
            self.not_before = now;
        }
    }

    /// Asks for leaders if that is due. Returns the time of the next call.
    #[inline]
    pub(super) fn refresh(&mut self, now: Time, outbox: &mut Outbox) -> Time {
        if let State::Known = self.state {
            return Time::NEVER;
        }
        self.look(now, outbox)
    }

    fn look(&mut self, now: Time, outbox: &mut Outbox) -> Time {
        if let State::Asked(broker, since) = self.state {
            let limit = since + self.settings.request_timeout;
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
        self.backoff = (self.backoff * 2).min(self.settings.retry_backoff_max);
        outbox.push((now, broker, Request::Metadata));
        now + self.settings.request_timeout
    }

    /// Sets the number of brokers.
    pub(super) fn brokers_are(&mut self, count: u32) {
        let count = self.brokers.len().max(count as usize);
        self.brokers.resize(count, Reach::new(&self.settings));
    }

    /// Sets the leader that a former leader named. That counts once until all leaders are asked for, because two
    /// brokers that name each other must not be asked in turn without a pause.
    pub(super) fn leader_is(&mut self, partition: PartitionId, leader: BrokerId) {
        if let Some(known) = self.leaders.get_mut(partition.0 as usize)
            && self.moved.insert(partition)
        {
            *known = Some(leader);
        }
    }

    /// True if `broker` is a former leader that has named its successor.
    pub(super) fn has_moved_from(&self, broker: BrokerId, partition: PartitionId) -> bool {
        let leader = self.leaders.get(partition.0 as usize).copied().flatten();
        self.moved.contains(&partition) && leader.is_some_and(|leader| leader != broker)
    }

    /// Sets all leaders.
    pub(super) fn learn(&mut self, leaders: Vec<Option<BrokerId>>) {
        self.moved.clear();
        // A partition without a leader is asked for again.
        self.state = if leaders.contains(&None) { State::Unknown } else { State::Known };
        if self.state == State::Known {
            self.backoff = self.settings.retry_backoff;
        }
        self.leaders = leaders;
    }

    /// Notes an error response to the question for leaders.
    pub(super) fn refused(&mut self) {
        if let State::Asked(..) = self.state {
            self.state = State::Unknown;
        }
    }

    /// Notes a response of a broker.
    #[inline]
    pub(super) fn answered(&mut self, broker: BrokerId) {
        let reach = &mut self.brokers[broker as usize];
        if reach.is_broken {
            reach.is_broken = false;
            self.broken -= 1;
            reach.backoff = self.settings.reconnect_backoff;
        }
    }

    /// Notes that the connection to a broker broke. Returns true if it was not known to be broken.
    pub(super) fn broken(&mut self, broker: BrokerId, now: Time) -> bool {
        let reach = &mut self.brokers[broker as usize];
        if !reach.is_broken || reach.not_before <= now {
            reach.not_before = now + reach.backoff;
            reach.backoff = (reach.backoff * 2).min(self.settings.reconnect_backoff_max);
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

    /// Time of the next attempt to reach a broker.
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
        let mut metadata =
            Metadata::new(NativeSettings { brokers: 3, ..NativeSettings::default() });
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
        let mut metadata = Metadata::new(NativeSettings::default());
        let mut outbox = Outbox::new();
        metadata.refresh(Time(0), &mut outbox);
        metadata.learn(vec![None]);
        assert_eq!(metadata.refresh(Time(0), &mut outbox), Time(100 * MS));
        metadata.refresh(Time(100 * MS), &mut outbox);
        metadata.learn(vec![None]);
        assert_eq!(metadata.refresh(Time(100 * MS), &mut outbox), Time(300 * MS));
    }
}

//! The replicas of one partition: its leader, the in-sync replicas, and the high watermark.
//!
//! Only offsets, no records: the log is kept once, and truncated where a new leader's copy ends. The rules follow
//! Kafka's `Partition` and the elections of its controller (KIP-101 for truncation by leader epoch).

use std::time::Duration;

use crate::base::Time;
use crate::broker::protocol::BrokerId;

/// The replicas of a partition. See the documentation of the module.
#[derive(Clone, Debug)]
pub struct Replicas {
    /// The replicas, in the order in which they are preferred as leaders.
    copies: Vec<Replica>,
    leader: Option<BrokerId>,
    epoch: i32,
    high_watermark: i64,
    /// True if the leader or the in-sync replicas have changed since the last call of `take_changed`.
    is_changed: bool,
}

/// The copy of a broker.
#[derive(Clone, Debug)]
struct Replica {
    broker: BrokerId,
    is_up: bool,
    in_sync: bool,
    /// The offset that the next record gets in this copy.
    end: i64,
    /// Time at which the copy last had all records.
    caught_up: Time,
}

/// The effect of a change on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The leader is the same.
    None,
    /// Another broker leads. Its copy ends at `end`, and the records of the old leader after that are lost.
    Leader {
        /// The new leader.
        broker: BrokerId,
        /// The end of the new leader's copy.
        end: i64,
    },
    /// No in-sync replica is up: the partition is offline.
    Offline,
}

impl Replicas {
    /// Empty replicas on `brokers`, all of them up and in sync. The first one leads.
    pub fn new(brokers: &[BrokerId]) -> Replicas {
        let copy = |broker: &BrokerId| Replica {
            broker: *broker,
            is_up: true,
            in_sync: true,
            end: 0,
            caught_up: Time::ZERO,
        };
        Replicas {
            copies: brokers.iter().map(copy).collect(),
            leader: brokers.first().copied(),
            epoch: 0,
            high_watermark: 0,
            is_changed: true,
        }
    }

    /// The leader; `None` while the partition is offline.
    pub fn leader(&self) -> Option<BrokerId> {
        self.leader
    }

    /// True if the leader or the in-sync replicas may have changed since the last call.
    #[inline]
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// The leader epoch, which each election increases.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The high watermark: the offset after the last record that all in-sync replicas have. Consumers see the records
    /// before it.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// Number of replicas.
    pub fn copies(&self) -> usize {
        self.copies.len()
    }

    /// The broker of the replica with this index.
    pub fn broker(&self, place: usize) -> BrokerId {
        self.copies[place].broker
    }

    /// True if a replica lacks records, or may become in sync again.
    pub fn has_laggards(&self) -> bool {
        let end = self.leader_end();
        self.copies.iter().any(|copy| copy.end < end || !copy.in_sync)
    }

    /// The brokers that must have a record before it is acknowledged with `acks = all`.
    pub fn in_sync(&self) -> impl Iterator<Item = BrokerId> {
        self.copies.iter().filter(|copy| copy.in_sync).map(|copy| copy.broker)
    }

    /// The brokers with a replica that follow the leader now.
    pub fn followers(&self) -> impl Iterator<Item = BrokerId> {
        let follows = |copy: &&Replica| copy.is_up && Some(copy.broker) != self.leader;
        self.copies.iter().filter(follows).map(|copy| copy.broker)
    }

    /// Notes that the leader's log ends at `end` since `now`. True if the high watermark has moved.
    #[inline]
    pub fn appended(&mut self, end: i64, now: Time) -> bool {
        let (leader, before) = (self.leader, self.leader_end());
        let mut is_alone = true;
        for copy in &mut self.copies {
            if Some(copy.broker) == leader {
                copy.end = end;
                continue;
            }
            is_alone &= !copy.in_sync;
            if copy.end == before {
                // The replica had all records until now.
                copy.caught_up = now;
            }
        }
        // The other in-sync replicas have to fetch the records first.
        if is_alone {
            self.high_watermark = end;
        }
        is_alone
    }

    /// Notes a fetch of a follower from `offset`: it has all records before that. True if the high watermark has moved.
    ///
    /// A fetch that was overtaken by a later one is ignored: a follower loses records only through an election.
    pub fn fetched(&mut self, follower: BrokerId, offset: i64, now: Time) -> bool {
        let (end, watermark) = (self.leader_end(), self.high_watermark);
        let mut is_back = false;
        if let Some(copy) = self.copy(follower) {
            copy.end = copy.end.max(offset.min(end));
            if copy.end == end {
                copy.caught_up = now;
            }
            // The replica is in sync again once it has all records that consumers may have seen.
            is_back = !copy.in_sync && copy.is_up && copy.end >= watermark;
            copy.in_sync |= is_back;
        }
        self.is_changed |= is_back;
        self.advance()
    }

    /// Removes followers that have been behind for longer than `replica.lag.time.max.ms` from the in-sync replicas.
    /// True if the high watermark has moved.
    pub fn drop_laggards(&mut self, lag_time_max: Duration, now: Time) -> bool {
        let (leader, end) = (self.leader, self.leader_end());
        for copy in self.copies.iter_mut().filter(|copy| Some(copy.broker) != leader) {
            if copy.end < end && copy.caught_up + lag_time_max < now {
                self.is_changed |= std::mem::take(&mut copy.in_sync);
            }
        }
        self.advance()
    }

    /// Notes that a broker is down. If it was the leader, another in-sync replica leads now; with `unclean`, if
    /// necessary any one that is up.
    pub fn down(&mut self, broker: BrokerId, unclean: bool) -> Election {
        let others_in_sync = self.in_sync().any(|id| id != broker);
        self.is_changed = true;
        let Some(copy) = self.copy(broker) else { return Election::None };
        copy.is_up = false;
        // The last in-sync replica stays in sync: no other one may lead before it is up again.
        copy.in_sync &= !others_in_sync;
        if self.leader == Some(broker) {
            return self.elect(unclean);
        }
        self.advance();
        Election::None
    }

    /// Notes that a broker is up again, with the records that it had.
    pub fn up(&mut self, broker: BrokerId, unclean: bool) -> Election {
        if let Some(copy) = self.copy(broker) {
            copy.is_up = true;
        }
        if self.leader.is_some() { Election::None } else { self.elect(unclean) }
    }

    /// True if the preferred replica, the first one, leads.
    pub fn is_balanced(&self) -> bool {
        self.leader == self.copies.first().map(|copy| copy.broker)
    }

    /// Makes the preferred replica the leader if it is up and in sync. Records of the old leader that it lacks are
    /// lost, as in any election.
    pub fn prefer(&mut self) -> Election {
        match self.copies.first() {
            Some(copy) if copy.is_up && copy.in_sync && !self.is_balanced() => {
                self.lead(copy.broker, copy.end)
            }
            _ => Election::None,
        }
    }

    fn elect(&mut self, unclean: bool) -> Election {
        let candidate = |in_sync: bool| {
            self.copies.iter().find(|copy| copy.is_up && (copy.in_sync || !in_sync))
        };
        let chosen = candidate(true).or_else(|| unclean.then(|| candidate(false)).flatten());
        let Some((broker, end)) = chosen.map(|copy| (copy.broker, copy.end)) else {
            self.leader = None;
            self.is_changed = true;
            return Election::Offline;
        };
        self.lead(broker, end)
    }

    /// Makes `broker` the leader, with a copy that ends at `end`.
    fn lead(&mut self, broker: BrokerId, end: i64) -> Election {
        self.leader = Some(broker);
        self.is_changed = true;
        self.epoch += 1;
        self.high_watermark = self.high_watermark.min(end);
        for copy in &mut self.copies {
            // Followers drop the records that the new leader lacks.
            copy.end = copy.end.min(end);
            copy.in_sync = copy.broker == broker || (copy.in_sync && copy.is_up);
        }
        self.advance();
        Election::Leader { broker, end }
    }

    fn copy(&mut self, broker: BrokerId) -> Option<&mut Replica> {
        self.copies.iter_mut().find(|copy| copy.broker == broker)
    }

    fn leader_end(&self) -> i64 {
        let leads = |copy: &&Replica| Some(copy.broker) == self.leader;
        self.copies.iter().find(leads).map_or(self.high_watermark, |copy| copy.end)
    }

    /// Sets the high watermark to the end of the shortest in-sync copy. It never decreases here.
    fn advance(&mut self) -> bool {
        if self.leader.is_none() {
            return false;
        }
        let slowest = self.copies.iter().filter(|copy| copy.in_sync).map(|copy| copy.end).min();
        let before = self.high_watermark;
        self.high_watermark = before.max(slowest.unwrap_or(before));
        self.high_watermark > before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Time {
        Time(seconds * 1_000_000_000)
    }

    #[test]
    fn a_record_is_committed_when_every_in_sync_replica_has_it() {
        let mut replicas = Replicas::new(&[0, 1, 2]);
        assert!(!replicas.appended(10, at(0)));
        assert!(!replicas.fetched(1, 10, at(1)));
        assert!(replicas.fetched(2, 10, at(1)));
        assert_eq!(replicas.high_watermark(), 10);
    }

    #[test]
    fn a_slow_follower_leaves_the_in_sync_replicas_and_comes_back() {
        let mut replicas = Replicas::new(&[0, 1, 2]);
        replicas.appended(10, at(0));
        replicas.fetched(1, 10, at(40));
        assert!(replicas.drop_laggards(Duration::from_secs(30), at(40)));
        assert_eq!(replicas.in_sync().collect::<Vec<_>>(), [0, 1]);
        replicas.fetched(2, 9, at(41));
        assert_eq!(replicas.in_sync().count(), 2);
        replicas.fetched(2, 10, at(42));
        assert_eq!(replicas.in_sync().count(), 3);
    }

    #[test]
    fn a_follower_that_has_a_record_keeps_it_when_an_earlier_fetch_arrives_late() {
        let mut replicas = Replicas::new(&[0, 1]);
        replicas.appended(10, at(0));
        replicas.fetched(1, 10, at(1));
        replicas.fetched(1, 4, at(2));
        assert_eq!(replicas.down(0, false), Election::Leader { broker: 1, end: 10 });
    }

    #[test]
    fn a_crash_of_the_leader_loses_what_no_other_replica_had() {
        let mut replicas = Replicas::new(&[0, 1]);
        replicas.appended(10, at(0));
        replicas.fetched(1, 7, at(1));
        assert_eq!(replicas.high_watermark(), 7);
        assert_eq!(replicas.down(0, false), Election::Leader { broker: 1, end: 7 });
        assert_eq!(
            (replicas.leader(), replicas.epoch(), replicas.high_watermark()),
            (Some(1), 1, 7)
        );
        replicas.up(0, false);
        assert_eq!(replicas.leader(), Some(1), "the old leader follows now");
    }

    #[test]
    fn the_preferred_replica_leads_again_once_it_is_in_sync() {
        let mut replicas = Replicas::new(&[0, 1]);
        replicas.down(0, false);
        replicas.appended(10, at(1));
        assert!(!replicas.is_balanced());
        assert_eq!(replicas.prefer(), Election::None, "it is down");
        replicas.up(0, false);
        assert_eq!(replicas.prefer(), Election::None, "it misses ten records");
        replicas.fetched(0, 10, at(2));
        replicas.appended(13, at(3));
        assert_eq!(replicas.prefer(), Election::Leader { broker: 0, end: 10 });
        assert_eq!((replicas.epoch(), replicas.high_watermark()), (2, 10));
        assert!(replicas.is_balanced() && replicas.in_sync().count() == 2);
        assert_eq!(replicas.prefer(), Election::None);
    }

    #[test]
    fn the_last_one_in_sync_is_waited_for_unless_elections_may_be_unclean() {
        for unclean in [false, true] {
            let mut replicas = Replicas::new(&[0, 1]);
            replicas.appended(10, at(0));
            replicas.drop_laggards(Duration::from_secs(30), at(60));
            assert_eq!(replicas.high_watermark(), 10);
            let election = replicas.down(0, unclean);
            if unclean {
                assert_eq!(election, Election::Leader { broker: 1, end: 0 });
            } else {
                assert_eq!(election, Election::Offline);
                assert_eq!(replicas.up(0, false), Election::Leader { broker: 0, end: 10 });
            }
        }
    }

    proptest! {
        /// With clean elections, what was committed stays: the high watermark never goes back, and a leader has
        /// all of it.
        #[test]
        fn what_is_committed_stays(steps in proptest::collection::vec((0u8..6, 0u32..3, 1i64..9), 1..80)) {
            let mut replicas = Replicas::new(&[0, 1, 2]);
            let mut committed = 0;
            for (second, (kind, broker, by)) in (0..).zip(steps) {
                let end = replicas.leader_end();
                match kind {
                    0 if replicas.leader().is_some() => _ = replicas.appended(end + by, at(second)),
                    1 if replicas.followers().any(|id| id == broker) => {
                        let has = replicas.copy(broker).map_or(0, |copy| copy.end);
                        replicas.fetched(broker, (has + by).min(end), at(second));
                    }
                    2 => _ = replicas.drop_laggards(Duration::from_secs(5), at(second)),
                    3 => _ = replicas.down(broker, false),
                    4 => _ = replicas.up(broker, false),
                    5 => _ = replicas.prefer(),
                    _ => {}
                }
                prop_assert!(replicas.high_watermark() >= committed);
                committed = replicas.high_watermark();
                prop_assert!(replicas.leader().is_none() || replicas.leader_end() >= committed);
                let slowest = replicas.copies.iter().filter(|copy| copy.in_sync).map(|copy| copy.end).min();
                prop_assert!(replicas.leader().is_none() || slowest <= Some(committed));
            }
        }
    }
}

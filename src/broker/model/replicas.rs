//! The replicas of one partition: who leads, who is in sync, and up to where every replica in sync has the records.
//!
//! Pure bookkeeping of offsets, no records: the log itself is kept once, and cut where a new leader's copy ends.
//! Rules after Kafka's `Partition` and the controller's elections (KIP-101 for truncation by leader epoch).

use std::time::Duration;

use crate::base::Time;
use crate::broker::protocol::BrokerId;

/// A partition's replicas. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Replicas {
    /// In the order in which they are preferred as leaders.
    copies: Vec<Replica>,
    leader: Option<BrokerId>,
    epoch: i32,
    high_watermark: i64,
    /// Whether leader or replicas in sync have changed since that was asked last.
    is_changed: bool,
}

/// A broker's copy.
#[derive(Clone, Debug)]
struct Replica {
    broker: BrokerId,
    is_up: bool,
    in_sync: bool,
    /// The offset the next record gets there.
    end: i64,
    /// When it last had everything.
    caught_up: Time,
}

/// What a change did to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The leader is the same.
    None,
    /// Another broker leads; its copy ends here, and what the old leader had beyond is lost.
    Leader {
        /// The new leader.
        broker: BrokerId,
        /// The end of its copy.
        end: i64,
    },
    /// No replica in sync is left: the partition is offline.
    Offline,
}

impl Replicas {
    /// Empty replicas on `brokers`, all up and in sync; the first one leads.
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

    /// Who leads; `None` while the partition is offline.
    pub fn leader(&self) -> Option<BrokerId> {
        self.leader
    }

    /// Whether leader or replicas in sync may have changed since the last call.
    #[inline]
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// Raised with every election.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The offset after the last record that every replica in sync has: what consumers may see.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// How many copies there are.
    pub fn copies(&self) -> usize {
        self.copies.len()
    }

    /// Whose copy number `place` is.
    pub fn broker(&self, place: usize) -> BrokerId {
        self.copies[place].broker
    }

    /// Whether a copy misses something, or could be in sync again.
    pub fn has_laggards(&self) -> bool {
        let end = self.leader_end();
        self.copies.iter().any(|copy| copy.end < end || !copy.in_sync)
    }

    /// Brokers that have to have a record before it is acknowledged to `acks = all`.
    pub fn in_sync(&self) -> impl Iterator<Item = BrokerId> {
        self.copies.iter().filter(|copy| copy.in_sync).map(|copy| copy.broker)
    }

    /// Brokers with a copy that follow the leader now.
    pub fn followers(&self) -> impl Iterator<Item = BrokerId> {
        let follows = |copy: &&Replica| copy.is_up && Some(copy.broker) != self.leader;
        self.copies.iter().filter(follows).map(|copy| copy.broker)
    }

    /// The leader's log ends here since `now`. Whether the high watermark has moved.
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
                // It had everything until now.
                copy.caught_up = now;
            }
        }
        // Every other replica in sync has to fetch it first.
        if is_alone {
            self.high_watermark = end;
        }
        is_alone
    }

    /// A follower asks for records from `offset` on: it has all before. Whether the high watermark has moved.
    ///
    /// A question that was under way while a later one arrived says less than is known, and takes nothing away: a
    /// follower loses records by an election only.
    pub fn fetched(&mut self, follower: BrokerId, offset: i64, now: Time) -> bool {
        let (end, watermark) = (self.leader_end(), self.high_watermark);
        let mut is_back = false;
        if let Some(copy) = self.copy(follower) {
            copy.end = copy.end.max(offset.min(end));
            if copy.end == end {
                copy.caught_up = now;
            }
            // It is in sync again once it has what consumers may have seen.
            is_back = !copy.in_sync && copy.is_up && copy.end >= watermark;
            copy.in_sync |= is_back;
        }
        self.is_changed |= is_back;
        self.advance()
    }

    /// Takes followers that have been behind for longer than `replica.lag.time.max.ms` out of the in-sync replicas.
    /// Whether the high watermark has moved.
    pub fn drop_laggards(&mut self, lag_time_max: Duration, now: Time) -> bool {
        let (leader, end) = (self.leader, self.leader_end());
        for copy in self.copies.iter_mut().filter(|copy| Some(copy.broker) != leader) {
            if copy.end < end && copy.caught_up + lag_time_max < now {
                self.is_changed |= std::mem::take(&mut copy.in_sync);
            }
        }
        self.advance()
    }

    /// A broker is gone. If it led, another one in sync does now; with `unclean`, if need be any that is up.
    pub fn down(&mut self, broker: BrokerId, unclean: bool) -> Election {
        let others_in_sync = self.in_sync().any(|id| id != broker);
        self.is_changed = true;
        let Some(copy) = self.copy(broker) else { return Election::None };
        copy.is_up = false;
        // The last one in sync stays in sync: no other may lead before it is back.
        copy.in_sync &= !others_in_sync;
        if self.leader == Some(broker) {
            return self.elect(unclean);
        }
        self.advance();
        Election::None
    }

    /// A broker is back, with what it had.
    pub fn up(&mut self, broker: BrokerId, unclean: bool) -> Election {
        if let Some(copy) = self.copy(broker) {
            copy.is_up = true;
        }
        if self.leader.is_some() { Election::None } else { self.elect(unclean) }
    }

    /// Whether the replica leads that is preferred: the first one.
    pub fn is_balanced(&self) -> bool {
        self.leader == self.copies.first().map(|copy| copy.broker)
    }

    /// The preferred replica leads again if it is up and in sync. What the old leader has beyond its copy is lost, so
    /// it can be with any election.
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

    /// `broker` leads now, with a copy that ends at `end`.
    fn lead(&mut self, broker: BrokerId, end: i64) -> Election {
        self.leader = Some(broker);
        self.is_changed = true;
        self.epoch += 1;
        self.high_watermark = self.high_watermark.min(end);
        for copy in &mut self.copies {
            // Followers cut off what the new leader does not have.
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

    /// Every replica in sync has what the slowest of them has. The high watermark never goes back here.
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

//! Replication, a round at a time: followers fetch what their leader has, and the high watermark follows.
//!
//! While nothing is wrong with a leader and its followers, all of them share one lane and a round is one event,
//! however many partitions and records it brings. Only a pair of which one is slow or hard to reach has a lane of its
//! own. So replication costs at most one event more per batch, and under load much less.

use std::time::Duration;

use super::outputs::{Alarm, Output, Outputs};
use super::state::{Broker, Cluster};
use crate::base::{PartitionId, Time};
use crate::broker::protocol::BrokerId;

impl Cluster {
    /// A leader has appended something its followers do not have.
    pub(super) fn is_behind(
        &mut self,
        now: Time,
        leader: BrokerId,
        id: PartitionId,
        out: &mut Outputs,
    ) {
        if self.partition(id).is_dirty {
            return;
        }
        self.partition(id).is_dirty = true;
        if self.is_smooth {
            return self.enlist(now, leader, leader, id, out);
        }
        self.partition(id).is_dirty = false;
        let followers: Vec<BrokerId> = self.partition(id).replicas.followers().collect();
        for follower in followers {
            let lane = if self.is_smooth_pair(leader, follower) { leader } else { follower };
            if self.reach(leader, follower) {
                self.enlist(now, leader, lane, id, out);
            }
        }
    }

    fn is_smooth_pair(&self, leader: BrokerId, follower: BrokerId) -> bool {
        [leader, follower].iter().all(|broker| self.brokers[*broker as usize].is_smooth())
    }

    /// Whether a follower can fetch from a leader.
    fn reach(&self, leader: BrokerId, follower: BrokerId) -> bool {
        [leader, follower].iter().all(|broker| self.brokers[*broker as usize].is_heard())
    }

    fn enlist(
        &mut self,
        now: Time,
        leader: BrokerId,
        follower: BrokerId,
        id: PartitionId,
        out: &mut Outputs,
    ) {
        let number = self.lanes.number(leader, follower);
        let lane = &mut self.lanes.lanes[number as usize];
        if !lane.next.contains(&id) {
            lane.next.push(id);
        }
        if !lane.is_under_way {
            self.begin_round(now, number, out);
        }
    }

    fn begin_round(&mut self, now: Time, number: u32, out: &mut Outputs) {
        let (leader, follower) = (number / self.settings.brokers, number % self.settings.brokers);
        let lane = &mut self.lanes.lanes[number as usize];
        lane.is_under_way = true;
        let next = std::mem::take(&mut lane.next);
        let mut bringing = std::mem::take(&mut lane.bringing);
        bringing.clear();
        for id in &next {
            let partition = self.partition(*id);
            partition.is_dirty = false;
            bringing.push((*id, partition.log.end(), partition.replicas.epoch()));
        }
        let at = now + self.round(leader, follower, bringing.len());
        let lane = &mut self.lanes.lanes[number as usize];
        (lane.bringing, lane.next) = (bringing, next);
        lane.next.clear();
        out.push(Output::Alarm { at, alarm: Alarm::Replicated { lane: number } });
    }

    /// How long it takes from the append until the leader knows that the follower has it: the response to the fetch
    /// that was waiting, and the next fetch, which says so.
    fn round(&self, leader: BrokerId, follower: BrokerId, partitions: usize) -> Duration {
        let smooth = 2 * (self.settings.link + self.settings.request_cost);
        let (leader, follower) = (&self.brokers[leader as usize], &self.brokers[follower as usize]);
        let disk = follower.disk_cost * partitions as u32;
        let own = if std::ptr::eq(leader, follower) { 0 } else { 1 };
        smooth + own * (2 * (leader.link_delay + follower.link_delay) + disk)
    }

    /// A round is over: followers have what it brought.
    pub(super) fn replicated(&mut self, now: Time, number: u32, out: &mut Outputs) {
        let (leader, follower) = (number / self.settings.brokers, number % self.settings.brokers);
        if !self.brokers[leader as usize].is_heard() {
            // What it has not brought is found when the leader is heard of again.
            let lane = &mut self.lanes.lanes[number as usize];
            lane.is_under_way = false;
            return lane.next.clear();
        }
        let bringing = std::mem::take(&mut self.lanes.lanes[number as usize].bringing);
        for (id, end, epoch) in &bringing {
            let replicas = &self.partitions[id.0 as usize].replicas;
            if replicas.leader() != Some(leader) || replicas.epoch() != *epoch {
                continue;
            }
            let mut has_moved = false;
            for place in 0..replicas.copies() {
                let broker = self.partitions[id.0 as usize].replicas.broker(place);
                let takes_part = match leader == follower {
                    true => broker != leader && self.is_smooth_pair(leader, broker),
                    false => broker == follower && self.reach(leader, broker),
                };
                if takes_part {
                    has_moved |= self.partition(*id).replicas.fetched(broker, *end, now);
                }
            }
            if has_moved {
                self.committed(now, *id, out);
            }
        }
        let lane = &mut self.lanes.lanes[number as usize];
        lane.bringing = bringing;
        lane.is_under_way = false;
        if !lane.next.is_empty() {
            self.begin_round(now, number, out);
        }
    }

    /// Something has changed about a broker: a follower that is behind and can be reached goes on.
    pub(super) fn replicate_all(&mut self, now: Time, out: &mut Outputs) {
        self.is_smooth = self.brokers.iter().all(Broker::is_smooth);
        for id in 0..self.partitions.len() as u32 {
            let id = PartitionId(id);
            self.partition(id).is_dirty = false;
            let Some(leader) = self.partition(id).replicas.leader() else { continue };
            if self.partition(id).replicas.has_laggards() {
                self.is_behind(now, leader, id, out);
            }
        }
        if !self.laggards_alarm && !self.is_smooth {
            self.laggards_alarm = true;
            let at = now + self.settings.replica_lag_max / 2;
            out.push(Output::Alarm { at, alarm: Alarm::Laggards });
        }
    }

    /// Takes followers that were behind for too long out of the in-sync replicas, as leaders do twice per
    /// `replica.lag.time.max.ms`.
    pub(super) fn drop_laggards(&mut self, now: Time, out: &mut Outputs) {
        let lag_max = self.settings.replica_lag_max;
        for id in 0..self.partitions.len() as u32 {
            let id = PartitionId(id);
            let Some(leader) = self.partition(id).replicas.leader() else { continue };
            // Without the controller no replica leaves the in-sync ones.
            let can = self.brokers[leader as usize].is_heard();
            if can && self.partition(id).replicas.drop_laggards(lag_max, now) {
                self.committed(now, id, out);
            }
        }
        self.laggards_alarm = !self.is_smooth;
        if self.laggards_alarm {
            out.push(Output::Alarm { at: now + lag_max / 2, alarm: Alarm::Laggards });
        }
    }
}

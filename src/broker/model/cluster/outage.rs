//! What is done to brokers on purpose, and what the cluster does about it: sessions, elections, a new coordinator.

use std::time::Duration;

use super::outputs::{Alarm, Output, Outputs};
use super::state::{Cluster, Partition};
use crate::base::{PartitionId, Time};
use crate::broker::model::replicas::{Election, Replicas};
use crate::broker::protocol::BrokerId;

impl Cluster {
    /// Number of brokers.
    pub fn brokers(&self) -> u32 {
        self.settings.brokers
    }

    /// Whether a broker answers what it is asked.
    pub fn answers(&self, broker: BrokerId) -> bool {
        self.brokers[broker as usize].is_running()
    }

    /// Whether a broker's process is there.
    pub fn is_up(&self, broker: BrokerId) -> bool {
        !self.brokers[broker as usize].is_down
    }

    /// A broker's process is gone, and with it its connections. What it has written is still on its disk.
    pub fn crash(&mut self, now: Time, broker: BrokerId, out: &mut Outputs) {
        let own = &mut self.brokers[broker as usize];
        own.is_down = true;
        own.is_paused = false;
        own.queue.clear();
        own.stale = None;
        let brokers = self.settings.brokers as usize;
        for client in 0..self.places.len().div_ceil(brokers) as u32 {
            self.hang_up(client, broker);
        }
        for partition in &mut self.partitions {
            partition.unacknowledged.retain(|batch| !batch.is_at(broker));
        }
        if self.coordinator == broker {
            self.group.interrupted(now);
        }
        self.fell_silent(now, broker, out);
    }

    /// A broker's process is back.
    pub fn come_back(&mut self, now: Time, broker: BrokerId, out: &mut Outputs) {
        self.brokers[broker as usize].is_down = false;
        self.is_heard_again(now, broker, out);
    }

    /// A broker's process stands still.
    pub fn pause(&mut self, now: Time, broker: BrokerId, out: &mut Outputs) {
        self.brokers[broker as usize].is_paused = true;
        self.fell_silent(now, broker, out);
    }

    /// A broker's process goes on, and finds what has come meanwhile.
    pub fn go_on(&mut self, now: Time, broker: BrokerId, out: &mut Outputs) {
        let own = &mut self.brokers[broker as usize];
        if !std::mem::take(&mut own.is_paused) {
            return;
        }
        let mut closed = Vec::new();
        for (caller, request) in std::mem::take(&mut own.queue) {
            // What comes behind on a connection that was closed is not read.
            if closed.contains(&caller) {
                continue;
            }
            let before = out.others.len();
            self.request(now, broker, caller, request, out);
            closed.extend(out.others[before..].iter().filter_map(Output::closes));
        }
        self.is_heard_again(now, broker, out);
        self.look_again(now, broker, out);
    }

    /// A broker reaches neither the controller nor another broker; clients reach it.
    pub fn isolate(&mut self, now: Time, broker: BrokerId, out: &mut Outputs) {
        let known = |partition: &Partition| {
            (partition.replicas.leader(), partition.replicas.high_watermark())
        };
        let stale = self.partitions.iter().map(known).collect();
        let own = &mut self.brokers[broker as usize];
        own.is_isolated = true;
        own.stale.get_or_insert(stale);
        self.fell_silent(now, broker, out);
    }

    /// A broker reaches all others again, and hears what has changed.
    pub fn rejoin(&mut self, now: Time, broker: BrokerId, out: &mut Outputs) {
        let own = &mut self.brokers[broker as usize];
        own.is_isolated = false;
        own.stale = None;
        self.is_heard_again(now, broker, out);
        self.look_again(now, broker, out);
    }

    /// Messages of a broker to others take this much longer.
    pub fn delay_links(&mut self, now: Time, broker: BrokerId, by: Duration, out: &mut Outputs) {
        self.brokers[broker as usize].link_delay = by;
        self.replicate_all(now, out);
    }

    /// Each append to a broker's disk takes this much longer.
    pub fn slow_disk(&mut self, now: Time, broker: BrokerId, by: Duration, out: &mut Outputs) {
        self.brokers[broker as usize].disk_cost = by;
        self.replicate_all(now, out);
    }

    /// Deletes everything consumers may see of a partition.
    pub fn delete_records(&mut self, id: PartitionId) {
        let partition = self.partition(id);
        partition.log.delete_before(partition.replicas.high_watermark());
    }

    /// Makes `to`, or the next broker that runs, the coordinator. What members have committed and who they are goes
    /// with it.
    pub fn move_coordinator(&mut self, now: Time, to: Option<BrokerId>, out: &mut Outputs) {
        let (count, old) = (self.settings.brokers, self.coordinator);
        let next = to.into_iter().chain((1..count).map(|step| (old + step) % count));
        let fit = |id: &BrokerId| {
            let broker = &self.brokers[*id as usize];
            broker.is_heard() && !broker.is_fenced
        };
        if let Some(next) = next.into_iter().find(fit) {
            if self.brokers[old as usize].is_running() {
                self.group.unloaded(now);
                self.group_says(now, out);
            }
            self.coordinator = next;
            self.group.interrupted(now);
            self.group_says(now, out);
        }
    }

    /// Who leads what, as far as `broker` knows.
    pub(super) fn leaders(&self, broker: BrokerId) -> Vec<Option<BrokerId>> {
        match &self.brokers[broker as usize].stale {
            Some(stale) => stale.iter().map(|(leader, _)| *leader).collect(),
            None => self.partitions.iter().map(|partition| partition.replicas.leader()).collect(),
        }
    }

    /// Whether `broker` believes that it leads a partition.
    pub(super) fn leads(&self, broker: BrokerId, id: PartitionId) -> bool {
        self.visible(broker, id).is_some()
    }

    /// Up to where consumers may read a partition at `broker`, if it believes that it leads it: one that does not know
    /// that it leads no more shows nothing new.
    #[inline]
    pub(super) fn visible(&self, broker: BrokerId, id: PartitionId) -> Option<i64> {
        let replicas = &self.partitions.get(id.0 as usize)?.replicas;
        let leads = replicas.leader() == Some(broker);
        let visible = leads.then_some(replicas.high_watermark());
        match self.brokers[broker as usize].stale {
            Some(_) => self.visible_when_cut_off(broker, id, visible),
            None => visible,
        }
    }

    /// The same at a broker that was cut off from the controller: what it knew then, and `now` if it leads in truth.
    #[cold]
    fn visible_when_cut_off(
        &self,
        broker: BrokerId,
        id: PartitionId,
        now: Option<i64>,
    ) -> Option<i64> {
        let known = self.brokers[broker as usize].stale.as_ref()?.get(id.0 as usize)?;
        let (leader, then) = *known;
        if leader == Some(broker) { now.or(Some(then)) } else { None }
    }

    fn fell_silent(&mut self, now: Time, broker: BrokerId, out: &mut Outputs) {
        let own = &mut self.brokers[broker as usize];
        own.silences += 1;
        let alarm = Alarm::Session { broker, silence: own.silences };
        out.push(Output::Alarm { at: now + self.settings.broker_session, alarm });
        self.replicate_all(now, out);
    }

    /// The controller has not heard of a broker for its session timeout: others lead in its place.
    pub(super) fn session_is_over(
        &mut self,
        now: Time,
        broker: BrokerId,
        silence: u32,
        out: &mut Outputs,
    ) {
        let own = &mut self.brokers[broker as usize];
        if own.silences != silence || own.is_heard() || own.is_fenced {
            return;
        }
        own.is_fenced = true;
        let unclean = self.settings.unclean_elections;
        self.elect(now, |replicas| replicas.down(broker, unclean), out);
        if self.coordinator == broker {
            self.move_coordinator(now, None, out);
        }
        self.replicate_all(now, out);
        self.watch_balance(now, out);
    }

    /// The controller hears of a broker again.
    fn is_heard_again(&mut self, now: Time, broker: BrokerId, out: &mut Outputs) {
        let own = &mut self.brokers[broker as usize];
        if !own.is_heard() {
            return;
        }
        if std::mem::take(&mut own.is_fenced) {
            let unclean = self.settings.unclean_elections;
            self.elect(now, |replicas| replicas.up(broker, unclean), out);
            self.watch_balance(now, out);
        }
        self.replicate_all(now, out);
        self.group_is_due(now, out);
    }

    /// A broker is there or not there any more: `change` says so to the replicas of every partition.
    fn elect(&mut self, now: Time, change: impl Fn(&mut Replicas) -> Election, out: &mut Outputs) {
        for id in (0..self.partitions.len() as u32).map(PartitionId) {
            let replicas = &mut self.partition(id).replicas;
            let before = replicas.high_watermark();
            let election = change(replicas);
            self.elected(now, id, election, before, out);
        }
    }

    /// A partition has another leader, or none: what the old one had beyond the new one's copy is cut off.
    pub(super) fn elected(
        &mut self,
        now: Time,
        id: PartitionId,
        election: Election,
        before: i64,
        out: &mut Outputs,
    ) {
        match election {
            Election::None => {
                if self.partition(id).replicas.high_watermark() > before {
                    self.committed(now, id, out);
                }
                return;
            }
            Election::Offline => {}
            Election::Leader { end, .. } => {
                let partition = self.partition(id);
                partition.log.truncate(end);
                partition.sequences.truncate(end);
            }
        }
        self.refuse_waiting(now, id, out);
        self.wake_everywhere(now, id, out);
    }
}

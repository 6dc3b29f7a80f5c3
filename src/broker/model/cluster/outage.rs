//! Faults of brokers and their effects on the cluster: sessions, elections, a new coordinator, and the election of
//! preferred leaders.
//!
//! The last one follows Kafka's controller, `ReplicationControlManager.maybeBalancePartitionLeaders` (Apache Kafka 3.x
//! and 4.x, KRaft). While a partition is not led by its first replica, a check each
//! `leader.imbalance.check.interval.seconds` elects the preferred leader of every such partition, if that broker is not
//! fenced and in the in-sync replicas (`PartitionChangeBuilder.electPreferredLeader`).
//! `leader.imbalance.per.broker.percentage` was a rule of ZooKeeper's controllers, which KRaft does not have.
//! `auto.leader.rebalance.enable = false` turns the checks off. The interval counts from the start of the run, as if
//! the controller had been elected then. Kafka elects 1,000 leaders at a time and the next ones directly after them;
//! here that is one step.

use std::time::Duration;

use super::state::{Cluster, ClusterEffect, ClusterEffects, ClusterTimer, Partition};
use crate::base::{PartitionId, Time};
use crate::broker::model::replicas::{Election, Replicas};
use crate::broker::protocol::BrokerId;

impl Cluster {
    /// Number of brokers.
    pub fn brokers(&self) -> u32 {
        self.settings.brokers
    }

    /// True if a broker answers requests.
    pub fn answers(&self, broker: BrokerId) -> bool {
        self.brokers[broker as usize].is_running()
    }

    /// True if a broker's process exists.
    pub fn is_up(&self, broker: BrokerId) -> bool {
        !self.brokers[broker as usize].is_down
    }

    /// Ends a broker's process, and with it its connections. Its log stays on the disk.
    pub fn crash(&mut self, now: Time, broker: BrokerId, out: &mut ClusterEffects) {
        let own = &mut self.brokers[broker as usize];
        own.is_down = true;
        own.is_paused = false;
        own.queue.clear();
        own.stale = None;
        let brokers = self.settings.brokers as usize;
        for client in 0..self.client_states.len().div_ceil(brokers) as u32 {
            self.forget_connection(client, broker);
        }
        for partition in &mut self.partitions {
            partition.unacknowledged.retain(|batch| !batch.is_at(broker));
        }
        if self.coordinator == broker {
            self.group.interrupted(now);
        }
        self.poll_timed_out(now, broker, out);
    }

    /// Starts a broker's process again.
    pub fn restart(&mut self, now: Time, broker: BrokerId, out: &mut ClusterEffects) {
        self.brokers[broker as usize].is_down = false;
        self.is_reachable_again(now, broker, out);
    }

    /// Stops a broker's process, as SIGSTOP does.
    pub fn pause(&mut self, now: Time, broker: BrokerId, out: &mut ClusterEffects) {
        self.brokers[broker as usize].is_paused = true;
        self.poll_timed_out(now, broker, out);
    }

    /// Continues a broker's process, which then handles the requests that have arrived meanwhile.
    pub fn go_on(&mut self, now: Time, broker: BrokerId, out: &mut ClusterEffects) {
        let own = &mut self.brokers[broker as usize];
        if !std::mem::take(&mut own.is_paused) {
            return;
        }
        let mut closed = Vec::new();
        for (caller, request) in std::mem::take(&mut own.queue) {
            // Later requests on a connection that was closed are not read.
            if closed.contains(&caller) {
                continue;
            }
            let before = out.others.len();
            self.request(now, broker, caller, request, out);
            closed.extend(out.others[before..].iter().filter_map(ClusterEffect::closes));
        }
        self.is_reachable_again(now, broker, out);
        self.look_again(now, broker, out);
    }

    /// Cuts a broker off from the controller and the other brokers. Clients still reach it.
    pub fn isolate(&mut self, now: Time, broker: BrokerId, out: &mut ClusterEffects) {
        let known = |partition: &Partition| {
            (partition.replicas.leader(), partition.replicas.high_watermark())
        };
        let stale = self.partitions.iter().map(known).collect();
        let own = &mut self.brokers[broker as usize];
        own.is_isolated = true;
        own.stale.get_or_insert(stale);
        self.poll_timed_out(now, broker, out);
    }

    /// Connects a broker to all others again, and lets it learn of the changes.
    pub fn rejoin(&mut self, now: Time, broker: BrokerId, out: &mut ClusterEffects) {
        let own = &mut self.brokers[broker as usize];
        own.is_isolated = false;
        own.stale = None;
        self.is_reachable_again(now, broker, out);
        self.look_again(now, broker, out);
    }

    /// Delays the messages of a broker to other brokers by this time.
    pub fn delay_links(
        &mut self,
        now: Time,
        broker: BrokerId,
        by: Duration,
        out: &mut ClusterEffects,
    ) {
        self.brokers[broker as usize].link_delay = by;
        self.replicate_all(now, out);
    }

    /// Slows down each append to a broker's disk by this time.
    pub fn slow_disk(
        &mut self,
        now: Time,
        broker: BrokerId,
        by: Duration,
        out: &mut ClusterEffects,
    ) {
        self.brokers[broker as usize].disk_cost = by;
        self.replicate_all(now, out);
    }

    /// Deletes all records of a partition that consumers may see.
    pub fn delete_records(&mut self, id: PartitionId) {
        let partition = self.partition(id);
        partition.log.delete_before(partition.replicas.high_watermark());
    }

    /// Makes `to`, or the next broker that runs, the coordinator. Members and committed offsets move with it.
    pub fn move_coordinator(&mut self, now: Time, to: Option<BrokerId>, out: &mut ClusterEffects) {
        let (count, old) = (self.settings.brokers, self.coordinator);
        let next = to.into_iter().chain((1..count).map(|step| (old + step) % count));
        let fit = |id: &BrokerId| {
            let broker = &self.brokers[*id as usize];
            broker.is_reachable() && !broker.is_fenced
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

    /// The leaders of all partitions, as far as `broker` knows.
    pub(super) fn leaders(&self, broker: BrokerId) -> Vec<Option<BrokerId>> {
        match &self.brokers[broker as usize].stale {
            Some(stale) => stale.iter().map(|(leader, _)| *leader).collect(),
            None => self.partitions.iter().map(|partition| partition.replicas.leader()).collect(),
        }
    }

    /// True if `broker` believes that it leads a partition.
    pub(super) fn leads(&self, broker: BrokerId, id: PartitionId) -> bool {
        self.visible(broker, id).is_some()
    }

    /// The offset up to which consumers may read a partition at `broker`, if it believes that it leads it. A former
    /// leader that does not know of its successor shows no new records.
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

    /// The same at a broker that is cut off from the controller: the state at that time, and the present one if it
    /// really leads.
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

    fn poll_timed_out(&mut self, now: Time, broker: BrokerId, out: &mut ClusterEffects) {
        let own = &mut self.brokers[broker as usize];
        own.silences += 1;
        let timer = ClusterTimer::Session { broker, silence: own.silences };
        out.push(ClusterEffect::Timer { at: now + self.settings.broker_session, timer });
        self.replicate_all(now, out);
    }

    /// Handles the end of a broker's session with the controller: other brokers lead in its place.
    pub(super) fn session_is_over(
        &mut self,
        now: Time,
        broker: BrokerId,
        silence: u32,
        out: &mut ClusterEffects,
    ) {
        let own = &mut self.brokers[broker as usize];
        if own.silences != silence || own.is_reachable() || own.is_fenced {
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

    /// Notes that the controller can reach a broker again.
    fn is_reachable_again(&mut self, now: Time, broker: BrokerId, out: &mut ClusterEffects) {
        let own = &mut self.brokers[broker as usize];
        if !own.is_reachable() {
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

    /// Applies `change` to the replicas of every partition, because a broker is up or down.
    fn elect(
        &mut self,
        now: Time,
        change: impl Fn(&mut Replicas) -> Election,
        out: &mut ClusterEffects,
    ) {
        for id in (0..self.partitions.len() as u32).map(PartitionId) {
            let replicas = &mut self.partition(id).replicas;
            let before = replicas.high_watermark();
            let election = change(replicas);
            self.elected(now, id, election, before, out);
        }
    }

    /// Handles the change of a partition's leader. Records of the old leader that the new one lacks are dropped.
    pub(super) fn elected(
        &mut self,
        now: Time,
        id: PartitionId,
        election: Election,
        before: i64,
        out: &mut ClusterEffects,
    ) {
        self.note_change(now, id);
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
        self.complete_delayed_everywhere(now, id, out);
    }
}

impl Cluster {
    /// Announces the next check if a partition is not led by its preferred replica.
    pub(super) fn watch_balance(&mut self, now: Time, out: &mut ClusterEffects) {
        let Some(interval) = self.settings.leader_balance else { return };
        let is_balanced = self.partitions.iter().all(|partition| partition.replicas.is_balanced());
        if is_balanced || self.balance_timer {
            return;
        }
        self.balance_timer = true;
        let interval = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1);
        let at = Time(now.0.div_euclid(interval).saturating_add(1).saturating_mul(interval));
        out.push(ClusterEffect::Timer { at, timer: ClusterTimer::Balance });
    }

    /// The controller's check: elects preferred replicas that are in sync.
    pub(super) fn balance(&mut self, now: Time, out: &mut ClusterEffects) {
        self.balance_timer = false;
        for id in (0..self.partitions.len() as u32).map(PartitionId) {
            let preferred = self.partition(id).replicas.broker(0);
            // The broker would not learn of its election while it is cut off. Kafka's controller does not know that,
            // and the partition would have no leader until the broker is back or its session ends.
            if self.brokers[preferred as usize].is_isolated {
                continue;
            }
            let replicas = &mut self.partition(id).replicas;
            let before = replicas.high_watermark();
            let election = replicas.prefer();
            if election != Election::None {
                self.elected(now, id, election, before, out);
            }
        }
        self.replicate_all(now, out);
        self.watch_balance(now, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Caller, ClusterSettings};
    use super::*;
    use crate::base::Seed;
    use crate::broker::model::group::GroupSettings;
    use crate::broker::protocol::{BrokerId, ErrorCode, Fetch, FetchSlot, Request};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    /// Three brokers with three replicas of each of three partitions, and the announced timers.
    struct Stage {
        cluster: Cluster,
        timers: Vec<(Time, ClusterTimer)>,
        /// Responses to fetches: time, broker, and the error of the first partition.
        fetched: Vec<(Time, BrokerId, Option<ErrorCode>)>,
    }

    impl Stage {
        fn new(leader_balance: Option<Duration>) -> Stage {
            let settings = ClusterSettings {
                brokers: 3,
                cores: 1,
                request_cost: Duration::from_micros(40),
                partitions: 3,
                replication_factor: 3,
                min_insync: 1,
                unclean_elections: false,
                link: Duration::from_micros(80),
                broker_session: 3 * SECOND,
                replica_lag_max: 30 * SECOND,
                leader_balance,
                retention_bytes: 1 << 20,
                group: GroupSettings::default(),
            };
            Stage {
                cluster: Cluster::new(settings, Seed(1)),
                timers: Vec::new(),
                fetched: Vec::new(),
            }
        }

        /// Calls `what` at this number of seconds. Returns the leaders after it.
        fn at(
            &mut self,
            seconds: u64,
            what: impl Fn(&mut Cluster, Time, &mut ClusterEffects),
        ) -> Vec<Option<BrokerId>> {
            let until = Time::ZERO + SECOND * seconds as u32;
            while let Some(next) = self.timers.iter().map(|(at, _)| *at).min()
                && next <= until
            {
                let index = self.timers.iter().position(|(at, _)| *at == next).expect("a timer");
                let (now, timer) = self.timers.remove(index);
                self.hear(|cluster, out| cluster.expire_timer(now, timer, out));
            }
            self.hear(|cluster, out| what(cluster, until, out));
            self.cluster.leaders(1)
        }

        fn hear(&mut self, what: impl FnOnce(&mut Cluster, &mut ClusterEffects)) {
            let mut out = ClusterEffects::default();
            what(&mut self.cluster, &mut out);
            let fetched = out.fetched.into_iter();
            self.fetched.extend(fetched.map(|out| (out.at, out.from, out.fetch.slots[0].error)));
            let timers = out.others.into_iter().filter_map(|output| match output {
                ClusterEffect::Timer { at, timer } => Some((at, timer)),
                ClusterEffect::Reply { .. } | ClusterEffect::Disconnect { .. } => None,
            });
            self.timers.extend(timers);
        }

        fn leaders_at(&mut self, seconds: u64) -> Vec<Option<BrokerId>> {
            self.at(seconds, |_, _, _| {})
        }

        fn checks(&self) -> usize {
            self.timers.iter().filter(|(_, timer)| *timer == ClusterTimer::Balance).count()
        }
    }

    const HOME: [Option<BrokerId>; 3] = [Some(0), Some(1), Some(2)];
    const AWAY: [Option<BrokerId>; 3] = [Some(1), Some(1), Some(2)];

    #[test]
    fn a_leader_that_is_back_leads_again_at_the_next_check_and_then_the_checks_end() {
        let mut stage = Stage::new(Some(20 * SECOND));
        assert_eq!((stage.leaders_at(1), stage.checks()), (HOME.to_vec(), 0));
        stage.at(2, |cluster, now, out| cluster.crash(now, 0, out));
        assert_eq!((stage.leaders_at(6), stage.checks()), (AWAY.to_vec(), 1));
        stage.at(10, |cluster, now, out| cluster.restart(now, 0, out));
        assert_eq!(stage.leaders_at(19), AWAY);
        assert_eq!((stage.leaders_at(20), stage.checks()), (HOME.to_vec(), 0));
    }

    #[test]
    fn a_broker_that_is_still_away_at_the_check_waits_for_the_one_after_its_return() {
        let mut stage = Stage::new(Some(20 * SECOND));
        stage.at(2, |cluster, now, out| cluster.crash(now, 0, out));
        assert_eq!((stage.leaders_at(21), stage.checks()), (AWAY.to_vec(), 1));
        stage.at(25, |cluster, now, out| cluster.restart(now, 0, out));
        assert_eq!(stage.leaders_at(39), AWAY);
        assert_eq!(stage.leaders_at(40), HOME);
    }

    #[test]
    fn without_automatic_rebalancing_it_stays_as_it_is() {
        let mut stage = Stage::new(None);
        stage.at(2, |cluster, now, out| cluster.crash(now, 0, out));
        stage.at(10, |cluster, now, out| cluster.restart(now, 0, out));
        assert_eq!((stage.leaders_at(1_000), stage.checks()), (AWAY.to_vec(), 0));
    }

    #[test]
    fn a_broker_that_hears_nothing_of_the_others_is_not_made_a_leader() {
        let mut stage = Stage::new(Some(20 * SECOND));
        stage.at(2, |cluster, now, out| cluster.crash(now, 0, out));
        stage.at(10, |cluster, now, out| cluster.restart(now, 0, out));
        stage.at(19, |cluster, now, out| cluster.isolate(now, 0, out));
        assert_eq!(stage.leaders_at(21), AWAY);
        stage.at(22, |cluster, now, out| cluster.rejoin(now, 0, out));
        assert_eq!(stage.leaders_at(40), HOME);
    }

    #[test]
    fn a_fetch_that_waits_at_the_old_leader_is_answered_at_once() {
        let mut stage = Stage::new(Some(20 * SECOND));
        stage.at(2, |cluster, now, out| cluster.crash(now, 0, out));
        stage.at(10, |cluster, now, out| cluster.restart(now, 0, out));
        stage.at(19, |cluster, now, out| {
            let slots = vec![FetchSlot::new(PartitionId(0), 0)];
            let fetch = Fetch { wait_max: 60 * SECOND, partition_bytes_max: 1 << 20, slots };
            cluster.request(now, 1, Caller::default(), Request::Fetch(Box::new(fetch)), out);
        });
        assert_eq!((stage.leaders_at(19), stage.fetched.len()), (AWAY.to_vec(), 0));
        assert_eq!(stage.leaders_at(21), HOME);
        let told = (Time::ZERO + 20 * SECOND, 1, Some(ErrorCode::NotLeaderOrFollower));
        assert_eq!(stage.fetched, [told]);
    }
}

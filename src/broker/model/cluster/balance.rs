//! Leadership goes back to the preferred replicas.
//!
//! After Kafka's controller, `ReplicationControlManager.maybeBalancePartitionLeaders` (Apache Kafka 3.x and 4.x, KRaft):
//! as long as any partition is led by another one than its first replica, every
//! `leader.imbalance.check.interval.seconds` each of these partitions gets its preferred leader back, provided that this
//! broker is not fenced and in the in-sync replicas (`PartitionChangeBuilder.electPreferredLeader`). The percentage
//! `leader.imbalance.per.broker.percentage` was a rule of the controllers on ZooKeeper; KRaft's has none.
//! `auto.leader.rebalance.enable = false` switches it off. The checks count from the begin of the run, as if the
//! controller had been elected then. Kafka moves 1,000 partitions at once and the next ones at once after them; here
//! that is one step.

use super::outputs::{Alarm, Output, Outputs};
use super::state::Cluster;
use crate::base::{PartitionId, Time};
use crate::broker::model::replicas::Election;

impl Cluster {
    /// Leaders may have changed: if any of them is not the preferred one, the next check is due.
    pub(super) fn watch_balance(&mut self, now: Time, out: &mut Outputs) {
        let Some(interval) = self.settings.leader_balance else { return };
        let is_balanced = self.partitions.iter().all(|partition| partition.replicas.is_balanced());
        if is_balanced || self.balance_alarm {
            return;
        }
        self.balance_alarm = true;
        let interval = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1);
        let at = Time(now.0.div_euclid(interval).saturating_add(1).saturating_mul(interval));
        out.push(Output::Alarm { at, alarm: Alarm::Balance });
    }

    /// The controller's check: a replica that is preferred and in sync leads again.
    pub(super) fn balance(&mut self, now: Time, out: &mut Outputs) {
        self.balance_alarm = false;
        for id in (0..self.partitions.len() as u32).map(PartitionId) {
            let preferred = self.partition(id).replicas.broker(0);
            // It would not hear of its election before it is back. Kafka's controller does not know that and would leave
            // the partition without a leader until then, or until the broker's session is over.
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
    use std::time::Duration;

    use super::super::{Caller, ClusterSettings};
    use super::*;
    use crate::base::Seed;
    use crate::broker::model::group::GroupSettings;
    use crate::broker::protocol::BrokerId;
    use crate::broker::protocol::{ErrorCode, Fetch, FetchSlot, Request};

    const SECOND: Duration = Duration::from_secs(1);

    /// Three brokers, three copies of each of three partitions, and what the cluster wants to be told.
    struct Stage {
        cluster: Cluster,
        alarms: Vec<(Time, Alarm)>,
        /// Fetches that were answered: when, from where, and what was wrong with the first partition.
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
                alarms: Vec::new(),
                fetched: Vec::new(),
            }
        }

        /// Lets something happen after a number of seconds; returns the leaders then.
        fn at(
            &mut self,
            seconds: u64,
            what: impl Fn(&mut Cluster, Time, &mut Outputs),
        ) -> Vec<Option<BrokerId>> {
            let until = Time::ZERO + SECOND * seconds as u32;
            while let Some(next) = self.alarms.iter().map(|(at, _)| *at).min()
                && next <= until
            {
                let place = self.alarms.iter().position(|(at, _)| *at == next).expect("an alarm");
                let (now, alarm) = self.alarms.remove(place);
                self.hear(|cluster, out| cluster.alarm(now, alarm, out));
            }
            self.hear(|cluster, out| what(cluster, until, out));
            self.cluster.leaders(1)
        }

        fn hear(&mut self, what: impl FnOnce(&mut Cluster, &mut Outputs)) {
            let mut out = Outputs::default();
            what(&mut self.cluster, &mut out);
            let fetched = out.fetched.into_iter();
            self.fetched.extend(fetched.map(|out| (out.at, out.from, out.fetch.slots[0].error)));
            let alarms = out.others.into_iter().filter_map(|output| match output {
                Output::Alarm { at, alarm } => Some((at, alarm)),
                Output::Reply { .. } | Output::HangUp { .. } => None,
            });
            self.alarms.extend(alarms);
        }

        fn leaders_at(&mut self, seconds: u64) -> Vec<Option<BrokerId>> {
            self.at(seconds, |_, _, _| {})
        }

        fn checks(&self) -> usize {
            self.alarms.iter().filter(|(_, alarm)| *alarm == Alarm::Balance).count()
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
        stage.at(10, |cluster, now, out| cluster.come_back(now, 0, out));
        assert_eq!(stage.leaders_at(19), AWAY);
        assert_eq!((stage.leaders_at(20), stage.checks()), (HOME.to_vec(), 0));
    }

    #[test]
    fn a_broker_that_is_still_away_at_the_check_waits_for_the_one_after_its_return() {
        let mut stage = Stage::new(Some(20 * SECOND));
        stage.at(2, |cluster, now, out| cluster.crash(now, 0, out));
        assert_eq!((stage.leaders_at(21), stage.checks()), (AWAY.to_vec(), 1));
        stage.at(25, |cluster, now, out| cluster.come_back(now, 0, out));
        assert_eq!(stage.leaders_at(39), AWAY);
        assert_eq!(stage.leaders_at(40), HOME);
    }

    #[test]
    fn without_automatic_rebalancing_it_stays_as_it_is() {
        let mut stage = Stage::new(None);
        stage.at(2, |cluster, now, out| cluster.crash(now, 0, out));
        stage.at(10, |cluster, now, out| cluster.come_back(now, 0, out));
        assert_eq!((stage.leaders_at(1_000), stage.checks()), (AWAY.to_vec(), 0));
    }

    #[test]
    fn a_broker_that_hears_nothing_of_the_others_is_not_made_a_leader() {
        let mut stage = Stage::new(Some(20 * SECOND));
        stage.at(2, |cluster, now, out| cluster.crash(now, 0, out));
        stage.at(10, |cluster, now, out| cluster.come_back(now, 0, out));
        stage.at(19, |cluster, now, out| cluster.isolate(now, 0, out));
        assert_eq!(stage.leaders_at(21), AWAY);
        stage.at(22, |cluster, now, out| cluster.rejoin(now, 0, out));
        assert_eq!(stage.leaders_at(40), HOME);
    }

    #[test]
    fn a_fetch_that_waits_at_the_old_leader_is_answered_at_once() {
        let mut stage = Stage::new(Some(20 * SECOND));
        stage.at(2, |cluster, now, out| cluster.crash(now, 0, out));
        stage.at(10, |cluster, now, out| cluster.come_back(now, 0, out));
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

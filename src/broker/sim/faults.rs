//! Injected faults of the cluster and the network.

use super::kernel::Kernel;
use crate::broker::protocol::BrokerId;
use crate::fault::{BrokerChange, Disturbance, LinkSide};

impl Kernel {
    /// Injects a fault, or heals it.
    pub(super) fn disturb(&mut self, disturbance: &Disturbance) {
        self.flush_deferred();
        match disturbance {
            Disturbance::Brokers(brokers, change) => {
                // Scenarios count brokers from 1.
                brokers.iter().for_each(|number| self.change_broker(number - 1, *change));
            }
            Disturbance::Refuse { api, code, count } => {
                self.cluster.refuse_next(*api, *code, *count);
            }
            Disturbance::Grow(total) => self.cluster.grow(*total),
            Disturbance::DeleteRecords(partitions) => {
                partitions.iter().for_each(|partition| self.cluster.delete_records(*partition));
            }
            Disturbance::MoveCoordinator(to) => {
                let to = to.map(|number| number - 1);
                self.cluster.move_coordinator(self.now, to, &mut self.output);
            }
        }
        self.network.refresh();
        self.send_effects();
    }

    fn change_broker(&mut self, broker: BrokerId, change: BrokerChange) {
        let (now, output) = (self.now, &mut self.output);
        let link = &mut self.network.link_faults[broker as usize];
        match change {
            BrokerChange::Down => {
                self.cluster.crash(now, broker, output);
                self.break_all(broker);
            }
            BrokerChange::Up => self.cluster.come_back(now, broker, output),
            BrokerChange::Pause => self.cluster.pause(now, broker, output),
            BrokerChange::GoOn => self.cluster.go_on(now, broker, output),
            BrokerChange::Rtt(delay) => link.set_answer_delay(delay),
            BrokerChange::SlowDisk(cost) => self.cluster.slow_disk(now, broker, cost, output),
            BrokerChange::Link { delay, loss, duplicate } => {
                link.set(delay, loss, duplicate);
                self.cluster.delay_links(now, broker, delay, output);
            }
            BrokerChange::Cut(side) => {
                if side != LinkSide::Brokers {
                    link.block(true);
                }
                if side != LinkSide::Clients {
                    self.cluster.isolate(now, broker, output);
                }
            }
            BrokerChange::Join(side) => {
                if side != LinkSide::Brokers {
                    link.block(false);
                    self.release_blocked(broker);
                }
                if side != LinkSide::Clients {
                    self.cluster.rejoin(now, broker, &mut self.output);
                }
            }
            BrokerChange::Reset => self.break_all(broker),
            BrokerChange::LoseAnswers { api, count } => {
                self.cluster.lose_answers(broker, api, count);
            }
            BrokerChange::HalfOpen => self.network.blackhole(broker),
        }
    }

    fn break_all(&mut self, broker: BrokerId) {
        for client in self.network.clients_of(broker) {
            self.break_off(client, broker);
        }
    }
}

//! Injected faults of the cluster and the network.

use super::kernel::Kernel;
use crate::broker::Disturbance;
use crate::broker::protocol::BrokerId;
use crate::plan::LinkSide;

impl Kernel {
    /// Injects a fault, or heals it.
    pub(super) fn disturb(&mut self, disturbance: &Disturbance) {
        self.flush_deferred();
        match disturbance {
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
            Disturbance::Down(brokers) => self.each(brokers, Kernel::crash),
            Disturbance::Up(brokers) => self.each(brokers, |kernel, broker| {
                kernel.cluster.come_back(kernel.now, broker, &mut kernel.output);
            }),
            Disturbance::Pause(brokers) => self.each(brokers, |kernel, broker| {
                kernel.cluster.pause(kernel.now, broker, &mut kernel.output);
            }),
            Disturbance::GoOn(brokers) => self.each(brokers, |kernel, broker| {
                kernel.cluster.go_on(kernel.now, broker, &mut kernel.output);
            }),
            Disturbance::Rtt(brokers, delay) => self.each(brokers, |kernel, broker| {
                kernel.network.link_faults[broker as usize].set_answer_delay(*delay);
            }),
            Disturbance::SlowDisk(brokers, cost) => self.each(brokers, |kernel, broker| {
                kernel.cluster.slow_disk(kernel.now, broker, *cost, &mut kernel.output);
            }),
            Disturbance::Link { brokers, delay, loss, duplicate } => {
                self.each(brokers, |kernel, broker| {
                    kernel.network.link_faults[broker as usize].set(*delay, *loss, *duplicate);
                    kernel.cluster.delay_links(kernel.now, broker, *delay, &mut kernel.output);
                });
            }
            Disturbance::Cut(brokers, side) => self.each(brokers, |kernel, broker| {
                if *side != LinkSide::Brokers {
                    kernel.network.link_faults[broker as usize].block(true);
                }
                if *side != LinkSide::Clients {
                    kernel.cluster.isolate(kernel.now, broker, &mut kernel.output);
                }
            }),
            Disturbance::Join(brokers, side) => self.each(brokers, |kernel, broker| {
                if *side != LinkSide::Brokers {
                    kernel.network.link_faults[broker as usize].block(false);
                    kernel.release_blocked(broker);
                }
                if *side != LinkSide::Clients {
                    kernel.cluster.rejoin(kernel.now, broker, &mut kernel.output);
                }
            }),
            Disturbance::Reset(brokers) => self.each(brokers, Kernel::break_all),
            Disturbance::HalfOpen(brokers) => {
                self.each(brokers, |kernel, broker| kernel.network.blackhole(broker));
            }
        }
        self.network.refresh();
        self.send_effects();
    }

    /// Applies `act` to each of these brokers, which scenarios count from 1.
    fn each(&mut self, brokers: &[u32], act: impl Fn(&mut Kernel, BrokerId)) {
        for number in brokers {
            act(self, number - 1);
        }
    }

    fn crash(&mut self, broker: BrokerId) {
        self.cluster.crash(self.now, broker, &mut self.output);
        self.break_all(broker);
    }

    fn break_all(&mut self, broker: BrokerId) {
        for client in self.network.clients_of(broker) {
            self.break_off(client, broker);
        }
    }
}

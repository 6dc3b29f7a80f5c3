//! Faults of brokers and links, and the connections that they break.

use super::delivery::ASK_AGAIN;
use super::kernel::{ControlEvent, Kernel, Occupant};
use crate::base::Time;
use crate::broker::model::{Caller, ClientId};
use crate::broker::protocol::BrokerId;
use crate::fault::{BrokerChange, ClusterFault, LinkSide};

impl Kernel {
    /// Injects a fault, or heals it.
    pub(super) fn inject(&mut self, cluster_fault: &ClusterFault) {
        self.flush_deferred();
        match cluster_fault {
            ClusterFault::Brokers(brokers, change) => {
                // Scenarios count brokers from 1.
                brokers.iter().for_each(|number| self.change_broker(number - 1, *change));
            }
            ClusterFault::Refuse { api, code, count } => {
                self.cluster.refuse_next(*api, *code, *count);
            }
            ClusterFault::Grow(total) => self.cluster.grow(self.now, *total),
            ClusterFault::DeleteRecords(partitions) => {
                partitions.iter().for_each(|partition| self.cluster.delete_records(*partition));
            }
            ClusterFault::MoveCoordinator(to) => {
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
            BrokerChange::Up => self.cluster.restart(now, broker, output),
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

    /// Sends the messages that were blocked on the links to `broker`.
    fn release_blocked(&mut self, broker: BrokerId) {
        for index in self.network.links_of(broker) {
            let (caller, _) = self.network.connection_at(index);
            let client = caller.client;
            for request in self.network.link_at(index).up.take_blocked() {
                let bytes = self.size_of_request(&request);
                let (arrival, _) = self.network.request_arrives(self.now, client, broker, bytes);
                let key = self.queue.key(arrival.at, arrival.tie);
                self.put_request(key, client, broker, request);
            }
            for response in self.network.link_at(index).down.take_blocked() {
                let key =
                    self.response_key(self.now, broker, caller, self.size_of_response(&response));
                self.put_response(key, broker, caller, response);
            }
        }
    }

    /// Breaks a connection. Its client notices after the latency of a break.
    pub(super) fn break_off(&mut self, client: ClientId, broker: BrokerId) {
        let caller = self.network.cut_off(client, broker);
        self.cluster.forget_connection(client, broker);
        let at = Time(self.now.0 + self.network.break_latency());
        self.push(at, ControlEvent::Broken { caller, broker });
    }

    /// Notifies a client that its connection is broken, unless the client has closed it.
    pub(super) fn broken(&mut self, caller: Caller, broker: BrokerId) {
        let client = caller.client;
        self.drain_acks(client);
        if !self.network.has(caller, broker) {
            return;
        }
        self.network.end(client, broker);
        let slot = &mut self.slots[client as usize];
        match &mut slot.occupant {
            Occupant::None => {}
            Occupant::Asks(_) => {
                slot.question = 0;
                self.push(self.now + ASK_AGAIN, ControlEvent::Ask(client));
            }
            Occupant::Process(process) => {
                process.client().disconnected(broker, self.now);
                self.after_delivery(client);
            }
        }
    }
}

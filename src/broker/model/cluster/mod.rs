//! The cluster: requests in, responses out, each with the time at which it leaves.
//!
//! A pure machine. [`Cluster::request`] handles a request that reaches a broker. [`Cluster::expire_timer`] is called at
//! the times that the cluster has announced. Each fault has a method. All of them add their effects to
//! [`ClusterEffects`].

mod fetching;
mod leaders;
mod outage;
mod producing;
mod refusal;
mod state;

use std::collections::VecDeque;

use self::state::{Broker, ClientState, InjectedErrors, Partition, ReplicationRounds};
use super::group::{GroupCoordinator, GroupError, GroupResponse, Ticket};
use super::log::PartitionLog;
use super::producer_states::ProducerStates;
use super::replicas::Replicas;
use crate::base::{Offset, PartitionId, Seed, Time};
use crate::broker::protocol::{BrokerId, RecordBuffer, Records, Request, Response};

pub use self::leaders::LeaderChange;
pub use self::state::{
    Caller, ClientId, ClusterEffect, ClusterEffects, ClusterTimer, Fetched, Produced,
};
pub use self::state::{Cluster, ClusterSettings};

impl Cluster {
    /// A cluster whose partitions are empty and led by the brokers in turn.
    pub fn new(settings: ClusterSettings, seed: Seed) -> Cluster {
        let mut cluster = Cluster {
            settings,
            brokers: (0..settings.brokers).map(|_| Broker::new(settings.cores)).collect(),
            partitions: Vec::new(),
            client_states: Vec::new(),
            rounds: ReplicationRounds::new(settings.brokers),
            refusals: InjectedErrors::default(),
            producers: 0,
            group: GroupCoordinator::new(settings.group, seed.child("group", 0)),
            coordinator: 0,
            group_timer: Time::NEVER,
            is_full_speed: true,
            laggards_timer: false,
            balance_timer: false,
            leader_changes: Vec::new(),
        };
        cluster.grow(Time::ZERO, settings.partitions);
        cluster
    }

    /// Adds partitions to the topic, until it has this number.
    pub fn grow(&mut self, now: Time, partitions: u32) {
        let (brokers, copies) = (self.settings.brokers, self.settings.replication_factor);
        for id in self.partitions.len() as u32..partitions {
            let on: Vec<BrokerId> =
                (0..copies.min(brokers)).map(|copy| (id + copy) % brokers).collect();
            self.partitions.push(Partition {
                log: PartitionLog::default(),
                replicas: Replicas::new(&on),
                sequences: ProducerStates::default(),
                waiting: VecDeque::new(),
                unacknowledged: VecDeque::new(),
                is_dirty: false,
            });
            self.note_change(now, PartitionId(id));
        }
        self.group.topic_has(self.partitions.len() as u32);
    }

    /// Number of requests at brokers that are paused.
    pub fn queued(&self) -> usize {
        self.brokers.iter().map(|broker| broker.queue.len()).sum()
    }

    /// The requests at brokers that are paused.
    pub fn queued_requests(&self) -> impl Iterator<Item = &Request> {
        self.brokers.iter().flat_map(|broker| &broker.queue).map(|(_, request)| request)
    }

    /// Beginning and end of the log of a partition.
    pub fn log_bounds(&self, id: PartitionId) -> Option<(i64, i64)> {
        let log = &self.partitions.get(id.0 as usize)?.log;
        Some((log.start(), log.end()))
    }

    /// Number of partitions.
    pub fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// Handles a request that reaches `broker` at `now`. It takes effect immediately, unless the broker is paused. The
    /// response leaves when the broker's CPU has done the work.
    pub fn request(
        &mut self,
        now: Time,
        broker: BrokerId,
        caller: Caller,
        request: Request,
        out: &mut ClusterEffects,
    ) {
        if self.brokers[broker as usize].is_paused {
            return self.brokers[broker as usize].queue.push((caller, request));
        }
        let cost = self.settings.request_cost;
        let at = self.brokers[broker as usize].cores.occupy(now, cost);
        let request = match self.refusals.is_empty() {
            true => request,
            false => match self.refused(broker, caller, request, at, out) {
                Some(request) => request,
                None => return,
            },
        };
        let response = match request {
            Request::Produce(produce) => return self.produce(at, broker, caller, produce, out),
            Request::Fetch(fetch) => return self.fetch(at, broker, caller, fetch, out),
            Request::Group(request) if broker == self.coordinator => {
                self.group.request(ticket(caller), *request, at);
                return self.group_says(at, out);
            }
            Request::Group(request) => {
                let refusal = GroupResponse::refusal(&request, GroupError::NotCoordinator);
                Response::Group(Box::new(refusal))
            }
            Request::FindCoordinator => Response::Coordinator(self.coordinator),
            Request::Metadata => Response::Metadata(self.leaders(broker)),
            Request::InitProducerId => {
                self.producers += 1;
                Response::InitProducerId(Ok(self.producers))
            }
            Request::ListOffsets => {
                let watermarks = |Partition { log, replicas, .. }: &Partition| {
                    (Offset(log.start()), Offset(replicas.high_watermark()))
                };
                Response::ListOffsets(self.partitions.iter().map(watermarks).collect())
            }
            Request::Close => return,
        };
        out.push(ClusterEffect::Reply { at, from: broker, to: caller, response });
    }

    /// Handles the expiration of a timer that [`ClusterEffect::Timer`] announced.
    pub fn expire_timer(&mut self, now: Time, timer: ClusterTimer, out: &mut ClusterEffects) {
        match timer {
            ClusterTimer::Fetch { client, broker } => self.expire(now, broker, client, out),
            ClusterTimer::Group => self.group_is_due(now, out),
            ClusterTimer::Replicated { pair } => self.replicated(now, pair, out),
            ClusterTimer::Session { broker, silence } => {
                self.session_is_over(now, broker, silence, out);
            }
            ClusterTimer::Laggards => self.drop_laggards(now, out),
            ClusterTimer::Balance => self.balance(now, out),
        }
    }

    /// Forgets a client whose connections are closed.
    pub fn disconnect(&mut self, client: ClientId) {
        for broker in 0..self.settings.brokers {
            self.forget_connection(client, broker);
            // Batches without a request that waits for them are not needed.
            let queue = &mut self.brokers[broker as usize].queue;
            queue.retain(|(caller, request)| {
                caller.client != client || !matches!(request, Request::Produce(_))
            });
        }
    }

    fn group_is_due(&mut self, now: Time, out: &mut ClusterEffects) {
        if now >= self.group_timer {
            self.group_timer = Time::NEVER;
        }
        // Sessions do not expire while the coordinator is down or paused.
        if self.brokers[self.coordinator as usize].is_running() {
            self.group.tick(now);
            self.group_says(now, out);
        }
    }

    fn group_says(&mut self, at: Time, out: &mut ClusterEffects) {
        let from = self.coordinator;
        for (ticket, response) in self.group.take_answers() {
            let (to, response) = (caller(ticket), Response::Group(Box::new(response)));
            out.push(ClusterEffect::Reply { at, from, to, response });
        }
        let deadline = self.group.next_deadline().unwrap_or(Time::NEVER);
        if deadline < self.group_timer {
            self.group_timer = deadline;
            out.push(ClusterEffect::Timer { at: deadline, timer: ClusterTimer::Group });
        }
    }

    fn partition(&mut self, id: PartitionId) -> &mut Partition {
        &mut self.partitions[id.0 as usize]
    }

    /// Index of the state of a client at a broker.
    fn client_index(&self, client: ClientId, broker: BrokerId) -> usize {
        (client * self.settings.brokers + broker) as usize
    }

    fn client_state(&mut self, client: ClientId, broker: BrokerId) -> &mut ClientState {
        let index = self.client_index(client, broker);
        if self.client_states.len() <= index {
            self.add_client_states(index);
        }
        &mut self.client_states[index]
    }

    #[cold]
    fn add_client_states(&mut self, index: usize) {
        self.client_states.resize_with(index + 1, ClientState::default);
    }
}

/// The address of a response, as the coordinator keeps it.
fn ticket(caller: Caller) -> Ticket {
    Ticket(u64::from(caller.connection) << 32 | u64::from(caller.client))
}

fn caller(Ticket(number): Ticket) -> Caller {
    Caller { client: number as ClientId, connection: (number >> 32) as u32 }
}

impl Records for Cluster {
    fn copy(&self, partition: PartitionId, from: i64, to: i64, out: &mut RecordBuffer) {
        self.partitions[partition.0 as usize].log.copy(from, to, out);
    }
}

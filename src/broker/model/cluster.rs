//! The cluster: requests in, responses with the time they leave out.

use std::time::Duration;

use super::cores::Cores;
use super::group::{GroupCoordinator, GroupSettings, Ticket};
use super::log::PartitionLog;
use crate::base::{Offset, PartitionId, Seed, Time};
use crate::broker::protocol::{BrokerId, ErrorCode, Fetch, Produce, Records, Request, Response};
use crate::plan::Acks;

/// A client's connections, as the cluster tells clients apart.
pub type ClientId = u32;

/// What a cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Number of brokers.
    pub brokers: u32,
    /// Cores of each broker.
    pub cores: u32,
    /// CPU time of a request.
    pub request_cost: Duration,
    /// Number of partitions.
    pub partitions: u32,
    /// Bytes kept per partition.
    pub retention_bytes: u64,
    /// How the coordinator treats groups.
    pub group: GroupSettings,
}

/// The broker that coordinates the group.
pub const COORDINATOR: BrokerId = 0;

/// Something the cluster says.
#[derive(Debug)]
pub enum Output {
    /// A response leaves `from` for `to` at `at`.
    Reply {
        /// When.
        at: Time,
        /// From which broker.
        from: BrokerId,
        /// To whom.
        to: ClientId,
        /// What.
        response: Response,
    },
    /// [`Cluster::expire`] wants to be called at `at`.
    Deadline {
        /// When.
        at: Time,
        /// Which broker's fetch.
        broker: BrokerId,
        /// Whose.
        client: ClientId,
    },
    /// [`Cluster::group_deadline`] wants to be called at `at`.
    GroupDeadline {
        /// When.
        at: Time,
    },
}

/// All brokers and partitions.
#[derive(Debug)]
pub struct Cluster {
    settings: ClusterSettings,
    brokers: Vec<Cores>,
    partitions: Vec<Partition>,
    /// Fetches that wait for records, by client and broker.
    parked: Vec<Option<Parked>>,
    /// The announced deadline of each place, if there is one: a fetch that is answered early leaves its own to the
    /// next one, so that there is one at a time and not one per fetch.
    alarms: Vec<Option<Time>>,
    producers: i64,
    group: GroupCoordinator,
    /// The earliest announced deadline of the group.
    group_alarm: Time,
}

#[derive(Debug, Default)]
struct Partition {
    leader: BrokerId,
    log: PartitionLog,
    /// Clients whose fetch waits for a record here.
    waiting: Vec<ClientId>,
}

#[derive(Debug)]
struct Parked {
    fetch: Fetch,
    deadline: Time,
}

impl Cluster {
    /// A cluster whose partitions are empty and led by the brokers in turn.
    pub fn new(settings: ClusterSettings, seed: Seed) -> Cluster {
        let partition = |id| Partition { leader: id % settings.brokers, ..Partition::default() };
        Cluster {
            settings,
            brokers: (0..settings.brokers).map(|_| Cores::new(settings.cores)).collect(),
            partitions: (0..settings.partitions).map(partition).collect(),
            parked: Vec::new(),
            alarms: Vec::new(),
            producers: 0,
            group: GroupCoordinator::new(settings.group, seed.child("group", 0)),
            group_alarm: Time::NEVER,
        }
    }

    /// Takes a request that reaches `broker` at `now`. It takes effect at once; the answer leaves when the
    /// broker's CPU has dealt with it.
    pub fn request(
        &mut self,
        now: Time,
        broker: BrokerId,
        client: ClientId,
        request: Request,
        out: &mut Vec<Output>,
    ) {
        let at = self.brokers[broker as usize].occupy(now, self.settings.request_cost);
        let response = match request {
            Request::Produce(produce) => match self.produce(at, broker, &produce, out) {
                Some(result) => Response::Produce(result),
                None => return,
            },
            Request::Fetch(fetch) => return self.fetch(at, broker, client, fetch, out),
            Request::Group(request) => {
                self.group.request(Ticket(client.into()), *request, at);
                return self.group_says(at, out);
            }
            Request::Metadata => {
                Response::Metadata(self.partitions.iter().map(|p| p.leader).collect())
            }
            Request::InitProducerId => {
                self.producers += 1;
                Response::InitProducerId(self.producers)
            }
            Request::ListOffsets => {
                let watermarks =
                    |Partition { log, .. }: &Partition| (Offset(log.start()), Offset(log.end()));
                Response::ListOffsets(self.partitions.iter().map(watermarks).collect())
            }
        };
        out.push(Output::Reply { at, from: broker, to: client, response });
    }

    /// Appends a batch. No answer with `acks = 0`.
    fn produce(
        &mut self,
        at: Time,
        broker: BrokerId,
        produce: &Produce,
        out: &mut Vec<Output>,
    ) -> Option<Result<Offset, ErrorCode>> {
        let partition = &mut self.partitions[produce.partition.0 as usize];
        let result = if partition.leader == broker {
            let offset = partition.log.append(&produce.batch);
            partition.log.retain(self.settings.retention_bytes);
            if !partition.waiting.is_empty() {
                self.wake(at, produce.partition, out);
            }
            Ok(Offset(offset))
        } else {
            Err(ErrorCode::NotLeaderOrFollower)
        };
        (produce.acks != Acks::None).then_some(result)
    }

    fn fetch(
        &mut self,
        at: Time,
        broker: BrokerId,
        client: ClientId,
        mut fetch: Fetch,
        out: &mut Vec<Output>,
    ) {
        if self.fill(broker, &mut fetch) {
            let response = Response::Fetch(fetch.slots);
            out.push(Output::Reply { at, from: broker, to: client, response });
            return;
        }
        let deadline = at + fetch.wait_max;
        for slot in &fetch.slots {
            self.partitions[slot.partition.0 as usize].waiting.push(client);
        }
        let place = self.place(client, broker);
        if self.parked.len() <= place {
            self.parked.resize_with(place + 1, || None);
            self.alarms.resize(place + 1, None);
        }
        self.parked[place] = Some(Parked { fetch, deadline });
        if self.alarms[place].is_none() {
            self.alarms[place] = Some(deadline);
            out.push(Output::Deadline { at: deadline, broker, client });
        }
    }

    /// Writes what there is into the slots. Whether that is an answer.
    fn fill(&self, broker: BrokerId, fetch: &mut Fetch) -> bool {
        let mut is_answer = fetch.slots.is_empty();
        for slot in &mut fetch.slots {
            let partition = &self.partitions[slot.partition.0 as usize];
            let (start, end) = (partition.log.start(), partition.log.end());
            slot.high_watermark = end;
            slot.error = if partition.leader != broker {
                Some(ErrorCode::NotLeaderOrFollower)
            } else if slot.offset < start || slot.offset > end {
                Some(ErrorCode::OffsetOutOfRange)
            } else {
                None
            };
            if slot.error.is_none() {
                slot.end = partition.log.fitting(slot.offset, end, fetch.partition_bytes_max);
            }
            is_answer |= slot.error.is_some() || slot.end > slot.offset;
        }
        is_answer
    }

    /// Answers the fetches that wait for a record of this partition.
    fn wake(&mut self, at: Time, partition: PartitionId, out: &mut Vec<Output>) {
        let broker = self.partitions[partition.0 as usize].leader;
        let waiting = std::mem::take(&mut self.partitions[partition.0 as usize].waiting);
        for client in &waiting {
            self.answer(at, broker, *client, out);
        }
        let kept = &mut self.partitions[partition.0 as usize].waiting;
        if kept.is_empty() {
            *kept = waiting;
            kept.clear();
        }
    }

    /// Answers a parked fetch with what there is.
    fn answer(&mut self, at: Time, broker: BrokerId, client: ClientId, out: &mut Vec<Output>) {
        let place = self.place(client, broker);
        let Some(mut parked) = self.parked.get_mut(place).and_then(Option::take) else {
            return;
        };
        self.fill(broker, &mut parked.fetch);
        for slot in &parked.fetch.slots {
            let waiting = &mut self.partitions[slot.partition.0 as usize].waiting;
            if !waiting.is_empty() {
                waiting.retain(|waiter| *waiter != client);
            }
        }
        let response = Response::Fetch(parked.fetch.slots);
        out.push(Output::Reply { at, from: broker, to: client, response });
    }

    /// A deadline announced by [`Output::Deadline`] has come: the fetch that waits now is answered, or announces its
    /// own.
    pub fn expire(&mut self, now: Time, broker: BrokerId, client: ClientId, out: &mut Vec<Output>) {
        let place = self.place(client, broker);
        self.alarms[place] = None;
        let Some(parked) = &self.parked[place] else { return };
        let deadline = parked.deadline;
        if deadline <= now {
            self.answer(now, broker, client, out);
        } else {
            self.alarms[place] = Some(deadline);
            out.push(Output::Deadline { at: deadline, broker, client });
        }
    }

    /// A deadline announced by [`Output::GroupDeadline`] has come.
    pub fn group_deadline(&mut self, now: Time, out: &mut Vec<Output>) {
        if now >= self.group_alarm {
            self.group_alarm = Time::NEVER;
        }
        self.group.tick(now);
        self.group_says(now, out);
    }

    fn group_says(&mut self, at: Time, out: &mut Vec<Output>) {
        for (Ticket(client), response) in self.group.take_answers() {
            let (to, response) = (client as ClientId, Response::Group(Box::new(response)));
            out.push(Output::Reply { at, from: COORDINATOR, to, response });
        }
        let deadline = self.group.next_deadline().unwrap_or(Time::NEVER);
        if deadline < self.group_alarm {
            self.group_alarm = deadline;
            out.push(Output::GroupDeadline { at: deadline });
        }
    }

    /// Forgets a client whose connections are closed.
    pub fn disconnect(&mut self, client: ClientId) {
        for broker in 0..self.settings.brokers {
            let place = self.place(client, broker);
            let parked = self.parked.get_mut(place).and_then(Option::take);
            for slot in parked.iter().flat_map(|parked| &parked.fetch.slots) {
                let waiting = &mut self.partitions[slot.partition.0 as usize].waiting;
                waiting.retain(|waiter| *waiter != client);
            }
        }
    }

    fn place(&self, client: ClientId, broker: BrokerId) -> usize {
        (client * self.settings.brokers + broker) as usize
    }
}

impl Records for Cluster {
    fn copy(
        &self,
        partition: PartitionId,
        from: i64,
        to: i64,
        bytes: &mut Vec<u8>,
        lengths: &mut Vec<u32>,
    ) {
        self.partitions[partition.0 as usize].log.copy(from, to, bytes, lengths);
    }
}

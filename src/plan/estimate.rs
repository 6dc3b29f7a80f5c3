//! What a plan will need of the machine, roughly, and how busy consumers will be: rate times work, per partition and per
//! member.

use std::time::Duration;

use super::{
    Assignor, BrokerPlan, ClientTopology, FaultPlan, GroupProtocol, Membership, PartitionChoice,
    Placement, Plan, ProducerClients,
};
use crate::fault::{FaultEffect, PoolFault, Targets};

/// Histograms kept for each partition, and what one of them grows to.
const HISTOGRAMS: u64 = 4;
const HISTOGRAM_BYTES: u64 = 60 * 1024;
/// A lane's sequence numbers and gaps.
const LANE_BYTES: u64 = 128;
/// A producer's schedule.
const SCHEDULE_BYTES: u64 = 128;
/// A librdkafka client with its threads' stacks and connections.
const CLIENT_BYTES: u64 = 512 * 1024;
/// Records a consumer client holds beforehand.
const FETCH_QUEUE_BYTES: u64 = 1024 * 1024;
/// A second of sent but unacknowledged records, with librdkafka's own per record.
const RECORD_OVERHEAD_BYTES: u64 = 256;
/// The program itself.
const BASE_BYTES: u64 = 16 * 1024 * 1024;

/// The program's own: results, runtimes, and the clients that ask questions.
const OWN_DESCRIPTORS: u64 = 64;
const OWN_THREADS: u64 = 32;

/// What a run needs of the process it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Clients that send and read.
    pub clients: u64,
    /// Open files.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Plan {
    /// Records per second the schedule asks for in the measured window, bursts included; none at maximum rate.
    pub fn offered_per_s(&self) -> Option<f64> {
        let per_second = self.load.per_second()?;
        Some(per_second * self.paced_seconds(self.times.warmup) / self.times.duration.as_secs_f64())
    }

    /// Seconds of the schedule from `from` to the end of the load, those within bursts multiplied.
    pub(super) fn paced_seconds(&self, from: Duration) -> f64 {
        let end = self.times.load_end();
        let more = |fault: &FaultPlan| match (&fault.kind.effect, &fault.targets) {
            (FaultEffect::Pools(PoolFault::Burst { factor }), Targets::Pools(pools)) => {
                let within = fault.end().min(end).saturating_sub(fault.at.max(from));
                let share = pools.len() as f64 / f64::from(self.load.pools);
                within.as_secs_f64() * (factor - 1.0) * share
            }
            _ => 0.0,
        };
        (end - from).as_secs_f64() + self.faults.iter().map(more).sum::<f64>()
    }

    /// What the process will need, roughly: histograms, lanes, schedules, and each client's queues.
    pub fn memory_estimate_bytes(&self) -> u64 {
        let partitions = u64::from(self.topic.partitions);
        let producers = u64::from(self.load.producers);
        let per_second = self.load.per_second().unwrap_or(200_000.0) as u64;
        let in_flight = per_second
            .min(100_000)
            .saturating_mul(u64::from(self.load.payload_bytes) + RECORD_OVERHEAD_BYTES);
        let broker = match self.broker {
            BrokerPlan::Embedded { .. } => partitions.saturating_mul(5 * 1024 * 1024).min(
                // What is sent, if that is less than what the broker keeps.
                self.messages()
                    .unwrap_or(u64::MAX)
                    .saturating_mul(u64::from(self.load.payload_bytes)),
            ),
            BrokerPlan::Kafka { .. } => 0,
            BrokerPlan::Sim(_) => self
                .messages()
                .unwrap_or(u64::MAX)
                .saturating_mul(u64::from(self.load.payload_bytes) + 4)
                .min(partitions.saturating_mul(self.topic.retention_bytes)),
        };
        [
            BASE_BYTES,
            partitions * HISTOGRAMS * HISTOGRAM_BYTES,
            self.lanes().saturating_mul(LANE_BYTES),
            producers * SCHEDULE_BYTES,
            u64::from(self.producer_clients() + self.consumer_clients()) * CLIENT_BYTES,
            u64::from(self.consumer_clients()) * FETCH_QUEUE_BYTES,
            in_flight,
            broker,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Open files and threads the process will need, roughly and rather too many, with `brokers` brokers.
    ///
    /// A librdkafka client has a thread and a pipe for each broker, for itself and (a consumer) for its coordinator, and a
    /// connection for each broker it needs (`rd_kafka_broker_add`); the embedded cluster has the other ends, too.
    pub fn needs(&self, brokers: u64) -> Needs {
        let (producers, consumers) =
            (u64::from(self.producer_clients()), u64::from(self.consumer_clients()));
        let (clients, pools) = (producers + consumers, u64::from(self.load.pools));
        let ends = match self.broker {
            BrokerPlan::Embedded { .. } => clients * (brokers + 1),
            BrokerPlan::Kafka { .. } | BrokerPlan::Sim(_) => 0,
        };
        let pipes = 2 * (producers * (brokers + 1) + consumers * (brokers + 2));
        let connections = clients * brokers + consumers;
        let threads = producers * (brokers + 2) + consumers * (brokers + 3);
        Needs {
            clients,
            descriptors: OWN_DESCRIPTORS + pipes + connections + ends,
            // A thread for each host: pools have another one for acknowledgements.
            threads: OWN_THREADS + threads + 2 * pools + consumers,
        }
    }

    /// Client connections' owners on the sending side.
    pub fn producer_clients(&self) -> u32 {
        match self.load.clients {
            ProducerClients::PerPool => self.load.pools,
            ProducerClients::PerProducer => self.load.producers,
        }
    }

    /// Client connections' owners on the reading side.
    pub fn consumer_clients(&self) -> u32 {
        match self.consumers.membership {
            Membership::Assigned { clients: ClientTopology::Shared } => 1,
            _ => self.members(),
        }
    }

    /// Lanes (producer x partition) that can come into being.
    fn lanes(&self) -> u64 {
        let producers = u64::from(self.load.producers);
        let all = producers * u64::from(self.topic.partitions);
        match self.load.partition {
            PartitionChoice::Fixed => producers,
            _ => all.min(self.messages().unwrap_or(u64::MAX)),
        }
    }
}

/// How busy the consumers of a paced load will be, if there is work to do for a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Utilisation {
    /// By partition id.
    pub partitions: Vec<PartitionUse>,
    /// By member id; consumers with a partition each are not listed again.
    pub members: Vec<MemberUse>,
}

/// How busy one partition keeps its consumer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionUse {
    /// Which one.
    pub partition: u32,
    /// Records per second.
    pub per_second: f64,
    /// Mean time a record takes, in seconds.
    pub work_s: f64,
}

/// How busy a thread with several partitions is.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberUse {
    /// Which one: a group member, or the shared client.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<u32>,
    /// Consumers it stands for: 1 is always busy.
    pub consumers: f64,
}

impl PartitionUse {
    /// Consumers the partition needs: 1 keeps one busy all the time.
    pub fn consumers(&self) -> f64 {
        self.per_second * self.work_s
    }
}

impl Plan {
    /// How busy consumers will be. Nothing at maximum rate, without work, or with a handler whose work is not known.
    /// Partitions that a fault adds, bursts and rebalances are left out.
    pub fn utilisation(&self) -> Utilisation {
        let Some(all) = self.load.per_second().filter(|_| self.consumers.work.is_some()) else {
            return Utilisation::default();
        };
        let (load, partitions) = (&self.load, self.topic.partitions);
        let placement = Placement::new(load.partition, partitions, load.skew, self.seed, self.seed);
        let shares = placement.shares(load.producers);
        let of_partition = |(id, share): (u32, f64)| PartitionUse {
            partition: id,
            per_second: all * share,
            work_s: self.consumers.work.of(id).mean().as_secs_f64(),
        };
        let partitions: Vec<PartitionUse> = (0..).zip(shares).map(of_partition).collect();
        let members = self.shared_among(&partitions);
        Utilisation { partitions, members }
    }

    /// The threads that have several partitions, as a group deals them out at first.
    fn shared_among(&self, partitions: &[PartitionUse]) -> Vec<MemberUse> {
        let count = partitions.len() as u32;
        let member = |name: String, ids: Vec<u32>| MemberUse {
            name,
            consumers: ids.iter().map(|id| partitions[*id as usize].consumers()).sum(),
            partitions: ids,
        };
        match &self.consumers.membership {
            Membership::Assigned { clients: ClientTopology::PerPartition } => Vec::new(),
            Membership::Assigned { clients: ClientTopology::Shared } => {
                vec![member("the shared client".to_owned(), (0..count).collect())]
            }
            Membership::Group(group) => {
                let in_ranges = match &group.protocol {
                    GroupProtocol::Classic { assignor, .. } => *assignor == Assignor::Range,
                    GroupProtocol::Consumer { .. } => true,
                };
                let (members, each) = (group.members, count / group.members.max(1));
                let more = count % group.members.max(1);
                let dealt = |id: u32| match in_ranges {
                    // The first ones get one more each (Kafka's RangeAssignor).
                    true => {
                        let from = id * each + id.min(more);
                        (from..from + each + u32::from(id < more)).collect()
                    }
                    false => (id..count).step_by(members as usize).collect(),
                };
                (0..members).map(|id| member(format!("member {id}"), dealt(id))).collect()
            }
        }
    }
}

impl Utilisation {
    /// The partition that needs most of a consumer.
    pub fn busiest_partition(&self) -> Option<&PartitionUse> {
        self.partitions.iter().max_by(|a, b| a.consumers().total_cmp(&b.consumers()))
    }

    /// The busiest thread with several partitions.
    pub fn busiest_member(&self) -> Option<&MemberUse> {
        self.members.iter().max_by(|a, b| a.consumers.total_cmp(&b.consumers))
    }

    /// Consumers that the busiest thread stands for.
    pub fn most(&self) -> f64 {
        let partition = self.busiest_partition().map_or(0.0, PartitionUse::consumers);
        self.busiest_member().map_or(partition, |member| member.consumers.max(partition))
    }
}

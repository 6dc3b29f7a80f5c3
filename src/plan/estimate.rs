//! Estimates of a plan's needs of the machine, and of the utilisation of consumers: rate times work, per partition and
//! per member.

use std::time::Duration;

use super::{
    Assignor, ClientTopology, FaultPlan, GroupProtocol, Membership, PartitionChoice, Placement,
    Plan, ProducerClients, RateBurst, RateCurve, Work,
};
use crate::base::{ClientKind, PartitionId, PoolId};
use crate::fault::{FaultEffect, PoolFault, Targets};

/// Number of histograms per partition. The next constant is the size of a large one.
const HISTOGRAMS: u64 = 4;
const HISTOGRAM_BYTES: u64 = 60 * 1024;
/// Bytes of a lane's sequence numbers and gaps.
const LANE_BYTES: u64 = 128;
/// Bytes of a producer's schedule.
const SCHEDULE_BYTES: u64 = 128;
/// Bytes of a librdkafka client, with the stacks of its threads and its connections.
const CLIENT_BYTES: u64 = 512 * 1024;
/// Bytes of records that a consumer's client has fetched and not delivered.
const FETCH_QUEUE_BYTES: u64 = 1024 * 1024;
/// Bytes that librdkafka adds to each unacknowledged record.
const RECORD_OVERHEAD_BYTES: u64 = 256;
/// Bytes of the program itself.
const BASE_BYTES: u64 = 16 * 1024 * 1024;

/// Largest number of threads that consumers share. These threads mostly verify records, and few machines can send more
/// than four threads verify.
/// verify.
pub const CONSUMER_THREADS_MAX: usize = 4;

/// Descriptors of the program itself: results, runtimes, and the clients that make queries.
const OWN_DESCRIPTORS: u64 = 64;
const OWN_THREADS: u64 = 32;

/// A run's needs of its process.
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
    /// Records per second due in the measured window, bursts included; `None` at maximum rate.
    pub fn offered_per_s(&self) -> Option<f64> {
        let per_second = self.load.per_second()?;
        Some(per_second * self.paced_seconds(self.times.warmup) / self.times.duration.as_secs_f64())
    }

    /// Seconds of the schedule from `from` to the end of the load. Seconds within bursts are multiplied by their
    /// factor.
    pub(super) fn paced_seconds(&self, from: Duration) -> f64 {
        let end = self.times.load_end();
        if !self.load.stages.is_empty() {
            return self.staged_seconds(from);
        }
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

    /// The same with stages. Each pool has its own bursts, and all have equal shares of the load.
    fn staged_seconds(&self, from: Duration) -> f64 {
        let pools = self.load.pools.max(1);
        let of_pool = |pool: u32| {
            let curve = self.rate_curve(PoolId(pool));
            curve.load_time(curve.end()) - curve.load_time(from.as_nanos() as i64)
        };
        (0..pools).map(of_pool).sum::<f64>() / f64::from(pools) / 1e9
    }

    /// The rate of a pool's load over time: its stages and bursts.
    pub fn rate_curve(&self, pool: PoolId) -> RateCurve {
        let own = self.load.per_second().unwrap_or(1.0);
        RateCurve::new(self.times.warmup, own, &self.load.stages, self.bursts(pool))
    }

    /// The bursts of a pool, in the order of their times. Where they overlap, the first one counts.
    pub fn bursts(&self, pool: PoolId) -> Vec<RateBurst> {
        let mut bursts: Vec<RateBurst> = Vec::new();
        for fault in &self.faults {
            let (FaultEffect::Pools(PoolFault::Burst { factor }), Targets::Pools(pools)) =
                (&fault.kind.effect, &fault.targets)
            else {
                continue;
            };
            let at_ns = fault.at.as_nanos() as i64;
            let from_ns = bursts.last().map_or(at_ns, |last| last.to_ns.max(at_ns));
            let to_ns = fault.end().as_nanos() as i64;
            if pools.contains(&pool) && from_ns < to_ns {
                bursts.push(RateBurst { from_ns, to_ns, factor: *factor });
            }
        }
        bursts
    }

    /// Estimated memory of the process in bytes: histograms, lanes, schedules, and each client's queues.
    pub fn memory_estimate_bytes(&self) -> u64 {
        let partitions = u64::from(self.own_partitions());
        let producers = u64::from(self.own_producers());
        // A lane belongs to the process that sends and to the process that reads.
        let lanes = match self.share {
            Some(share) => self.lanes().saturating_mul(2) / u64::from(share.count.max(2)),
            None => self.lanes(),
        };
        let per_second = self.load.highest_per_second().unwrap_or(200_000.0) as u64;
        let in_flight = per_second
            .min(100_000)
            .saturating_mul(u64::from(self.load.payload_bytes) + RECORD_OVERHEAD_BYTES);
        let capability = self.broker.capability();
        let broker = match capability.is_elsewhere {
            true => 0,
            false => {
                // The records sent, or the limit of the broker if that is less. The model needs four more bytes for
                // each.
                let more = if capability.is_modelled { 4 } else { 0 };
                let kept = capability.partition_bytes_max.unwrap_or(self.topic.retention_bytes);
                self.messages()
                    .unwrap_or(u64::MAX)
                    .saturating_add(self.load.backlog.unwrap_or(0))
                    .saturating_mul(u64::from(self.load.payload_bytes) + more)
                    .min(partitions.saturating_mul(kept))
            }
        };
        [
            BASE_BYTES,
            partitions * HISTOGRAMS * HISTOGRAM_BYTES,
            lanes.saturating_mul(LANE_BYTES),
            producers * SCHEDULE_BYTES,
            u64::from(self.own_producer_clients() + self.own_consumer_clients()) * CLIENT_BYTES,
            u64::from(self.own_consumer_clients()) * FETCH_QUEUE_BYTES,
            in_flight,
            broker,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Open files and threads that the process needs with `brokers` brokers. The estimate is rather too high.
    ///
    /// A librdkafka client has a thread and a pipe for each broker, for itself, and as a consumer for its coordinator.
    /// It also has a connection for each broker that it needs (`rd_kafka_broker_add`). The embedded cluster has the
    /// other ends of the connections too.
    pub fn needs(&self, brokers: u64) -> Needs {
        let (producers, consumers) =
            (u64::from(self.own_producer_clients()), u64::from(self.own_consumer_clients()));
        let (clients, pools) = (producers + consumers, u64::from(self.own_pools()));
        let ends = match self.broker.capability().has_sockets_here {
            true => clients * (brokers + 1),
            false => 0,
        };
        let connections = clients * brokers + consumers;
        let shared =
            (0..self.own_consumer_clients()).filter(|id| self.shares_a_thread(*id)).count();
        let hosts = consumers - (shared - shared.min(CONSUMER_THREADS_MAX)) as u64;
        let (pipes, threads) = match self.broker.client() {
            ClientKind::Rdkafka => (
                2 * (producers * (brokers + 1) + consumers * (brokers + 2)),
                producers * (brokers + 2) + consumers * (brokers + 3),
            ),
            // No threads, and an `epoll` and a timer for each host's thread.
            ClientKind::Native => (2 * (pools + hosts), 0),
        };
        Needs {
            clients,
            descriptors: OWN_DESCRIPTORS + pipes + connections + ends,
            // One thread per host. Pools have another one for acknowledgements.
            threads: OWN_THREADS + threads + 2 * pools + hosts,
        }
    }

    /// True if consumer `consumer` without a user's handler shares its thread with others, because it never blocks the
    /// thread. Work that occupies a core would block it, and members of a group wait for each other.
    pub fn shares_a_thread(&self, consumer: u32) -> bool {
        let per_partition = Membership::Assigned { clients: ClientTopology::PerPartition };
        self.broker.client().shares_threads()
            && self.consumers.membership == per_partition
            && !matches!(self.consumers.work.of(consumer), Work::Cpu(_))
    }

    /// Number of clients that producers have.
    pub fn producer_clients(&self) -> u32 {
        match self.load.clients {
            ProducerClients::PerPool => self.load.pools,
            ProducerClients::PerProducer => self.load.producers,
        }
    }

    /// The same in this process, which may be one of several.
    fn own_producer_clients(&self) -> u32 {
        match self.load.clients {
            ProducerClients::PerPool => self.own_pools(),
            ProducerClients::PerProducer => self.own_producers(),
        }
    }

    fn own_pools(&self) -> u32 {
        (0..self.load.pools).filter(|id| self.has_pool(PoolId(*id))).count() as u32
    }

    fn own_partitions(&self) -> u32 {
        (0..self.topic.partitions).filter(|id| self.reads(PartitionId(*id))).count() as u32
    }

    /// The same in this process. Runs by several processes have assigned consumers only.
    fn own_consumer_clients(&self) -> u32 {
        self.consumer_clients().min(match self.share {
            Some(_) => self.own_partitions(),
            None => u32::MAX,
        })
    }

    /// Number of clients that consumers have.
    pub fn consumer_clients(&self) -> u32 {
        match self.consumers.membership {
            Membership::Assigned { clients: ClientTopology::Shared } => 1,
            _ => self.members(),
        }
    }

    /// Largest number of lanes (producer x partition).
    fn lanes(&self) -> u64 {
        let producers = u64::from(self.load.producers);
        let all = producers * u64::from(self.topic.partitions);
        match self.load.partition {
            PartitionChoice::Fixed | PartitionChoice::Only(_) => producers,
            _ => all.min(self.messages().unwrap_or(u64::MAX)),
        }
    }
}

/// The utilisation of the consumers of a paced load; empty if records cost no work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Utilisation {
    /// Index: the partition's id.
    pub partitions: Vec<PartitionUse>,
    /// By member id; empty if each consumer has one partition.
    pub members: Vec<MemberUse>,
}

/// The load that one partition puts on its consumer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionUse {
    /// Id of the partition.
    pub partition: u32,
    /// Records per second.
    pub per_second: f64,
    /// Mean time a record takes, in seconds.
    pub work_s: f64,
}

/// The utilisation of a thread with several partitions.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberUse {
    /// Name of the thread's owner: a group member, or the shared client.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<u32>,
    /// Utilisation of the thread; 1 is always busy.
    pub consumers: f64,
}

impl PartitionUse {
    /// Utilisation of the partition's consumer; 1 is always busy.
    pub fn consumers(&self) -> f64 {
        self.per_second * self.work_s
    }
}

impl Plan {
    /// The utilisation of consumers at the highest rate of the load. Empty at maximum rate, without work, or with a
    /// handler whose work is not known. Partitions that a fault adds, bursts and rebalances are left out.
    pub fn utilisation(&self) -> Utilisation {
        let highest = self.load.highest_per_second().filter(|_| self.consumers.work.is_some());
        let Some(all) = highest else {
            return Utilisation::default();
        };
        let (load, partitions) = (&self.load, self.topic.partitions);
        let placement = Placement::new(load.partition, partitions, load.skew, self.seed, self.seed)
            .with_key_skew(load.key_skew);
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

    /// The utilisation of threads with several partitions, for the first assignment of a group.
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
                    // The first members get one more partition each (Kafka's RangeAssignor).
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
    /// The partition with the highest utilisation.
    pub fn busiest_partition(&self) -> Option<&PartitionUse> {
        self.partitions.iter().max_by(|a, b| a.consumers().total_cmp(&b.consumers()))
    }

    /// The busiest thread with several partitions.
    pub fn busiest_member(&self) -> Option<&MemberUse> {
        self.members.iter().max_by(|a, b| a.consumers.total_cmp(&b.consumers))
    }

    /// Utilisation of the busiest thread.
    pub fn most(&self) -> f64 {
        let partition = self.busiest_partition().map_or(0.0, PartitionUse::consumers);
        self.busiest_member().map_or(partition, |member| member.consumers.max(partition))
    }
}

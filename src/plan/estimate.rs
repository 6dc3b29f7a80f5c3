//! What a plan will need of the machine, roughly.

use std::time::Duration;

use super::{
    BrokerPlan, ClientTopology, FaultPlan, Membership, PartitionChoice, Plan, ProducerClients,
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

//! What is sent: producers, their schedule, and where each record goes.

use std::fmt;
use std::time::Duration;

/// The load.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadPlan {
    /// Number of producers (schedules).
    pub producers: u32,
    /// How fast each producer sends.
    pub pace: Pace,
    /// Total number of messages, after which the load ends.
    pub messages: Option<u64>,
    /// Size of each payload in bytes, stamp included.
    pub payload_bytes: u32,
    /// Which partition a record goes to.
    pub partition: PartitionChoice,
    /// Zipf exponent of the partition weights for `random` and `keyed`; 0 is uniform.
    pub skew: f64,
    /// How the producers' schedules are placed against each other.
    pub phases: Phases,
    /// Number of producer pools (actors, one thread each).
    pub pools: u32,
    /// How many connections carry the producers.
    pub clients: ProducerClients,
    /// Which replicas must have a record before it is acknowledged.
    pub acks: Acks,
    /// Whether the client's retries may not duplicate or reorder.
    pub idempotence: bool,
    /// How long a client waits for a batch to fill.
    pub linger: Duration,
    /// Compression of batches.
    pub compression: Compression,
    /// At maximum rate: bytes per partition that may be sent but not yet processed.
    pub unprocessed_bytes_max: Option<u64>,
}

impl LoadPlan {
    /// Messages per second of all producers together; `None` at maximum rate.
    pub fn per_second(&self) -> Option<f64> {
        match self.pace {
            Pace::Paced { period } => Some(f64::from(self.producers) / period.as_secs_f64()),
            Pace::Max => None,
        }
    }
}

/// How fast a producer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Record k is due at start + phase + k x period.
    Paced {
        /// Time between two records of one producer.
        period: Duration,
    },
    /// As fast as the client takes them; intended = actual send.
    Max,
}

/// Which partition a record goes to. Always decided here, never by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    /// Producer i always to partition i mod n.
    Fixed,
    /// Each producer goes round all partitions, starting at i mod n.
    RoundRobin,
    /// A random partition for each record.
    Random,
    /// A random key for each record; a key always goes to the same partition.
    Keyed {
        /// Number of distinct keys.
        keys: u32,
    },
}

/// How schedules are placed against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// Producer i starts i/n of a period late.
    Uniform,
    /// Each producer starts at a random point of its period.
    Random,
    /// Gaps are exponentially distributed with the period as mean (still fixed beforehand).
    Poisson,
}

/// How many client connections carry the producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerClients {
    /// One client per pool.
    PerPool,
    /// One client per producer.
    PerProducer,
}

/// The acknowledgement a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// None: a send counts as acknowledged when it leaves.
    None,
    /// The leader.
    Leader,
    /// All in-sync replicas.
    All,
}

/// Compression of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd; needs the `zstd` feature.
    Zstd,
}

impl fmt::Display for Acks {
    /// librdkafka's spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        })
    }
}

impl fmt::Display for Compression {
    /// librdkafka's spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
    }
}

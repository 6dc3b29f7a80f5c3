//! What each kind of broker can do: a table the plan reads without knowing any broker.

use std::fmt;
use std::time::Duration;

/// Where the records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// librdkafka's mock cluster in this process: real sockets on loopback, nothing to install.
    Embedded,
    /// A cluster given by `--bootstrap`.
    Kafka,
    /// The broker model in virtual time.
    Sim,
}

/// The facts about a kind of broker that decide whether a scenario makes sense on it.
#[derive(Clone, Copy, Debug)]
pub struct Capability {
    /// Bytes a partition keeps before the oldest records are trimmed, if that is a fixed limit.
    pub partition_bytes_max: Option<u64>,
    /// Record batches a partition keeps, if that is a fixed limit.
    pub partition_batches_max: Option<u64>,
    /// The largest record batch a topic takes, in bytes, as far as that is known before the cluster is asked.
    pub batch_bytes_max: u64,
    /// Whether latency, recovery and rebalance times say anything about a real cluster.
    pub timing_is_real: bool,
    /// Whether an empty fetch is answered as soon as a record arrives.
    pub long_polls: bool,
    /// The shortest session timeout with which a group forms, if that is a fixed limit.
    pub session_timeout_min: Option<Duration>,
    /// Whether a topic's retention can be set.
    pub has_retention: bool,
    /// Whether a static member that comes back gets its place in a classic group.
    pub keeps_static_places: bool,
    /// Whether a topic can be given more partitions.
    pub can_grow: bool,
    /// Whether its brokers can be taken away, slowed down and made to refuse requests from here.
    pub breaks_on_demand: bool,
    /// Whether it is a model, to which anything can be done.
    pub is_modelled: bool,
    /// Whether records can be deleted.
    pub deletes_records: bool,
    /// Whether duplicates of an idempotent producer are filtered by the broker.
    pub filters_duplicates: bool,
    /// Whether consumers' clients say when the response with a record reached them.
    pub fetch_is_timed: bool,
}

/// `message.max.bytes` of a broker of Kafka, and `max.message.bytes` of its topics, unless they are set.
const KAFKA_BATCH_BYTES: u64 = 1_048_588;

impl BrokerKind {
    /// The row of the table for this kind.
    pub fn capability(self) -> Capability {
        match self {
            // librdkafka 2.12.1, rdkafka_mock.c: max_size 5 MiB and max_cnt 100,000 per partition are
            // compiled in; Fetch waits out its whole fetch.wait.max.ms; idempotence is only checked
            // with a transactional id.
            BrokerKind::Embedded => Capability {
                partition_bytes_max: Some(5 * 1024 * 1024),
                partition_batches_max: Some(100_000),
                // It refuses none, but keeps no larger one.
                batch_bytes_max: 5 * 1024 * 1024,
                // Tried: with 2 s no group forms, because members are thrown out while the first join waits.
                session_timeout_min: Some(Duration::from_secs(3)),
                timing_is_real: false,
                long_polls: false,
                has_retention: false,
                breaks_on_demand: true,
                is_modelled: false,
                deletes_records: false,
                // rdkafka_mock_cgrp.c finds classic members by their id only, never by `group.instance.id`.
                keeps_static_places: false,
                // No CreatePartitions handler.
                can_grow: false,
                filters_duplicates: false,
                // librdkafka keeps no time with a message it has fetched.
                fetch_is_timed: false,
            },
            BrokerKind::Kafka => Capability {
                partition_bytes_max: None,
                partition_batches_max: None,
                batch_bytes_max: KAFKA_BATCH_BYTES,
                session_timeout_min: None,
                timing_is_real: true,
                long_polls: true,
                has_retention: true,
                breaks_on_demand: false,
                is_modelled: false,
                deletes_records: true,
                keeps_static_places: true,
                can_grow: true,
                filters_duplicates: true,
                fetch_is_timed: false,
            },
            // Its times follow from the model and its settings, which is what they are for.
            BrokerKind::Sim => Capability {
                partition_bytes_max: None,
                partition_batches_max: None,
                batch_bytes_max: KAFKA_BATCH_BYTES,
                session_timeout_min: None,
                timing_is_real: true,
                long_polls: true,
                has_retention: true,
                breaks_on_demand: true,
                is_modelled: true,
                deletes_records: true,
                can_grow: true,
                keeps_static_places: true,
                filters_duplicates: true,
                fetch_is_timed: true,
            },
        }
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BrokerKind::Embedded => "embedded",
            BrokerKind::Kafka => "kafka",
            BrokerKind::Sim => "sim",
        })
    }
}

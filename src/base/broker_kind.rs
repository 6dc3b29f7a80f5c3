//! The kinds of broker. Each is one item here and one line in [`BROKER_KINDS`].
//!
//! A kind has a name and capabilities. Other code reads these fields, and never asks for the name of a kind. A table in
//! `run` has the way in which a run on each kind is made, because that needs the kind's adapter.

use std::fmt;
use std::time::Duration;

use super::client_kind::ClientKind;

/// A kind of broker: a line of the registry.
#[derive(Clone, Copy)]
pub struct BrokerKind(&'static BrokerInfo);

/// Name, texts and capabilities of a kind of broker.
#[derive(Debug)]
struct BrokerInfo {
    name: &'static str,
    doc: &'static str,
    called: &'static str,
    here: &'static str,
    part_of: Option<ClientKind>,
    capability: Capability,
}

/// Every kind, in the order of `--help`. The first is the default.
pub const BROKER_KINDS: &[BrokerKind] = &[BrokerKind::EMBEDDED, BrokerKind::KAFKA, BrokerKind::SIM];

impl BrokerKind {
    /// librdkafka's mock cluster in this process: real sockets on loopback, nothing to install.
    pub const EMBEDDED: BrokerKind = BrokerKind(&BrokerInfo {
        name: "embedded",
        doc: "librdkafka's mock cluster, in this process: nothing to install",
        called: "embedded",
        here: "this run is on the cluster embedded in this process",
        part_of: Some(ClientKind::Rdkafka),
        // librdkafka 2.12.1, rdkafka_mock.c: max_size 5 MiB and max_cnt 100,000 per partition are
        // compiled in; Fetch waits out its whole fetch.wait.max.ms; idempotence is only checked
        // with a transactional id.
        capability: Capability {
            is_elsewhere: false,
            is_modelled: false,
            has_sockets_here: true,
            takes_access: false,
            partition_bytes_max: Some(5 * 1024 * 1024),
            partition_batches_max: Some(100_000),
            // The mock cluster accepts larger batches, but does not keep them.
            batch_bytes_max: 5 * 1024 * 1024,
            // Measured: with 2 s no group forms, because members are removed while the first join waits.
            session_timeout_min: Some(Duration::from_secs(3)),
            timing_is_real: false,
            long_polls: false,
            replicates: false,
            replicas_default: 1,
            has_retention: false,
            breaks_on_demand: true,
            deletes_records: false,
            // rdkafka_mock_cgrp.c finds classic members by their id only, never by `group.instance.id`.
            keeps_static_places: false,
            // No CreatePartitions handler.
            can_grow: false,
            filters_duplicates: false,
        },
    });

    /// A cluster given by `--bootstrap`.
    pub const KAFKA: BrokerKind = BrokerKind(&BrokerInfo {
        name: "kafka",
        doc: "A real cluster",
        called: "kafka",
        here: "this run is on the cluster given by `--bootstrap` or `kafka.bootstrap`",
        part_of: None,
        capability: Capability {
            is_elsewhere: true,
            is_modelled: false,
            has_sockets_here: false,
            takes_access: true,
            partition_bytes_max: None,
            partition_batches_max: None,
            batch_bytes_max: KAFKA_BATCH_BYTES,
            session_timeout_min: None,
            timing_is_real: true,
            long_polls: true,
            replicates: true,
            replicas_default: 1,
            has_retention: true,
            breaks_on_demand: false,
            deletes_records: true,
            keeps_static_places: true,
            can_grow: true,
            filters_duplicates: true,
        },
    });

    /// The broker model in virtual time.
    pub const SIM: BrokerKind = BrokerKind(&BrokerInfo {
        name: "sim",
        doc: "A simulated cluster in virtual time: the same seed gives the same result",
        called: "simulated",
        here: "this run is simulated",
        part_of: None,
        capability: Capability {
            is_elsewhere: false,
            is_modelled: true,
            has_sockets_here: false,
            takes_access: false,
            partition_bytes_max: None,
            partition_batches_max: None,
            batch_bytes_max: KAFKA_BATCH_BYTES,
            session_timeout_min: None,
            // The times follow from the model and its settings, as intended.
            timing_is_real: true,
            long_polls: true,
            replicates: true,
            replicas_default: 3,
            has_retention: true,
            breaks_on_demand: true,
            deletes_records: true,
            can_grow: true,
            keeps_static_places: true,
            filters_duplicates: true,
        },
    });

    /// The kind of a run that names no broker and no cluster.
    pub fn default_kind() -> BrokerKind {
        BROKER_KINDS[0]
    }

    /// The kind of clusters at given addresses.
    #[cfg_attr(doc, doc(hidden))]
    pub fn elsewhere() -> BrokerKind {
        first(|capability| capability.is_elsewhere)
    }

    /// The kind that is a model in virtual time, for `explore` and `replay`.
    #[cfg_attr(doc, doc(hidden))]
    pub fn simulated() -> BrokerKind {
        first(|capability| capability.is_modelled)
    }

    /// The kind with this name; `None` if there is none.
    pub fn named(name: &str) -> Option<BrokerKind> {
        BROKER_KINDS.iter().copied().find(|kind| kind.name() == name)
    }

    /// True if this build includes the kind. Some are a part of a client library.
    pub fn is_built_in(self) -> bool {
        self.0.part_of.is_none_or(ClientKind::is_built_in)
    }

    /// The name on the command line and in results, and of its section in a scenario.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The description for `--help`.
    pub fn doc(self) -> &'static str {
        self.0.doc
    }

    /// The name of its clusters in texts, as in "the embedded cluster".
    #[cfg_attr(doc, doc(hidden))]
    pub fn called(self) -> &'static str {
        self.0.called
    }

    /// A sentence about the place of a run of this kind.
    #[cfg_attr(doc, doc(hidden))]
    pub fn here(self) -> &'static str {
        self.0.here
    }

    /// The capabilities of the kind.
    #[cfg_attr(doc, doc(hidden))]
    pub fn capability(self) -> &'static Capability {
        &self.0.capability
    }
}

/// The first kind for which `holds` is true. The registry has one.
fn first(holds: impl Fn(&Capability) -> bool) -> BrokerKind {
    let found = BROKER_KINDS.iter().find(|kind| holds(kind.capability()));
    found.copied().unwrap_or(BROKER_KINDS[0])
}

/// Capabilities of a kind of broker, which decide whether a scenario is possible on it.
#[derive(Clone, Copy, Debug)]
pub struct Capability {
    /// True if its brokers exist before and after the run. Otherwise they end with the run.
    pub is_elsewhere: bool,
    /// True if it is a model that supports every fault. Its clients are models too, of the native client.
    pub is_modelled: bool,
    /// True if the brokers' ends of connections are sockets of this process.
    pub has_sockets_here: bool,
    /// True if its clients get the properties for access to a cluster, such as those of TLS and SASL.
    pub takes_access: bool,
    /// Bytes that a partition keeps before the oldest records are trimmed; `None` without a fixed limit.
    pub partition_bytes_max: Option<u64>,
    /// Record batches that a partition keeps; `None` without a fixed limit.
    pub partition_batches_max: Option<u64>,
    /// The largest record batch of a topic in bytes. For a cluster elsewhere, Kafka's default.
    pub batch_bytes_max: u64,
    /// True if latency, recovery and rebalance times are comparable with those of a real cluster.
    pub timing_is_real: bool,
    /// True if a waiting fetch is answered as soon as a record arrives.
    pub long_polls: bool,
    /// The shortest session timeout with which a group forms; `None` without a fixed limit.
    pub session_timeout_min: Option<Duration>,
    /// True if followers replicate records from a leader.
    pub replicates: bool,
    /// Default number of replicas of a partition, limited by the number of brokers.
    pub replicas_default: u32,
    /// True if a topic's retention can be set.
    pub has_retention: bool,
    /// True if a static member of a classic group gets its partitions back when it returns.
    pub keeps_static_places: bool,
    /// True if partitions can be added to a topic.
    pub can_grow: bool,
    /// True if the run can stop brokers, slow them down, and make them refuse requests.
    pub breaks_on_demand: bool,
    /// True if records can be deleted.
    pub deletes_records: bool,
    /// True if the broker drops duplicates of an idempotent producer.
    pub filters_duplicates: bool,
}

/// Kafka's default of `message.max.bytes` of brokers and `max.message.bytes` of topics.
const KAFKA_BATCH_BYTES: u64 = 1_048_588;

impl PartialEq for BrokerKind {
    fn eq(&self, other: &BrokerKind) -> bool {
        self.name() == other.name()
    }
}

impl Eq for BrokerKind {}

impl fmt::Debug for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_what_it_is_and_no_other_has_its_name() {
        assert!(BrokerKind::elsewhere().capability().is_elsewhere);
        assert!(BrokerKind::simulated().capability().is_modelled);
        let names: std::collections::BTreeSet<_> =
            BROKER_KINDS.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), BROKER_KINDS.len());
        // A run that names neither needs nothing to be installed.
        assert!(!BrokerKind::default_kind().capability().is_elsewhere);
    }
}

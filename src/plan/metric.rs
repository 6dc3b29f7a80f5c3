//! The figures an expectation can name.

use std::fmt;

use crate::base::BrokerKind;

/// One figure of the summary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// A count of the ledger or of the supervision.
    Counter(Counter),
    /// Whether consumers process what is sent and the cluster takes what is due: 1 or 0.
    KeepsUp,
    /// Achieved divided by offered rate.
    AchievedShare,
    /// Processed messages per second over the whole run.
    AchievedPerSecond,
    /// A latency quantile, in nanoseconds.
    Latency {
        /// All partitions merged, each one, or a single one.
        scope: Scope,
        /// Response or service time.
        latency: Latency,
        /// In 0..=1; 1 is the maximum.
        quantile: f64,
    },
    /// A quantile of the time from send to acknowledgement, in nanoseconds.
    Acknowledgement {
        /// In 0..=1; 1 is the maximum.
        quantile: f64,
    },
    /// A quantile of a part of the latency, in nanoseconds.
    Part {
        /// Which part.
        part: Part,
        /// In 0..=1.
        quantile: f64,
    },
    /// A quantile of schedule lateness, in nanoseconds.
    Lateness {
        /// In 0..=1.
        quantile: f64,
    },
    /// Records per second of a partition.
    PartitionRate {
        /// Each one or a single one; never `All`.
        scope: Scope,
    },
    /// Largest lag of a partition, in records.
    LagMax {
        /// Each one or a single one; never `All`.
        scope: Scope,
    },
    /// Coefficient of variation of the partitions' rates.
    RateSpread,
    /// Largest partition p99 divided by the median of the partitions' p99s.
    P99Spread,
    /// Number of rebalances after the group was complete.
    Rebalances,
    /// A figure of fault number `index`.
    Fault {
        /// Position in the scenario, from 0.
        index: usize,
        /// Which figure.
        figure: FaultFigure,
    },
}

/// Which partitions a metric speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All partitions merged into one distribution.
    All,
    /// Every partition by itself: the worst decides.
    Each,
    /// One partition.
    One(u32),
}

/// From when a latency counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Processed - intended send.
    Response,
    /// Processed - actual send.
    Service,
}

/// A part of the latency, of all partitions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Send -> in the consumer's client.
    Fetch,
    /// In the client -> handling begins.
    Waiting,
    /// Send -> handling begins.
    HandedOver,
    /// Handling begins -> processed.
    Handling,
}

impl Part {
    /// Every part with its name and what it is.
    pub const ALL: [(Part, &'static str, &'static str); 4] = [
        (Part::Fetch, "fetch", "send to the response that brings the record to its consumer"),
        (Part::Waiting, "waiting", "time in the consumer's client, behind other records"),
        (Part::HandedOver, "handed_over", "send to the beginning of the handling"),
        (Part::Handling, "handling", "time the handling takes"),
    ];

    /// Its name in results and expectations.
    pub fn name(self) -> &'static str {
        Part::ALL.iter().find(|(part, ..)| *part == self).map_or("", |(_, name, _)| name)
    }

    /// Why clients on this kind of broker do not tell this part from the others; `None` if they do.
    pub fn not_measured_on(self, kind: BrokerKind) -> Option<&'static str> {
        match (self, kind.capability().fetch_is_timed) {
            (Part::Fetch | Part::Waiting, false) => Some(
                "librdkafka does not say when it received a record: `handed_over` is both parts together",
            ),
            (Part::HandedOver, true) => {
                Some("the client tells its two parts apart: `fetch` and `waiting`")
            }
            _ => None,
        }
    }
}

/// Counts an expectation can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Records handed to the client.
    Sent,
    /// Records acknowledged.
    Acked,
    /// Records that were never appended.
    Failed,
    /// Records without an acknowledgement that may have been appended.
    Indeterminate,
    /// Distinct records processed.
    Delivered,
    /// Acknowledged and never to be processed.
    Lost,
    /// Acknowledged, still in the log behind the checkpoint after the drain.
    Unread,
    /// Records due in the measured window that were processed.
    Measured,
    /// The same record at two offsets.
    Duplicated,
    /// The same offset processed again.
    Redelivered,
    /// Processed after a later record of its lane.
    Reordered,
    /// Bytes changed.
    Corrupt,
    /// Not of this run.
    Foreign,
    /// Passed over as poison.
    Skipped,
    /// Processed, of runs that this one continues.
    Earlier,
    /// Consumers that became ready.
    ConsumersStarted,
    /// Records read by a consumer of another partition, or from a partition they were not sent to.
    WrongPartition,
    /// Records a second process has read as if the partition were its own.
    TwoOwners,
    /// Redelivered without a restart or a change of owner before it.
    Unexplained,
    /// Offsets passed over without a record.
    OffsetGaps,
    /// Records the account does not explain.
    Unaccounted,
    /// Commits beyond what was processed or behind what had been committed; simulated groups only.
    Miscommitted,
    /// Partitions dealt out to two members at once; simulated groups only.
    Shared,
    /// Restarts of consumers.
    Restarts,
    /// Partitions given up.
    Quarantined,
}

/// Figures of one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultFigure {
    /// Inject to noticed, ns.
    Detected,
    /// Inject to released, ns.
    Released,
    /// Inject to replacement started, ns.
    Restarted,
    /// Inject to first record of the replacement, ns.
    FirstRecord,
    /// Inject to recovered, ns: what `recovery` means.
    Recovered,
    /// Records processed again.
    Redelivered,
    /// Largest lag of the hit partitions after the fault, records.
    LagPeak,
    /// Number of partitions that stalled.
    BlastRadius,
    /// Longest stall of the partitions it was not aimed at, ns.
    OthersStall,
    /// Share of their records that are slower than the partition's own quiet p99.
    OthersSlow,
    /// Targets that were not there, and commands that failed.
    Missed,
}

impl Metric {
    /// Whether values are spans of time in nanoseconds.
    pub fn is_time(&self) -> bool {
        matches!(
            self,
            Metric::Latency { .. }
                | Metric::Acknowledgement { .. }
                | Metric::Part { .. }
                | Metric::Lateness { .. }
                | Metric::Fault {
                    figure: FaultFigure::Detected
                        | FaultFigure::Released
                        | FaultFigure::Restarted
                        | FaultFigure::FirstRecord
                        | FaultFigure::Recovered
                        | FaultFigure::OthersStall,
                    ..
                }
        )
    }
}

impl Counter {
    /// Every counter with the name scenarios use.
    pub const ALL: [(Counter, &'static str); 25] = [
        (Counter::Sent, "sent"),
        (Counter::Acked, "acked"),
        (Counter::Failed, "failed"),
        (Counter::Indeterminate, "indeterminate"),
        (Counter::Delivered, "delivered"),
        (Counter::Lost, "lost"),
        (Counter::Unread, "unread"),
        (Counter::Measured, "measured"),
        (Counter::Duplicated, "duplicated"),
        (Counter::Redelivered, "redelivered"),
        (Counter::Reordered, "reordered"),
        (Counter::Corrupt, "corrupt"),
        (Counter::Foreign, "foreign"),
        (Counter::Skipped, "skipped"),
        (Counter::Earlier, "earlier"),
        (Counter::ConsumersStarted, "consumers_started"),
        (Counter::WrongPartition, "wrong_partition"),
        (Counter::TwoOwners, "two_owners"),
        (Counter::Unexplained, "unexplained"),
        (Counter::OffsetGaps, "offset_gaps"),
        (Counter::Unaccounted, "unaccounted"),
        (Counter::Miscommitted, "miscommitted"),
        (Counter::Shared, "shared"),
        (Counter::Restarts, "restarts"),
        (Counter::Quarantined, "quarantined"),
    ];
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Counter::ALL.iter().find(|(counter, _)| counter == self).map_or("", |(_, n)| n);
        f.write_str(name)
    }
}

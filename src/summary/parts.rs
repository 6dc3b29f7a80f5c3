//! Accounts, distributions and stretches of time that a summary is made of.
//!
//! What a fault did, as it is reported. Milliseconds count from the injection.

use serde::{Deserialize, Serialize};

/// The account of a lane, a partition or a run. Counts of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Handed to the client.
    pub sent: u64,
    /// Acknowledged.
    pub acked: u64,
    /// Never appended, as far as the client knows.
    pub failed: u64,
    /// Without an acknowledgement, perhaps appended.
    pub indeterminate: u64,
    /// Distinct records processed.
    pub delivered: u64,
    /// Acknowledged and never to be processed: the consumer is past it, or it is gone from the log.
    pub lost: u64,
    /// Acknowledged, still in the log behind the checkpoint when the drain was over.
    #[serde(default)]
    pub unread: u64,
    /// Extra copies of a record at other offsets, processed or passed over; the first one says what became of the record.
    pub duplicated: u64,
    /// Processed again at the same offset, after a restart or a change of owner.
    pub redelivered: u64,
    /// Processed for the first time after a later record of their lane.
    pub reordered: u64,
    /// Read with bytes that are not the ones sent.
    pub corrupt: u64,
    /// Read, and sent by other producers: neither of this run nor of one it continues.
    #[serde(alias = "foreign")]
    pub other_producers: u64,
    /// Distinct records passed over as poison.
    #[serde(default)]
    pub skipped: u64,
    /// Of the skipped, those that have no part in this account: corrupt, of other producers, of earlier runs, or sent to another
    /// partition.
    #[serde(default)]
    pub skipped_others: u64,
    /// Processed, of earlier runs that this one continues. Whether all of them came is not known: their accounts
    /// ended with them.
    #[serde(default)]
    pub earlier: u64,
}

impl Ledger {
    /// Adds another account.
    pub fn merge(&mut self, other: &Ledger) {
        self.sent += other.sent;
        self.acked += other.acked;
        self.failed += other.failed;
        self.indeterminate += other.indeterminate;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.unread += other.unread;
        self.duplicated += other.duplicated;
        self.redelivered += other.redelivered;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.other_producers += other.other_producers;
        self.skipped += other.skipped;
        self.skipped_others += other.skipped_others;
        self.earlier += other.earlier;
    }

    /// Of the records acknowledged and not processed, `known` are in the log behind the checkpoint. Of those that were
    /// acknowledged without an offset (`unknown`), as many as there is `room` for between checkpoint and end.
    pub fn tell_unread(&mut self, known: u64, unknown: u64, room: u64) {
        let missing = self.lost;
        let known = known.min(missing);
        let more = unknown.min(missing - known).min(room.saturating_sub(known));
        self.unread = known + more;
        self.lost = missing - self.unread;
    }

    /// Records of which the account does not say what became: answers without a send, and processed or lost ones without an answer or
    /// the other way round. What is indeterminate may have been processed or not.
    pub fn unaccounted(&self) -> u64 {
        let answered = self.acked + self.failed + self.indeterminate;
        let ended = self.delivered
            + self.skipped.saturating_sub(self.skipped_others)
            + self.lost
            + self.unread;
        answered.abs_diff(self.sent)
            + self.acked.saturating_sub(ended)
            + ended.saturating_sub(self.acked + self.indeterminate)
    }
}

/// Quantiles and mean of a distribution in microseconds; `null` where there are no values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// Median.
    pub p50: Option<f64>,
    /// 90 %.
    pub p90: Option<f64>,
    /// 95 %.
    pub p95: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
    /// 99.9 %.
    pub p999: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// Mean of the values that are not below zero; exact, unlike the quantiles.
    #[serde(default)]
    pub mean: Option<f64>,
    /// Number of values.
    pub count: u64,
    /// Of these, below zero and so not in the quantiles.
    pub negative: u64,
}

/// The cost of a run. `null` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// CPU seconds used while the load ran, all threads together.
    pub cpu_s: Option<f64>,
    /// Of the CPU time this process could have had in that time, the share used (0..=1); `null` for less than 0.1 s.
    pub cpu_share: Option<f64>,
    /// Largest resident set of the process, in bytes.
    pub rss_max_bytes: Option<u64>,
    /// Most threads seen at once.
    pub threads_max: Option<u64>,
    /// Most sockets seen at once.
    pub sockets_max: Option<u64>,
}

/// One rebalance after the group was complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rebalance {
    /// When the first surviving member gave up or got a partition, in seconds since the load began.
    pub at_s: f64,
    /// From then until every partition had an owner and no member was waiting; `null` if that never came.
    pub duration_ms: Option<f64>,
    /// Partitions that were without an owner at some time in it.
    pub partitions_stopped: usize,
    /// Partitions whose owner is another one afterwards.
    pub partitions_moved: usize,
}

/// A stretch in which restarts were held back because many consumers had failed together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// When it was noticed, in seconds since the load began; negative before.
    pub from_s: f64,
    /// When a consumer reached the cluster again; `null` if that did not happen.
    pub to_s: Option<f64>,
    /// Consumers that failed together when it was noticed.
    pub failed: u32,
    /// Consumers started to see whether the cluster is back.
    pub probes: u32,
}

/// One occurrence of a fault. Of times that partitions have one each of, the latest is told here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultSummary {
    /// Which `[[fault]]` of the scenario, from 0.
    #[serde(default)]
    pub fault: usize,
    /// Kind of fault.
    pub kind: String,
    /// Who was hit.
    pub target: String,
    /// When, in seconds since the load began; `null` if the run ended before.
    pub at_s: Option<f64>,
    /// How long it was to last, in seconds; `null` for what is over at once or lasts forever.
    pub lasts_s: Option<f64>,
    /// Targets that were not there to be hit, and why.
    #[serde(default)]
    pub missed: Vec<String>,
    /// Until the supervisor knew.
    pub detected_ms: Option<f64>,
    /// Until the partitions were fenced: nothing of the old start of their consumers counts from then on.
    #[serde(alias = "released_ms")]
    pub fenced_ms: Option<f64>,
    /// Until the old client was gone.
    pub closed_ms: Option<f64>,
    /// Until the last replacement was started.
    pub restarted_ms: Option<f64>,
    /// Until it was over by itself, or a killed pool was back.
    #[serde(alias = "healed_ms")]
    pub ended_ms: Option<f64>,
    /// Until a record was processed again.
    pub first_record_ms: Option<f64>,
    /// Until every partition it has hit was as before: its lag and the age of its oldest unprocessed record at or
    /// below the largest of the quiet window, for a second. `null`: not within the run.
    pub recovered_ms: Option<f64>,
    /// The partition that took longest, or that has not recovered.
    pub worst_partition: Option<u32>,
    /// Partitions that have not recovered within the run.
    #[serde(default)]
    pub not_recovered: Vec<u32>,
    /// Lag of the worst partition after the fault, if it has not recovered.
    #[serde(default)]
    pub lag_after: Vec<LagAfter>,
    /// Records processed again.
    pub redelivered: u64,
    /// Largest lag until recovered, in records, as the end-offset client saw it.
    pub lag_peak: u64,
    /// Number of partitions that stalled: records waited, and none was processed for longer than 100 ms and than three
    /// times the partition's longest quiet stall.
    pub blast_radius: usize,
    /// Which ones.
    pub partitions_hit: Vec<u32>,
    /// Partitions the fault was aimed at.
    pub partitions_aimed_at: Vec<u32>,
    /// What it did to the partitions it was not aimed at; `null` when there are none.
    pub others: Option<Others>,
    /// Each partition by itself; with very many occurrences, only those aimed at or hit.
    #[serde(default)]
    pub partitions: Vec<FaultPartition>,
}

/// What a fault did to one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultPartition {
    /// Which one.
    pub partition: u32,
    /// Its way back; `null` when it was neither aimed at nor hit.
    pub recovery: Option<RecoverySummary>,
    /// Longest stall in the quiet time before the fault.
    pub stall_before_ms: f64,
    /// Longest stall in the equally long time from the fault on.
    pub stall_after_ms: f64,
    /// Response time p99 in the quiet time; `null` without records.
    pub quiet_p99_us: Option<f64>,
    /// Share of records slower than that in the quiet time; `null` without records.
    pub slow_before: Option<f64>,
    /// Share of records slower than that from the fault on; `null` without records.
    pub slow_after: Option<f64>,
    /// Whether the second half of the quiet time was like the first; `null` with too few records to tell.
    pub is_stable: Option<bool>,
}

/// What a fault did to the partitions it was not aimed at. Partitions that were not stable before are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Others {
    /// How many there are, without those left out.
    pub partitions: usize,
    /// Their longest stall in the quiet time before the fault.
    pub stall_before_ms: f64,
    /// Their longest stall in the equally long time from the fault on.
    pub stall_after_ms: f64,
    /// Share of their records slower than the partition's own quiet p99, in the quiet time.
    pub slow_before: Option<f64>,
    /// The same from the fault on.
    pub slow_after: Option<f64>,
    /// Partitions that are left out because they were not stable before the fault.
    pub left_out: Vec<u32>,
}

/// A partition's lag some time after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagAfter {
    /// Seconds since the fault.
    pub after_s: u64,
    /// Records that were to be read.
    pub lag: u64,
}

/// A partition's way back. Milliseconds count from the fault, or from the failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoverySummary {
    /// Until the supervisor knew.
    pub detected_ms: Option<f64>,
    /// Until the partition was fenced.
    #[serde(alias = "released_ms")]
    pub fenced_ms: Option<f64>,
    /// Until the last replacement was started.
    pub restarted_ms: Option<f64>,
    /// Until a record was processed again.
    pub first_record_ms: Option<f64>,
    /// Until the partition could be read again.
    #[serde(default)]
    pub ready_ms: Option<f64>,
    /// Until it had recovered; `null`: not within the run.
    pub recovered_ms: Option<f64>,
    /// Records processed again.
    pub redelivered: u64,
    /// Largest lag until recovered, in records.
    pub lag_peak: u64,
    /// Whether its consumer was given up.
    pub given_up: bool,
}

/// A failure that was not planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureSummary {
    /// Which partition.
    pub partition: u32,
    /// Whose.
    pub consumer: Option<u32>,
    /// When, in seconds since the load began.
    pub at_s: f64,
    /// The way back.
    pub recovery: RecoverySummary,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_account_does_not_cover_is_counted() {
        let account =
            Ledger { sent: 10, acked: 7, failed: 1, indeterminate: 2, ..Ledger::default() };
        let ended = |delivered, lost| Ledger { delivered, lost, ..account }.unaccounted();
        assert_eq!(
            [ended(7, 0), ended(9, 0), ended(5, 2), ended(6, 0), ended(10, 0)],
            [0, 0, 0, 1, 1]
        );
        assert_eq!(Ledger { sent: 11, delivered: 8, ..account }.unaccounted(), 1);
    }
}

//! The parts of a summary: accounts, distributions, stages, rebalances and outages.
//!
//! Also the effects of faults, and the recoveries from them. Their milliseconds count from the injection.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The account of a lane, a partition or a run, in numbers of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Ledger {
    /// Records handed to the client.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records that were never appended, as far as the client knows.
    pub failed: u64,
    /// Records without an acknowledgement that may have been appended.
    pub indeterminate: u64,
    /// Distinct records processed.
    pub delivered: u64,
    /// Records acknowledged that cannot be processed any more: the consumer is past them, or the log has them no more.
    pub lost: u64,
    /// Records acknowledged, and still in the log behind the checkpoint at the end of the drain.
    #[serde(default)]
    pub unread: u64,
    /// Records acknowledged and sent to partitions of a process that was lost. Whether they were processed is not
    /// known.
    #[serde(default)]
    pub not_covered: u64,
    /// Further copies of a record at other offsets, processed or skipped. The account of the record is that of its
    /// first copy.
    pub duplicated: u64,
    /// Records processed again at the same offset, after a restart or a change of owner.
    pub redelivered: u64,
    /// Records processed for the first time after a later record of their lane.
    pub reordered: u64,
    /// Records read with other bytes than those sent.
    pub corrupt: u64,
    /// Records read that other producers sent: neither this run nor an earlier run that it continues.
    #[serde(alias = "foreign")]
    pub other_producers: u64,
    /// Distinct records skipped as poison.
    #[serde(default)]
    pub skipped: u64,
    /// Skipped records that no other field of this account has: corrupt, of other producers, of earlier runs, or sent
    /// to another partition.
    #[serde(default)]
    pub skipped_others: u64,
    /// Records processed of earlier runs that this one continues. Whether all of them were processed is not known,
    /// because the accounts of those runs have ended.
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
        self.not_covered += other.not_covered;
        self.duplicated += other.duplicated;
        self.redelivered += other.redelivered;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.other_producers += other.other_producers;
        self.skipped += other.skipped;
        self.skipped_others += other.skipped_others;
        self.earlier += other.earlier;
    }

    /// Splits the missing records into unread and lost ones. `known` of them have offsets in the log behind the
    /// checkpoint. `unknown` of them were acknowledged without an offset; as many of these are unread as there is
    /// `room` for between checkpoint and end.
    pub fn tell_unread(&mut self, known: u64, unknown: u64, room: u64) {
        let missing = self.lost;
        let known = known.min(missing);
        let more = unknown.min(missing - known).min(room.saturating_sub(known));
        self.unread = known + more;
        self.lost = missing - self.unread;
    }

    /// Records that the account does not explain: answers without a send, sends without an answer, and acknowledged
    /// records that are neither processed nor missing, or the other way round. An indeterminate record may be processed
    /// or not.
    pub fn unaccounted(&self) -> u64 {
        let answered = self.acked + self.failed + self.indeterminate;
        let ended = self.delivered
            + self.skipped.saturating_sub(self.skipped_others)
            + self.lost
            + self.unread
            + self.not_covered;
        answered.abs_diff(self.sent)
            + self.acked.saturating_sub(ended)
            + ended.saturating_sub(self.acked + self.indeterminate)
    }
}

/// Quantiles and mean of a distribution in microseconds; `null` where there are no values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
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
    /// Largest value.
    pub max: Option<f64>,
    /// Mean of the values that are not below zero; exact, unlike the quantiles.
    #[serde(default)]
    pub mean: Option<f64>,
    /// Number of values.
    pub count: u64,
    /// Number of values below zero, which are not in the quantiles.
    pub negative: u64,
}

/// Numbers of values in buckets of equal ratio: each bucket ends at the same multiple of its beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Buckets {
    /// Beginning of the first bucket in microseconds: the smallest value, or the resolution if that is larger.
    pub from_us: f64,
    /// End of the last bucket in microseconds: the largest value.
    pub to_us: f64,
    /// Number of values in each bucket. Values below zero are in none.
    pub counts: Vec<u64>,
}

/// The cost of a run. A field is `null` where the operating system does not report it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Cost {
    /// CPU seconds used while the load ran, all threads together.
    pub cpu_s: Option<f64>,
    /// Part of the CPU time available to this process that it used in that time, 0 to 1; `null` for less than 0.1 s.
    pub cpu_share: Option<f64>,
    /// Largest resident set of the process, in bytes.
    pub rss_max_bytes: Option<u64>,
    /// Largest number of threads at a time, of those that were sampled.
    pub threads_max: Option<u64>,
    /// Largest number of sockets at a time, of those that were sampled.
    pub sockets_max: Option<u64>,
}

/// One rebalance after the group was complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Rebalance {
    /// Time at which the first surviving member gave up or got a partition, in seconds since the load began.
    pub at_s: f64,
    /// Milliseconds from then until every partition had an owner and no member was waiting; `null` if that did not
    /// happen.
    pub duration_ms: Option<f64>,
    /// Number of partitions that had no owner at some time during the rebalance.
    pub partitions_stopped: usize,
    /// Number of partitions with another owner afterwards.
    pub partitions_moved: usize,
}

/// A time in which restarts were delayed because many consumers had failed together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Outage {
    /// Time at which it was detected, in seconds since the load began; negative before.
    pub from_s: f64,
    /// Time at which a consumer reached the cluster again; `null` if none did within the run.
    pub to_s: Option<f64>,
    /// Number of consumers that had failed when it was detected.
    pub failed: u32,
    /// Number of consumers that were started to find out whether the cluster can be reached.
    pub probes: u32,
}

/// One occurrence of a fault. Milliseconds count from the fault. Of the times of several partitions, the latest one
/// counts, and it is `null` if a partition has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FaultSummary {
    /// Index of its `[[fault]]` in the scenario, from 0.
    #[serde(default)]
    pub fault: usize,
    /// Kind of fault.
    pub kind: String,
    /// The consumer, pool, partition, broker or link that was hit.
    pub target: String,
    /// Time of the fault, in seconds since the load began; `null` if the run ended before.
    pub at_s: Option<f64>,
    /// Planned duration in seconds; `null` for a fault that ends at once or lasts forever.
    pub lasts_s: Option<f64>,
    /// Targets that could not be hit, and commands that failed, each with the reason.
    #[serde(default)]
    pub missed: Vec<String>,
    /// Until the supervisor detected the failure.
    pub detected_ms: Option<f64>,
    /// Until the partitions were fenced: from then on, nothing of the old start of their consumers counts.
    #[serde(alias = "released_ms")]
    pub fenced_ms: Option<f64>,
    /// Until the client of the old consumer was closed.
    pub closed_ms: Option<f64>,
    /// Until the last replacement was started.
    pub restarted_ms: Option<f64>,
    /// Until the fault ended by itself, or a killed pool had a replacement.
    #[serde(alias = "healed_ms")]
    pub ended_ms: Option<f64>,
    /// Until a record was processed again.
    pub first_record_ms: Option<f64>,
    /// Until every partition that was hit had recovered: for a second, lag and age of the oldest unprocessed record
    /// were at most the largest of the quiet window. `null` if that was not within the run.
    pub recovered_ms: Option<f64>,
    /// The partition that took longest, or that has not recovered and had the largest lag; `null` if none was hit.
    pub worst_partition: Option<u32>,
    /// Partitions that have not recovered within the run.
    #[serde(default)]
    pub not_recovered: Vec<u32>,
    /// Lag of the worst partition at some times after the fault; empty if it has recovered.
    #[serde(default)]
    pub lag_after: Vec<LagAfter>,
    /// Records processed again.
    pub redelivered: u64,
    /// Largest lag of a partition until it had recovered, in records, as the end-offset client measured it.
    pub lag_peak: u64,
    /// Number of partitions that stalled: records waited, and none was processed for longer than 100 ms and than three
    /// times the partition's longest quiet stall.
    pub blast_radius: usize,
    /// Ids of the partitions that stalled.
    pub partitions_hit: Vec<u32>,
    /// Ids of the partitions at which the fault was aimed.
    pub partitions_aimed_at: Vec<u32>,
    /// Its effect on the partitions at which it was not aimed; `null` if there are none.
    pub others: Option<Others>,
    /// Its effect on each partition. With more than 20,000 entries, only those of partitions that it was aimed at or
    /// hit.
    #[serde(default)]
    pub partitions: Vec<FaultPartition>,
}

/// The effect of a fault on one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FaultPartition {
    /// Id of the partition.
    pub partition: u32,
    /// Recovery of the partition; `null` if the fault was not aimed at it and did not hit it.
    pub recovery: Option<RecoverySummary>,
    /// Longest stall in the quiet window before the fault, in milliseconds.
    pub stall_before_ms: f64,
    /// Longest stall in the equally long time from the fault on, in milliseconds.
    pub stall_after_ms: f64,
    /// Response time p99 in the quiet window, in microseconds; `null` without records.
    pub quiet_p99_us: Option<f64>,
    /// Share of records slower than `quiet_p99_us` in the quiet window, 0 to 1; `null` without records.
    pub slow_before: Option<f64>,
    /// Share of records slower than `quiet_p99_us` from the fault on, 0 to 1; `null` without records.
    pub slow_after: Option<f64>,
    /// True if the two halves of the quiet window were alike; `null` if there were too few records to compare.
    pub is_stable: Option<bool>,
}

/// The effect of a fault on the partitions at which it was not aimed, without those that were not stable before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Others {
    /// Number of these partitions.
    pub partitions: usize,
    /// Longest stall of one of them in the quiet window before the fault, in milliseconds.
    pub stall_before_ms: f64,
    /// Longest stall of one of them in the equally long time from the fault on, in milliseconds.
    pub stall_after_ms: f64,
    /// Share of their records slower than the partition's own quiet p99 in the quiet window, 0 to 1; `null` without
    /// records.
    pub slow_before: Option<f64>,
    /// Share of their records slower than the partition's own quiet p99 from the fault on, 0 to 1; `null` without
    /// records.
    pub slow_after: Option<f64>,
    /// Partitions that are left out because they were not stable before the fault.
    pub left_out: Vec<u32>,
}

/// A partition's lag some time after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct LagAfter {
    /// Seconds since the fault.
    pub after_s: u64,
    /// Lag at that time, in records.
    pub lag: u64,
}

/// A partition's recovery. Milliseconds count from the fault, or from the failure. A time is `null` if its event was
/// not within the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RecoverySummary {
    /// Until the supervisor detected the failure.
    pub detected_ms: Option<f64>,
    /// Until the partition was fenced.
    #[serde(alias = "released_ms")]
    pub fenced_ms: Option<f64>,
    /// Until the last replacement was started.
    pub restarted_ms: Option<f64>,
    /// Until a record was processed again.
    pub first_record_ms: Option<f64>,
    /// Until a client could read the partition again.
    #[serde(default)]
    pub ready_ms: Option<f64>,
    /// Until it had recovered.
    pub recovered_ms: Option<f64>,
    /// Records processed again.
    pub redelivered: u64,
    /// Largest lag until recovered, in records.
    pub lag_peak: u64,
    /// True if its consumer was given up.
    pub given_up: bool,
}

/// A failure that was not planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FailureSummary {
    /// Id of the partition.
    pub partition: u32,
    /// Its consumer; `null` if it had none.
    pub consumer: Option<u32>,
    /// Time of the failure, in seconds since the load began.
    pub at_s: f64,
    /// The recovery from the failure.
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

/// One stage of the load. It ends early if the load does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StageSummary {
    /// Number of the stage, from 0.
    pub stage: u32,
    /// Its name.
    pub name: String,
    /// Beginning, in seconds since the load began.
    pub from_s: f64,
    /// End, in seconds since the load began.
    pub to_s: f64,
    /// True if it ended before its time because the lag was 0.
    pub ended_early: bool,
    /// Records due in the stage.
    pub offered: u64,
    /// Records due in the stage per second.
    pub offered_per_s: Option<f64>,
    /// Distinct records processed during the stage, per second.
    pub processed_per_s: Option<f64>,
    /// Processed - intended send in microseconds, of the records due in the stage.
    pub response_us: Digest,
    /// Largest sum of the lags of all partitions during the stage, in records.
    pub lag_max: u64,
}

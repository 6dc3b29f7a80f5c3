//! The reason why consumers do not keep up, with the arithmetic.

use std::time::Duration;

use super::{Overload, PartitionSummary, Summary};
use crate::base::format_duration;

/// A group member with several partitions, and the number of consumers that these need together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BusyMember {
    /// The member's consumer.
    pub(crate) consumer: u32,
    /// The partitions that it had last.
    pub(crate) partitions: Vec<u32>,
    /// Number of consumers that these need: the sum of records due per second times the mean time for each.
    pub(crate) needed: f64,
}

impl BusyMember {
    /// The member that had the partition of `overload` last; `None` if it had no other partition, or without a group.
    pub(crate) fn of(summary: &Summary, overload: &Overload) -> Option<BusyMember> {
        let consumer = overload.consumer.filter(|_| summary.mode == "group")?;
        let its = || summary.partitions.iter().filter(|it| it.consumer == Some(consumer));
        let partitions: Vec<u32> = its().map(|it| it.partition).collect();
        (partitions.len() > 1).then(|| BusyMember {
            consumer,
            partitions,
            needed: its().map(consumers_needed).sum(),
        })
    }

    /// The text `member 0 with partitions 0, 1, 2 = 2.66 consumers`.
    pub(crate) fn arithmetic(&self) -> String {
        member_arithmetic(&format!("member {}", self.consumer), &self.partitions, self.needed)
    }
}

/// Largest number of a member's partitions that are named.
const PARTITIONS_SHOWN: usize = 6;

/// The text `member 0 with partitions 0, 1, 2 = 2.66 consumers`.
pub(crate) fn member_arithmetic(name: &str, partitions: &[u32], needed: f64) -> String {
    let shown: Vec<String> =
        partitions.iter().take(PARTITIONS_SHOWN).map(ToString::to_string).collect();
    let more = if partitions.len() > PARTITIONS_SHOWN { ", …" } else { "" };
    format!("{name} with partitions {}{more} = {needed:.2} consumers", shown.join(", "))
}

/// The text `partition 0: 447 msg/s x 3ms = 1.34 consumers`, where `work` is the time for a record.
pub(crate) fn partition_arithmetic(
    partition: u32,
    per_second: f64,
    work: Duration,
    needed: f64,
) -> String {
    let work = format_duration(work);
    format!("partition {partition}: {per_second:.0} msg/s x {work} = {needed:.2} consumers")
}

/// Number of consumers that a partition needs; 0 if its records cost no work.
fn consumers_needed(partition: &PartitionSummary) -> f64 {
    let handling_us = partition.time.handling.map_or(0.0, |handling| handling.mean_us);
    partition.offered_per_s.unwrap_or(0.0) * handling_us / 1e6
}

/// The part that does not keep up, with the arithmetic; `None` if the scheduled records are not known.
pub(super) fn cause(summary: &Summary) -> Option<String> {
    let members = summary.overloaded.iter().filter_map(|it| BusyMember::of(summary, it));
    let busiest = members.max_by(|a, b| a.needed.total_cmp(&b.needed));
    if let Some(member) = busiest.filter(|member| member.needed >= 1.0) {
        return Some(member.arithmetic());
    }
    let worst = summary.overloaded.iter().max_by(|a, b| {
        let needed = |it: &Overload| it.consumers_needed.unwrap_or(0.0);
        needed(a).total_cmp(&needed(b))
    });
    let Some(worst) = worst else {
        let share = summary.offered_sent? as f64 / summary.offered?.max(1) as f64;
        return Some(format!(
            "the cluster took {:.1} % of the records that were due",
            share * 100.0
        ));
    };
    let more = match summary.overloaded.len() {
        1 => String::new(),
        count => format!(", and {} more partitions", count - 1),
    };
    Some(match (worst.handling_ms, worst.consumers_needed) {
        (Some(_), Some(needed)) if needed < 1.0 => format!(
            "partition {} falls behind {:.0} msg/s{more}, though its work needs {needed:.2} consumers: its records \
             arrive late",
            worst.partition, worst.offered_per_s
        ),
        (Some(ms), Some(needed)) => {
            let work = Duration::from_nanos((ms * 1e6) as u64);
            partition_arithmetic(worst.partition, worst.offered_per_s, work, needed) + &more
        }
        _ => format!(
            "partition {} falls behind {:.0} msg/s{more}",
            worst.partition, worst.offered_per_s
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_falls_behind_by_its_work_or_by_records_that_arrive_late() {
        let told = |handling_ms, consumers_needed| {
            let it = Overload {
                partition: 3,
                consumer: None,
                offered_per_s: 50.0,
                handling_ms: Some(handling_ms),
                consumers_needed: Some(consumers_needed),
            };
            cause(&Summary { overloaded: vec![it], ..Summary::default() })
        };
        let expected = |text: &str| Some(text.to_owned());
        assert_eq!(told(30.0, 1.5), expected("partition 3: 50 msg/s x 30ms = 1.50 consumers"));
        assert_eq!(
            told(0.4, 0.02),
            expected(
                "partition 3 falls behind 50 msg/s, though its work needs 0.02 consumers: its records arrive late"
            )
        );
    }
}

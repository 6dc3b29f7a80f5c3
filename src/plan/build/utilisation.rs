//! A warning before a load that consumers will hardly keep up with.

use crate::base::format_duration;
use crate::plan::{MemberUse, PartitionUse, Plan};
use crate::reader::Findings;
use crate::scenario::{Diagnostic, Origin, Scenario, codes};
use std::time::Duration;

/// From this share of its time on, a consumer that works has queues that grow long.
const BUSY: f64 = 0.8;

pub(super) fn check(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let utilisation = plan.utilisation();
    let Some(partition) = utilisation.busiest_partition() else { return };
    if utilisation.most() < BUSY {
        return;
    }
    let work = scenario.consumers.work.as_ref().map(|at| at.key);
    let origin = work.or(scenario.load.rate.as_ref().map(|at| at.key));
    let own = partition.consumers();
    let text = match utilisation.busiest_member().filter(|member| member.consumers > own) {
        Some(member) => of_member(member),
        None => arithmetic(partition),
    };
    let message = match utilisation.most() {
        most if most > 1.0 => format!("consumers will not keep up: {text}"),
        most => format!("consumers will be busy for {:.0} % of their time: {text}", 100.0 * most),
    };
    let origin = origin.unwrap_or(Origin::WholeFile);
    found.push(Diagnostic::warning(codes::BUSY_CONSUMER, origin, message).remedy(
        "more partitions or consumers, less work for a record, less skew, or a lower rate; `keeps_up = false` if that \
         is what you want to see",
    ));
}

/// `partition 0: 447 msg/s x 3ms = 1.34 consumers`.
fn arithmetic(partition: &PartitionUse) -> String {
    format!(
        "partition {}: {:.0} msg/s x {} = {:.2} consumers",
        partition.partition,
        partition.per_second,
        format_duration(Duration::from_secs_f64(partition.work_s)),
        partition.consumers()
    )
}

/// `member 0 with partitions 0, 1, 2 = 2.66 consumers`.
fn of_member(member: &MemberUse) -> String {
    let ids: Vec<String> = member.partitions.iter().take(6).map(ToString::to_string).collect();
    let more = if member.partitions.len() > 6 { ", …" } else { "" };
    format!(
        "{} with partitions {}{more} = {:.2} consumers",
        member.name,
        ids.join(", "),
        member.consumers
    )
}

//! Refuses faults whose commands stop more brokers than the topic's replicas allow.

use crate::base::format_duration;
use crate::plan::broker_faults::{brokers_down_max, down_at_once};
use crate::plan::{BrokerPlan, FaultPlan, TopicName, TopicPlan};
use crate::reader::Findings;
use crate::scenario::{Diagnostic, Scenario, codes};

/// Checks the faults of a topic that the run creates. For an existing topic, the run asks the cluster before the load.
pub(super) fn check(
    scenario: &Scenario,
    topic: &TopicPlan,
    broker: &BrokerPlan,
    faults: &[FaultPlan],
    found: &mut Findings,
) {
    let may_exist = matches!(topic.name, TopicName::Given(_));
    if may_exist && broker.capability().is_elsewhere {
        return;
    }
    let (copies, min_insync) = (topic.replication_factor, topic.min_insync_replicas);
    let most = brokers_down_max(copies, min_insync);
    for down in down_at_once(faults, most) {
        let fault = &scenario.fault[down.entry];
        let origin = fault.value.kinds.first().map_or(fault.origin, |kind| kind.key);
        let message = format!(
            "`fault[{}]` would have {} down at {}, and the topic's replicas allow {most}",
            down.entry,
            down.named(),
            format_duration(down.at)
        );
        let label = format!(
            "`topic.replication_factor` is {copies} and `topic.min_insync_replicas` is {min_insync}"
        );
        found.push(
            Diagnostic::error(codes::CONFLICT, origin, message).label(label).remedy(
                "choose times that do not overlap, or more copies; `allow_outage = true` if the outage is meant",
            ),
        );
    }
}

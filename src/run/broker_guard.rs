//! Asks the cluster how many brokers the commands of faults may stop at once, before any fault is injected.

use super::administrator::environment;
use crate::base::format_duration;
use crate::broker::setup::{Administrator, Deadline, TopicReplicas};
use crate::error::Error;
use crate::plan::{Plan, brokers_down_max};

/// The number of brokers that may be down at once. A cluster elsewhere is asked for its topic, which may differ from
/// the one in the scenario.
///
/// # Errors
/// The plan stops more brokers, or brokers that do not exist; or the cluster does not answer.
pub(super) async fn down_max(
    plan: &Plan,
    admin: &mut dyn Administrator,
    deadline: &Deadline,
) -> Result<usize, Error> {
    let topic = &plan.topic;
    if !plan.stops_brokers() || !plan.broker.capability().is_elsewhere {
        return Ok(brokers_down_max(topic.replication_factor, topic.min_insync_replicas) as usize);
    }
    let replicas = admin.replicas(deadline).await.map_err(environment)?;
    judged(plan, &replicas).map_err(Error::Input)
}

/// The number of brokers that may be down, or the reason why the plan stops too many.
fn judged(plan: &Plan, replicas: &TopicReplicas) -> Result<usize, String> {
    let TopicReplicas { copies, min_insync, brokers } = replicas;
    if let Some(id) = plan.stopped_brokers().difference(brokers).next() {
        let there: Vec<String> = brokers.iter().map(ToString::to_string).collect();
        return Err(format!(
            "`exec.brokers` names broker {id}, and the cluster has {}; correct the id: the number of brokers that are \
             down would be wrong",
            there.join(", ")
        ));
    }
    // If it is unknown, all replicas but one are assumed to be needed.
    let needed = min_insync.unwrap_or(copies.saturating_sub(1));
    let most = brokers_down_max(*copies, needed);
    let Some(down) = plan.too_many_down(most) else { return Ok(most as usize) };
    let known = match min_insync {
        Some(min_insync) => format!("`min.insync.replicas` is {min_insync}"),
        None => "`min.insync.replicas` is not shown to this user (no right DescribeConfigs), and taken as high".to_owned(),
    };
    Err(format!(
        "`fault[{}]` would have {} down at {}, and the topic allows {most}: it has {copies} copies, and {known}; choose \
         times that do not overlap, or set `exec.allow_outage = true` if the outage is meant",
        down.entry,
        down.named(),
        format_duration(down.at)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, compile};
    use crate::scenario::Source;

    fn plan() -> Plan {
        let fault = |at: u32, id: u32| {
            format!(
                "[[fault]]\nat = \"{at}s\"\nfor = \"5s\"\n\
                 exec = {{ start = [\"true\"], end = [\"true\"], brokers = [{id}] }}\n"
            )
        };
        let text = format!("[topic]\nname = \"there\"\n{}{}", fault(5, 1), fault(8, 2));
        let source = Source { name: "test.toml".to_owned(), text };
        let bootstrap = Some("127.0.0.1:9".to_owned());
        let overrides = Overrides { bootstrap, ..Overrides::default() };
        let (plan, diagnostics) = compile(&source, &[], &overrides);
        plan.unwrap_or_else(|| panic!("{diagnostics:?}"))
    }

    #[test]
    fn the_topic_on_the_cluster_decides_how_many_brokers_may_be_down() {
        let plan = plan();
        let on = |copies, min_insync, ids: &[u32]| {
            let brokers = ids.iter().copied().collect();
            judged(&plan, &TopicReplicas { copies, min_insync, brokers })
        };
        assert_eq!(on(3, Some(1), &[1, 2, 3]), Ok(2));
        for (copies, min_insync, why) in [
            (3, Some(2), "allows 1: it has 3 copies, and `min.insync.replicas` is 2"),
            (3, None, "DescribeConfigs"),
            (1, Some(1), "allows 0"),
        ] {
            let refused = on(copies, min_insync, &[1, 2, 3]).expect_err("two are down");
            assert!(refused.contains(why) && refused.contains("allow_outage"), "{refused}");
        }
        let refused = on(3, Some(1), &[0, 1]).expect_err("no broker 2");
        assert!(refused.contains("names broker 2, and the cluster has 0, 1"), "{refused}");
    }
}

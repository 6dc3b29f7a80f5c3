//! A run by several processes: the division of its work, and the settings that need a single process.

use crate::base::{PoolId, Share};
use crate::plan::{CheckpointPlan, Pace, Plan, TopicName};
use crate::reader::Findings;
use crate::scenario::{Diagnostic, Origin, codes};

/// Gives the plan the pools of all processes, so that each process computes the same plan. Refuses settings that need a
/// single process.
pub(super) fn divide(plan: &mut Plan, found: &mut Findings) {
    let Some(share) = plan.share else { return };
    for (message, remedy) in refusals(plan, share) {
        let message = format!("`--share {share}`: {message}");
        found.push(Diagnostic::error(codes::CONFLICT, Origin::CommandLine, message).remedy(remedy));
    }
    plan.load.pools = plan.load.pools.saturating_mul(share.count);
}

/// The settings that need a single process, each with a remedy.
fn refusals(plan: &Plan, share: Share) -> Vec<(String, String)> {
    let mut refusals: Vec<(String, String)> = Vec::new();
    let mut refuse = |is_so: bool, message: &str, remedy: &str| {
        if is_so {
            refusals.push((message.to_owned(), remedy.to_owned()));
        }
    };
    refuse(
        !plan.broker.capability().is_elsewhere,
        "processes meet on a cluster, and this run has one of its own",
        "give the cluster with `--bootstrap HOST:PORT`",
    );
    refuse(
        plan.group().is_some(),
        "the members of a group cannot be divided, because its coordinator moves partitions between them",
        "set `consumers.mode = \"assigned\"`, or run the group in one process",
    );
    refuse(
        matches!(plan.topic.name, TopicName::OfRun { .. }),
        "the processes find each other by the name of the topic, and it has none yet",
        "give all of them the same name, as in `--set topic.name=orders-test`",
    );
    refuse(
        !plan.faults.is_empty(),
        "faults are injected in one process only, so far",
        "leave `[[fault]]` out, or run the scenario in one process",
    );
    refuse(
        plan.load.pace == Pace::Max,
        "at maximum rate producers wait for consumers, and those of other processes are not seen",
        "set a `load.rate`, or find the largest one with `lanekeeper limit`",
    );
    refuse(
        !plan.load.stages.is_empty(),
        "the lag of a stage is not known of several processes together, so far",
        "leave the stages out, or run the scenario in one process",
    );
    refuse(
        plan.load.backlog.is_some(),
        "a backlog is written by one process only, so far",
        "leave `load.backlog` out, or run the scenario in one process",
    );
    refuse(
        plan.consumers.checkpoint != CheckpointPlan::Memory,
        "checkpoints are kept by one process only, so far",
        "leave `consumers.checkpoint` out",
    );
    let (partitions, producers) = (plan.topic.partitions, plan.load.producers);
    if share.count > partitions {
        refusals.push((
            format!("{partitions} partitions are too few for {} processes", share.count),
            format!(
                "use at most {partitions} processes, or set `topic.partitions` to at least {}",
                share.count
            ),
        ));
    }
    let pools = plan.load.pools.saturating_mul(share.count);
    if producers > 0 && pools > producers {
        refusals.push((
            format!(
                "{producers} producers are too few for {} processes with {} pools each",
                share.count, plan.load.pools
            ),
            format!("set `load.producers` to at least {pools}, or use fewer processes"),
        ));
    }
    refusals
}

impl Plan {
    /// Number of producers of this process.
    pub fn own_producers(&self) -> u32 {
        let pools = self.load.pools.max(1);
        let own = |id: u32| self.has_pool(PoolId(id % pools));
        (0..self.load.producers).filter(|id| own(*id)).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::PartitionId;
    use crate::plan::{Overrides, compile};
    use crate::scenario::Source;

    fn planned(text: &str, set: &[&str], share: &str) -> Result<Plan, Vec<String>> {
        let source = Source { name: "test.toml".to_owned(), text: text.to_owned() };
        let set: Vec<String> = set.iter().map(|it| (*it).to_owned()).collect();
        let overrides = Overrides {
            bootstrap: Some("127.0.0.1:9092".to_owned()),
            share: Some(share.parse().expect("a share")),
            ..Overrides::default()
        };
        let (plan, found) = compile(&source, &set, &overrides);
        plan.ok_or_else(|| found.into_iter().map(|it| it.message).collect())
    }

    const SCENARIO: &str = "[topic]\nname = \"t\"\npartitions = 7\n[load]\nproducers = 50\nrate = \"2/s\"\npools = 2\n";

    #[test]
    fn every_process_has_the_same_plan_and_a_part_of_its_own() {
        let plans: Vec<Plan> = (1..=3)
            .map(|number| planned(SCENARIO, &[], &format!("{number}/3")).expect("a plan"))
            .collect();
        let (mut partitions, mut pools, mut producers) = (BTreeSet::new(), BTreeSet::new(), 0);
        for plan in &plans {
            let same = Plan { share: plans[0].share, ..plan.clone() };
            assert_eq!(same, plans[0]);
            assert_eq!(plan.load.pools, 6);
            for id in (0..7).filter(|id| plan.reads(PartitionId(*id))) {
                assert!(partitions.insert(id), "partition {id} is read twice");
            }
            for id in (0..6).filter(|id| plan.has_pool(PoolId(*id))) {
                assert!(pools.insert(id), "pool {id} is there twice");
            }
            producers += plan.own_producers();
        }
        assert_eq!((partitions.len(), pools.len(), producers), (7, 6, 50));
    }

    #[test]
    fn what_a_process_needs_is_for_its_own_part() {
        let set = ["load.producers=20_000", "load.clients=producer", "topic.partitions=100"];
        let plan = |share: &str| planned(SCENARIO, &set, share).expect("a plan");
        let (half, tenth) = (plan("1/2").needs(1), plan("1/10").needs(1));
        assert_eq!((half.clients, tenth.clients), (10_050, 2_010));
        let bytes = |share: &str| plan(share).memory_estimate_bytes();
        assert!(bytes("1/10") < bytes("1/2") / 2, "{} {}", bytes("1/10"), bytes("1/2"));
        let refused = planned(SCENARIO, &["load.producers=20_001", set[1]], "1/2");
        let said = "20001 producers cannot have a client each";
        assert!(refused.expect_err("too many")[0].contains(said));
    }

    #[test]
    fn what_processes_cannot_do_together_is_refused() {
        for (set, share, said) in [
            (vec!["consumers.mode=group", "consumers.count=3"], "1/2", "members of a group"),
            (vec!["load.rate=max"], "1/2", "at maximum rate"),
            (vec![], "1/8", "7 partitions are too few for 8 processes"),
            (vec!["load.producers=5"], "1/3", "5 producers are too few for 3 processes"),
        ] {
            let refused = planned(SCENARIO, &set, share).expect_err(said);
            assert!(refused.iter().any(|message| message.contains(said)), "{said}: {refused:?}");
        }
        let nameless = SCENARIO.replace("name = \"t\"\n", "");
        let refused = planned(&nameless, &[], "1/2").expect_err("no name");
        assert!(refused[0].contains("by the name of the topic"), "{refused:?}");
    }
}

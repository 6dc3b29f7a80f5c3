//! The runs of the guide: its three set-ups, with and without faults.

use super::advice::{Assigning, SetUpRounds, Situation};
use super::condition::Condition;
use super::slow_partition::SlowPartition;
use crate::compare::limit::rate_override;
use crate::compare::settings::settings;
use crate::compare::variant::{Variant, VariantRounds};
use crate::plan::{Overrides, Plan};
use crate::scenario::Source;
use crate::summary::Summary;

/// The guide's own load: 1,024 producers with 2 messages per second each, on 18 partitions.
const GUIDE_LOAD: &str = include_str!("../../../scenarios/guide-option-2.toml");
/// Path of that file in the repository.
const GUIDE_FILE: &str = "scenarios/guide-option-2.toml";

/// The guide's load as a scenario.
pub fn guide_load() -> Source {
    Source { name: GUIDE_FILE.to_owned(), text: GUIDE_LOAD.to_owned() }
}

/// The set-ups, the conditions, and the overrides of the load in each run.
#[derive(Clone, Debug)]
pub struct GuideSuite {
    /// The load.
    pub source: Source,
    /// The guide's "Before": a group of 8 for 18 partitions.
    pub before: String,
    /// The guide's option 1: a group with as many members as partitions.
    pub option_1: String,
    /// The guide's option 2: a consumer assigned to each partition.
    pub option_2: String,
    /// Number of consumers of Before, and of the other two set-ups.
    pub consumers: (u32, u32),
    /// Id of the slow partition.
    pub slow: u32,
    /// The overrides of the load in each condition, as `path=value`.
    pub conditions: Vec<(Condition, Vec<String>)>,
    /// Set-ups that this broker does not support, with the reasons.
    pub left_out: Vec<String>,
    runs: Vec<(Condition, Variant)>,
}

/// The properties of a user's load that a suite needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Saturation {
    /// The highest rate of all producers with which Before keeps up; `None` if it is not known.
    pub per_second: Option<f64>,
}

/// Number of members of Before: 8 for 18 partitions, and in proportion for other topics.
pub fn before_members(partitions: u32) -> u32 {
    ((f64::from(partitions) * 8.0 / 18.0).round() as u32).max(1)
}

/// The overrides of a user's load in every run, without its stages and expectations.
fn without_stages(plan: &Plan) -> Vec<String> {
    if plan.load.stages.is_empty() { Vec::new() } else { vec!["load.stage=[]".to_owned()] }
}

/// The overrides of a user's load for a run of `seconds` without a fault.
pub fn quiet_overrides(plan: &Plan, seconds: u32) -> Vec<String> {
    let mut all =
        vec!["run.warmup=2s".to_owned(), format!("run.duration={seconds}s"), "fault=[]".to_owned()];
    all.extend(without_stages(plan));
    all
}

/// The durations of the parts of a run, in seconds.
struct Lengths {
    warmup: u32,
    /// The measured window of a run without a fault.
    quiet: u32,
    /// The measured window of a run with a crash, and the time of the crash from the start of the load.
    crash: (u32, u32),
    /// The same for a change of members.
    change: (u32, u32),
    /// The longest drain; `None` if the load decides it.
    drain: Option<u32>,
}

/// The durations in virtual time, which costs little.
const IN_VIRTUAL_TIME: Lengths =
    Lengths { warmup: 2, quiet: 12, crash: (20, 7), change: (20, 7), drain: None };
/// The durations in real time. Three rounds take 12 minutes of load, and groups need 3 s more for each start. The crash
/// of a member of a classic group is detected after 6 s. The time before the crash is as long as the time that is
/// compared with it, and longer than 6 s. A member that leaves in order is removed at once.
const IN_REAL_TIME: Lengths =
    Lengths { warmup: 1, quiet: 5, crash: (15, 7), change: (9, 4), drain: Some(5) };

impl GuideSuite {
    /// The suite for a load. `plan` is the plan of that load with a consumer assigned to each partition. `own` is given
    /// for a user's load, whose work is not changed.
    ///
    /// # Errors
    /// The load has no rate, so nothing can be compared at a rate.
    pub fn new(
        source: Source,
        plan: &Plan,
        own: Option<Saturation>,
        set: &[String],
        overrides: &Overrides,
    ) -> Result<GuideSuite, String> {
        let partitions = plan.topic.partitions;
        let per_second = plan.load.per_second().filter(|rate| *rate > 0.0).ok_or(
            "the guide compares set-ups at a given rate: give `load.rate` a number, for example `2/s`",
        )?;
        let before = before_members(partitions);
        let partition_rate = per_second / f64::from(partitions);
        let slow = match own {
            Some(_) => SlowPartition::of_load(plan, partition_rate),
            None => SlowPartition::of_guide(partition_rate, partitions),
        };
        let lengths = match plan.broker.kind().capability().is_modelled {
            true => &IN_VIRTUAL_TIME,
            false => &IN_REAL_TIME,
        };
        let mut conditions = conditions(partition_rate, partitions, before, slow, own, lengths);
        conditions.iter_mut().for_each(|(_, set)| set.extend(without_stages(plan)));
        let mut suite = GuideSuite {
            source,
            before: format!("group:{before}"),
            option_1: format!("group:{partitions}"),
            option_2: "assign".to_owned(),
            consumers: (before, partitions),
            slow: slow.id,
            conditions,
            left_out: Vec::new(),
            runs: Vec::new(),
        };
        suite.add_runs(set, overrides);
        Ok(suite)
    }

    fn add_runs(&mut self, set: &[String], overrides: &Overrides) {
        let main = [&self.before, &self.option_1, &self.option_2].map(Clone::clone);
        let others = ["cooperative-sticky", "static", "consumer"]
            .map(|word| format!("{}:{word}", self.option_1));
        let shared = ["assign:shared".to_owned()];
        for (condition, own) in self.conditions.clone() {
            let others = if condition.has_all_groups() { &others[..] } else { &[] };
            let shared = if condition.has_shared() { &shared[..] } else { &[] };
            for name in main.iter().chain(others).chain(shared) {
                let set: Vec<String> = set.iter().chain(&own).cloned().collect();
                let pair = [
                    name.clone(),
                    if *name == main[2] { main[0].clone() } else { main[2].clone() },
                ];
                let Ok(variants) = Variant::all(&self.source, &set, &pair) else { continue };
                let (plan, diagnostics) = variants[0].plan(&self.source, overrides);
                if plan.is_none() && others.contains(name) {
                    let why =
                        diagnostics.iter().find(|it| it.is_error()).map(|it| it.message.clone());
                    let line = format!("{name} is not run: {}", why.unwrap_or_default());
                    if !self.left_out.contains(&line) {
                        self.left_out.push(line);
                    }
                    continue;
                }
                let full = Variant {
                    name: format!("{name}, {}", condition.name()),
                    ..variants[0].clone()
                };
                self.runs.push((condition, full));
            }
        }
    }

    /// All runs of a round.
    pub fn variants(&self) -> Vec<Variant> {
        self.runs.iter().map(|(_, variant)| variant.clone()).collect()
    }

    /// The results of the suite: `summaries` of each of [`GuideSuite::variants`].
    pub fn results(&self, summaries: Vec<Vec<Summary>>) -> Vec<VariantRounds> {
        let named = self.runs.iter().zip(summaries);
        named
            .map(|((_, variant), summaries)| VariantRounds {
                name: variant.name.clone(),
                overrides: variant.overrides.clone(),
                summaries,
            })
            .collect()
    }

    /// The set-ups of each condition with their results, for advice.
    pub fn situations<'a>(&'a self, results: &'a [VariantRounds]) -> Vec<Situation<'a>> {
        let of = |condition: Condition| {
            let its = self.runs.iter().zip(results).filter(|((it, _), _)| *it == condition);
            let set_up =
                |((_, variant), rounds): (&(Condition, Variant), &'a VariantRounds)| SetUpRounds {
                    name: rounds.name.split(',').next().unwrap_or_default(),
                    assigning: Assigning::of(&settings(&self.source, &variant.overrides)),
                    summaries: &rounds.summaries,
                };
            Situation { condition, set_ups: its.map(set_up).collect() }
        };
        self.conditions.iter().map(|(condition, _)| of(*condition)).collect()
    }

    /// The overrides of the load in `condition`.
    pub fn overrides_of(&self, condition: Condition) -> &[String] {
        let found = self.conditions.iter().find(|(it, _)| *it == condition);
        found.map_or(&[], |(_, overrides)| overrides)
    }
}

/// The overrides in each condition, for a load with this rate per partition.
fn conditions(
    partition_rate: f64,
    partitions: u32,
    before: u32,
    slow: SlowPartition,
    own: Option<Saturation>,
    lengths: &Lengths,
) -> Vec<(Condition, Vec<String>)> {
    let wait = |seconds: f64| format!("{{wait=\"{:.0}us\"}}", seconds * 1e6);
    let busiest = f64::from(partitions.div_ceil(before)) * partition_rate;
    let Lengths { warmup, quiet, crash, change, .. } = *lengths;
    let times = |seconds: u32| {
        let drain = lengths.drain.map(|seconds| format!("run.drain={seconds}s"));
        let all = [format!("run.warmup={warmup}s"), format!("run.duration={seconds}s")];
        all.into_iter().chain(drain).collect::<Vec<_>>()
    };
    let work = |of: String| match own {
        Some(_) => Vec::new(),
        None => vec![format!("consumers.work={of}")],
    };
    let light = || work("{wait=\"500us\"}".to_owned());
    let fault = |at: u32, what: &str| {
        vec![format!("fault=[{{at=\"{at}s\",{what}={{consumer={}}}}}]", 7.min(before - 1))]
    };
    let no_fault = || vec!["fault=[]".to_owned()];
    let slow_work = || {
        let work = slow.work_s.map(|it| format!("consumers.work_of={{{}={}}}", slow.id, wait(it)));
        work.into_iter().collect::<Vec<_>>()
    };
    let mut all = vec![
        (Condition::Quiet, [times(quiet), no_fault(), light()].concat()),
        (Condition::Slow, [times(quiet), no_fault(), light(), slow_work()].concat()),
        (Condition::Crash, [times(crash.0), light(), fault(crash.1, "kill")].concat()),
        (Condition::MembershipChange, [times(change.0), light(), fault(change.1, "stop")].concat()),
    ];
    for (condition, share) in [(Condition::Busy70, 0.7), (Condition::Busy95, 0.95)] {
        // For the guide's load the work is chosen, and for a user's load the rate.
        let busy = match own {
            None => work(wait(share / busiest)),
            Some(Saturation { per_second: Some(most) }) => {
                vec![rate_override((share * most).round().max(1.0))]
            }
            Some(Saturation { per_second: None }) => continue,
        };
        all.push((condition, [times(quiet), no_fault(), busy].concat()));
    }
    all.sort_by_key(|(condition, _)| *condition);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BrokerKind;

    #[test]
    fn every_set_up_has_a_plan_in_every_condition() {
        let overrides = Overrides { broker: Some(BrokerKind::SIM), ..Overrides::default() };
        let (plan, _) = crate::plan::compile(&guide_load(), &[], &overrides);
        let plan = plan.expect("the guide's load");
        let suite = GuideSuite::new(guide_load(), &plan, None, &[], &overrides).expect("a suite");
        assert_eq!((suite.before.as_str(), suite.option_1.as_str()), ("group:8", "group:18"));
        assert_eq!(suite.left_out.len(), 0, "{:?}", suite.left_out);
        for variant in suite.variants() {
            let (plan, diagnostics) = variant.plan(&suite.source, &overrides);
            assert!(plan.is_some(), "{}: {diagnostics:?}", variant.name);
        }
        assert_eq!(suite.variants().len(), 4 * 3 + 2 * 6 + 2);
    }
}

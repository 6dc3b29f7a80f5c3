//! Claims of the guide that are facts and not differences of figures: monitoring and price.

use super::claim::{Claim, ClaimVerdict, rounds_of};
use super::condition::Condition;
use super::suite::GuideSuite;
use crate::compare::sample::mean;
use crate::compare::variant::VariantRounds;
use crate::summary::Summary;

/// Returns the command that runs these set-ups in this condition.
type Commands<'a> = &'a dyn Fn(Condition, &[String]) -> String;

/// The claim about monitoring: a consumer has the number of its partition, and a slow partition is named.
pub(super) fn monitoring(
    suite: &GuideSuite,
    results: &[VariantRounds],
    command: Commands<'_>,
) -> Claim {
    let other_numbers = |name: &str| {
        let rounds = rounds_of(results, name, Condition::Crash);
        let its = rounds.iter().flat_map(|it| &it.partitions);
        its.filter(|it| it.owners.iter().any(|owner| owner.consumer != it.partition)).count()
    };
    let named = |name: &str| {
        let rounds = rounds_of(results, name, Condition::Slow);
        let is_named = |it: &&Summary| it.fairness.worst_partition == Some(suite.slow);
        (rounds.iter().filter(is_named).count(), rounds.len())
    };
    let (before, after) = (other_numbers(&suite.before), other_numbers(&suite.option_2));
    let (found, runs) = named(&suite.option_2);
    let (found_before, runs_before) = named(&suite.before);
    Claim {
        claim: "simpler monitoring",
        guide: "clear 1:1 mapping: consumer id = partition id, and a slow partition is easy to find",
        verdict: match (after, found, runs) {
            (_, _, 0) => ClaimVerdict::Inconclusive,
            (0, found, runs) if found == runs => ClaimVerdict::Supported,
            // Found only in some rounds.
            (0, 1.., _) => ClaimVerdict::Inconclusive,
            _ => ClaimVerdict::NotSupported,
        },
        because: vec![
            format!(
                "partitions that a consumer of another number has read: {before} in {}, {after} in {} (crash, all rounds)",
                suite.before, suite.option_2
            ),
            format!(
                "the slow partition {} has the largest p99 in {found_before} of {runs_before} rounds of {} and in {found} \
                 of {runs} rounds of {}",
                suite.slow, suite.before, suite.option_2
            ),
        ],
        command: command(Condition::Slow, &[suite.before.clone(), suite.option_2.clone()]),
    }
}

/// A cost of a run: its name, and its value in a summary.
type CostReading = (&'static str, fn(&Summary) -> Option<f64>);

/// The costs of a run that the operating system may report.
const COSTS: [CostReading; 4] = [
    ("CPU", |it| it.cost.cpu_s),
    ("memory", |it| it.cost.rss_max_bytes.map(|bytes| bytes as f64)),
    ("threads", |it| it.cost.threads_max.map(|count| count as f64)),
    ("connections", |it| it.cost.sockets_max.map(|count| count as f64)),
];

/// The claim about the price of more consumers.
pub(super) fn price(suite: &GuideSuite, results: &[VariantRounds], command: Commands<'_>) -> Claim {
    let (before, after) = suite.consumers;
    let ratio = f64::from(after) / f64::from(before);
    let mut because = vec![format!("{after} consumers instead of {before}: {ratio:.2} x")];
    let rounds = |name: &str| rounds_of(results, name, Condition::Quiet);
    let (first, second) = (rounds(&suite.before), rounds(&suite.option_2));
    let is_simulated = first.iter().chain(second).any(|it| it.simulation.is_some());
    let mut is_more = false;
    for (name, read) in COSTS {
        let value = |rounds: &[Summary]| {
            let all: Vec<f64> = rounds.iter().filter_map(read).collect();
            (!all.is_empty() && !is_simulated).then(|| mean(&all)).filter(|mean| *mean > 0.0)
        };
        let (Some(a), Some(b)) = (value(first), value(second)) else { continue };
        // Both values include the load generator and the broker, if it is in this process.
        is_more |= b / a > ratio * 1.1;
        because.push(format!("{name} of the whole process: {:.2} x", b / a));
    }
    if because.len() == 1 {
        because.push(
            "memory, CPU, threads and connections are measured on a real broker only".to_owned(),
        );
    }
    Claim {
        claim: "price",
        guide: "18 consumers instead of 8: about 2.25 x consumers, moderately more memory, more connections",
        verdict: if is_more { ClaimVerdict::NotSupported } else { ClaimVerdict::Supported },
        because,
        command: command(Condition::Quiet, &[suite.before.clone(), suite.option_2.clone()]),
    }
}

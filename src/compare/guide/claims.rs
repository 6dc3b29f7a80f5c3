//! The claims of the guide, each with a verdict, figures, and the command that repeats it.

use super::claim::{Claim, ClaimVerdict, rounds_of};
use super::condition::Condition;
use super::evidence::{Evidence, Measure, Shown};
use super::facts::{monitoring, price};
use super::measures::{NEIGHBOURS, OTHERS_STALL, P50, P95, P99, P99_SPREAD, P999, RATE_CV};
use super::suite::GuideSuite;
use crate::base::Seed;
use crate::compare::variant::VariantRounds;
use crate::summary::Summary;

use Condition::{Busy70, Busy95, Crash, MembershipChange, Quiet, Slow};

/// A claim about a difference: option 2 has less of a measure than another set-up.
struct Difference {
    claim: &'static str,
    guide: &'static str,
    measures: &'static [(Condition, Measure)],
    /// True if option 1 and its other assignors are compared with option 2 in addition to Before.
    with_groups: bool,
}

/// The conditions in which the quantiles of the response time are compared.
const fn everywhere(measure: Measure) -> [(Condition, Measure); 5] {
    [(Quiet, measure), (Busy70, measure), (Busy95, measure), (Slow, measure), (Crash, measure)]
}

const DIFFERENCES: [Difference; 8] = [
    Difference {
        claim: "maximum parallelism",
        guide: "no consumer waits for others to finish processing their partitions",
        measures: &[(Busy95, P50), (Slow, P50)],
        with_groups: false,
    },
    Difference {
        claim: "predictable performance",
        guide: "each consumer has a consistent, known workload",
        measures: &[(Quiet, P99_SPREAD), (Busy95, P99_SPREAD)],
        with_groups: false,
    },
    Difference {
        claim: "latency isolation",
        guide: "one slow partition does not block processing of other partitions",
        measures: &[(Slow, NEIGHBOURS)],
        with_groups: false,
    },
    Difference {
        claim: "no rebalance cost",
        guide: "with explicit partition assignment there is no rebalancing cost",
        measures: &[(Crash, OTHERS_STALL), (MembershipChange, OTHERS_STALL)],
        with_groups: true,
    },
    Difference {
        claim: "lower P95",
        guide: "improved latency distribution, especially P95 and above",
        measures: &everywhere(P95),
        with_groups: false,
    },
    Difference {
        claim: "lower P99",
        guide: "lower P99+ latencies: no cross-partition interference",
        measures: &everywhere(P99),
        with_groups: false,
    },
    Difference {
        claim: "better tail latency",
        guide: "better tail latency: isolated slow partitions",
        measures: &everywhere(P999),
        with_groups: false,
    },
    Difference {
        claim: "steadier throughput",
        guide: "higher stable throughput, better throughput consistency",
        measures: &[(Quiet, RATE_CV), (Busy95, RATE_CV), (Crash, RATE_CV)],
        with_groups: false,
    },
];

/// The verdicts of a suite. `command` returns the command that runs the given set-ups in the given condition.
pub fn claims(
    suite: &GuideSuite,
    results: &[VariantRounds],
    timing_is_real: bool,
    command: &dyn Fn(Condition, &[String]) -> String,
) -> Vec<Claim> {
    let mut evidence: Vec<Vec<Evidence>> = DIFFERENCES
        .iter()
        .enumerate()
        .map(|(at, it)| evidence_of(suite, results, it, Seed(1).child("guide", at as u64)))
        .collect();
    Evidence::adjust(&mut evidence.iter_mut().flatten().collect::<Vec<_>>());
    let mut all = vec![ordering(suite, results, command)];
    for (it, evidence) in DIFFERENCES.iter().zip(&evidence) {
        let verdict = if timing_is_real { verdict(evidence) } else { ClaimVerdict::Inconclusive };
        let mut because = because(evidence);
        if !timing_is_real {
            because.insert(
                0,
                "times of the embedded mock cluster say nothing about a real one".to_owned(),
            );
        }
        let decisive = evidence.iter().find(|it| it.shown() == Shown::Less).or(evidence.first());
        let condition = decisive.map_or(it.measures[0].0, |it| it.condition);
        let mut names = vec![suite.before.clone()];
        if it.with_groups {
            names.push(suite.option_1.clone());
        }
        names.push(suite.option_2.clone());
        let command = command(condition, &names);
        all.push(Claim { claim: it.claim, guide: it.guide, verdict, because, command });
    }
    all.push(monitoring(suite, results, command));
    all.push(price(suite, results, command));
    all
}

fn evidence_of(
    suite: &GuideSuite,
    results: &[VariantRounds],
    claim: &Difference,
    seed: Seed,
) -> Vec<Evidence> {
    let mut others = vec![suite.before.clone()];
    if claim.with_groups {
        others.push(suite.option_1.clone());
        others.extend(
            ["cooperative-sticky", "static", "consumer"]
                .map(|word| format!("{}:{word}", suite.option_1)),
        );
    }
    let mut all = Vec::new();
    for (condition, measure) in claim.measures {
        let second = rounds_of(results, &suite.option_2, *condition);
        for other in &others {
            let first = rounds_of(results, other, *condition);
            let pair = [(other.as_str(), first), (suite.option_2.as_str(), second)];
            let seed = seed.child("test", all.len() as u64);
            all.extend(Evidence::of(*condition, *measure, pair, suite.slow, seed));
        }
    }
    all
}

fn verdict(evidence: &[Evidence]) -> ClaimVerdict {
    let has = |shown: Shown| evidence.iter().any(|it| it.shown() == shown);
    match (has(Shown::More), has(Shown::Less), has(Shown::Unclear)) {
        (true, _, _) => ClaimVerdict::NotSupported,
        (false, true, _) => ClaimVerdict::Supported,
        (false, false, false) if !evidence.is_empty() => ClaimVerdict::NotSupported,
        _ => ClaimVerdict::Inconclusive,
    }
}

/// The figures, with the outcome of each test.
fn because(evidence: &[Evidence]) -> Vec<String> {
    let word = |shown: Shown| match shown {
        Shown::Less => "lower",
        Shown::More => "HIGHER",
        Shown::Alike => "no difference",
        Shown::Unclear => "unclear",
    };
    evidence.iter().map(|it| format!("{}: {}", word(it.shown()), it.text())).collect()
}

/// The claim about order. Order is kept while a partition has one owner at a time, also in a group.
fn ordering(
    suite: &GuideSuite,
    results: &[VariantRounds],
    command: &dyn Fn(Condition, &[String]) -> String,
) -> Claim {
    let count = |name: &str| -> (u64, usize) {
        let its = results.iter().filter(|it| it.name.starts_with(&format!("{name}, ")));
        let summaries: Vec<&Summary> = its.flat_map(|it| &it.summaries).collect();
        (summaries.iter().map(|it| it.ledger.reordered).sum(), summaries.len())
    };
    let names = [&suite.before, &suite.option_1, &suite.option_2];
    let counts = names.map(|name| count(name));
    let said = |(name, (reordered, runs)): (&&String, &(u64, usize))| {
        format!("{name}: {reordered} records out of order in {runs} runs")
    };
    let mut because: Vec<String> = names.iter().zip(&counts).map(said).collect();
    if counts[0].0 == 0 && counts[1].0 == 0 {
        because.push(
            "the groups keep the order as well: it is no advantage of one of the set-ups"
                .to_owned(),
        );
    }
    Claim {
        claim: "ordering within partitions",
        guide: "guaranteed message ordering: each partition is processed by exactly one consumer",
        verdict: match counts[2] {
            (_, 0) => ClaimVerdict::Inconclusive,
            (0, _) => ClaimVerdict::Supported,
            _ => ClaimVerdict::NotSupported,
        },
        because,
        command: command(Crash, &names.map(Clone::clone)),
    }
}

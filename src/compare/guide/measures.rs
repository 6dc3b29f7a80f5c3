//! The measures for the claims of the guide.

use super::evidence::Measure;
use crate::compare::figures::NamedFigure;
use crate::summary::Summary;

/// A figure of the metric table in a run.
fn figure(name: &str, summary: &Summary) -> Option<f64> {
    NamedFigure::named(name)?.value(summary)
}

/// Median of the response time.
pub(super) const P50: Measure =
    Measure { name: "p50", is_time: true, read: |summary, _| figure("latency.p50", summary) };
/// 95th percentile of the response time.
pub(super) const P95: Measure =
    Measure { name: "p95", is_time: true, read: |summary, _| figure("latency.p95", summary) };
/// 99th percentile of the response time.
pub(super) const P99: Measure =
    Measure { name: "p99", is_time: true, read: |summary, _| figure("latency.p99", summary) };
/// 99.9th percentile of the response time.
pub(super) const P999: Measure =
    Measure { name: "p99.9", is_time: true, read: |summary, _| figure("latency.p999", summary) };
/// Largest p99 of a partition divided by the median of all partitions' p99.
pub(super) const P99_SPREAD: Measure = Measure {
    name: "largest p99 of a partition over the median one",
    is_time: false,
    read: |summary, _| figure("fairness.p99_spread", summary),
};
/// Longest stall of partitions at which the first fault was not aimed.
pub(super) const OTHERS_STALL: Measure = Measure {
    name: "longest stall of other partitions",
    is_time: true,
    read: |summary, _| figure("fault[0].others_stall", summary),
};
/// Time from the first fault until every partition that it has hit has recovered.
pub(super) const RECOVERY: Measure = Measure {
    name: "recovery",
    is_time: true,
    read: |summary, _| figure("fault[0].recovery", summary),
};
/// Largest p50 of the partitions other than the slow one.
pub(super) const NEIGHBOURS: Measure =
    Measure { name: "largest p50 of the other partitions", is_time: true, read: neighbours };
/// Mean over partitions of the coefficient of variation of their rates per second.
pub(super) const RATE_CV: Measure =
    Measure { name: "variation of a partition's rate per second", is_time: false, read: rate_cv };

fn neighbours(summary: &Summary, slow: u32) -> Option<f64> {
    let others = summary.partitions.iter().filter(|it| it.partition != slow);
    others.filter_map(|it| it.latency_us.response.p50).reduce(f64::max).map(|us| us * 1e-3)
}

fn rate_cv(summary: &Summary, _: u32) -> Option<f64> {
    let all: Vec<f64> = summary.partitions.iter().filter_map(|it| it.rate_cv).collect();
    (!all.is_empty()).then(|| crate::compare::sample::mean(&all))
}

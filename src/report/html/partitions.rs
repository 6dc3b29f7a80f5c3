//! The table of partitions: every metric of a partition, and its other values in the summary.

use std::collections::BTreeSet;

use maud::{Markup, html};

use crate::base::format_count;
use crate::summary::{
    Better, Figure, Ledger, METRICS, PartitionSummary, Quantile, Summary, Unit, Verdict,
};

/// A column.
struct Column {
    heading: String,
    /// Name of the figure, with `[]` in the place of the partition; `None` for a column that is no figure.
    figure: Option<String>,
    meaning: String,
    /// The better direction of its values.
    better: Better,
    values: Vec<Option<f64>>,
    decimals: usize,
}

impl Column {
    fn text(&self, row: usize) -> String {
        let Some(value) = self.values[row] else { return "–".to_owned() };
        match self.decimals {
            0 => format_count(value.max(0.0).round() as u64),
            decimals => format!("{value:.decimals$}"),
        }
    }

    /// The worst value; `None` if none is worse than others.
    fn worst(&self) -> Option<f64> {
        let values = || self.values.iter().flatten().copied();
        let (least, most) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        match self.better {
            Better::Less if most > least => Some(most),
            Better::More if least < most => Some(least),
            _ => None,
        }
    }
}

/// The section.
pub(super) fn partitions(summary: &Summary) -> Markup {
    let (columns, zero, twins) = columns(summary);
    html! {
        section #partitions aria-labelledby="partitions-h" {
            h2 #partitions-h { "Partitions" }
            @if let (Some(cv), Some(ratio)) = (summary.fairness.rate_cv, summary.fairness.p99_max_over_median) {
                p {
                    "The partitions' rates differ by " (format!("{:.2} %", cv * 100.0)) "; the largest p99 is "
                    (format!("{ratio:.1}")) " times the median one."
                }
            }
            div.scroll {
                table.sortable data-figures="partitions" {
                    caption { "Each partition; times in ms, the worst value of a column is marked" }
                    thead { tr {
                        th scope="col" { "partition" }
                        th.text scope="col" { "owners" }
                        @for column in &columns {
                            th scope="col" title=(column.meaning) data-figure=[&column.figure] { (column.heading) }
                        }
                    } }
                    tbody { @for (row, p) in summary.partitions.iter().enumerate() {
                        tr {
                            th scope="row" {
                                (p.partition)
                                @if summary.fairness.worst_partition == Some(p.partition) {
                                    " " span title="largest p99" { "▲" }
                                }
                            }
                            td.text { (owners(p)) }
                            @for column in &columns {
                                td.worst[column.values[row].is_some() && column.values[row] == column.worst()] {
                                    (column.text(row))
                                }
                            }
                        }
                    } }
                }
            }
            @if !twins.is_empty() {
                p { "Equal to the response times in every partition: " (twins.join(", ")) "." }
            }
            @if !zero.is_empty() { p { "0 in every partition: " (zero.join(", ")) "." } }
        }
    }
}

/// The columns, the names of counts that are 0 everywhere, and the names of columns that equal another one.
fn columns(summary: &Summary) -> (Vec<Column>, Vec<String>, Vec<String>) {
    let all = &summary.partitions;
    let of =
        |get: &dyn Fn(&PartitionSummary) -> Option<f64>| all.iter().map(get).collect::<Vec<_>>();
    let plain = |heading: &str, meaning: &str, better, decimals, values| Column {
        heading: heading.to_owned(),
        figure: None,
        meaning: meaning.to_owned(),
        better,
        values,
        decimals,
    };
    let mut columns = vec![plain(
        "offered [/s]",
        "records due in the measured window per second",
        Better::Neither,
        1,
        of(&|p| p.offered_per_s),
    )];
    columns.extend(figures().map(|figure| of_figure(&figure, of(&|p| figure.1.of_partition(p)))));
    columns.push(plain(
        "stall [ms]",
        "longest time for which records waited and none was processed",
        Better::Less,
        1,
        of(&|p| Some(p.longest_stall_ms)),
    ));
    columns.push(plain(
        "restarts",
        "restarts of its consumer",
        Better::Less,
        0,
        of(&|p| Some(f64::from(p.restarts))),
    ));
    for (name, meaning) in counts(summary.verdict) {
        columns.push(plain(&name, meaning, Better::Less, 0, of(&|p| count(&p.ledger, &name))));
    }
    let is_zero = |column: &Column| column.values.iter().all(|value| *value == Some(0.0));
    let zero = columns
        .iter()
        .filter(|it| is_zero(it))
        .map(|it| it.heading.trim_end_matches(" [ms]").replace('_', " "));
    let zero: Vec<String> = zero.collect();
    columns.retain(|column| !is_zero(column) && column.values.iter().any(Option::is_some));
    let twins = take_twins(&mut columns);
    (columns, zero, twins)
}

/// Removes the times that equal an earlier column in every partition, and returns their names. For example, response
/// and service time are equal if each record was sent on time.
fn take_twins(columns: &mut Vec<Column>) -> Vec<String> {
    let mut twins = Vec::new();
    let mut kept: Vec<Column> = Vec::new();
    for column in columns.drain(..) {
        let is_time = column.heading.ends_with("[ms]") && column.figure.is_some();
        let twin =
            kept.iter().find(|it| is_time && it.figure.is_some() && it.values == column.values);
        match twin.filter(|it| column.heading.ends_with(it.heading.as_str())) {
            Some(_) => twins.push(column.heading.trim_end_matches(" [ms]").to_owned()),
            None => kept.push(column),
        }
    }
    *columns = kept;
    twins
}

/// Every figure of a partition once. An alias of another metric is left out.
fn figures() -> impl Iterator<Item = (String, Figure)> {
    let mut seen: BTreeSet<(usize, Option<&str>)> = BTreeSet::new();
    Figure::names().filter_map(move |(name, _)| {
        let rest = name.strip_prefix("partition[].")?;
        let figure = Figure::parse(&format!("partition[*].{rest}"))?;
        let its = METRICS.iter().position(|metric| metric == figure.metric)?;
        let is_other_name = figure.metric.meaning == "the same";
        let is_new = seen.insert((its, figure.quantile.map(Quantile::name)));
        (is_new && !is_other_name).then_some((name, figure))
    })
}

fn of_figure((name, figure): &(String, Figure), values: Vec<Option<f64>>) -> Column {
    let rest = name.trim_start_matches("partition[].").trim_start_matches("latency.");
    let unit = match figure.metric.unit {
        Unit::Time => " [ms]",
        Unit::Number => " [/s]",
        Unit::Count | Unit::Flag => "",
    };
    let scaled = |value: f64| if figure.is_time() { value / 1e6 } else { value };
    let values: Vec<Option<f64>> = values.into_iter().map(|value| value.map(scaled)).collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let decimals = match figure.metric.unit {
        Unit::Time if most < 100.0 => 3,
        Unit::Time if most < 10_000.0 => 2,
        Unit::Time | Unit::Number => 1,
        Unit::Count | Unit::Flag => 0,
    };
    Column {
        heading: rest.replace(['_', '.'], " ").replace("p999", "p99.9") + unit,
        figure: Some(name.clone()),
        meaning: figure.metric.meaning.to_owned(),
        better: figure.metric.better,
        values,
        decimals,
    }
}

/// Counts of the ledger that should be small, with their meanings. In a run that was cut off, records in flight cannot
/// be told from lost or unread ones.
fn counts(verdict: Verdict) -> Vec<(String, &'static str)> {
    let is_known = |name: &str| verdict != Verdict::CutOff || !["lost", "unread"].contains(&name);
    METRICS
        .iter()
        .filter(|metric| metric.better == Better::Less && is_known(metric.name))
        .filter(|metric| count(&Ledger::default(), metric.name).is_some())
        .filter(|metric| matches!(metric.get, crate::summary::Get::Run(_)))
        .map(|metric| (metric.name.to_owned(), metric.meaning))
        .collect()
}

/// A count of the ledger by its name in results; `None` for an unknown name.
fn count(ledger: &Ledger, name: &str) -> Option<f64> {
    serde_json::to_value(ledger).ok()?.get(name)?.as_f64()
}

/// The owners in order, without direct repetitions.
fn owners(partition: &PartitionSummary) -> String {
    let mut owners: Vec<u32> = partition.owners.iter().map(|owner| owner.consumer).collect();
    owners.dedup();
    let first = owners.len().saturating_sub(4);
    let shown: Vec<String> = owners[first..].iter().map(ToString::to_string).collect();
    let before = if first > 0 { "… → " } else { "" };
    if shown.is_empty() { "–".to_owned() } else { format!("{before}{}", shown.join(" → ")) }
}

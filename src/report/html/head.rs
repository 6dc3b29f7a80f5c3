//! The beginning of the page: the verdict, a sentence or two about the run, and cards with the most important figures.

use maud::{Markup, html};

use crate::base::{BrokerKind, format_count};
use crate::report::words::{
    Outcome, holding, millis, outcome, spoken, story, totals, value_text, verdict_word, worst_fault,
};
use crate::summary::{Figure, Summary, Unit, Verdict};

/// A figure with its explanation.
struct Card {
    label: String,
    value: String,
    more: String,
    /// True if an expectation about the figure does not hold.
    fails: bool,
}

/// The header.
pub(super) fn head(summary: &Summary) -> Markup {
    let word = verdict_word(summary.verdict);
    let (class, mark) = match summary.verdict {
        Verdict::Passed => ("verdict good", "✓"),
        Verdict::Failed => ("verdict bad", "✗"),
        _ => ("verdict doubt", "?"),
    };
    html! {
        header {
            p.kind { "lanekeeper · load and fault test" }
            h1 { (summary.scenario) }
            p class=(class) {
                strong { span aria-hidden="true" { (mark) " " } (word) }
                span { (holding(summary)) }
            }
            p.story { (story(summary)) }
            p.setting { (setting(summary)) }
            @if summary.verdict == Verdict::Invalid && summary.invalid_reasons.len() > 1 {
                ul { @for reason in &summary.invalid_reasons { li { (reason) } } }
            }
        }
        section.cards aria-label="Figures in short" {
            @for card in cards(summary) {
                div class=(if card.fails { "card fails" } else { "card" }) {
                    p.label { (card.label) @if card.fails { " ✗" } }
                    p.value { (card.value) }
                    p.more { (card.more) }
                }
            }
        }
    }
}

/// Scenario, broker and client, in a line.
fn setting(s: &Summary) -> String {
    let consumers = match s.mode.as_str() {
        "group" => format!("a group of {} consumers", s.members),
        _ => format!("{} assigned consumers", s.members),
    };
    let broker = match BrokerKind::named(&s.broker) {
        Some(kind) if !kind.capability().is_elsewhere => format!("the {} cluster", kind.called()),
        _ => s.broker.clone(),
    };
    let began = s.load_started_at.as_ref().map(|at| format!(", begun at {at}"));
    format!(
        "{} partitions, {consumers}, on {broker}; {:.1} s measured, seed {}{}",
        s.partitions.len(),
        s.duration_s,
        s.seed,
        began.unwrap_or_default()
    )
}

fn cards(summary: &Summary) -> Vec<Card> {
    let mut cards = vec![response(summary), rate(summary), records(summary)];
    cards.extend(faults(summary));
    cards.extend([lag(summary), restarts(summary)]);
    cards.extend(schedule(summary));
    cards
}

/// A figure of the run as text; `None` if it was not measured.
fn figure(summary: &Summary, name: &str) -> Option<String> {
    let figure = Figure::parse(name)?;
    let value = figure.values(summary).first()?.1?;
    Some(value_text(figure.metric.unit, value))
}

/// True if an expectation whose text begins with one of `beginnings` does not hold.
fn fails(summary: &Summary, beginnings: &[&str]) -> bool {
    summary.expectations.iter().any(|it| {
        let is_meant = beginnings.iter().any(|beginning| it.expression.contains(beginning));
        is_meant && outcome(summary, it) == Outcome::Fails
    })
}

fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

fn response(summary: &Summary) -> Card {
    let of = |name| dash(figure(summary, name));
    Card {
        label: "p99 of the response time".to_owned(),
        value: of("latency.p99"),
        more: format!(
            "p50 {}, p99.9 {}, max {}",
            of("latency.p50"),
            of("latency.p999"),
            of("latency.max")
        ),
        fails: fails(summary, &["latency.p", "latency.max", "latency.response"]),
    }
}

fn rate(summary: &Summary) -> Card {
    let offered = summary.offered_per_s.map(|rate| value_text(Unit::Number, rate));
    let more = match (offered, &summary.bottleneck) {
        (Some(offered), _) => {
            let share = Figure::parse("achieved_share").and_then(|it| it.values(summary)[0].1);
            let share = share.map_or(String::new(), |share| format!(", {:.2} %", share * 100.0));
            let backlog = if summary.backlog.is_some() { ", with the backlog" } else { "" };
            format!("of {offered} offered{share}{backlog}")
        }
        (None, Some(side)) => format!("at maximum rate, limited by the {side}"),
        (None, None) => "at maximum rate".to_owned(),
    };
    let value = match summary.measured_something() {
        true => dash(figure(summary, "achieved_per_s")),
        false => "–".to_owned(),
    };
    Card {
        label: "records processed per second".to_owned(),
        value,
        more,
        fails: fails(summary, &["keeps_up", "achieved"]),
    }
}

fn records(summary: &Summary) -> Card {
    let sent = format!("{} sent", format_count(summary.ledger.sent));
    if summary.verdict == Verdict::CutOff {
        let waiting = summary.ledger.sent.saturating_sub(summary.ledger.delivered);
        let (label, value) = ("records not processed yet".to_owned(), format_count(waiting));
        return Card { label, value, more: sent, fails: false };
    }
    let others: Vec<String> = totals(summary)
        .filter(|(metric, value)| metric.name != "lost" && *value > 0.0)
        .map(|(metric, value)| format!("{} {}", format_count(value as u64), spoken(metric)))
        .collect();
    let more = match others.is_empty() {
        true => format!("{sent}; none duplicated, reordered or corrupt"),
        false => format!("{sent}; {}", others.join(", ")),
    };
    Card {
        label: "records lost".to_owned(),
        value: dash(figure(summary, "lost")),
        more,
        fails: fails(summary, &["lost", "unread", "duplicated", "reordered", "corrupt", "failed"]),
    }
}

fn faults(summary: &Summary) -> Vec<Card> {
    let Some(worst) = worst_fault(summary) else { return Vec::new() };
    let count = summary.faults.iter().filter(|fault| fault.at_s.is_some()).count();
    let of = if count == 1 {
        "by the fault".to_owned()
    } else {
        format!("by the worst of {count} faults")
    };
    let stalled = Card {
        label: "partitions stalled".to_owned(),
        value: format!("{} of {}", worst.blast_radius, summary.partitions.len()),
        more: of,
        fails: fails(summary, &["blast_radius"]),
    };
    let open = summary.faults.iter().find_map(|fault| fault.not_recovered.first());
    let times = summary.faults.iter().filter_map(|fault| fault.recovered_ms);
    let longest = times.reduce(f64::max);
    let (value, more) = match (open, longest) {
        (Some(partition), _) => ("not within the run".to_owned(), format!("partition {partition}")),
        (None, Some(ms)) => (millis(ms), "until lag and age were as before".to_owned()),
        (None, None) => return vec![stalled],
    };
    let label = "recovered after".to_owned();
    vec![stalled, Card { label, value, more, fails: fails(summary, &["recovery"]) }]
}

fn lag(summary: &Summary) -> Card {
    let worst =
        summary.partitions.iter().max_by_key(|p| (p.lag_max, std::cmp::Reverse(p.partition)));
    let worst = worst.filter(|p| p.lag_max > 0);
    Card {
        label: "largest lag".to_owned(),
        value: format_count(worst.map_or(0, |p| p.lag_max)),
        more: match worst {
            Some(p) => format!("records, of partition {}", p.partition),
            None => "records".to_owned(),
        },
        fails: fails(summary, &["lag_"]),
    }
}

fn restarts(summary: &Summary) -> Card {
    Card {
        label: "restarts of consumers".to_owned(),
        value: dash(figure(summary, "restarts")),
        more: format!(
            "{} of {} started, {} given up",
            summary.consumers_started,
            summary.members.max(summary.consumers_started),
            summary.given_up.len()
        ),
        fails: fails(summary, &["restarts", "given_up", "consumers_started"]),
    }
}

/// Lateness of the load; `None` at maximum rate.
fn schedule(summary: &Summary) -> Option<Card> {
    Some(Card {
        label: "p99 of lateness in sending".to_owned(),
        value: figure(summary, "lateness.p99")?,
        more: format!("median {}", dash(figure(summary, "lateness.p50"))),
        fails: summary.verdict == Verdict::Invalid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_a_card_is_one_of_the_table() {
        for name in [
            "latency.p50",
            "latency.p99",
            "latency.p999",
            "latency.max",
            "achieved_share",
            "achieved_per_s",
            "lost",
            "restarts",
            "lateness.p50",
            "lateness.p99",
        ] {
            assert!(Figure::parse(name).is_some(), "{name}");
        }
        assert!(!cards(&Summary::default()).is_empty());
    }
}

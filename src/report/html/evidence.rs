//! The sections on expectations, on other events, and on the reliability of the figures.

use maud::{Markup, html};

use crate::base::{BrokerKind, format_bytes, format_count, format_cpus};
use crate::report::sending_lines::sending_lines;
use crate::report::shares_table::shares_in_words;
use crate::report::words::{Outcome, measured, millis, outcome, value_text};
use crate::summary::{Figure, METRICS, PropertyOrigin, Summary, Unit, Verdict};

/// Every expectation with the measured value.
pub(super) fn expectations(summary: &Summary) -> Markup {
    html! {
        section #expectations aria-labelledby="expectations-h" {
            h2 #expectations-h { "Expectations" }
            div.scroll {
                table data-figures="expectations" {
                    caption { "What was expected, and what was measured" }
                    thead { tr {
                        th.text scope="col" { "outcome" }
                        th.text scope="col" { "expectation" }
                        th.text scope="col" { "measured" }
                        th.text scope="col" { "from" }
                    } }
                    tbody { @for it in &summary.expectations {
                        @let (class, word) = match outcome(summary, it) {
                            Outcome::Holds => ("good", "✓ holds"),
                            Outcome::Fails => ("bad", "✗ fails"),
                            Outcome::Undecided => ("doubt", "? not decided"),
                        };
                        tr {
                            td.text { span class=(class) { (word) } }
                            th.text scope="row" { code { (it.expression) } }
                            td.text { (measured(it)) }
                            td.text { @if it.is_default { "every run" } @else { "the scenario" } }
                        }
                    } }
                }
            }
        }
    }
}

/// Rebalances, outages and partitions that were added.
pub(super) fn events(s: &Summary) -> Markup {
    let is_quiet = s.rebalances.is_empty()
        && s.outages.is_empty()
        && s.growth.is_empty()
        && s.given_up.is_empty();
    html! {
        @if !is_quiet {
            section #events aria-labelledby="events-h" {
                h2 #events-h { "Events" }
                ul {
                    @for it in s.rebalances.iter().take(100) { li {
                        "Rebalance at " (format!("{:.1} s", it.at_s)) ": took "
                        (it.duration_ms.map_or("until the end".to_owned(), millis)) ", "
                        (it.partitions_stopped) " of " (s.partitions.len()) " partitions stopped, "
                        (it.partitions_moved) " moved."
                    } }
                    @for it in s.outages.iter().take(100) { li {
                        "Outage from " (format!("{:.1} s", it.from_s)) " "
                        (it.to_s.map_or("to the end".to_owned(), |to| format!("to {to:.1} s"))) ": "
                        (it.failed) " consumers failed together; restarts were held back."
                    } }
                    @for it in &s.growth { li {
                        "The topic grew from " (it.from) " to " (it.to) " partitions, found at "
                        (format!("{:.1} s", it.at_s)) "."
                    } }
                    @for (consumer, reason) in &s.given_up { li { "Consumer " (consumer) " was given up: " (reason) "." } }
                }
            }
        }
    }
}

/// Remarks that a reader needs to judge the figures.
pub(super) fn trust(s: &Summary) -> Markup {
    html! {
        section #trust aria-labelledby="trust-h" {
            h2 #trust-h { (trust_heading(s)) }
            ul {
                @for reason in &s.invalid_reasons { li.bad { "✗ " (with_code(reason)) } }
                @for line in schedule(s) { li { (line) } }
                li { (account(s)) }
                li { (place(s)) }
                @if let Some(shares) = shares_in_words(s) { li { (shares) "." } }
                @if let Some(cost) = cost(s) { li { (cost) } }
            }
            @if !s.warnings.is_empty() {
                h3 { "Warnings" }
                ul { @for warning in &s.warnings { li { (with_code(warning)) } } }
            }
            (processes(s))
            h3 { "Versions" }
            dl.facts {
                dt { "lanekeeper" } dd { (s.lanekeeper_version) ", result format " (s.schema_version) }
                dt { "cluster" } dd { (s.broker) @if let Some(version) = &s.broker_version { ", " (version) } }
                dt { "client" } dd { (s.client) }
                @for line in sending_lines(s) { dt { "sending" } dd { (line) } }
                dt { "host" } dd { (host(s)) }
                dt { "run" } dd { (s.run_id) ", topic " (s.topic) }
                @if let Some(handler) = &s.handler { dt { "handler" } dd { (handler) } }
            }
            (client_properties(s))
        }
    }
}

/// The processes of the run.
fn processes(s: &Summary) -> Markup {
    html! {
        @if let Some(shares) = &s.shares {
            h3 { "Processes" }
            ul { @for share in &shares.processes { li {
                "Share " (share.share) ": " (share.partitions.len()) " partitions, "
                (format_count(share.producers.into())) " producers, "
                @match &share.reason {
                    Some(reason) => { "lost: " (reason) }
                    None => {
                        (format_count(share.sent)) " records sent, " (format_count(share.delivered)) " processed"
                        @if let Some(host) = &share.host { ", on " (host) }
                    }
                }
                "."
            } } }
        }
    }
}

fn trust_heading(s: &Summary) -> &'static str {
    match s.verdict {
        Verdict::Invalid => "Why the figures cannot be trusted",
        Verdict::CutOff => "What the figures rest on",
        _ => "Why the figures can be trusted",
    }
}

/// A text whose parts in backticks are shown as code.
fn with_code(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// The schedule of the load: records that were sent, and their lateness.
fn schedule(s: &Summary) -> Vec<String> {
    let Some(offered) = s.offered else {
        return vec!["At maximum rate there is no schedule to keep.".to_owned()];
    };
    let of = |name: &str| {
        let figure = Figure::parse(name)?;
        Some(value_text(Unit::Time, figure.values(s).first()?.1?))
    };
    let sent = s.offered_sent.unwrap_or(0);
    let share = 100.0 * sent as f64 / offered.max(1) as f64;
    let mut lines = vec![format!(
        "Of {} records due in the measured window {} were sent ({share:.2} %).",
        format_count(offered),
        format_count(sent)
    )];
    if let (Some(p50), Some(p99), Some(max)) =
        (of("lateness.p50"), of("lateness.p99"), of("lateness.max"))
    {
        lines.push(format!(
            "Sends were late by {p50} (median), {p99} (p99) and {max} at most. Response times count from the intended \
             send, so a late load generator makes them longer and never shorter."
        ));
    }
    lines
}

fn account(s: &Summary) -> String {
    let unaccounted = METRICS.iter().find(|metric| metric.name == "unaccounted");
    let unaccounted = unaccounted.and_then(|metric| metric.value(s)).unwrap_or(0.0);
    let l = &s.ledger;
    let known = format!(
        "{} records sent, {} acknowledged, {} processed",
        format_count(l.sent),
        format_count(l.acked),
        format_count(l.delivered)
    );
    match unaccounted > 0.0 {
        true => format!(
            "{known}; of {} the account does not say what became.",
            format_count(unaccounted as u64)
        ),
        false => format!("{known}: the account says of every record what became of it."),
    }
}

fn place(s: &Summary) -> String {
    let kind = BrokerKind::named(&s.broker);
    let is_mock = kind.is_some_and(|kind| !kind.capability().timing_is_real);
    match (&s.simulation, is_mock) {
        (Some(it), _) => format!(
            "Simulated in {:.3} s of virtual time, {} events, trace {}: the same program, scenario and seed give the \
             same figures. Times follow from the model and not from a cluster.",
            it.virtual_ns as f64 / 1e9,
            format_count(it.events),
            it.trace
        ),
        (None, true) => {
            "The cluster was a mock in this process: its times are not those of a real one."
                .to_owned()
        }
        (None, false) => "Measured on a real cluster.".to_owned(),
    }
}

fn cost(s: &Summary) -> Option<String> {
    let cpu = s.cost.cpu_s?;
    let share = s.cost.cpu_share.map_or(String::new(), |share| {
        format!(", {:.0} % of the {} it may use", share * 100.0, format_cpus(s.host.cpus()))
    });
    let memory = s
        .cost
        .rss_max_bytes
        .map_or(String::new(), |bytes| format!(", memory {}", format_bytes(bytes)));
    Some(format!("lanekeeper itself used {cpu:.1} s of CPU{share}{memory}."))
}

fn host(s: &Summary) -> String {
    let h = &s.host;
    let mut parts = vec![h.os.clone()];
    parts.extend(h.kernel.clone());
    parts.extend(h.cpu.clone());
    if h.cores > 0 {
        parts.push(format!("{} cores, {} usable", h.cores, format_cpus(h.cpus())));
    }
    parts.push(format!("clock of {} ns", h.clock_resolution_ns));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn client_properties(s: &Summary) -> Markup {
    let origin = |origin: PropertyOrigin| {
        serde_json::to_value(origin)
            .ok()
            .and_then(|it| it.as_str().map(|it| it.replace('_', " ")))
            .unwrap_or_default()
    };
    html! {
        @if !s.client_config.is_empty() {
            details {
                summary { (s.client_config.len()) " client properties" }
                div.scroll {
                    table.sortable {
                        caption { "Properties that held, and who set them" }
                        thead { tr { @for name in ["property", "value", "set by"] { th.text scope="col" { (name) } } } }
                        tbody { @for (name, property) in &s.client_config { tr {
                            th.text scope="row" { (name) }
                            td.text { (property.value.as_deref().unwrap_or("–")) }
                            td.text { (origin(property.origin)) }
                        } } }
                    }
                }
            }
        }
    }
}

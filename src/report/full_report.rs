//! The full report: the verdict, and then all figures.

use std::fmt::Write;

use anstyle::Style;

use super::command::command;
use super::fault_table::{LEGEND, failure_lines, fault_lines};
use super::request_lines::request_lines;
use super::sending_lines::sending_lines;
use super::shares_table::{shares_in_words, shares_table};
use super::slow_table::{SLOWEST_NOTE, slow_table};
use super::stage_table::{stage_note, stage_table};
use super::stored::readable;
use super::styles::{BAD, DOUBT, GOOD, HEADING, QUIET, mark, verdict_style};
use super::table::{Column, INDENT, Table, ms, partition_columns, us, wrapped};
use super::words::{CUT_OFF, TOO_EARLY, backlog, judged, rate, verdict_word};
use crate::base::{format_bytes, format_count, format_cpus, printable};
use crate::summary::{Digest, ExpectationSummary, METRICS, Need, Summary, Total, Verdict};

/// The report with colours, which must be printed through a stream that can strip them. With a `width`, lines have at
/// most that number of characters if possible. Its texts contain no control characters except those of colours and line
/// ends.
pub fn full_report(summary: &Summary, width: Option<usize>) -> String {
    match readable(summary) {
        Ok(summary) => laid_out(&summary, width),
        // Texts cannot be told from colours, so colours and lines are both given up.
        Err(_) => {
            let text = laid_out(summary, width);
            text.lines().map(|line| format!("{}\n", printable(line))).collect()
        }
    }
}

fn laid_out(summary: &Summary, width: Option<usize>) -> String {
    let mut out = Report { text: String::new(), width };
    out.verdict(summary);
    out.totals(summary);
    out.latency(summary);
    out.stages(summary);
    out.shares(summary);
    out.partitions(summary);
    out.slowest(summary);
    out.rebalances(summary);
    out.outages(summary);
    out.faults(summary);
    out.sending(summary);
    out.requests(summary);
    out.cost(summary);
    out.warnings(summary);
    out.text
}

struct Report {
    text: String,
    width: Option<usize>,
}

impl Report {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(&wrapped(line.as_ref(), self.width));
        self.text.push('\n');
    }

    /// Adds lines that must not be wrapped, because their columns are aligned.
    fn rows(&mut self, lines: &[String]) {
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let _ = writeln!(self.text, "{:INDENT$}{line}", "");
        }
    }

    /// Width for a table.
    fn room(&self) -> Option<usize> {
        self.width.map(|width| width.saturating_sub(INDENT))
    }

    fn heading(&mut self, heading: &str, rest: &str) {
        self.line("");
        let rest = match rest {
            "" => String::new(),
            rest => format!("  {QUIET}{rest}{QUIET:#}"),
        };
        self.line(format!("{HEADING}{heading}{HEADING:#}{rest}"));
    }

    fn verdict(&mut self, s: &Summary) {
        let (style, word) = (verdict_style(s.verdict), verdict_word(s.verdict));
        let is_cut_off = s.verdict == Verdict::CutOff;
        self.line(format!("{style}{word}{style:#}  {}  {QUIET}{}{QUIET:#}", s.scenario, judged(s)));
        if is_cut_off {
            self.line(format!("  {DOUBT}?{DOUBT:#} {CUT_OFF}"));
        }
        if s.verdict == Verdict::Interrupted && !s.measured_something() {
            self.line(format!("  {DOUBT}?{DOUBT:#} {TOO_EARLY}"));
        }
        for reason in &s.invalid_reasons {
            self.line(format!("  {DOUBT}?{DOUBT:#} {reason}"));
        }
        self.expectations(s);
    }

    /// The expectations of the scenario one by one. Of the default ones, only the failed ones.
    fn expectations(&mut self, s: &Summary) {
        let is_cut_off = s.verdict == Verdict::CutOff;
        let is_shown = |e: &&ExpectationSummary| !e.is_default || (!e.passed && !is_cut_off);
        let shown: Vec<&ExpectationSummary> = s.expectations.iter().filter(is_shown).collect();
        let width = shown.iter().map(|e| e.expression.chars().count()).max().unwrap_or(0);
        for e in shown {
            let (style, mark) = mark(s, e);
            let measured = match (&e.text, &e.reason) {
                (Some(text), Some(reason)) => format!("{text}: {reason}"),
                (Some(text), None) => text.clone(),
                (None, reason) => reason.clone().unwrap_or_else(|| "not measured".to_owned()),
            };
            let padding = " ".repeat(width - e.expression.chars().count());
            // The partition that decided, unless the expectation names it.
            let of = e.partition.filter(|p| !e.expression.contains(&format!("[{p}]")));
            let of = of.map(|p| format!(" (partition {p})")).unwrap_or_default();
            let default = if e.is_default { " (by default)" } else { "" };
            self.line(format!(
                "  {style}{mark}{style:#} {}{padding}  {measured}{QUIET}{of}{default}{QUIET:#}",
                e.expression
            ));
        }
        let defaults: Vec<&str> = s
            .expectations
            .iter()
            .filter(|e| e.is_default && e.passed)
            .map(|e| e.expression.as_str())
            .collect();
        if !defaults.is_empty() && !is_cut_off {
            self.line(format!(
                "  {GOOD}✓{GOOD:#} {QUIET}by default: {}{QUIET:#}",
                defaults.join(", ")
            ));
        }
    }

    /// The peculiarities of this run's start, topic and clock.
    fn how_it_went(&mut self, s: &Summary) {
        if let Some(resumed) = &s.resumed {
            self.line(format!(
                "  continued where run {} stopped: {} partitions, {} behind; processed {} of earlier runs",
                resumed.run_id,
                resumed.partitions,
                format_count(resumed.behind),
                format_count(s.ledger.earlier)
            ));
        }
        if let Some(its) = &s.backlog {
            self.line(format!("  backlog: {}", backlog(its)));
        }
        for growth in &s.growth {
            let (at, from, to) = (growth.at_s, growth.from, growth.to);
            self.line(format!(
                "  the topic grew from {from} to {to} partitions, found at {at:.1} s"
            ));
        }
        if let Some(simulation) = &s.simulation {
            self.line(format!(
                "  virtual time {:.3} s, {} events, trace {}",
                simulation.virtual_ns as f64 / 1e9,
                format_count(simulation.events),
                simulation.trace
            ));
        }
        self.line(format!("  again with: {}", command(s)));
    }

    fn totals(&mut self, s: &Summary) {
        let members = match s.mode.as_str() {
            "group" => format!("group of {}", s.members),
            _ => format!("{} assigned consumers", s.members),
        };
        let handler = s.handler.as_ref().map(|name| format!(", handler {name}"));
        let where_to = format!(
            "{} partitions, {members}{}, {} broker, seed {}, {:.1} s measured",
            s.partitions.len(),
            handler.unwrap_or_default(),
            s.broker,
            s.seed,
            s.duration_s
        );
        self.heading("TOTALS", &where_to);
        self.how_it_went(s);
        self.line(format!("  {}", rate(s)));
        let l = &s.ledger;
        self.line(format!(
            "  sent {}, acknowledged {}, delivered {}",
            format_count(l.sent),
            format_count(l.acked),
            format_count(l.delivered)
        ));
        self.line(format!("  {}", counts(s).join(", ")));
        if l.not_covered > 0 {
            let count = format_count(l.not_covered);
            self.line(format!("  not covered {count}: sent to partitions whose process was lost"));
        }
        self.line(format!(
            "  consumers started {} of {}, restarts {}",
            s.consumers_started,
            s.members.max(s.consumers_started),
            s.restarts
        ));
    }

    fn stages(&mut self, s: &Summary) {
        if !s.stages.is_empty() {
            self.heading("STAGES", stage_note(s));
            self.rows(&stage_table(s).blocks(self.room()).concat());
        }
    }

    fn shares(&mut self, s: &Summary) {
        if let Some(words) = shares_in_words(s) {
            self.heading("SHARES", &words);
            self.rows(&shares_table(s).blocks(self.room()).concat());
        }
    }

    fn latency(&mut self, s: &Summary) {
        self.heading("LATENCY", "all partitions merged; response counts from the intended send");
        let l = &s.latency_us;
        if l.response.count == 0 {
            self.line("  no record due in the measured window was processed");
        }
        let rows = latency_rows(s);
        self.rows(&latency_table(&rows).blocks(self.room()).concat());
        if s.not_processed > 0 {
            let count = format_count(s.not_processed);
            let aged = match l.response_with_unprocessed {
                Some(_) => "; `with unprocessed` has them at their age when the run ended",
                None => "",
            };
            self.line(format!(
                "  {DOUBT}{count} records due in the window were not processed: quantiles are lower bounds{aged}{DOUBT:#}"
            ));
        }
        if rows.iter().any(|(_, digest)| digest.negative > 0) {
            self.line(format!("  {DOUBT}negative values are not in the quantiles{DOUBT:#}"));
        }
        // Readers know the parts of the latency that a client tells, but not that acknowledgements are not timed.
        let timed = METRICS.iter().filter(|metric| metric.needs == Need::Acknowledgements);
        for metric in timed {
            let reason = s.not_measured.get(&metric.place());
            if let (Some(row), Some(reason)) = (metric.row, reason) {
                self.line(format!("  {row} not measured: {reason}"));
            }
        }
    }

    fn partitions(&mut self, s: &Summary) {
        let spread = match (s.fairness.rate_cv, s.fairness.p99_max_over_median) {
            (Some(cv), Some(ratio)) => {
                format!(
                    "response time; rates spread {:.2} %, largest p99 {ratio:.1} x the median one",
                    cv * 100.0
                )
            }
            _ => "response time".to_owned(),
        };
        self.heading("PARTITIONS", &spread);
        let mut table = Table::default();
        let columns: Vec<&Column> = partition_columns(s.verdict).collect();
        let headings = columns.iter().map(|column| column.heading.to_owned());
        table.row(std::iter::once("  ".to_owned()).chain(headings));
        for p in &s.partitions {
            let worst = s.fairness.worst_partition == Some(p.partition);
            let id = format!("{:>3} {}", p.partition, if worst { "▲" } else { " " });
            let cells = columns.iter().map(|column| column.cell(p));
            table.row(std::iter::once(id).chain(cells));
        }
        for block in table.blocks(self.width) {
            for (i, line) in block.iter().enumerate() {
                let is_worst =
                    i > 0 && s.fairness.worst_partition == Some(s.partitions[i - 1].partition);
                let style = if is_worst { DOUBT } else { Style::new() };
                let _ = writeln!(self.text, "{style}{line}{style:#}");
            }
        }
    }

    fn slowest(&mut self, s: &Summary) {
        if !s.slowest_records.is_empty() {
            self.heading("SLOWEST RECORDS", SLOWEST_NOTE);
            self.rows(&slow_table(&s.slowest_records, true).blocks(self.room()).concat());
        }
    }

    fn rebalances(&mut self, s: &Summary) {
        if s.mode != "group" {
            return;
        }
        self.heading("REBALANCES", &format!("{} after the group was complete", s.rebalances.len()));
        for rebalance in &s.rebalances {
            self.line(format!(
                "  at {:.1} s: took {}, {} of {} partitions stopped, {} moved",
                rebalance.at_s,
                rebalance.duration_ms.map_or("until the end".to_owned(), |d| ms(Some(d))),
                rebalance.partitions_stopped,
                s.partitions.len(),
                rebalance.partitions_moved
            ));
        }
    }

    fn outages(&mut self, s: &Summary) {
        if s.outages.is_empty() {
            return;
        }
        self.heading("OUTAGES", "many consumers failed together; restarts were held back");
        for outage in &s.outages {
            let until = match outage.to_s {
                Some(to_s) => format!("to {to_s:.1} s"),
                None => "to the end".to_owned(),
            };
            self.line(format!(
                "  from {:.1} s {until}: {} consumers failed together, {} probes",
                outage.from_s, outage.failed, outage.probes
            ));
        }
    }

    fn faults(&mut self, s: &Summary) {
        if !s.faults.is_empty() {
            self.heading("FAULTS", LEGEND);
            self.rows(&fault_lines(&s.faults, s.partitions.len(), self.room()));
        }
        if !s.failures.is_empty() {
            let count = format!("{} unplanned", s.failures.len());
            self.heading("FAILURES", &count);
            self.rows(&failure_lines(&s.failures, self.room()));
        }
    }

    fn sending(&mut self, s: &Summary) {
        let lines = sending_lines(s);
        if !lines.is_empty() {
            self.heading("SENDING", "as the producers' clients did in the whole run");
            lines.into_iter().for_each(|line| self.line(format!("  {line}")));
        }
    }

    fn requests(&mut self, s: &Summary) {
        let Some(requests) = &s.requests else { return };
        self.heading("REQUESTS", "of consumers and producers, in the measured window");
        for line in request_lines(requests) {
            self.line(format!("  {line}"));
        }
    }

    fn cost(&mut self, s: &Summary) {
        let c = &s.cost;
        if s.simulation.is_some() && c.cpu_s.is_none() {
            // A simulation has no cost of its own, and its result must not depend on the machine.
            return;
        }
        self.heading("COST", &format!("this process, on {} cores", s.host.cores));
        let number = |value: Option<u64>| value.map_or("-".to_owned(), format_count);
        self.line(format!(
            "  CPU {} s ({} of the {} it may use), memory {}, threads {}, sockets {}",
            c.cpu_s.map_or("-".to_owned(), |s| format!("{s:.1}")),
            c.cpu_share.map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
            format_cpus(s.host.cpus()),
            c.rss_max_bytes.map_or("-".to_owned(), format_bytes),
            number(c.threads_max),
            number(c.sockets_max)
        ));
    }

    fn warnings(&mut self, s: &Summary) {
        if s.warnings.is_empty() {
            return;
        }
        self.heading("WARNINGS", "");
        for warning in &s.warnings {
            self.line(format!("  {DOUBT}!{DOUBT:#} {warning}"));
        }
    }
}

/// The counts that should be 0, each with its name.
fn counts(s: &Summary) -> Vec<String> {
    let mut counts = Vec::new();
    for metric in METRICS.iter().filter(|metric| metric.total != Total::Never) {
        let Some(value) = metric.value(s) else { continue };
        let (name, count) = match metric.name {
            "lost" if s.verdict == Verdict::CutOff => {
                ("not processed yet".to_owned(), s.ledger.sent.saturating_sub(s.ledger.delivered))
            }
            name => (name.replace('_', " "), value as u64),
        };
        if metric.total == Total::Always || count > 0 {
            counts.push(marked(&name, count));
        }
    }
    counts
}

fn marked(name: &str, count: u64) -> String {
    if count == 0 {
        format!("{name} 0")
    } else {
        format!("{BAD}{name} {}{BAD:#}", format_count(count))
    }
}

/// The rows of the latency table that have values: the whole, then its parts.
fn latency_rows(s: &Summary) -> Vec<(&'static str, &Digest)> {
    let mut rows: Vec<(&'static str, &Digest)> =
        METRICS.iter().filter_map(|metric| Some((metric.row?, metric.digest(s)?))).collect();
    // The first row, and the same including unprocessed records.
    if let Some(digest) = &s.latency_us.response_with_unprocessed {
        rows.insert(rows.len().min(1), ("with unprocessed", digest));
    }
    rows.retain(|(_, digest)| digest.count > 0);
    rows
}

/// A row for each distribution. Negative values have a column if there are any.
fn latency_table(rows: &[(&str, &Digest)]) -> Table {
    let mut table = Table::default();
    if rows.is_empty() {
        return table;
    }
    let has_negative = rows.iter().any(|(_, digest)| digest.negative > 0);
    let headings = ["", "p50", "p90", "p95", "p99", "p99.9", "max", "records"];
    let negative = has_negative.then_some("negative");
    table.row(headings.into_iter().chain(negative).map(str::to_owned));
    for (name, digest) in rows {
        let negative = has_negative.then(|| format_count(digest.negative));
        table.row(digest_row(name, digest).into_iter().chain(negative));
    }
    table
}

fn digest_row(name: &str, digest: &Digest) -> Vec<String> {
    let quantiles = [digest.p50, digest.p90, digest.p95, digest.p99, digest.p999, digest.max];
    let mut row = vec![name.to_owned()];
    row.extend(quantiles.iter().map(|value| us(*value)));
    row.push(format_count(digest.count));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(count: u64, negative: u64) -> Digest {
        let p50 = (count > negative).then_some(1_000.0);
        Digest { p50, count, negative, ..Digest::default() }
    }

    #[test]
    fn negative_values_are_shown_for_each_row_where_there_are_any() {
        let (good, doubtful, wrong) = (digest(9, 0), digest(9, 2), digest(3, 3));
        let lines = latency_table(&[("a", &good), ("b", &doubtful), ("c", &wrong)]).blocks(None);
        let ends: Vec<Vec<&str>> =
            lines[0].iter().map(|line| line.split_whitespace().rev().take(2).collect()).collect();
        assert_eq!(ends, [["negative", "records"], ["0", "9"], ["2", "9"], ["3", "3"]]);
        let lines = latency_table(&[("a", &good)]).blocks(None);
        assert!(lines[0][0].ends_with("records") && lines[0][1].ends_with('9'), "{lines:?}");
        assert!(latency_table(&[]).blocks(None).concat().is_empty());
    }
}

//! The parts of the short report, in order. It begins and ends with the verdict.

use super::faults::faults;
use super::latency::{latency, time_unit};
use super::partitions::partitions;
use super::sections::{ITEMS_MAX, Section, fitted};
use super::stages::stages;
use crate::base::{ClientKind, format_bytes, format_count, format_cpus, printable};
use crate::report::shares_table::shares_in_words;
use crate::report::stored::readable;
use crate::report::styles::{BAD, DOUBT, HEADING, QUIET, mark, verdict_style};
use crate::report::table::lines_of;
use crate::report::words::{
    CUT_OFF, Outcome, TOO_EARLY, backlog, judged, measured, outcome, percent, rate, spoken, totals,
    value_text, verdict_word,
};
use crate::summary::{ExpectationSummary, Summary, Unit, Verdict};

/// Largest number of lines.
pub(super) const LINES_MAX: usize = 30;
/// Default width in characters.
const WIDTH: usize = 80;
/// Indentation of further lines of a text.
const INDENT: &str = "    ";

/// The report with colours. `last_line` comes before the verdict at its end. Lines have at most `width` characters, or
/// 80. Its texts contain no control characters except those of colours and line ends.
pub fn short_report(summary: &Summary, width: Option<usize>, last_line: &str) -> String {
    let width = width.unwrap_or(WIDTH);
    match readable(summary) {
        Ok(summary) => laid_out(&summary, width, last_line).join("\n") + "\n",
        // Texts cannot be told from colours, so colours and lines are both given up.
        Err(_) => {
            let lines = laid_out(summary, width, last_line);
            lines.iter().map(|line| format!("{}\n", printable(line))).collect()
        }
    }
}

fn laid_out(s: &Summary, width: usize, last_line: &str) -> Vec<String> {
    let mut sections = vec![verdict(s, width), reasons(s, width), expectations(s, width)];
    sections.push(totals_section(s, width));
    let unit = time_unit(s);
    sections.push(latency(s, unit, width));
    sections.push(stages(s));
    sections.extend(faults(s, width));
    sections.push(partitions(s, unit, width));
    sections.push(warnings(s, width));
    let mut end = lines_of(last_line, width, INDENT);
    end.extend(lines_of(&verdict_line(s, ""), width, INDENT));
    sections.push(Section { is_apart: true, ..Section::of(end) });
    fitted(&sections, LINES_MAX)
}

/// `PASSED  14 of 14 expectations hold`.
fn verdict_line(s: &Summary, name: &str) -> String {
    let (style, word) = (verdict_style(s.verdict), verdict_word(s.verdict));
    let name = if name.is_empty() { String::new() } else { format!("  {name}") };
    format!("{style}{word}{style:#}{name}  {}", judged(s))
}

/// The verdict, and the setting of the run.
fn verdict(s: &Summary, width: usize) -> Section {
    let members = match s.mode.as_str() {
        "group" => format!("group of {}", s.members),
        _ => format!("{} assigned consumers", s.members),
    };
    let mut setting =
        vec![format!("{} broker", s.broker), format!("{} partitions", s.partitions.len()), members];
    let library = ClientKind::named_in(&s.client).filter(|it| *it != ClientKind::default());
    // On a model there is only one client library.
    setting.extend(library.filter(|_| s.simulation.is_none()).map(|it| format!("{it} client")));
    setting.extend(s.handler.as_ref().map(|name| format!("handler {name}")));
    setting.push(format!("seed {}", s.seed));
    setting.push(format!("for {:.1} s", s.duration_s));
    let setting = format!("{QUIET}{}{QUIET:#}", setting.join(", "));
    let mut lines = lines_of(&verdict_line(s, &s.scenario), width, INDENT);
    lines.extend(lines_of(&setting, width, INDENT));
    Section::of(lines)
}

/// The reasons why the run decides nothing.
fn reasons(s: &Summary, width: usize) -> Section {
    let mut reasons = Vec::new();
    if s.verdict == Verdict::CutOff {
        reasons.push(CUT_OFF);
    }
    if s.verdict == Verdict::Interrupted && !s.measured_something() {
        reasons.push(TOO_EARLY);
    }
    reasons.extend(s.invalid_reasons.iter().map(String::as_str));
    let item = |reason: &&str| lines_of(&format!("{DOUBT}?{DOUBT:#} {reason}"), width, INDENT);
    Section {
        items: reasons.iter().take(ITEMS_MAX).map(item).collect(),
        more: reasons.len().saturating_sub(ITEMS_MAX),
        noun: "reasons",
        rank: 5,
        ..Section::default()
    }
}

/// The expectations that do not hold, or are not decided.
fn expectations(s: &Summary, width: usize) -> Section {
    let is_shown = |e: &&ExpectationSummary| match outcome(s, e) {
        Outcome::Holds => false,
        Outcome::Fails => true,
        // If nothing is decided, expectations that would hold are not mentioned.
        Outcome::Undecided => !e.passed && (!e.is_default || s.verdict == Verdict::Invalid),
    };
    let shown: Vec<&ExpectationSummary> = s.expectations.iter().filter(is_shown).collect();
    let room = shown.iter().map(|e| e.expression.chars().count()).filter(|it| *it <= width / 2);
    let room = room.max().unwrap_or(0);
    let item = |e: &&ExpectationSummary| {
        let (style, mark) = mark(s, e);
        let line = format!("{style}{mark}{style:#} {:room$}  {}", e.expression, measured(e));
        lines_of(&line, width, INDENT)
    };
    Section {
        items: shown.iter().take(ITEMS_MAX).map(item).collect(),
        more: shown.len().saturating_sub(ITEMS_MAX),
        noun: "expectations",
        rank: 4,
        ..Section::default()
    }
}

/// Rates, records, and peculiarities of this run.
fn totals_section(s: &Summary, width: usize) -> Section {
    let mut lines = vec![format!("{HEADING}RATE{HEADING:#}     {}", rates(s))];
    let restarts = match s.restarts {
        0 => String::new(),
        1 => "; 1 restart".to_owned(),
        count => format!("; {} restarts", format_count(u64::from(count))),
    };
    lines.push(format!("{HEADING}RECORDS{HEADING:#}  {}{restarts}", records(s)));
    if s.consumers_started < s.members {
        lines.push(format!(
            "{HEADING}STARTS{HEADING:#}   {BAD}{} of {} consumers started{BAD:#}",
            s.consumers_started, s.members
        ));
    }
    if let Some(shares) = shares_in_words(s) {
        lines.push(format!("{HEADING}SHARES{HEADING:#}   {shares}"));
    }
    if let Some(resumed) = &s.resumed {
        lines.push(format!(
            "{HEADING}RESUMED{HEADING:#}  continued where run {} stopped; {} records of earlier runs processed",
            resumed.run_id,
            format_count(s.ledger.earlier)
        ));
    }
    lines.extend(
        s.backlog.as_ref().map(|it| format!("{HEADING}BACKLOG{HEADING:#}  {}", backlog(it))),
    );
    if let (Some(first), Some(last)) = (s.growth.first(), s.growth.last()) {
        lines.push(format!(
            "{HEADING}GROWTH{HEADING:#}   from {} to {} partitions, found at {:.1} s",
            first.from, last.to, last.at_s
        ));
    }
    lines.extend(cost(s));
    let head = lines.iter().flat_map(|line| lines_of(line, width, "         "));
    Section { is_apart: true, ..Section::of(head.collect()) }
}

/// Offered, sent and processed rates. Without a schedule, the side that limited the rate.
fn rates(s: &Summary) -> String {
    let (true, Some(offered)) = (s.measured_something(), s.offered_per_s) else { return rate(s) };
    format!(
        "{} msg/s offered, {} sent, {} processed{}, {}/s",
        value_text(Unit::Number, offered),
        percent(s.offered_sent.unwrap_or(0) as f64, s.offered.unwrap_or(0) as f64),
        percent(s.achieved_per_s, offered),
        if s.backlog.is_some() { " with the backlog" } else { "" },
        format_bytes(s.achieved_bytes_per_s as u64)
    )
}

/// The outcome of records. Counts that should be 0 are mentioned only if they are not.
fn records(s: &Summary) -> String {
    let l = &s.ledger;
    let mut parts = vec![format!("{} sent", format_count(l.sent))];
    let is_plain = l.sent == l.acked && l.acked == l.delivered;
    if !is_plain {
        parts.push(format!("{} acknowledged", format_count(l.acked)));
        parts.push(format!("{} processed", format_count(l.delivered)));
    }
    if s.verdict == Verdict::CutOff {
        let waiting = l.sent.saturating_sub(l.delivered);
        parts.push(format!("{} not processed yet", format_count(waiting)));
        return parts.join(", ");
    }
    let wrong = totals(s).filter(|(_, value)| *value > 0.0);
    let wrong: Vec<String> = wrong
        .map(|(metric, value)| {
            format!("{BAD}{} {}{BAD:#}", format_count(value as u64), spoken(metric))
        })
        .collect();
    match (wrong.is_empty(), is_plain) {
        (true, true) => parts.push("each processed once, in order and unchanged".to_owned()),
        _ => parts.extend(wrong),
    }
    if l.not_covered > 0 {
        parts.push(format!("{BAD}{} not covered{BAD:#}", format_count(l.not_covered)));
    }
    parts.join(", ")
}

/// The cost of the run; `None` for a simulation, which has no cost of its own.
fn cost(s: &Summary) -> Option<String> {
    let c = &s.cost;
    let cpu_s = c.cpu_s?;
    let share = c
        .cpu_share
        .map(|share| format!(" ({:.0} % of {})", share * 100.0, format_cpus(s.host.cpus())));
    let memory = c.rss_max_bytes.map(|bytes| format!(", memory {}", format_bytes(bytes)));
    let threads = c.threads_max.map(|threads| format!(", {} threads", format_count(threads)));
    let sockets = c.sockets_max.map(|sockets| format!(", {} sockets", format_count(sockets)));
    let parts: String = [share, memory, threads, sockets].into_iter().flatten().collect();
    Some(format!("{HEADING}COST{HEADING:#}     CPU {cpu_s:.1} s{parts}"))
}

fn warnings(s: &Summary, width: usize) -> Section {
    let item = |warning: &String| lines_of(&format!("{DOUBT}!{DOUBT:#} {warning}"), width, INDENT);
    Section {
        items: s.warnings.iter().take(ITEMS_MAX).map(item).collect(),
        more: s.warnings.len().saturating_sub(ITEMS_MAX),
        noun: "warnings",
        rank: 1,
        is_apart: true,
        ..Section::default()
    }
}

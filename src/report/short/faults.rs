//! Each fault as a timeline of its consequences.

use super::sections::{ITEMS_MAX, Section};
use super::unit::TimeUnit;
use crate::base::format_count;
use crate::report::fault_table::worst_of_each;
use crate::report::styles::{BAD, HEADING, QUIET};
use crate::report::table::{lines_of, ms};
use crate::report::words::{RecoveryStep, fault_name, millis, recovery_steps};
use crate::summary::{FaultSummary, Rebalance, Summary};

/// Indentation of the lines below a fault.
const INDENT: &str = "      ";

/// The sections about faults, failures that were not planned, rebalances and outages.
pub(super) fn faults(s: &Summary, width: usize) -> Vec<Section> {
    let rows = rows(s);
    let items = rows.iter().take(ITEMS_MAX).map(|(name, fault)| item(s, name, fault, width));
    let mut section = Section {
        items: items.collect(),
        more: rows.len().saturating_sub(ITEMS_MAX),
        noun: "faults",
        rank: 3,
        is_apart: true,
        ..Section::default()
    };
    if !rows.is_empty() {
        section.head =
            vec![format!("{HEADING}FAULTS{HEADING:#}  {QUIET}times since the fault{QUIET:#}")];
    }
    vec![section, others(s, width)]
}

/// The faults with their names, the worst first if there are many.
fn rows(s: &Summary) -> Vec<(String, FaultSummary)> {
    if s.faults.len() <= OCCURRENCES_MAX {
        return s.faults.iter().map(|fault| (fault_name(fault), fault.clone())).collect();
    }
    let mut rows = worst_of_each(&s.faults);
    // Later rows are cut first.
    let rank = |fault: &FaultSummary| (fault.not_recovered.len(), fault.blast_radius);
    let longest = |fault: &FaultSummary| fault.recovered_ms.unwrap_or(0.0);
    rows.sort_by(|(_, a), (_, b)| rank(b).cmp(&rank(a)).then(longest(b).total_cmp(&longest(a))));
    let name = |(came, fault): (usize, FaultSummary)| match came {
        0 | 1 => (fault_name(&fault), fault),
        _ => (format!("{}, worst of {came}", fault_name(&fault)), fault),
    };
    rows.into_iter().map(name).collect()
}

/// Largest number of occurrences that are shown one by one. With more, each fault is shown by its worst occurrence.
const OCCURRENCES_MAX: usize = 4;

/// A fault: its effect, and the recovery from it.
fn item(s: &Summary, name: &str, f: &FaultSummary, width: usize) -> Vec<String> {
    let at = match f.at_s {
        Some(at_s) => format!("{at_s:.1} s"),
        None => "not reached".to_owned(),
    };
    let mut first = format!("  {at:<7} {name}");
    if f.at_s.is_none() {
        return lines_of(&first, width, INDENT);
    }
    let stalled = format!("stalled {} of {} partitions", f.blast_radius, s.partitions.len());
    first.push_str(&match f.blast_radius {
        0 => ": stalled no partition".to_owned(),
        _ => format!(": {BAD}{stalled}{BAD:#}"),
    });
    for (count, what) in [(f.lag_peak, "lag peak"), (f.redelivered, "redelivered")] {
        if count > 0 {
            first.push_str(&format!(", {what} {}", format_count(count)));
        }
    }
    let mut lines = lines_of(&first, width, INDENT);
    lines.extend(lines_of(&format!("{INDENT}{}", timeline(f)), width, INDENT));
    let more = [effect_on_others(f), missed(f)];
    let more = more.into_iter().flatten();
    lines.extend(more.flat_map(|text| lines_of(&format!("{INDENT}{text}"), width, INDENT)));
    lines
}

/// `killed → detected 0.1 → first record 17.2 → recovered 17.4 ms`.
fn timeline(f: &FaultSummary) -> String {
    let steps: Vec<RecoveryStep> =
        recovery_steps(f).into_iter().filter(|(name, _)| *name != "fenced").collect();
    let times: Vec<f64> = steps.iter().map(|(_, ms)| ms * 1e6).collect();
    let unit = TimeUnit::of(times.iter().copied());
    let mut parts = Vec::new();
    let at_once: Vec<&str> =
        steps.iter().filter(|(_, ms)| *ms <= 0.0).map(|(name, _)| *name).collect();
    if !at_once.is_empty() {
        parts.push(format!("{} at once", at_once.join(", ")));
    }
    for (name, ms) in steps.iter().filter(|(_, ms)| *ms > 0.0) {
        parts.push(format!("{name} {}", unit.text(ms * 1e6, &times)));
    }
    if let (Some(last), true) = (parts.last_mut(), times.iter().any(|ns| *ns > 0.0)) {
        last.push_str(&format!(" {}", unit.name));
    }
    if let Some(partition) = f.worst_partition.filter(|_| !f.not_recovered.is_empty()) {
        let more = match f.not_recovered.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let lag = f
            .lag_after
            .last()
            .map(|at| format!(", its lag {} after {} s", format_count(at.lag), at.after_s));
        parts.push(format!(
            "{BAD}not recovered within the run{BAD:#} (p{partition}{more}{})",
            lag.unwrap_or_default()
        ));
    } else if let Some(worst) = f.worst_partition.filter(|_| f.partitions_hit.len() > 1)
        && let Some(last) = parts.last_mut()
    {
        last.push_str(&format!(" (p{worst})"));
    }
    format!("→ {}", parts.join(" → "))
}

/// The effect on partitions at which the fault was not aimed; `None` without one.
fn effect_on_others(f: &FaultSummary) -> Option<String> {
    let others = f.others.as_ref()?;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let mut said = Vec::new();
    let is_longer = millis(others.stall_after_ms) != millis(others.stall_before_ms);
    if is_longer && others.stall_after_ms > others.stall_before_ms {
        let before = match others.stall_before_ms > 0.0 {
            true => format!(" (before {})", millis(others.stall_before_ms)),
            false => String::new(),
        };
        said.push(format!("stalled for up to {}{before}", millis(others.stall_after_ms)));
    }
    if let (Some(before), Some(after)) = (others.slow_before, others.slow_after)
        && percent(after) != percent(before)
        && after > before
    {
        said.push(format!("slow records {} (before {})", percent(after), percent(before)));
    }
    (!said.is_empty()).then(|| format!("{QUIET}other partitions:{QUIET:#} {}", said.join(", ")))
}

/// Targets that did not exist; `None` if all did.
fn missed(f: &FaultSummary) -> Option<String> {
    (!f.missed.is_empty()).then(|| format!("{BAD}missed{BAD:#}: {}", f.missed.join(", ")))
}

/// Other failures and changes of owners.
fn others(s: &Summary, width: usize) -> Section {
    let mut lines = Vec::new();
    if let Some(longest) = s.rebalances.iter().max_by(|a, b| {
        let lasted = |it: &Rebalance| it.duration_ms.unwrap_or(f64::INFINITY);
        lasted(a).total_cmp(&lasted(b))
    }) {
        let took = longest.duration_ms.map_or("until the end".to_owned(), |d| ms(Some(d)));
        let which = match s.rebalances.len() {
            1 => "1".to_owned(),
            count => format!("{}; the longest", format_count(count as u64)),
        };
        let moved = match longest.partitions_moved {
            0 => String::new(),
            moved => format!(", {moved} moved"),
        };
        lines.push(format!(
            "{HEADING}REBALANCES{HEADING:#}  {which} at {:.1} s took {took}, {} of {} partitions stopped{moved}",
            longest.at_s,
            longest.partitions_stopped,
            s.partitions.len()
        ));
    }
    if let Some(first) = s.outages.first() {
        let until = first.to_s.map_or("to the end".to_owned(), |to_s| format!("to {to_s:.1} s"));
        lines.push(format!(
            "{HEADING}OUTAGES{HEADING:#}  {}; the first from {:.1} s {until}, {} consumers failed together",
            s.outages.len(),
            first.from_s,
            first.failed
        ));
    }
    if let Some(first) = s.failures.first() {
        lines.push(format!(
            "{HEADING}FAILURES{HEADING:#}  {BAD}{} unplanned{BAD:#}; the first at {:.1} s, of partition {}",
            format_count(s.failures.len() as u64),
            first.at_s,
            first.partition
        ));
    }
    for (consumer, why) in s.given_up.iter().take(1) {
        let more = match s.given_up.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        lines.push(format!(
            "{HEADING}GIVEN UP{HEADING:#}  {BAD}consumer {consumer}{BAD:#}{more}: {why}"
        ));
    }
    Section::of(lines.iter().flat_map(|line| lines_of(line, width, "    ")).collect())
}

//! One partition in sentences: its response time, the parts of that time compared with the median partition, and the
//! events of the partition.

use std::fmt::Write;

use super::slow_table::slow_table;
use super::stored::readable;
use super::styles::{DOUBT, HEADING, QUIET};
use super::table::{INDENT, Table, lines_of, ms, us};
use super::words::{fault_name, median_partition};
use crate::base::format_count;
use crate::summary::{
    BusyMember, FaultSummary, Leadership, PartitionSummary, Summary, TimePart, TimeParts,
};

/// Default width in characters.
const WIDTH: usize = 80;
/// Smallest ratio of the mean response time to that of the median partition at which the partition counts as slower.
const SLOWER: f64 = 1.05;
/// Largest number of faults, and of leader changes, that are described one by one.
const TOLD_MAX: usize = 2;

/// The text about a partition, with colours and in lines of at most `width` characters, or 80. `None` if the result has
/// no such partition. Its texts contain no control characters except those of colours and line ends.
pub fn partition_report(summary: &Summary, partition: u32, width: Option<usize>) -> Option<String> {
    let width = width.unwrap_or(WIDTH);
    match readable(summary) {
        Ok(summary) => laid_out(&summary, partition, width),
        Err(_) => laid_out(summary, partition, width),
    }
}

fn laid_out(s: &Summary, id: u32, width: usize) -> Option<String> {
    let p = s.partitions.iter().find(|its| its.partition == id)?;
    let median = median_partition(s).and_then(|it| s.partitions.iter().find(|p| p.partition == it));
    let median = median.filter(|it| it.partition != id);
    let mut out = Lines { text: String::new(), width };
    let all = s.partitions.len();
    out.line(&format!(
        "{HEADING}PARTITION {id}{HEADING:#}  of {all}, {}, {} broker, {:.1} s measured",
        s.scenario, s.broker, s.duration_s
    ));
    out.line("");
    out.rows(&time_table(p, median));
    out.line(&format!("{HEADING}WHY{HEADING:#}"));
    let sentences = [
        vec![how_slow(s, p, median)],
        largest_difference(p, median).into_iter().collect(),
        overload(s, p).into_iter().collect(),
        vec![leader(s, p), format!("{} {}", consumers(p), stalls(p, median))],
        faults(s, p),
    ];
    for sentence in sentences.concat() {
        out.line(&format!("  {sentence}"));
    }
    if !p.slowest.is_empty() {
        out.line("");
        out.line(&format!("{HEADING}SLOWEST RECORDS{HEADING:#}  {QUIET}{LEGEND}{QUIET:#}"));
        let room = width.saturating_sub(INDENT);
        out.rows(&slow_table(&p.slowest, false).blocks(Some(room)).concat());
    }
    Some(out.text)
}

const LEGEND: &str = "whole: response time; delay: of the send";

struct Lines {
    text: String,
    width: usize,
}

impl Lines {
    fn line(&mut self, line: &str) {
        for line in lines_of(line, self.width, "    ") {
            let _ = writeln!(self.text, "{line}");
        }
    }

    fn rows(&mut self, lines: &[String]) {
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let _ = writeln!(self.text, "{:INDENT$}{line}", "");
        }
    }
}

/// The parts that the client tells, with their names.
fn parts(time: &TimeParts) -> impl Iterator<Item = (&'static str, TimePart)> {
    let all = [
        ("send delay", time.send_delay),
        ("fetch", time.fetch),
        ("waiting", time.waiting),
        ("fetch + waiting", time.handed_over),
        ("handling", time.handling),
    ];
    all.into_iter().filter_map(|(name, part)| Some((name, part?)))
}

fn time_table(p: &PartitionSummary, median: Option<&PartitionSummary>) -> Vec<String> {
    let share = |part: TimePart| {
        part.share.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0))
    };
    let mut table = Table::default();
    let mut heads = vec!["WHERE TIME GOES".to_owned(), "mean".to_owned(), "share".to_owned()];
    if let Some(median) = median {
        heads.push(format!("partition {}, the median", median.partition));
        heads.push("share".to_owned());
    }
    table.row(heads);
    let whole = |p: &PartitionSummary| us(p.latency_us.response.mean);
    let mut row = vec!["response time".to_owned(), whole(p), String::new()];
    row.extend(median.map(whole));
    table.row(row);
    for (name, part) in parts(&p.time) {
        let mut row = vec![format!("  {name}"), us(Some(part.mean_us)), share(part)];
        if let Some(median) = median {
            let other = parts(&median.time).find(|(its, _)| *its == name);
            row.push(us(other.map(|(_, part)| part.mean_us)));
            row.push(other.map_or("-".to_owned(), |(_, part)| share(part)));
        }
        table.row(row);
    }
    if p.time.ack_us.is_some() {
        let mut row = vec!["acknowledged after".to_owned(), us(p.time.ack_us), String::new()];
        row.extend(median.map(|median| us(median.time.ack_us)));
        table.row(row);
    }
    table.blocks(None).concat()
}

fn how_slow(s: &Summary, p: &PartitionSummary, median: Option<&PartitionSummary>) -> String {
    let Some(p99) = p.latency_us.response.p99 else {
        return "None of its records that were due in the measured window was processed."
            .to_owned();
    };
    let others = match median.and_then(|median| Some((median, median.latency_us.response.p99?))) {
        None if median_partition(s).is_some() => "it is the median partition".to_owned(),
        None => "there are too few partitions to have a median one".to_owned(),
        Some((median, other)) if p99 > other => {
            format!("the median partition {} has {}", median.partition, us(Some(other)))
        }
        Some((median, other)) => format!(
            "it is not slower than the median partition {}, which has {}",
            median.partition,
            us(Some(other))
        ),
    };
    let largest = match s.fairness.worst_partition {
        Some(worst) if worst == p.partition && s.partitions.len() > 1 => {
            " No other partition has a larger one."
        }
        _ => "",
    };
    format!("The p99 of its response time is {}; {others}.{largest}", us(Some(p99)))
}

/// The part that differs most from the median partition's.
fn largest_difference(p: &PartitionSummary, median: Option<&PartitionSummary>) -> Option<String> {
    let median = median?;
    let other =
        |name| parts(&median.time).find(|(its, _)| *its == name).map(|(_, part)| part.mean_us);
    let both = parts(&p.time).filter_map(|(name, part)| Some((name, part.mean_us, other(name)?)));
    let (name, here, there) = both.max_by(|a, b| (a.1 - a.2).total_cmp(&(b.1 - b.2)))?;
    let (own, typical) = (p.latency_us.response.mean, median.latency_us.response.mean);
    let is_slower = own > typical.map(|mean| mean * SLOWER);
    let of_handling = |p: &PartitionSummary| us(p.time.handling.map(|part| part.mean_us));
    let meaning = match name {
        "send delay" => "records leave their producer late".to_owned(),
        "fetch" => "the broker and the way to the consumer's client are slow".to_owned(),
        "handling" => "its consumer needs longer for each record".to_owned(),
        _ => format!(
            "records wait for those before them; handling one takes {} here, {} there",
            of_handling(p),
            of_handling(median)
        ),
    };
    if !is_slower {
        return Some(format!(
            "On average it is as fast as partition {}, or slower by less than 5 %.",
            median.partition
        ));
    }
    (here > there).then(|| {
        format!(
            "{DOUBT}Most of the difference is {name}{DOUBT:#}: {} here on average, {} there ({meaning}).",
            us(Some(here)),
            us(Some(there))
        )
    })
}

fn overload(s: &Summary, p: &PartitionSummary) -> Option<String> {
    let it = s.overloaded.iter().find(|it| it.partition == p.partition)?;
    let member = BusyMember::of(s, it).filter(|member| member.needed >= 1.0);
    let needed = it.consumers_needed.map(|needed| match member {
        Some(member) => format!(": {}", member.arithmetic()),
        None if needed < 1.0 => {
            format!(", though they need {needed:.2} consumers: they arrive late")
        }
        None => format!(": they need {needed:.2} consumers"),
    });
    Some(format!(
        "Its consumer does not keep up with {:.1} records/s of {} each{}.",
        it.offered_per_s,
        ms(it.handling_ms),
        needed.unwrap_or_default()
    ))
}

fn leader(s: &Summary, p: &PartitionSummary) -> String {
    let Some(changes) = &p.leadership else {
        let why = s.not_measured.get("partitions[].leadership");
        let why = why.map_or("the result is of an earlier version", String::as_str);
        return format!("Its leader is not known: {why}.");
    };
    let [first, later @ ..] = &changes[..] else { return "Its leader is not known.".to_owned() };
    if later.is_empty() {
        return format!("Leader: {}, in the whole run.", brokers(first));
    }
    let moved = changes.windows(2).filter(|pair| pair[0].leader != pair[1].leader).count();
    let told: Vec<String> = later
        .iter()
        .take(TOLD_MAX)
        .map(|it| format!("{} from {:.1} s", brokers(it), it.from_s))
        .collect();
    let more = match later.len().saturating_sub(TOLD_MAX) {
        0 => String::new(),
        more => format!(", and {more} more changes"),
    };
    format!(
        "Leader: {}, then {}{more}; {}.",
        brokers(first),
        told.join(", "),
        counted(moved as u64, "change of the leader", "changes of the leader")
    )
}

fn brokers(it: &Leadership) -> String {
    let leader = it.leader.map_or("none".to_owned(), |leader| format!("broker {leader}"));
    match it.in_sync.len() == it.replicas.len() {
        true => format!("{leader} (all {} replicas in sync)", it.replicas.len()),
        false => {
            format!("{leader} ({} of {} replicas in sync)", it.in_sync.len(), it.replicas.len())
        }
    }
}

fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{} {}", format_count(count), if count == 1 { one } else { more })
}

fn stalls(p: &PartitionSummary, median: Option<&PartitionSummary>) -> String {
    let of = |p: &PartitionSummary| {
        format!("{} and {}", counted(p.lag_max, "record", "records"), ms(Some(p.longest_stall_ms)))
    };
    let other = median.map(|it| format!("; of partition {}: {}", it.partition, of(it)));
    format!("Largest lag and longest stall: {}{}.", of(p), other.unwrap_or_default())
}

fn consumers(p: &PartitionSummary) -> String {
    let mut owners: Vec<String> = p.owners.iter().map(|its| its.consumer.to_string()).collect();
    owners.dedup();
    let left_out = owners.len().saturating_sub(TOLD_MAX);
    let before = if left_out > 0 { "… → " } else { "" };
    let restarts = counted(p.restarts.into(), "restart", "restarts");
    match owners.is_empty() {
        true => format!("It had no consumer; {restarts}."),
        false => format!("Consumer {before}{}; {restarts}.", owners[left_out..].join(" → ")),
    }
}

/// The faults that were aimed at the partition or stalled it, and failures of its consumer.
fn faults(s: &Summary, p: &PartitionSummary) -> Vec<String> {
    let id = p.partition;
    let is_hit = |fault: &&FaultSummary| {
        fault.at_s.is_some()
            && (fault.partitions_hit.contains(&id) || fault.partitions_aimed_at.contains(&id))
    };
    let mut told: Vec<String> =
        s.faults.iter().filter(is_hit).map(|fault| fault_sentence(fault, id)).collect();
    let failures = s.failures.iter().filter(|failure| failure.partition == id);
    told.extend(failures.map(|failure| {
        let recovered = match failure.recovery.recovered_ms {
            Some(after) => format!("recovered after {}", ms(Some(after))),
            None => "did not recover within the run".to_owned(),
        };
        format!("Its consumer failed at {:.1} s, unplanned; it {recovered}.", failure.at_s)
    }));
    if told.is_empty() {
        return vec!["No fault hit it.".to_owned()];
    }
    let more = told.len().saturating_sub(TOLD_MAX);
    told.truncate(TOLD_MAX);
    if more > 0 {
        told.push(format!("{more} more faults and failures; see `--full`."));
    }
    told
}

fn fault_sentence(fault: &FaultSummary, id: u32) -> String {
    let own = fault.partitions.iter().find(|its| its.partition == id);
    let aimed = match fault.partitions_aimed_at.contains(&id) {
        true => "was aimed at it",
        false => "was aimed at others and stalled it",
    };
    let stall = own.map(|own| format!(", longest stall {}", ms(Some(own.stall_after_ms))));
    let recovery = own.and_then(|own| own.recovery.as_ref()).map(|recovery| {
        let after = match recovery.recovered_ms {
            Some(after) => format!("recovered after {}", ms(Some(after))),
            None => "not recovered within the run".to_owned(),
        };
        format!("; {after}, {} redelivered", format_count(recovery.redelivered))
    });
    format!(
        "The fault {} at {:.1} s {aimed}{}{}.",
        fault_name(fault),
        fault.at_s.unwrap_or_default(),
        stall.unwrap_or_default(),
        recovery.unwrap_or_default()
    )
}

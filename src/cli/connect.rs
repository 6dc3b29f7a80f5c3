//! `check --connect`: a description of a cluster, and the obstacles for a run on it.

use std::fmt::Write;
use std::time::Duration;

use crate::base::{format_bytes, format_count, format_duration, printable};
use crate::broker::setup::{ExistingTopic, Inspection, NeededRight};
use crate::plan::{GroupProtocol, Plan};

/// Largest number of groups that are named.
const NAMED_MAX: usize = 5;
/// Largest number of brokers that are named.
const BROKERS_MAX: usize = 6;

/// The description of the cluster as lines like those of a plan, and the obstacles for a run.
pub(super) fn describe(plan: &Plan, found: &Inspection) -> (String, Vec<String>) {
    let mut lines = Lines(String::new());
    let mut in_the_way = Vec::new();
    let cluster = found.cluster.as_deref().map_or(String::new(), |id| format!(", cluster {id}"));
    lines.add(
        "connected",
        &format!("in {} ms{cluster}; nothing is written", found.took.as_millis()),
    );
    let mut brokers: Vec<String> =
        found.brokers.iter().map(|(id, address)| format!("{id} at {address}")).collect();
    let count = brokers.len();
    brokers.truncate(BROKERS_MAX);
    if count > BROKERS_MAX {
        brokers.push(format!("{} more", count - BROKERS_MAX));
    }
    lines.add("brokers", &format!("{count}, all reached: {}", brokers.join(", ")));
    requests(plan, found, &mut lines, &mut in_the_way);
    topic(plan, found, &mut lines, &mut in_the_way);
    rights(found, &mut lines, &mut in_the_way);
    (lines.0, in_the_way)
}

fn requests(plan: &Plan, found: &Inspection, lines: &mut Lines, in_the_way: &mut Vec<String>) {
    let requests = match &found.requests {
        Ok(requests) => requests,
        Err(reason) => {
            lines.add("requests", reason);
            return;
        }
    };
    let version = |version: Option<i16>| version.map_or("none".to_owned(), |it| it.to_string());
    let (produce, fetch) = (version(requests.produce), version(requests.fetch));
    let release = release(requests.fetch).map_or(String::new(), |it| format!(", as {it} does"));
    lines
        .add("requests", &format!("Produce up to version {produce}, Fetch up to {fetch}{release}"));
    let protocols = if requests.has_consumer_protocol { "classic, consumer" } else { "classic" };
    lines.add("groups", &format!("protocols: {protocols}"));
    let needs = plan.group().map(|group| &group.protocol);
    if let (Some(GroupProtocol::Consumer { .. }), false) = (needs, requests.has_consumer_protocol) {
        in_the_way.push(
            "the brokers do not serve groups of the consumer protocol (KIP-848); use \
             `consumers.protocol = \"classic\"`"
                .to_owned(),
        );
    }
}

/// Releases of Kafka by their highest version of Fetch (`FetchRequest.json` of each release).
fn release(fetch: Option<i16>) -> Option<&'static str> {
    Some(match fetch? {
        12 => "Kafka 2.7 to 3.0",
        13 => "Kafka 3.1 to 3.4",
        15 => "Kafka 3.5 and 3.6",
        16 => "Kafka 3.7 and 3.8",
        17 => "Kafka 3.9 and 4.0",
        18 => "Kafka 4.1",
        _ => return None,
    })
}

fn topic(plan: &Plan, found: &Inspection, lines: &mut Lines, in_the_way: &mut Vec<String>) {
    let name = &found.topic;
    if found.is_hidden {
        lines.add("topic", &format!("{name} is not shown to this user, if it exists"));
        return;
    }
    let Some(existing) = &found.existing else {
        match &found.not_created {
            None => lines.add("topic", &format!("{name} does not exist, and can be created")),
            Some(error) => {
                lines.add("topic", &format!("{name} does not exist, and cannot be created"));
                in_the_way.push(error.to_string());
            }
        }
        return;
    };
    let records = match existing.records {
        Some(records) => format!("{} records", format_count(records)),
        None => "not every partition answers".to_owned(),
    };
    let partitions = existing.partitions;
    let copies = existing.copies;
    let text =
        format!("{name} exists: {partitions} partitions, replication factor {copies}, {records}");
    lines.add("topic", &text);
    lines.add("", &groups(existing));
    if partitions != plan.topic.partitions as usize {
        in_the_way.push(format!(
            "topic `{name}` has {partitions} partitions, the scenario has {}; use `--set topic.partitions={partitions}`, \
             or another `topic.name`",
            plan.topic.partitions
        ));
    }
    for difference in differences(plan, existing) {
        lines.add("", &difference);
    }
    if plan.load.sends() && !plan.topic.writes_to_existing {
        lines.add("", "a run writes to it, which needs `--allow-existing-topic`");
    }
}

/// Differences between an existing topic and the one that the scenario would create. The existing topic is used
/// unchanged.
fn differences(plan: &Plan, existing: &ExistingTopic) -> Vec<String> {
    let mut found = Vec::new();
    if existing.copies != plan.topic.replication_factor as usize {
        found.push(format!(
            "differs: replication factor {}, the scenario has {}",
            existing.copies, plan.topic.replication_factor
        ));
    }
    let wanted_ms = plan.topic.retention.as_millis() as i64;
    match existing.retention_ms {
        Some(ms) if ms != wanted_ms => {
            let is = u64::try_from(ms)
                .map_or("no limit".to_owned(), |ms| format_duration(Duration::from_millis(ms)));
            let wanted = format_duration(plan.topic.retention);
            found.push(format!("differs: retention {is}, the scenario has {wanted}"));
        }
        Some(_) => {}
        None => found.push("its retention is not shown to this user (DescribeConfigs)".to_owned()),
    }
    if let Some(bytes) = existing.retention_bytes
        && bytes != plan.topic.retention_bytes as i64
    {
        let is = u64::try_from(bytes).map_or("no limit".to_owned(), format_bytes);
        let wanted = format_bytes(plan.topic.retention_bytes);
        found.push(format!("differs: retention {is} per partition, the scenario has {wanted}"));
    }
    found
}

fn groups(existing: &ExistingTopic) -> String {
    let groups = match &existing.groups {
        Ok(groups) => groups,
        Err(reason) => return format!("groups that read it are not known: {reason}"),
    };
    let left = match existing.groups_left {
        0 => String::new(),
        left => format!("; {left} groups of the cluster were not looked at"),
    };
    if groups.is_empty() {
        return format!("no group has committed offsets on it{left}");
    }
    let named = groups
        .iter()
        .take(NAMED_MAX)
        .map(|(name, unread)| format!("{} ({} unread)", printable(name), format_count(*unread)))
        .collect::<Vec<_>>()
        .join(", ");
    let more = match groups.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} with committed offsets on it: {named}{more}{left}", counted(groups.len()))
}

fn counted(groups: usize) -> String {
    format!("{groups} group{}", if groups == 1 { "" } else { "s" })
}

fn rights(found: &Inspection, lines: &mut Lines, in_the_way: &mut Vec<String>) {
    let rights = match &found.rights {
        Ok(rights) => rights,
        Err(reason) => {
            lines.add("rights", reason);
            return;
        }
    };
    let mut heading = "rights";
    for (has, before) in [(Some(true), "has "), (Some(false), "lacks "), (None, "not known: ")] {
        let texts: Vec<String> = by_resource(rights, has)
            .iter()
            .map(|it| format!("{} on {}", it.operations.join(", "), it.resource))
            .collect();
        if !texts.is_empty() {
            lines.add(heading, &format!("{before}{}", texts.join("; ")));
            heading = "";
        }
    }
    for lacking in by_resource(rights, Some(false)) {
        let options: String =
            lacking.operations.iter().map(|it| format!("--operation {it} ")).collect();
        in_the_way.push(format!(
            "this user lacks {} on {}; give it with `kafka-acls.sh --add --allow-principal User:NAME {options}{}`",
            lacking.operations.join(", "),
            lacking.resource,
            lacking.option
        ));
    }
}

/// Rights on one resource.
struct OnResource<'a> {
    resource: &'a str,
    operations: Vec<&'a str>,
    option: &'a str,
}

/// The needed rights of one kind by resource: those that the user has, lacks, or that are not known.
fn by_resource(rights: &[NeededRight], has: Option<bool>) -> Vec<OnResource<'_>> {
    let mut all: Vec<OnResource<'_>> = Vec::new();
    for right in rights.iter().filter(|right| right.has == has) {
        match all.iter_mut().find(|it| it.resource == right.resource) {
            Some(known) => known.operations.push(right.operation),
            None => all.push(OnResource {
                resource: &right.resource,
                operations: vec![right.operation],
                option: &right.option,
            }),
        }
    }
    all
}

/// Lines with aligned names, as in a plan.
struct Lines(String);

impl Lines {
    fn add(&mut self, heading: &str, text: &str) {
        let _ = writeln!(self.0, "{heading:<12}{}", printable(text));
    }
}

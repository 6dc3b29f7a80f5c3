//! `--set path=value`: values of the command line that replace those of the file.
//!
//! Also a scenario merged with its overrides, as TOML that can be changed and written again, and the checks of the file
//! before it is parsed.

use std::path::Path;

use toml::Value;

use super::{Diagnostic, Origin, Source, codes};
use crate::base::{FileError, read_regular};
use crate::reader::tree::{self, Entry, Kind, Node, Table, parse_value};

/// The diagnostic of an override that is refused.
type Refusal = Box<Diagnostic>;

/// A step of a path, with its range in the option.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    name: String,
    start: usize,
    end: usize,
}

/// Inserts the value of `text`, the override number `index`, into the tree.
pub(super) fn apply(root: &mut Table, index: usize, text: &str) -> Result<(), Refusal> {
    let (path, value) = split(text).ok_or_else(|| {
        let place = origin(index, 0, text.len());
        if text.matches('"').count() % 2 == 1 {
            return open_quote(place);
        }
        Diagnostic::error(codes::BAD_OVERRIDE, place, "this `--set` has no value")
            .remedy("write `--set path=value`, for example `--set run.duration=10s`")
    })?;
    let steps = join_open_names(steps(path, index)?);
    let node = parse_override(value, text.len() - value.len(), index)?;
    insert(root, &steps, index, node)
}

fn origin(index: usize, start: usize, end: usize) -> Origin {
    Origin::Override { index, start, end }
}

/// Splits at the first `=` outside quotes.
fn split(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '=' if !quoted => return Some((&text[..i], &text[i + 1..])),
            _ => {}
        }
    }
    None
}

/// The value as TOML, or as text if it is not TOML.
fn parse_override(value: &str, offset: usize, index: usize) -> Result<Node, Refusal> {
    let place = |start, end| origin(index, offset + start, offset + end);
    if let Some(node) = parse_value(value, &place) {
        return Ok(node);
    }
    let text = value.trim();
    if text.starts_with(['"', '\'']) {
        return Err(Box::new(open_quote(place(0, value.len()))));
    }
    Ok(Node { kind: Kind::Text(text.to_owned()), origin: place(0, value.len()) })
}

/// The diagnostic for a quote that is not closed.
fn open_quote(place: Origin) -> Diagnostic {
    Diagnostic::error(codes::BAD_OVERRIDE, place, "a quote is not closed in this `--set`")
        .remedy("close it, or leave quotes out: `--set run.duration=10s` needs none")
}

/// Splits a path into its steps: `fault[0].at`, `fault.0.at`, `client."socket.nagle.disable"`.
fn steps(path: &str, index: usize) -> Result<Vec<Step>, Refusal> {
    let mut steps = Vec::new();
    let mut step = Step { name: String::new(), start: 0, end: 0 };
    let mut quoted = false;
    let mut after_index = false;
    for (i, c) in path.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => step.name.push(c),
            '.' | '[' | ']' => {
                step.end = i;
                // Between `]` and `.` there is no step.
                if !(after_index && step.name.is_empty()) {
                    steps.push(step);
                }
                step = Step { name: String::new(), start: i + 1, end: 0 };
                after_index = c == ']';
            }
            c if c.is_whitespace() => {}
            c => step.name.push(c),
        }
    }
    step.end = path.len();
    if !(after_index && step.name.is_empty()) {
        steps.push(step);
    }
    if quoted || steps.iter().any(|step| step.name.is_empty()) {
        let whole = Step { name: path.to_owned(), start: 0, end: path.len() };
        let remedy = "write names with dots between, for example `run.duration` or `fault[0].at`";
        return Err(refuse(&whole, index, &format!("`{path}` is not a path"), remedy));
    }
    Ok(steps)
}

/// Joins the rest of a path in `[client]` and `[expect]` to one name that contains dots.
fn join_open_names(steps: Vec<Step>) -> Vec<Step> {
    let fixed = match steps.first().map(|step| step.name.as_str()) {
        Some("client") => match steps.get(1).map(|step| step.name.as_str()) {
            Some("producer" | "consumer") => 2,
            _ => 1,
        },
        Some("expect") => 1,
        _ => return steps,
    };
    if steps.len() <= fixed + 1 {
        return steps;
    }
    let mut joined = steps[..fixed].to_vec();
    let rest = &steps[fixed..];
    let mut name = String::new();
    for step in rest {
        // `partition[7].rate` was split at its brackets.
        if step.name == "*" || step.name.bytes().all(|b| b.is_ascii_digit()) {
            name.push_str(&format!("[{}]", step.name));
        } else {
            name.push_str(if name.is_empty() { "" } else { "." });
            name.push_str(&step.name);
        }
    }
    let end = rest.last().map_or(0, |step| step.end);
    joined.push(Step { name, start: rest[0].start, end });
    joined
}

/// Follows all steps but the last, creates tables as needed, and inserts the value.
fn insert(root: &mut Table, steps: &[Step], index: usize, value: Node) -> Result<(), Refusal> {
    let Some((last, way)) = steps.split_last() else {
        return Ok(());
    };
    let mut table = root;
    let mut walked = String::new();
    let mut way = way.iter();
    while let Some(step) = way.next() {
        walked.push_str(if walked.is_empty() { "" } else { "." });
        walked.push_str(&step.name);
        let node = child(table, step, origin(index, step.start, step.end));
        table = match &mut node.kind {
            Kind::Table(table) => table,
            Kind::Array(items) => match way.next() {
                Some(position) => element(items, position, &walked, index)?,
                None => {
                    let message = format!("`{walked}[{}]` is not a value", last.name);
                    let remedy = "name one of its keys, for example `fault[0].at`";
                    return Err(refuse(last, index, &message, remedy));
                }
            },
            _ => {
                let message = format!("`{walked}` is a value, not a section");
                let remedy = "end the path there, or correct its first part";
                return Err(refuse(step, index, &message, remedy));
            }
        };
    }
    let entry = Entry {
        key: last.name.clone(),
        key_origin: origin(index, last.start, last.end),
        node: value,
    };
    match table.iter_mut().find(|old| old.key == entry.key) {
        Some(old) => *old = entry,
        None => table.push(entry),
    }
    Ok(())
}

/// The value of `step` in `table`. Creates an empty section if there is none.
fn child<'a>(table: &'a mut Table, step: &Step, place: Origin) -> &'a mut Node {
    let found = table.iter().position(|entry| entry.key == step.name);
    let at = found.unwrap_or_else(|| {
        let repeated =
            super::SECTIONS.iter().any(|section| section.repeated && section.key == step.name);
        let kind = if repeated { Kind::Array(Vec::new()) } else { Kind::Table(Table::new()) };
        table.push(Entry {
            key: step.name.clone(),
            key_origin: place,
            node: Node { kind, origin: place },
        });
        table.len() - 1
    });
    &mut table[at].node
}

/// The table number `step` of a list. Creates the table after the last one.
fn element<'a>(
    items: &'a mut Vec<Node>,
    step: &Step,
    walked: &str,
    index: usize,
) -> Result<&'a mut Table, Refusal> {
    let place = origin(index, step.start, step.end);
    let count = items.len();
    let position = step.name.parse::<usize>().ok().filter(|position| *position <= count);
    let Some(position) = position else {
        let message = format!("`{}` is not a place in `{walked}`", step.name);
        let remedy = format!("it has {count} entries; `{walked}[{count}]` adds one");
        return Err(refuse(step, index, &message, &remedy));
    };
    if position == count {
        items.push(Node { kind: Kind::Table(Table::new()), origin: place });
    }
    match &mut items[position].kind {
        Kind::Table(table) => Ok(table),
        _ => {
            let message = format!("`{walked}[{position}]` is not a section");
            let remedy = "end the path there, or correct its first part";
            Err(refuse(step, index, &message, remedy))
        }
    }
}

fn refuse(step: &Step, index: usize, message: &str, remedy: &str) -> Refusal {
    let place = origin(index, step.start, step.end);
    Box::new(Diagnostic::error(codes::BAD_OVERRIDE, place, message).remedy(remedy))
}

/// The merged sections and keys. Parts that cannot be read are left out, and [`super::read`] reports them.
pub fn merged(source: &Source, set: &[String]) -> toml::Table {
    let (mut root, _) = tree::parse_document(&source.text);
    for (index, text) in set.iter().enumerate() {
        // `read` reports a refused override, too.
        let _ = apply(&mut root, index, text);
    }
    table(&root)
}

fn table(entries: &Table) -> toml::Table {
    let value = |entry: &Entry| Some((entry.key.clone(), value(&entry.node)?));
    entries.iter().filter_map(value).collect()
}

/// A value as TOML; `None` for a date, which no key accepts.
pub(super) fn value(node: &Node) -> Option<Value> {
    Some(match &node.kind {
        Kind::Text(text) => Value::String(text.clone()),
        Kind::Integer(number) => Value::Integer(i64::try_from(*number).ok()?),
        Kind::Float(number) => Value::Float(*number),
        Kind::Flag(flag) => Value::Boolean(*flag),
        Kind::Date => return None,
        Kind::Array(items) => Value::Array(items.iter().filter_map(value).collect()),
        Kind::Table(entries) => Value::Table(table(entries)),
    })
}

/// Largest size of a scenario file. A larger file is not a scenario.
const LARGEST_BYTES: u64 = 1024 * 1024;

/// A minimal scenario, for the remedy of an empty file.
const MINIMAL: &str = "a minimal scenario is\n\n    [topic]\n    partitions = 18\n\n    [load]\n    producers = 1024\n    rate = \"2/s\"\n\n    [expect]\n    lost = 0";

/// Reads a scenario file from disk, with checks that it may be one.
///
/// # Errors
/// A diagnostic if the file is missing, not a regular file, too large, or not text.
pub fn load(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let bytes = read_regular(path, LARGEST_BYTES).map_err(|refused| match refused {
        FileError::Missing => error(codes::FILE_MISSING, refused.to_string())
            .remedy("give the path of a scenario file, for example `scenarios/quick.toml`"),
        FileError::TooLarge(_) => too_large(),
        _ => error(codes::FILE_UNREADABLE, format!("the scenario cannot be read: {refused}"))
            .remedy(refused.remedy()),
    })?;
    let text = decode(bytes)?;
    Ok(Source { name: path.display().to_string(), text })
}

/// The content as text.
fn decode(bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let text = String::from_utf8(bytes).map_err(|refused| {
        let before = refused.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&refused.as_bytes()[..before]).into_owned();
        let message = match is_utf16 {
            true => "the scenario is UTF-16, not UTF-8",
            false => "the scenario is not UTF-8: there is a byte that belongs to no character",
        };
        Diagnostic::error(codes::NOT_TEXT, behind(&before), message)
            .remedy("save it as UTF-8, or check that it is a TOML file")
    })?;
    match guard(&text) {
        Some(diagnostic) => Err(Box::new(diagnostic)),
        None => Ok(text),
    }
}

/// Refuses a text that is too large or has control characters, before it is parsed.
pub(super) fn guard(text: &str) -> Option<Diagnostic> {
    if text.len() as u64 > LARGEST_BYTES {
        return Some(too_large());
    }
    let is_noise = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let (at, noise) = text.char_indices().find(|(_, c)| is_noise(*c))?;
    let message = format!(
        "the scenario is not text: there is the control character U+{:04X}",
        u32::from(noise)
    );
    Some(
        Diagnostic::error(codes::NOT_TEXT, behind(&text[..at]), message).remedy(
            "remove it, or check that it is a TOML file; in a text it is written `\\u001B`",
        ),
    )
}

/// The position after `before`, which is the beginning of the file.
fn behind(before: &str) -> Origin {
    let line = before.rsplit('\n').next().unwrap_or(before);
    Origin::Position { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
}

/// The diagnostic for an empty scenario.
pub(super) fn empty() -> Diagnostic {
    // The remedy has several lines, which the method `Diagnostic::remedy` escapes.
    let mut empty = error(codes::EMPTY_SCENARIO, "the scenario is empty".to_owned());
    MINIMAL.clone_into(&mut empty.remedy);
    empty
}

/// The lines of a file with syntax errors.
pub(super) struct BrokenLines {
    /// The offset of each line, in bytes.
    begins: Vec<usize>,
    /// The numbers of the lines with errors, from 1, in ascending order.
    numbers: Vec<usize>,
}

impl BrokenLines {
    /// The lines that `errors` point to.
    pub(super) fn of(text: &str, errors: &[Diagnostic]) -> BrokenLines {
        let begins = match errors {
            [] => Vec::new(),
            _ => std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
        };
        let mut lines = BrokenLines { begins, numbers: Vec::new() };
        let numbers = errors.iter().filter_map(|error| lines.number(error.origin));
        lines.numbers = numbers.collect();
        lines.numbers.sort_unstable();
        lines
    }

    /// True if a place is on one of these lines.
    pub(super) fn has(&self, origin: Origin) -> bool {
        self.number(origin).is_some_and(|number| self.numbers.binary_search(&number).is_ok())
    }

    fn number(&self, origin: Origin) -> Option<usize> {
        let Origin::File { start, .. } = origin else { return None };
        Some(self.begins.partition_point(|begin| *begin <= start))
    }
}

fn too_large() -> Diagnostic {
    error(
        codes::FILE_TOO_LARGE,
        "the file is larger than 1 MiB, so it is not a scenario".to_owned(),
    )
    .remedy("check the path")
}

fn error(code: &'static str, message: String) -> Diagnostic {
    Diagnostic::error(code, Origin::WholeFile, message)
}

#[cfg(test)]
mod tests {
    use super::super::{At, Rate, Scenario, Source, read};
    use super::*;
    use std::time::Duration;

    fn set(overrides: &[&str]) -> Scenario {
        let source = Source {
            name: "x.toml".to_owned(),
            text:
                "[run]\nwarmup = \"1s\"\n[client]\nbatch.size = 1\nsocket.nagle.disable = false\n\
                   [[fault]]\nat = \"1s\"\nkill = { consumer = 1 }\n[expect]\n\
                   \"latency.p99\" = \"< 1ms\"\n"
                    .to_owned(),
        };
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let (scenario, diagnostics) = read(&source, &overrides);
        assert_eq!(diagnostics, []);
        scenario
    }

    fn value<T: Clone>(at: Option<&At<T>>) -> Option<T> {
        at.map(|at| at.value.clone())
    }

    #[test]
    fn values_need_no_quotes() {
        let scenario =
            set(&["run.warmup=2s", "topic.name = abc", "load.rate=max", "topic.keep=true"]);
        assert_eq!(value(scenario.run.warmup.as_ref()), Some(Duration::from_secs(2)));
        assert_eq!(value(scenario.topic.name.as_ref()), Some("abc".to_owned()));
        assert_eq!(value(scenario.load.rate.as_ref()), Some(Rate::Max));
        assert_eq!(value(scenario.topic.keep.as_ref()), Some(true));
        let scenario = set(&["consumers.work={ cpu = \"50us\" }", "consumers.work_of.3.wait=5ms"]);
        assert!(scenario.consumers.work.is_some());
        assert_eq!(scenario.consumers.work_of.map(|at| at.value.len()), Some(1));
    }

    #[test]
    fn lists_are_indexed_and_grow_by_one() {
        let scenario = set(&["fault[0].at=3s", "fault.0.kill.consumer=5", "fault[1].at=4s"]);
        let times = scenario.fault.iter().map(|fault| value(fault.value.schedule.at.as_ref()));
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(times.collect::<Vec<_>>(), [seconds(3), seconds(4)]);
    }

    #[test]
    fn the_names_of_others_keep_their_dots() {
        let scenario = set(&[
            "client.socket.nagle.disable=true",
            "client.consumer.fetch.wait.max.ms=5",
            "client.\"client.rack\"=me",
            "expect.latency.p99=< 5ms",
            "expect.partition[7].rate=> 10",
        ]);
        let text = |at: &At<super::super::Property>| at.value.0.clone();
        let common = &scenario.client.common;
        assert_eq!(common.get("socket.nagle.disable").map(text), Some("true".to_owned()));
        assert_eq!(common.get("client.rack").map(text), Some("me".to_owned()));
        let consumer = &scenario.client.consumer;
        assert_eq!(consumer.get("fetch.wait.max.ms").map(text), Some("5".to_owned()));
        let metrics = scenario.expect.iter().map(|expected| expected.metric.as_str());
        assert_eq!(metrics.collect::<Vec<_>>(), ["latency.p99", "partition[7].rate"]);
    }

    #[test]
    fn overrides_win_and_the_text_can_be_read_again() {
        let text =
            "[run]\nduration = \"9s\"\n[[fault]]\nat = \"1s\"\nkill = { consumer = [1, 2] }\n";
        let source = Source { name: "a.toml".to_owned(), text: text.to_owned() };
        let merged = merged(&source, &["run.duration=3s".to_owned(), "run.seed=7".to_owned()]);
        let again = Source { text: merged.to_string(), ..source };
        let (read, diagnostics) = read(&again, &[]);
        assert_eq!(diagnostics, []);
        assert_eq!(read.run.duration.map(|at| at.value), Some(Duration::from_secs(3)));
        assert_eq!(read.run.seed.map(|at| at.value), Some(7));
        assert_eq!(read.fault.len(), 1);
    }
}

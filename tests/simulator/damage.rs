//! Damaged result directories: the damage is reported, and no damaged figure is shown.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Finished, Tool};
use lanekeeper::base::{Random, Seed};
use lanekeeper::report::{ResultDirectory, full_report, read_result, short_report};
use lanekeeper::summary::Summary;
use serde_json::Value;

/// A run whose result has all sections: two partitions, and a consumer that is killed.
const KILL: &str = "[topic]\npartitions = 2\n[load]\nproducers = 4\nrate = \"20/s\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"3s\"\n\
                    [[fault]]\nat = \"1s\"\nkill = { consumer = 1 }\n[expect]\nlost = 0\nrestarts = 1\n";

/// The files of which a summary has checksums.
const COVERED: [&str; 4] = ["scenario.toml", "events.jsonl", "seconds.jsonl", "latency.hlog"];
const CASES: u64 = 1_000;

fn simulated(seed: &str) -> Finished {
    Tool::run_text(KILL).args(["--broker", "sim", "--seed", seed]).exits(0)
}

/// The directory of a killed run, with an incomplete line at the end.
fn cut_off() -> Finished {
    let mut running = Tool::run_text(KILL).set(["run.duration=10m"]).start();
    running.await_text("so-far.json", "\"restarts\":1,");
    let finished = running.kill();
    for file in &COVERED[1..] {
        let torn = finished.read(file) + "{\"to_s\":3.1,\"deliv";
        std::fs::write(finished.out().join(file), torn).expect("a file");
    }
    finished
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Bit,
    Byte,
    Cut,
    Longer,
    Line,
    Missing,
    Empty,
    Junk,
    Swapped,
    OfAnotherRun,
    Pipe,
    Directory,
    Endless,
    Huge,
}

const ALL: [Damage; 14] = [
    Damage::Bit,
    Damage::Byte,
    Damage::Cut,
    Damage::Longer,
    Damage::Line,
    Damage::Missing,
    Damage::Empty,
    Damage::Junk,
    Damage::Swapped,
    Damage::OfAnotherRun,
    Damage::Pipe,
    Damage::Directory,
    Damage::Endless,
    Damage::Huge,
];

fn below(random: &mut Random, end: usize) -> usize {
    random.below(end.max(1) as u64) as usize
}

/// Damages the file `name`. False if it is unchanged.
fn inflict(
    damage: Damage,
    directory: &Path,
    name: &str,
    other: &Path,
    random: &mut Random,
) -> bool {
    let path = directory.join(name);
    let before = std::fs::read(&path).expect("a file");
    let mut after = before.clone();
    match damage {
        Damage::Bit if !before.is_empty() => {
            after[below(random, before.len())] ^= 1 << below(random, 8);
        }
        Damage::Byte if !before.is_empty() => {
            after[below(random, before.len())] = random.below(256) as u8;
        }
        Damage::Bit | Damage::Byte => {}
        Damage::Cut => after.truncate(below(random, before.len())),
        Damage::Longer => after.extend((0..=below(random, 100)).map(|_| random.below(256) as u8)),
        Damage::Line => {
            let mut lines: Vec<&[u8]> = before.split_inclusive(|c| *c == b'\n').collect();
            lines.remove(below(random, lines.len()));
            after = lines.concat();
        }
        Damage::Empty => after.clear(),
        Damage::Junk => {
            after = (0..below(random, 4_096)).map(|_| random.below(256) as u8).collect();
        }
        Damage::Swapped => {
            let names: Vec<&str> = COVERED.into_iter().filter(|it| *it != name).collect();
            after =
                std::fs::read(directory.join(names[below(random, names.len())])).expect("a file");
        }
        Damage::OfAnotherRun => after = std::fs::read(other.join(name)).unwrap_or_default(),
        Damage::Missing | Damage::Pipe | Damage::Directory | Damage::Endless => {
            std::fs::remove_file(&path).expect("a file");
            put_in_its_place(damage, &path);
            return true;
        }
        Damage::Huge => {
            let file = File::options().write(true).open(&path).expect("a file");
            file.set_len(8 << 30).expect("room for a sparse file");
            return true;
        }
    }
    std::fs::write(&path, &after).expect("a writable file");
    after != before
}

fn put_in_its_place(damage: Damage, path: &Path) {
    match damage {
        Damage::Pipe => {
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.expect("`mkfifo` is there").success());
        }
        Damage::Directory => std::fs::create_dir(path).expect("a directory"),
        Damage::Endless => std::os::unix::fs::symlink("/dev/zero", path).expect("a link"),
        _ => {}
    }
}

/// An undamaged result directory.
struct Written {
    directory: PathBuf,
    /// Name of the summary's file.
    name: &'static str,
    summary: Summary,
}

impl Written {
    fn new(finished: &Finished, name: &'static str) -> Written {
        let stored = read_result(&finished.out()).expect("a result");
        assert_eq!(stored.notes, Vec::<String>::new());
        Written { directory: finished.out(), name, summary: stored.summary }
    }

    /// True if the part of a file that its checksum covers is unchanged in `directory`.
    fn is_same_where_it_counts(&self, directory: &Path, name: &str) -> bool {
        let text = std::fs::read(self.directory.join(self.name)).expect("a file");
        let json: Value = serde_json::from_slice(&text).expect("JSON");
        let bytes = json["files"][name]["bytes"].as_u64().expect("a length");
        let beginning = |directory: &Path| {
            let mut beginning = Vec::new();
            let file = File::open(directory.join(name)).expect("a file");
            file.take(bytes).read_to_end(&mut beginning).expect("a readable file");
            beginning
        };
        bytes > 0 && beginning(directory) == beginning(&self.directory)
    }

    /// Asserts that reading returns the right summary, or an error that names the file. True if it returns the summary.
    fn assert_found(&self, case: &str, directory: &Path, name: &str, damage: Damage) -> bool {
        let is_gone = damage == Damage::Missing;
        match read_result(directory) {
            Ok(stored) => {
                assert_eq!(stored.summary, self.summary, "{case}");
                assert!(name != self.name, "{case}");
                let is_named = stored.notes.iter().any(|note| note.contains(name));
                // In a run that was cut off, the lines after the last second are not covered.
                let is_behind = || {
                    self.name == "so-far.json"
                        && name != "scenario.toml"
                        && self.is_same_where_it_counts(directory, name)
                };
                assert!(if is_gone { is_named } else { is_behind() }, "{case}: {:?}", stored.notes);
                true
            }
            Err(error) => {
                let text = error.to_string();
                let is_none = is_gone && name == self.name && text.contains("has neither");
                assert!(text.contains(name) || is_none, "{case}: {text}");
                false
            }
        }
    }
}

#[test]
fn damage_of_every_kind_is_named_and_no_figure_of_it_is_shown() {
    let (finished, other) = (simulated("1"), simulated("2"));
    let killed = cut_off();
    let kept = [Written::new(&finished, "result.json"), Written::new(&killed, "so-far.json")];
    let mut random = Seed(7).random();
    let (mut shown, mut refused, mut same) = (0, 0, 0);
    for number in 0..CASES {
        let written = &kept[usize::from(number % 3 == 0)];
        let scratch = tempfile::tempdir().expect("a scratch directory");
        copy(&written.directory, scratch.path());
        // Half of the damage is in the summary, which has the figures.
        let name = match random.below(2) {
            0 => written.name,
            _ => COVERED[below(&mut random, COVERED.len())],
        };
        let damage = ALL[number as usize % ALL.len()];
        let case = format!("case {number}: {damage:?} of {name}");
        if !inflict(damage, scratch.path(), name, &other.out(), &mut random) {
            same += 1;
            assert_eq!(
                read_result(scratch.path()).expect(&case).summary,
                written.summary,
                "{case}"
            );
        } else if written.assert_found(&case, scratch.path(), name, damage) {
            shown += 1;
        } else {
            refused += 1;
        }
    }
    assert!(refused > 700 && shown > 30 && same < 100, "{refused} {shown} {same}");
}

/// The directory is valid at each time of a run: after a kill between two writes, and for a `report` during the run.
#[test]
fn what_a_run_keeps_is_whole_at_every_moment() {
    let mut running = Tool::run_text(KILL).set(["run.duration=10m"]).start();
    running.await_text("so-far.json", "{");
    let out = running.scratch().join("out");
    let (mut looks, mut last, mut changes) = (0, None, 0);
    while changes < 4 || looks < 100 {
        let stored = read_result(&out).expect("what was kept");
        assert_eq!(stored.notes, Vec::<String>::new());
        let lasted = Some(stored.summary.load_lasted_s);
        changes += usize::from(lasted != last);
        (last, looks) = (lasted, looks + 1);
        running.look();
    }
    running.kill();
}

#[test]
fn the_program_exits_with_2_and_names_what_is_damaged() {
    let (finished, other) = (simulated("1"), simulated("2"));
    let mut random = Seed(3).random();
    for (number, damage) in ALL.into_iter().enumerate() {
        let name = ["result.json", "seconds.jsonl"][number % 2];
        let scratch = tempfile::tempdir().expect("a scratch directory");
        copy(&finished.out(), scratch.path());
        if !inflict(damage, scratch.path(), name, &other.out(), &mut random) {
            continue;
        }
        let reported = Tool::new().arg("report").arg(scratch.path()).finish();
        let is_gone = damage == Damage::Missing && name == "seconds.jsonl";
        assert_eq!(reported.code, if is_gone { 0 } else { 2 }, "{damage:?} {}", reported.output());
        assert!(reported.stderr.contains(name), "{damage:?} {}", reported.output());
        assert!(is_gone || reported.stdout.is_empty(), "{damage:?} {}", reported.output());
        assert!(!reported.stderr.contains("bug in lanekeeper"), "{}", reported.output());
    }
}

/// The result in format 2, which had no checksums.
fn without_checksums(finished: &Finished) -> Value {
    let mut json = finished.json();
    let fields = json.as_object_mut().expect("an object");
    fields.remove("files");
    fields.remove("checksum");
    fields["schema_version"] = 2.into();
    json
}

/// Runs `report` for this result, which is written into `directory`.
fn reported_from(directory: &Path, json: &Value) -> Finished {
    std::fs::write(directory.join("result.json"), json.to_string()).expect("a file");
    Tool::new().arg("report").arg(directory).finish()
}

/// A result in format 2 has no checksums. It is shown with a note, unless it contradicts itself.
#[test]
fn a_result_of_an_earlier_version_is_shown_with_a_note() {
    let finished = simulated("1");
    let mut json = without_checksums(&finished);
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let keep = |json: &Value| reported_from(scratch.path(), json);
    let reported = keep(&json);
    assert_eq!(reported.code, 0, "{}", reported.output());
    assert!(reported.stderr.contains("note: `"), "{}", reported.output());
    assert!(
        reported.stderr.contains("has format 2, which has no checksums"),
        "{}",
        reported.output()
    );
    let shown = |text: &str| text.lines().rev().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(shown(&reported.stdout).len(), shown(&finished.stdout).len());

    json["expectations"][0]["passed"] = false.into();
    let reported = keep(&json);
    assert_eq!((reported.code, reported.stdout.as_str()), (2, ""), "{}", reported.output());
    assert!(reported.stderr.contains("although `lost = 0` does not hold"), "{}", reported.output());
    // A result in a later format without its checksum is damaged.
    json["schema_version"] = 3.into();
    assert!(keep(&json).stderr.contains("does not end with its checksum"));
}

/// A result in format 3 has the former names of some figures: `foreign`, `unexplained`, `released_ms`, `healed_ms` and
/// `incarnation`.
#[test]
fn a_result_with_the_names_of_the_former_format_is_read() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let stored = include_str!("../stored/format-3.json");
    let keep = |text: &str| {
        std::fs::write(scratch.path().join("result.json"), text).expect("a file");
        let reported = Tool::new().args(["report", "--full"]).arg(scratch.path()).exits(0);
        let shown = Tool::new().args(["report", "--format", "json"]).arg(scratch.path()).exits(0);
        (reported.stdout, serde_json::from_str::<Value>(&shown.stdout).expect("JSON"))
    };
    let (report, json) = keep(stored);
    assert!(report.contains("fenced") && report.contains("✓ foreign = 0"), "{report}");
    let fault = &json["faults"][0];
    assert_eq!((&fault["fenced_ms"], &fault["ended_ms"]), (&0.0.into(), &Value::Null), "{fault}");
    assert_eq!(fault["partitions"][1]["recovery"]["fenced_ms"], 0.0, "{fault}");
    let starts: Vec<&Value> =
        json["partitions"][1]["owners"].as_array().expect("a list").iter().collect();
    assert_eq!(starts.iter().map(|owner| &owner["start"]).collect::<Vec<_>>(), [1, 2]);

    // The same with other values, in a format without checksums, so that they can be changed.
    let changed = stored
        .replacen("\"schema_version\": 3", "\"schema_version\": 2", 1)
        .replace("\"foreign\": 0", "\"foreign\": 5")
        .replace("\"unexplained\": 0", "\"unexplained\": 7")
        .replacen("\"healed_ms\": null", "\"healed_ms\": 9.0", 1);
    let mut changed: Value = serde_json::from_str(&changed).expect("JSON");
    changed.as_object_mut().expect("an object").remove("checksum");
    let (report, json) = keep(&changed.to_string());
    let total = "other producers 5, skipped 0, wrong partition 0, unexpected redelivered 7";
    assert!(report.contains(total), "{report}");
    assert_eq!(json["faults"][0]["ended_ms"], 9.0);
    assert_eq!(json["partitions"][0]["ledger"]["other_producers"], 5);
}

/// Texts that would clear the screen, hide the next characters, begin a line, or change the direction of writing.
const NASTY: [&str; 6] = [
    "\u{1b}[2J",
    "\u{1b}[8mhidden",
    "x\nPASSED  everything  9 of 9 expectations hold",
    "\u{1b}]0;title\u{7}",
    "\u{202e}desrever",
    "\r\u{9b}2J",
];

/// Replaces one value below `value` by another valid one of its type.
fn mutate(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let number = below(random, fields.len());
            fields.values_mut().nth(number).into_iter().for_each(|field| mutate(field, random));
        }
        Value::Array(items) if !items.is_empty() => {
            let number = below(random, items.len());
            match random.below(6) {
                0 => drop(items.remove(number)),
                1 => items.extend(std::iter::repeat_n(items[number].clone(), 30)),
                _ => mutate(&mut items[number], random),
            }
        }
        Value::Number(_) => {
            let numbers: [Value; 7] = [
                0.into(),
                1.into(),
                u64::MAX.into(),
                u32::MAX.into(),
                (-1).into(),
                1e308.into(),
                (-1e308).into(),
            ];
            *value = numbers[below(random, numbers.len())].clone();
        }
        Value::String(_) => *value = NASTY[below(random, NASTY.len())].into(),
        Value::Null => {
            *value = [Value::from(1e300), Value::from(NASTY[0])][below(random, 2)].clone();
        }
        Value::Bool(is) => *is = !*is,
        _ => {}
    }
}

/// A checksum is no signature: a directory with a right checksum can have any content.
#[test]
fn a_result_that_is_made_to_deceive_shows_only_text() {
    let finished = simulated("1");
    let mut random = Seed(11).random();
    let mut nasty = 0;
    for number in 0..CASES {
        let mut json = serde_json::to_value(finished.summary()).expect("JSON");
        (0..=random.below(8)).for_each(|_| mutate(&mut json, &mut random));
        let Ok(summary) = serde_json::from_value::<Summary>(json) else { continue };
        for width in [None, Some(40)] {
            for text in [full_report(&summary, width), short_report(&summary, width, "saved")] {
                nasty += usize::from(text.contains("\\u{1b}[2J") || text.contains("\\nPASSED"));
                assert_only_text(&text, number);
            }
        }
    }
    assert!(nasty > 50, "{nasty}");
}

#[track_caller]
fn assert_only_text(text: &str, number: u64) {
    let is_wrong = |line: &str| line.starts_with("PASSED  everything");
    assert!(!text.lines().any(is_wrong), "case {number}: {text}");
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\n' || c == '\u{202e}') {
        let sequence =
            rest[at..].strip_prefix("\u{1b}[").unwrap_or_else(|| panic!("{number}: {text:?}"));
        let end = sequence.find(|c: char| !c.is_ascii_digit()).expect("an end");
        // The report itself uses colours, bold and dimmed text, but hides none.
        assert!(sequence[end..].starts_with('m') && &sequence[..end] != "8", "{number}: {text:?}");
        rest = &sequence[end..];
    }
}

#[test]
fn names_and_texts_reach_the_terminal_as_text() {
    let finished = simulated("1");
    let mut summary = finished.summary();
    summary.scenario = NASTY.concat();
    summary.warnings = NASTY.map(str::to_owned).to_vec();
    let tool = Tool::new();
    let path = tool.path("a\u{1b}[2Jb\nc");
    let mut directory =
        ResultDirectory::create(&path, KILL, Duration::from_secs(1)).expect("a directory");
    directory.finish(&summary).expect("a result");
    let reported = tool.arg("report").arg(&path).exits(0);
    assert!(reported.stdout.contains("a\\u{1b}[2Jb\\nc"), "{}", reported.output());
    assert_only_text(&reported.stdout, 0);
    assert!(!reported.stdout.contains('\u{1b}'), "{}", reported.output());
    for name in ["\u{1b}[2J", "a\nerror: b", "\u{202e}x"] {
        let escaped = name.escape_debug().to_string();
        for arguments in [&["report"][..], &["replay"], &["replay", "small.toml", "--against"]] {
            let tool = Tool::new().file("small.toml", KILL.as_bytes());
            let refused = tool.args(arguments.iter().copied()).arg(name).exits(2);
            assert!(refused.stderr.contains(&escaped), "{}", refused.output());
            assert_only_text(&refused.stderr, 0);
        }
    }
}

/// The trace for `--against` is also an untrusted file.
#[test]
fn a_trace_of_another_kind_is_refused_or_differs() {
    let against = |make: &dyn Fn(&Path)| {
        let tool = Tool::new().file("small.toml", KILL.as_bytes());
        make(&tool.path("kept"));
        tool.args(["replay", "small.toml", "--against", "kept"]).finish()
    };
    let pipe = against(&|path| put_in_its_place(Damage::Pipe, path));
    assert_eq!(pipe.code, 2, "{}", pipe.output());
    assert!(pipe.stderr.contains("it is a pipe, not a regular file"), "{}", pipe.output());
    let endless = against(&|path| put_in_its_place(Damage::Endless, path));
    assert!(endless.stderr.contains("it is a device"), "{}", endless.output());
    let junk = against(&|path| std::fs::write(path, b"1.0 \xff\x1b[2J\n\x00").expect("a file"));
    assert_eq!(junk.code, 1, "{}", junk.output());
    assert!(
        junk.stdout.contains("DIFFERENT") && junk.stdout.contains("\\u{1b}[2J"),
        "{}",
        junk.output()
    );
    let line = against(&|path| {
        std::fs::write(path, "1.0 ".to_owned() + &"x".repeat(3 << 20)).expect("a file");
    });
    assert_eq!(line.code, 2, "{}", line.output());
    assert!(line.stderr.contains("a line is longer than 1 MiB"), "{}", line.output());
}

//! Scenarios drawn from the schema and then damaged. `check` reports each mistake with its place and remedy, and never
//! panics, hangs, or prints control characters.

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use lanekeeper::base::{BrokerKind, Clock, Seed, Time};
use lanekeeper::plan::{Overrides, compile};
use lanekeeper::scenario::{
    Diagnostic, MISTAKES_MAX, Origin, Source, Sources, codes, json_schema, render_all,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value as Schema;

use super::scenario;
use crate::support::Tool;

const CASES: u32 = 10_000;
/// Longest time of a check that does not hang.
const HANG: Duration = Duration::from_secs(10);

/// Largest number of diagnostics of a case that are checked one by one.
const LOOKED_AT: usize = 30;

static SCHEMA: LazyLock<Schema> = LazyLock::new(json_schema);

/// Values that are valid nowhere, or in few places.
const VALUES: &[&str] = &[
    "0",
    "-1",
    "1",
    "0.5",
    "-0.0",
    "1e308",
    "1e999",
    "nan",
    "-inf",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999999999999999999999999999",
    "0xffff_ffff",
    "true",
    "1979-05-27",
    "[]",
    "{}",
    "[[], [1, \"a\"]]",
    "[4294967296, -1, 7]",
    "{ random = 1_000_000 }",
    "{ a = { b = { c = 1 } } }",
    "\"\"",
    "\"all\"",
    "\"max\"",
    "\"0s\"",
    "\"0,5s\"",
    "\"1..5s\"",
    "\"99999999999999h\"",
    "\"-5s\"",
    "\"5 parsecs\"",
    "\"1000000/s\"",
    "\"0.0000000001/s\"",
    "\"1GB\"",
    "\"0...5\"",
    "\"=> 0\"",
    "\"\u{2264} 99%\"",
    "\"> 1ms\"",
    "\"\\u001b[2J\\u009b1m\\nerror: none\"",
    "\"\u{202e}\u{1f4a9}e\u{301}\"",
    "\"me:hunter2@[::1\"",
    "\"unclosed",
    "'''",
    "= 3",
];

/// Keys that are valid nowhere, or in another section.
const KEYS: &[&str] = &[
    "a.b.c.d",
    "\"\"",
    "\"\\u001b[31m\"",
    "\u{202e}",
    "duration",
    "kill",
    "partition",
    "\"fault[0].recovery\"",
    "sasl.password",
    "4294967296",
    "[topic]",
];

/// Pieces that make a text invalid in most places.
const PIECES: &[&str] = &[
    "\0",
    "\u{1b}[31m",
    "\u{9b}",
    "\r",
    "\n",
    "\t",
    "\u{feff}",
    "\u{202e}",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "=",
    "[",
    "[[",
    "]",
    "{",
    "}",
    ".",
    ",",
    "\\",
    "\u{e9}\u{1f600}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1",
];

/// Sections for which the schema has few rules.
const SECTIONS: &[&str] = &[
    "\n[expect]\nlost = 0\n\"latency.p99\" = \"< 1s\"\n\"partition[*].rate\" = \"1..5\"\n",
    "\n[expect]\nshared = 0\nlatency.ack.p50 = \"> 0s\"\nrebalances = 0\nkeeps_up = true\n",
    "\n[expect]\n\"fault[0].detected\" = \"< 1s\"\n\"fault[0].others_stall\" = \"< 1s\"\n",
    "\n[client]\nsocket.nagle.disable = true\nproducer.batch.size = 1000000\n",
    "\n[client]\nsasl.pasword = \"swordfish\"\nacks = 1\nbootstrap.servers = \"me:hunter2@a:1\"\n",
    "\n[kafka]\nbootstrap = \"a:1,[::1]:2\"\n",
    "\n[kafka]\nbootstrap = \"a:1;me:hunter2@b:2\"\n",
    "\n[embedded]\nbrokers = 3\n",
    "\n[consumers.work_of]\n0 = { cpu = \"1us\" }\n9999999999 = { wait = \"1us\" }\n",
    "\n[[fault]]\nat = \"1ms\"\nexec = { start = [\"\\u001b[2J\"], end = [] }\n",
    "\n[[fault]]\nat = \"1ms\"\nevery = \"100ms\"\nkill = { consumer = \"all\" }\n",
    "\n[run]\nduration = \"168h\"\n",
    "\n[topic]\npartitions = 10_000\n",
];

/// A change of a text.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Insert(Index, &'static str),
    Remove(Index, usize),
    TwiceTheLine(Index),
    Value(Index, &'static str),
    Key(Index, &'static str),
    Append(&'static str),
    Again(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        1 => at().prop_map(Damage::Cut),
        2 => (at(), select(PIECES)).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        1 => (at(), 1..20_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
        1 => at().prop_map(Damage::TwiceTheLine),
        6 => (at(), select(VALUES)).prop_map(|(at, value)| Damage::Value(at, value)),
        2 => (at(), select(KEYS)).prop_map(|(at, key)| Damage::Key(at, key)),
        4 => select(SECTIONS).prop_map(Damage::Append),
        1 => (2..8_usize).prop_map(Damage::Again),
    ]
}

impl Damage {
    fn to(&self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        if lines.is_empty() {
            lines.push(String::new());
        }
        let end = characters.len() + 1;
        let line = |at: &Index| at.index(lines.len());
        match self {
            Damage::Cut(at) => characters.truncate(at.index(end)),
            Damage::Insert(at, piece) => {
                let at = at.index(end);
                characters.splice(at..at, piece.chars());
            }
            Damage::Remove(at, length) => {
                let at = at.index(end);
                characters.drain(at..(at + length).min(end - 1));
            }
            Damage::TwiceTheLine(at) => {
                let at = line(at);
                lines.insert(at, lines[at].clone());
                return lines.concat();
            }
            Damage::Value(at, value) => {
                let at = line(at);
                let key = lines[at].split(" = ").next().unwrap_or_default().trim().to_owned();
                lines[at] = format!("{key} = {value}\n");
                return lines.concat();
            }
            Damage::Key(at, key) => {
                let at = line(at);
                let value = lines[at].split(" = ").nth(1).unwrap_or_default().trim().to_owned();
                lines[at] = format!("{key} = {value}\n");
                return lines.concat();
            }
            Damage::Append(section) => return format!("{text}{section}"),
            Damage::Again(times) => return text.repeat(*times),
        }
        characters.into_iter().collect()
    }
}

fn text_of(seed: u64, damages: &[Damage]) -> String {
    let drawn = scenario(&SCHEMA, &mut Seed(seed).child("hostile", 0).random()).to_string();
    damages.iter().fold(drawn, |text, damage| damage.to(&text))
}

/// A word that must never be shown, and the text that makes it a secret.
struct Secret {
    word: &'static str,
    by: &'static str,
}

const SECRETS: [Secret; 2] = [
    Secret { word: "hunter2", by: "me:hunter2@" },
    Secret { word: "swordfish", by: "\nsasl.pasword = \"swordfish\"\n" },
];

impl Secret {
    /// True if the output contains the secret, although no damage has turned it into something else.
    fn is_shown(&self, printed: &str, scenario: &str) -> bool {
        let is_whole = scenario.matches(self.word).count() == scenario.matches(self.by).count();
        is_whole && printed.contains(self.word)
    }
}

/// The rule that a diagnostic breaks; `None` if it breaks none.
fn flaw(diagnostic: &Diagnostic, sources: &Sources<'_>) -> Option<String> {
    let text = diagnostic.render(sources, false);
    let is_placed = match diagnostic.origin {
        Origin::File { .. } | Origin::Override { .. } | Origin::Position { .. } => {
            text.lines().any(|line| {
                let mut place = line.rsplit(':').map(|part| part.trim().parse::<usize>().is_ok());
                line.contains("--> ") && place.next() == Some(true) && place.next() == Some(true)
            })
        }
        Origin::CommandLine => diagnostic.message.contains("`--"),
        Origin::WholeFile => {
            !diagnostic.is_error()
                || [codes::EMPTY_SCENARIO, codes::FILE_TOO_LARGE].contains(&diagnostic.code)
        }
    };
    let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    match () {
        () if !is_placed => Some(format!("no place:\n{text}")),
        () if diagnostic.remedy.is_empty() || !text.contains("help: ") => {
            Some(format!("no remedy:\n{text}"))
        }
        () if text.contains(acts) => Some(format!("acts on the terminal:\n{text:?}")),
        () if SECRETS.iter().any(|secret| secret.is_shown(&text, &sources.file.text)) => {
            Some(format!("shows a secret:\n{text}"))
        }
        () => None,
    }
}

/// Reads and plans a text as `check` does. Returns the first rule that is broken; `None` if none is.
fn broken_promise(text: String, set: &[String], overrides: &Overrides) -> Option<String> {
    let clock = Clock::start();
    let source = Source { name: "x.toml".to_owned(), text };
    let (plan, diagnostics) = compile(&source, set, overrides);
    let sources = Sources { file: &source, overrides: set };
    let all = render_all(&diagnostics, &sources, true);
    let took = clock.now().remaining(Time::ZERO);
    if took > HANG {
        return Some(format!("took {took:?}"));
    }
    if plan.is_some() == diagnostics.iter().any(Diagnostic::is_error) {
        return Some(format!("a plan: {}, in spite of:\n{all}", plan.is_some()));
    }
    if diagnostics.len() > 4 * MISTAKES_MAX || all.len() > 200_000 {
        return Some(format!("{} diagnostics in {} bytes", diagnostics.len(), all.len()));
    }
    if let Some(plan) = plan {
        let described = plan.describe();
        if described.contains(|c: char| c.is_control() && c != '\n') {
            return Some(format!("acts on the terminal:\n{described:?}"));
        }
    }
    // The other diagnostics are of the same kinds.
    diagnostics.iter().take(LOOKED_AT).find_map(|diagnostic| flaw(diagnostic, &sources))
}

fn on_any_broker() -> impl Strategy<Value = Overrides> {
    let kinds = [None, Some(BrokerKind::EMBEDDED), Some(BrokerKind::KAFKA), Some(BrokerKind::SIM)];
    let bootstraps = [None, Some("localhost:9092"), Some("me:hunter2@a:1"), Some("a:1;b")];
    (select(kinds.to_vec()), select(bootstraps.to_vec())).prop_map(|(broker, bootstrap)| {
        Overrides { broker, bootstrap: bootstrap.map(str::to_owned), ..Overrides::default() }
    })
}

/// Valid and invalid `--set` options.
fn overrides() -> impl Strategy<Value = Vec<String>> {
    let path =
        select(&["run.duration", "fault[0].at", "a.b[", "expect.lost", "client.x", "\"a"][..]);
    let one = (path, select(VALUES)).prop_map(|(path, value)| format!("{path}={value}"));
    prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(one, 1..3)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_wrong_has_a_place_and_a_remedy(
        seed in any::<u64>(),
        damages in proptest::collection::vec(damage(), 0..6),
        set in overrides(),
        on in on_any_broker(),
    ) {
        let text = text_of(seed, &damages);
        let broken = broken_promise(text.clone(), &set, &on);
        prop_assert!(broken.is_none(), "{}\n{set:?} {on:?}\n{text}", broken.unwrap_or_default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_program_refuses_with_2_or_says_what_will_happen(
        seed in any::<u64>(),
        damages in proptest::collection::vec(damage(), 0..4),
        broken_byte in proptest::option::of(any::<Index>()),
    ) {
        let mut bytes = text_of(seed, &damages).into_bytes();
        if let Some(at) = broken_byte {
            let at = at.index(bytes.len() + 1);
            bytes.insert(at, 0xff);
        }
        let finished = Tool::new().file("x.toml", &bytes).args(["check", "x.toml"]).finish();
        prop_assert!([0, 2].contains(&finished.code), "{}", finished.output());
        prop_assert!(!finished.output().contains("panicked"), "{}", finished.output());
        let is_refused = finished.stderr.contains("error[") && finished.stderr.contains("help: ");
        prop_assert_eq!(finished.code == 2, is_refused && finished.stdout.is_empty());
    }
}

/// Large scenarios with many lines of one kind.
fn large() -> Vec<(&'static str, String)> {
    let lines = |head: &str, count: usize, line: &dyn Fn(usize) -> String| {
        let mut text = head.to_owned();
        for number in 0..count {
            let _ = writeln!(text, "{}", line(number));
        }
        text
    };
    vec![
        ("figures", lines("[expect]\n", 60_000, &|i| format!("k{i} = 1"))),
        ("keys", lines("[load]\n", 60_000, &|i| format!("k{i} = 1"))),
        ("properties", lines("[client]\n", 50_000, &|i| format!("k{i}.x = 1"))),
        ("no TOML", lines("", 60_000, &|i| format!("k{i} 1"))),
        ("sections", lines("", 60_000, &|i| format!("[k{i}]"))),
        ("the same key", lines("[load]\n", 60_000, &|_| "rate = 1".to_owned())),
        ("faults", lines("", 40_000, &|_| "[[fault]]\nat = 1".to_owned())),
        (
            "faults in wrong order",
            lines("", 20_000, &|i| {
                format!("[[fault]]\nat = \"{}ms\"\nkill = {{ consumer = 1 }}", 20_001 - i)
            }),
        ),
        (
            "faults at once",
            lines("[topic]\npartitions = 1000\n", 4_900, &|i| {
                format!("[[fault]]\nat = \"1s\"\nkill = {{ consumer = {} }}", i % 1_000)
            }),
        ),
        (
            "faults that come again",
            lines("[topic]\npartitions = 10_000\n[run]\nduration = \"168h\"\n", 200, &|_| {
                "[[fault]]\nat = \"1s\"\nevery = \"100ms\"\nkill = { consumer = \"all\" }"
                    .to_owned()
            }),
        ),
        ("a long key", format!("[expect]\n{} = 1\n", "k".repeat(900_000))),
        ("a long value", format!("[load]\npartition = \"{}\"\n", "v".repeat(900_000))),
        ("a long line", format!("[load]\nrate = [{}]\n", "1, ".repeat(300_000))),
        ("open lists", format!("[load]\nrate = {}\n", "[".repeat(900_000))),
        ("a deep key", format!("[load]\n{}a = 1\n", "a.".repeat(450_000))),
        ("a deep section", format!("[{}a]\n", "a.".repeat(450_000))),
    ]
}

#[test]
fn large_files_are_refused_soon() {
    for (what, text) in large() {
        let broken = broken_promise(text, &[], &Overrides::default());
        assert!(broken.is_none(), "{what}: {}", broken.unwrap_or_default());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn large_files_need_little_memory() {
    for (what, text) in large() {
        let tool = Tool::new().file("x.toml", text.as_bytes()).args(["check", "x.toml"]);
        let finished = tool.with_memory(1 << 30).finish();
        assert!([0, 2].contains(&finished.code), "{what}: {}", finished.output());
    }
}

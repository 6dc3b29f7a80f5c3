//! The exact text of every diagnostic.
//!
//! Each file in `tests/diagnostics` is a case: options (`$ --set ..`), the scenario, a line of dashes, and the output.
//! `BLESS=1 cargo test --test repository diagnostics::` writes the present output.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use lanekeeper::base::{BrokerKind, ClientKind};
use lanekeeper::plan::{self, Overrides};
use lanekeeper::scenario::{self, Diagnostic, Source, Sources, codes};
use proptest::prelude::*;

const SEPARATOR: &str = "----------\n";

struct Case {
    path: PathBuf,
    options: String,
    text: String,
    expected: String,
}

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the directory of cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths.into_iter().map(read_case).collect()
}

fn read_case(path: PathBuf) -> Case {
    let all = std::fs::read_to_string(&path).expect("a readable case");
    let (input, expected) = all.split_once(SEPARATOR).unwrap_or((&all, ""));
    let is_option = |line: &&str| line.starts_with("$ ");
    let lines = |wanted: bool| {
        let lines = input.split_inclusive('\n').filter(|line| is_option(line) == wanted);
        lines.collect::<String>()
    };
    Case { options: lines(true), text: lines(false), expected: expected.to_owned(), path }
}

/// The output of a case, and the codes in it.
fn print(case: &Case) -> (String, Vec<&'static str>) {
    let mut set = Vec::new();
    let mut overrides = Overrides::default();
    for line in case.options.lines() {
        let (option, value) = line[2..].split_once(' ').expect("an option with a value");
        match option {
            "--set" => set.push(value.to_owned()),
            "--bootstrap" => overrides.bootstrap = Some(value.to_owned()),
            "--broker" if value == "kafka" => overrides.broker = Some(BrokerKind::KAFKA),
            "--broker" if value == "sim" => overrides.broker = Some(BrokerKind::SIM),
            "--broker" => overrides.broker = Some(BrokerKind::EMBEDDED),
            "--client" => {
                overrides.client = ClientKind::ALL.into_iter().find(|it| it.name() == value);
            }
            _ => panic!("{line}"),
        }
    }
    let source = Source { name: "x.toml".to_owned(), text: case.text.clone() };
    let (plan, diagnostics) = plan::compile(&source, &set, &overrides);
    assert_eq!(plan.is_none(), diagnostics.iter().any(Diagnostic::is_error), "{:?}", case.path);
    let sources = Sources { file: &source, overrides: &set };
    let mut out = String::new();
    for diagnostic in &diagnostics {
        let _ = writeln!(out, "{}", diagnostic.render(&sources, false));
    }
    (out, diagnostics.iter().map(|diagnostic| diagnostic.code).collect())
}

#[test]
fn diagnostics_read_as_they_should() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut different = String::new();
    for case in cases() {
        let (printed, _) = print(&case);
        if bless {
            let all = format!("{}{}{SEPARATOR}{printed}", case.options, case.text);
            std::fs::write(&case.path, all).expect("a writable case");
        } else if printed != case.expected {
            let _ = writeln!(
                different,
                "{}\nexpected:\n{}\nprinted:\n{printed}",
                case.path.display(),
                case.expected
            );
        }
    }
    assert!(different.is_empty(), "{different}");
}

#[test]
fn every_code_has_a_case() {
    let mut seen: BTreeSet<&str> = cases().iter().flat_map(|case| print(case).1).collect();
    // A test below has these two, which need a path.
    seen.extend([codes::FILE_MISSING, codes::FILE_UNREADABLE]);
    // A test below has these two, which need files that are too large or no text.
    seen.extend([codes::FILE_TOO_LARGE, codes::NOT_TEXT]);
    // Only the client library finds this one, and only the program calls it.
    seen.insert(codes::BAD_PROPERTY);
    // Only a build without zstd has this one.
    if cfg!(feature = "zstd") {
        seen.insert(codes::NOT_BUILT_IN);
    }
    let all: BTreeSet<&str> = codes::ALL.iter().copied().collect();
    assert_eq!(seen, all);
}

fn refusal(path: &Path) -> String {
    let diagnostic = scenario::load(path).expect_err("a refusal");
    let source = Source { name: "x.toml".to_owned(), text: String::new() };
    diagnostic.render(&Sources { file: &source, overrides: &[] }, false)
}

#[test]
fn files_that_are_no_scenarios_are_refused() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("a scratch file");
        refusal(&path)
    };
    let shown = |title: &str, help: &str| format!("error{title}\n--> x.toml\n = help: {help}");
    assert_eq!(
        refusal(&directory.path().join("none.toml")),
        shown(
            "[file-missing]: there is no such file",
            "give the path of a scenario file, for example `scenarios/quick.toml`"
        )
    );
    assert_eq!(
        refusal(directory.path()),
        shown(
            "[file-unreadable]: the scenario cannot be read: it is a directory, not a regular file",
            "give the path of a file in it"
        )
    );
    assert_eq!(
        file("large.toml", &vec![b'#'; 1024 * 1024 + 1]),
        shown(
            "[file-too-large]: the file is larger than 1 MiB, so it is not a scenario",
            "check the path"
        )
    );
    let at = |title: &str, place: &str, help: &str| {
        format!("error{title}\n--> x.toml:{place}\n = help: {help}")
    };
    let help = "save it as UTF-8, or check that it is a TOML file";
    let title =
        "[not-text]: the scenario is not UTF-8: there is a byte that belongs to no character";
    assert_eq!(file("latin1.toml", b"[topic]\n# \xc3\xa9 caf\xe9\n"), at(title, "2:8", help));
    let title = "[not-text]: the scenario is UTF-16, not UTF-8";
    assert_eq!(file("utf16.toml", b"\xff\xfe[\0t\0"), at(title, "1:1", help));
    assert_eq!(
        file("noise.toml", b"[topic]\nname = \"a\x1b\""),
        at(
            "[not-text]: the scenario is not text: there is the control character U+001B",
            "2:10",
            "remove it, or check that it is a TOML file; in a text it is written `\\u001B`"
        )
    );
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let at = |name: &str| directory.path().join(name);
    let made = std::process::Command::new("mkfifo").arg(at("pipe")).status();
    assert!(made.expect("`mkfifo` is there").success());
    std::os::unix::fs::symlink(at("loop"), at("loop")).expect("a link");
    for (path, said) in [
        (PathBuf::from("/dev/zero"), ["it is a device", "give the path of a file"]),
        (at("pipe"), ["it is a pipe, not a regular file", "give the path of a file"]),
        (at("loop"), ["its links lead in a circle", "check where they lead"]),
        (at(&"n".repeat(300)), ["its name is too long", "check the path"]),
    ] {
        let text = refusal(&path);
        assert!(text.starts_with("error[file-unreadable]"), "{text}");
        for said in said {
            assert!(text.contains(said), "{text}");
        }
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = "[topic]\npartitions = 0\npartitons = 3\n[load]\nrate = \"fast\"\npayload = \"1B\"\n\
                [run]\nwarmup = 5\n[[fault]]\nat = \"2h\"\nkill = { consumer = 18 }\n\
                [expect]\nloss = 0\n\"latency.p99\" = 50\n";
    let source = Source { name: "x.toml".to_owned(), text: text.to_owned() };
    let set = ["run.drain=2x".to_owned()];
    let (plan, diagnostics) = plan::compile(&source, &set, &Overrides::default());
    let found: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert!(plan.is_none());
    assert_eq!(
        found,
        [
            codes::OUT_OF_RANGE,
            codes::UNKNOWN_KEY,
            codes::WRONG_UNIT,
            codes::OUT_OF_RANGE,
            codes::WRONG_TYPE,
            codes::FAULT_AFTER_END,
            codes::NO_SUCH_MEMBER,
            codes::UNKNOWN_METRIC,
            codes::BAD_BOUND,
            codes::WRONG_UNIT,
        ]
    );
}

#[test]
fn no_fault_is_left_out_without_a_word() {
    let compiled = |count: usize| {
        let text = "[[fault]]\nat = \"1s\"\nkill = { consumer = 1 }\n".repeat(count);
        let source = Source { name: "x.toml".to_owned(), text };
        let (plan, diagnostics) = plan::compile(&source, &[], &Overrides::default());
        (plan.map(|plan| plan.faults.len()), diagnostics)
    };
    assert_eq!(compiled(5_000).0, Some(5_000));
    let (plan, diagnostics) = compiled(9_000);
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    let messages: Vec<&str> = errors.map(|error| error.message.as_str()).collect();
    assert_eq!((plan, messages), (None, vec!["more than 5,000 faults would happen"]));
}

/// Pieces of scenarios, so that random texts come close to real ones.
const PIECES: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "topic",
    "load",
    "fault",
    "expect",
    "client",
    "consumers",
    "work",
    "rate",
    "at",
    "kill",
    "=",
    ".",
    "\n",
    "\"",
    "{",
    "}",
    "0",
    "18",
    "-1",
    "1e999",
    "\"2/s\"",
    "\"50ms\"",
    "true",
    "1979-05-27",
    "latency.p99",
    "partition[*]",
    "µ",
    "#",
    ",",
    " ",
];

fn survive(text: String, set: &[String]) {
    let source = Source { name: "x.toml".to_owned(), text };
    let (plan, diagnostics) = plan::compile(&source, set, &Overrides::default());
    let sources = Sources { file: &source, overrides: set };
    for diagnostic in diagnostics {
        assert!(!diagnostic.render(&sources, false).is_empty());
        assert!(!diagnostic.render(&sources, true).is_empty());
    }
    if let Some(plan) = plan {
        assert!(!plan.describe().is_empty());
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), set in any::<Vec<String>>()) {
        survive(text, &set);
    }

    #[test]
    fn no_near_scenario_makes_the_reader_panic(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60),
        path in proptest::collection::vec(proptest::sample::select(PIECES), 0..8),
    ) {
        survive(pieces.concat(), &[path.concat()]);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("x.toml");
        std::fs::write(&path, bytes).expect("a scratch file");
        if let Ok(source) = scenario::load(&path) {
            survive(source.text, &[]);
        }
    }
}

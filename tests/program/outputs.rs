//! Outputs for other programs: JUnit, Markdown, CSV, annotations and the schema. Also the commands `list`, `init` and
//! `figures`.

use crate::support::{Finished, Tool, report_of, root, text_of};
use quick_junit::Report;
use serde_json::Value;

const SCENARIO: &str = "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"10/s\"\n\
                        [run]\nwarmup = \"0s\"\nduration = \"3s\"\n\
                        [expect]\nrestarts = 0\nlost = 0\n";

/// A run in virtual time with these overrides and output options.
fn run(set: &[&str], outputs: &[&str]) -> Tool {
    let tool = Tool::run_text(SCENARIO).args(["--broker", "sim"]);
    tool.set(set.iter().copied()).args(outputs.iter().copied())
}

fn written(finished: &Finished, name: &str) -> String {
    std::fs::read_to_string(finished.scratch().join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}\n{}", finished.output()))
}

fn junit(text: &str) -> Report {
    Report::deserialize_from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn junit_has_a_case_for_each_expectation() {
    let finished = run(&["expect.restarts=1"], &["--junit", "now.xml"]).exits(1);
    let now = written(&finished, "now.xml");
    let report = junit(&now);
    let expectations = finished.summary().expectations;
    assert_eq!((report.tests, report.failures, report.errors), (expectations.len(), 1, 0));
    let names: Vec<String> =
        report.test_suites[0].test_cases.iter().map(|case| case.name.to_string()).collect();
    let wanted: Vec<String> = expectations.iter().map(|it| it.expression.clone()).collect();
    assert_eq!(names, wanted);
    assert!(now.contains("<failure message=\"measured 0\""), "{now}");
    // `report` writes the same from the stored result.
    report_of(&finished).args(["--junit", "later.xml"]).exits(1);
    assert_eq!(written(&finished, "later.xml"), now);
}

#[test]
fn what_an_invalid_run_could_not_decide_is_an_error() {
    let tool = Tool::new().file("scenario.toml", SCENARIO.as_bytes());
    let limit = ["--set", "limits.cpu_share=0.0000001", "--junit", "j.xml"];
    let finished = tool.args(["run", "scenario.toml", "--out", "out"]).args(limit).exits(4);
    let report = junit(&written(&finished, "j.xml"));
    let all = finished.summary().expectations.len();
    assert_eq!((report.tests, report.failures, report.errors), (all, 0, all));
}

#[test]
fn a_summary_in_markdown_is_appended() {
    let finished = run(&[], &["--summary-md", "s.md"]).exits(0);
    report_of(&finished).args(["--summary-md", "s.md"]).exits(0);
    let text = written(&finished, "s.md");
    assert!(text.starts_with("## ✅ PASSED: scenario\n"), "{text}");
    assert_eq!(text.matches("## ✅ PASSED").count(), 2);
    assert!(text.contains("| ✓ | lost = 0 | 0 |"), "{text}");
}

#[test]
fn the_seconds_as_csv_are_those_of_the_directory() {
    let finished = run(&[], &["--csv", "s.csv"]).exits(0);
    let csv = written(&finished, "s.csv");
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().expect("names").split(',').collect();
    let kept = finished.read("seconds.jsonl");
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), kept.len());
    for (line, kept) in lines.iter().zip(&kept) {
        for (name, cell) in names.iter().zip(line.split(',')) {
            // `true` and `false` are 1 and 0.
            let flag = kept[*name].as_bool().map(|flag| f64::from(u8::from(flag)));
            let expected = flag.or_else(|| kept[*name].as_f64());
            assert_eq!(cell.parse::<f64>().ok(), expected, "{name} {line}");
        }
    }
}

#[test]
fn a_workflow_shows_what_fails_at_its_line() {
    let failing = |set: &[&str]| run(set, &["--format", "json"]).env("GITHUB_ACTIONS", "true");
    let finished = failing(&["expect.restarts=1"]).exits(1);
    let line = "::error file=scenario.toml,line=10,title=scenario%3A restarts = 1::measured 0";
    assert!(finished.stderr.lines().any(|it| it == line), "{}", finished.stderr);
    assert!(serde_json::from_str::<Value>(&finished.stdout).is_ok());
    assert!(!failing(&[]).exits(0).stderr.contains("::error"));
    let outside = run(&["expect.restarts=1"], &[]).env("GITHUB_ACTIONS", "false").exits(1);
    assert!(!outside.stderr.contains("::error"), "{}", outside.stderr);
}

#[test]
fn a_file_that_cannot_be_written_ends_a_run_before_it_begins() {
    for option in ["--html", "--junit", "--summary-md", "--csv"] {
        let finished = run(&[], &[option, "none/file"]).exits(3);
        assert!(finished.stderr.contains("cannot write `none/file`"), "{}", finished.stderr);
        assert!(!finished.out().exists() && finished.stdout.is_empty());
    }
}

const SCHEMA: &str = "book/src/result.schema.json";

/// `BLESS=1` writes the schema into the book.
#[test]
fn results_match_the_schema_that_is_published() {
    let printed = Tool::new().args(["schema", "result"]).exits(0).stdout;
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(root().join(SCHEMA), &printed).expect("a writable book");
    }
    assert!(text_of(SCHEMA) == printed, "BLESS=1 cargo test --test program outputs::");
    let schema: Value = serde_json::from_str(&printed).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let finished = Tool::run("kill-one-consumer.toml")
        .set(["run.warmup=1s", "run.duration=4s", "fault[0].at=2s"])
        .args(["--broker", "sim"])
        .exits(0);
    let shown = report_of(&finished).args(["--format", "json"]).exits(0).stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let group =
        Tool::run_text(SCENARIO).set(["consumers.mode=\"group\"", "consumers.count=2"]).exits(0);
    for result in [finished.json(), shown, group.json()] {
        let wrong: Vec<String> = validator
            .iter_errors(&result)
            .map(|it| format!("{}: {it}", it.instance_path()))
            .collect();
        assert_eq!(wrong, Vec::<String>::new());
    }
    let mut result = finished.json();
    result["verdict"] = "great".into();
    assert!(!validator.is_valid(&result));
    result = finished.json();
    result["ledger"].as_object_mut().expect("an account").remove("lost");
    assert!(!validator.is_valid(&result));
}

#[test]
fn past_results_are_listed_the_newest_first() {
    let none = Tool::new().args(["list"]).exits(2);
    assert!(none.stderr.contains("cannot read the directory `results`"), "{}", none.stderr);
    let tool = Tool::new().file("scenario.toml", SCENARIO.as_bytes());
    let of = |out: &str, set: &str| {
        let arguments = ["run", "scenario.toml", "--broker", "sim", "--out", out, "--set", set];
        Tool::new().current_dir(tool.path("").as_path()).args(arguments).finish()
    };
    assert_eq!(of("results/one", "expect.lost=0").code, 0);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(of("results/two", "expect.lost=1").code, 1);
    std::fs::create_dir(tool.path("results/other")).expect("a directory");
    let listed = tool.args(["list"]).exits(0).stdout;
    let lines: Vec<&str> = listed.lines().collect();
    let [head, two, one] = lines[..] else { panic!("{listed}") };
    assert!(head.contains("verdict") && head.contains("latency.p99"), "{head}");
    assert!(two.contains("FAILED") && two.ends_with("results/two"), "{two}");
    assert!(one.contains("PASSED") && one.ends_with("results/one"), "{one}");
}

#[test]
fn a_new_scenario_passes_check_and_runs() {
    let made = Tool::new().args(["init"]).exits(0);
    assert!(made.stdout.starts_with("wrote scenario.toml\n"), "{}", made.stdout);
    let here = |arguments: &[&str]| {
        Tool::new().current_dir(made.scratch()).args(arguments.iter().copied()).finish()
    };
    let checked = here(&["check", "scenario.toml"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{}", checked.output());
    let ran = here(&["run", "scenario.toml", "--broker", "sim", "--out", "out"]);
    assert_eq!(ran.code, 0, "{}", ran.output());
    let again = here(&["init"]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("exists and is not overwritten"), "{}", again.stderr);
    let printed = here(&["init", "-"]);
    let written = std::fs::read_to_string(made.scratch().join("scenario.toml")).expect("a file");
    assert_eq!((printed.code, printed.stdout), (0, written));
}

#[test]
fn figures_are_listed_with_their_meanings() {
    let all = Tool::new().args(["figures"]).exits(0).stdout;
    for said in ["partition[*].lag_max", "fault[0].recovery", "latency.<q>", "keeps_up"] {
        assert!(all.contains(said), "{said}\n{all}");
    }
    let some = Tool::new().args(["figures", "LAG"]).exits(0).stdout;
    assert!(some.contains("fault[0].lag_peak") && !some.contains("keeps_up"), "{some}");
    Tool::new().args(["figures", "nothing-like-that"]).exits(2);
}

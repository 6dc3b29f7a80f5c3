//! `compare` on the simulator: its output, its errors, and its rate of false differences.

use crate::support::{self, Tool};
use lanekeeper::base::{BrokerKind, Seed};
use lanekeeper::compare::{ChangeWord, Variant, VariantRounds, side_by_side};
use lanekeeper::plan::Overrides;
use lanekeeper::run::{Options, run};
use lanekeeper::scenario::Source;
use serde_json::Value;

/// A small load with a crash. Many of its runs take a second of real time.
const SMALL: &str = "[topic]\npartitions = 6\n[load]\nproducers = 30\nrate = \"5/s\"\nphases = \"poisson\"\n\
                     [consumers]\nwork = { wait = \"1ms\" }\n[run]\nwarmup = \"1s\"\nduration = \"12s\"\n\
                     [[fault]]\nat = \"2s\"\nkill = { consumer = 1 }\n";

/// A small load whose latency depends on the work.
const WORK: &str = "[topic]\npartitions = 6\n[load]\nproducers = 30\nrate = \"2/s\"\nphases = \"poisson\"\n\
                    [consumers]\nwork = { wait = \"20ms\" }\n[run]\nwarmup = \"1s\"\nduration = \"10s\"\n\
                    [[variant]]\nname = \"before\"\n[[variant]]\nname = \"slower\"\n\
                    consumers = { work = { wait = \"22ms\" } }\n";

fn compare(text: &str, arguments: &[&str]) -> support::Finished {
    let tool = Tool::new().file("scenario.toml", text.as_bytes());
    let tool = tool.args(["compare", "scenario.toml", "--broker", "sim"]);
    tool.args(arguments.iter().copied()).finish()
}

fn json(text: &str, arguments: &[&str]) -> (i32, Value) {
    let finished = compare(text, &[arguments, &["--format", "json"]].concat());
    let value = serde_json::from_str(&finished.stdout);
    (finished.code, value.unwrap_or_else(|error| panic!("{error}: {}", finished.output())))
}

fn metric<'a>(compared: &'a Value, name: &str) -> &'a Value {
    let all = compared["metrics"].as_array().expect("metrics");
    all.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn variants_have_values_intervals_changes_and_a_sentence() {
    let arguments = ["--variants", "group:3,group:8,assign", "--repeat", "3"];
    let (code, compared) = json(SMALL, &arguments);
    assert_eq!(code, 0);
    let names: Vec<&Value> =
        compared["variants"].as_array().expect("variants").iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["group:3", "group:8", "assign"]);
    assert_eq!(compared["variants"][2]["seeds"], serde_json::json!([1, 2, 3]));
    assert!(compared["metrics"][0]["values"][0]["interval"].is_array());
    let blast = metric(&compared, "fault[0].blast_radius");
    assert_eq!(blast["values"][2]["value"], 0.0);
    assert_eq!(blast["values"][2]["change"]["verdict"], "better");
    let sentence = compared["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("assign keeps 6 of 6 partitions running in a crash; group:3 "),
        "{sentence}"
    );
    let text = compare(SMALL, &arguments).stdout;
    assert!(text.contains(sentence) && text.contains("SETTINGS  that are not the same"), "{text}");
    // The same seeds give the same figures.
    assert_eq!(compare(SMALL, &arguments).stdout, text);
}

#[test]
fn mistakes_have_a_remedy_and_exit_code_2() {
    for (arguments, said) in [
        (&["--variants", "group:3,asign"][..], "did you mean `assign`?"),
        (&["--variants", "assign"], "give at least two"),
        (&[], "there are no variants to compare"),
        (&["--variants", "group:3,assign", "--repeat", "0"], "a number of rounds from 1"),
        (&["--variants", "group:3,assign", "--fail-on-regression", "latency.p98"], "did you mean"),
        (&["--variants", "group:1,assign"], "there is no consumer 1"),
    ] {
        let finished = compare(SMALL, arguments);
        assert_eq!(finished.code, 2, "{arguments:?}: {}", finished.output());
        assert!(finished.stderr.contains(said), "{arguments:?}: {}", finished.output());
    }
    let other_load = format!(
        "{SMALL}[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\nload.producers = 60\n"
    );
    let refused = compare(&other_load, &["--repeat", "2"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("--allow-different"),
        "{}",
        refused.output()
    );
    assert_eq!(compare(&other_load, &["--repeat", "2", "--allow-different"]).code, 0);
}

#[test]
fn a_tenth_more_p99_is_found_and_a_regression_is_exit_code_1() {
    let (code, compared) = json(WORK, &["--fail-on-regression", "latency.p99:5%"]);
    let change = &metric(&compared, "latency.p99")["values"][1]["change"];
    assert_eq!(change["verdict"], "worse", "{change:#}");
    let relative = change["relative"].as_f64().expect("a share");
    assert!((0.05..0.25).contains(&relative), "{relative}");
    assert_eq!((code, compared["regressions"].as_array().map(Vec::len)), (1, Some(1)));
    let (code, compared) = json(WORK, &["--fail-on-regression", "latency.p99:50%"]);
    assert_eq!((code, compared["regressions"].as_array().map(Vec::len)), (0, Some(0)));
}

#[test]
fn kept_results_are_compared_like_the_runs_they_are_from() {
    let tool = Tool::new().file("scenario.toml", SMALL.as_bytes());
    let tool = tool.args(["compare", "scenario.toml", "--broker", "sim", "--repeat", "2"]);
    let run =
        tool.args(["--variants", "group:3,assign", "--out", "kept", "--format", "json"]).finish();
    assert_eq!(run.code, 0, "{}", run.output());
    let of_runs: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let kept = |variant: &str| run.scratch().join("kept").join(variant).display().to_string();
    let (first, second) = (kept("group-3"), kept("assign"));
    let stored = Tool::new().args(["compare", &first, &second, "--format", "json"]).finish();
    assert_eq!(stored.code, 0, "{}", stored.output());
    let stored: Value = serde_json::from_str(&stored.stdout).expect("JSON");
    let value = |compared: &Value| metric(compared, "latency.p99")["values"][1]["rounds"].clone();
    assert_eq!(value(&stored), value(&of_runs));
    let one = Tool::new().args(["compare", &first]).finish();
    assert!(one.code == 2 && one.stderr.contains("give at least two"), "{}", one.output());
}

/// Two equal variants with 20 rounds each, of different seeds. At most one figure in twenty is reported as different.
#[test]
fn equal_variants_are_called_different_in_at_most_5_of_100_figures() {
    let source = Source { name: "equal.toml".to_owned(), text: SMALL.to_owned() };
    let variant = Variant { name: "equal".to_owned(), overrides: Vec::new() };
    let rounds = |name: &str, first: u64| {
        let summary = |seed: u64| {
            let overrides = Overrides {
                broker: Some(BrokerKind::SIM),
                seed: Some(seed),
                ..Overrides::default()
            };
            let plan = variant.plan(&source, &overrides).0.expect("a plan");
            run(plan, Options::default(), Box::new(())).expect("a run")
        };
        let summaries = (first..first + 20).map(summary).collect();
        VariantRounds { name: name.to_owned(), overrides: Vec::new(), summaries }
    };
    let compared = side_by_side(&[rounds("a", 1), rounds("b", 101)], false, Seed(1));
    let words: Vec<(&str, ChangeWord)> = compared
        .metrics
        .iter()
        .filter_map(|row| Some((row.name.as_str(), row.values[1].change.as_ref()?.verdict)))
        .collect();
    let is_different = |word: ChangeWord| {
        matches!(word, ChangeWord::Better | ChangeWord::Worse | ChangeWord::Different)
    };
    let wrong: Vec<_> = words.iter().filter(|(_, word)| is_different(*word)).collect();
    assert!(words.len() > 50, "{words:?}");
    assert!(wrong.len() * 20 <= words.len(), "{wrong:?} of {}", words.len());
}

/// The text of markup without tags, with entities decoded.
fn text_of_markup(markup: &str) -> String {
    let parts = markup.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    let text: String = parts.collect();
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")];
    entities.iter().fold(text, |text, (entity, c)| text.replace(entity, c))
}

/// The number at the beginning of a cell, and half of its last digit.
fn number(cell: &str) -> (f64, f64) {
    let text = cell.split([' ', '±']).next().expect("a number").replace(',', "");
    let decimals = text.split_once('.').map_or(0, |(_, digits)| digits.len()) as i32;
    (text.parse().expect("a number"), 0.51 * 10_f64.powi(-decimals))
}

#[test]
fn the_page_has_the_figures_of_the_comparison_and_loads_nothing() {
    let name = "<script>alert(1)&.toml";
    let tool = Tool::new().file(name, SMALL.as_bytes());
    let tool = tool.args(["compare", name, "--broker", "sim", "--variants", "group:3,assign"]);
    let finished = tool.args(["--repeat", "2", "--format", "json", "--html", "page.html"]).exits(0);
    assert!(finished.stderr.contains("wrote page.html"), "{}", finished.output());
    let compared: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let page = std::fs::read_to_string(finished.scratch().join("page.html")).expect("the page");
    let all = page.split("data-figures=\"all\"").nth(1).expect("the table of all figures");
    let mut seen = 0;
    for metric in compared["metrics"].as_array().expect("metrics") {
        let name = metric["name"].as_str().expect("a name");
        let row = all.split(&format!("data-figure=\"{name}\"")).nth(1).expect(name);
        let row = row.split("</tr>").next().expect("a row");
        let factor =
            match text_of_markup(row.split("</th>").next().expect("a name")).rsplit_once('[') {
                Some((_, "s]")) => 1e-3,
                Some((_, "us]")) => 1e3,
                _ => 1.0,
            };
        for value in metric["values"].as_array().expect("values") {
            let variant = value["variant"].as_str().expect("a name");
            let cell = row.split(&format!("data-variant=\"{variant}\"")).nth(1).expect(variant);
            let cell = text_of_markup(cell.split("</td>").next().expect("a cell"));
            let cell = cell.split_once('>').map_or(cell.as_str(), |(_, text)| text).to_owned();
            let Some(wanted) = value["value"].as_f64() else {
                assert_eq!(cell, "-", "{name} of {variant}");
                continue;
            };
            let (shown, half_a_digit) = number(&cell);
            assert!((shown - wanted * factor).abs() <= half_a_digit, "{name}: {cell} {wanted}");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
    let sentence = compared["sentence"].as_str().expect("a sentence");
    let text = text_of_markup(&page);
    let advice = compared["advice"].as_array().expect("advice");
    assert_eq!(page.contains("id=\"advice\""), !advice.is_empty());
    for it in advice {
        let figures = it["figures"].as_array().expect("figures").iter();
        for line in figures.chain([&it["advice"]]) {
            assert!(text.contains(line.as_str().expect("a line")), "{line}");
        }
    }
    assert!(text.contains(sentence) && text.contains("<script>alert(1)&"), "{sentence}");
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    for outside in ["http:", "https:", "src=", "url(", "@import", "fetch("] {
        assert!(!page.contains(outside), "the page has `{outside}`");
    }
    assert!(page.matches("<svg").count() >= 5 && page.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_page_that_cannot_be_written_is_refused_before_anything_runs() {
    let tool = Tool::new().file("scenario.toml", SMALL.as_bytes());
    let tool =
        tool.args(["compare", "scenario.toml", "--broker", "sim", "--variants", "group:3,assign"]);
    let refused = tool.args(["--html", "no/such/page.html"]).exits(3);
    assert!(
        refused.stderr.contains("page.html") && refused.stdout.is_empty(),
        "{}",
        refused.output()
    );
}

/// The complete results below a directory, with the times of their files.
fn complete(directory: &std::path::Path) -> Vec<(String, std::time::SystemTime)> {
    let mut found = Vec::new();
    for variant in ["group-3", "assign"] {
        for round in 1..=ROUNDS {
            let name = format!("{variant}/round-{round:03}/result.json");
            let path = directory.join(&name);
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let result: Value = serde_json::from_str(&text).expect("JSON");
            if ["passed", "failed"].iter().any(|verdict| result["verdict"] == *verdict) {
                let file = std::fs::metadata(&path).expect("a file");
                found.push((name, file.modified().expect("a time")));
            }
        }
    }
    found
}

/// Number of rounds of the interrupted comparison, which must not end before the interruption.
const ROUNDS: usize = 10;

#[test]
fn an_interrupted_comparison_goes_on_where_it_was() {
    let rounds = ROUNDS.to_string();
    let arguments = ["compare", "scenario.toml", "--broker", "sim", "--repeat", &rounds];
    let more = ["--variants", "group:3,assign", "--out", "out", "--format", "json"];
    let tool = Tool::new().file("scenario.toml", SMALL.as_bytes());
    let mut running = tool.args(arguments).args(more).start();
    running.await_text("assign/round-002/result.json", "verdict");
    running.interrupt();
    let first = running.finish();
    assert_eq!(first.code, 130, "{}", first.output());
    assert!(first.stderr.contains("the same command continues"), "{}", first.output());
    let kept = complete(&first.scratch().join("out"));
    assert!(kept.len() >= 2 && kept.len() < 2 * ROUNDS, "{kept:?}");

    let again = |more: &[&str]| {
        let tool = Tool::new().args(arguments).args(more.iter().copied());
        tool.current_dir(first.scratch()).finish()
    };
    let other = again(&["--variants", "group:2,assign", "--out", "out"]);
    assert!(other.code == 2 && other.stderr.contains("another comparison"), "{}", other.output());
    let second = again(&more);
    assert_eq!(second.code, 0, "{}", second.output());
    let all = complete(&first.scratch().join("out"));
    assert_eq!(all.len(), 2 * ROUNDS);
    for one in &kept {
        assert!(all.contains(one), "{} was made again", one.0);
    }
    // The result is that of a comparison without an interruption.
    let whole = again(&["--variants", "group:3,assign", "--out", "whole", "--format", "json"]);
    let metrics = |text: &str| {
        let value: Value = serde_json::from_str(text).expect("JSON");
        value["metrics"].clone()
    };
    assert_eq!(metrics(&second.stdout), metrics(&whole.stdout));
    let occupied = again(&["--variants", "group:3,assign", "--out", "."]);
    assert!(occupied.code == 2 && occupied.stderr.contains("not empty"), "{}", occupied.output());
}

//! Tests of the documentation: every `toml` block is a complete scenario, every command in a `console` or `sh` block
//! works, and the reference is generated from the source.
//!
//! `BLESS=1 cargo test --test repository book::` writes the generated parts of the reference.

mod code_index;
mod result_fields;

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{PATIENT, Tool, files_below, root, text_of};
use lanekeeper::base::BrokerKind;
use lanekeeper::fault::FaultEffect;
use lanekeeper::plan::{self, Overrides};
use lanekeeper::scenario::{self, Source, Sources, reference_markdown};
use lanekeeper::summary::metrics_markdown;
use result_fields::result_fields_markdown;

const REFERENCE: &str = "book/src/scenario-reference.md";
const RESULTS: &str = "book/src/result-fields.md";
const TOOL: [&str; 3] = ["lanekeeper ", "cargo run --release -- ", "cargo run -- "];

/// The paths of README, contributing guide and book.
fn documents() -> Vec<String> {
    let mut paths = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    paths.extend(files_below("book/src", "md"));
    paths
}

/// A fenced code block.
struct Block {
    /// File and line, for messages.
    place: String,
    language: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for path in documents() {
        let mut open: Option<Block> = None;
        for (number, line) in text_of(&path).lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(language)) => {
                    let place = format!("{path}:{}", number + 1);
                    let language = language.trim().to_owned();
                    open = Some(Block { place, language, text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{path} ends within a block");
    }
    blocks
}

/// Commands with their places. In `console` blocks they begin with `$ `; other lines are output.
fn commands() -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for block in blocks() {
        let is_console = block.language == "console";
        if !is_console && block.language != "sh" {
            continue;
        }
        for line in block.text.replace("\\\n", " ").lines() {
            let command = if is_console { line.strip_prefix("$ ") } else { Some(line) };
            let command =
                command.unwrap_or_default().split(" # ").next().unwrap_or_default().trim();
            // Another test runs these commands and compares their output.
            let is_shown = is_console
                && ["explore ", "compare ", "guide ", "sweep ", "limit "]
                    .iter()
                    .any(|it| command.starts_with(&format!("lanekeeper {it}")));
            if !command.is_empty() && !command.starts_with('#') && !is_shown {
                commands.push((block.place.clone(), command.to_owned()));
            }
        }
    }
    commands
}

/// The words of a command, as a shell splits them. Quotes are simple pairs.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().expect("a word").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_scenario_in_the_documentation_is_complete_and_valid() {
    let scenarios = blocks().into_iter().filter(|block| block.language.starts_with("toml"));
    let mut seen = 0;
    for block in scenarios {
        let overrides = overrides(&block);
        let source = Source { name: block.place, text: block.text };
        let (plan, diagnostics) = plan::compile(&source, &[], &overrides);
        let sources = Sources { file: &source, overrides: &[] };
        for diagnostic in &diagnostics {
            assert!(!diagnostic.is_error(), "{}", diagnostic.render(&sources, false));
        }
        assert!(plan.is_some(), "{}", source.name);
        seen += 1;
    }
    assert!(seen > 0);
}

/// The language of blocks with a scenario that needs a real cluster.
const FOR_A_CLUSTER: &str = "toml,kafka";

/// The overrides with which a scenario of the documentation is planned.
fn overrides(block: &Block) -> Overrides {
    let bootstrap = (block.language == FOR_A_CLUSTER).then(|| "127.0.0.1:9092".to_owned());
    Overrides { bootstrap, ..Overrides::default() }
}

/// The commands are not executed, because they need real clusters.
#[test]
fn every_recipe_for_broker_faults_heals_what_it_breaks() {
    let blocks = blocks().into_iter();
    let recipes = blocks.filter(|block| block.language == FOR_A_CLUSTER);
    let mut programs = String::new();
    for block in recipes {
        let overrides = overrides(&block);
        let source = Source { name: block.place, text: block.text };
        let (plan, diagnostics) = plan::compile(&source, &[], &overrides);
        assert_eq!(diagnostics, [], "{}", source.name);
        for fault in plan.expect("a plan").faults {
            let FaultEffect::Exec(exec) = &fault.kind.effect else { panic!("{fault}") };
            assert!(!exec.end.is_empty() && fault.lasts.is_some(), "{}: {fault}", source.name);
            programs.push_str(&exec.start.join(" "));
        }
    }
    for program in ["docker kill", "kubectl", "strimzi.io/", "tc qdisc", "systemctl"] {
        assert!(programs.contains(program), "no recipe for {program}");
    }
}

#[test]
fn every_command_in_the_documentation_works() {
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    let mut done = BTreeSet::new();
    for (place, command) in commands {
        if !done.insert(command.clone()) {
            continue;
        }
        match TOOL.iter().find_map(|prefix| command.strip_prefix(prefix)) {
            Some(arguments) => try_tool(&place, arguments),
            None => look_at(&place, &command),
        }
    }
}

/// Runs a documented command, but for a shorter time. Without a cluster it runs on the embedded broker.
fn try_tool(place: &str, arguments: &str) {
    let mut words = words(arguments.split(" | ").next().unwrap_or_default());
    if words[0] == "explore" {
        let finished = explored(&words).finish();
        assert_eq!(finished.code, 0, "{place}: {arguments}\n{}", finished.output());
        return;
    }
    if words[0] == "clean" || words[0] == "heal" || words.iter().any(|word| word == "--connect") {
        tried_without_a_cluster(place, &words);
        return;
    }
    if words[0] != "run" {
        let tool = Tool::new().current_dir(root()).args(words.iter().map(String::as_str));
        let finished = tool.finish();
        assert_eq!(finished.code, 0, "{place}: {arguments}\n{}", finished.output());
        return;
    }
    let is_remote = words.iter().any(|word| word == "--bootstrap");
    let given = std::env::var("BOOTSTRAP").ok();
    if let (Some(at), Some(address)) = (words.iter().position(|word| word == "--bootstrap"), &given)
    {
        words[at + 1].clone_from(address);
    }
    let out = tempfile::tempdir().expect("a scratch directory");
    for option in ["--out", "--html", "--junit"] {
        take_away(&mut words, option);
    }
    // The file is one of the reader.
    take_away(&mut words, "--client-config");
    // Commands that break brokers are not executed.
    let has_commands = words.iter().any(|word| word == "--allow-exec");
    words.retain(|word| word != "--allow-exec");
    let is_tried = !is_remote || (given.is_some() && !has_commands);
    if !is_tried {
        // Without a cluster, `check` finds the mistakes that can be found.
        words[0] = "check".to_owned();
        take_away(&mut words, "--format");
    }
    let is_simulated = words.windows(2).any(|pair| pair == ["--broker", "sim"]);
    let shorter = if is_tried { shorter(&words[1], is_simulated) } else { Vec::new() };
    let mut tool = Tool::new().current_dir(root()).args(words.iter().map(String::as_str));
    if is_tried {
        let path = out.path().join("results");
        tool = tool.arg("--out").arg(path).set(PATIENT).set(shorter.iter().map(String::as_str));
    }
    let finished = tool.finish();
    // An expectation about time may fail on a busy machine.
    assert!(matches!(finished.code, 0 | 1 | 4), "{place}: {arguments}\n{}", finished.output());
}

/// Checks only the arguments of commands that need a cluster. Other tests run them on one.
fn tried_without_a_cluster(place: &str, words: &[String]) {
    let mut words = words.to_vec();
    take_away(&mut words, "--client-config");
    match words[0].as_str() {
        "check" => words.retain(|word| word != "--connect"),
        _ => words.push("--help".to_owned()),
    }
    let finished = Tool::new().current_dir(root()).args(words.iter().map(String::as_str)).finish();
    assert_eq!(finished.code, 0, "{place}: {words:?}\n{}", finished.output());
}

/// Removes an option and its value.
fn take_away(words: &mut Vec<String>, option: &str) {
    if let Some(at) = words.iter().position(|word| word == option) {
        words.drain(at..at + 2);
    }
}

/// Overrides that shorten a scenario.
fn shorter(file: &str, is_simulated: bool) -> Vec<String> {
    let source = scenario::load(&root().join(file)).expect("a readable scenario");
    let broker = is_simulated.then_some(BrokerKind::SIM);
    let (plan, _) = plan::compile(&source, &[], &Overrides { broker, ..Overrides::default() });
    let plan = plan.expect("a plan");
    if plan.load.messages.is_some() {
        return ["load.messages=20000".to_owned()].into();
    }
    // Stages cannot be shortened, and take little real time in a simulation.
    if is_simulated && !plan.load.stages.is_empty() {
        return Vec::new();
    }
    let mut set = vec!["run.warmup=200ms".to_owned(), "run.duration=1s".to_owned()];
    let entries: BTreeSet<usize> = plan.faults.iter().map(|fault| fault.entry).collect();
    set.extend(entries.iter().map(|fault| format!("fault[{fault}].at=600ms")));
    set
}

/// First words of lines that only a report has.
const OF_REPORTS: [&str; 9] = [
    "PASSED",
    "FAILED",
    "INVALID",
    "INTERRUPTED",
    "CUT OFF",
    "TOTALS",
    "LATENCY",
    "PARTITIONS",
    "FAULTS",
];

/// The shown output of a command in virtual time is its output, which is the same each time. A line `…` stands for
/// omitted lines. `BLESS=1` writes the present output, for lines that begin with the same two words.
#[test]
fn the_output_that_is_shown_is_the_one_that_comes() {
    let is_blessing = std::env::var_os("BLESS").is_some();
    let mut seen = 0;
    for path in documents() {
        let text = text_of(&path);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut at = 0;
        while at < lines.len() {
            let Some(language) = lines[at].strip_prefix("```").map(str::to_owned) else {
                at += 1;
                continue;
            };
            let end =
                at + 1 + lines[at + 1..].iter().position(|line| line == "```").expect("an end");
            if language == "console" {
                seen += usize::from(show(&path, &mut lines[at + 1..end], is_blessing));
            } else {
                let is_report = |line: &&String| OF_REPORTS.iter().any(|it| line.starts_with(it));
                let found = lines[at + 1..end].iter().find(is_report);
                assert_eq!(
                    found, None,
                    "{path}: only a `console` block with its command shows that"
                );
            }
            at = end + 1;
        }
        if is_blessing && lines.join("\n") + "\n" != text {
            std::fs::write(root().join(&path), lines.join("\n") + "\n").expect("a writable book");
        }
    }
    assert!(seen >= 5, "{seen}");
}

/// Compares the output in a `console` block with that of its command, or writes the latter into the block. True if the
/// block shows any output.
fn show(path: &str, block: &mut [String], is_blessing: bool) -> bool {
    let commands = block.iter().take_while(|line| line.starts_with("$ ")).count();
    let (commands, output) = block.split_at_mut(commands);
    let Some(command) = commands.last().filter(|_| !output.is_empty()) else { return false };
    let command = command.trim_start_matches("$ ").to_owned();
    let is_exact = command.contains("--broker sim")
        || ["replay ", "explore "].iter().any(|it| command["lanekeeper ".len()..].starts_with(it));
    assert!(is_exact, "{path}: `{command}` does not print the same each time");
    let out = tempfile::tempdir().expect("a scratch directory");
    let mut words = words(command.strip_prefix("lanekeeper ").expect("the program"));
    if words[0] == "run" {
        words.extend(["--out".to_owned(), out.path().join("out").display().to_string()]);
    }
    let tool = match words[0].as_str() {
        "explore" => explored(&words),
        _ => {
            // A short report is as wide as a terminal.
            let is_full = words.iter().any(|word| word == "--full");
            let columns = if is_full { "10000" } else { "80" };
            let tool = Tool::new().env("COLUMNS", columns).current_dir(root());
            tool.args(words.iter().map(String::as_str))
        }
    };
    let finished = tool.finish();
    let printed: Vec<&str> = finished.stdout.lines().collect();
    let mut from = 0;
    for line in output.iter_mut().filter(|line| *line != "…") {
        let same = |printed: &&str| match is_blessing {
            true => first_two(printed) == first_two(line),
            false => timeless(printed) == timeless(line),
        };
        let Some(found) = printed[from..].iter().position(same) else {
            panic!("{path}: `{command}` does not print\n{line}\nbut\n{}", finished.output());
        };
        printed[from + found].trim_end().clone_into(line);
        from += found + 1;
    }
    true
}

/// `explore` of a file of the repository. Its output files are in the scratch directory.
fn explored(words: &[String]) -> Tool {
    let tool = Tool::new().arg(&words[0]).arg(root().join(&words[1]));
    tool.args(words[2..].iter().map(String::as_str))
}

/// A line without the time that a search took, which depends on the machine.
fn timeless(line: &str) -> &str {
    match line.split_once(" runs (") {
        Some((timeless, _)) if line.starts_with("SHRUNK") => timeless,
        _ => line.trim_end(),
    }
}

fn first_two(line: &str) -> Vec<&str> {
    line.split_whitespace().take(2).collect()
}

/// Checks a command that is not lanekeeper: it is a known one, and its files exist.
fn look_at(place: &str, command: &str) {
    let words = words(command);
    let is_variable =
        |word: &&String| word.split('=').next().is_some_and(is_name) && word.contains('=');
    let words: Vec<&String> = words
        .iter()
        .filter(|word| *word != "env" && !word.starts_with("$("))
        .skip_while(is_variable)
        .collect();
    let known = match words.first().map(|word| word.as_str()) {
        Some("cargo") => {
            let command = words.get(1).map(|word| word.as_str());
            let is_example = words.iter().any(|word| *word == "--example");
            // A test with the name of the example runs it.
            command == Some("run") && is_example
                || matches!(
                    command,
                    Some(
                        "test"
                            | "bench"
                            | "build"
                            | "install"
                            | "fmt"
                            | "clippy"
                            | "doc"
                            | "deny"
                            | "fuzz"
                            | "mutants"
                            | "package"
                    )
                )
        }
        Some("just") => {
            let recipe = words.get(1).map_or("default", |word| word.as_str());
            text_of("justfile").lines().any(|line| first(line) == recipe)
        }
        Some(
            "tests/kafka.sh" | "tests/kfake.sh" | "tests/chaos.sh" | ".ci/run" | "mdbook" | "git"
            | "docker",
        ) => true,
        _ => command.starts_with("env ") && command.contains("cargo test"),
    };
    assert!(known, "{place}: `{command}` is not a known command");
    for word in &words {
        let is_path =
            word.contains('/') && !word.contains(':') && !word.starts_with(['-', '$', '/']);
        assert!(!is_path || root().join(word).exists(), "{place}: there is no `{word}`");
    }
    for pair in words.windows(2) {
        let directory = match pair[0].as_str() {
            "--test" => "tests",
            "--bench" => "benches",
            "--example" => "examples",
            _ => continue,
        };
        let file = Path::new(directory).join(format!("{}.rs", pair[1]));
        let folder = Path::new(directory).join(pair[1].as_str()).join("main.rs");
        let is_there = root().join(&file).exists() || root().join(folder).exists();
        assert!(is_there, "{place}: there is no {}", file.display());
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// The first word of a recipe's line.
fn first(line: &str) -> &str {
    line.split([' ', ':']).next().unwrap_or_default()
}

#[test]
fn the_reference_is_made_from_the_program() {
    let is_blessing = std::env::var_os("BLESS").is_some();
    let generated = [
        (REFERENCE, "reference", reference_markdown()),
        (REFERENCE, "metrics", metrics_markdown()),
        (RESULTS, "fields", result_fields_markdown()),
    ];
    for (page, name, wanted) in generated {
        let mut text = text_of(page);
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
        let from = text.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let to = text.find(&end).unwrap_or_else(|| panic!("no {end}"));
        let wanted = format!("\n{}\n\n", wanted.trim_end());
        if is_blessing {
            text.replace_range(from..to, &wanted);
            std::fs::write(root().join(page), text).expect("a writable book");
        } else {
            assert_eq!(&text[from..to], wanted, "BLESS=1 cargo test --test repository book::");
        }
    }
}

#[test]
fn rows_of_tables_are_as_wide_as_their_heads() {
    let cells = |line: &str| {
        // A bar within code is written with a backslash.
        let line = line.trim().replace("\\|", "");
        line.starts_with('|').then(|| (line.matches('|').count(), line.ends_with('|')))
    };
    for path in documents() {
        let text = text_of(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (number, pair) in lines.windows(2).enumerate() {
            let (Some(above), below) = (cells(pair[0]), cells(pair[1])) else { continue };
            let is_end = pair[1].trim().is_empty();
            assert!(
                above.1 && (is_end || below == Some(above)),
                "{path}:{}: {}\n{}",
                number + 2,
                pair[0],
                pair[1]
            );
        }
    }
}

#[test]
fn links_within_the_documentation_lead_somewhere() {
    for path in documents() {
        let directory = root().join(&path).parent().expect("a directory").to_owned();
        for rest in text_of(&path).split("](").skip(1) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            let is_ours = !target.is_empty() && !target.contains("://");
            assert!(!is_ours || directory.join(target).exists(), "{path} links to `{target}`");
        }
    }
}

/// Largest number of words of a sentence.
const WORDS_MAX: usize = 40;

/// The sentences of a chapter, without its examples. Text in backticks is one word.
fn sentences(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).collect::<Vec<_>>().join("\n");
    let mut sentences = Vec::new();
    for part in prose.lines().flat_map(|line| line.split('|')) {
        let words: String = part
            .split('`')
            .enumerate()
            .fold(String::new(), |all, (i, piece)| all + if i % 2 == 0 { piece } else { "code" });
        sentences.extend(words.split_inclusive(". ").map(str::to_owned));
    }
    sentences
}

#[test]
fn sentences_are_short() {
    let chapters = files_below("book/src", "md").into_iter();
    let others = ["README.md", "CONTRIBUTING.md"].map(str::to_owned);
    for path in chapters.chain(others) {
        for sentence in sentences(&text_of(&path)) {
            let words = sentence.split_whitespace().count();
            assert!(words <= WORDS_MAX, "{path} has a sentence of {words} words:\n{sentence}");
        }
    }
}

#[test]
fn files_on_the_way_of_a_record_exist() {
    let chapter = text_of("book/src/life-of-a-record.md");
    let named: BTreeSet<&str> =
        chapter.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")).collect();
    for name in named.iter().filter(|name| name.contains('/')) {
        assert!(root().join("src").join(name).is_file(), "{name}");
    }
    assert!(named.len() > 40, "{named:?}");
    let (real, _) = chapter.split_once("## In a simulation").expect("two lives");
    let passed: BTreeSet<&str> =
        real.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")).collect();
    assert!(real.contains(&format!("passes {} files", passed.len())), "{}", passed.len());
    assert!(passed.len() < 45);
}

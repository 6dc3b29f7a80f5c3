//! The command line: a file per command; those that only print share one.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::arguments::{ClientArguments, ScenarioArguments};
use self::terminal::{exit, outputs, print, show, tell};
use crate::base::{printable, printable_path};
use crate::broker::rdkafka::from_outside;
use crate::error::{Error, Exit};
use crate::logic::Handlers;
use crate::report::{OUTPUTS, Renderer, StoredResult, read_result};
use crate::scenario::json_schema;

mod arguments;
mod explore;
mod replay;
mod run;
mod terminal;

/// Load-tests Kafka-protocol clusters with one supervised consumer per partition.
///
/// A TOML scenario describes a run: `check` prints its plan, and `run` executes it on a broker embedded in this
/// process, on a real cluster, or on a simulated cluster in virtual time. A simulated minute takes a fraction of a
/// second. Faults can kill consumers; the report shows the effect on every partition, and the exit code tells whether
/// the expectations hold.
#[derive(Debug, Parser)]
#[command(name = "lanekeeper", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Log to stderr: -v for the control plane, -vv for clients as well.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

const EXIT_CODES: &str = "\
Exit codes: 0 passed, 1 an expectation failed, 2 bad input, 3 environment (no broker, no permission),
4 the run is invalid, 70 a bug, 130 interrupted (what was measured is kept).

Examples:
  lanekeeper check scenarios/guide-option-2.toml
  lanekeeper run scenarios/guide-option-2.toml
  lanekeeper run scenarios/guide-option-2.toml --broker kafka --bootstrap 127.0.0.1:9092
  lanekeeper run scenarios/quick.toml --set run.duration=10s --set load.rate=4/s --out results/first
  lanekeeper run scenarios/kill-one-consumer.toml --broker sim
  lanekeeper explore scenarios/quick.toml --seeds 200";

const EXPLORE_EXAMPLES: &str = "\
Exit codes: 0 nothing broke, 1 something did, 2 bad input, 130 interrupted.

Examples:
  lanekeeper explore scenarios/quick.toml --seeds 200
  lanekeeper explore scenarios/quick.toml --set run.duration=60s --first-seed 1001 --jobs 2
  lanekeeper explore scenarios/short-retention.toml --out short.toml    (breaks something)
  lanekeeper run short.toml --broker sim
  lanekeeper replay short.toml --trace";

const REPLAY_EXAMPLES: &str = "\
Examples:
  lanekeeper replay repro.toml
  lanekeeper replay scenarios/kill-one-consumer.toml --trace --from 15s --to 15.1s --partition 7
  lanekeeper replay scenarios/kill-one-consumer.toml --verify
  lanekeeper replay scenarios/quick.toml --trace --kind all --limit 0 > before.txt
  lanekeeper replay scenarios/quick.toml --against before.txt";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario and print its report.
    Run(run::RunArguments),
    /// Validate a scenario and print its plan; contacts no cluster.
    Check(CheckArguments),
    /// Run a scenario with many seeds and random faults in virtual time; on the first violation, write a minimal
    /// reproducer.
    #[command(after_help = EXPLORE_EXAMPLES)]
    Explore(explore::ExploreArguments),
    /// Run a scenario in virtual time and print its report or event trace, or verify that it is deterministic.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(replay::ReplayArguments),
    /// Print the report of a finished, running or killed run.
    Report(ReportArguments),
    /// Print the JSON Schema of scenario files, for editors.
    Schema,
    /// Print a completion script for a shell.
    Completions(CompletionsArguments),
}

impl Command {
    /// As it is on the command line.
    fn name(&self) -> &'static str {
        match self {
            Command::Run(_) => "run",
            Command::Check(_) => "check",
            Command::Explore(_) => "explore",
            Command::Replay(_) => "replay",
            Command::Report(_) => "report",
            Command::Schema => "schema",
            Command::Completions(_) => "completions",
        }
    }
}

/// Parses the command line, does what it says, and returns the exit code.
pub fn main() -> Exit {
    main_from(std::env::args_os(), None)
}

/// The same, for a program with handlers of its own: records go to them instead of to the scenario's `work`.
pub fn main_with(handlers: Option<Handlers>) -> Exit {
    main_from(std::env::args_os(), handlers)
}

/// The same with a command line that is given, the program's name first.
pub fn main_from(
    command_line: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    handlers: Option<Handlers>,
) -> Exit {
    let arguments = match Arguments::try_parse_from(command_line) {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            let _ = error.print();
            return Exit::Input;
        }
        // Help and version are no errors.
        Err(help) => {
            let printed = print(&help.render().ansi().to_string());
            return ended(printed.map(|()| Exit::Passed), "--help");
        }
    };
    let command = arguments.command.name();
    // `explore` looks for what breaks: a simulation that panics is what it has found.
    let finds_bugs = matches!(arguments.command, Command::Explore(_));
    let outcome = terminal::with_panics_told(command, handlers.is_some(), || {
        ended(done(arguments, handlers), command)
    });
    match outcome {
        Some((exit, 0)) => exit,
        Some((exit, _)) if finds_bugs => exit,
        _ => Exit::Bug,
    }
}

fn done(arguments: Arguments, handlers: Option<Handlers>) -> Result<Exit, Error> {
    match arguments.command {
        Command::Run(run) => run::run(&run, handlers, arguments.verbose),
        Command::Check(arguments) => check(&arguments),
        Command::Explore(arguments) => explore::explore(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments, handlers),
        Command::Report(arguments) => report(&arguments),
        Command::Schema => schema(),
        Command::Completions(arguments) => completions(&arguments),
    }
}

/// The exit code of what a command came to; says what is wrong.
fn ended(outcome: Result<Exit, Error>, command: &str) -> Exit {
    outcome.unwrap_or_else(|error| {
        let code = error.exit();
        tell(&match &error {
            // What the panic of a task led to.
            Error::Bug(_) if terminal::has_told_of_a_panic() => return code,
            Error::Bug(_) => {
                let what = terminal::what_to_report(command);
                format!("{ERROR}error{ERROR:#}: {error}\n{what}")
            }
            // Diagnostics are rendered already.
            Error::Input(text)
                if text.starts_with("error")
                    || text.starts_with("warning")
                    || text.starts_with("\u{1b}[") =>
            {
                text.clone()
            }
            // Names of files and answers from outside are in it.
            other => {
                let text = other.to_string();
                let lines: Vec<_> = text.lines().map(printable).collect();
                format!("{ERROR}error{ERROR:#}: {}", lines.join("\n"))
            }
        });
        code
    })
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,

    #[command(flatten)]
    client: ClientArguments,
}

/// Prints the plan.
pub(super) fn check(arguments: &CheckArguments) -> Result<Exit, Error> {
    let (plan, file) = arguments.client.with_plan(&arguments.scenario)?;
    let outside = from_outside(&plan, &file).into_iter();
    let lines: String = outside.map(|property| format!("{:<12}{property}\n", "client")).collect();
    print(&(plan.describe() + &lines))?;
    Ok(Exit::Passed)
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// The result directory of a run. While a run goes on, or after it was killed, all but its last second is there.
    directory: PathBuf,

    /// Format of the report on stdout.
    #[arg(long, value_parser = outputs(), default_value = OUTPUTS[0].name)]
    format: &'static Renderer,
}

/// Shows the result, and exits as its run did.
pub(super) fn report(arguments: &ReportArguments) -> Result<Exit, Error> {
    let StoredResult { summary, notes } =
        read_result(&arguments.directory).map_err(|error| Error::Input(error.to_string()))?;
    for note in notes {
        tell(&format!("note: {note}"));
    }
    let last_line = format!("results in {}", printable_path(&arguments.directory));
    show(&summary, arguments.format, &last_line)?;
    Ok(exit(summary.verdict))
}

/// Prints the schema.
pub(super) fn schema() -> Result<Exit, Error> {
    let text = serde_json::to_string_pretty(&json_schema())
        .map_err(|error| Error::Bug(error.to_string()))?;
    print(&format!("{text}\n"))?;
    Ok(Exit::Passed)
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(super) fn completions(arguments: &CompletionsArguments) -> Result<Exit, Error> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "lanekeeper", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Passed)
}

//! The command line. Each command has a file; those that only print share one.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use self::arguments::{ClientArguments, ScenarioArguments};
use self::outputs::{OutputArguments, annotate};
use self::terminal::{Asked, exit, line_width, print, show, tell};
use crate::base::{Share, printable, printable_path};
use crate::broker::{from_outside, needs_consent};
use crate::error::{Error, Exit};
use crate::logic::Handlers;
use crate::report::{StoredResult, read_result};
use crate::run::inspect;

mod arguments;
mod attempts;
mod clean;
mod compare;
mod connect;
mod explore;
mod figures;
mod guide;
mod heal;
mod init;
mod kept_rounds;
mod limit;
mod list;
mod merge;
mod metrics_endpoint;
mod outputs;
mod replay;
mod run;
mod schema;
mod shell;
mod stored_variants;
mod sweep;
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
Exit codes: 0 passed, 1 an expectation failed, 2 bad input, 3 environment (no broker, no permission), \
4 the run is invalid, 70 a bug, 130 interrupted (what was measured is kept).

Examples:
  lanekeeper check scenarios/guide-option-2.toml
  lanekeeper check scenarios/guide-option-2.toml --connect \\
    --bootstrap 127.0.0.1:9092
  lanekeeper run scenarios/guide-option-2.toml
  lanekeeper run scenarios/guide-option-2.toml --bootstrap 127.0.0.1:9092
  lanekeeper run scenarios/quick.toml --set run.duration=10s \\
    --set load.rate=4/s --out results/first
  lanekeeper run scenarios/kill-one-consumer.toml --broker sim --html page.html
  lanekeeper explore scenarios/quick.toml --seeds 200";

const COMPARE_EXAMPLES: &str = "\
Exit codes: 0 compared, 1 a regression that was asked for, 2 bad input, 3 environment, 4 no valid round, \
130 interrupted (complete rounds are compared).

Variants: group:MEMBERS, group:MEMBERS:WORD (range, roundrobin, cooperative-sticky, static, consumer), \
assign, assign:shared, or the name of a [[variant]] in the scenario.

Examples:
  lanekeeper compare scenarios/kill-one-consumer.toml --broker sim \\
    --variants group:8,group:18,assign --repeat 3
  lanekeeper compare scenarios/guide-option-2.toml \\
    --variants group:18,group:18:static,assign --repeat 5
  lanekeeper compare results/before results/after \\
    --fail-on-regression latency.p99:10%";

const SWEEP_EXAMPLES: &str = "\
Exit codes: 0 swept, 2 bad input, 3 environment, 4 no valid run, 130 interrupted (what was run is shown).

Several values of a --set are separated by commas; a --set with one value holds in every combination.

Examples:
  lanekeeper sweep scenarios/quick.toml --broker sim \\
    --set load.rate_total=200/s,400/s,800/s
  lanekeeper sweep scenarios/quick.toml --broker sim --repeat 5 \\
    --set topic.partitions=6,12 --set consumers.batch=1,64 \\
    --figure latency.p99 --format csv";

const LIMIT_EXAMPLES: &str = "\
Exit codes: 0 a rate holds, 1 no rate holds, 2 bad input, 3 environment, 4 the tester falls short at every rate, \
130 interrupted (what is known by then is shown).

The rate is that of all producers (load.rate_total). It is doubled until it does not hold, and halved between a rate \
that holds and one that does not. Rates at which the tester itself falls short (INVALID) bound the search and are named.

Examples:
  lanekeeper limit scenarios/quick.toml --broker sim \\
    --until 'latency.p99 < 20ms'
  lanekeeper limit scenarios/quick.toml --broker sim \\
    --until 'latency.p99 < 20ms' --set run.duration=30s --precision 1%";

const EXPLORE_EXAMPLES: &str = "\
Exit codes: 0 nothing broke, 1 something did, 2 bad input, 130 interrupted.

Examples:
  lanekeeper explore scenarios/quick.toml --seeds 200
  lanekeeper explore scenarios/quick.toml --set run.duration=60s \\
    --first-seed 1001 --jobs 2
  lanekeeper explore scenarios/short-retention.toml --out short.toml  # fails
  lanekeeper run short.toml --broker sim
  lanekeeper replay short.toml --trace";

const REPLAY_EXAMPLES: &str = "\
Examples:
  lanekeeper replay repro.toml
  lanekeeper replay scenarios/kill-one-consumer.toml --trace \\
    --from 15s --to 15.1s --partition 7
  lanekeeper replay scenarios/kill-one-consumer.toml --verify
  lanekeeper replay scenarios/quick.toml --trace --kind all --limit 0 > old.txt
  lanekeeper replay scenarios/quick.toml --against old.txt";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario and print its report.
    Run(run::RunArguments),
    /// Validate a scenario and print its plan; contacts no cluster without --connect.
    Check(CheckArguments),
    /// Run a scenario in several variants, some rounds of each, and print their figures side by side with intervals; or
    /// compare stored results.
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(compare::CompareArguments),
    /// Put each claim of the guide to one consumer per partition to the test, with the guide's load or another one.
    Guide(guide::GuideArguments),
    /// Run a scenario with every combination of some settings, and print a table with a row for each.
    #[command(after_help = SWEEP_EXAMPLES)]
    Sweep(sweep::SweepArguments),
    /// Find the highest rate at which a scenario's expectations hold.
    #[command(after_help = LIMIT_EXAMPLES)]
    Limit(limit::LimitArguments),
    /// Run a scenario with many seeds and random faults in virtual time; on the first violation, write a minimal
    /// reproducer.
    #[command(after_help = EXPLORE_EXAMPLES)]
    Explore(explore::ExploreArguments),
    /// Run a scenario in virtual time and print its report or event trace, or verify that it is deterministic.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(replay::ReplayArguments),
    /// Print the report of a finished, running or killed run.
    Report(ReportArguments),
    /// Make one report of the results of several processes that have run together (`run --share`).
    Merge(merge::MergeArguments),
    /// List the results in a directory, the newest first.
    List(list::ListArguments),
    /// List the topics and groups that runs have left on a cluster, and remove them after a confirmation. Nothing else is
    /// touched.
    Clean(clean::CleanArguments),
    /// List the `exec` faults that a killed run did not end, and end them with their commands.
    Heal(heal::HealArguments),
    /// Write a commented scenario to start from.
    Init(init::InitArguments),
    /// List the figures that `[expect]` can name.
    Figures(figures::FiguresArguments),
    /// Print a JSON Schema: of scenario files, for editors, or of result.json, for programs.
    Schema(schema::SchemaArguments),
    /// Print a completion script for a shell.
    Completions(shell::CompletionsArguments),
    /// Print the man page, or write the pages of all commands.
    Man(shell::ManArguments),
}

impl Command {
    /// The name on the command line.
    fn name(&self) -> &'static str {
        match self {
            Command::Run(_) => "run",
            Command::Check(_) => "check",
            Command::Compare(_) => "compare",
            Command::Guide(_) => "guide",
            Command::Sweep(_) => "sweep",
            Command::Limit(_) => "limit",
            Command::Explore(_) => "explore",
            Command::Replay(_) => "replay",
            Command::Report(_) => "report",
            Command::Merge(_) => "merge",
            Command::List(_) => "list",
            Command::Clean(_) => "clean",
            Command::Heal(_) => "heal",
            Command::Init(_) => "init",
            Command::Figures(_) => "figures",
            Command::Schema(_) => "schema",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
        }
    }
}

/// Parses the command line, runs the command, and returns the exit code.
pub fn main() -> Exit {
    main_from(std::env::args_os(), None)
}

/// The command line of the program with the user's handlers, which get the records instead of the scenario's `work`.
/// Parses the arguments of the process, runs the command, and returns the exit code.
///
/// ```no_run
/// # use lanekeeper::{Exit, Handler, HandlerError, Handlers, Record};
/// # struct Orders;
/// # impl Handler for Orders {
/// #     fn handle(&mut self, _: &Record<'_>) -> Result<(), HandlerError> { Ok(()) }
/// # }
/// fn main() -> Exit {
///     lanekeeper::main_with(Some(Handlers::new("orders", |_partition, _start| Ok(Orders))))
/// }
/// ```
pub fn main_with(handlers: Option<Handlers>) -> Exit {
    main_from(std::env::args_os(), handlers)
}

/// The same with a given command line, which begins with the program's name.
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
    // `explore` searches for failures, so a panic in a simulation is a result.
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
    let verbose = arguments.verbose;
    match arguments.command {
        Command::Run(run) => run::run(&run, handlers, verbose),
        Command::Check(arguments) => check(&arguments, verbose),
        Command::Compare(arguments) => compare::compare(&arguments, verbose),
        Command::Guide(arguments) => guide::guide(&arguments, verbose),
        Command::Sweep(arguments) => sweep::sweep(&arguments, verbose),
        Command::Limit(arguments) => limit::limit(&arguments, verbose),
        Command::Explore(arguments) => explore::explore(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments, handlers),
        Command::Report(arguments) => report(&arguments),
        Command::Merge(arguments) => merge::merge(&arguments),
        Command::List(arguments) => list::list(&arguments),
        Command::Clean(arguments) => clean::clean(&arguments, verbose),
        Command::Heal(arguments) => heal::heal(&arguments),
        Command::Init(arguments) => init::init(&arguments),
        Command::Figures(arguments) => figures::figures(&arguments),
        Command::Schema(arguments) => schema::schema(&arguments),
        Command::Completions(arguments) => shell::completions(&arguments, Arguments::command()),
        Command::Man(arguments) => shell::man(&arguments, Arguments::command()),
    }
}

/// Prints the error of a command, if it has one, and returns the exit code.
fn ended(outcome: Result<Exit, Error>, command: &str) -> Exit {
    outcome.unwrap_or_else(|error| {
        let code = error.exit();
        tell(&match &error {
            // The error is a consequence of a panic that was already printed.
            Error::Bug(_) if terminal::has_told_of_a_panic() => return code,
            Error::Bug(_) => {
                let what = terminal::what_to_report(command);
                format!("{ERROR}error{ERROR:#}: {error}\n{what}")
            }
            // Diagnostics are already rendered.
            Error::Input(text)
                if text.starts_with("error")
                    || text.starts_with("warning")
                    || text.starts_with("\u{1b}[") =>
            {
                text.clone()
            }
            // The text may contain names of files and responses from outside.
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

    /// Print the plan of one of several processes, as in `2/4` for the second of four.
    #[arg(long, value_name = "NUMBER/COUNT")]
    share: Option<Share>,

    /// Connect to the cluster as well: print its brokers, versions, topic and groups, the rights of the user, and problems
    /// that would prevent a run. Writes nothing, and takes some seconds at most.
    #[arg(long)]
    connect: bool,
}

/// Prints the plan, and with `--connect` the description of its cluster.
pub(super) fn check(arguments: &CheckArguments, verbose: u8) -> Result<Exit, Error> {
    let (plan, file) = arguments.client.with_plan(&arguments.scenario, arguments.share)?;
    let outside = from_outside(&plan, &file).into_iter();
    let lines: String = outside.map(|property| format!("{:<12}{property}\n", "client")).collect();
    if !arguments.connect {
        print(&in_columns(&(plan.describe() + &lines), line_width()))?;
        return Ok(Exit::Passed);
    }
    if let Some(first) = needs_consent(&plan, &file).first() {
        return Err(Error::Input(format!(
            "{first}; put it into the file of `--client-config` to connect with it"
        )));
    }
    terminal::start_logging(verbose, None);
    let found = inspect(&plan, file)?;
    let (text, in_the_way) = connect::describe(&plan, &found);
    print(&in_columns(&(plan.describe() + &lines + &text), line_width()))?;
    match in_the_way.is_empty() {
        true => Ok(Exit::Passed),
        false => Err(Error::Environment(in_the_way.join("\nalso: "))),
    }
}

/// Lines of a name and a text, with the text wrapped in its own column.
fn in_columns(text: &str, width: usize) -> String {
    let options = textwrap::Options::new(width)
        .subsequent_indent(TEXT_COLUMN)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit);
    text.lines().map(|line| textwrap::fill(line, &options) + "\n").collect()
}

/// The indentation of the texts of `check`.
const TEXT_COLUMN: &str = "            ";

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// The result directory of a run. During a run, or after its process was killed, it has all but the last second.
    directory: PathBuf,

    #[command(flatten)]
    asked: Asked,

    #[command(flatten)]
    outputs: OutputArguments,
}

/// Prints the result, and returns the exit code of its run.
pub(super) fn report(arguments: &ReportArguments) -> Result<Exit, Error> {
    let StoredResult { summary, notes } =
        read_result(&arguments.directory).map_err(|error| Error::Input(error.to_string()))?;
    arguments.asked.require_partition(summary.partitions.len() as u32)?;
    for note in notes {
        tell(&format!("note: {note}"));
    }
    let last_line = format!("saved to {}", printable_path(&arguments.directory));
    show(&summary, &arguments.asked, &last_line)?;
    arguments.outputs.write(&summary, &arguments.directory)?;
    annotate(&summary, None, "");
    Ok(exit(summary.verdict))
}

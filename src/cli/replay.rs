//! `replay`: runs a scenario again in virtual time, event by event, or twice to check that it is deterministic.
//!
//! Two runs are compared event by event until one differs.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use clap::Args;

use super::arguments::{planned, simulated_only, source, whole};
use super::terminal::{Asked, exit, print, printed, show};
use crate::base::{
    BrokerKind, PartitionId, Time, format_bytes, format_count, open_regular, parse_duration,
    printable, printable_path,
};
use crate::error::{Error, Exit};
use crate::logic::Handlers;
use crate::measure::{TraceKind, TraceLine};
use crate::plan::{Overrides, Plan};
use crate::report::OUTPUTS;
use crate::run::{Options, Traced, run, run_traced};
use crate::summary::Summary;

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// The scenario file, or a reproducer that `explore` wrote.
    pub(super) file: PathBuf,

    /// Seed of all randomness; overrides `run.seed`.
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| whole(0, text))]
    pub(super) seed: Option<u64>,

    /// Override a value of the scenario, as in `--set run.duration=10s`. Repeatable.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(super) set: Vec<String>,

    /// Print everything in the report.
    #[arg(long, conflicts_with_all = ["trace", "verify", "against"])]
    full: bool,

    /// Print events, one per line, instead of the report. Times count from the start of the load, as in `[[fault]]` and
    /// in the report; events before it have negative times.
    #[arg(long)]
    trace: bool,

    /// Only events of these partitions, as in `--partition 3,4`.
    #[arg(long, value_delimiter = ',', requires = "trace", allow_negative_numbers = true)]
    partition: Vec<u32>,

    /// Only events from this time on.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "trace")]
    from: Option<Duration>,

    /// Only events before this time; the run stops then.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "trace")]
    to: Option<Duration>,

    /// Only these kinds of events: control, request, response, processed, deadline, turn, timer; `all` for every one.
    /// [default: all but turn and timer]
    #[arg(long, value_delimiter = ',', value_parser = kinds, requires = "trace")]
    kind: Vec<Kinds>,

    /// Stop after this number of lines; 0 for no limit.
    #[arg(long, default_value_t = 1_000, requires = "trace", allow_negative_numbers = true,
        value_parser = |text: &str| whole(0, text))]
    limit: u64,

    /// Run it in this process and in another process with another environment and directory, and print the first event
    /// that differs. Exits with 70 if one does.
    #[arg(long, conflicts_with_all = ["trace", "against"])]
    verify: bool,

    /// Compare it with a trace that `replay --trace --kind all --limit 0` printed earlier, and print the first event
    /// that differs. Exits with 1 if one does.
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    against: Option<PathBuf>,

    /// A replay is in virtual time, on the simulated cluster only.
    #[arg(long, value_parser = simulated_only(), hide = true)]
    broker: Option<BrokerKind>,
}

type Kinds = Vec<TraceKind>;

fn kinds(text: &str) -> Result<Kinds, String> {
    let named = |name: &str| TraceKind::ALL.iter().find(|(_, other)| *other == name);
    match (text, named(text)) {
        ("all", _) => Ok(TraceKind::ALL.iter().map(|(kind, _)| *kind).collect()),
        (_, Some((kind, _))) => Ok(vec![*kind]),
        _ => {
            let names: Vec<&str> = TraceKind::ALL.iter().map(|(_, name)| *name).collect();
            Err(format!("one of {} and all", names.join(", ")))
        }
    }
}

/// Runs the scenario, and prints the requested output.
pub(super) fn replay(
    arguments: &ReplayArguments,
    handlers: Option<Handlers>,
) -> Result<Exit, Error> {
    let plan = plan(arguments)?;
    let options = Options { handlers, ..Options::default() };
    if arguments.verify {
        return compare(plan, options, Other::Process(elsewhere(arguments)?));
    }
    if let Some(file) = &arguments.against {
        return compare(plan, options, Other::File(file));
    }
    if arguments.trace {
        return trace(arguments, plan, options);
    }
    let seed = plan.seed.0;
    let summary = run(plan, options, Box::new(()))?;
    let last_line = format!("replayed with seed {seed}; nothing is kept");
    let asked = Asked { format: OUTPUTS[0], full: arguments.full, partition: None };
    show(&summary, &asked, &last_line)?;
    Ok(exit(summary.verdict))
}

fn plan(arguments: &ReplayArguments) -> Result<Plan, Error> {
    let source = source(&arguments.file, &arguments.set)?;
    let overrides = Overrides {
        broker: Some(BrokerKind::simulated()),
        seed: arguments.seed,
        ..Overrides::default()
    };
    planned(&source, &arguments.set, &overrides)
}

/// The same run in another process, with another environment and directory.
fn elsewhere(arguments: &ReplayArguments) -> Result<Command, Error> {
    let program = std::env::current_exe().map_err(|error| no_process(&error))?;
    let file = arguments.file.canonicalize().map_err(|error| no_process(&error))?;
    let mut command = Command::new(program);
    command.arg("replay").arg(file).args(["--trace", "--kind", "all", "--limit", "0"]);
    if let Some(seed) = arguments.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    for set in &arguments.set {
        command.args(["--set", set]);
    }
    command.env("LANEKEEPER_VERIFY", "x".repeat(5_000)).env("LANEKEEPER_LOG", "debug");
    command.current_dir(std::env::temp_dir());
    Ok(command)
}

/// Refuses filters with which nothing would be printed.
fn nothing_to_show(arguments: &ReplayArguments, plan: &Plan) -> Result<(), Error> {
    // Topics only grow by faults, so the largest id is known before the run.
    let partitions = plan.partitions_max();
    if let Some(id) = arguments.partition.iter().find(|id| **id >= partitions) {
        return Err(Error::Input(format!(
            "there is no partition {id}: this topic's partitions are 0 to {}",
            partitions - 1
        )));
    }
    match (arguments.from, arguments.to) {
        (from, Some(to)) if from.unwrap_or_default() >= to => Err(Error::Input(
            "nothing happens from `--from` to `--to`: give an end that is later than the begin"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

fn trace(arguments: &ReplayArguments, plan: Plan, options: Options) -> Result<Exit, Error> {
    nothing_to_show(arguments, &plan)?;
    let filter = Filter::new(arguments);
    let traced = run_traced(plan, options).map_err(|e| Error::Environment(e.to_string()))?;
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let mut printed_lines = 0;
    loop {
        let Ok(told) = traced.recv() else {
            return Err(Error::Bug("the simulation broke off".to_owned()));
        };
        let wanted = match told {
            Traced::Lines(lines) => write_lines(&mut out, &lines, &filter, &mut printed_lines),
            Traced::End(outcome) => {
                let last = last_line(&(*outcome)?)?;
                write_end(&mut out, printed_lines == 0, &last).map(|()| Wanted::NoMore)
            }
        };
        let written = match wanted {
            Ok(Wanted::More) => continue,
            Ok(Wanted::NoMore) => out.flush(),
            Err(error) => Err(error),
        };
        return printed(written).map(|()| Exit::Passed);
    }
}

/// The decision about an event of a trace.
enum Wanted {
    More,
    NoMore,
}

fn write_lines(
    out: &mut impl Write,
    lines: &[TraceLine],
    filter: &Filter,
    printed: &mut u64,
) -> io::Result<Wanted> {
    for line in lines {
        if filter.until.is_some_and(|until| line.at >= until) {
            return Ok(Wanted::NoMore);
        }
        if !filter.wants(line) {
            continue;
        }
        writeln!(out, "{}", printable(&line.to_string()))?;
        *printed += 1;
        if *printed == filter.limit {
            writeln!(
                out,
                "… and so on: --limit 0 shows everything; --from, --to, --kind and --partition choose"
            )?;
            return Ok(Wanted::NoMore);
        }
    }
    Ok(Wanted::More)
}

fn write_end(out: &mut impl Write, is_empty: bool, last: &str) -> io::Result<()> {
    if is_empty {
        writeln!(out, "no event is of this time, kind and partition")?;
    }
    writeln!(out, "{last}")
}

/// The filters of a trace.
struct Filter {
    partitions: Vec<PartitionId>,
    from: Option<Time>,
    until: Option<Time>,
    kinds: Kinds,
    /// Largest number of lines; 0 for no limit.
    limit: u64,
}

impl Filter {
    fn new(arguments: &ReplayArguments) -> Filter {
        let mut kinds: Kinds = arguments.kind.concat();
        if kinds.is_empty() {
            kinds.extend(TraceKind::ALL.iter().map(|(kind, _)| *kind));
            kinds.retain(|kind| !matches!(kind, TraceKind::Turn | TraceKind::Timer));
        }
        Filter {
            partitions: arguments.partition.iter().map(|id| PartitionId(*id)).collect(),
            from: arguments.from.map(|from| Time::ZERO + from),
            until: arguments.to.map(|to| Time::ZERO + to),
            kinds,
            limit: arguments.limit,
        }
    }

    fn wants(&self, line: &TraceLine) -> bool {
        self.from.is_none_or(|from| line.at >= from)
            && self.kinds.contains(&line.kind)
            && (self.partitions.is_empty()
                || line.partitions.iter().any(|partition| self.partitions.contains(partition)))
    }
}

/// The reference for the comparison of a run.
pub(super) enum Other<'a> {
    /// The same run in another process, which this command starts.
    Process(Command),
    /// A stored trace.
    File(&'a Path),
}

/// Number of events that are shown before the first one that differs.
const BEFORE: usize = 5;

/// Runs `plan` and compares it with the reference at the same time. Prints the number of equal events.
pub(super) fn compare(plan: Plan, options: Options, other: Other<'_>) -> Result<Exit, Error> {
    let environment = |error: io::Error| Error::Environment(error.to_string());
    let here = Lines::new(run_traced(plan, options).map_err(environment)?);
    match other {
        Other::File(path) => {
            let name = printable_path(path);
            let file = open_regular(path).map_err(|error| {
                Error::Input(format!(
                    "cannot read the trace `{name}`: {error}; give the file that `lanekeeper replay FILE --trace \
                     --kind all --limit 0` was printed to"
                ))
            })?;
            let mut file = BufReader::new(file);
            if !begins_like_a_trace(&mut file) {
                return Err(Error::Input(format!(
                    "`{name}` is not a trace; make one with `lanekeeper replay FILE --trace --kind all --limit 0 > {name}`"
                )));
            }
            let same = side_by_side(here, file, &name)?;
            Ok(if same { Exit::Passed } else { Exit::Failed })
        }
        Other::Process(command) => {
            let (mut child, lines) = separately(command)?;
            let same = side_by_side(here, BufReader::new(lines), "the other process");
            // The other process may still run after a difference.
            let _ = child.kill();
            let _ = child.wait();
            Ok(if same? { Exit::Passed } else { Exit::Bug })
        }
    }
}

/// True if the first line begins with a virtual time.
fn begins_like_a_trace(file: &mut impl BufRead) -> bool {
    let start = file.fill_buf().unwrap_or_default();
    let first: Vec<u8> =
        start.trim_ascii_start().iter().take_while(|c| **c != b' ').copied().collect();
    str::from_utf8(&first).is_ok_and(|first| first.parse::<f64>().is_ok())
}

/// Starts the other process.
fn separately(mut command: Command) -> Result<(Child, ChildStdout), Error> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| no_process(&error))?;
    let Some(lines) = child.stdout.take() else {
        return Err(Error::Bug("a process without the pipe it was given".to_owned()));
    };
    Ok((child, lines))
}

/// The error if the other process cannot be started.
pub(super) fn no_process(error: &io::Error) -> Error {
    Error::Environment(format!("the other process does not start: {error}"))
}

/// The last line of a trace: the result of the whole run.
pub(super) fn last_line(summary: &Summary) -> Result<String, Error> {
    let result = serde_json::to_vec(summary).map_err(|error| Error::Bug(error.to_string()))?;
    let result = crc32fast::hash(&result);
    let Some(simulation) = &summary.simulation else {
        return Err(Error::Bug("a simulation without an account of itself".to_owned()));
    };
    Ok(format!(
        "end: {} events, trace {}, result {result:08x}",
        format_count(simulation.events),
        simulation.trace
    ))
}

/// The lines of the run in this process.
struct Lines {
    traced: Receiver<Traced>,
    ready: VecDeque<String>,
    over: bool,
}

impl Lines {
    fn new(traced: Receiver<Traced>) -> Lines {
        Lines { traced, ready: VecDeque::new(), over: false }
    }

    fn next(&mut self) -> Result<Option<String>, Error> {
        while self.ready.is_empty() && !self.over {
            match self.traced.recv() {
                Ok(Traced::Lines(lines)) => {
                    self.ready
                        .extend(lines.iter().map(|line| printable(&line.to_string()).into_owned()));
                }
                Ok(Traced::End(outcome)) => {
                    self.ready.push_back(last_line(&(*outcome)?)?);
                    self.over = true;
                }
                Err(_) => return Err(Error::Bug("the simulation broke off".to_owned())),
            }
        }
        Ok(self.ready.pop_front())
    }
}

/// Largest number of bytes of a line. Lines of a trace are much shorter.
const LINE_MAX: u64 = 1 << 20;

/// The next line, escaped for the terminal; `None` at the end.
fn next_line(there: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if there.take(LINE_MAX + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 > LINE_MAX {
        let max = format_bytes(LINE_MAX);
        return Err(io::Error::other(format!(
            "a line is longer than {max}: it is not a line of a trace"
        )));
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(Some(printable(&String::from_utf8_lossy(line)).into_owned()))
}

/// True if both are equal to the end. Otherwise prints the first event that differs.
fn side_by_side(mut here: Lines, mut there: impl BufRead, name: &str) -> Result<bool, Error> {
    let mut before = VecDeque::new();
    let mut count: u64 = 0;
    loop {
        let ours = here.next()?;
        let theirs = next_line(&mut there)
            .map_err(|error| Error::Input(format!("cannot read the trace of {name}: {error}")))?;
        match (ours, theirs) {
            (None, None) => {
                let last = before.back().map_or("", String::as_str);
                let lines = format_count(count.saturating_sub(1));
                print(&format!("the same, event by event, {lines} lines\n{last}\n"))?;
                return Ok(true);
            }
            (ours, theirs) if ours == theirs => {
                if before.len() == BEFORE {
                    before.pop_front();
                }
                before.extend(ours);
                count += 1;
            }
            (ours, theirs) => {
                let end = || "(it is over)".to_owned();
                let mut text =
                    format!("DIFFERENT from {name}, from event {} on\n", format_count(count + 1));
                before.iter().for_each(|line| text.push_str(&format!("  both   {line}\n")));
                text.push_str(&format!("  here   {}\n", ours.unwrap_or_else(end)));
                text.push_str(&format!("  there  {}\n", theirs.unwrap_or_else(end)));
                print(&text)?;
                return Ok(false);
            }
        }
    }
}

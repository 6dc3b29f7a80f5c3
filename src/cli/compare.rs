//! Two runs event by event, side by side, until one differs.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::Receiver;

use super::terminal::print;
use crate::base::{format_bytes, format_count, open_regular, printable, printable_path};
use crate::error::{Error, Exit};
use crate::plan::Plan;
use crate::run::{Options, Traced, run_traced};
use crate::summary::Summary;

/// What a run is compared with.
pub(super) enum Other<'a> {
    /// The same run in a process of its own, which this command starts.
    Process(Command),
    /// A trace that was kept.
    File(&'a Path),
}

/// Events shown before the first one that differs.
const BEFORE: usize = 5;

/// Runs `plan`, compares it with the other one while both go on, and says how far they are the same.
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
            let (mut child, lines) = elsewhere(command)?;
            let same = side_by_side(here, BufReader::new(lines), "the other process");
            // It may still run when the two differ.
            let _ = child.kill();
            let _ = child.wait();
            Ok(if same? { Exit::Passed } else { Exit::Bug })
        }
    }
}

/// Whether the first line begins with a virtual time.
fn begins_like_a_trace(file: &mut impl BufRead) -> bool {
    let start = file.fill_buf().unwrap_or_default();
    let first: Vec<u8> =
        start.trim_ascii_start().iter().take_while(|c| **c != b' ').copied().collect();
    str::from_utf8(&first).is_ok_and(|first| first.parse::<f64>().is_ok())
}

/// Starts the other process.
fn elsewhere(mut command: Command) -> Result<(Child, ChildStdout), Error> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| no_process(&error))?;
    let Some(lines) = child.stdout.take() else {
        return Err(Error::Bug("a process without the pipe it was given".to_owned()));
    };
    Ok((child, lines))
}

/// The other process does not start.
pub(super) fn no_process(error: &io::Error) -> Error {
    Error::Environment(format!("the other process does not start: {error}"))
}

/// How a trace ends: what the whole run comes to.
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

/// The lines of this process's run.
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

/// Bytes of a line, at most: a trace of this program has none that is nearly as long.
const LINE_MAX: u64 = 1 << 20;

/// The next line as a terminal may have it; none at the end.
fn next_line(there: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if there.take(LINE_MAX + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 > LINE_MAX {
        let max = format_bytes(LINE_MAX);
        return Err(io::Error::other(format!("a line is longer than {max}: it is no trace")));
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(Some(printable(&String::from_utf8_lossy(line)).into_owned()))
}

/// Whether both are the same to the end; if not, the first event that differs is printed.
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

//! `clean`: lists the topics and groups that runs have left on a cluster, and removes them.

use std::io::{BufRead, IsTerminal, stdin};

use clap::Args;

use super::arguments::{ConnectionArguments, planned};
use super::terminal::{print, start_logging, tell};
use crate::base::{RunId, printable};
use crate::broker::setup::{InUse, LeftBehind};
use crate::error::{Error, Exit};
use crate::plan::Overrides;
use crate::run::Cleaning;
use crate::scenario::Source;

/// Arguments of `clean`.
#[derive(Debug, Args)]
pub(super) struct CleanArguments {
    /// Only what these runs have left: a run's id (`run_id` of its result), or the name of a topic or group that ends
    /// in it. Without one, all runs.
    #[arg(value_name = "RUN", value_parser = run_id)]
    runs: Vec<RunId>,

    /// Addresses of the cluster, `host:port[,host:port…]`.
    #[arg(long, value_name = "ADDRESSES")]
    bootstrap: String,

    #[command(flatten)]
    client: ConnectionArguments,

    /// Remove topics with records of the last 10 minutes, or without any record, as well. The topic of a run that is
    /// going on is one of them, so name the run that is over.
    #[arg(long)]
    recent: bool,

    /// Remove without asking.
    #[arg(long)]
    yes: bool,
}

/// The run of an argument.
fn run_id(text: &str) -> Result<RunId, String> {
    RunId::of_text(text).or_else(|| RunId::of_name(text)).ok_or_else(|| {
        "it is no run's id, which is `run_id` of `result.json` and the last 12 characters of the name of a topic or \
         group; the last four are a check of the others"
            .to_owned()
    })
}

/// A scenario of which only the cluster is used.
const NOTHING: &str = "[load]\nproducers = 1\n";

/// Lists what was left, asks for confirmation, and removes it.
pub(super) fn clean(arguments: &CleanArguments, verbose: u8) -> Result<Exit, Error> {
    start_logging(verbose, None);
    let source = Source { name: "clean.toml".to_owned(), text: NOTHING.to_owned() };
    let bootstrap = Some(arguments.bootstrap.clone());
    let plan = planned(&source, &[], &Overrides { bootstrap, ..Overrides::default() })?;
    let client = arguments.client.read()?;
    let cleaning = Cleaning::new(&plan, client)?;
    let mut found = cleaning.find()?;
    found.retain(|left| arguments.runs.is_empty() || arguments.runs.contains(&left.run));
    let is_removable = |left: &LeftBehind| match left.in_use {
        None => true,
        Some(InUse::Recent | InUse::NoRecords) => arguments.recent,
        Some(InUse::Members | InUse::Unknown) => false,
    };
    print(&listed(&found, &arguments.runs, &is_removable))?;
    let removable: Vec<&LeftBehind> = found.iter().filter(|left| is_removable(left)).collect();
    if removable.is_empty() {
        return Ok(Exit::Passed);
    }
    if !arguments.yes && !is_confirmed(removable.len()) {
        return Ok(Exit::Passed);
    }
    let mut failures = Vec::new();
    for left in removable {
        match cleaning.remove(left) {
            Ok(()) => print(&format!("removed {} {}\n", kind(left), printable(&left.name)))?,
            Err(error) => failures.push(format!("{} {}: {error}", kind(left), left.name)),
        }
    }
    match failures.is_empty() {
        true => Ok(Exit::Passed),
        false => {
            Err(Error::Environment(format!("not removed: {}", failures.join("\nnot removed: "))))
        }
    }
}

/// Asks for confirmation at the terminal. Without a terminal, the answer is no.
fn is_confirmed(count: usize) -> bool {
    if !stdin().is_terminal() {
        tell("nothing is removed; add `--yes` to remove what is not in use");
        return false;
    }
    tell(&format!("remove these {count} permanently? Answer `yes` to do so:"));
    let mut answer = String::new();
    let is_yes = stdin().lock().read_line(&mut answer).is_ok() && answer.trim() == "yes";
    if !is_yes {
        tell("nothing is removed");
    }
    is_yes
}

fn kind(left: &LeftBehind) -> &'static str {
    if left.is_topic { "topic" } else { "group" }
}

fn listed(
    found: &[LeftBehind],
    runs: &[RunId],
    is_removable: &dyn Fn(&LeftBehind) -> bool,
) -> String {
    if found.is_empty() {
        let runs = if runs.is_empty() { "a run" } else { "one of these runs" };
        return format!("no topic and no group that {runs} has named is on this cluster\n");
    }
    let line = |left: &LeftBehind| {
        let fate = match (left.in_use.filter(|_| !is_removable(left)), left.is_topic) {
            (None, _) => "",
            (Some(InUse::Recent), true) => {
                "; kept: a record in it is less than 10 min old (`--recent` removes it)"
            }
            (Some(InUse::NoRecords), true) => {
                "; kept: it never had a record, its run may be starting (`--recent` removes it)"
            }
            (Some(InUse::Recent | InUse::NoRecords), false) => {
                "; kept with its run's topic (`--recent` removes both)"
            }
            (Some(InUse::Members), _) => "; kept: it has members",
            (Some(InUse::Unknown), true) => "; kept: its leaders do not answer",
            (Some(InUse::Unknown), false) => "; kept with its run's topic",
        };
        format!("{} {}: {}{fate}\n", kind(left), printable(&left.name), left.holds)
    };
    found.iter().map(line).collect()
}

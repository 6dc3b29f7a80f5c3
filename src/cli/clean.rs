//! `clean`: lists the topics and groups that runs have left on a cluster, and removes them.

use std::io::{BufRead, IsTerminal, stdin};

use clap::Args;

use super::arguments::{ConnectionArguments, planned};
use super::terminal::{print, start_logging, tell};
use crate::base::printable;
use crate::broker::setup::{InUse, LeftBehind};
use crate::error::{Error, Exit};
use crate::plan::Overrides;
use crate::run::Cleaning;
use crate::scenario::Source;

/// Arguments of `clean`.
#[derive(Debug, Args)]
pub(super) struct CleanArguments {
    /// Addresses of the cluster, `host:port[,host:port…]`.
    #[arg(long, value_name = "ADDRESSES")]
    bootstrap: String,

    #[command(flatten)]
    client: ConnectionArguments,

    /// Remove topics with records of the last 10 minutes as well. Only when no run is going on: its topic is one of them.
    #[arg(long)]
    recent: bool,

    /// Remove without asking.
    #[arg(long)]
    yes: bool,
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
    let found = cleaning.find()?;
    let is_removable = |left: &LeftBehind| match left.in_use {
        None => true,
        Some(InUse::Recent) => arguments.recent,
        Some(InUse::Members | InUse::Unknown) => false,
    };
    print(&listed(&found, &is_removable))?;
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
    tell(&format!("remove these {count}, for good? Answer `yes` to do so:"));
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

fn listed(found: &[LeftBehind], is_removable: &dyn Fn(&LeftBehind) -> bool) -> String {
    if found.is_empty() {
        return "no topic and no group with the mark of a run is on this cluster\n".to_owned();
    }
    let line = |left: &LeftBehind| {
        let fate = match left.in_use.filter(|_| !is_removable(left)) {
            None => "",
            Some(InUse::Recent) => {
                "; kept: a record in it is less than 10 min old (`--recent` removes it)"
            }
            Some(InUse::Members) => "; kept: it has members",
            Some(InUse::Unknown) => "; kept: its leaders do not answer",
        };
        format!("{} {}: {}{fate}\n", kind(left), printable(&left.name), left.holds)
    };
    found.iter().map(line).collect()
}

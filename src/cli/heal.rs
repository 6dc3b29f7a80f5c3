//! `heal`: runs the commands that heal faults of a run that was killed before it could heal them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::terminal::{print, tell};
use crate::actors::{LEASE, LeaseError, LeftLease};
use crate::base::{Clock, printable_path};
use crate::error::{Error, Exit};
use crate::plan::Plan;
use crate::run::RESULTS;

/// Arguments of `heal`.
#[derive(Debug, Args)]
pub(super) struct HealArguments {
    /// A lease (`lease.jsonl`), the result directory it is in, or a directory of results.
    #[arg(default_value = RESULTS, value_name = "DIR|FILE")]
    path: PathBuf,

    /// Run the commands. Without it they are only listed.
    #[arg(long)]
    allow_exec: bool,
}

/// Largest number of result directories that are searched.
const DIRECTORIES_MAX: usize = 100_000;

/// Lists the faults that are not healed, and heals them.
pub(super) fn heal(arguments: &HealArguments) -> Result<Exit, Error> {
    let path = &arguments.path;
    if !path.exists() {
        // The default directory may not exist yet.
        if path == Path::new(RESULTS) {
            print("nothing to heal: there is no directory `results`\n")?;
            return Ok(Exit::Passed);
        }
        let path = printable_path(path);
        return Err(Error::Input(format!("there is no `{path}`; give the directory of a result")));
    }
    let clock = Clock::start();
    let (mut failures, mut is_empty, mut is_listed) = (Vec::new(), true, false);
    for path in leases(path) {
        match LeftLease::open(&path) {
            Ok(None) => {}
            Ok(Some(lease)) if lease.outstanding().next().is_none() => lease.remove_if_done(),
            Ok(Some(mut lease)) => {
                is_empty = false;
                print(&listed(&lease))?;
                match arguments.allow_exec {
                    true => failures.extend(healed(&mut lease, clock)?),
                    false => is_listed = true,
                }
            }
            Err(error) => {
                is_empty = false;
                failures.push(error.to_string());
            }
        }
    }
    if is_empty {
        print(&format!("nothing to heal in `{}`\n", printable_path(path)))?;
    }
    match (failures.is_empty(), is_listed) {
        (true, false) => Ok(Exit::Passed),
        (true, true) => Err(Error::Input(
            "nothing is healed: look at these commands, and add `--allow-exec` to run them"
                .to_owned(),
        )),
        (false, _) => Err(Error::Environment(failures.join("\nalso: "))),
    }
}

/// Heals the faults that a run has left, the latest first. Returns the failures as text.
fn healed(lease: &mut LeftLease, clock: Clock) -> Result<Vec<String>, Error> {
    let mut failures = Vec::new();
    let todo: Vec<_> = lease.outstanding().map(|it| (it.fault, it.heal_shown())).collect();
    for (fault, command) in todo {
        match lease.heal(fault, clock) {
            Ok(()) => print(&format!("healed: {command}\n"))?,
            Err(why) => failures.push(format!(
                "fault {fault} is not healed: {why}; run it by hand, or `lanekeeper heal {}` again: {command}",
                printable_path(lease.path())
            )),
        }
    }
    Ok(failures)
}

fn listed(lease: &LeftLease) -> String {
    let mut text = format!("{} has left in `{}`:\n", lease.of(), printable_path(lease.path()));
    for entry in lease.outstanding() {
        let at = entry.at.as_deref().map(|at| format!(" at {at}")).unwrap_or_default();
        let (start, heal) = (entry.start_shown(), entry.heal_shown());
        let _ = writeln!(text, "  fault {}{at}: {start}\n    healed by: {heal}", entry.fault);
    }
    text
}

/// The leases at a path: the file itself, those in a result directory, or those in a directory of results.
fn leases(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut found = vec![path.join(LEASE)];
    if let Ok(entries) = std::fs::read_dir(path) {
        found.extend(entries.take(DIRECTORIES_MAX).flatten().map(|it| it.path().join(LEASE)));
    }
    found.retain(|it| it.is_file());
    found.sort();
    found
}

/// Refuses a run on a real cluster while a fault of an earlier run is not healed, because the run would measure a
/// broken cluster. `results` is the directory of results.
///
/// # Errors
/// The faults that are not healed, with a remedy.
pub(super) fn require_healed(plan: &Plan, results: &Path) -> Result<(), Error> {
    if !plan.broker.capability().is_elsewhere && plan.first_command().is_none() {
        return Ok(());
    }
    for path in leases(results) {
        let at = printable_path(&path);
        match LeftLease::open(&path) {
            Ok(None) => {}
            Ok(Some(lease)) if lease.outstanding().next().is_none() => lease.remove_if_done(),
            Ok(Some(lease)) => {
                let count = lease.outstanding().count();
                let faults = if count == 1 { "fault" } else { "faults" };
                return Err(Error::Environment(format!(
                    "{} has left {count} {faults} unhealed; run `lanekeeper heal {at} --allow-exec`, which \
                     without `--allow-exec` lists them, or remove `{at}` if the cluster is whole",
                    lease.of()
                )));
            }
            // Another run holds the lease. It breaks the cluster now, and will heal it.
            Err(error @ LeaseError::Held(_)) => tell(&format!("warning: {error}")),
            Err(error) => return Err(Error::Environment(error.to_string())),
        }
    }
    Ok(())
}

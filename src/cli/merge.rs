//! `merge`: one report from the measurements of several processes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::outputs::{OutputArguments, annotate};
use super::terminal::{Asked, exit, show, tell};
use crate::base::{Share, printable_path};
use crate::error::{Error, Exit};
use crate::measure::PartFile;
use crate::report::{ResultDirectory, read_part};
use crate::run::{merge as merge_shares, plan_of};

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub(super) struct MergeArguments {
    /// The result directories of the processes. One that is missing or was cut short is named in the report.
    #[arg(required = true)]
    directories: Vec<PathBuf>,

    /// Directory for the result of all; must be new or empty. Without it the report is printed only.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    asked: Asked,

    #[command(flatten)]
    outputs: OutputArguments,
}

/// Reads the parts, makes one result, and returns the exit code of its run.
pub(super) fn merge(arguments: &MergeArguments) -> Result<Exit, Error> {
    arguments.outputs.check()?;
    let (files, missing) = parts(&arguments.directories)?;
    let (_, first) = &files[0];
    let plan = plan_of(first).map_err(|error| {
        Error::Input(format!(
            "the scenario in `{}` is not one of this version: {error}; merge it with the version that ran it",
            printable_path(&files[0].0)
        ))
    })?;
    let lost: BTreeMap<u32, String> = Share::all(first.part.share.count)
        .filter(|share| !files.iter().any(|(_, file)| file.part.share == *share))
        .map(|share| {
            let why = match missing.is_empty() {
                true => "no directory of it was given".to_owned(),
                false => missing.join("; "),
            };
            (share.number, why)
        })
        .collect();
    let parts: Vec<_> = files.iter().map(|(_, file)| file.part.clone()).collect();
    let summary = merge_shares(&plan, &parts, &lost);
    let mut last_line = format!("merged from {} of {} shares", parts.len(), first.part.share.count);
    if let Some(out) = &arguments.out {
        let environment =
            |error: crate::report::DirectoryError| Error::Environment(error.to_string());
        let mut directory = ResultDirectory::create(out, &plan.source, plan.times.latency_interval)
            .map_err(environment)?;
        let directories: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
        directory.take_lines_of(&directories);
        directory.finish(&summary).map_err(environment)?;
        last_line = format!("{last_line}, saved to {}", printable_path(out));
        arguments.outputs.write(&summary, out)?;
    }
    show(&summary, &arguments.asked, &last_line)?;
    if arguments.out.is_none() {
        // The files in the first directory are of one share, and some outputs need all of them.
        arguments.outputs.write(&summary, &files[0].0)?;
    }
    annotate(&summary, None, "");
    Ok(exit(summary.verdict))
}

/// Parts with their directories.
type Parts = Vec<(PathBuf, PartFile)>;

/// The parts by their numbers, and the reasons why other directories have none.
fn parts(directories: &[PathBuf]) -> Result<(Parts, Vec<String>), Error> {
    let (mut files, mut missing) = (Parts::new(), Vec::new());
    for directory in directories {
        match read_part(directory) {
            Ok(file) => files.push((directory.clone(), file)),
            Err(why) => {
                tell(&format!("note: {why}"));
                missing.push(why);
            }
        }
    }
    files.sort_by_key(|(_, file)| file.part.share);
    let Some((path, first)) = files.first() else {
        return Err(Error::Input(format!(
            "there is nothing to merge: {}; give the directories of `run --share`",
            missing.join("; ")
        )));
    };
    for (other, file) in &files[1..] {
        if (&file.part.run_id, &file.part.digest) != (&first.part.run_id, &first.part.digest) {
            return Err(Error::Input(format!(
                "`{}` is of another run than `{}`; give the directories of one run",
                printable_path(other),
                printable_path(path)
            )));
        }
    }
    for pair in files.windows(2) {
        if pair[0].1.part.share == pair[1].1.part.share {
            return Err(Error::Input(format!(
                "`{}` and `{}` are both of share {}; give each once",
                printable_path(&pair[0].0),
                printable_path(&pair[1].0),
                pair[0].1.part.share
            )));
        }
    }
    Ok((files, missing))
}

//! `explore`: many seeds of a scenario in virtual time, with faults drawn for each.

use std::fmt::Write;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::arguments::{SEED_MAX, render, simulated_only, source, whole};
use super::terminal::print;
use crate::base::{BrokerKind, Clock, Leftovers, Time, format_count, printable_path};
use crate::error::{Error, Exit};
use crate::report::Sweep;
use crate::run::{
    Broken, Draw, ExploreError, ExploreSettings, Explored, RecordStory, Violation,
    explore as explore_seeds, invariants, listen,
};
use crate::summary::WrongRecord;

/// Arguments of `explore`.
#[derive(Debug, Args)]
pub(super) struct ExploreArguments {
    /// The scenario file. Its faults and expectations are replaced: each seed draws its own faults, and the output
    /// lists the properties that must hold under ALWAYS (no record lost, duplicated, reordered, ...).
    file: PathBuf,

    /// Number of seeds.
    #[arg(long, default_value_t = 1_000, allow_negative_numbers = true,
        value_parser = |text: &str| whole(1, text))]
    seeds: u64,

    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true,
        value_parser = |text: &str| whole(0, text))]
    first_seed: u64,

    /// Number of seeds that run at a time, each on a thread. [default: the number of cores]
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    jobs: Option<u16>,

    /// Largest number of faults per seed.
    #[arg(long, default_value_t = 12, allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    faults: u32,

    /// What each seed draws: `faults` only; also settings that the scenario does not set (`open`: network, cluster,
    /// sizes, timeouts); or `all` of these settings, replacing the file's values. Values of `--set` always stay.
    #[arg(long, value_enum, default_value_t = DrawWord::Open)]
    draw: DrawWord,

    /// Override a value of the scenario, as in `--set run.duration=60s`. Repeatable.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,

    /// File for the minimal reproducer.
    #[arg(long, value_name = "FILE", default_value = "repro.toml")]
    out: PathBuf,

    /// Seeds run in virtual time, on the simulated cluster only.
    #[arg(long, value_parser = simulated_only(), hide = true)]
    broker: Option<BrokerKind>,
}

/// [`Draw`] on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DrawWord {
    Faults,
    Open,
    All,
}

impl From<DrawWord> for Draw {
    fn from(word: DrawWord) -> Draw {
        match word {
            DrawWord::Faults => Draw::Faults,
            DrawWord::Open => Draw::Open,
            DrawWord::All => Draw::All,
        }
    }
}

/// The effect of Ctrl-C, for the message at the first signal.
const ENDING: &str = "no further run is begun";

/// Explores, prints the result, and returns the exit code.
pub(super) fn explore(arguments: &ExploreArguments) -> Result<Exit, Error> {
    let source = source(&arguments.file, &arguments.set)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let first = arguments.first_seed;
    let jobs = arguments.jobs.map_or(cores, usize::from);
    let settings = ExploreSettings {
        seeds: first..first.saturating_add(arguments.seeds).min(SEED_MAX),
        // At most one thread per seed.
        jobs: jobs.min(usize::try_from(arguments.seeds).unwrap_or(usize::MAX)),
        faults_max: arguments.faults,
        draw: arguments.draw.into(),
    };
    room_for(&arguments.out)?;
    let clock = Clock::start();
    let interrupted = listen(ENDING, &Leftovers::default());
    let mut sweep = Sweep::new(arguments.seeds);
    let found = explore_seeds(&source, &arguments.set, &settings, &mut |explored| {
        let elapsed = clock.now().remaining(Time::ZERO);
        match explored.shrink_tries {
            0 => sweep.seeds(explored.seeds, explored.virtual_ns, elapsed),
            tries => sweep.shrinking(tries, elapsed),
        }
        !*interrupted.borrow()
    });
    drop(sweep);
    let (explored, violation) = found.map_err(|error| match error {
        ExploreError::Scenario(diagnostics) => {
            Error::Input(render(&source, &arguments.set, &diagnostics))
        }
        ExploreError::Run(error) => error,
    })?;
    let shrinking = violation.as_ref().map_or(Duration::ZERO, |found| found.smallest.took);
    let took = clock.now().remaining(Time::ZERO).saturating_sub(shrinking);
    let broken = violation.as_ref().map_or(&[][..], |found| &found.broken);
    let account = account(&explored, took, settings.jobs, broken);
    match violation {
        Some(violation) => {
            let text = &violation.smallest.text;
            // The file is written before anything is printed, because the search may have taken hours.
            let written = std::fs::write(&arguments.out, text);
            let out = printable_path(&arguments.out);
            if let Err(error) = written {
                print(&format!("{account}\n{text}"))?;
                return Err(Error::Environment(format!(
                    "cannot write `{out}`: {error}; the smallest case is printed above"
                )));
            }
            print(&(account + &verdict(&violation, &out)))?;
            Ok(Exit::Failed)
        }
        None if *interrupted.borrow() => {
            let (seeds, all) = (format_count(explored.seeds), format_count(arguments.seeds));
            print(&format!(
                "{account}\ninterrupted after {seeds} of {all} seeds; nothing broke in these\n"
            ))?;
            Ok(Exit::Interrupted)
        }
        None => {
            print(&format!("{account}\nnothing broke\n"))?;
            Ok(Exit::Passed)
        }
    }
}

/// Checks that the file for the smallest case can be written, before a search that may take hours.
fn room_for(out: &Path) -> Result<(), Error> {
    let tried = File::create_new(out).and_then(|_| std::fs::remove_file(out));
    tried.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Input(format!(
            "`{}` exists already\n  help: move it away, or give another file with --out",
            printable_path(out)
        )),
        _ => Error::Environment(format!(
            "cannot write `{}`: {error}; give another file with --out",
            printable_path(out)
        )),
    })
}

fn account(explored: &Explored, took: Duration, jobs: usize, broken: &[Broken]) -> String {
    let virtual_s = explored.virtual_ns as f64 / 1e9;
    let took_s = took.as_secs_f64().max(1e-9);
    let mut text = format!(
        "EXPLORED  {} seeds, {} records\n  {:.0} s of virtual time in {took_s:.1} s with {jobs} jobs: {:.0} x real time, {:.1} seeds/s\n",
        format_count(explored.seeds),
        format_count(explored.delivered),
        virtual_s,
        virtual_s / took_s,
        explored.seeds as f64 / took_s,
    );
    let kinds =
        explored.faults.iter().map(|(kind, count)| format!("{kind} {}", format_count(*count)));
    let _ = writeln!(text, "  faults: {}", kinds.collect::<Vec<_>>().join(", "));
    if explored.settings.is_empty() {
        text.push_str("  settings: none drawn\n");
    }
    for (section, keys) in &explored.settings {
        let _ = writeln!(text, "  drawn of [{section}]: {}", keys.join(", "));
    }
    text.push_str("\nSOMETIMES  in how many seeds the faults showed\n");
    let width = explored.sometimes.keys().map(|what| what.len()).max().unwrap_or(0);
    for (what, seeds) in &explored.sometimes {
        let _ = writeln!(text, "  {what:width$}  {:>9}", format_count(*seeds));
    }
    text.push_str("\nALWAYS  what must hold in every seed\n");
    let width = invariants().map(|(figure, _)| figure.len()).max().unwrap_or(0);
    for (figure, meaning) in invariants() {
        let _ = match broken.iter().find(|broken| broken.figure == figure) {
            Some(Broken { measured, .. }) => {
                writeln!(text, "  ✗ {figure:width$} = {measured}  {meaning}: broken")
            }
            None => writeln!(text, "  ✓ {figure:width$} = 0  {meaning}"),
        };
    }
    text
}

fn verdict(violation: &Violation, out: &str) -> String {
    let mut text = format!("\nBROKEN  by seed {}\n", violation.seed);
    for broken in &violation.broken {
        let (figure, measured, meaning) = (broken.figure, &broken.measured, broken.meaning);
        let _ = writeln!(text, "  ✗ {figure} = {measured} (must be 0: {meaning})");
    }
    let small = &violation.smallest;
    let took_s = small.took.as_secs_f64();
    let _ = writeln!(text, "\nSHRUNK  in {} runs ({took_s:.1} s)", small.tries);
    let _ = writeln!(text, "  {:10}  {:>8}  {:>8}", "", "found", "left");
    let (found, left) = (violation.size, small.size);
    for (what, found, left) in [
        ("faults", found.faults as u64, left.faults as u64),
        ("settings", found.settings as u64, left.settings as u64),
        ("partitions", found.partitions.into(), left.partitions.into()),
        ("producers", found.producers.into(), left.producers.into()),
        ("seconds", found.load.as_secs(), left.load.as_secs()),
    ] {
        let _ =
            writeln!(text, "  {what:10}  {:>8}  {:>8}", format_count(found), format_count(left));
    }
    text.push_str(match small.is_minimal {
        true if left.faults == 0 => "  it takes no fault\n",
        true => "  each of the faults is needed\n",
        false => "  given up before it was sure that each of the faults is needed\n",
    });
    for broken in &small.broken {
        let _ = writeln!(text, "  ✗ {} = {}", broken.figure, broken.measured);
    }
    text.push_str(&match &small.story {
        Some(told) => story(told),
        None => no_story(small.broken.first().map_or("", |broken| broken.figure)),
    });
    let _ =
        writeln!(text, "\nThe smallest case is in {out}:\n\n  lanekeeper run {out} --broker sim");
    text
}

/// The text if the figure counts no single record.
fn no_story(figure: &str) -> String {
    let why = match figure {
        "lost" => "others of the partition are unread, and which of both a record is, is not known",
        _ => "it counts no single record",
    };
    format!("\nSTORY  none for `{figure}`: {why}\n")
}

/// The story of the record as lines.
fn story(story: &RecordStory) -> String {
    let WrongRecord { figure, partition, producer, sequence, .. } = &story.record;
    let number = |value: Option<u64>| value.map_or("?".to_owned(), format_count);
    let mut text = format!(
        "\nSTORY  of the first record that `{figure}` tells of: number {} of producer {} to partition {partition};\n  \
         seconds since the load began\n",
        number(*sequence),
        number(producer.map(u64::from)),
    );
    let behind = story.lines.len() - story.last;
    for (at, line) in story.lines.iter().enumerate() {
        if at == behind && story.left_out > 0 {
            let _ = writeln!(text, "  … {} more lines", format_count(story.left_out as u64));
        }
        let _ = writeln!(text, "  {:>13.6}  {:12}  {}", line.at.as_secs_f64(), line.who, line.what);
    }
    text
}

//! The results in a directory, with a few figures of each.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::directory::{RESULT, SO_FAR};
use super::stored::read_summary;
use super::table::Table;
use super::words::{value_text, verdict_word};
use crate::base::{printable, printable_path};
use crate::summary::{Figure, Summary, Verdict};

/// The figures of a row, by their names in `[expect]`.
const FIGURES: [&str; 4] = ["latency.p99", "achieved_per_s", "lost", "restarts"];

/// A result directory.
#[derive(Debug)]
pub struct PastResult {
    /// Path of the result.
    pub path: PathBuf,
    /// Time at which the summary was written.
    pub written: Option<SystemTime>,
    /// The summary, or the reason why it cannot be read.
    pub summary: Result<Summary, String>,
}

/// The results in a directory, the newest first. Other directories are left out.
///
/// # Errors
/// The directory cannot be read.
pub fn past_results(directory: &Path) -> io::Result<Vec<PastResult>> {
    let mut results = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let written = |name: &str| std::fs::metadata(path.join(name)).ok();
        let Some(file) = written(RESULT).or_else(|| written(SO_FAR)) else { continue };
        let summary = read_summary(&path).map_err(|error| error.to_string());
        results.push(PastResult { path, written: file.modified().ok(), summary });
    }
    results.sort_by(|a, b| b.written.cmp(&a.written).then_with(|| a.path.cmp(&b.path)));
    Ok(results)
}

/// A line for each result, followed by the reasons why some cannot be read.
pub fn past_results_text(results: &[PastResult], width: Option<usize>) -> String {
    let mut table = Table::default();
    let headings = ["written (UTC)", "verdict", "scenario", "broker"].into_iter();
    let last = ["faults", "directory"];
    table.row(headings.chain(FIGURES).chain(last).map(str::to_owned));
    let mut notes = String::new();
    for result in results {
        let path = printable_path(&result.path);
        match &result.summary {
            Ok(summary) => table.row(cells(result.written, summary, path)),
            Err(error) => {
                let reason = error.lines().next().unwrap_or_default();
                notes.push_str(&format!("not readable: {}\n", printable(reason)));
            }
        }
    }
    let lines = table.blocks(width).concat();
    lines.iter().map(|line| format!("{line}\n")).collect::<String>() + &notes
}

fn cells(written: Option<SystemTime>, summary: &Summary, path: String) -> Vec<String> {
    let value = |name: &str| {
        // In a run that was cut off, records in flight cannot be told from lost ones.
        if name == "lost" && summary.verdict == Verdict::CutOff {
            return "-".to_owned();
        }
        let figure = Figure::parse(name);
        let value = figure.and_then(|figure| figure.values(summary).first()?.1);
        match (value, figure) {
            (Some(value), Some(figure)) => value_text(figure.metric.unit, value),
            _ => "-".to_owned(),
        }
    };
    let first = [
        written.map_or("-".to_owned(), moment),
        verdict_word(summary.verdict).to_owned(),
        printable(&summary.scenario).into_owned(),
        printable(&summary.broker).into_owned(),
    ];
    let faults = summary.faults.iter().filter(|fault| fault.at_s.is_some()).count();
    first.into_iter().chain(FIGURES.map(value)).chain([faults.to_string(), path]).collect()
}

fn moment(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
    let at = jiff::Timestamp::from_second(seconds);
    at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_a_row_is_one_of_the_table() {
        assert!(FIGURES.iter().all(|name| Figure::parse(name).is_some()));
    }

    #[test]
    fn what_is_no_result_is_left_out_and_what_is_damaged_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["other", "damaged"] {
            std::fs::create_dir(scratch.path().join(name)).unwrap();
        }
        std::fs::write(scratch.path().join("damaged").join(RESULT), "{\"schema_ver").unwrap();
        let results = past_results(scratch.path()).unwrap();
        assert_eq!(results.len(), 1);
        let text = past_results_text(&results, None);
        assert!(text.contains("not readable: ") && text.contains("is damaged"), "{text}");
        assert!(past_results(&scratch.path().join("none")).is_err());
    }
}

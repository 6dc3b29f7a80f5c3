//! The output formats of a summary on stdout, and the summary as JSON. Each format is a [`Renderer`] and one line in
//! [`OUTPUTS`](super::OUTPUTS).

use crate::summary::{PartitionSummary, Summary};

/// An output format of a summary.
#[derive(Debug)]
pub struct Renderer {
    /// Name on the command line.
    pub name: &'static str,
    /// Description of the output.
    pub meaning: &'static str,
    /// True if programs read the output, so that no other text may be printed during the run.
    pub is_for_programs: bool,
    /// Makes the text.
    pub print: fn(&Summary, &Page<'_>) -> serde_json::Result<String>,
}

/// The parameters of the output.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Characters of a line; `None` if lines are not wrapped.
    pub width: Option<usize>,
    /// True for all details, and not only the most important ones.
    pub is_full: bool,
    /// The only partition to report on; `None` for the whole run.
    pub partition: Option<u32>,
    /// A remark for the end of the output.
    pub last_line: &'a str,
}

/// The summary in the format of `result.json`.
pub(super) const JSON: Renderer = Renderer {
    name: "json",
    meaning: "The content of result.json, without its checksums",
    is_for_programs: true,
    print: |summary, page| {
        let is_asked = |p: &&PartitionSummary| Some(p.partition) == page.partition;
        let text = match summary.partitions.iter().find(is_asked) {
            Some(partition) => serde_json::to_string_pretty(partition)?,
            None => serde_json::to_string_pretty(summary)?,
        };
        Ok(format!("{text}\n"))
    },
};

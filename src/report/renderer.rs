//! What a way to print a summary on stdout is, and the summary as JSON. Each way is a [`Renderer`] and one line in
//! [`OUTPUTS`](super::OUTPUTS).

use crate::summary::{PartitionSummary, Summary};

/// A way to print a summary.
#[derive(Debug)]
pub struct Renderer {
    /// Name on the command line.
    pub name: &'static str,
    /// Description of the output.
    pub meaning: &'static str,
    /// Whether a program reads it, so that nothing is said beside it while a run goes on.
    pub is_for_programs: bool,
    /// Makes the text.
    pub print: fn(&Summary, &Page<'_>) -> serde_json::Result<String>,
}

/// The destination of the text.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Characters of a line; none where lines are not wrapped.
    pub width: Option<usize>,
    /// Whether everything is wanted, and not only what matters most.
    pub is_full: bool,
    /// The one partition that is asked about.
    pub partition: Option<u32>,
    /// A remark for the end of the output.
    pub last_line: &'a str,
}

/// The summary as `result.json` has it.
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

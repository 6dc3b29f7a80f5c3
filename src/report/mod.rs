//! The output for users: the terminal report, JSON, the live view, and the result directory.
//!
//! All output is made from the [`Summary`](crate::summary::Summary) and the collector's intervals. This module knows
//! neither brokers nor actors nor machines.

mod annotations;
mod command;
mod directory;
mod exposition;
mod fault_table;
mod files;
mod follower;
mod html;
mod interval_log;
mod junit;
mod live;
mod merged_lines;
mod part_file;
mod native_buckets;
mod partition_view;
mod past_results;
mod full_report;
mod renderer;
mod request_lines;
mod result_schema;
mod progress;
mod seconds;
mod sending_lines;
mod series;
mod shares_table;
mod snapshot;
mod stage_table;
mod step_summary;
mod stored;
mod sums;
mod short;
mod slow_table;
mod styles;
mod table;
mod text;
mod words;

pub use annotations::github_annotations;
pub use directory::{DirectoryError, ResultDirectory, write_host};
pub use exposition::{ExpositionFormat, exposition};
pub use files::{FileKind, FileOutputError, require_writable, write_file, write_page};
pub use follower::{LatestSnapshot, RunFollower};
pub use full_report::full_report;
pub use html::{PageParts, html_document, html_page};
pub use junit::junit_report;
pub use live::leave_screen;
pub use part_file::{read_part, write_part};
pub use partition_view::partition_report;
pub use past_results::{PastResult, past_results, past_results_text};
pub use progress::{LogWriter, ProgressView, Sweep, say};
pub use renderer::{Page, Renderer};
pub use result_schema::result_schema;
pub use seconds::Second;
pub use series::Series;
pub use short::short_report;
pub use snapshot::RunSnapshot;
pub use step_summary::markdown_summary;
pub use stored::{StoredError, StoredResult, read_result, read_summary};

/// The output formats, the default first.
pub const OUTPUTS: [&Renderer; 2] = [&text::TEXT, &renderer::JSON];

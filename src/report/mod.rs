//! What a user sees: the terminal report, JSON, the live view, and the result directory.
//!
//! Everything is made from the [`Summary`](crate::summary::Summary) and the collector's intervals; nothing here
//! knows brokers, actors or machines.

mod directory;
mod fault_table;
mod interval_log;
mod renderer;
mod progress;
mod stored;
mod sums;
mod table;
mod terminal;

pub use directory::{DirectoryError, ResultDirectory, write_host};
pub use progress::{LogWriter, ProgressView, Sweep};
pub use renderer::{Page, Renderer};
pub use stored::{StoredError, StoredResult, read_result};
pub use terminal::render;

/// The ways to print a summary, the usual one first.
pub const OUTPUTS: [&Renderer; 2] = [&terminal::TEXT, &renderer::JSON];

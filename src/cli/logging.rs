//! Logs: to stderr as asked, and from `info` on into the result directory.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::report::LogWriter;

/// Starts logging. `LANEKEEPER_LOG` (as `RUST_LOG` elsewhere) overrides -v on stderr.
pub(super) fn start(verbose: u8, directory: Option<&Path>) {
    // ractor wraps every actor in a span with its id, which is process-wide and says nothing to a reader.
    let level = match verbose {
        0 => "error,ractor=off",
        1 => "info,ractor=off",
        _ => "debug,ractor=off",
    };
    let filter =
        EnvFilter::try_from_env("LANEKEEPER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let colour = !matches!(anstream::stderr().current_choice(), anstream::ColorChoice::Never);
    // Said on stderr, a failure to write would panic where stderr is what cannot be written to.
    let stderr = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(|| LogWriter)
        .with_ansi(colour)
        .with_target(false)
        .with_filter(filter);
    let file = directory.and_then(|directory| File::create(directory.join("run.log")).ok());
    let file = file.map(|file| {
        tracing_subscriber::fmt::layer()
            .log_internal_errors(false)
            .with_writer(Mutex::new(file))
            .with_ansi(false)
            .with_target(false)
            .with_filter(EnvFilter::new("info,ractor=off"))
    });
    // A second start, in tests, keeps the first.
    let _ = tracing_subscriber::registry().with(stderr).with(file).try_init();
}

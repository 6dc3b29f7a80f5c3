//! The settings of all benches: long enough for a stable median, and short enough to be run often.

use std::time::Duration;

use criterion::Criterion;

/// The shared settings.
pub(crate) fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

//! Comparisons of set-ups: variants of a scenario, rounds of each, and the statistics of their figures.
//!
//! The statistics are pure functions, each in a file of its own.

mod axes;
mod difference;
mod figures;
pub mod guide;
mod holm;
mod html;
mod limit;
mod order;
mod rate_search;
mod regression;
mod rounds;
mod sample;
mod scale;
mod sentence;
mod settings;
mod side_by_side;
mod sweep;
mod text;
mod variant;

pub use axes::{Axis, COMBINATIONS_MAX, combinations};
pub use difference::{Difference, Interval, Noise, SIGNIFICANCE, difference, interval};
pub use figures::NamedFigure;
pub use holm::adjusted;
pub use html::comparison_page;
pub use limit::{
    LIMIT_VERSION, LimitReport, LimitRuns, LimitSearch, LimitStep, Observers, expectation_override,
    find_limit, fixed_stages, rate_override,
};
pub use order::balanced;
pub use rate_search::{RateOutcome, RateSearch, SearchSettings};
pub use regression::{RegressionRule, Threshold, regressions};
pub use rounds::{
    Counts, InvalidRun, REPEATS_MAX, RoundObserver, RoundSettings, RoundsDone, ToError, run_rounds,
};
pub use sample::{Estimate, RESAMPLES, Sample, mean};
pub use sentence::sentence;
pub use settings::{SettingRow, not_comparable, setting_rows, settings};
pub use side_by_side::{
    COMPARISON_VERSION, Change, ChangeWord, MetricRow, MetricValue, SideBySide, VariantAccount,
    side_by_side,
};
pub use sweep::{SWEEP_FIGURES, SweepRow, SweepTable, SweepValue};
pub use text::text;
pub use variant::{Variant, VariantRounds};

//! The short report: the results of a run in at most 30 lines of 80 characters. The full report has the rest.
//!
//! Each part makes a [`Section`](sections::Section), and [`sections`] cuts the lines that do not fit.

mod faults;
mod latency;
mod partitions;
mod report;
mod sections;
mod stages;
mod unit;

pub use report::short_report;

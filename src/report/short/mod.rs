//! The short report: what a run came to, in at most 30 lines of 80 characters. Everything else is in the full one.
//!
//! Each part of it makes a [`Section`](sections::Section), and [`sections`] cuts what does not fit.

mod faults;
mod latency;
mod partitions;
mod report;
mod sections;
mod stages;
mod unit;

pub use report::short_report;

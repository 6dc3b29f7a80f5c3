//! How far an exploration has come: a bar on a terminal, a plain line now and then elsewhere. On stderr.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::progress::{PLAIN_INTERVAL, say};
use crate::base::format_count;

/// The view.
pub struct Sweep {
    total: u64,
    bar: Option<ProgressBar>,
    next: Duration,
}

impl Sweep {
    /// A view of so many seeds.
    pub fn new(total: u64) -> Sweep {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{bar:24} {pos}/{len} seeds  {msg}  {eta} left");
            ProgressBar::new(total)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Sweep { total, bar, next: PLAIN_INTERVAL }
    }

    /// So many seeds are through, with so much virtual time, since `elapsed`.
    pub fn seeds(&mut self, seeds: u64, virtual_ns: u64, elapsed: Duration) {
        let elapsed_s = elapsed.as_secs_f64().max(1e-9);
        let (rate, speed) = (seeds as f64 / elapsed_s, virtual_ns as f64 / 1e9 / elapsed_s);
        let message = format!("{rate:.0} seeds/s, {speed:.0} x real time");
        if let Some(bar) = &self.bar {
            bar.set_position(seeds);
            bar.set_message(message);
        } else if elapsed >= self.next {
            self.next = elapsed + PLAIN_INTERVAL;
            let (seeds, total) = (format_count(seeds), format_count(self.total));
            say(&format!("{seeds}/{total} seeds  {message}"));
        }
    }

    /// What was found is being made smaller, in so many runs by now.
    pub fn shrinking(&mut self, tries: usize, elapsed: Duration) {
        let message = format!("makes the case smaller, run {}", tries + 1);
        if let Some(bar) = &self.bar {
            bar.set_message(message);
        } else if elapsed >= self.next {
            self.next = elapsed + PLAIN_INTERVAL;
            say(&message);
        }
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

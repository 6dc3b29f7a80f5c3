//! The progress of a run or an exploration on stderr. On a terminal it is the live view or a bar, and otherwise a line
//! every 10 seconds.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::follower::LatestSnapshot;
use super::live::{LiveView, hold};
use crate::base::{format_count, format_duration};
use crate::measure::IntervalTotals;

/// Time between two lines without a terminal.
pub(super) const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the progress of a run.
pub struct ProgressView {
    view: View,
}

enum View {
    Silent,
    Plain {
        total: Duration,
        next: Duration,
    },
    Bar {
        bar: ProgressBar,
        total: Duration,
    },
    /// The live view, which draws until it is dropped.
    Screen {
        _view: LiveView,
    },
}

/// Gets log lines while a bar is drawn, so that they do not damage it.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);

impl ProgressView {
    /// A view of a run whose load lasts `total`; without any output if `quiet`.
    pub fn new(total: Duration, quiet: bool) -> ProgressView {
        let view = if quiet {
            View::Silent
        } else if std::io::stderr().is_terminal() {
            let bars = MultiProgress::new();
            let bar = bars.add(ProgressBar::new(total.as_millis().max(1) as u64));
            // The template is a constant, so the first run would show an error in it.
            let style = ProgressStyle::with_template("{prefix:18} {bar:24} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            *BARS.lock().unwrap_or_else(PoisonError::into_inner) = Some(bars);
            View::Bar { bar, total }
        } else {
            View::Plain { total, next: Duration::ZERO }
        };
        ProgressView { view }
    }

    /// Plain lines, also on a terminal.
    pub fn plain(total: Duration) -> ProgressView {
        ProgressView { view: View::Plain { total, next: Duration::ZERO } }
    }

    /// The live view of the run with the snapshots in `latest`; `None` if stderr is no terminal that can be drawn on.
    /// `stop` ends the run like Ctrl-C.
    pub fn live(latest: LatestSnapshot, stop: fn()) -> Option<ProgressView> {
        Some(ProgressView { view: View::Screen { _view: LiveView::start(latest, stop)? } })
    }

    /// A phase of the run begins.
    pub fn phase(&mut self, name: &str) {
        match &self.view {
            View::Silent | View::Screen { .. } => {}
            View::Plain { .. } => say(&format!("{name} …")),
            View::Bar { bar, .. } => {
                bar.set_prefix(name.to_owned());
                bar.tick();
            }
        }
    }

    /// The last second.
    pub fn second(&mut self, live: &IntervalTotals<'_>, elapsed: Duration) {
        match &mut self.view {
            View::Silent | View::Screen { .. } => {}
            View::Plain { total, next } => {
                if elapsed >= *next {
                    *next = elapsed + PLAIN_INTERVAL;
                    say(&line(live, elapsed, *total));
                }
            }
            View::Bar { bar, total } => {
                bar.set_position((elapsed.as_millis() as u64).min(total.as_millis() as u64));
                bar.set_message(line(live, elapsed, *total));
            }
        }
    }
}

impl Drop for ProgressView {
    fn drop(&mut self) {
        if let View::Bar { bar, .. } = &self.view {
            bar.finish_and_clear();
            *BARS.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

fn line(live: &IntervalTotals<'_>, elapsed: Duration, total: Duration) -> String {
    let latency =
        |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| format_duration(Duration::from_nanos(ns)));
    let worst = live.worst.map_or(String::new(), |(partition, ns)| {
        format!(", worst {} on {partition}", latency(Some(ns)))
    });
    format!(
        "{}  {} msg/s  p50 {}  p99 {}{worst}  lag {}",
        time_text(elapsed, total),
        format_count((live.delivered as f64 / live.seconds.max(1e-3)) as u64),
        latency(live.response.quantile_ns(0.50)),
        latency(live.response.quantile_ns(0.99)),
        format_count(live.lag)
    )
}

/// The time since the beginning of a load that lasts `total`. After its end, records are drained.
fn time_text(elapsed: Duration, total: Duration) -> String {
    let [at, whole] = [elapsed, total].map(|time| time.as_secs_f64().round() as u64);
    match at.saturating_sub(whole) {
        0 => format!("{at}/{whole} s"),
        drained => format!("{whole}/{whole} s, draining for {drained} s"),
    }
}

/// Prints a line to stderr, or holds it back until the live view has ended.
pub fn say(line: &str) {
    if hold(&format!("{line}\n")) {
        return;
    }
    // A stderr that cannot be written to does not stop a run.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// A writer for log lines on stderr that does not damage a bar.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        if hold(&String::from_utf8_lossy(text)) {
            return Ok(text.len());
        }
        let bars = BARS.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || anstream::stderr().write_all(text);
        match &*bars {
            Some(bars) => bars.suspend(write)?,
            None => write()?,
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        anstream::stderr().flush()
    }
}

/// The progress of an exploration.
pub struct Sweep {
    total: u64,
    bar: Option<ProgressBar>,
    next: Duration,
}

impl Sweep {
    /// A view of an exploration of `total` seeds.
    pub fn new(total: u64) -> Sweep {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{bar:24} {pos}/{len} seeds  {msg}  {eta} left");
            ProgressBar::new(total)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Sweep { total, bar, next: PLAIN_INTERVAL }
    }

    /// Shows the number of finished seeds and their virtual time, since `elapsed`.
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

    /// Shows the number of runs for making the case smaller.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_load_is_not_more_than_its_length() {
        let text =
            |ms, total_ms| time_text(Duration::from_millis(ms), Duration::from_millis(total_ms));
        assert_eq!(text(0, 6_000), "0/6 s");
        assert_eq!(text(6_400, 6_000), "6/6 s");
        assert_eq!(text(41_020, 6_000), "6/6 s, draining for 35 s");
        assert_eq!(text(1_500, 1_500), "2/2 s");
    }
}

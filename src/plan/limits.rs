//! When a run's figures are not to be believed, and how children come back.

use std::time::Duration;

use crate::base::Random;

/// Thresholds of self-doubt. Beyond them a run is `INVALID`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Smallest share of the records due in the measured window that a paced run sends.
    pub sent_min: f64,
    /// Largest p99 of schedule lateness that is accepted without a check of the response time.
    pub lateness_p99_max: Duration,
    /// Beyond `lateness_p99_max`, the largest share of the response time's p50 it may be.
    pub lateness_share_max: f64,
    /// Largest share of the CPUs it may use that this process may take.
    pub cpu_share_max: f64,
    /// Gaps a lane may have at once before the ledger gives up.
    pub sequence_gaps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            sent_min: 0.99,
            lateness_p99_max: Duration::from_millis(1),
            lateness_share_max: 0.10,
            cpu_share_max: 0.80,
            sequence_gaps: 4096,
        }
    }
}

/// When a consumer that says nothing counts as hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchPolicy {
    /// How long a host may take to come round; and what each remedy gets to help.
    pub poll: Duration,
    /// How long records may wait without one coming, while no trouble of the cluster is known.
    pub fetch: Duration,
    /// How long the thread of an incarnation that was given up may take to close its client.
    pub close: Duration,
    /// Threads that may be abandoned at once before the run has failed.
    pub abandoned_max: u32,
}

impl Default for WatchPolicy {
    fn default() -> Self {
        WatchPolicy {
            poll: Duration::from_secs(5),
            // Longer than any healthy client takes to find another broker.
            fetch: Duration::from_secs(30),
            close: Duration::from_secs(10),
            abandoned_max: 3,
        }
    }
}

/// How a failed consumer or pool comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    /// Delay before the second restart; the first is immediate.
    pub backoff: Duration,
    /// Factor from one delay to the next.
    pub factor: f64,
    /// Longest delay.
    pub backoff_max: Duration,
    /// Each delay is spread by this share, seeded.
    pub jitter: f64,
    /// Progress and this long without a failure reset the delay.
    pub stable: Duration,
    /// Failures without progress within `budget_window` after which a consumer is given up.
    pub budget: u32,
    /// See `budget`.
    pub budget_window: Duration,
}

impl RestartPolicy {
    /// The delay after `delays` others in a row: `backoff` x `factor`^n up to `backoff_max`, spread by `jitter`.
    pub fn delay(&self, delays: u32, random: &mut Random) -> Duration {
        let exact = self.backoff.as_secs_f64() * self.factor.powi(delays.min(64) as i32);
        let capped = exact.min(self.backoff_max.as_secs_f64());
        let spread = 1.0 + self.jitter * (2.0 * random.unit() - 1.0);
        Duration::from_secs_f64(capped * spread)
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        RestartPolicy {
            backoff: Duration::from_millis(200),
            factor: 2.0,
            backoff_max: Duration::from_secs(30),
            jitter: 0.2,
            stable: Duration::from_secs(1),
            budget: 5,
            budget_window: Duration::from_secs(120),
        }
    }
}

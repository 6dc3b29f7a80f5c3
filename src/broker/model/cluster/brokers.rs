//! A broker: its cores, its disk, and what is wrong with it.

use std::time::Duration;

use super::{Caller, Cluster, Cores};
use crate::base::Time;
use crate::broker::protocol::{BrokerId, Request};

/// A broker of the cluster.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) cores: Cores,
    /// Its process is gone.
    pub(super) is_down: bool,
    /// Its process stands still: what reaches it waits.
    pub(super) is_paused: bool,
    /// It reaches neither the controller nor another broker.
    pub(super) is_isolated: bool,
    /// The controller has given it up.
    pub(super) is_fenced: bool,
    /// How often it has fallen silent.
    pub(super) silences: u32,
    /// What came while it was paused.
    pub(super) queue: Vec<(Caller, Request)>,
    /// What its messages to other brokers take longer.
    pub(super) link_delay: Duration,
    /// What its disk needs for each append besides, and until when it is busy with that.
    pub(super) disk_cost: Duration,
    disk_free: Time,
    /// Who led what, and the high watermarks, when it was cut off from the controller and did not hear of elections
    /// any more.
    pub(super) stale: Option<Vec<(Option<BrokerId>, i64)>>,
}

impl Cluster {
    /// How many requests wait at brokers that stand still.
    pub fn queued(&self) -> usize {
        self.brokers.iter().map(|broker| broker.queue.len()).sum()
    }

    /// These requests.
    pub fn queued_requests(&self) -> impl Iterator<Item = &Request> {
        self.brokers.iter().flat_map(|broker| &broker.queue).map(|(_, request)| request)
    }
}

impl Broker {
    pub(super) fn new(cores: u32) -> Broker {
        Broker {
            cores: Cores::new(cores),
            is_down: false,
            is_paused: false,
            is_isolated: false,
            is_fenced: false,
            silences: 0,
            queue: Vec::new(),
            link_delay: Duration::ZERO,
            disk_cost: Duration::ZERO,
            disk_free: Time::ZERO,
            stale: None,
        }
    }

    /// Whether it does anything.
    pub(super) fn is_running(&self) -> bool {
        !self.is_down && !self.is_paused
    }

    /// Whether other brokers and the controller hear of it.
    pub(super) fn is_heard(&self) -> bool {
        self.is_running() && !self.is_isolated
    }

    /// Whether it replicates as fast as ever.
    pub(super) fn is_smooth(&self) -> bool {
        self.is_heard() && !self.is_fenced && self.link_delay.is_zero() && self.disk_cost.is_zero()
    }

    /// When an append that comes at `at` is on its disk.
    #[inline]
    pub(super) fn write(&mut self, at: Time) -> Time {
        if self.disk_cost.is_zero() {
            return at;
        }
        self.disk_free = self.disk_free.max(at) + self.disk_cost;
        self.disk_free
    }
}

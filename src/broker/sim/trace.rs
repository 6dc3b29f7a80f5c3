//! The rolling hash of everything that happens: two runs are the same if and only if (to 64 bits) it is.

use crate::base::Time;

/// A hash over the events so far.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
}

impl Trace {
    /// Nothing has happened.
    pub fn new(seed: u64) -> Trace {
        Trace { hash: seed ^ 0x9e37_79b9_7f4a_7c15, events: 0 }
    }

    /// Adds an event: when, what, to whom, and a number that tells its content.
    #[inline]
    pub fn add(&mut self, at: Time, kind: u8, who: u32, content: u64) {
        self.events += 1;
        let what = (u64::from(kind) << 56) ^ (u64::from(who) << 24) ^ content.rotate_left(32);
        self.hash = (self.hash.rotate_left(5) ^ at.0 as u64).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.hash = (self.hash.rotate_left(5) ^ what).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// The hash.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Number of events.
    pub fn events(&self) -> u64 {
        self.events
    }
}

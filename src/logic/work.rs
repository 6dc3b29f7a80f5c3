//! What processing a record costs, drawn from a seeded stream.

use std::time::Duration;

use crate::base::{Random, Seed};
use crate::plan::{ServiceTime, Work};

/// What a host has to do for a record before it counts as processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Nothing.
    None,
    /// Occupy a core for this long.
    Cpu(Duration),
    /// Wait for this long.
    Wait(Duration),
}

/// Draws the effort of one record after the other.
#[derive(Clone, Debug)]
pub struct WorkSampler {
    work: Work,
    random: Random,
}

impl WorkSampler {
    /// A sampler with a stream of its own.
    pub fn new(work: Work, seed: Seed) -> WorkSampler {
        WorkSampler { work, random: seed.random() }
    }

    /// The next record's effort.
    #[inline]
    pub fn draw(&mut self) -> Effort {
        match self.work {
            Work::None => Effort::None,
            Work::Cpu(span) => Effort::Cpu(self.span(span)),
            Work::Wait(span) => Effort::Wait(self.span(span)),
        }
    }

    fn span(&mut self, span: ServiceTime) -> Duration {
        match span {
            ServiceTime::Fixed(span) => span,
            ServiceTime::Exponential { mean } => {
                Duration::from_secs_f64(self.random.exponential(mean.as_secs_f64()))
            }
            ServiceTime::Uniform { min, max } => {
                min + Duration::from_secs_f64((max - min).as_secs_f64() * self.random.unit())
            }
        }
    }
}

//! What is done for a record: a cost drawn from a seeded stream, or the user's own code.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::base::{Headers, Incarnation, Offset, PartitionId, Random, Seed, Stamp};
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

/// What a consumer does with a record. A scenario's `work` only costs time; an implementation of this does what
/// a service would do, and is supervised, measured and broken like it.
///
/// One handler works for one partition and one incarnation of its consumer, on the consumer's own thread; it may
/// block. A restart drops it and makes a new one, which begins at the first record that did not count.
pub trait Handler: Send {
    /// Processes a record. When it returns `Ok`, the record counts as processed and the checkpoint moves past it;
    /// the time until then is the record's handling time. After an error or a panic the record does not count, and
    /// neither does anything behind it.
    ///
    /// # Errors
    /// The record is not processed: see [`HandlerError`] for what follows from it.
    fn handle(&mut self, record: &Record<'_>) -> Result<(), HandlerError>;
}

/// A record for a [`Handler`], where it lies in the client's memory. It is intact and of this run, or of
/// an earlier one that this run continues: corrupt records and those of other producers are counted and not handed over.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Its partition.
    pub partition: PartitionId,
    /// Its place in the partition.
    pub offset: Offset,
    /// What it says about itself: producer, sequence, send times.
    pub stamp: Stamp,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value. The stamp is at its beginning, unless it has a header for it.
    pub value: &'a [u8],
    /// Its headers.
    pub headers: Headers<'a>,
    /// Its timestamp, milliseconds since 1970; in a simulation, which has no date, since the run began. `None` where
    /// the broker has none.
    pub timestamp_ms: Option<i64>,
}

/// Why a record was not processed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HandlerError {
    /// A new start may help: the consumer fails, is restarted by the scenario's policy, and gets the record again.
    #[error("{0}")]
    Failed(String),
    /// This record can never be processed: the consumer is given up, and the verdict fails.
    #[error("poison: {0}")]
    Poison(String),
}

/// Makes handlers: one for every start of a partition's consumer, on that consumer's thread.
#[derive(Clone)]
pub struct Handlers {
    name: String,
    make: Arc<Make>,
}

type Make =
    dyn Fn(PartitionId, Incarnation) -> Result<Box<dyn Handler>, HandlerError> + Send + Sync;

impl Handlers {
    /// Handlers made by `make`; the report calls them `name`.
    pub fn new<H: Handler + 'static>(
        name: impl Into<String>,
        make: impl Fn(PartitionId, Incarnation) -> Result<H, HandlerError> + Send + Sync + 'static,
    ) -> Handlers {
        let make = move |partition, incarnation| {
            make(partition, incarnation).map(|handler| Box::new(handler) as Box<dyn Handler>)
        };
        Handlers { name: name.into(), make: Arc::new(make) }
    }

    /// What the report calls them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A handler for this incarnation of a partition's consumer.
    ///
    /// # Errors
    /// The user's function makes no handler: the consumer fails.
    pub(crate) fn make(
        &self,
        partition: PartitionId,
        incarnation: Incarnation,
    ) -> Result<Box<dyn Handler>, HandlerError> {
        (self.make)(partition, incarnation)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("name", &self.name).finish_non_exhaustive()
    }
}

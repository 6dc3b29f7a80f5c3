//! The work on a record: a cost drawn from a seeded stream, or the user's own code.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::base::{Headers, Incarnation, Offset, PartitionId, Random, Seed, Stamp};
use crate::plan::{ServiceTime, Work};

/// The effort that a host makes for a record before it counts as processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Nothing.
    None,
    /// Use a core for this long.
    Cpu(Duration),
    /// Wait for this long.
    Wait(Duration),
}

/// Draws the efforts of successive records.
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

    /// The effort for the next record.
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

/// The user's processing of a record. A scenario's `work` only takes time. An implementation of this trait does what a
/// service would do, and is supervised, measured and hit by faults in the same way.
///
/// One handler serves one partition and one incarnation of its consumer. It is called on the consumer's own thread, and
/// may block. A restart drops the handler and makes a new one, which starts at the first record that did not count.
pub trait Handler: Send {
    /// Processes a record. If it returns `Ok`, the record counts as processed and the checkpoint moves past it. The
    /// time of the call is the record's handling time. After an error or a panic the record does not count, nor do the
    /// records after it.
    ///
    /// # Errors
    /// The record is not processed. [`HandlerError`] describes the consequences.
    fn handle(&mut self, record: &Record<'_>) -> Result<(), HandlerError>;
}

/// A record for a [`Handler`], in the client's memory. It is intact, and of this run or an earlier one that this run
/// continues. Corrupt records and those of other producers are counted, and not handed over.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Partition of the record.
    pub partition: PartitionId,
    /// Offset in the partition.
    pub offset: Offset,
    /// The stamp: producer, sequence, send times.
    pub stamp: Stamp,
    /// The key; `None` without one.
    pub key: Option<&'a [u8]>,
    /// The value. It begins with the stamp, unless the stamp is in a header.
    pub value: &'a [u8],
    /// The headers.
    pub headers: Headers<'a>,
    /// Timestamp in milliseconds since 1970; in a simulation, which has no date, since the run began. `None` if the
    /// broker has none.
    pub timestamp_ms: Option<i64>,
}

/// The reason why a record was not processed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HandlerError {
    /// A restart may help: the consumer fails, is restarted by the scenario's policy, and gets the record again.
    #[error("{0}")]
    Failed(String),
    /// The record can never be processed: the consumer is given up, and the verdict fails.
    #[error("poison: {0}")]
    Poison(String),
}

/// Makes a handler for every start of a partition's consumer, on that consumer's thread.
#[derive(Clone)]
pub struct Handlers {
    name: String,
    make: Arc<Make>,
}

type Make =
    dyn Fn(PartitionId, Incarnation) -> Result<Box<dyn Handler>, HandlerError> + Send + Sync;

impl Handlers {
    /// Handlers made by `make`, under this name in the report.
    pub fn new<H: Handler + 'static>(
        name: impl Into<String>,
        make: impl Fn(PartitionId, Incarnation) -> Result<H, HandlerError> + Send + Sync + 'static,
    ) -> Handlers {
        let make = move |partition, incarnation| {
            make(partition, incarnation).map(|handler| Box::new(handler) as Box<dyn Handler>)
        };
        Handlers { name: name.into(), make: Arc::new(make) }
    }

    /// The name in the report.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes a handler for this incarnation of a partition's consumer.
    ///
    /// # Errors
    /// The user's function returned an error: the consumer fails.
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

//! The first records counted by figures that should be 0.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::{Offset, ProducerId};

/// Number of such records that are kept of a partition, and of a run.
pub const WRONG_KEPT: usize = 10;

/// A record that a figure counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// Name of the figure.
    pub figure: Cow<'static, str>,
    /// Producer and sequence; `None` if they are not known.
    pub lane: Option<(ProducerId, u64)>,
    /// Offset of the record.
    pub offset: Offset,
}

/// The first records of a partition that are counted by a figure that should be 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WrongRecords {
    records: Vec<Counted>,
}

impl WrongRecords {
    /// Notes that `figure` counts the record at `offset`, with its producer and sequence.
    #[cold]
    pub fn note(&mut self, figure: &'static str, lane: Option<(ProducerId, u64)>, offset: Offset) {
        if self.records.len() < WRONG_KEPT {
            self.records.push(Counted { figure: figure.into(), lane, offset });
        }
    }

    /// The records, in the order of arrival.
    pub fn records(&self) -> &[Counted] {
        &self.records
    }
}

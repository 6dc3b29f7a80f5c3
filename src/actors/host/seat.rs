//! A seat at the desk: a machine, whom it reports to, and the record it has to see first.

use super::lease::Line;
use crate::base::Offset;
use crate::logic::{ConsumerMachine, Definite, Handler, Sighting, sight};
use crate::measure::Anchor;

/// A machine and whom it reports to.
pub(super) struct Seat {
    pub(super) machine: ConsumerMachine,
    /// The user's, in the place of the scenario's work.
    pub(super) handler: Option<Box<dyn Handler>>,
    pub(super) line: Line,
    pub(super) ready: bool,
    /// The record that has to be seen before anything counts.
    pub(super) anchor: Option<Anchor>,
}

impl Seat {
    /// Compares the first record after a restart with the one the partition was left at. Whether this record
    /// counts; the error is definite.
    #[cold]
    pub(super) fn recognise(&mut self, offset: Offset, payload: &[u8]) -> Result<bool, Definite> {
        let Some(anchor) = self.anchor else {
            return Ok(true);
        };
        match sight(&anchor, offset, payload) {
            Sighting::Earlier => Ok(false),
            Sighting::Other => Err(Definite::Rewritten { offset }),
            found @ (Sighting::Same | Sighting::Later) => {
                self.anchor = None;
                Ok(found == Sighting::Later)
            }
        }
    }
}

//! The payloads of a pool, which have a constant size.

use std::sync::Arc;

use crate::base::{FillerRing, STAMP_BYTES, Seed, Stamp, write_payload};

/// A payload, and the ring of bytes that the fillers of the next ones are cut from.
pub(super) struct Filler {
    payload: Vec<u8>,
    ring: Arc<FillerRing>,
    position: u32,
}

impl Filler {
    /// Payloads of `size` bytes, with filler from a ring of `ring_bytes` random bytes. With a ring of 1 byte all
    /// fillers are the same.
    pub(super) fn new(size: usize, ring_bytes: usize, seed: Seed) -> Filler {
        let ring = FillerRing::new(size, ring_bytes, seed);
        let mut payload = vec![0; size.min(STAMP_BYTES)];
        payload.extend_from_slice(ring.filler(0));
        Filler { payload, ring: Arc::new(ring), position: 0 }
    }

    /// The payload with this stamp and the next filler. If all fillers are the same, the filler is not copied again.
    #[inline]
    pub(super) fn stamped(&mut self, stamp: &Stamp) -> &[u8] {
        if !self.ring.is_constant() {
            self.payload[STAMP_BYTES..].copy_from_slice(self.ring.filler(self.position));
        }
        write_payload(stamp, &mut self.payload);
        &self.payload
    }

    /// The ring, and the position of the next filler.
    #[inline]
    pub(super) fn next(&self) -> (&Arc<FillerRing>, u32) {
        (&self.ring, self.position)
    }

    /// Moves to the next filler, because a record was accepted.
    #[inline]
    pub(super) fn advance(&mut self) {
        self.position = self.ring.after(self.position);
    }
}

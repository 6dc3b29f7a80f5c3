//! Payloads of always the same size: a stamp, and filler that is cut from a ring of random bytes.

use crate::base::{STAMP_BYTES, Seed, Stamp, write_payload};

/// A payload, and the bytes that the next ones are filled from.
pub(super) struct Filler {
    payload: Vec<u8>,
    ring: Vec<u8>,
    at: usize,
    /// Where the next filler begins is counted up to this.
    end: usize,
}

impl Filler {
    /// Payloads of `size` bytes, filled from `ring_bytes` random bytes; with 1 all are the same.
    pub(super) fn new(size: usize, ring_bytes: usize, seed: Seed) -> Filler {
        let mut ring = vec![0; ring_bytes + size];
        seed.random().fill(&mut ring);
        Filler { payload: ring[..size].to_vec(), ring, at: 0, end: ring_bytes }
    }

    /// The next payload, with this stamp. If there is only one filler, it stays where it is.
    #[inline]
    pub(super) fn stamped(&mut self, stamp: &Stamp) -> &[u8] {
        if self.end > 1 {
            let size = self.payload.len();
            // The stamp covers the rest.
            let filler = &self.ring[self.at..self.at + size];
            self.payload[STAMP_BYTES..].copy_from_slice(&filler[STAMP_BYTES..]);
            self.at = (self.at + size) % self.end;
        }
        write_payload(stamp, &mut self.payload);
        &self.payload
    }
}

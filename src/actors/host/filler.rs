//! Payloads of a constant size: a stamp, and filler that is cut from a ring of random bytes.

use crate::base::{STAMP_BYTES, Seed, Stamp, write_payload};

/// A payload, and the ring of bytes that the next ones are cut from.
pub(super) struct Filler {
    payload: Vec<u8>,
    ring: Vec<u8>,
    at: usize,
    /// Fillers begin before this index of the ring.
    end: usize,
}

impl Filler {
    /// Payloads of `size` bytes, with filler from a ring of `ring_bytes` random bytes. With a ring of 1 byte all
    /// fillers are the same.
    pub(super) fn new(size: usize, ring_bytes: usize, seed: Seed) -> Filler {
        let mut ring = vec![0; ring_bytes + size];
        seed.random().fill(&mut ring);
        Filler { payload: ring[..size].to_vec(), ring, at: 0, end: ring_bytes }
    }

    /// The next payload, with this stamp. If all fillers are the same, the filler is not copied again.
    #[inline]
    pub(super) fn stamped(&mut self, stamp: &Stamp) -> &[u8] {
        if self.end > 1 {
            let size = self.payload.len();
            // The stamp takes the first bytes of the payload.
            let filler = &self.ring[self.at..self.at + size];
            self.payload[STAMP_BYTES..].copy_from_slice(&filler[STAMP_BYTES..]);
            self.at = (self.at + size) % self.end;
        }
        write_payload(stamp, &mut self.payload);
        &self.payload
    }
}

//! Payloads of a constant size: a stamp, and filler that is cut from a ring of random bytes.

use super::clock::Seed;
use super::record::{STAMP_BYTES, Stamp, write_payload};

/// Random bytes that the fillers of payloads are cut from. Payloads of one run have the same size.
#[derive(Debug)]
pub struct FillerRing {
    bytes: Vec<u8>,
    payload_bytes: usize,
    /// Fillers begin before this index of the ring.
    end: usize,
}

impl FillerRing {
    /// A ring of `ring_bytes` random bytes for payloads of `payload_bytes`. With a ring of 1 byte all fillers are the
    /// same.
    pub fn new(payload_bytes: usize, ring_bytes: usize, seed: Seed) -> FillerRing {
        let mut bytes = vec![0; ring_bytes + payload_bytes];
        seed.random().fill(&mut bytes);
        FillerRing { bytes, payload_bytes, end: ring_bytes.max(1) }
    }

    /// Size of each payload in bytes, its stamp included.
    #[inline]
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// True if all fillers are the same.
    #[inline]
    pub fn is_constant(&self) -> bool {
        self.end == 1
    }

    /// Position of the filler that follows the one at `position`.
    #[inline]
    pub fn after(&self, position: u32) -> u32 {
        let next = position as usize + self.payload_bytes;
        // The remainder is a division, which most records do not need.
        (if next < self.end { next } else { next % self.end }) as u32
    }

    /// The bytes of a payload that come after its stamp, for the filler at `position`.
    #[inline]
    pub fn filler(&self, position: u32) -> &[u8] {
        let begin = position as usize;
        &self.bytes[begin + STAMP_BYTES..begin + self.payload_bytes]
    }

    /// Appends the payload with this stamp and the filler at `position` to `out`.
    ///
    /// # Panics
    /// The position is not one that [`after`](Self::after) returns, or payloads are shorter than a stamp. The plan
    /// refuses such a scenario.
    #[inline]
    pub fn append_payload(&self, stamp: &Stamp, position: u32, out: &mut Vec<u8>) {
        let (begin, start) = (position as usize, out.len());
        out.extend_from_slice(&self.bytes[begin..begin + self.payload_bytes]);
        write_payload(stamp, &mut out[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{PartitionId, ProducerId, RunId, StampCheck, Time, verify};

    #[test]
    fn payloads_have_their_stamp_and_different_fillers() {
        let ring = FillerRing::new(100, 150, Seed(1));
        let stamp = Stamp {
            run: RunId(7),
            producer: ProducerId(1),
            partition: PartitionId(2),
            sequence: 3,
            intended: Time(4),
            sent: Time(5),
        };
        let (mut out, mut positions) = (Vec::new(), vec![0]);
        for at in 0..4 {
            ring.append_payload(&stamp, positions[at], &mut out);
            positions.push(ring.after(positions[at]));
        }
        assert_eq!(positions, [0, 100, 50, 0, 100]);
        let payloads: Vec<&[u8]> = out.chunks(100).collect();
        for (payload, position) in payloads.iter().zip(positions) {
            assert_eq!(verify(payload, RunId(7)), StampCheck::Intact(stamp));
            assert_eq!(&payload[STAMP_BYTES..], ring.filler(position));
        }
        assert_ne!(payloads[0], payloads[1]);
        assert_eq!(payloads[0], payloads[3]);
        let constant = FillerRing::new(48, 1, Seed(1));
        assert!(constant.is_constant() && constant.after(0) == 0);
    }
}

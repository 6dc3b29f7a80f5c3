//! The stamp every record carries, its byte form, and the check of a record that was read.
//!
//! Layout, little endian, [`STAMP_BYTES`] in all; filler follows up to the payload's size:
//!
//! | bytes | field |
//! |---|---|
//! | 0..2 | magic `LK` |
//! | 2 | format version, 3 |
//! | 3 | reserved, 0 |
//! | 4..8 | lower half of XXH3 (64 bits) of bytes 8.. to the end of the payload |
//! | 8..16 | lane sequence, counted from 0 per producer and partition |
//! | 16..24 | intended send time, ns since the run's epoch |
//! | 24..32 | actual send time, ns since the run's epoch |
//! | 32..36 | producer |
//! | 36..40 | partition |
//! | 40..48 | run id |
//!
//! What all records of a partition have in common stands last, beside the filler: so a log that keeps common endings
//! once keeps less of each.

use xxhash_rust::xxh3::xxh3_64;

use super::{PartitionId, ProducerId, RunId, Time};

/// Size of a stamp in bytes, and so the smallest payload.
pub const STAMP_BYTES: usize = 48;

/// Magic, version, and the byte that is reserved.
const MARK: [u8; 4] = [b'L', b'K', 3, 0];
/// What the checksum covers starts here.
const BODY: usize = 8;

/// What a record says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run that sent it.
    pub run: RunId,
    /// The producer that sent it.
    pub producer: ProducerId,
    /// The partition it was sent to.
    pub partition: PartitionId,
    /// Its number in the lane (producer x partition).
    pub sequence: u64,
    /// When the schedule wanted it sent.
    pub intended: Time,
    /// When it was handed to the client.
    pub sent: Time,
}

/// What [`verify`] finds in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampCheck {
    /// A record of this run, intact.
    Intact(Stamp),
    /// It carries our magic, but its bytes are not the ones that were sent.
    Corrupt,
    /// Intact, but of another run of lanekeeper.
    OtherRun(Stamp),
    /// Not a record of lanekeeper.
    Foreign,
}

/// Writes `stamp` over the first [`STAMP_BYTES`] of `payload` and seals it with a checksum of all
/// that follows. The rest of `payload` is the filler and is left as it is.
///
/// # Panics
/// When `payload` is shorter than a stamp; the plan refuses such a scenario.
pub fn write_payload(stamp: &Stamp, payload: &mut [u8]) {
    assert!(payload.len() >= STAMP_BYTES, "payload of {} bytes", payload.len());
    // The checksum reads words of eight bytes, and a processor passes on at once only what was written in one go.
    let lane = u64::from(stamp.partition.0) << 32 | u64::from(stamp.producer.0);
    payload[8..16].copy_from_slice(&stamp.sequence.to_le_bytes());
    payload[16..24].copy_from_slice(&stamp.intended.0.to_le_bytes());
    payload[24..32].copy_from_slice(&stamp.sent.0.to_le_bytes());
    payload[32..40].copy_from_slice(&lane.to_le_bytes());
    payload[40..48].copy_from_slice(&stamp.run.0.to_le_bytes());
    let checksum = checksum(payload);
    payload[0..4].copy_from_slice(&MARK);
    payload[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// Checks a payload in place.
pub fn verify(payload: &[u8], run: RunId) -> StampCheck {
    if payload.len() < STAMP_BYTES || payload[0..4] != MARK {
        return StampCheck::Foreign;
    }
    if checksum(payload) != u32::from_le_bytes(bytes(payload, 4)) {
        return StampCheck::Corrupt;
    }
    let stamp = Stamp {
        run: RunId(u64::from_le_bytes(bytes(payload, 40))),
        producer: ProducerId(u32::from_le_bytes(bytes(payload, 32))),
        partition: PartitionId(u32::from_le_bytes(bytes(payload, 36))),
        sequence: u64::from_le_bytes(bytes(payload, 8)),
        intended: Time(i64::from_le_bytes(bytes(payload, 16))),
        sent: Time(i64::from_le_bytes(bytes(payload, 24))),
    };
    if stamp.run == run { StampCheck::Intact(stamp) } else { StampCheck::OtherRun(stamp) }
}

/// The actual send time of a payload this process stamped, without checking anything else.
pub fn sent_time(payload: &[u8]) -> Option<Time> {
    (payload.len() >= STAMP_BYTES).then(|| Time(i64::from_le_bytes(bytes(payload, 24))))
}

/// XXH3's lower half, of what it covers in `payload`.
fn checksum(payload: &[u8]) -> u32 {
    xxh3_64(&payload[BODY..]) as u32
}

fn bytes<const N: usize>(payload: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&payload[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            run: RunId(0xfeed),
            producer: ProducerId(1023),
            partition: PartitionId(17),
            sequence: 1 << 40,
            intended: Time(-5),
            sent: Time(123_456_789),
        }
    }

    #[test]
    fn a_stamp_survives_its_byte_form() {
        let mut payload = vec![0xab; 100];
        write_payload(&stamp(), &mut payload);
        assert_eq!(verify(&payload, RunId(0xfeed)), StampCheck::Intact(stamp()));
    }

    #[test]
    fn any_flipped_bit_behind_the_magic_is_corrupt() {
        let mut payload = vec![0xab; 60];
        write_payload(&stamp(), &mut payload);
        for byte in 4..payload.len() {
            for bit in 0..8 {
                payload[byte] ^= 1 << bit;
                assert_eq!(verify(&payload, RunId(0xfeed)), StampCheck::Corrupt, "byte {byte}");
                payload[byte] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn another_run_is_named_and_other_programs_are_foreign() {
        let mut payload = vec![0; 100];
        write_payload(&stamp(), &mut payload);
        assert_eq!(verify(&payload, RunId(1)), StampCheck::OtherRun(stamp()));
        assert_eq!(verify(b"hello", RunId(1)), StampCheck::Foreign);
        assert_eq!(verify(&[b'x'; 100], RunId(1)), StampCheck::Foreign);
    }
}

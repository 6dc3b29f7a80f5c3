//! How large a record is on its way: what a client compares with `message.max.bytes`, and a broker with the limit of its
//! topic (`max.message.bytes`). Records have a payload and nothing else: no key, no headers.

/// librdkafka's `message.max.bytes` unless it is set.
pub const CLIENT_MESSAGE_BYTES: u64 = 1_000_000;

/// What librdkafka adds to a payload before it compares: a record's fields at their longest
/// (`RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD`: length 5, attributes 1, time 10, offset 5, key 5, value 5, headers 5).
const CLIENT_OVERHEAD: u64 = 36;

/// The header of a record batch, format version 2: base offset, length, leader epoch, magic, checksum, attributes,
/// offset delta, two times, producer id and epoch, sequence and count.
const BATCH_HEADER: u64 = 61;

/// The largest payload a client takes with this `message.max.bytes`.
pub fn client_payload_max(message_bytes: u64) -> u64 {
    message_bytes.saturating_sub(CLIENT_OVERHEAD)
}

/// Bytes of a record batch, format version 2, with one record of this payload, uncompressed.
pub fn batch_bytes(payload: u64) -> u64 {
    // Attributes, time and offset after the batch's, no key, the payload with its length, no headers.
    let record = 4 + varint_bytes(payload) + payload + 1;
    BATCH_HEADER + varint_bytes(record) + record
}

/// The largest payload of which a batch fits into this many bytes.
pub fn batch_payload_max(bytes: u64) -> u64 {
    let mut payload = bytes.saturating_sub(batch_bytes(0));
    // Lengths take a byte more now and then: a few steps down.
    while payload > 0 && batch_bytes(payload) > bytes {
        payload -= 1;
    }
    payload
}

/// Bytes of a length in the variable form of the protocol: seven bits a byte, one of them for the sign.
fn varint_bytes(length: u64) -> u64 {
    let bits = u64::from(u64::BITS - length.leading_zeros()) + 1;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_a_header_and_lengths() {
        // One record of no bytes: 61, and length, attributes, time, offset, key, value, headers of a byte each.
        assert_eq!(batch_bytes(0), 68);
        assert_eq!(batch_bytes(63), 68 + 63 + 1);
        assert_eq!(batch_bytes(64), 68 + 64 + 2);
        assert_eq!(batch_bytes(999_964), 999_964 + 61 + 11);
    }

    #[test]
    fn the_largest_payload_is_the_largest() {
        for bytes in [68, 69, 132, 133, 134, 1_000, 1_048_588, 5 << 20] {
            let largest = batch_payload_max(bytes);
            assert!(batch_bytes(largest) <= bytes, "{bytes}");
            assert!(batch_bytes(largest + 1) > bytes, "{bytes}");
        }
        assert_eq!(batch_payload_max(10), 0);
        assert_eq!(batch_payload_max(1_048_588), 1_048_516);
        assert_eq!(client_payload_max(CLIENT_MESSAGE_BYTES), 999_964);
    }
}

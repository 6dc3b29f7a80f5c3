//! The parts of a record: key, value, headers and timestamp; and its packed form.
//!
//! Most records of a load have only a value, and clients handle them as the bytes of that value. Records with a key or
//! headers are packed, in the layout that Kafka's record format has after the offset. That is key, value and headers,
//! each after its length (a VARINT; -1 for none).

/// The name of the header with a record's stamp.
pub const STAMP_HEADER: &str = "lanekeeper";

/// A record in a client's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// The key; `None` without one.
    pub key: Option<&'a [u8]>,
    /// The value; empty for a tombstone.
    pub value: &'a [u8],
    /// The headers.
    pub headers: Headers<'a>,
    /// The timestamp, in milliseconds since 1970; `None` in a simulation.
    pub timestamp_ms: Option<i64>,
}

impl<'a> From<&'a [u8]> for RecordView<'a> {
    /// A record with only a value.
    #[inline]
    fn from(value: &'a [u8]) -> RecordView<'a> {
        RecordView { value, ..RecordView::default() }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for RecordView<'a> {
    fn from(value: &'a [u8; N]) -> RecordView<'a> {
        RecordView::from(&value[..])
    }
}

impl<'a> From<&'a Vec<u8>> for RecordView<'a> {
    fn from(value: &'a Vec<u8>) -> RecordView<'a> {
        RecordView::from(&value[..])
    }
}

impl<'a> RecordView<'a> {
    /// True if the record has only a value.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.key.is_none() && self.headers.is_empty()
    }

    /// Reads the packed form; `None` if the bytes are not valid.
    pub fn unpack(packed: &'a [u8]) -> Option<RecordView<'a>> {
        let (key, rest) = read_bytes(packed)?;
        let (value, rest) = read_bytes(rest)?;
        let (count, headers) = read_varint(rest)?;
        let headers = Headers::read(count, headers)?;
        Some(RecordView { key, value: value.unwrap_or_default(), headers, timestamp_ms: None })
    }

    /// A record of this program, either packed or only a value. Empty if packed bytes are not valid.
    #[inline]
    pub fn of(bytes: &'a [u8], is_packed: bool) -> RecordView<'a> {
        match is_packed {
            false => RecordView::from(bytes),
            true => RecordView::unpack(bytes).unwrap_or_default(),
        }
    }

    /// Appends the packed form to `out`.
    pub fn pack(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.key);
        put_bytes(out, Some(self.value));
        put_varint(out, self.headers.iter().count() as i32);
        out.extend_from_slice(self.headers.0);
    }

    /// Bytes of key, value and headers.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.len() + self.headers.0.len()
    }
}

/// The headers of a record, in the order of writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// `count` headers in `bytes`; `None` unless `bytes` has exactly these.
    #[cfg_attr(doc, doc(hidden))]
    pub fn read(count: i32, bytes: &'a [u8]) -> Option<Headers<'a>> {
        let mut rest = bytes;
        // Each takes at least one byte, so the loop with a large count ends with the bytes.
        for _ in 0..usize::try_from(count).ok()? {
            (_, rest) = read_header(rest)?;
        }
        rest.is_empty().then_some(Headers(bytes))
    }

    /// The headers that [`put_header`] has written. `bytes` must have nothing else.
    #[cfg_attr(doc, doc(hidden))]
    pub fn written(bytes: &'a [u8]) -> Headers<'a> {
        Headers(bytes)
    }

    /// True if there are no headers.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name and value of each header; `None` for a null value. A name that is not UTF-8 is empty.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let ((name, value), behind) = read_header(rest)?;
            rest = behind;
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }

    /// The value of the last header with this name; `None` if it is missing or null.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.iter().filter(|(other, _)| *other == name).last()?.1
    }
}

/// Appends a header to `out`.
pub fn put_header(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    put_bytes(out, Some(name.as_bytes()));
    put_bytes(out, value);
}

/// A record with its own memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedRecord {
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Vec<u8>,
    timestamp_ms: Option<i64>,
}

impl OwnedRecord {
    /// A view of the record.
    pub fn view(&self) -> RecordView<'_> {
        RecordView {
            key: self.key.as_deref(),
            value: &self.value,
            headers: Headers(&self.headers),
            timestamp_ms: self.timestamp_ms,
        }
    }
}

impl From<RecordView<'_>> for OwnedRecord {
    fn from(record: RecordView<'_>) -> OwnedRecord {
        OwnedRecord {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.to_vec(),
            headers: record.headers.0.to_vec(),
            timestamp_ms: record.timestamp_ms,
        }
    }
}

/// Name and value of a header.
type Header<'a> = (&'a [u8], Option<&'a [u8]>);

fn read_header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (name, rest) = read_bytes(bytes)?;
    let (value, rest) = read_bytes(rest)?;
    Some(((name?, value), rest))
}

/// Bytes after their length, and the rest. The bytes are `None` for the length -1.
fn read_bytes(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    match read_varint(bytes)? {
        (-1, rest) => Some((None, rest)),
        (length, rest) => {
            let (read, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(read), rest))
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let length = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    put_varint(out, length);
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// Appends a VARINT: seven bits per byte, the lowest first, zigzag-encoded.
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    let mut rest = ((value << 1) ^ (value >> 31)) as u32;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn read_varint(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let mut value = 0_u32;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = (value >> 1) as i32 ^ -((value & 1) as i32);
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_survives_its_packed_form(
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
            value in prop::collection::vec(any::<u8>(), 0..300),
            pairs in prop::collection::vec(("[a-z]{0,9}", prop::option::of(any::<[u8; 3]>())), 0..4),
        ) {
            let mut headers = Vec::new();
            pairs.iter().for_each(|(name, value)| {
                put_header(&mut headers, name, value.as_ref().map(|value| &value[..]));
            });
            let record = RecordView {
                key: key.as_deref(),
                value: &value,
                headers: Headers::written(&headers),
                timestamp_ms: None,
            };
            let mut packed = Vec::new();
            record.pack(&mut packed);
            prop_assert_eq!(RecordView::unpack(&packed), Some(record));
            let owned = OwnedRecord::from(record);
            prop_assert_eq!(owned.view(), record);
            let read: Vec<_> = record.headers.iter().map(|(name, value)| {
                (name.to_owned(), value.map(<[u8]>::to_vec))
            }).collect();
            let written: Vec<_> = pairs.into_iter().map(|(name, value)| {
                (name, value.map(|value| value.to_vec()))
            }).collect();
            prop_assert_eq!(read, written);
            // A truncated record is not valid.
            for end in 0..packed.len() {
                prop_assert_eq!(RecordView::unpack(&packed[..end]), None);
            }
        }

        #[test]
        fn bytes_that_are_no_record_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(record) = RecordView::unpack(&bytes) {
                prop_assert!(record.bytes() <= bytes.len());
            }
        }
    }
}

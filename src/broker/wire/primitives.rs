//! The primitive types of Kafka's protocol: integers, varints, strings, bytes, array counts and tagged fields.
//!
//! Source: "Protocol Primitive Types" of Kafka's protocol guide, and KIP-482 for flexible versions. A reader never
//! passes the end of its bytes, and every length and count is compared with the bytes that are left before it is used.

use bytes::BufMut;

/// The reason why bytes are not the expected message. Their connection cannot be used any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// The bytes end within a field.
    #[error("the message ends within {0}")]
    Short(&'static str),
    /// A length or a count is larger than the bytes or a limit allow.
    #[error("{what} of {found}, where {limit} is the most")]
    TooLarge {
        /// The counted items.
        what: &'static str,
        /// The length or count in the message.
        found: u64,
        /// The largest possible one.
        limit: u64,
    },
    /// A field has a value that the protocol does not know.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A response with another correlation id than that of the oldest request.
    #[error("a response with correlation id {found}, where {expected} is next")]
    Correlation {
        /// The correlation id in the response.
        found: i32,
        /// The correlation id of the oldest request without a response.
        expected: i32,
    },
    /// A response, although no request waits for one.
    #[error("a response with correlation id {0}, and no request waits for one")]
    Unasked(i32),
    /// The message codec rejects the bytes, or the values.
    #[error("{api}: {message}")]
    Codec {
        /// The API of the message.
        api: &'static str,
        /// The error text of the codec.
        message: String,
    },
}

/// Reads fields one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireReader<'a> {
    rest: &'a [u8],
}

impl<'a> WireReader<'a> {
    /// A reader at the beginning of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> WireReader<'a> {
        WireReader { rest: bytes }
    }

    /// Number of bytes that are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// There are fewer.
    #[inline]
    pub(crate) fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireError::Short(what))?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError::Short(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// INT8.
    ///
    /// # Errors
    /// The bytes end.
    #[inline]
    pub(crate) fn i8(&mut self, what: &'static str) -> Result<i8, WireError> {
        Ok(i8::from_be_bytes(self.array(what)?))
    }

    /// INT16.
    ///
    /// # Errors
    /// The bytes end.
    pub(crate) fn i16(&mut self, what: &'static str) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.array(what)?))
    }

    /// INT32.
    ///
    /// # Errors
    /// The bytes end.
    pub(crate) fn i32(&mut self, what: &'static str) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.array(what)?))
    }

    /// UINT32.
    ///
    /// # Errors
    /// The bytes end.
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// INT64.
    ///
    /// # Errors
    /// The bytes end.
    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array(what)?))
    }

    /// UUID, in the order of its bytes.
    ///
    /// # Errors
    /// The bytes end.
    pub(crate) fn uuid(&mut self, what: &'static str) -> Result<[u8; 16], WireError> {
        self.array(what)
    }

    /// UNSIGNED_VARINT.
    ///
    /// # Errors
    /// The bytes end, or the number has more than 32 bits.
    #[inline]
    pub(crate) fn unsigned_varint(&mut self, what: &'static str) -> Result<u32, WireError> {
        let long = self.unsigned::<5>(what)?;
        u32::try_from(long).map_err(|_| WireError::Malformed(what))
    }

    /// VARINT, with the sign in the lowest bit.
    ///
    /// # Errors
    /// The bytes end, or the number has more than 32 bits.
    #[inline]
    pub(crate) fn varint(&mut self, what: &'static str) -> Result<i32, WireError> {
        let raw = self.unsigned_varint(what)?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// VARLONG, with the sign in the lowest bit.
    ///
    /// # Errors
    /// The bytes end, or the number has more than 64 bits.
    #[inline]
    pub(crate) fn varlong(&mut self, what: &'static str) -> Result<i64, WireError> {
        let raw = self.unsigned::<10>(what)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A number with seven bits in each byte, in at most `BYTES` bytes.
    #[inline]
    fn unsigned<const BYTES: u32>(&mut self, what: &'static str) -> Result<u64, WireError> {
        let [first] = self.array(what)?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (1..BYTES).map(|at| at * 7) {
            let [byte] = self.array(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Malformed(what))
    }

    /// A length of 16 bits, or a varint in flexible versions. `None` is null.
    fn text_length(
        &mut self,
        flexible: bool,
        what: &'static str,
    ) -> Result<Option<usize>, WireError> {
        if flexible {
            return Ok((self.unsigned_varint(what)? as usize).checked_sub(1));
        }
        match self.i16(what)? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| WireError::Malformed(what)),
        }
    }

    /// NULLABLE_STRING, or COMPACT_NULLABLE_STRING in flexible versions.
    ///
    /// # Errors
    /// The bytes end, or are not UTF-8.
    pub(crate) fn nullable_string(
        &mut self,
        flexible: bool,
        what: &'static str,
    ) -> Result<Option<&'a str>, WireError> {
        let Some(length) = self.text_length(flexible, what)? else { return Ok(None) };
        let text = std::str::from_utf8(self.take(length, what)?);
        text.map(Some).map_err(|_| WireError::Malformed(what))
    }

    /// STRING, or COMPACT_STRING in flexible versions.
    ///
    /// # Errors
    /// The bytes end, are not UTF-8, or the string is null.
    pub(crate) fn string(
        &mut self,
        flexible: bool,
        what: &'static str,
    ) -> Result<&'a str, WireError> {
        self.nullable_string(flexible, what)?.ok_or(WireError::Malformed(what))
    }

    /// NULLABLE_BYTES or RECORDS, or their compact forms in flexible versions.
    ///
    /// # Errors
    /// The bytes end.
    pub(crate) fn nullable_bytes(
        &mut self,
        flexible: bool,
        what: &'static str,
    ) -> Result<Option<&'a [u8]>, WireError> {
        match self.length(flexible, what)? {
            None => Ok(None),
            Some(length) => self.take(length, what).map(Some),
        }
    }

    /// A length or count of 32 bits, or a varint in flexible versions. `None` is null.
    fn length(&mut self, flexible: bool, what: &'static str) -> Result<Option<usize>, WireError> {
        if flexible {
            return Ok((self.unsigned_varint(what)? as usize).checked_sub(1));
        }
        match self.i32(what)? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| WireError::Malformed(what)),
        }
    }

    /// The count of an array whose elements have at least `least` bytes each. `None` is null.
    ///
    /// # Errors
    /// The bytes that are left cannot hold that many elements.
    pub(crate) fn count(
        &mut self,
        flexible: bool,
        least: usize,
        what: &'static str,
    ) -> Result<Option<usize>, WireError> {
        let Some(found) = self.length(flexible, what)? else { return Ok(None) };
        let limit = self.remaining() / least.max(1);
        if found > limit {
            return Err(WireError::TooLarge { what, found: found as u64, limit: limit as u64 });
        }
        Ok(Some(found))
    }

    /// Calls `each` with the tag and the bytes of each tagged field. Does nothing in versions that are not flexible.
    ///
    /// # Errors
    /// The bytes end, or `each` rejects a field.
    pub(crate) fn tags(
        &mut self,
        flexible: bool,
        mut each: impl FnMut(u32, WireReader<'a>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        if !flexible {
            return Ok(());
        }
        // A field takes two bytes or more, so the loop ends with the bytes.
        for _ in 0..self.unsigned_varint("tagged fields")? {
            let tag = self.unsigned_varint("a tag")?;
            let size = self.unsigned_varint("the size of a tagged field")? as usize;
            each(tag, WireReader::new(self.take(size, "a tagged field")?))?;
        }
        Ok(())
    }

    /// Skips tagged fields.
    ///
    /// # Errors
    /// The bytes end.
    pub(crate) fn skip_tags(&mut self, flexible: bool) -> Result<(), WireError> {
        self.tags(flexible, |_, _| Ok(()))
    }
}

/// Number of bytes of a VARINT.
#[inline]
pub(crate) fn varint_size(value: i32) -> usize {
    let raw = (value << 1) ^ (value >> 31);
    (38 - (raw as u32 | 1).leading_zeros() as usize) / 7
}

/// Writes the fields that [`BufMut`] does not have.
pub(crate) trait WireWriter: BufMut {
    /// UNSIGNED_VARINT.
    #[inline]
    fn put_unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    /// VARINT, with the sign in the lowest bit.
    #[inline]
    fn put_varint(&mut self, value: i32) {
        self.put_unsigned_varint(((value << 1) ^ (value >> 31)) as u32);
    }

    /// NULLABLE_STRING, or COMPACT_NULLABLE_STRING in flexible versions.
    ///
    /// # Errors
    /// The text has more bytes than 16 bits can count.
    fn put_text(
        &mut self,
        text: Option<&str>,
        flexible: bool,
        what: &'static str,
    ) -> Result<(), WireError> {
        let limit = i16::MAX as usize;
        let length = text.map_or(0, str::len);
        if length > limit {
            return Err(WireError::TooLarge { what, found: length as u64, limit: limit as u64 });
        }
        match (text, flexible) {
            (None, true) => self.put_unsigned_varint(0),
            (None, false) => self.put_i16(-1),
            (Some(_), true) => self.put_unsigned_varint(length as u32 + 1),
            (Some(_), false) => self.put_i16(length as i16),
        }
        self.put_slice(text.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// The length of bytes, or the count of an array.
    ///
    /// # Errors
    /// The count has more than 31 bits.
    fn put_count(
        &mut self,
        count: usize,
        flexible: bool,
        what: &'static str,
    ) -> Result<(), WireError> {
        let Ok(small) = i32::try_from(count) else {
            let limit = i32::MAX as u64;
            return Err(WireError::TooLarge { what, found: count as u64, limit });
        };
        if flexible {
            self.put_unsigned_varint(small as u32 + 1);
        } else {
            self.put_i32(small);
        }
        Ok(())
    }

    /// The count 0 of tagged fields, in flexible versions only.
    fn put_no_tags(&mut self, flexible: bool) {
        if flexible {
            self.put_u8(0);
        }
    }
}

impl WireWriter for Vec<u8> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_are_read_as_written(value: i32) {
            let mut bytes = Vec::new();
            bytes.put_varint(value);
            prop_assert_eq!(bytes.len(), varint_size(value));
            let mut reader = WireReader::new(&bytes);
            prop_assert_eq!(reader.varint("it"), Ok(value));
            prop_assert_eq!(reader.remaining(), 0);
        }

        #[test]
        fn texts_are_read_as_written(text: Option<String>, flexible: bool) {
            let mut bytes = Vec::new();
            bytes.put_text(text.as_deref(), flexible, "it").expect("short");
            let mut reader = WireReader::new(&bytes);
            prop_assert_eq!(reader.nullable_string(flexible, "it"), Ok(text.as_deref()));
        }
    }

    #[test]
    fn a_number_with_too_many_bits_is_refused() {
        let read = |bytes: &[u8]| WireReader::new(bytes).varint("it");
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(i32::MIN));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(WireError::Malformed("it")));
        assert_eq!(read(&[0x80]), Err(WireError::Short("it")));
        let long = [0xff; 10];
        assert_eq!(WireReader::new(&long).varlong("it"), Err(WireError::Malformed("it")));
        let mut longest = [0xff; 10];
        longest[9] = 1;
        assert_eq!(WireReader::new(&longest).varlong("it"), Ok(i64::MIN));
    }

    #[test]
    fn a_count_is_compared_with_the_bytes_that_are_left() {
        let mut bytes = vec![0, 0, 0, 3];
        bytes.extend([0; 11]);
        let too_many = WireError::TooLarge { what: "it", found: 3, limit: 2 };
        assert_eq!(WireReader::new(&bytes).count(false, 4, "it"), Err(too_many));
        assert_eq!(WireReader::new(&bytes).count(false, 3, "it"), Ok(Some(3)));
        assert_eq!(WireReader::new(&[0]).count(true, 3, "it"), Ok(None));
        let negative = [0xff, 0xff, 0xff, 0xfe];
        assert_eq!(
            WireReader::new(&negative).count(false, 1, "it"),
            Err(WireError::Malformed("it"))
        );
    }
}

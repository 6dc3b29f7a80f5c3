//! The layout of messages, and a check of bytes against it before they are decoded.
//!
//! `kafka_protocol` allocates memory for all elements that an array's count announces, before it reads the first one.
//! Each message is therefore checked first: the bytes that are left must be enough for every count, and contain every
//! element. The decoded message then takes memory in proportion to the received bytes.
//!
//! Source: the message definitions of Kafka.

use super::primitives::{WireError, WireReader};

/// The kind of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A number, a boolean or an id, of the given number of bytes.
    Fixed(usize),
    /// A string, null or not.
    Text,
    /// Bytes, null or not.
    Bytes,
    /// An array of structures.
    Array(&'static [Field]),
    /// An array of numbers, each of the given number of bytes.
    Numbers(usize),
    /// A structure behind a byte, which is 1 if the structure follows.
    Optional(&'static [Field]),
    /// Tagged fields.
    Tags,
    /// Tagged fields, of which the one with this tag is a number of the given size.
    TagsWith(u32, usize),
}

/// A field, and the versions that have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    from: i16,
    to: i16,
    kind: Kind,
}

impl Field {
    fn is_in(&self, version: i16) -> bool {
        (self.from..=self.to).contains(&version)
    }
}

/// A field of all versions.
pub(super) const fn always(kind: Kind) -> Field {
    between(0, i16::MAX, kind)
}

/// A field of the versions from `from` on.
pub(super) const fn since(from: i16, kind: Kind) -> Field {
    between(from, i16::MAX, kind)
}

/// A field of the versions from `from` to `to`.
pub(super) const fn between(from: i16, to: i16, kind: Kind) -> Field {
    Field { from, to, kind }
}

/// Checks a message at the beginning of `body`; returns the number of its bytes.
///
/// # Errors
/// The bytes end within the message, or a count is larger than they allow.
pub(super) fn check(
    fields: &[Field],
    body: &[u8],
    version: i16,
    flexible: bool,
) -> Result<usize, WireError> {
    let mut walk = Walk { reader: WireReader::new(body), version, flexible };
    walk.fields(fields)?;
    Ok(body.len() - walk.reader.remaining())
}

struct Walk<'a> {
    reader: WireReader<'a>,
    version: i16,
    flexible: bool,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), WireError> {
        let version = self.version;
        let mut present = fields.iter().filter(|field| field.is_in(version));
        present.try_for_each(|field| self.field(field.kind))
    }

    /// The recursion is as deep as the layouts, which are constants.
    fn field(&mut self, kind: Kind) -> Result<(), WireError> {
        match kind {
            Kind::Fixed(size) => {
                self.reader.take(size, "a field")?;
            }
            Kind::Text => {
                self.reader.nullable_string(self.flexible, "a string")?;
            }
            Kind::Bytes => {
                self.reader.nullable_bytes(self.flexible, "bytes")?;
            }
            Kind::Array(fields) => {
                let least = least_size(fields, self.version, self.flexible);
                let count = self.reader.count(self.flexible, least, "an array")?;
                for _ in 0..count.unwrap_or_default() {
                    self.fields(fields)?;
                }
            }
            Kind::Numbers(size) => {
                let count = self.reader.count(self.flexible, size, "an array")?;
                self.reader.take(count.unwrap_or_default() * size, "an array")?;
            }
            Kind::Optional(fields) => {
                if self.reader.i8("a structure")? == 1 {
                    self.fields(fields)?;
                }
            }
            Kind::Tags => self.reader.skip_tags(self.flexible)?,
            // The decoder reads the size of the type, and ignores the size of the field.
            Kind::TagsWith(known, size) => self.reader.tags(self.flexible, |tag, value| {
                let is_right = tag != known || value.remaining() == size;
                is_right.then_some(()).ok_or(WireError::Malformed("the size of a tagged field"))
            })?,
        }
        Ok(())
    }
}

/// Number of bytes of the smallest structure with these fields.
fn least_size(fields: &[Field], version: i16, flexible: bool) -> usize {
    let least = |field: &Field| match field.kind {
        Kind::Fixed(size) => size,
        Kind::Text => 1 + usize::from(!flexible),
        Kind::Bytes | Kind::Array(_) | Kind::Numbers(_) => {
            if flexible {
                1
            } else {
                4
            }
        }
        Kind::Optional(_) => 1,
        Kind::Tags | Kind::TagsWith(..) => usize::from(flexible),
    };
    fields.iter().filter(|field| field.is_in(version)).map(least).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: &[Field] = &[always(Kind::Fixed(2)), since(2, Kind::Text), always(Kind::Tags)];
    const OUTER: &[Field] = &[
        between(1, 1, Kind::Fixed(4)),
        always(Kind::Array(INNER)),
        always(Kind::Numbers(4)),
        always(Kind::Optional(&[always(Kind::Bytes)])),
        always(Kind::TagsWith(3, 2)),
    ];

    #[test]
    fn a_message_is_walked_through_to_its_end() {
        let old = [9, 9, 9, 9, 0, 0, 0, 1, 7, 7, 255, 255, 255, 255, 255];
        assert_eq!(check(OUTER, &[&old[..], &[1, 2]].concat(), 1, false), Ok(old.len()));
        let flexible = [2, 7, 7, 3, b'h', b'i', 0, 2, 0, 0, 0, 1, 1, 0, 1, 3, 2, 5, 5];
        assert_eq!(check(OUTER, &flexible, 2, true), Ok(flexible.len()));
        for end in 0..flexible.len() {
            assert!(check(OUTER, &flexible[..end], 2, true).is_err(), "{end}");
        }
    }

    #[test]
    fn counts_and_sizes_that_cannot_be_are_refused() {
        let many = [200, 1, 7, 7, 1, 0, 7, 7, 1, 0];
        let error = check(OUTER, &many, 2, true).expect_err("too many");
        assert_eq!(error, WireError::TooLarge { what: "an array", found: 199, limit: 2 });
        let numbers = [1, 200, 1, 0, 0, 0, 0];
        assert!(matches!(check(OUTER, &numbers, 2, true), Err(WireError::TooLarge { .. })));
        let tag = [1, 1, 0, 1, 3, 3, 5, 5, 5];
        let error = check(OUTER, &tag, 2, true).expect_err("three bytes");
        assert_eq!(error, WireError::Malformed("the size of a tagged field"));
    }
}

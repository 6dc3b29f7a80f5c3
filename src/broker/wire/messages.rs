//! Encodes messages of `kafka_protocol`, and decodes them after a check of their layout.

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::layout::{Field, check};
use super::primitives::WireError;
use super::versions::Api;

/// Appends the body of a request.
///
/// # Errors
/// A field is too long, or the version does not have it.
pub(super) fn put(
    out: &mut Vec<u8>,
    (api, version): (Api, i16),
    message: &impl Encodable,
) -> Result<(), WireError> {
    encode(out, (api.name(), version), message)
}

/// Reads the body of a response.
///
/// # Errors
/// The bytes are not such a body.
pub(super) fn read<M: Decodable>(
    body: &[u8],
    (api, version): (Api, i16),
    layout: &[Field],
) -> Result<M, WireError> {
    decode(body, (api.name(), version), layout, api.is_flexible(version))
}

/// Appends a message that is not a body; `api` names it in errors.
///
/// # Errors
/// A field is too long, or the version does not have it.
pub(super) fn encode(
    out: &mut Vec<u8>,
    (api, version): (&'static str, i16),
    message: &impl Encodable,
) -> Result<(), WireError> {
    let codec = |message: String| WireError::Codec { api, message };
    message.encode(out, version).map_err(|error| codec(error.to_string()))
}

/// Reads a message that is not a body; `api` names it in errors. Bytes behind the message are ignored.
///
/// # Errors
/// The bytes are not such a message.
pub(super) fn decode<M: Decodable>(
    bytes: &[u8],
    (api, version): (&'static str, i16),
    layout: &[Field],
    flexible: bool,
) -> Result<M, WireError> {
    let size = check(layout, bytes, version, flexible)?;
    let mut checked = Bytes::copy_from_slice(bytes.get(..size).unwrap_or_default());
    let codec = |message: String| WireError::Codec { api, message };
    let message = M::decode(&mut checked, version).map_err(|error| codec(error.to_string()))?;
    if !checked.is_empty() {
        return Err(WireError::Malformed("the layout of a message"));
    }
    Ok(message)
}

/// The text as a string of `kafka_protocol`.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

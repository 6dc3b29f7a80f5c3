//! SaslHandshake and SaslAuthenticate, the requests of a login.
//!
//! Sources: KIP-43, KIP-152 and KIP-368, and the message definitions of Kafka. The versions used here have no tagged
//! fields.

use bytes::BufMut as _;

use super::primitives::{WireError, WireReader, WireWriter};

/// Bytes of the shortest form of a name.
const NAME_BYTES: usize = 2;

/// Writes the body of a SaslHandshake request.
///
/// # Errors
/// The name is too long.
pub(crate) fn put_handshake(out: &mut Vec<u8>, mechanism: &str) -> Result<(), WireError> {
    out.put_text(Some(mechanism), false, "mechanism")
}

/// Reads the body of a SaslHandshake response: its error code, and the mechanisms that the listener supports.
///
/// # Errors
/// The bytes are not such a body.
pub(crate) fn mechanisms(body: &[u8]) -> Result<(i16, Vec<String>), WireError> {
    let mut reader = WireReader::new(body);
    let code = reader.i16("the error of SaslHandshake")?;
    let count = reader.count(false, NAME_BYTES, "mechanisms")?.unwrap_or_default();
    let name = |_| Ok(reader.string(false, "a mechanism")?.to_owned());
    let names: Result<_, WireError> = (0..count).map(name).collect();
    Ok((code, names?))
}

/// Writes the body of a SaslAuthenticate request.
///
/// # Errors
/// The bytes are more than 2 GiB.
pub(crate) fn put_authenticate(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), WireError> {
    let length = i32::try_from(bytes.len()).map_err(|_| WireError::Malformed("a login"))?;
    out.put_i32(length);
    out.put_slice(bytes);
    Ok(())
}

/// The response of a broker to one step of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SaslAnswer {
    /// The error code; 0 without an error.
    pub(crate) code: i16,
    /// The text of the error; `None` if it is not sent.
    pub(crate) message: Option<String>,
    /// The response of the mechanism.
    pub(crate) bytes: Vec<u8>,
    /// Lifetime of the login, in milliseconds; 0 if it is unlimited.
    pub(crate) lifetime_ms: i64,
}

/// Reads the body of a SaslAuthenticate response.
///
/// # Errors
/// The bytes are not such a body.
pub(crate) fn authenticated(body: &[u8]) -> Result<SaslAnswer, WireError> {
    let mut reader = WireReader::new(body);
    let code = reader.i16("the error of SaslAuthenticate")?;
    let message = reader.nullable_string(false, "a message")?.map(str::to_owned);
    let bytes = reader.nullable_bytes(false, "a login")?.unwrap_or_default().to_vec();
    let lifetime_ms = reader.i64("a lifetime")?;
    Ok(SaslAnswer { code, message, bytes, lifetime_ms })
}

//! Frames on a connection (length, header and body), and the requests that wait for their responses.
//!
//! Source: "Network" and "Request and Response Headers" of Kafka's protocol guide. A broker answers the requests of a
//! connection in their order.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::BufMut;

use super::primitives::{WireError, WireReader, WireWriter};
use super::versions::Api;

/// Bytes of the length before each frame.
const LENGTH_BYTES: usize = 4;
/// The first size of a receive buffer. It is small, because a run may have thousands of connections, and most responses
/// are small.
const FIRST_BYTES: usize = 2 * 1024;
/// Smallest free space of a large buffer.
const BUFFER_BYTES: usize = 64 * 1024;

/// A receive buffer that is cut into frames.
///
/// The buffer grows only as bytes arrive, to at most twice the largest allowed frame plus a constant. A length alone
/// takes no memory.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    /// Bytes that were received and not taken yet.
    filled: Range<usize>,
    /// The largest frame, in bytes without its length.
    frame_bytes_max: usize,
}

impl FrameBuffer {
    /// An empty buffer for frames of at most `frame_bytes_max` bytes each, without the length.
    pub(crate) fn new(frame_bytes_max: usize) -> FrameBuffer {
        FrameBuffer { bytes: Vec::new(), filled: 0..0, frame_bytes_max }
    }

    /// The buffer for the next bytes from the socket; never empty.
    pub(crate) fn free(&mut self) -> &mut [u8] {
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
        let least = (self.bytes.len() / 2).clamp(1, BUFFER_BYTES);
        if self.filled.end + least > self.bytes.len() && self.filled.start > 0 {
            self.bytes.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.filled.end + least > self.bytes.len() {
            let twice = self.filled.end + FIRST_BYTES.max(least).max(self.filled.end);
            // A whole frame is all that comes at once on most connections.
            let enough = |end: usize| (end + BUFFER_BYTES).max(self.filled.end + least);
            let larger = self.frame_end().map_or(twice, |end| twice.min(enough(end)));
            self.bytes.resize(larger, 0);
        }
        &mut self.bytes[self.filled.end..]
    }

    /// End of the frame that has begun, in the buffer; `None` if its length has not been received, or is not allowed.
    fn frame_end(&self) -> Option<usize> {
        let (length, _) = self.bytes[self.filled.clone()].split_first_chunk::<LENGTH_BYTES>()?;
        let size = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        (size <= self.frame_bytes_max).then(|| self.filled.start + LENGTH_BYTES + size)
    }

    /// Notes that the first `count` bytes of [`free`](Self::free) were received, which are at most all of it.
    pub(crate) fn received(&mut self, count: usize) {
        self.filled.end = (self.filled.end + count).min(self.bytes.len());
    }

    /// The next frame without its length; `None` until all of it is received.
    ///
    /// # Errors
    /// The length is negative or above the limit. Nothing that follows can be read.
    pub(crate) fn frame(&mut self) -> Result<Option<&[u8]>, WireError> {
        let received = &self.bytes[self.filled.clone()];
        let Some((length, _)) = received.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        let Ok(size) = usize::try_from(length) else {
            return Err(WireError::Malformed("the length of a frame"));
        };
        if size > self.frame_bytes_max {
            let (found, limit) = (size as u64, self.frame_bytes_max as u64);
            return Err(WireError::TooLarge { what: "a frame", found, limit });
        }
        if received.len() - LENGTH_BYTES < size {
            return Ok(None);
        }
        let start = self.filled.start + LENGTH_BYTES;
        self.filled.start = start + size;
        Ok(Some(&self.bytes[start..start + size]))
    }

    /// Removes all bytes, for a new connection. Keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.filled = 0..0;
    }
}

/// A request without a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting<T> {
    /// Number of the request on its connection.
    pub(crate) correlation_id: i32,
    /// The API of the request.
    pub(crate) api: Api,
    /// The version of the request, and of its response.
    pub(crate) version: i16,
    /// The data that the sender needs for the response.
    pub(crate) context: T,
}

/// The requests of a connection that have no response yet, in order.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    next: i32,
    waiting: VecDeque<Waiting<T>>,
}

impl<T> Default for Pending<T> {
    fn default() -> Pending<T> {
        Pending { next: 0, waiting: VecDeque::new() }
    }
}

impl<T> Pending<T> {
    /// The correlation id of the next request.
    pub(crate) fn next_id(&self) -> i32 {
        self.next
    }

    /// The correlation id for a request that gets no response: Produce with `acks=0`.
    pub(crate) fn unanswered(&mut self) -> i32 {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        id
    }

    /// Notes a request that is about to be sent; returns its correlation id.
    pub(crate) fn asked(&mut self, api: Api, version: i16, context: T) -> i32 {
        let correlation_id = self.unanswered();
        self.waiting.push_back(Waiting { correlation_id, api, version, context });
        correlation_id
    }

    /// Number of requests without a response.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True if every request has its response.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The request to which a frame is the response, and the body of the response.
    ///
    /// # Errors
    /// The frame has no complete header, or is no response to the oldest request.
    pub(crate) fn answered<'a>(
        &mut self,
        frame: &'a [u8],
    ) -> Result<(Waiting<T>, &'a [u8]), WireError> {
        let mut reader = WireReader::new(frame);
        let found = reader.i32("a correlation id")?;
        let Some(oldest) = self.waiting.front() else { return Err(WireError::Unasked(found)) };
        if oldest.correlation_id != found {
            return Err(WireError::Correlation { found, expected: oldest.correlation_id });
        }
        // Header version 1 has tagged fields. ApiVersions has version 0, so that any client can read it (KIP-511).
        let has_tags = oldest.api != Api::ApiVersions && oldest.api.is_flexible(oldest.version);
        reader.skip_tags(has_tags)?;
        let answered = self.waiting.pop_front().ok_or(WireError::Unasked(found))?;
        Ok((answered, reader.rest()))
    }

    /// Returns the requests of a connection that is closed, in order. The ids of the next connection start at 0.
    pub(crate) fn abandoned(&mut self) -> VecDeque<Waiting<T>> {
        self.next = 0;
        std::mem::take(&mut self.waiting)
    }
}

/// Milliseconds for which a quota holds a client back, from a response that begins with them; 0 for other responses.
/// Produce and ApiVersions end with them, logins have none, and ListOffsets has them from version 2 on. A broker
/// responds at once, and reads no further requests of the connection until then (KIP-219).
pub(crate) fn throttle_ms(api: Api, version: i16, body: &[u8]) -> i32 {
    let has_it = match api {
        Api::Produce | Api::ApiVersions => false,
        Api::SaslHandshake | Api::SaslAuthenticate => false,
        Api::ListOffsets => version >= 2,
        _ => true,
    };
    match body.first_chunk() {
        Some(first) if has_it => i32::from_be_bytes(*first).max(0),
        _ => 0,
    }
}

/// Begins a request: a length that [`end_request`] fills in, and a header of version 1, or 2 if it is flexible. Returns
/// the start of the frame in `out`.
///
/// # Errors
/// The client id is longer than 32,767 bytes. `out` is then unchanged.
pub(crate) fn begin_request(
    out: &mut Vec<u8>,
    (api, version): (Api, i16),
    correlation_id: i32,
    client_id: &str,
) -> Result<usize, WireError> {
    let start = out.len();
    out.put_i32(0);
    out.put_i16(api.key());
    out.put_i16(version);
    out.put_i32(correlation_id);
    // The client id has its old form in each version of the header.
    if let Err(error) = out.put_text(Some(client_id), false, "client id") {
        out.truncate(start);
        return Err(error);
    }
    out.put_no_tags(api.is_flexible(version));
    Ok(start)
}

/// Ends a request that begins at `start`: writes its length.
///
/// # Errors
/// The request has more than 2 GiB. It is then removed from `out`.
pub(crate) fn end_request(out: &mut Vec<u8>, start: usize) -> Result<(), WireError> {
    let body = start + LENGTH_BYTES;
    let size = out.len().saturating_sub(body);
    let length = i32::try_from(size);
    match (length, out.get_mut(start..body)) {
        (Ok(length), Some(place)) => {
            place.copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            let limit = i32::MAX as u64;
            Err(WireError::TooLarge { what: "a request", found: size as u64, limit })
        }
    }
}

/// A whole request: its header, and the body that `body` writes.
///
/// # Errors
/// `body` fails, or the request is too large. `out` is then unchanged.
pub(crate) fn put_request<E: From<WireError>>(
    out: &mut Vec<u8>,
    what: (Api, i16),
    correlation_id: i32,
    client_id: &str,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = begin_request(out, what, correlation_id, client_id)?;
    if let Err(error) = body(out) {
        out.truncate(start);
        return Err(error);
    }
    Ok(end_request(out, start)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receive(buffer: &mut FrameBuffer, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, WireError> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let free = buffer.free();
            let count = free.len().min(bytes.len());
            free[..count].copy_from_slice(&bytes[..count]);
            buffer.received(count);
            bytes = &bytes[count..];
            while let Some(frame) = buffer.frame()? {
                frames.push(frame.to_vec());
            }
        }
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_are_found_however_their_bytes_arrive(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70_000), 0..4),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut bytes = Vec::new();
            for frame in &frames {
                bytes.put_i32(frame.len() as i32);
                bytes.extend_from_slice(frame);
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut buffer = FrameBuffer::new(70_000);
            let mut found = Vec::new();
            for part in cuts.windows(2) {
                found.extend(receive(&mut buffer, &bytes[part[0]..part[1]]).expect("frames"));
            }
            prop_assert_eq!(found, frames);
            prop_assert!(buffer.bytes.len() <= 2 * 70_004 + 4 * BUFFER_BYTES);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut buffer = FrameBuffer::new(64);
            let _ = receive(&mut buffer, &bytes);
        }
    }

    #[test]
    fn a_length_above_the_limit_takes_no_memory() {
        let mut buffer = FrameBuffer::new(1000);
        let refused = receive(&mut buffer, &1001i32.to_be_bytes());
        assert_eq!(refused, Err(WireError::TooLarge { what: "a frame", found: 1001, limit: 1000 }));
        buffer.clear();
        let refused = receive(&mut buffer, &(-1i32).to_be_bytes());
        assert_eq!(refused, Err(WireError::Malformed("the length of a frame")));
        let mut patient = FrameBuffer::new(usize::MAX);
        assert_eq!(receive(&mut patient, &i32::MAX.to_be_bytes()), Ok(Vec::new()));
        assert!(patient.bytes.len() <= 2 * BUFFER_BYTES);
    }

    #[test]
    fn the_buffer_takes_little_more_than_a_large_frame() {
        let mut buffer = FrameBuffer::new(usize::MAX);
        let size = 1_100_000;
        let mut bytes = (size as i32).to_be_bytes().to_vec();
        bytes.resize(LENGTH_BYTES + size, 7);
        for _ in 0..3 {
            assert_eq!(receive(&mut buffer, &bytes).expect("frames").len(), 1);
            assert!(buffer.bytes.len() <= bytes.len() + 2 * BUFFER_BYTES, "{}", buffer.bytes.len());
        }
    }

    #[test]
    fn responses_belong_to_requests_in_order() {
        let mut pending = Pending::default();
        assert_eq!(pending.asked(Api::ApiVersions, 3, "versions"), 0);
        assert_eq!(pending.unanswered(), 1);
        assert_eq!(pending.asked(Api::Fetch, 12, "records"), 2);
        // A header without tagged fields: the body begins after the correlation id.
        let (waiting, body) = pending.answered(&[0, 0, 0, 0, 7]).expect("the first");
        assert_eq!((waiting.context, body), ("versions", &[7u8][..]));
        let (expected, found) = (2, 1);
        let error = pending.answered(&[0, 0, 0, 1, 0]).expect_err("acks=0 is not answered");
        assert_eq!(error, WireError::Correlation { found, expected });
        assert!(pending.answered(&[0, 0, 0, 2]).is_err(), "tagged fields are missing");
        let (waiting, body) = pending.answered(&[0, 0, 0, 2, 1, 5, 1, 9, 7]).expect("the second");
        assert_eq!((waiting.context, body), ("records", &[7u8][..]));
        assert_eq!(pending.answered(&[0, 0, 0, 3]), Err(WireError::Unasked(3)));
        assert_eq!((pending.len(), pending.is_empty()), (0, true));
    }

    #[test]
    fn a_connection_that_ends_gives_back_what_was_asked() {
        let mut pending = Pending::default();
        pending.asked(Api::Metadata, 9, 'm');
        assert_eq!(pending.abandoned().pop_front().map(|waiting| waiting.context), Some('m'));
        assert_eq!(pending.asked(Api::Metadata, 9, 'n'), 0);
    }

    #[test]
    fn a_request_that_fails_leaves_nothing_behind() {
        let mut out = vec![1, 2];
        let long = "x".repeat(40_000);
        assert!(
            put_request(&mut out, (Api::Fetch, 12), 0, &long, |_| Ok::<(), WireError>(())).is_err()
        );
        let fails = put_request(&mut out, (Api::Fetch, 12), 0, "me", |out| {
            out.put_u8(1);
            Err(WireError::Malformed("it"))
        });
        assert_eq!((fails, &out[..]), (Err(WireError::Malformed("it")), &[1u8, 2][..]));
        put_request(&mut out, (Api::Fetch, 12), 258, "me", |out| {
            out.put_u8(9);
            Ok::<(), WireError>(())
        })
        .expect("short");
        let frame = [0, 0, 0, 14, 0, 1, 0, 12, 0, 0, 1, 2, 0, 2, b'm', b'e', 0, 9];
        assert_eq!(out[2..], frame);
    }
}

//! A connection for requests outside the load: one request at a time, and each response is waited for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::ask_error::AskError;
use super::negotiation::Negotiation;
use crate::broker::secure::{Access, SecureStream};
use crate::broker::setup::Deadline;
use crate::broker::wire::{Api, BrokerVersions, FrameBuffer, Pending, WireError, put_request};

/// The largest response, in bytes.
const FRAME_BYTES_MAX: usize = 16 << 20;
/// Longest wait for a socket, after which an interruption by the user is noticed.
const WAIT: Duration = Duration::from_millis(500);

/// A request: how its body is written in a version, and how the response is read.
pub(super) struct Ask<W, R> {
    /// The API.
    pub(super) api: Api,
    /// Writes the body of the request.
    pub(super) write: W,
    /// Reads the body of the response.
    pub(super) read: R,
}

/// A connection to a broker.
#[derive(Debug)]
pub(super) struct Conversation {
    socket: SecureStream,
    inbox: FrameBuffer,
    pending: Pending<()>,
    versions: BrokerVersions,
}

impl Conversation {
    /// Connects to `address`, where `host` listens, logs in, and asks for the versions.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(super) fn open(
        (host, address): (&str, SocketAddr),
        access: &Access,
        client_id: &str,
        deadline: &Deadline,
    ) -> Result<Conversation, AskError> {
        let limit = deadline.left();
        if limit.is_zero() {
            return Err(AskError::Silent);
        }
        let socket = SecureStream::connect((host, address), access, (limit, WAIT))?;
        let mut conversation = Conversation {
            socket,
            inbox: FrameBuffer::new(FRAME_BYTES_MAX),
            pending: Pending::default(),
            versions: BrokerVersions::default(),
        };
        let mut negotiation = Negotiation::new(access);
        loop {
            let mut out = Vec::new();
            negotiation.ask(&mut out, &mut conversation.pending, (), client_id)?;
            let read = |body: &[u8]| negotiation.answered(body);
            if let Some(versions) = conversation.exchange(&out, deadline, read)? {
                conversation.versions = versions;
                return Ok(conversation);
            }
        }
    }

    /// True if the broker and this client have a version of an API in common.
    pub(super) fn speaks(&self, api: Api) -> bool {
        self.versions.version(api).is_ok()
    }

    /// The highest version of an API that the broker speaks.
    pub(super) fn highest(&self, api: Api) -> Option<i16> {
        self.versions.highest(api)
    }

    /// True if the broker reports that it serves groups of KIP-848.
    pub(super) fn serves_consumer_groups(&self) -> bool {
        self.versions.serves_consumer_groups()
    }

    /// Sends a request, and waits for the response.
    ///
    /// # Errors
    /// See [`AskError`]. The connection cannot be used after an error, unless no version is common.
    pub(super) fn ask<T>(
        &mut self,
        ask: Ask<
            impl FnOnce(&mut Vec<u8>, i16) -> Result<(), WireError>,
            impl FnOnce(&[u8], i16) -> Result<T, WireError>,
        >,
        client_id: &str,
        deadline: &Deadline,
    ) -> Result<T, AskError> {
        let version = self.versions.version(ask.api)?;
        let id = self.pending.asked(ask.api, version, ());
        let mut out = Vec::new();
        put_request(&mut out, (ask.api, version), id, client_id, |out| (ask.write)(out, version))?;
        self.exchange(&out, deadline, |body| Ok((ask.read)(body, version)?))
    }

    /// Sends bytes, and reads the body of the response.
    fn exchange<T>(
        &mut self,
        out: &[u8],
        deadline: &Deadline,
        read: impl FnOnce(&[u8]) -> Result<T, AskError>,
    ) -> Result<T, AskError> {
        let mut left = out;
        while !left.is_empty() {
            match self.socket.write(left) {
                Ok(0) => return Err(AskError::Closed),
                Ok(count) => left = &left[count..],
                Err(error) => await_longer(error, deadline)?,
            }
        }
        loop {
            if let Err(error) = self.socket.flush() {
                await_longer(error, deadline)?;
                continue;
            }
            if let Some(frame) = self.inbox.frame()? {
                let (_, body) = self.pending.answered(frame)?;
                return read(body);
            }
            match self.socket.read(self.inbox.free()) {
                Ok(0) => return Err(AskError::Closed),
                Ok(count) => self.inbox.received(count),
                Err(error) => await_longer(error, deadline)?,
            }
        }
    }
}

/// Returns `Ok` if a socket that was not ready is to be waited for again.
fn await_longer(error: io::Error, deadline: &Deadline) -> Result<(), AskError> {
    match error.kind() {
        ErrorKind::Interrupted => Ok(()),
        ErrorKind::WouldBlock | ErrorKind::TimedOut if deadline.is_over() => Err(AskError::Silent),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(()),
        _ => Err(error.into()),
    }
}

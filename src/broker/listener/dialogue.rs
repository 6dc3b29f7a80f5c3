//! Requests to a broker, one after the other, on a blocking connection.
//!
//! Where it is possible, requests have versions without tagged fields: their request header has version 1 and their
//! response header version 0 (Kafka's protocol guide, "Request and Response Headers").

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::broker::secure::{Access, LoginError, LoginStep, SecureStream, host_of};
use crate::broker::wire::{
    self, Api, BrokerVersions, MemberHeartbeat, UNSUPPORTED_VERSION, VersionsAnswer, WireError,
    WireReader, api_versions, member_heartbeat, put_api_versions, put_member_heartbeat,
};

/// Largest response that is read, in bytes.
const FRAME_BYTES_MAX: usize = 16 << 20;
/// The client id in the logs of brokers.
const CLIENT_ID: &str = "lanekeeper-check";

/// The reason why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialogueError {
    /// An error of the socket.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The response is not in Kafka's protocol.
    #[error("what it sent is not readable: {0}")]
    Unreadable(#[from] WireError),
    /// The response is larger than any response to these requests, or its correlation id is wrong.
    #[error("it does not answer in Kafka's protocol")]
    NoKafka,
    /// The broker refuses the request with an error code.
    #[error("{what} is refused with error {code}")]
    Refused {
        /// The request.
        what: &'static str,
        /// The error code.
        code: i16,
    },
}

impl DialogueError {
    /// True if no response came in time.
    pub(super) fn is_silence(&self) -> bool {
        let DialogueError::Socket(error) = self else { return false };
        matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
    }
}

/// A connection to a broker.
pub(crate) struct Dialogue<S> {
    stream: S,
    asked: i32,
}

impl Dialogue<TcpStream> {
    /// Connects without TLS. `limit` is the longest wait for the connection and for each answer.
    ///
    /// # Errors
    /// The address does not accept the connection.
    pub(crate) fn open(address: SocketAddr, limit: Duration) -> io::Result<Dialogue<TcpStream>> {
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Dialogue { stream, asked: 0 })
    }
}

impl Dialogue<SecureStream> {
    /// Connects to `address`, where `host` listens, with TLS if the access has it. `limit` is the longest wait for the
    /// connection and for each answer.
    ///
    /// # Errors
    /// The address does not accept the connection.
    pub(crate) fn reach(
        at: (&str, SocketAddr),
        access: &Access,
        limit: Duration,
    ) -> Result<Dialogue<SecureStream>, DialogueError> {
        let stream = SecureStream::connect(at, access, (limit, limit))?;
        Ok(Dialogue { stream, asked: 0 })
    }

    /// Connects to the first of these comma-separated `host:port` that accepts the connection, and logs in.
    ///
    /// # Errors
    /// No address accepts the connection, or the login failed.
    pub(crate) fn log_in_at(
        names: &str,
        access: &Access,
        limit: Duration,
    ) -> Result<Dialogue<SecureStream>, DialogueError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound).into();
        for name in names.split(',').map(str::trim) {
            let addresses = name.to_socket_addrs().into_iter().flatten();
            for address in addresses.filter(|address| access.family().takes(address)) {
                match Dialogue::reach((host_of(name), address), access, limit) {
                    Ok(mut dialogue) => {
                        dialogue.log_in(access)?;
                        return Ok(dialogue);
                    }
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }
}

impl<S: Read + Write> Dialogue<S> {
    /// Sends a request with these fields, and returns the body of the response.
    ///
    /// # Errors
    /// The socket fails, or the response is not in Kafka's protocol.
    pub(crate) fn ask(
        &mut self,
        api: i16,
        version: i16,
        fields: &[u8],
    ) -> Result<Vec<u8>, DialogueError> {
        self.asked += 1;
        let mut body = Vec::new();
        body.extend(api.to_be_bytes());
        body.extend(version.to_be_bytes());
        body.extend(self.asked.to_be_bytes());
        put_string(&mut body, CLIENT_ID);
        body.extend(fields);
        let mut frame = (body.len() as u32).to_be_bytes().to_vec();
        frame.extend(body);
        self.stream.write_all(&frame)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(4..=FRAME_BYTES_MAX).contains(&length) {
            return Err(DialogueError::NoKafka);
        }
        let mut answer = Vec::new();
        // The buffer grows with the bytes that arrive, and does not trust the length.
        (&mut self.stream).take(length as u64).read_to_end(&mut answer)?;
        if answer.len() < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if !answer.starts_with(&self.asked.to_be_bytes()) {
            return Err(DialogueError::NoKafka);
        }
        Ok(answer.split_off(4))
    }

    /// The request versions that the broker supports, and the features that its cluster has enabled.
    ///
    /// # Errors
    /// There is no valid response, or the broker is older than the version of the request.
    pub(crate) fn versions(&mut self) -> Result<BrokerVersions, DialogueError> {
        let version = Api::ApiVersions.ours().max;
        // The header of this version ends with tagged fields, of which there are none.
        let mut fields = vec![0];
        put_api_versions(&mut fields, version)?;
        match api_versions(&self.ask(Api::ApiVersions.key(), version, &fields)?, version)? {
            VersionsAnswer::Known(versions) => Ok(versions),
            VersionsAnswer::AskAgain(_) => Err(DialogueError::NoKafka),
            VersionsAnswer::Refused(code) => {
                Err(DialogueError::Refused { what: "the question for versions", code })
            }
        }
    }

    /// True if the cluster serves groups of the consumer protocol (KIP-848). With `or_as_a_preview`, the preview of
    /// Kafka 3.9 counts as well. Kafka 3.9 lists the request in any case, and the preview is not among its features
    /// (`group.coordinator.rebalance.protocols`). So this sends a heartbeat of a member that no group has, which
    /// changes nothing.
    ///
    /// # Errors
    /// There is no valid response.
    pub(crate) fn serves_consumer_groups(
        &mut self,
        or_as_a_preview: bool,
    ) -> Result<bool, DialogueError> {
        let versions = self.versions()?;
        let is_listed = versions.highest(Api::ConsumerGroupHeartbeat).is_some();
        if versions.serves_consumer_groups() || !is_listed || !or_as_a_preview {
            return Ok(versions.serves_consumer_groups());
        }
        let heartbeat = MemberHeartbeat {
            group: CLIENT_ID,
            member_id: CLIENT_ID,
            member_epoch: 1,
            ..MemberHeartbeat::default()
        };
        // The headers of the request and the response end with tagged fields, of which there are none.
        let mut fields = vec![0];
        put_member_heartbeat(&mut fields, 0, &heartbeat)?;
        let answer = self.ask(Api::ConsumerGroupHeartbeat.key(), 0, &fields)?;
        let Some((0, body)) = answer.split_first() else { return Err(DialogueError::NoKafka) };
        let refused = member_heartbeat(body, 0)?.error;
        // The broker knows the request, and has it disabled.
        Ok(refused.is_none_or(|error| error.code() != UNSUPPORTED_VERSION))
    }

    /// The SASL mechanisms of the listener; `None` if it has no SASL.
    ///
    /// # Errors
    /// There is no valid response.
    pub(crate) fn mechanisms(
        &mut self,
        wanted: &str,
    ) -> Result<Option<Vec<String>>, DialogueError> {
        const ILLEGAL_SASL_STATE: i16 = 34;
        let mut fields = Vec::new();
        wire::put_handshake(&mut fields, wanted)?;
        let answer = self.ask(Api::SaslHandshake.key(), 1, &fields)?;
        let (code, mechanisms) = wire::mechanisms(&answer)?;
        Ok((code != ILLEGAL_SASL_STATE).then_some(mechanisms))
    }

    /// Logs in, if the access has a login.
    ///
    /// # Errors
    /// The login failed, or there is no valid response.
    pub(crate) fn log_in(&mut self, access: &Access) -> Result<(), DialogueError> {
        let Some(mut login) = access.login() else { return Ok(()) };
        // Each iteration is one request of the exchange. The longest exchange has three.
        loop {
            let mut fields = Vec::new();
            login.put(&mut fields)?;
            let answer = self.ask(login.api().key(), login.api().ours().max, &fields)?;
            if let LoginStep::Done(_) = login.answered(&answer)? {
                return Ok(());
            }
        }
    }
}

/// Reads an error code.
///
/// # Errors
/// The code is not 0.
pub(super) fn accepted(
    reader: &mut WireReader<'_>,
    what: &'static str,
) -> Result<(), DialogueError> {
    match reader.i16("an error code")? {
        0 => Ok(()),
        code => Err(DialogueError::Refused { what, code }),
    }
}

/// Appends a STRING of Kafka's protocol.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    // Kafka's names have 249 characters at most.
    let text = &text.as_bytes()[..text.len().min(i16::MAX as usize)];
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
}

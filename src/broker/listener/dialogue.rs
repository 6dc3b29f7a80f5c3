//! Questions to a broker, one after the other, on a connection that blocks.
//!
//! Requests have versions without tagged fields, where they can: their header is version 1, that of a response is version 0
//! (Kafka's protocol guide, "Request and Response Headers").

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::broker::secure::{Access, LoginError, LoginStep, SecureStream, host_of};
use crate::broker::wire::{
    self, Api, BrokerVersions, MemberHeartbeat, VersionsAnswer, WireError, WireReader,
    api_versions, member_heartbeat, put_api_versions, put_member_heartbeat,
};

/// Largest response that is read.
const FRAME_BYTES_MAX: usize = 16 << 20;
/// What this process is called in the logs of brokers.
const CLIENT_ID: &str = "lanekeeper-check";
/// UNSUPPORTED_VERSION: the request is known and turned off.
const UNSUPPORTED_VERSION: i16 = 35;

/// Why a broker gives no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialogueError {
    /// The system says so.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The login does not succeed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// What came is not Kafka's protocol.
    #[error("what it sent is not readable: {0}")]
    Unreadable(#[from] WireError),
    /// A response that is larger than any of these questions has.
    #[error("it does not answer in Kafka's protocol")]
    NoKafka,
    /// The broker refuses, with an error code of Kafka.
    #[error("{what} is refused with error {code}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The code.
        code: i16,
    },
}

impl DialogueError {
    /// Whether nothing came in time.
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
    /// Connects without TLS; each answer may take `limit`.
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
    /// Connects to `address`, where `host` listens, with TLS if the cluster is reached so; each answer may take `limit`.
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

    /// The same with the first of these `host:port`, separated by commas, that accepts the connection; and logs in.
    ///
    /// # Errors
    /// None of them does, or the broker does not take the login.
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
    /// Sends a request with these fields; the body of its answer.
    ///
    /// # Errors
    /// There is no answer in Kafka's protocol.
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
        // Memory grows with what arrives, whatever the length says.
        (&mut self.stream).take(length as u64).read_to_end(&mut answer)?;
        if answer.len() < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if !answer.starts_with(&self.asked.to_be_bytes()) {
            return Err(DialogueError::NoKafka);
        }
        Ok(answer.split_off(4))
    }

    /// What the broker speaks, and its cluster has turned on.
    ///
    /// # Errors
    /// There is no answer in Kafka's protocol, or the broker is older than the version asked in.
    pub(crate) fn versions(&mut self) -> Result<BrokerVersions, DialogueError> {
        let version = Api::ApiVersions.ours().max;
        // The header of this version ends with tagged fields: none.
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

    /// Whether groups of KIP-848 are served; with `or_as_a_preview` also as in Kafka 3.9. That lists their request in any
    /// case, and among its features nothing of the preview (`group.coordinator.rebalance.protocols`). It is therefore
    /// asked in the name of a member that no group has, which changes nothing.
    ///
    /// # Errors
    /// There is no answer in Kafka's protocol.
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
        // The headers of both end with tagged fields: none.
        let mut fields = vec![0];
        put_member_heartbeat(&mut fields, 0, &heartbeat)?;
        let answer = self.ask(Api::ConsumerGroupHeartbeat.key(), 0, &fields)?;
        let Some((0, body)) = answer.split_first() else { return Err(DialogueError::NoKafka) };
        let refused = member_heartbeat(body, 0)?.error;
        Ok(refused.is_none_or(|error| error.code() != UNSUPPORTED_VERSION))
    }

    /// The mechanisms of SASL that the listener takes; `None` without SASL.
    ///
    /// # Errors
    /// There is no answer in Kafka's protocol.
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

    /// Logs in, if the cluster is reached so.
    ///
    /// # Errors
    /// The broker does not take the login.
    pub(crate) fn log_in(&mut self, access: &Access) -> Result<(), DialogueError> {
        let Some(mut login) = access.login() else { return Ok(()) };
        // Each turn is a step of the exchange, of which the longest has four.
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

/// Reads an error code, which must be 0.
///
/// # Errors
/// It is another one.
pub(super) fn accepted(
    reader: &mut WireReader<'_>,
    what: &'static str,
) -> Result<(), DialogueError> {
    match reader.i16("an error code")? {
        0 => Ok(()),
        code => Err(DialogueError::Refused { what, code }),
    }
}

/// STRING.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    // Names of Kafka have 249 characters at most.
    let text = &text.as_bytes()[..text.len().min(i16::MAX as usize)];
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
}

//! A connection to a broker: a non-blocking socket, the bytes to write, and the requests that wait for a response.
//!
//! A broker answers the requests of a connection in order, and handles one of them at a time: a fetch that waits for
//! records delays the later requests.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;

use super::ask_error::AskError;
use super::negotiation::Negotiation;
use super::poller::Poller;
use super::request::{
    ClientSide, Outgoing, PutError, Question, Topic, answered, put, without_response,
};
use crate::base::Time;
use crate::broker::protocol::Client;
use crate::broker::secure::{Access, Channel};
use crate::broker::wire::{
    Api, BatchSizes, BrokerVersions, FrameBuffer, Pending, WireError, throttle_ms,
};
use crate::measure::{RequestCounter, SentBatches};

/// The largest response that is read, in bytes. A fetch of any number of a thread's partitions asks for less.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// When this number of bytes waits to be written, later requests wait without being encoded. The same memory, which is
/// in the processor's cache, then serves for each.
const OUT_BYTES_MAX: usize = 512 << 10;
/// Capacity that an empty output buffer keeps, in bytes.
const OUT_BYTES_KEPT: usize = 2 << 20;
/// Longest throttle time, which is shorter than the client's time limit of a response.
const THROTTLE_MAX: Duration = Duration::from_secs(15);

/// A connection to a broker.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    channel: Channel,
    access: Access,
    state: State,
    inbox: FrameBuffer,
    /// The bytes to write, and how many of them are written.
    out: Vec<u8>,
    written: usize,
    pending: Pending<Question>,
    /// The time of each outstanding request.
    asked: VecDeque<Time>,
    /// Requests that wait for the broker's versions, or for earlier bytes to be written.
    held: VecDeque<Outgoing>,
    /// Nothing is written before this time, because a quota is used up.
    throttled_until: Time,
    /// From this time on the login is repeated with the next request, before the broker accepts none any more.
    renewed_from: Time,
}

/// The state of a connection.
#[derive(Debug)]
enum State {
    /// The operating system connects.
    Connecting,
    /// The login and the request for the broker's versions are in progress.
    Negotiating(Box<Negotiation>),
    /// Requests can be sent.
    Open(BrokerVersions),
}

/// The reason why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// An error of the operating system.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The name of the broker's host has no address, or none is known yet.
    #[error("{0}")]
    NotResolved(String),
    /// The broker closed it.
    #[error("the broker closed the connection")]
    Closed,
    /// The bytes are not Kafka's protocol.
    #[error("what the broker sent is not readable: {0}")]
    Unreadable(#[from] WireError),
    /// The broker speaks no version that this client speaks.
    #[error(transparent)]
    Versions(#[from] AskError),
    /// A request cannot be written.
    #[error(transparent)]
    Request(#[from] PutError),
}

impl Connection {
    /// Starts to connect to `address`, where `host` listens. The poller reports the socket under `number`.
    ///
    /// # Errors
    /// The operating system has no socket left, or no route.
    pub(super) fn open(
        (host, address): (&str, SocketAddr),
        access: &Access,
        number: usize,
        poller: &Poller,
    ) -> io::Result<Connection> {
        let channel = access.channel(host)?;
        let mut socket = TcpStream::connect(address)?;
        poller.register(&mut socket, number)?;
        Ok(Connection {
            socket,
            channel,
            access: access.clone(),
            state: State::Connecting,
            inbox: FrameBuffer::new(FRAME_BYTES_MAX),
            out: Vec::new(),
            written: 0,
            pending: Pending::default(),
            asked: VecDeque::new(),
            held: VecDeque::new(),
            throttled_until: Time::ZERO,
            renewed_from: Time::NEVER,
        })
    }

    /// Adds a request, which the next [`write`](Self::write) sends once the connection is open.
    ///
    /// # Errors
    /// The broker speaks no version of the request that this client speaks.
    pub(super) fn push<C: Client>(
        &mut self,
        outgoing: Outgoing,
        side: &mut ClientSide<'_, C>,
    ) -> Result<(), Broken> {
        if side.now >= self.renewed_from {
            self.renew(side.topic, side.now)?;
        }
        self.held.push_back(outgoing);
        self.encode(side)
    }

    /// Encodes waiting requests, as long as there is room.
    fn encode<C: Client>(&mut self, side: &mut ClientSide<'_, C>) -> Result<(), Broken> {
        let State::Open(versions) = &self.state else { return Ok(()) };
        while self.out.len() - self.written < OUT_BYTES_MAX {
            let Some(outgoing) = self.held.pop_front() else { return Ok(()) };
            let (batches, records) = outgoing.counts();
            let before = self.out.len();
            let how = (versions, &*side.topic, &*side.leaders, &mut *side.memory);
            let unanswered = put(&mut self.out, &mut self.pending, outgoing, how)?;
            if batches > 0 {
                let BatchSizes { bytes, uncompressed } = side.memory.batch_sizes;
                let sent = SentBatches { count: batches, bytes, uncompressed };
                side.counter.produced(records, (self.out.len() - before) as u64, sent, side.now);
            }
            self.asked.resize(self.pending.len(), side.now);
            if let Some(question) = unanswered {
                side.counter.answered(Api::Produce.name(), side.now);
                without_response(side.client, side.broker, question, side.now);
            }
        }
        Ok(())
    }

    /// True if there are bytes to write.
    pub(super) fn has_output(&self) -> bool {
        let is_open = matches!(self.state, State::Open(_));
        self.written < self.out.len()
            || self.channel.has_output()
            || (is_open && !self.held.is_empty())
    }

    /// End of the throttle time, if requests wait for it.
    pub(super) fn held_until(&self) -> Time {
        if self.has_output() && !matches!(self.state, State::Connecting) {
            self.throttled_until
        } else {
            Time::NEVER
        }
    }

    /// Writes as much as the socket accepts.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn write<C: Client>(&mut self, side: &mut ClientSide<'_, C>) -> Result<(), Broken> {
        if matches!(self.state, State::Connecting) || side.now < self.throttled_until {
            return Ok(());
        }
        while self.has_output() {
            self.encode(side)?;
            let left = &self.out[self.written..];
            let written = match left.is_empty() {
                true => self.channel.flush(&mut self.socket).map(|()| None),
                false => self.channel.write(&mut self.socket, left).map(Some),
            };
            match written {
                Ok(Some(0)) => return Err(Broken::Closed),
                Ok(count) => self.wrote(count.unwrap_or(0)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.shrink_to(OUT_BYTES_KEPT);
        Ok(())
    }

    /// Notes that `count` more bytes are written. Written bytes are removed from time to time, because a connection
    /// that is never idle would keep all of them.
    fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written == self.out.len() || self.written >= OUT_BYTES_MAX {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// Handles a socket that can be written to: it is connected, or has room. On a new connection it starts the login,
    /// or asks for the versions.
    ///
    /// # Errors
    /// The connection cannot be made, or is broken.
    pub(super) fn writable<C: Client>(
        &mut self,
        side: &mut ClientSide<'_, C>,
    ) -> Result<(), Broken> {
        if matches!(self.state, State::Connecting) {
            if let Some(error) = self.socket.take_error()? {
                return Err(error.into());
            }
            match self.socket.peer_addr() {
                Ok(_) => {}
                // The operating system still connects.
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            self.socket.set_nodelay(true)?;
            let negotiation = Negotiation::new(&self.access);
            self.ask_next(&negotiation, side.topic)?;
            self.asked.resize(self.pending.len(), side.now);
            self.state = State::Negotiating(Box::new(negotiation));
        }
        self.write(side)
    }

    /// Starts to repeat the login. Later requests wait for it. Earlier ones are answered before.
    fn renew(&mut self, topic: &Topic, now: Time) -> Result<(), WireError> {
        self.renewed_from = Time::NEVER;
        let State::Open(versions) = &self.state else { return Ok(()) };
        let negotiation = Negotiation::again(&self.access, versions.clone());
        self.ask_next(&negotiation, topic)?;
        self.asked.resize(self.pending.len(), now);
        self.state = State::Negotiating(Box::new(negotiation));
        Ok(())
    }

    fn ask_next(&mut self, negotiation: &Negotiation, topic: &Topic) -> Result<(), WireError> {
        negotiation.ask(&mut self.out, &mut self.pending, Question::Opening, &topic.client_id)
    }

    /// Reads the bytes that have arrived, `to_end` if the stream is at its end, and passes each response to the client.
    ///
    /// # Errors
    /// The connection is broken. Responses that came before were passed on.
    pub(super) fn read<C: Client>(
        &mut self,
        to_end: bool,
        side: &mut ClientSide<'_, C>,
    ) -> Result<(), Broken> {
        loop {
            let free = self.inbox.free();
            let room = free.len();
            let count = match self.channel.read(&mut self.socket, free) {
                Ok(0) => return Err(Broken::Closed),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.inbox.received(count);
            self.take_frames(side)?;
            // Less was read than there was room for, so nothing is left. Later bytes are reported again, but the end of
            // the stream is reported only once.
            if count < room && !to_end && !self.channel.reads_in_parts() {
                return Ok(());
            }
        }
    }

    fn take_frames<C: Client>(&mut self, side: &mut ClientSide<'_, C>) -> Result<(), Broken> {
        let (mut negotiation, mut lifetime) = (None, None);
        while let Some(frame) = self.inbox.frame()? {
            let (waiting, body) = self.pending.answered(frame)?;
            let (api, version) = (waiting.api, waiting.version);
            side.counter.answered(api.name(), side.now);
            if let Some(asked) = self.asked.pop_front() {
                match api {
                    Api::Produce => side.counter.produce_took(asked, side.now),
                    Api::Fetch => side.counter.fetch_took(asked, side.now),
                    _ => {}
                }
            }
            match (&waiting.context, &mut self.state) {
                (Question::Opening, State::Negotiating(begun)) => {
                    negotiation = Some(begun.answered(body)?);
                    lifetime = begun.lifetime();
                }
                _ => {
                    let at_end = answered(side, waiting, body)?;
                    let throttle = at_end.max(throttle_ms(api, version, body));
                    self.throttle(throttle, side.now, side.counter);
                }
            }
        }
        match (negotiation, &self.state) {
            (None, _) => Ok(()),
            (Some(Some(versions)), _) => {
                // At nine tenths of the lifetime, as Kafka's own client does at the latest.
                self.renewed_from = lifetime.map_or(Time::NEVER, |it| side.now + it * 9 / 10);
                self.state = State::Open(versions);
                self.write(side)
            }
            (Some(None), State::Negotiating(begun)) => {
                begun.ask(
                    &mut self.out,
                    &mut self.pending,
                    Question::Opening,
                    &side.topic.client_id,
                )?;
                self.asked.resize(self.pending.len(), side.now);
                self.write(side)
            }
            (Some(None), _) => Ok(()),
        }
    }

    /// Applies a throttle time: the broker does not read requests before its end.
    fn throttle(&mut self, throttle_ms: i32, now: Time, counter: &mut RequestCounter) {
        if let Ok(ms @ 1..) = u64::try_from(throttle_ms) {
            let until = now + Duration::from_millis(ms).min(THROTTLE_MAX);
            // Overlapping throttle times are not counted twice.
            let longer = until.remaining(self.throttled_until.max(now));
            counter.throttled(longer, now);
            self.throttled_until = self.throttled_until.max(until);
        }
    }

    /// Closes the connection.
    pub(super) fn close(mut self, poller: &Poller) {
        poller.deregister(&mut self.socket);
    }
}

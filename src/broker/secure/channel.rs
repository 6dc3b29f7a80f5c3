//! The bytes of a connection, in plaintext or in TLS. The socket is the caller's, and may be blocking or not.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::tls_failure::TlsFailure;

/// The transport of a connection's bytes: TLS, or `None` for plaintext.
#[derive(Debug)]
pub(crate) struct Channel(Option<Box<ClientConnection>>);

impl Channel {
    /// A channel without TLS.
    pub(crate) fn plaintext() -> Channel {
        Channel(None)
    }

    /// A channel with TLS to this host. The handshake takes place with the first bytes.
    pub(super) fn tls(config: Arc<ClientConfig>, host: &str) -> io::Result<Channel> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| TlsFailure::NoName.into_error())?;
        let connection = ClientConnection::new(config, name);
        let connection = connection.map_err(|error| TlsFailure::of(&error).into_error())?;
        Ok(Channel(Some(Box::new(connection))))
    }

    /// True if the socket may still have bytes after a read that did not fill the buffer.
    pub(crate) fn reads_in_parts(&self) -> bool {
        self.0.is_some()
    }

    /// True if the channel has bytes to write to the socket.
    pub(crate) fn has_output(&self) -> bool {
        self.0.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Reads as [`Read::read`] does. 0 is the end of the stream.
    ///
    /// # Errors
    /// The errors of the socket, and [`TlsFailure`].
    pub(crate) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        into: &mut [u8],
    ) -> io::Result<usize> {
        let Some(tls) = &mut self.0 else { return socket.read(into) };
        // Each iteration takes bytes from the socket, or returns.
        loop {
            match tls.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The stream ended without the closing alert of TLS, as Kafka's streams do.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            match tls.read_tls(socket) {
                Ok(0) if tls.is_handshaking() => return Err(TlsFailure::NoTls.into_error()),
                Ok(0) => return Ok(0),
                Ok(_) => {}
                // A listener without TLS takes the handshake for a request, and resets the connection.
                Err(error)
                    if tls.is_handshaking() && error.kind() == ErrorKind::ConnectionReset =>
                {
                    return Err(TlsFailure::NoTls.into_error());
                }
                Err(error) => return Err(error),
            }
            let processed = tls.process_new_packets();
            // The next message of the handshake, or the alert of a failure.
            let written = flush(tls, socket);
            processed.map_err(|error| TlsFailure::of(&error).into_error())?;
            match written {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    /// Writes as [`Write::write`] does. The channel may keep accepted bytes until [`flush`](Self::flush).
    ///
    /// # Errors
    /// The errors of the socket.
    pub(crate) fn write(
        &mut self,
        socket: &mut (impl Read + Write),
        bytes: &[u8],
    ) -> io::Result<usize> {
        let Some(tls) = &mut self.0 else { return socket.write(bytes) };
        let taken = tls.writer().write(bytes)?;
        match flush(tls, socket) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && taken > 0 => Ok(taken),
            Err(error) => Err(error),
            // The handshake must continue before the buffer has room.
            Ok(()) if taken == 0 && !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            Ok(()) => Ok(taken),
        }
    }

    /// Writes the bytes that the channel has kept.
    ///
    /// # Errors
    /// The errors of the socket.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        match &mut self.0 {
            None => Ok(()),
            Some(tls) => flush(tls, socket),
        }
    }
}

fn flush(tls: &mut ClientConnection, socket: &mut impl Write) -> io::Result<()> {
    while tls.wants_write() {
        if tls.write_tls(socket)? == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

//! Bytes over a socket, as they are or in TLS. The socket is the caller's, and may block or not.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::tls_failure::TlsFailure;

/// What carries the bytes of a connection.
#[derive(Debug)]
pub(crate) struct Channel(Option<Box<ClientConnection>>);

impl Channel {
    /// The bytes as they are.
    pub(crate) fn plaintext() -> Channel {
        Channel(None)
    }

    /// TLS with this host. The handshake takes place with the first bytes.
    pub(super) fn tls(config: Arc<ClientConfig>, host: &str) -> io::Result<Channel> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| TlsFailure::NoName.into_error())?;
        let connection = ClientConnection::new(config, name);
        let connection = connection.map_err(|error| TlsFailure::of(&error).into_error())?;
        Ok(Channel(Some(Box::new(connection))))
    }

    /// Whether a read that fills less than there is room for may have left something in the socket.
    pub(crate) fn reads_in_parts(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it holds bytes that are to be written to the socket.
    pub(crate) fn has_output(&self) -> bool {
        self.0.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Reads as [`Read::read`] does; 0 is the end of the stream.
    ///
    /// # Errors
    /// Those of the socket, and [`TlsFailure`].
    pub(crate) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        into: &mut [u8],
    ) -> io::Result<usize> {
        let Some(tls) = &mut self.0 else { return socket.read(into) };
        // Each turn takes bytes of the socket, or returns.
        loop {
            match tls.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The stream ended without a word of TLS, which Kafka does, too.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            match tls.read_tls(socket) {
                Ok(0) if tls.is_handshaking() => return Err(TlsFailure::NoTls.into_error()),
                Ok(0) => return Ok(0),
                Ok(_) => {}
                // What a listener does that takes the handshake for a request.
                Err(error)
                    if tls.is_handshaking() && error.kind() == ErrorKind::ConnectionReset =>
                {
                    return Err(TlsFailure::NoTls.into_error());
                }
                Err(error) => return Err(error),
            }
            let processed = tls.process_new_packets();
            // What the handshake answers, or the alert of a failure.
            let written = flush(tls, socket);
            processed.map_err(|error| TlsFailure::of(&error).into_error())?;
            match written {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    /// Writes as [`Write::write`] does. What is taken may be held here until [`flush`](Self::flush).
    ///
    /// # Errors
    /// Those of the socket.
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
            // The handshake has to go on before there is room for more.
            Ok(()) if taken == 0 && !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            Ok(()) => Ok(taken),
        }
    }

    /// Writes what is held here.
    ///
    /// # Errors
    /// Those of the socket.
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

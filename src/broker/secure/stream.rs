//! A blocking socket with its channel.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::access::Access;
use super::channel::Channel;

/// A blocking connection, with TLS if the access has it. It has not logged in.
#[derive(Debug)]
pub(crate) struct SecureStream {
    socket: TcpStream,
    channel: Channel,
}

impl SecureStream {
    /// Connects within `limit` to `address`, where `host` listens. A read or write returns after `wait` at the latest,
    /// with an error of the kind `WouldBlock` or `TimedOut`, and can be repeated. The TLS handshake takes place with
    /// the first bytes.
    ///
    /// # Errors
    /// The address does not accept the connection, or the host name cannot be in a certificate.
    pub(crate) fn connect(
        (host, address): (&str, SocketAddr),
        access: &Access,
        (limit, wait): (Duration, Duration),
    ) -> io::Result<SecureStream> {
        let channel = access.channel(host)?;
        let socket = TcpStream::connect_timeout(&address, limit)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(wait))?;
        socket.set_write_timeout(Some(wait))?;
        Ok(SecureStream { socket, channel })
    }
}

impl Read for SecureStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.channel.read(&mut self.socket, into)
    }
}

impl Write for SecureStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.channel.write(&mut self.socket, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.channel.flush(&mut self.socket)
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address.
pub(crate) fn host_of(name: &str) -> &str {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_without_port_and_brackets() {
        for (name, host) in [("a.b:1", "a.b"), ("[::1]:92", "::1"), ("1.2.3.4:5", "1.2.3.4")] {
            assert_eq!(host_of(name), host);
        }
    }
}

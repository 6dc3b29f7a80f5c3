//! Servers that are no Kafka brokers, in the process of the test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// The reaction of a server to the first bytes of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// It sends nothing, and the connection stays open.
    Silence,
    /// It closes the connection.
    Close,
    /// It sends these bytes, and the connection stays open.
    Bytes(&'static [u8]),
}

/// Starts a server on a free port. It ends with the process of the test.
pub(crate) fn start(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut open: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = stream.read(&mut [0; 1024]);
            match answer {
                Answer::Silence => open.push(stream),
                Answer::Close => drop(stream),
                Answer::Bytes(bytes) => {
                    let _ = stream.write_all(bytes);
                    open.push(stream);
                }
            }
        }
    });
    address
}

/// Largest number of bytes that are read of an HTTP request: enough for a form.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// Starts an HTTP server that responds to each request with the status and the JSON that `answer` returns for its text.
/// It ends with the process of the test.
pub(crate) fn answering(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let (status, body) = answer(&request(&mut stream));
            let length = body.len();
            let head = format!("HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\n");
            let rest = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            let _ = stream.write_all(format!("{head}{rest}").as_bytes());
        }
    });
    address
}

/// A request with its body, as far as it is received.
fn request(stream: &mut TcpStream) -> String {
    let (mut text, mut piece) = (String::new(), [0; 1024]);
    while text.len() < REQUEST_BYTES_MAX {
        let length = match stream.read(&mut piece) {
            Ok(length @ 1..) => length,
            _ => break,
        };
        text.push_str(&String::from_utf8_lossy(&piece[..length]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let wanted = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        if body.len() >= wanted.unwrap_or(0) {
            break;
        }
    }
    text
}

/// An address at which a connection is neither accepted nor refused. Its backlog is full, so the operating system drops
/// the packets of further connections, as a firewall does. Dropping the value closes the socket.
pub(crate) struct Dropping {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

/// Largest number of connections that are made to fill a backlog. The standard library requests a backlog of 128.
const WAITING_MAX: usize = 10_000;

pub(crate) fn dropping() -> Dropping {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        assert!(waiting.len() < WAITING_MAX, "the system takes all connections");
        waiting.push(stream);
    }
    Dropping { address, _listener: listener, _waiting: waiting }
}

/// A port on which nothing listens.
pub(crate) fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("an address")
}

/// Starts a server that forwards all bytes to `to`, each piece after `delay`. It ends with the process of the test.
pub(crate) fn slow(to: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let pass_on = move |mut from: TcpStream, mut to: TcpStream| {
        let mut piece = [0; 65_536];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            std::thread::sleep(delay);
            if to.write_all(&piece[..length]).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else { return };
            let (near_again, far_again) =
                (near.try_clone().expect("a socket"), far.try_clone().expect("a socket"));
            std::thread::spawn(move || pass_on(near, far));
            std::thread::spawn(move || pass_on(far_again, near_again));
        }
    });
    address
}

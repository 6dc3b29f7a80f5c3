//! A server that is not a Kafka broker, in the process of the test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// What it does with a connection once the first bytes have come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// Nothing; the connection stays open.
    Silence,
    /// Closes it.
    Close,
    /// Sends these bytes and leaves it open.
    Bytes(&'static [u8]),
}

/// Starts one on a free port; it ends with the process of the test.
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

/// A port on which nothing listens.
pub(crate) fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("an address")
}

/// Starts a server that passes everything on to `to`, each piece after `delay`; it ends with the process of the test.
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

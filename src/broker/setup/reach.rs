//! Checks that brokers can be reached at the addresses they advertise.
//!
//! A cluster answers at its bootstrap address, and then returns the advertised address of every broker. If one is
//! wrong, a client waits for minutes and reports no reason. A plain TCP connection shows it within seconds.
//!
//! Also [`Deadline`], the time limit of an operation that the user may interrupt.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::failure::UnreachableBroker;
use crate::base::{Clock, Time};
use crate::broker::secure::AddressFamily;

/// A broker as the cluster advertises it.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Advertised {
    /// The `node.id`.
    pub(in crate::broker) id: i32,
    /// The advertised host.
    pub(in crate::broker) host: String,
    /// The advertised port.
    pub(in crate::broker) port: i32,
}

impl Advertised {
    fn described(&self, reason: &str) -> UnreachableBroker {
        UnreachableBroker {
            id: self.id,
            address: format!("{}:{}", self.host, self.port),
            reason: reason.to_owned(),
        }
    }
}

/// Longest time for a broker to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Most connections tried at the same time.
const AT_A_TIME: usize = 16;

/// The brokers that do not accept a connection. Blocks for at most 5 s per 16 brokers plus 5 s, and not longer than
/// `deadline`. Brokers that could not be tried by then are left out.
pub(in crate::broker) fn find_unreachable(
    brokers: &[Advertised],
    family: AddressFamily,
    deadline: &Deadline,
) -> Vec<UnreachableBroker> {
    let left = Arc::new(Mutex::new(brokers.to_vec()));
    let (report, reports) = channel();
    for _ in 0..brokers.len().min(AT_A_TIME) {
        let (left, report) = (left.clone(), report.clone());
        let limit = deadline.left().min(CONNECT_LIMIT);
        let trying = std::thread::Builder::new().name("reach".to_owned()).spawn(move || {
            loop {
                // The guard must be dropped before the connection attempt.
                let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(broker) = next else { return };
                let unreachable =
                    attempt(&broker, family, limit).err().map(|reason| broker.described(&reason));
                if report.send((broker.id, unreachable)).is_err() {
                    return;
                }
            }
        });
        if trying.is_err() {
            break;
        }
    }
    drop(report);
    let mut open: Vec<&Advertised> = brokers.iter().collect();
    let mut unreachable = Vec::new();
    // A name lookup cannot be interrupted, so the threads are not joined.
    let turns = u32::try_from(brokers.len().div_ceil(AT_A_TIME)).unwrap_or(1);
    let last = deadline.cut(CONNECT_LIMIT * (turns + 1));
    while !open.is_empty() {
        match reports.recv_timeout(last.left()) {
            Ok((id, found)) => {
                open.retain(|broker| broker.id != id);
                unreachable.extend(found);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    unreachable.sort_by_key(|unreachable| unreachable.id);
    unreachable
}

fn attempt(broker: &Advertised, family: AddressFamily, limit: Duration) -> Result<(), String> {
    let port = u16::try_from(broker.port).map_err(|_| "no such port".to_owned())?;
    let addresses: Vec<SocketAddr> = (broker.host.as_str(), port)
        .to_socket_addrs()
        .map_err(|_| "the name cannot be resolved".to_owned())?
        .collect();
    let mut reason = format!("{}, and {}", listed(&addresses), family.in_words());
    for address in addresses.into_iter().filter(|address| family.takes(address)) {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(_) => return Ok(()),
            Err(error) => reason = said(&error),
        }
    }
    Err(reason)
}

fn said(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::TimedOut => "no answer, as behind a firewall".to_owned(),
        _ => error.to_string(),
    }
}

/// The addresses of a name, for a message.
pub(super) fn listed(addresses: &[SocketAddr]) -> String {
    let texts: BTreeSet<String> = addresses.iter().map(|it| it.ip().to_string()).collect();
    match texts.len() {
        0 => "the name has no address".to_owned(),
        _ => format!("the name has the address {}", Vec::from_iter(texts).join(" and ")),
    }
}

/// A time limit that several steps share. Clones are cheap, and end at the same time.
#[derive(Clone, Debug)]
pub struct Deadline {
    clock: Clock,
    began: Time,
    at: Time,
    interrupted: Option<watch::Receiver<bool>>,
}

impl Deadline {
    /// A limit that begins now and is over after `limit`, or as soon as `interrupted` turns true.
    pub fn new(clock: Clock, limit: Duration, interrupted: watch::Receiver<bool>) -> Deadline {
        Deadline { interrupted: Some(interrupted), ..Deadline::of(clock, limit) }
    }

    /// A limit that an interruption does not end.
    pub fn of(clock: Clock, limit: Duration) -> Deadline {
        let began = clock.now();
        Deadline { clock, began, at: began + limit, interrupted: None }
    }

    /// This limit, shortened so that it is over after `limit` from now on at the latest.
    pub(in crate::broker) fn cut(&self, limit: Duration) -> Deadline {
        let at = self.at.min(self.clock.now() + limit);
        Deadline { at, ..self.clone() }
    }

    /// The time left; zero if the limit is over or the user has interrupted.
    pub fn left(&self) -> Duration {
        match self.is_interrupted() {
            true => Duration::ZERO,
            false => self.at.remaining(self.clock.now()),
        }
    }

    /// The time since the limit began.
    pub fn passed(&self) -> Duration {
        self.clock.now().remaining(self.began)
    }

    /// True if the user has interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.as_ref().is_some_and(|interrupted| *interrupted.borrow())
    }

    /// True if no time is left.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Blocks the thread for `pause`, or for the time left if that is shorter.
    pub(in crate::broker) fn pause(&self, pause: Duration) {
        std::thread::sleep(pause.min(self.left()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Clock;
    use std::net::TcpListener;

    #[cfg(target_os = "linux")]
    /// A listener that accepts no connection, with a full backlog: Linux drops further connections, as a firewall does.
    fn full() -> (TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let wait = Duration::from_millis(500);
        let taken = (0..10_000).map_while(|_| TcpStream::connect_timeout(&address, wait).ok());
        let taken = taken.collect();
        (listener, taken)
    }

    // macOS refuses connections that do not fit into the backlog.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_broker_behind_a_firewall_gives_no_answer_and_holds_up_no_other() {
        let (dropping, _taken) = full();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let broker = |id, listener: &TcpListener| {
            let at = listener.local_addr().expect("an address");
            Advertised { id, host: at.ip().to_string(), port: at.port().into() }
        };
        let brokers = [broker(1, &dropping), broker(2, &listener)];
        let deadline = Deadline::of(Clock::start(), Duration::from_secs(60));
        let unreachable = find_unreachable(&brokers, AddressFamily::Any, &deadline);
        let port = dropping.local_addr().expect("an address").port();
        let said: Vec<String> = unreachable.iter().map(UnreachableBroker::to_string).collect();
        let text = format!("broker 1 as `127.0.0.1:{port}` (no answer, as behind a firewall)");
        assert_eq!(said, [text]);
        assert!(!deadline.is_over());
    }

    #[test]
    fn a_broker_that_does_not_accept_connections_is_named_with_the_reason() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let open = listener.local_addr().expect("an address").port();
        let closed = TcpListener::bind("127.0.0.1:0")
            .and_then(|gone| gone.local_addr())
            .expect("a port")
            .port();
        let broker =
            |id, host: &str, port: u16| Advertised { id, host: host.to_owned(), port: port.into() };
        let brokers = [
            broker(1, "127.0.0.1", open),
            broker(2, "127.0.0.1", closed),
            broker(3, "no-such-host.invalid", 9092),
        ];
        let deadline = Deadline::of(Clock::start(), Duration::from_secs(60));
        let unreachable: Vec<String> = find_unreachable(&brokers, AddressFamily::Any, &deadline)
            .iter()
            .map(UnreachableBroker::to_string)
            .collect();
        assert_eq!(
            unreachable,
            [
                format!("broker 2 as `127.0.0.1:{closed}` (connection refused)"),
                "broker 3 as `no-such-host.invalid:9092` (the name cannot be resolved)".to_owned(),
            ]
        );
    }
}

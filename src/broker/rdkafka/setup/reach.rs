//! Whether brokers can be reached at the addresses they advertise; the group's first commits, and why a group has no
//! coordinator.
//!
//! A cluster answers at the address it is asked at, and then names every broker's own address. If that one is wrong, a
//! client waits for minutes and names no reason; a plain TCP connection tells within seconds.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::admin::ResourceSpecifier;
use rdkafka::error::RDKafkaErrorCode;

use super::failure::{SetupError, UnreachableBroker, counted_brokers};
use super::{Admin, Deadline, Found, PAUSE, STEP, Told, made, quick};
use crate::base::{Offset, PartitionId};
use crate::broker::rdkafka::error::{Doing, describe, missing_right};
use crate::broker::rdkafka::offsets::RdCommitter;

/// A broker as the cluster advertises it.
#[derive(Clone, Debug)]
pub(super) struct Advertised {
    pub(super) id: i32,
    pub(super) host: String,
    pub(super) port: i32,
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

/// How long a broker may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Connections that are tried at a time.
const AT_A_TIME: usize = 16;

/// The brokers that do not accept a connection. Blocks for at most 5 s more than there are turns of 16 brokers, and
/// not longer than `deadline`; brokers that could not be tried by then are left out.
pub(super) fn find_unreachable(
    brokers: &[Advertised],
    deadline: &Deadline,
) -> Vec<UnreachableBroker> {
    let left = Arc::new(Mutex::new(brokers.to_vec()));
    let (report, reports) = channel();
    for _ in 0..brokers.len().min(AT_A_TIME) {
        let (left, report) = (left.clone(), report.clone());
        let limit = deadline.left().min(CONNECT_LIMIT);
        let trying = std::thread::Builder::new().name("reach".to_owned()).spawn(move || {
            loop {
                // The guard must not live during the connection.
                let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(broker) = next else { return };
                let unreachable =
                    attempt(&broker, limit).err().map(|reason| broker.described(&reason));
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
    // Resolving a name cannot be cut short, so that threads are not waited for.
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

fn attempt(broker: &Advertised, limit: Duration) -> Result<(), String> {
    let port = u16::try_from(broker.port).map_err(|_| "no such port".to_owned())?;
    let addresses = (broker.host.as_str(), port)
        .to_socket_addrs()
        .map_err(|_| "the name cannot be resolved".to_owned())?;
    let mut reason = "the name has no address".to_owned();
    for address in addresses {
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
        std::io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    }
}

/// How long a coordinator is asked for before it is looked at why there is none. The first group of a cluster waits
/// until the topic of the offsets has been created.
const PATIENCE: Duration = Duration::from_secs(5);

impl Admin {
    /// Commits the start offsets for the run's group while it is still empty. A coordinator that is just being
    /// made is asked again until `deadline`.
    ///
    /// # Errors
    /// Why there is no coordinator, the right that is missing, or what the coordinator said.
    pub async fn commit_starts(
        &self,
        starts: &[Offset],
        found: Option<&Found>,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        let group = self.settings.group_id();
        let told = Told::new(self.settings.hidden()).keeping(self.reports.clone());
        let config = quick(self.settings.committer());
        let mut committer =
            made(RdCommitter::with(&self.settings, &config, &self.topic, self.clock, told))?;
        let positions: BTreeMap<PartitionId, Offset> =
            (0..).map(PartitionId).zip(starts.iter().copied()).collect();
        let outcome = loop {
            let limit = deadline.cut(PATIENCE);
            let Err(error) = committer.commit_within(&positions, &limit) else { break Ok(()) };
            if deadline.is_interrupted() {
                break Err(SetupError::Interrupted);
            }
            let denied = error
                .rdkafka_error_code()
                .and_then(|code| missing_right(code, Doing::Read, &self.topic, Some(&group)));
            if let Some(denied) = denied.map(SetupError::Denied) {
                break Err(denied);
            }
            let no_coordinator = |reason| SetupError::NoCoordinator {
                group: group.clone(),
                waited: deadline.passed(),
                reason,
            };
            if let Some(found) = found
                && let Some(reason) = self.too_few_for_offsets(found, deadline).await
            {
                break Err(no_coordinator(reason));
            }
            if deadline.is_over() {
                let why = match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::OperationTimedOut) => "no answer".to_owned(),
                    _ => describe(&error),
                };
                break Err(no_coordinator(format!(
                    "{why}; check the partitions of the topic `__consumer_offsets`, or raise `run.startup`"
                )));
            }
            deadline.pause(PAUSE);
        };
        // Closing it asks the coordinator once more, and may take as long as that does.
        let _ = std::thread::Builder::new().name("close".to_owned()).spawn(move || drop(committer));
        outcome
    }

    /// Whether the topic of the offsets can have its copies: a group has no coordinator before it exists.
    async fn too_few_for_offsets(&self, found: &Found, deadline: &Deadline) -> Option<String> {
        const NAME: &str = "offsets.topic.replication.factor";
        let metadata = self.ask_metadata("__consumer_offsets", STEP, deadline).ok()?;
        if metadata.topics().iter().any(|topic| !topic.partitions().is_empty()) {
            return None;
        }
        let broker = ResourceSpecifier::Broker(metadata.brokers().first()?.id());
        let wanted: usize = self.configured(broker, NAME, deadline).await?;
        let (has, brokers) = (found.brokers, counted_brokers(found.brokers));
        (wanted > has).then(|| {
            format!(
                "the topic `__consumer_offsets` is to have {wanted} copies, and the cluster has {brokers}; set \
                 `{NAME}={has}` in the brokers' configuration, or start more brokers"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::base::Clock;

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
        let unreachable: Vec<String> = find_unreachable(&brokers, &deadline)
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

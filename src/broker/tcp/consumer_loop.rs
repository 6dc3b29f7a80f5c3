//! The clients of several consumers on one thread, which waits for all their sockets at once.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::consumer::Timed;
use super::transport::Transport;
use crate::base::{Clock, Offset, PartitionId, Time};
use crate::broker::native::{NativeConsumer, NativeSettings};
use crate::broker::{
    BrokerError, ConsumerCommand, ConsumerEvents, ConsumerLoop, ConsumerPort, ConsumerSpec,
};

/// The clients of a thread.
pub(super) struct TcpConsumerLoop {
    shared: SharedClients,
    clock: Clock,
}

/// The clients, shared by the loop and their ports. There is a lock because they are created on another thread than
/// that of the loop. It is never contended.
type SharedClients = Arc<Mutex<Clients>>;

struct Clients {
    transport: Transport<NativeConsumer>,
    settings: NativeSettings,
    /// Numbers of closed clients. An idle client takes the place of each.
    free: Vec<usize>,
}

impl TcpConsumerLoop {
    /// Has no clients yet. `transport` gets each one, and all have the same `settings`.
    pub(super) fn new(
        transport: Transport<NativeConsumer>,
        settings: NativeSettings,
        clock: Clock,
    ) -> TcpConsumerLoop {
        let clients = Clients { transport, settings, free: Vec::new() };
        TcpConsumerLoop { shared: Arc::new(Mutex::new(clients)), clock }
    }
}

fn lock(shared: &SharedClients) -> MutexGuard<'_, Clients> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConsumerLoop for TcpConsumerLoop {
    fn add(&mut self, spec: &ConsumerSpec) -> (usize, Box<dyn ConsumerPort>) {
        let clients = &mut *lock(&self.shared);
        let client = NativeConsumer::new(clients.settings.clone());
        let name = Arc::from(format!("lanekeeper-{}", spec.name));
        let number = match clients.free.pop() {
            Some(number) => {
                clients.transport.replace(number, client, name);
                number
            }
            None => clients.transport.add(client, name),
        };
        let (shared, clock) = (self.shared.clone(), self.clock);
        (number, Box::new(LoopedClient { shared, number, clock }))
    }

    fn wait(&mut self, now: Time, wait: Duration, ready: &mut Vec<usize>) -> Time {
        let transport = &mut lock(&self.shared).transport;
        let now = transport.turn(now, wait);
        transport.take_served(|number, client| {
            if client.has_events() {
                ready.push(number);
            }
        });
        now
    }

    fn waker(&self) -> io::Result<Arc<dyn Fn() + Send + Sync>> {
        let waker = lock(&self.shared).transport.waker()?;
        Ok(Arc::new(move || {
            if let Err(error) = waker.wake() {
                tracing::error!(%error, "a thread of consumers cannot be woken");
            }
        }))
    }
}

/// The port of one client.
struct LoopedClient {
    shared: SharedClients,
    number: usize,
    clock: Clock,
}

impl ConsumerPort for LoopedClient {
    fn submit(&mut self, now: Time, command: ConsumerCommand) -> Result<(), BrokerError> {
        let transport = &mut lock(&self.shared).transport;
        transport.client(self.number).submit(now, command)?;
        transport.send_due(now);
        Ok(())
    }

    fn poll(&mut self, now: Time, _wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        let transport = &mut lock(&self.shared).transport;
        let mut events = Timed::new(events, self.clock);
        transport.client(self.number).poll(now, Duration::ZERO, &mut events);
        // The next fetch is sent first, so that the broker works meanwhile.
        let now = self.clock.now();
        transport.send_due(now);
        now
    }

    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        lock(&self.shared).transport.client(self.number).ends_reached()
    }

    fn has_events(&self) -> bool {
        lock(&self.shared).transport.peek(self.number).has_events()
    }

    fn close(self: Box<Self>, _limit: Duration) -> bool {
        true
    }
}

impl Drop for LoopedClient {
    fn drop(&mut self) {
        let clients = &mut *lock(&self.shared);
        let idle = NativeConsumer::new(clients.settings.clone());
        clients.transport.replace(self.number, idle, Arc::from(""));
        clients.free.push(self.number);
    }
}

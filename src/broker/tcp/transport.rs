//! The native clients of one thread, their connections, and the wait for all of them.
//!
//! A client has no socket and no clock: it returns requests, and the time of the next call. The transport writes the
//! requests to connections, waits for responses, and passes them to the client.

use std::sync::Arc;
use std::time::Duration;

use super::brokers::{BROKERS_MAX, Brokers};
use super::connection::{Broken, Connection};
use super::leaders::Leaders;
use super::poller::{Poller, Ready};
use super::request::{Batches, ClientSide, Memory, Outgoing, Topic};
use crate::base::{Clock, DueTimes, Time};
use crate::broker::protocol::{BrokerId, Client, Produce, Request};
use crate::measure::RequestCounter;

/// Connections of a client to a broker: one for the requests of its group, because a JoinGroup may wait for long, and
/// one for all others.
const LANES: usize = 2;

/// The clients of a thread with their connections.
pub(super) struct Transport<C> {
    clients: Vec<C>,
    /// The `client.id` of each client. That in `topic` is set to the one of the client that sends.
    names: Vec<Arc<str>>,
    brokers: Brokers,
    topic: Topic,
    leaders: Leaders,
    memory: Memory,
    /// By client, and for each client by broker and lane.
    connections: Vec<Vec<Option<Box<Connection>>>>,
    poller: Poller,
    ready: Vec<Ready>,
    clock: Clock,
    counter: RequestCounter,
    /// Time of each client's next call.
    due: DueTimes,
    /// Clients to be called before the next wait.
    changed: Vec<usize>,
    /// Clients whose state may have changed since [`take_served`](Self::take_served), and by client whether it is in
    /// that list. The port of a single consumer never takes them.
    served: Vec<usize>,
    is_served: Vec<bool>,
}

impl<C: Client> Transport<C> {
    /// Clients without connections, which are opened when there is something to send.
    ///
    /// # Errors
    /// The operating system has no more descriptors.
    pub(super) fn new(
        clients: Vec<C>,
        brokers: Brokers,
        topic: Topic,
        (clock, counter): (Clock, RequestCounter),
    ) -> std::io::Result<Transport<C>> {
        let count = clients.len();
        Ok(Transport {
            connections: (0..count).map(|_| Vec::new()).collect(),
            poller: Poller::new()?,
            ready: Vec::new(),
            clock,
            counter,
            due: DueTimes::new(count),
            changed: (0..count).collect(),
            served: Vec::new(),
            is_served: vec![false; count],
            names: vec![topic.client_id.clone(); count],
            clients,
            brokers,
            topic,
            leaders: Leaders::default(),
            memory: Memory::default(),
        })
    }

    /// Adds a client with the `client.id` `name`. Returns its number.
    pub(super) fn add(&mut self, client: C, name: Arc<str>) -> usize {
        let number = self.clients.len();
        self.clients.push(client);
        self.names.push(name);
        self.connections.push(Vec::new());
        self.is_served.push(false);
        self.changed.push(number);
        number
    }

    /// Replaces a client whose connections are closed by another one.
    pub(super) fn replace(&mut self, number: usize, client: C, name: Arc<str>) {
        let brokers = (self.connections[number].len() / LANES) as BrokerId;
        (0..brokers).for_each(|broker| self.close(number, broker));
        self.clients[number] = client;
        self.names[number] = name;
        self.changed.push(number);
    }

    /// Returns a waker that ends waits from another thread.
    ///
    /// # Errors
    /// The operating system has no more descriptors.
    pub(super) fn waker(&self) -> std::io::Result<mio::Waker> {
        self.poller.waker()
    }

    /// Number of clients.
    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// The client of this number. The next turn calls it, because it may have changed.
    pub(super) fn client(&mut self, number: usize) -> &mut C {
        if self.changed.last() != Some(&number) {
            self.changed.push(number);
        }
        &mut self.clients[number]
    }

    /// The client of this number, which is not changed.
    pub(super) fn peek(&self, number: usize) -> &C {
        &self.clients[number]
    }

    /// Calls `look` with the number of each client whose state may have changed since the last call, and with the
    /// client.
    pub(super) fn take_served(&mut self, mut look: impl FnMut(usize, &mut C)) {
        for number in self.served.drain(..) {
            self.is_served[number] = false;
            look(number, &mut self.clients[number]);
        }
    }

    /// Does what is due, and sends the requests. Returns the time of the next call.
    pub(super) fn send_due(&mut self, now: Time) -> Time {
        while let Some(number) = self.due.take(now) {
            self.changed.push(number);
        }
        // Handling a client may break connections, which adds the client again. Each connection breaks only once.
        while let Some(number) = self.changed.pop() {
            let next = self.clients[number].tick(now);
            if !std::mem::replace(&mut self.is_served[number], true) {
                self.served.push(number);
            }
            self.topic.client_id.clone_from(&self.names[number]);
            let held = self.send(number, now);
            self.due.set(number, next.min(held));
        }
        self.due.first()
    }

    /// Sends what is due, waits at most `wait` for a first response, and handles all that have arrived. Returns the
    /// time at its end.
    pub(super) fn turn(&mut self, now: Time, wait: Duration) -> Time {
        let next = self.send_due(now);
        let wait = wait.min(next.remaining(now));
        let mut ready = std::mem::take(&mut self.ready);
        if let Err(error) = self.poller.wait(now, wait, &mut ready) {
            tracing::error!(%error, "the native client cannot wait for its sockets");
            std::thread::sleep(wait);
        }
        let now = self.clock.now();
        for ready in ready.drain(..) {
            self.serve(ready, now);
        }
        self.ready = ready;
        self.counter.flush_if_due(now);
        self.send_due(now);
        now
    }

    /// Passes the requests of a client to its connections, and writes them. Returns the end of a throttle time for
    /// which requests wait.
    fn send(&mut self, number: usize, now: Time) -> Time {
        let mut outbox = std::mem::take(self.clients[number].outbox());
        let (mut lost, mut gathered) = (Vec::new(), GatheredBatches::default());
        for (_, broker, request) in outbox.drain(..) {
            let (complete, request) = match request {
                Request::Produce(batch) => (gathered.add(broker, batch), None),
                Request::Close => {
                    // The client gives up its requests to this broker.
                    gathered.take(broker);
                    self.close(number, broker);
                    continue;
                }
                request => (None, Some((lane(&request), Outgoing::One(request)))),
            };
            let complete = complete.map(|batches| (0, Outgoing::Batches(batches)));
            for (lane, outgoing) in complete.into_iter().chain(request) {
                self.hand_over(ConnectionKey { number, broker, lane }, outgoing, &mut lost, now);
            }
        }
        for (broker, batches) in gathered.0 {
            let key = ConnectionKey { number, broker, lane: 0 };
            self.hand_over(key, Outgoing::Batches(batches), &mut lost, now);
        }
        // The outbox keeps its memory, and the requests that were added by a break.
        let added = std::mem::replace(self.clients[number].outbox(), outbox);
        self.clients[number].outbox().extend(added);
        let mut held = Time::NEVER;
        for at in 0..self.connections[number].len() {
            let key = ConnectionKey::of(number, at);
            let Some((connection, mut side)) = self.speaking(key, now) else { continue };
            if !connection.has_output() {
                continue;
            }
            let written = connection.write(&mut side);
            held = held.min(held_back(connection, now));
            if let Err(broken) = written {
                self.broken(key, &broken, now);
            }
        }
        held
    }

    /// A connection, if it exists, and the client's side of it.
    fn speaking(
        &mut self,
        key: ConnectionKey,
        now: Time,
    ) -> Option<(&mut Connection, ClientSide<'_, C>)> {
        let ConnectionKey { number, broker, .. } = key;
        let connection = self.connections.get_mut(number)?.get_mut(key.at())?.as_mut()?;
        let (client, brokers) = (&mut self.clients[number], &mut self.brokers);
        let (topic, leaders, memory) = (&mut self.topic, &mut self.leaders, &mut self.memory);
        let counter = &mut self.counter;
        let side = ClientSide { client, broker, brokers, leaders, topic, memory, counter, now };
        Some((connection, side))
    }

    fn connection(&mut self, key: ConnectionKey) -> &mut Option<Box<Connection>> {
        let (connections, at) = (&mut self.connections[key.number], key.at());
        if connections.len() <= at {
            connections.resize_with(at + 1, || None);
        }
        &mut connections[at]
    }

    /// Passes a request to its connection. Requests to brokers in `lost` are dropped, because the client was told that
    /// it gets no responses from them.
    fn hand_over(
        &mut self,
        key: ConnectionKey,
        outgoing: Outgoing,
        lost: &mut Vec<BrokerId>,
        now: Time,
    ) {
        if lost.contains(&key.broker) {
            return;
        }
        if let Err(broken) = self.push(key, outgoing, now) {
            self.broken(key, &broken, now);
            lost.push(key.broker);
        }
    }

    fn push(&mut self, key: ConnectionKey, outgoing: Outgoing, now: Time) -> Result<(), Broken> {
        let ConnectionKey { broker, .. } = key;
        if self.connection(key).is_none() {
            let brokers = &self.brokers;
            let address = brokers.address(broker).map_err(Broken::NotResolved)?;
            let at = (brokers.host(broker), address);
            let opened = Connection::open(at, brokers.access(), key.token(), &self.poller);
            let connection = opened?;
            self.counter.opened();
            *self.connection(key) = Some(Box::new(connection));
        }
        match self.speaking(key, now) {
            Some((connection, mut side)) => connection.push(outgoing, &mut side),
            None => Ok(()),
        }
    }

    /// Reads from and writes to a socket that is ready.
    fn serve(&mut self, ready: Ready, now: Time) {
        let key = ConnectionKey::of_token(ready.number);
        let Some(name) = self.names.get(key.number) else { return };
        self.topic.client_id.clone_from(name);
        let Some((connection, mut side)) = self.speaking(key, now) else { return };
        let mut served = Ok(());
        if ready.is_writable {
            served = connection.writable(&mut side);
        }
        if served.is_ok() && ready.is_readable {
            served = connection.read(ready.is_at_end, &mut side);
        }
        self.changed.push(key.number);
        if let Err(broken) = served {
            self.broken(key, &broken, now);
        }
    }

    /// Handles a broken connection: tells the client, and closes its other connection to the broker.
    fn broken(&mut self, key: ConnectionKey, broken: &Broken, now: Time) {
        let ConnectionKey { number, broker, .. } = key;
        let address = self.brokers.name(broker);
        tracing::debug!(address, %broken, "connection lost");
        self.close(number, broker);
        self.clients[number].disconnected(broker, now);
        self.changed.push(number);
    }

    fn close(&mut self, number: usize, broker: BrokerId) {
        for lane in 0..LANES {
            if let Some(connection) = self.connection(ConnectionKey { number, broker, lane }).take()
            {
                connection.close(&self.poller);
                self.counter.closed();
            }
        }
    }
}

/// The batches of an outbox, which become one request for each broker.
#[derive(Debug, Default)]
struct GatheredBatches(Vec<(BrokerId, Batches)>);

impl GatheredBatches {
    /// Adds a batch. Returns the batches of the broker's earlier request, if this batch is in another one.
    fn add(&mut self, broker: BrokerId, batch: Box<Produce>) -> Option<Batches> {
        let Some((_, batches)) = self.0.iter_mut().find(|(at, _)| *at == broker) else {
            self.0.push((broker, vec![batch]));
            return None;
        };
        if batches.first().is_some_and(|first| first.request == batch.request) {
            batches.push(batch);
            return None;
        }
        Some(std::mem::replace(batches, vec![batch]))
    }

    /// Removes the batches for a broker.
    fn take(&mut self, broker: BrokerId) {
        self.0.retain(|(at, _)| *at != broker);
    }
}

/// End of the throttle time for which requests of a connection wait.
fn held_back(connection: &Connection, now: Time) -> Time {
    Some(connection.held_until()).filter(|until| *until > now).unwrap_or(Time::NEVER)
}

/// The lane of a request.
fn lane(request: &Request) -> usize {
    usize::from(matches!(request, Request::Group(_) | Request::FindCoordinator))
}

/// A connection: the client, the broker, and the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ConnectionKey {
    number: usize,
    broker: BrokerId,
    lane: usize,
}

impl ConnectionKey {
    /// The connection at this index of a client's list.
    fn of(number: usize, at: usize) -> ConnectionKey {
        ConnectionKey { number, broker: (at / LANES) as BrokerId, lane: at % LANES }
    }

    /// Index in the list of its client.
    fn at(self) -> usize {
        self.broker as usize * LANES + self.lane
    }

    /// The number under which the poller reports the connection. It does not depend on the number of brokers.
    fn token(self) -> usize {
        self.number * BROKERS_MAX * LANES + self.at()
    }

    fn of_token(token: usize) -> ConnectionKey {
        ConnectionKey::of(token / (BROKERS_MAX * LANES), token % (BROKERS_MAX * LANES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_the_client_the_broker_and_the_connection() {
        for (number, broker, lane) in [(0, 0, 0), (0, 2, 1), (9_999, BROKERS_MAX as u32 - 1, 1)] {
            let key = ConnectionKey { number, broker, lane };
            assert_eq!(ConnectionKey::of_token(key.token()), key);
        }
    }
}

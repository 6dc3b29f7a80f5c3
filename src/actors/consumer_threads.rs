//! Threads that consumers share. Each is an event loop, with one wait for the sockets, the commands and the due times
//! of all its hosts.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use super::host::{ConsumerHost, LoopedConsumer};
use super::lease::Wake;
use super::runtime::{ConsumerStart, Context};
use crate::base::{Clock, ConsumerId, DueTimes, Time};
use crate::broker::{ClusterPort, ConsumerLoop};
use crate::measure::CpuLimit;
use crate::plan::CONSUMER_THREADS_MAX;

/// Longest wait. A thread without a consumer ends after this time at the latest.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// A wait of at least this length ends 1 ms too early ([`EARLIER`]), because sockets are waited for in whole
/// milliseconds. The rest of the time is a wait of its own.
const LONG_WAIT: Duration = Duration::from_millis(20);
const EARLIER: Duration = Duration::from_millis(1);
/// Longest a client may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// True if a consumer shares its thread, because nothing in it blocks. A handler of the user's may block.
pub(super) fn shares_a_thread(context: &Context, consumer: ConsumerId) -> bool {
    context.handlers.is_none() && context.plan.shares_a_thread(consumer.0)
}

/// The threads of a run. A thread is started with its first consumer. It ends when it has no consumer and this value is
/// dropped.
pub(super) struct ConsumerThreads {
    threads: Vec<Mutex<Option<Inlet>>>,
    tickets: AtomicU64,
}

/// The requests of a thread, and what ends its wait for sockets.
#[derive(Clone)]
struct Inlet {
    sender: Sender<Request>,
    wake: Wake,
}

impl Inlet {
    fn send(&self, request: Request) {
        // A thread that has ended has already reported a failure to each of its consumers.
        if self.sender.send(request).is_ok() {
            (self.wake)();
        }
    }
}

/// A request to a thread. The number, a ticket, identifies a host.
enum Request {
    /// Give this host turns.
    Start(u64, Box<ConsumerStart>),
    /// Give this host a turn, because a command waits for it.
    Wake(u64),
}

impl ConsumerThreads {
    /// No threads yet.
    pub(super) fn new() -> ConsumerThreads {
        let count = CpuLimit::of_this_process().cores.clamp(1, CONSUMER_THREADS_MAX);
        let threads = (0..count).map(|_| Mutex::default()).collect();
        ConsumerThreads { threads, tickets: AtomicU64::new(0) }
    }

    /// Starts a host on the thread of `consumer`. A consumer has the same thread for each of its starts.
    ///
    /// # Errors
    /// The system gives no thread or no descriptors.
    pub(super) fn start(
        &self,
        consumer: ConsumerId,
        start: ConsumerStart,
        (clients, clock): (&dyn ClusterPort, Clock),
    ) -> io::Result<Wake> {
        let at = consumer.0 as usize % self.threads.len();
        let mut thread = self.threads[at].lock().unwrap_or_else(PoisonError::into_inner);
        let inlet = match &*thread {
            Some(inlet) => inlet.clone(),
            None => thread.insert(start_thread(at, clients, clock)?).clone(),
        };
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        inlet.send(Request::Start(ticket, Box::new(start)));
        Ok(Arc::new(move || inlet.send(Request::Wake(ticket))))
    }
}

fn start_thread(at: usize, clients: &dyn ClusterPort, clock: Clock) -> io::Result<Inlet> {
    let clients = clients.consumer_loop().map_err(|error| io::Error::other(error.to_string()))?;
    let wake = clients.waker()?;
    let (sender, requests) = mpsc::channel();
    let run = move || EventLoop::new(clients, requests, clock).run();
    Builder::new().name(format!("consumers-{at}")).spawn(run)?;
    Ok(Inlet { sender, wake })
}

/// The hosts of a thread, by the numbers that the loop of clients has given their clients.
struct EventLoop {
    clients: Box<dyn ConsumerLoop>,
    requests: Receiver<Request>,
    clock: Clock,
    hosts: BTreeMap<usize, LoopedConsumer>,
    tickets: BTreeMap<u64, usize>,
    /// When each host gets its next turn.
    due: DueTimes,
}

impl EventLoop {
    fn new(clients: Box<dyn ConsumerLoop>, requests: Receiver<Request>, clock: Clock) -> EventLoop {
        let (hosts, tickets, due) = (BTreeMap::new(), BTreeMap::new(), DueTimes::default());
        EventLoop { clients, requests, clock, hosts, tickets, due }
    }

    fn run(mut self) {
        let mut ready = Vec::new();
        while self.take_requests() || !self.hosts.is_empty() {
            let now = self.clock.now();
            // A host that wants another turn at once gets it after the turns of all others and a check of the sockets.
            while let Some(number) = self.due.take(now) {
                self.give_turn(number, now);
            }
            let now = self.clock.now();
            let wait = self.due.first().remaining(now).min(WAIT_MAX);
            let wait = if wait >= LONG_WAIT { wait - EARLIER } else { wait };
            let now = self.clients.wait(now, wait, &mut ready);
            ready.drain(..).for_each(|number| self.due.set(number, now));
        }
    }

    /// Takes the requests that have arrived. False if there will be no more.
    fn take_requests(&mut self) -> bool {
        loop {
            match self.requests.try_recv() {
                Ok(Request::Start(ticket, start)) => {
                    let (number, client) = self.clients.add(&start.spec);
                    let host = ConsumerHost::new(*start);
                    self.hosts.insert(number, LoopedConsumer::new(host, client, ticket));
                    self.tickets.insert(ticket, number);
                    self.due.set(number, Time::ZERO);
                }
                Ok(Request::Wake(ticket)) => {
                    if let Some(number) = self.tickets.get(&ticket) {
                        self.due.set(*number, Time::ZERO);
                    }
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Gives one host a turn. A panic in the turn ends this host only.
    fn give_turn(&mut self, number: usize, now: Time) {
        let Some(host) = self.hosts.get_mut(&number) else { return };
        match catch_unwind(AssertUnwindSafe(|| host.turn(now))) {
            // Later than the time of this round, so that the other hosts have their turns first.
            Ok(Some(next)) => self.due.set(number, next.max(now + Duration::from_nanos(1))),
            ended => {
                let Some(host) = self.hosts.remove(&number) else { return };
                self.tickets.remove(&host.ticket());
                match ended {
                    Ok(_) => host.close(now, CLOSE_LIMIT),
                    Err(_) => host.panicked(),
                }
            }
        }
    }
}

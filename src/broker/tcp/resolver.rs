//! Looks up the addresses of hosts on a thread of its own: a lookup takes as long as the name servers do, and a thread
//! that serves other brokers must not wait for it.
//!
//! A known name keeps its last addresses while it is looked up again, and if a later lookup finds none.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::{Clock, Time};
use crate::broker::secure::AddressFamily;
use crate::broker::setup::Deadline;

/// Time for which addresses are used without another lookup: `broker.address.ttl` of librdkafka. The first connection
/// after it starts a new lookup.
const KEPT: Duration = Duration::from_secs(1);
/// Largest number of names that are followed.
const NAMES_MAX: usize = 4_096;
/// Longest wait for a lookup, after which an interruption by the user is noticed.
const WAIT: Duration = Duration::from_millis(200);

/// Finds the addresses of `host:port`, or returns the reason why there are none.
type Lookup = dyn Fn(&str) -> Result<Vec<SocketAddr>, String> + Send + Sync;

/// The resolver of this process: one thread for all clients, which exists while there are names to look up.
static OF_SYSTEM: LazyLock<Resolver> = LazyLock::new(|| {
    Resolver::new(|name| match name.to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(error.to_string()),
    })
});

/// Names with their addresses, and the thread that looks them up. Clones share both.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Shared>);

struct Shared {
    lookup: Box<Lookup>,
    clock: Clock,
    state: Mutex<State>,
    /// Signals the end of a lookup.
    is_over: Condvar,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, Known>,
    /// Names to look up, each at most once.
    asked: VecDeque<String>,
    has_thread: bool,
}

/// The state of a name.
#[derive(Default)]
struct Known {
    /// The addresses found last, IPv4 first.
    addresses: Vec<SocketAddr>,
    /// The error of the last lookup, if it found none.
    error: Option<String>,
    /// Time of the last lookup.
    looked_up: Option<Time>,
    is_asked: bool,
}

impl Default for Resolver {
    fn default() -> Resolver {
        OF_SYSTEM.clone()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("names", &self.lock().names.len()).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver that finds addresses with `lookup`, which may block.
    pub(super) fn new(
        lookup: impl Fn(&str) -> Result<Vec<SocketAddr>, String> + Send + Sync + 'static,
    ) -> Resolver {
        let (lookup, clock) = (Box::new(lookup), Clock::start());
        let (state, is_over) = (Mutex::default(), Condvar::new());
        Resolver(Arc::new(Shared { lookup, clock, state, is_over }))
    }

    /// The known addresses of `host:port`. Starts a lookup if they are missing or old. Never blocks.
    ///
    /// # Errors
    /// No addresses are known yet, or the error of the lookup.
    pub(super) fn known(
        &self,
        name: &str,
        family: AddressFamily,
    ) -> Result<Vec<SocketAddr>, String> {
        if let Some(address) = number(name) {
            return of_family(name, &[address], family);
        }
        let mut state = self.lock();
        self.ask(&mut state, name)?;
        state.names.get(name).map_or_else(|| Err(unknown(name)), |known| known.told(name, family))
    }

    /// The same, but waits for addresses until the deadline if none are known.
    ///
    /// # Errors
    /// The name has no address, or no answer came in time.
    pub(super) fn wait(
        &self,
        name: &str,
        family: AddressFamily,
        deadline: &Deadline,
    ) -> Result<Vec<SocketAddr>, String> {
        let known = self.known(name, family);
        if known.is_ok() {
            return known;
        }
        let mut state = self.lock();
        loop {
            let Some(known) = state.names.get(name) else { return known };
            let told = known.told(name, family);
            let is_given_up = deadline.is_over() || deadline.is_interrupted();
            if told.is_ok() || !known.is_asked || is_given_up {
                return told;
            }
            let wait = deadline.left().min(WAIT);
            let waited = self.0.is_over.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Adds a name to look up, unless its addresses are new, and starts the thread if there is none.
    fn ask(&self, state: &mut State, name: &str) -> Result<(), String> {
        if !state.names.contains_key(name) {
            if state.names.len() >= NAMES_MAX {
                return Err(format!("{name}: more than {NAMES_MAX} names are not looked up"));
            }
            state.names.insert(name.to_owned(), Known::default());
        }
        let now = self.0.clock.now();
        let Some(known) = state.names.get_mut(name) else { return Ok(()) };
        let is_new = known.looked_up.is_some_and(|at| now < at + KEPT);
        if known.is_asked || is_new {
            return Ok(());
        }
        known.is_asked = true;
        state.asked.push_back(name.to_owned());
        if !state.has_thread {
            let shared = self.0.clone();
            let thread = std::thread::Builder::new().name("resolver".to_owned());
            let started = thread.spawn(move || shared.look_up_all());
            state.has_thread = started.is_ok();
            if let Err(error) = started {
                // The thread could not be started, so no name may wait for it.
                for name in std::mem::take(&mut state.asked) {
                    if let Some(known) = state.names.get_mut(&name) {
                        known.is_asked = false;
                    }
                }
                return Err(format!("{name}: no thread to look it up: {error}"));
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up the names in order, until none is left.
    fn look_up_all(&self) {
        let mut state = self.lock();
        while let Some(name) = state.asked.pop_front() {
            drop(state);
            let found = (self.lookup)(&name);
            state = self.lock();
            if let Some(known) = state.names.get_mut(&name) {
                known.is_asked = false;
                known.looked_up = Some(self.clock.now());
                known.learn(found);
            }
            self.is_over.notify_all();
        }
        state.has_thread = false;
    }
}

impl Known {
    fn learn(&mut self, found: Result<Vec<SocketAddr>, String>) {
        match found {
            Ok(mut addresses) => {
                // Brokers that call themselves `localhost` listen on IPv4 more often.
                addresses.sort_by_key(SocketAddr::is_ipv6);
                self.addresses = addresses;
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }

    fn told(&self, name: &str, family: AddressFamily) -> Result<Vec<SocketAddr>, String> {
        match (self.looked_up, &self.error) {
            (None, _) => Err(unknown(name)),
            (Some(_), Some(error)) if self.addresses.is_empty() => Err(format!("{name}: {error}")),
            (Some(_), _) => of_family(name, &self.addresses, family),
        }
    }
}

/// The address, if the name is one. A broker may advertise IPv6 without brackets.
fn number(name: &str) -> Option<SocketAddr> {
    let (host, port) = name.rsplit_once(':')?;
    let host: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(SocketAddr::new(host, port.parse().ok()?))
}

fn unknown(name: &str) -> String {
    format!("{name}: the name servers have not answered yet")
}

/// The addresses that the client tries.
fn of_family(
    name: &str,
    addresses: &[SocketAddr],
    family: AddressFamily,
) -> Result<Vec<SocketAddr>, String> {
    let tried: Vec<SocketAddr> =
        addresses.iter().copied().filter(|address| family.takes(address)).collect();
    match tried.is_empty() {
        true => Err(format!("{name}: {}", family.in_words())),
        false => Ok(tried),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const ANY: AddressFamily = AddressFamily::Any;

    fn soon() -> Deadline {
        Deadline::of(Clock::start(), Duration::from_secs(20))
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_is_not_looked_up_and_a_name_is_looked_up_once_while_it_is_new() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = count.clone();
        let resolver = Resolver::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(vec![address("[::1]:5"), address("127.0.0.1:5")])
        });
        assert_eq!(resolver.known("10.0.0.1:7", ANY), Ok(vec![address("10.0.0.1:7")]));
        assert_eq!(resolver.known("::1:7", ANY), Ok(vec![address("[::1]:7")]));
        assert_eq!(count.load(Ordering::SeqCst), 0);
        let both = vec![address("127.0.0.1:5"), address("[::1]:5")];
        assert_eq!(resolver.wait("host:5", ANY, &soon()), Ok(both.clone()));
        // A clock that has moved on by more than a second between these two lines looks it up once more.
        assert_eq!(resolver.known("host:5", ANY), Ok(both));
        let v6 = resolver.known("host:5", AddressFamily::V6);
        assert_eq!(v6, Ok(vec![address("[::1]:5")]));
    }

    #[test]
    fn a_name_that_is_not_found_keeps_the_addresses_it_had() {
        let mut known = Known { looked_up: Some(Time::ZERO), ..Known::default() };
        known.learn(Err("no such host".to_owned()));
        assert_eq!(known.told("host:5", ANY), Err("host:5: no such host".to_owned()));
        known.learn(Ok(vec![address("127.0.0.1:5")]));
        known.learn(Err("no name server".to_owned()));
        assert_eq!(known.told("host:5", ANY), Ok(vec![address("127.0.0.1:5")]));
    }

    #[test]
    fn a_lookup_that_takes_long_is_not_waited_for_beyond_the_deadline() {
        let (release, hold) = std::sync::mpsc::channel::<()>();
        let hold = Mutex::new(hold);
        let resolver = Resolver::new(move |_| {
            let _ = hold.lock().expect("no panic").recv();
            Ok(vec![address("127.0.0.1:5")])
        });
        let unknown = "host:5: the name servers have not answered yet".to_owned();
        assert_eq!(resolver.known("host:5", ANY), Err(unknown.clone()));
        let brief = Deadline::of(Clock::start(), Duration::from_millis(50));
        assert_eq!(resolver.wait("host:5", ANY, &brief), Err(unknown));
        drop(release);
        assert_eq!(resolver.wait("host:5", ANY, &soon()), Ok(vec![address("127.0.0.1:5")]));
    }

    #[test]
    fn the_number_of_names_has_a_limit() {
        let (_release, hold) = std::sync::mpsc::channel::<()>();
        let hold = Mutex::new(hold);
        let resolver = Resolver::new(move |_| {
            let _ = hold.lock().expect("no panic").recv();
            Err("released".to_owned())
        });
        for number in 0..NAMES_MAX {
            let known = resolver.known(&format!("host-{number}:5"), ANY);
            assert!(known.expect_err("unknown").contains("have not answered"));
        }
        let more = resolver.known("one-more:5", ANY).expect_err("a limit");
        assert!(more.starts_with("one-more:5: more than"), "{more}");
    }
}

//! Readiness of many sockets for one thread, with waits that are precise to the microsecond.
//!
//! `epoll_wait` counts in milliseconds, and a pool that sends 100 records per millisecond must wake up in between. On
//! Linux a kernel timer ends such a wait. On other systems the wait itself is precise.

use std::io;
use std::time::Duration;

use mio::event::Source;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::base::Time;

/// Tokens of the timer and of the waker. Those of connections count from 0.
const TIMER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
/// Largest number of sockets that one wait reports. The others are reported by the next one. It is so small that the
/// hosts of a thread get their turns in between when hundreds of clients start at once.
const EVENTS_MAX: usize = 64;

/// The readiness of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// The number under which it is registered.
    pub(super) number: usize,
    /// True if bytes, the end of the stream, or an error can be read.
    pub(super) is_readable: bool,
    /// True if the end of the stream can be read.
    pub(super) is_at_end: bool,
    /// True if bytes can be written, or the connection is established.
    pub(super) is_writable: bool,
}

/// The sockets of a thread.
#[derive(Debug)]
pub(super) struct Poller {
    poll: Poll,
    events: Events,
    timer: timer::Timer,
    /// Time at which the timer ends a wait.
    armed: Time,
}

impl Poller {
    /// A poller without sockets.
    ///
    /// # Errors
    /// The operating system has no more descriptors.
    pub(super) fn new() -> io::Result<Poller> {
        let poll = Poll::new()?;
        let timer = timer::Timer::new(poll.registry(), TIMER)?;
        let events = Events::with_capacity(EVENTS_MAX);
        Ok(Poller { poll, events, timer, armed: Time::NEVER })
    }

    /// Reports this socket from now on, each time its readiness changes.
    ///
    /// # Errors
    /// The operating system refuses it.
    pub(super) fn register(&self, socket: &mut impl Source, number: usize) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket, Token(number), interest)
    }

    /// Returns a waker that ends waits from another thread. To be called once.
    ///
    /// # Errors
    /// The operating system has no more descriptors.
    pub(super) fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Stops reporting this socket.
    pub(super) fn deregister(&self, socket: &mut impl Source) {
        // Fails only for a socket that is not registered.
        let _ = self.poll.registry().deregister(socket);
    }

    /// Waits at most `wait` from `now` on for a first socket, and appends all that are ready.
    ///
    /// # Errors
    /// The operating system cannot wait. A signal is no error.
    pub(super) fn wait(
        &mut self,
        now: Time,
        wait: Duration,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        let mut wait = wait;
        if timer::ends(wait) {
            let end = now + wait;
            // A socket may have ended an earlier wait that had the same end.
            if self.armed != end {
                self.timer.set(wait)?;
                self.armed = end;
            }
            wait = timer::COARSE;
        }
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        if self.events.iter().any(|event| event.token() == TIMER) {
            self.armed = Time::NEVER;
        }
        let sockets = self.events.iter().filter(|event| event.token() < WAKER);
        ready.extend(sockets.map(|event| Ready {
            number: event.token().0,
            is_readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            is_at_end: event.is_read_closed() || event.is_error(),
            is_writable: event.is_writable(),
        }));
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// From this length on, whole milliseconds are precise enough.
    pub(super) const COARSE: Duration = Duration::from_millis(20);
    const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

    /// True if a wait is so short that `epoll_wait` is too imprecise.
    pub(super) fn ends(wait: Duration) -> bool {
        !wait.is_zero() && wait < COARSE
    }

    /// A kernel timer that ends waits.
    #[derive(Debug)]
    pub(super) struct Timer(OwnedFd);

    impl Timer {
        pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Timer(timer))
        }

        /// Ends a wait after this time, which is less than a second.
        pub(super) fn set(&self, wait: Duration) -> io::Result<()> {
            let it_value = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
            let once = Itimerspec { it_interval: NONE, it_value };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    use std::io;
    use std::time::Duration;

    use mio::{Registry, Token};

    pub(super) const COARSE: Duration = Duration::ZERO;

    /// Never, because kqueue counts in nanoseconds.
    pub(super) fn ends(_wait: Duration) -> bool {
        false
    }

    /// Not needed on this system.
    #[derive(Debug)]
    pub(super) struct Timer;

    impl Timer {
        pub(super) fn new(_registry: &Registry, _token: Token) -> io::Result<Timer> {
            Ok(Timer)
        }

        pub(super) fn set(&self, _wait: Duration) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_ends_a_wait_and_is_told_of_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut poller = Poller::new().expect("descriptors");
        let mut socket =
            mio::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("a socket");
        poller.register(&mut socket, 7).expect("registered");
        let (mut other, _) = listener.accept().expect("a connection");
        let mut ready = Vec::new();
        while !ready.iter().any(|it: &Ready| it.is_writable) {
            poller.wait(Time::ZERO, Duration::from_secs(10), &mut ready).expect("a wait");
        }
        other.write_all(b"x").expect("written");
        ready.clear();
        while !ready.iter().any(|it: &Ready| it.is_readable) {
            poller.wait(Time::ZERO, Duration::from_secs(10), &mut ready).expect("a wait");
        }
        assert!(ready.iter().all(|it| it.number == 7));
        ready.clear();
        // Nothing has changed: the timer ends this wait, not the socket.
        poller.wait(Time::ZERO, Duration::from_micros(300), &mut ready).expect("a wait");
        assert!(ready.is_empty(), "{ready:?}");
    }
}

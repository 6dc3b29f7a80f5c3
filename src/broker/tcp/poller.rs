//! Readiness of many sockets for one thread, and waits that are exact to the microsecond.
//!
//! `epoll_wait` counts in milliseconds, and a pool that sends 100 records a millisecond must wake between two of them.
//! On Linux a timer of the kernel ends such a wait; elsewhere the wait itself is exact.

use std::io;
use std::time::Duration;

use mio::event::Source;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::base::Time;

/// The tokens of the timer and of the waker; connections count from 0.
const TIMER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
/// How many sockets are told of in one wait; those left over are told of in the next. Few enough that the hosts of a thread
/// get their turns in between when hundreds of clients start at once.
const EVENTS_MAX: usize = 64;

/// What can be done with a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// The number it is registered with.
    pub(super) number: usize,
    /// Bytes, the end of the stream, or an error can be read.
    pub(super) is_readable: bool,
    /// The end of the stream is among them.
    pub(super) is_at_end: bool,
    /// Bytes can be written, or the connection is made.
    pub(super) is_writable: bool,
}

/// The sockets of a thread.
#[derive(Debug)]
pub(super) struct Poller {
    poll: Poll,
    events: Events,
    timer: timer::Timer,
    /// When the timer ends a wait.
    armed: Time,
}

impl Poller {
    /// Without sockets.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(super) fn new() -> io::Result<Poller> {
        let poll = Poll::new()?;
        let timer = timer::Timer::new(poll.registry(), TIMER)?;
        let events = Events::with_capacity(EVENTS_MAX);
        Ok(Poller { poll, events, timer, armed: Time::NEVER })
    }

    /// Tells of this socket from now on, each time its state changes.
    ///
    /// # Errors
    /// The system refuses it.
    pub(super) fn register(&self, socket: &mut impl Source, number: usize) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket, Token(number), interest)
    }

    /// Ends waits from another thread; for once.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(super) fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Tells of this socket no more.
    pub(super) fn deregister(&self, socket: &mut impl Source) {
        // It fails only for a socket that is not registered.
        let _ = self.poll.registry().deregister(socket);
    }

    /// Waits at most `wait` from `now` on for a first socket, and appends those that are ready.
    ///
    /// # Errors
    /// The system cannot wait. A signal is no error.
    pub(super) fn wait(
        &mut self,
        now: Time,
        wait: Duration,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        let mut wait = wait;
        if timer::ends(wait) {
            let end = now + wait;
            // A socket may have ended an earlier wait for the same time.
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

    /// From here on whole milliseconds do.
    pub(super) const COARSE: Duration = Duration::from_millis(20);
    const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

    /// Whether a wait is too short for `epoll_wait` to be exact enough.
    pub(super) fn ends(wait: Duration) -> bool {
        !wait.is_zero() && wait < COARSE
    }

    /// A timer of the kernel that ends waits.
    #[derive(Debug)]
    pub(super) struct Timer(OwnedFd);

    impl Timer {
        pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Timer(timer))
        }

        /// Ends a wait in this time, which is less than a second.
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

    /// Never: kqueue counts in nanoseconds.
    pub(super) fn ends(_wait: Duration) -> bool {
        false
    }

    /// Nothing.
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

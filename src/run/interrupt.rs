//! Ctrl-C, SIGTERM and SIGHUP: the first one ends the load and keeps what was measured, the second one ends the process.

use std::io::Write;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::Leftovers;
use crate::error::Exit;

/// What a run says when it hears the first signal.
pub const KEEPING: &str = "ending the load, keeping what was measured";

/// Starts to listen. The value turns true with the first signal, which is answered with what happens now. With the
/// second one the process ends, and lists what it leaves behind.
///
/// A thread of its own listens, so that it is heard even while the control plane waits for a broker. From the return of
/// this function on no signal is missed.
pub fn listen(answer: &'static str, leftovers: &Leftovers) -> watch::Receiver<bool> {
    let (heard, interrupted) = watch::channel(false);
    let leftovers = leftovers.clone();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let listening = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            let mut signals = Signals::listen();
            let _ = ready.send(());
            let name = signals.next().await;
            say(&format!("{name}: {answer}; once more to stop at once"));
            heard.send_replace(true);
            signals.next().await;
            let left = leftovers.lines();
            if !left.is_empty() {
                say(&format!("stopped before everything was taken back:\n  {}", left.join("\n  ")));
            }
            stop_at_once();
        });
    });
    match listening {
        // A thread that ended without a word is no reason to wait.
        Ok(_) => _ = is_ready.recv_timeout(READY_LIMIT),
        Err(error) => tracing::warn!(%error, "a signal will end the process at once"),
    }
    interrupted
}

/// How long the thread that listens may take to start.
const READY_LIMIT: Duration = Duration::from_secs(5);

fn say(text: &str) {
    // A terminal that is gone (SIGHUP) takes nothing any more.
    let _ = writeln!(anstream::stderr(), "{text}");
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "the user asked twice")]
fn stop_at_once() {
    std::process::exit(Exit::Interrupted as i32);
}

/// The signals that end a run. One that cannot be listened to keeps its default, which ends the process.
#[cfg(unix)]
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        // Started with `nohup` or in the background of a script, a process is to live on.
        let listen = |kind: SignalKind| match is_ignored(kind.as_raw_value()) {
            true => None,
            false => signal(kind).ok(),
        };
        Signals {
            interrupt: listen(SignalKind::interrupt()),
            terminate: listen(SignalKind::terminate()),
            hang_up: listen(SignalKind::hangup()),
        }
    }

    /// Waits for the next one and returns what to call it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            () = heard(&mut self.interrupt) => "interrupted",
            () = heard(&mut self.terminate) => "terminated",
            () = heard(&mut self.hang_up) => "hung up",
        }
    }
}

#[cfg(unix)]
async fn heard(signal: &mut Option<tokio::signal::unix::Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Whether the process was started with a signal ignored: bit `number - 1` of `SigIgn` in `proc_pid_status(5)`.
#[cfg(target_os = "linux")]
fn is_ignored(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(number - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_ignored(_number: i32) -> bool {
    false
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Signals {
        Signals
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "interrupted"
    }
}

//! Ctrl-C: the first one ends the load and keeps what was measured, the second one ends the process.

use std::io::Write;

use tokio::sync::watch;

use crate::error::Exit;

/// What a run says when it hears the first Ctrl-C.
pub const KEEPING: &str = "ending the load, keeping what was measured";

/// Starts to listen. The value turns true with the first Ctrl-C, which is answered with what happens now.
///
/// A thread of its own listens, so that it is heard even while the control plane waits for a broker.
pub fn listen(answer: &'static str) -> watch::Receiver<bool> {
    let (heard, interrupted) = watch::channel(false);
    let listening = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_err() {
                // Cannot be listened to: then it keeps its default, which ends the process.
                std::future::pending::<()>().await;
            }
            let _ =
                writeln!(anstream::stderr(), "interrupted: {answer}; once more to stop at once");
            heard.send_replace(true);
            let _ = tokio::signal::ctrl_c().await;
            stop_at_once();
        });
    });
    if let Err(error) = listening {
        tracing::warn!(%error, "Ctrl-C will end the process at once");
    }
    interrupted
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "the user asked twice")]
fn stop_at_once() {
    std::process::exit(Exit::Interrupted as i32);
}

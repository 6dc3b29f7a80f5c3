//! A cluster in this process, on a thread of its own, and the way to break it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::BrokerError;
use crate::fault::Disturbance;

/// A running cluster. Dropping it stops the brokers.
#[derive(Debug)]
pub struct Embedded {
    bootstrap: String,
    control: EmbeddedControl,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts a cluster: `host` makes it on the thread that it is given, says at which addresses it is or why it is not
    /// there, and does what it is told until it is told nothing more.
    ///
    /// # Errors
    /// The thread or the cluster cannot be started; the text says why.
    pub(super) fn start(
        host: impl FnOnce(&Sender<Result<String, String>>, Disturbances) + Send + 'static,
    ) -> Result<Embedded, String> {
        let (commands, received) = channel();
        let (ready, started) = channel();
        let thread = std::thread::Builder::new()
            .name("embedded".to_owned())
            .spawn(move || host(&ready, Disturbances(received)))
            .map_err(|error| error.to_string())?;
        let bootstrap = started.recv().map_err(|error| error.to_string())??;
        Ok(Embedded { bootstrap, control: EmbeddedControl(commands), thread: Some(thread) })
    }

    /// The way to break it.
    pub fn control(&self) -> EmbeddedControl {
        self.control.clone()
    }

    /// Comma-separated `host:port` of the brokers.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

/// What is to be done to a cluster.
pub(super) struct Disturbances(Receiver<Command>);

impl Disturbances {
    /// Does each of them, and answers what came of it, until the cluster is to stop.
    pub(super) fn carry_out(self, mut disturb: impl FnMut(&Disturbance) -> Result<(), String>) {
        while let Ok(Command::Disturb(disturbance, answer)) = self.0.recv() {
            let _ = answer.send(disturb(&disturbance));
        }
    }
}

enum Command {
    Disturb(Disturbance, Sender<Result<(), String>>),
    Stop,
}

/// The way to break an embedded cluster. Cheap to clone; of no effect once the cluster is gone.
#[derive(Clone, Debug)]
pub struct EmbeddedControl(Sender<Command>);

/// How long the cluster's thread may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

impl EmbeddedControl {
    /// Does something to the cluster and waits until it is done.
    pub(super) fn disturb(&self, disturbance: &Disturbance) -> Result<(), BrokerError> {
        let (answer, answered) = channel();
        let gone = |_| BrokerError::fatal("the embedded cluster is gone");
        self.0.send(Command::Disturb(disturbance.clone(), answer)).map_err(|_| gone(()))?;
        let done = answered.recv_timeout(ANSWER).map_err(|_| gone(()))?;
        done.map_err(BrokerError::fatal)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let _ = self.control.0.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

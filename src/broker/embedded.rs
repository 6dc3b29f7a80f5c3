//! A cluster in this process, on a thread of its own, and the injection of faults into it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::BrokerError;
use crate::fault::ClusterFault;

/// A running cluster. Dropping it stops the brokers.
#[derive(Debug)]
pub struct Embedded {
    bootstrap: String,
    control: EmbeddedControl,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts a cluster. `host` runs on the cluster's thread: it creates the cluster and reports its addresses, or
    /// the reason why that failed. Then it injects faults until the cluster is to stop.
    ///
    /// # Errors
    /// The thread or the cluster cannot be started.
    pub(super) fn start(
        host: impl FnOnce(&Sender<Result<String, String>>, ClusterFaults) + Send + 'static,
    ) -> Result<Embedded, String> {
        let (commands, received) = channel();
        let (ready, started) = channel();
        let thread = std::thread::Builder::new()
            .name("embedded".to_owned())
            .spawn(move || host(&ready, ClusterFaults(received)))
            .map_err(|error| error.to_string())?;
        let bootstrap = started.recv().map_err(|error| error.to_string())??;
        Ok(Embedded { bootstrap, control: EmbeddedControl(commands), thread: Some(thread) })
    }

    /// The control of the cluster.
    pub fn control(&self) -> EmbeddedControl {
        self.control.clone()
    }

    /// Comma-separated `host:port` of the brokers.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

/// The faults to inject into a cluster.
pub(super) struct ClusterFaults(Receiver<Command>);

impl ClusterFaults {
    /// Injects each of them and reports the result, until the cluster is to stop.
    pub(super) fn carry_out(self, mut inject: impl FnMut(&ClusterFault) -> Result<(), String>) {
        while let Ok(Command::Inject(cluster_fault, answer)) = self.0.recv() {
            let _ = answer.send(inject(&cluster_fault));
        }
    }
}

enum Command {
    Inject(ClusterFault, Sender<Result<(), String>>),
    Stop,
}

/// Injects faults into an embedded cluster. Cheap to clone. Has no effect after the end of the cluster.
#[derive(Clone, Debug)]
pub struct EmbeddedControl(Sender<Command>);

/// Longest wait for an answer of the cluster's thread.
const ANSWER: Duration = Duration::from_secs(10);

impl EmbeddedControl {
    /// Injects a fault and waits for the result.
    pub(super) fn inject(&self, cluster_fault: &ClusterFault) -> Result<(), BrokerError> {
        let (answer, answered) = channel();
        let gone = |_| BrokerError::fatal("the embedded cluster is gone");
        self.0.send(Command::Inject(cluster_fault.clone(), answer)).map_err(|_| gone(()))?;
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

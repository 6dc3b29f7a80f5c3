//! The environment of a run: what the wiring needs to know of the broker, real or simulated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::resume::Continuation;
use crate::actors::Hosting;
use crate::base::{Leftovers, Offset};
use crate::broker::ClusterPort;
use crate::summary::{ClientProperty, Host};

/// The broker, the topic and the machine of a run.
pub(super) struct RunEnvironment {
    /// The topic's name.
    pub(super) topic: String,
    /// Where each partition's reading starts.
    pub(super) starts: Vec<Offset>,
    /// Where the run goes on, and where its own checkpoints go.
    pub(super) from: Continuation,
    /// The ports to the cluster.
    pub(super) cluster: Arc<dyn ClusterPort>,
    /// How hosts are scheduled: by threads or by the kernel of a simulation.
    pub(super) hosting: Hosting,
    /// The version of the broker, where it is known.
    pub(super) broker_version: Option<String>,
    /// The client and its version.
    pub(super) client: String,
    /// Effective client properties.
    pub(super) client_config: BTreeMap<String, ClientProperty>,
    /// The machine.
    pub(super) host: Host,
    /// How long consumers may take to be ready.
    pub(super) startup: Duration,
    /// What the run has to take back.
    pub(super) leftovers: Leftovers,
}

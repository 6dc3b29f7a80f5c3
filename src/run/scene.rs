//! The scene of a run: what the rest of the wiring needs to know of the broker, real or simulated.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::resume::Continuation;
use crate::actors::Hosting;
use std::time::Duration;

use crate::base::{Leftovers, Offset};
use crate::broker::ClusterPort;
use crate::measure::{ClientProperty, Host};

/// Where a run takes place.
pub(super) struct Scene {
    /// The topic's name.
    pub(super) topic: String,
    /// Where each partition's reading starts.
    pub(super) starts: Vec<Offset>,
    /// Where the run goes on, and where its own checkpoints go.
    pub(super) from: Continuation,
    /// The way into the cluster.
    pub(super) cluster: Arc<dyn ClusterPort>,
    /// Who gives hosts their turns.
    pub(super) hosting: Hosting,
    /// What is known about the broker's version.
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

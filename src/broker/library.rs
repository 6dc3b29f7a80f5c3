//! The interface of a client library to a run, except the ports of its clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::embedded::{Embedded, EmbeddedControl};
use super::settings::{ClientFile, ClientSettings};
use super::setup::{Administrator, Cleaner, SetupError};
use super::{BrokerError, ClusterPort};
use crate::base::{Clock, RunId};
use crate::plan::{LoadPlan, Plan, TopicPlan};
use crate::scenario::Diagnostic;
use crate::summary::{ClientProperty, Sending};

/// A client library. Each has a line in the registry.
pub trait ClientLibrary: Sync {
    /// Name and version, for results.
    fn version(&self) -> String;

    /// The reason why the library refuses the value of a property; `None` if it accepts it.
    fn refused_value(&self, name: &str, value: &str) -> Option<RefusedValue> {
        let _ = (name, value);
        None
    }

    /// The reason why clients cannot reach a cluster or log in with the properties of a plan and a client file; `None`
    /// if there is none. Opens no connection and no file.
    fn no_access(&self, plan: &Plan, file: &ClientFile) -> Option<Diagnostic>;

    /// The reason why the library refuses properties in combination of which it accepts each alone; `None` if there is
    /// none. Opens no connection and no file.
    fn refused_together(&self, plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
        let _ = (plan, file);
        None
    }

    /// The effective properties, for results; empty if there are no others than those of the scenario.
    fn effective_config(&self, settings: &ClientSettings) -> BTreeMap<String, ClientProperty> {
        let _ = settings;
        BTreeMap::new()
    }

    /// The settings with which producers send, from the effective properties. A value from outside the scenario is not
    /// shown.
    fn sending(&self, settings: &ClientSettings, load: &LoadPlan) -> Sending;

    /// An administrator of `topic` on the cluster at `bootstrap`.
    ///
    /// # Errors
    /// The library refuses the properties, or they describe no usable access to the cluster.
    fn administrator(
        &self,
        settings: &ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Result<Box<dyn Administrator>, SetupError>;

    /// The ports to a run's topic.
    ///
    /// # Errors
    /// No broker answers.
    fn cluster(&self, place: ClusterPlace<'_>) -> Result<Arc<dyn ClusterPort>, BrokerError>;

    /// Finds and removes the topics and groups that runs have left on the cluster at `bootstrap`. `topic` is the one
    /// whose metadata it queries to connect. `None` if the library cannot do that.
    fn cleaner(
        &self,
        settings: &ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Option<Result<Box<dyn Cleaner>, SetupError>> {
        let _ = (settings, bootstrap, topic, clock);
        None
    }

    /// Starts the library's mock cluster with one topic of this name; `None` if the library has none. An error is the
    /// reason why it cannot be started.
    fn mock_cluster(
        &self,
        brokers: u32,
        name: &str,
        topic: &TopicPlan,
    ) -> Option<Result<Embedded, String>> {
        let _ = (brokers, name, topic);
        None
    }
}

/// The reason why a value is refused.
#[derive(Clone, Debug)]
pub struct RefusedValue {
    /// The code of the diagnostic.
    pub code: &'static str,
    /// The reason, without the value.
    pub text: String,
    /// The remedy.
    pub remedy: &'static str,
}

/// The cluster and topic of a run, with what is needed to reach them.
#[derive(Clone, Debug)]
pub struct ClusterPlace<'a> {
    /// The run's plan.
    pub plan: &'a Arc<Plan>,
    /// The run.
    pub run: RunId,
    /// The properties of its clients.
    pub settings: &'a ClientSettings,
    /// Comma-separated `host:port`.
    pub bootstrap: &'a str,
    /// The topic's name.
    pub topic: &'a str,
    /// The run's clock.
    pub clock: Clock,
    /// Time limit of the request for brokers.
    pub limit: Duration,
    /// The control of the cluster, if it is in this process.
    pub embedded: Option<EmbeddedControl>,
}

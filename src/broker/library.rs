//! What a run asks of a client library, besides the ports of its clients.

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

/// A client library: each is one line of the registry.
pub trait ClientLibrary: Sync {
    /// Its name with its version, for results.
    fn version(&self) -> String;

    /// Why it refuses the value of one of its properties.
    fn refused_value(&self, name: &str, value: &str) -> Option<RefusedValue> {
        let _ = (name, value);
        None
    }

    /// Why its clients cannot reach a cluster or log in with the properties of a plan and of a client file. Opens no
    /// connection and no file.
    fn no_access(&self, plan: &Plan, file: &ClientFile) -> Option<Diagnostic>;

    /// Why it refuses properties together of which it refuses none alone. Opens no connection and no file.
    fn refused_together(&self, plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
        let _ = (plan, file);
        None
    }

    /// The properties that hold, for results; none if it has no other properties than those of the scenario.
    fn effective_config(&self, settings: &ClientSettings) -> BTreeMap<String, ClientProperty> {
        let _ = settings;
        BTreeMap::new()
    }

    /// How producers send, by the properties that hold. A value from outside the scenario is not shown.
    fn sending(&self, settings: &ClientSettings, load: &LoadPlan) -> Sending;

    /// An administrator of `topic` on the cluster at `bootstrap`.
    ///
    /// # Errors
    /// It refuses the properties, or they say no way to reach the cluster.
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

    /// What finds and removes the topics and groups that runs have left on the cluster at `bootstrap`, by questions
    /// beside one for `topic`; `None` for a library that has no such thing.
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

    /// Starts the library's mock cluster with one topic of this name; `None` for a library that has none. The error says
    /// why it cannot be started.
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

/// Why a value is refused.
#[derive(Clone, Debug)]
pub struct RefusedValue {
    /// The code of the diagnostic.
    pub code: &'static str,
    /// The reason, without the value.
    pub text: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Where a run's topic is, and what the run knows of it.
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
    /// How long a broker may take to say which brokers there are.
    pub limit: Duration,
    /// The cluster itself, when it is in this process.
    pub embedded: Option<EmbeddedControl>,
}

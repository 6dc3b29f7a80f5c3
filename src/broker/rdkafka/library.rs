//! librdkafka as a client library of runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::setup::Admin;
use super::{RdCluster, effective, embedded, refusal};
use crate::base::Clock;
use crate::broker::embedded::Embedded;
use crate::broker::library::{ClientLibrary, ClusterPlace, RefusedValue};
use crate::broker::listener::{NO_CONSUMER_PROTOCOL, serves_consumer_groups};
use crate::broker::settings::{ClientFile, ClientSettings};
use crate::broker::setup::{Administrator, Cleaner, SetupError};
use crate::broker::{BrokerError, ClusterPort};
use crate::plan::{GroupProtocol, LoadPlan, Plan, TopicPlan};
use crate::scenario::Diagnostic;
use crate::summary::{ClientProperty, Sending};

/// The client library librdkafka.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct RdLibrary;

impl ClientLibrary for RdLibrary {
    fn version(&self) -> String {
        format!("librdkafka {}", rdkafka::util::get_rdkafka_version().1)
    }

    fn refused_value(&self, name: &str, value: &str) -> Option<RefusedValue> {
        refusal::refused_value(name, value)
    }

    fn no_access(&self, plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
        refusal::mechanism_not_built_in(plan, file)
    }

    fn refused_together(&self, plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
        refusal::combined(plan, file)
    }

    fn effective_config(&self, settings: &ClientSettings) -> BTreeMap<String, ClientProperty> {
        effective::effective_config(settings)
    }

    fn sending(&self, settings: &ClientSettings, load: &LoadPlan) -> Sending {
        effective::sending(settings, load)
    }

    fn administrator(
        &self,
        settings: &ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Result<Box<dyn Administrator>, SetupError> {
        Ok(Box::new(Admin::new(settings.clone(), bootstrap, topic, clock)?))
    }

    fn cluster(&self, place: ClusterPlace<'_>) -> Result<Arc<dyn ClusterPort>, BrokerError> {
        let protocol = place.plan.group().map(|group| &group.protocol);
        let is_refused = || {
            let access = place.settings.access().ok();
            access.is_some_and(|access| !serves_consumer_groups(place.bootstrap, &access, false))
        };
        // librdkafka would retry without end and report no error, also with the preview of the protocol in Kafka 3.9.
        let is_asked = matches!(protocol, Some(GroupProtocol::Consumer { .. }));
        if is_asked && place.embedded.is_none() && is_refused() {
            return Err(BrokerError::fatal(NO_CONSUMER_PROTOCOL));
        }
        Ok(Arc::new(RdCluster::new(place)))
    }

    fn cleaner(
        &self,
        settings: &ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Option<Result<Box<dyn Cleaner>, SetupError>> {
        let admin = Admin::new(settings.clone(), bootstrap, topic, clock);
        Some(admin.map(|admin| -> Box<dyn Cleaner> { Box::new(admin) }))
    }

    fn mock_cluster(
        &self,
        brokers: u32,
        name: &str,
        topic: &TopicPlan,
    ) -> Option<Result<Embedded, String>> {
        Some(embedded::start_mock(brokers, name, topic.partitions, topic.replication_factor))
    }
}

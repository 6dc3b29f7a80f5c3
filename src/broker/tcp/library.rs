//! The native client as a client library of a run.

use std::sync::Arc;

use super::{TcpAdmin, TcpCluster};
use crate::base::{Clock, RunId};
use crate::broker::library::{ClientLibrary, ClusterPlace};
use crate::broker::native::NativeProducer;
use crate::broker::settings::{ClientFile, ClientSettings};
use crate::broker::setup::{Administrator, SetupError};
use crate::broker::{BrokerError, ClusterPort};
use crate::plan::{LoadPlan, Plan};
use crate::scenario::{Diagnostic, Origin, codes};
use crate::summary::Sending;

/// The native client.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct TcpLibrary;

impl ClientLibrary for TcpLibrary {
    fn version(&self) -> String {
        format!("lanekeeper native {}", env!("CARGO_PKG_VERSION"))
    }

    fn no_access(&self, plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
        no_access(plan, file)
    }

    fn sending(&self, _settings: &ClientSettings, load: &LoadPlan) -> Sending {
        NativeProducer::sending(load)
    }

    fn administrator(
        &self,
        settings: &ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Result<Box<dyn Administrator>, SetupError> {
        Ok(Box::new(TcpAdmin::new(settings, bootstrap, topic, clock)?))
    }

    fn cluster(&self, place: ClusterPlace<'_>) -> Result<Arc<dyn ClusterPort>, BrokerError> {
        Ok(Arc::new(TcpCluster::find(place)?))
    }
}

/// Refuses an access to the cluster that the native client does not support.
fn no_access(plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
    let settings = ClientSettings::merged(plan, "", RunId(0), file.clone());
    let wrong = settings.access_settings().err()?;
    let is_it = |name: &str| name == wrong.property;
    let written = plan.client.all().find(|(_, name, _)| is_it(name));
    let place = file.all().find(|(name, _)| is_it(name));
    let place = place.map_or(String::new(), |(_, given)| format!("{}: ", given.place));
    let code = if wrong.is_missing_here { codes::NOT_NATIVE } else { codes::BAD_PROPERTY };
    let message = format!("{place}`{}`: {}", wrong.property, wrong.text);
    let origin = written.map_or(Origin::CommandLine, |(_, _, property)| property.written);
    Some(Diagnostic::error(code, origin, message).remedy(wrong.remedy))
}

//! The administrator that prepares the cluster for a run, with the client library of the run.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, RunId, Share};
use crate::broker::settings::ClientSettings;
use crate::broker::setup::{Administrator, Deadline, Found, SetupError};
use crate::broker::{ClientLibrary, ClusterPlace, ClusterPort, EmbeddedControl, client_library};
use crate::error::Error;
use crate::plan::Plan;
use crate::scenario::{Diagnostic, Source, Sources};

/// Time limit of the request for brokers.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Time between two checks for a topic that another process creates.
const TOPIC_PAUSE: Duration = Duration::from_millis(100);
/// Time limit until all brokers know that topic.
const TOPIC_KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// The client library that the plan has.
///
/// # Errors
/// This build does not include it. `refusals` reports that before a run.
pub(super) fn library_of(plan: &Plan) -> Result<&'static dyn ClientLibrary, Error> {
    let kind = plan.broker.client();
    client_library(kind)
        .ok_or_else(|| Error::Input(format!("client `{kind}` is not part of this build")))
}

/// An administrator of the client that the plan has.
///
/// # Errors
/// The client refuses its properties.
pub(super) fn administrator_of(
    plan: &Plan,
    settings: &ClientSettings,
    bootstrap: &str,
    topic: &str,
    clock: Clock,
) -> Result<Box<dyn Administrator>, Error> {
    library_of(plan)?.administrator(settings, bootstrap, topic, clock).map_err(environment)
}

/// Connects to the cluster. If another process has created the topic, the brokers are asked until all of them know it.
pub(super) async fn connect_to_topic_of(
    admin: &mut dyn Administrator,
    share: Option<Share>,
    deadline: &Deadline,
) -> Result<Found, Error> {
    let is_there_already = share.is_some_and(|share| !share.is_first());
    loop {
        let found = admin.connect(deadline).map_err(environment)?;
        if found.partitions.is_some() || !is_there_already {
            return Ok(found);
        }
        if deadline.is_interrupted() {
            return Err(Error::Interrupted);
        }
        if deadline.is_over() || deadline.passed() > TOPIC_KNOWN_WITHIN {
            return Err(Error::Environment(
                "the topic that share 1 has made is not there; give all shares the same `topic.name` and cluster"
                    .to_owned(),
            ));
        }
        // The messages of the other processes are handled meanwhile.
        tokio::time::sleep(TOPIC_PAUSE).await;
    }
}

/// The ports to the topic `at.1` on the cluster at `at.0`, with the plan's client library. `embedded` is the cluster if
/// it is in this process.
pub(super) fn make_cluster(
    (plan, run): (&Arc<Plan>, RunId),
    settings: &ClientSettings,
    (bootstrap, topic): (&str, &str),
    clock: Clock,
    embedded: Option<EmbeddedControl>,
) -> Result<Arc<dyn ClusterPort>, Error> {
    let limit = plan.times.startup.min(ANSWER_MAX);
    let place = ClusterPlace { plan, run, settings, bootstrap, topic, clock, limit, embedded };
    library_of(plan)?.cluster(place).map_err(|error| Error::Environment(error.to_string()))
}

/// Diagnostics, with their places in the scenario.
pub(super) fn rendered(plan: &Plan, diagnostics: &[Diagnostic]) -> String {
    let file = Source { name: format!("{}.toml", plan.name), text: plan.source.clone() };
    let sources = Sources { file: &file, overrides: &plan.overrides };
    let texts: Vec<String> = diagnostics.iter().map(|d| d.render(&sources, false)).collect();
    texts.join("\n\n")
}

pub(super) fn environment(error: SetupError) -> Error {
    match error {
        SetupError::Interrupted => Error::Interrupted,
        SetupError::NotMade { .. } => Error::Input(error.to_string()),
        other => Error::Environment(other.to_string()),
    }
}

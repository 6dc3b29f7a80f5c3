//! Who prepares the cluster for a run: an administrator of the client that the run uses.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{ClientKind, Clock, Offset, RunId, Share};
use crate::broker::ClusterPort;
use crate::broker::rdkafka::{
    Admin, ClientSettings, Deadline, EmbeddedControl, Found, Inspection, RdCluster, SetupError,
};
use crate::broker::tcp::{TcpAdmin, TcpCluster};
use crate::error::Error;
use crate::plan::{Plan, StartAt, TopicPlan};
use crate::scenario::{Diagnostic, Source, Sources};

/// How long a broker may take to say which brokers there are.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Between two looks for a topic that another process has made.
const TOPIC_PAUSE: Duration = Duration::from_millis(100);
/// How long all brokers may take to know of it.
const TOPIC_KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// An administrator of a run's topic.
pub(super) enum Administrator {
    /// Through librdkafka.
    Rdkafka(Box<Admin>),
    /// Through connections of our own; with the name of the run's group.
    Native(Box<TcpAdmin>, String),
}

impl Administrator {
    /// One of the client that the plan has.
    ///
    /// # Errors
    /// The client refuses its properties.
    pub(super) fn of(
        plan: &Plan,
        settings: &ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Result<Administrator, SetupError> {
        match plan.broker.client() {
            ClientKind::Native => Administrator::native(settings, bootstrap, topic, clock),
            ClientKind::Rdkafka => {
                Administrator::rdkafka(settings.clone(), bootstrap, topic, clock)
            }
        }
    }

    /// One of librdkafka's.
    ///
    /// # Errors
    /// The client library refuses its properties.
    fn rdkafka(
        settings: ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Result<Administrator, SetupError> {
        Ok(Administrator::Rdkafka(Box::new(Admin::new(settings, bootstrap, topic, clock)?)))
    }

    /// One without librdkafka.
    ///
    /// # Errors
    /// A property says no way to reach the cluster.
    fn native(
        settings: &ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Result<Administrator, SetupError> {
        let admin = TcpAdmin::new(settings, bootstrap, topic, clock)?;
        Ok(Administrator::Native(Box::new(admin), settings.group_id()))
    }

    /// See [`Admin::connect`].
    pub(super) fn connect(&mut self, deadline: &Deadline) -> Result<Found, SetupError> {
        match self {
            Administrator::Rdkafka(admin) => admin.connect(deadline),
            Administrator::Native(admin, _) => admin.connect(deadline),
        }
    }

    /// See [`Admin::inspect`].
    pub(super) async fn inspect(
        &mut self,
        plan: &Plan,
        deadline: &Deadline,
    ) -> Result<Inspection, SetupError> {
        match self {
            Administrator::Rdkafka(admin) => admin.inspect(plan, deadline).await,
            Administrator::Native(admin, _) => admin.inspect(plan, deadline),
        }
    }

    /// The same. Where another process has made the topic already, the brokers are asked until all know of it.
    pub(super) async fn connect_to_topic_of(
        &mut self,
        share: Option<Share>,
        deadline: &Deadline,
    ) -> Result<Found, Error> {
        let is_there_already = share.is_some_and(|share| !share.is_first());
        loop {
            let found = self.connect(deadline).map_err(environment)?;
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
            // What the other processes say is heard meanwhile.
            tokio::time::sleep(TOPIC_PAUSE).await;
        }
    }

    /// See [`Admin::create_topic`].
    pub(super) async fn create_topic(
        &mut self,
        plan: &TopicPlan,
        found: &Found,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        match self {
            Administrator::Rdkafka(admin) => admin.create_topic(plan, found, deadline).await,
            Administrator::Native(admin, _) => admin.create_topic(plan, found, deadline),
        }
    }

    /// See [`Admin::require_room_for`].
    pub(super) async fn require_room_for(
        &mut self,
        payload: u64,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        match self {
            Administrator::Rdkafka(admin) => admin.require_room_for(payload, deadline).await,
            Administrator::Native(admin, _) => admin.require_room_for(payload, deadline),
        }
    }

    /// See [`Admin::cluster_id`].
    pub(super) fn cluster_id(&mut self, deadline: &Deadline) -> Option<String> {
        match self {
            Administrator::Rdkafka(admin) => admin.cluster_id(deadline),
            Administrator::Native(admin, _) => admin.cluster_id(deadline),
        }
    }

    /// See [`Admin::start_offsets`].
    pub(super) fn start_offsets(
        &mut self,
        start: StartAt,
        partitions: u32,
        deadline: &Deadline,
    ) -> Result<Vec<Offset>, SetupError> {
        match self {
            Administrator::Rdkafka(admin) => admin.start_offsets(start, partitions, deadline),
            Administrator::Native(admin, _) => admin.start_offsets(start, partitions, deadline),
        }
    }

    /// See [`Admin::records`].
    pub(super) fn records(&mut self, partitions: u32, deadline: &Deadline) -> Option<u64> {
        match self {
            Administrator::Rdkafka(admin) => admin.records(partitions, deadline),
            Administrator::Native(admin, _) => admin.records(partitions, deadline),
        }
    }

    /// See [`Admin::commit_starts`].
    pub(super) async fn commit_starts(
        &mut self,
        starts: &[Offset],
        found: Option<&Found>,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        match self {
            Administrator::Rdkafka(admin) => admin.commit_starts(starts, found, deadline).await,
            Administrator::Native(admin, group) => {
                admin.commit_starts(group, starts, found, deadline)
            }
        }
    }

    /// See [`Admin::delete_topic`].
    pub(super) async fn delete_topic(&mut self) -> Result<(), SetupError> {
        match self {
            Administrator::Rdkafka(admin) => admin.delete_topic().await,
            Administrator::Native(admin, _) => admin.delete_topic(),
        }
    }
}

/// The ports to the topic `at.1` on the cluster at `at.0`, with the client that the plan names.
pub(super) fn make_cluster(
    plan: &Arc<Plan>,
    settings: ClientSettings,
    at: (&str, &str),
    run: RunId,
    clock: Clock,
) -> Result<Arc<dyn ClusterPort>, Error> {
    match plan.broker.client() {
        ClientKind::Native => make_native((plan, run), &settings, at, clock, None),
        ClientKind::Rdkafka => Ok(Arc::new(RdCluster::new(plan, settings, at.1, clock, None))),
    }
}

/// The same, with native clients; `embedded` is the cluster if it is in this process.
pub(super) fn make_native(
    (plan, run): (&Arc<Plan>, RunId),
    settings: &ClientSettings,
    (bootstrap, topic): (&str, &str),
    clock: Clock,
    embedded: Option<EmbeddedControl>,
) -> Result<Arc<dyn ClusterPort>, Error> {
    let limit = plan.times.startup.min(ANSWER_MAX);
    match TcpCluster::find((plan, run), (settings, bootstrap), topic, clock, limit, embedded) {
        Ok(cluster) => Ok(Arc::new(cluster)),
        Err(error) => Err(Error::Environment(error.to_string())),
    }
}

/// Diagnostics with the places of the scenario they speak of.
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

//! The environment of a run: the broker, the topic, the start offsets, the machine; and clearing it afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::administrator::{
    administrator_of, connect_to_topic_of, environment, library_of, make_cluster, rendered,
};
use super::broker_guard::down_max;
use super::checkpointing::{Continuation, Resumption, Store};
use super::shares::SharedRun;
use crate::actors::{Runtime, ThreadRuntime};
use crate::base::{Clock, Leftovers, Offset, RunId, Time};
use crate::broker::settings::{ClientFile, ClientSettings};
use crate::broker::setup::{Administrator, Deadline, Found, SetupError};
use crate::broker::sim::TraceSink;
use crate::broker::{ClientLibrary, ClusterPort, Embedded, client_libraries};
use crate::error::Error;
use crate::logic::Handlers;
use crate::measure::{CpuLimit, LaneShape, Measurements, RequestLog, SharePart};
use crate::plan::{CheckpointPlan, Membership, PartitionChoice, Plan, StartAt};
use crate::summary::{ClientProperty, Host, HostRecord, Sending, Summary};

/// The inputs of a run besides its plan.
#[derive(Debug, Default)]
pub struct Options {
    /// Client properties from outside the scenario.
    pub client: ClientFile,
    /// The user's handlers, which replace the scenario's `work`.
    pub handlers: Option<Handlers>,
    /// Gets every event of a simulation.
    pub trace_sink: Option<TraceSink>,
    /// Becomes true when a simulation is to end early and keep its result, see `listen`. Without it, Ctrl-C ends the
    /// process, as it does with many simulations at a time. A run on a cluster listens itself if this is missing.
    pub interrupted: Option<watch::Receiver<bool>>,
    /// The list of changes that the run has to undo. The same as that of the listener, if there is one.
    pub leftovers: Leftovers,
    /// Gets the part of the result, if this is one of several processes.
    pub part: PartSlot,
    /// The directory of the lease of `exec` faults. Without it, one of the run's own in `results`.
    pub lease: Option<PathBuf>,
}

/// Holds the part of one of several processes, once it is known.
pub type PartSlot = Arc<Mutex<Option<SharePart>>>;

/// The broker, the topic and the machine of a run.
pub(super) struct RunEnvironment {
    /// The topic's name.
    pub(super) topic: String,
    /// The measurements of the run, from the start offsets on.
    pub(super) measurements: Arc<Measurements>,
    /// The continuation of an earlier run, and the place of this run's checkpoints.
    pub(super) from: Continuation,
    /// The runtime: threads or a simulation.
    pub(super) runtime: Arc<dyn Runtime>,
    /// The version of the broker, where it is known.
    pub(super) broker_version: Option<String>,
    /// The client and its version.
    pub(super) client: String,
    /// Effective client properties.
    pub(super) client_config: BTreeMap<String, ClientProperty>,
    /// The settings with which producers send.
    pub(super) sending: Sending,
    /// The machine.
    pub(super) host: Host,
    /// Reaches the group's coordinator, to ask for committed offsets; `None` in a simulation, whose coordinator
    /// compares them itself.
    pub(super) coordinator: Option<Arc<dyn ClusterPort>>,
    /// The counts of requests, if the clients that carry the load make them.
    pub(super) requests: Option<Arc<RequestLog>>,
    /// Time limit until all consumers are ready.
    pub(super) startup: Duration,
    /// The list of changes that the run has to undo.
    pub(super) leftovers: Leftovers,
    /// Number of brokers that its commands may stop at once.
    pub(super) down_max: usize,
    /// The directory of the lease of its commands.
    pub(super) lease: PathBuf,
    /// The other processes of the run, if there are any.
    pub(super) shared: Option<Arc<SharedRun>>,
}

/// The measurements of a run that reads from `starts` on.
pub(super) fn measurements(plan: &Plan, starts: &[Offset]) -> Arc<Measurements> {
    let shape = LaneShape {
        fixed: plan.load.partition == PartitionChoice::Fixed,
        partitions: plan.topic.partitions,
        pools: plan.load.pools,
    };
    let mut measurements = Measurements::new(shape, starts);
    measurements.share = plan.share;
    if !plan.load.sends() {
        measurements.cells.iter().for_each(|cell| cell.lock().counts_others = true);
    }
    Arc::new(measurements)
}

/// A cluster that can be reached.
pub(super) struct StartedCluster {
    /// Comma-separated `host:port`.
    bootstrap: String,
    /// Keeps the mock cluster running.
    embedded: Option<Embedded>,
    /// The version of the cluster, where it is known.
    version: Option<String>,
}

/// Starts the cluster of a plan with its topic of this name, or finds it.
pub(super) type StartCluster = fn(&Plan, &str) -> Result<StartedCluster, Error>;

impl StartedCluster {
    /// The mock cluster in this process.
    pub(super) fn embedded(plan: &Plan, topic: &str) -> Result<StartedCluster, Error> {
        let brokers = plan.broker.brokers.unwrap_or(1);
        let mut started = client_libraries()
            .filter_map(|it| Some((it, it.mock_cluster(brokers, topic, &plan.topic)?)));
        let Some((library, started)) = started.next() else {
            let text = "broker `embedded` is not part of this build";
            return Err(Error::Input(text.to_owned()));
        };
        let embedded =
            started.map_err(|error| Error::Environment(format!("no embedded broker: {error}")))?;
        let version = format!("{} mock cluster", library.version());
        let bootstrap = embedded.bootstrap().to_owned();
        Ok(StartedCluster { bootstrap, embedded: Some(embedded), version: Some(version) })
    }

    /// The cluster at the plan's addresses.
    pub(super) fn elsewhere(plan: &Plan, _: &str) -> Result<StartedCluster, Error> {
        let bootstrap = plan.broker.bootstrap.clone().unwrap_or_default();
        // A real broker does not report its version to clients.
        Ok(StartedCluster { bootstrap, embedded: None, version: None })
    }
}

/// A started cluster with its topic, on which the run is made.
pub(super) struct Stage {
    topic: PreparedTopic,
    library: &'static dyn ClientLibrary,
    /// The ports of the cluster.
    ports: Arc<dyn ClusterPort>,
    /// Effective properties of the client library, if it is used.
    client_config: BTreeMap<String, ClientProperty>,
    /// The settings with which producers send.
    sending: Sending,
    /// The version of the broker, where it is known.
    broker_version: Option<String>,
}

/// The topic of a run, and the offsets from which it is read.
struct PreparedTopic {
    name: String,
    starts: Vec<Offset>,
    /// The continuation of an earlier run, and the place of this run's checkpoints.
    from: Continuation,
    /// The checkpoint file, if there is one.
    resumption: Option<Resumption>,
    admin: Box<dyn Administrator>,
    created: bool,
    leftovers: Leftovers,
    /// Number of brokers that the commands of faults may stop at once.
    down_max: usize,
    /// Keeps the mock cluster running.
    embedded: Option<Embedded>,
}

impl Stage {
    /// Starts or finds the cluster, creates or checks the topic, and resolves the start offsets to numbers. If a later
    /// step fails, a topic that was created is deleted again. If that fails, the topic remains in `leftovers`.
    pub(super) async fn set(
        plan: &Arc<Plan>,
        start: StartCluster,
        run: RunId,
        client: ClientFile,
        clock: Clock,
        deadline: &Deadline,
        leftovers: &Leftovers,
    ) -> Result<Stage, Error> {
        let name = plan.topic.name.resolve(run);
        let resumption = Resumption::open(plan, &name)?;
        let library = library_of(plan)?;
        let StartedCluster { bootstrap, embedded, version } = start(plan, &name)?;
        let settings = ClientSettings::new(plan, &bootstrap, run, client)
            .map_err(|refused| Error::Input(rendered(plan, &refused)))?;
        let client_config = library.effective_config(&settings);
        let sending = library.sending(&settings, &plan.load);
        let mut admin = administrator_of(plan, &settings, &bootstrap, &name, clock)?;
        let found = match &embedded {
            Some(_) => None,
            None => Some(connect_to_topic_of(&mut *admin, plan.share, deadline).await?),
        };
        let control = embedded.as_ref().map(Embedded::control);
        let mut topic = PreparedTopic {
            name,
            starts: Vec::new(),
            from: Continuation::default(),
            resumption,
            admin,
            created: false,
            leftovers: leftovers.clone(),
            down_max: 0,
            embedded,
        };
        let prepared = topic.prepare(plan, run, &bootstrap, found.as_ref(), deadline).await;
        let at = (bootstrap.as_str(), topic.name.as_str());
        let ports =
            prepared.and_then(|()| make_cluster((plan, run), &settings, at, clock, control));
        let ports = match ports {
            Ok(ports) => ports,
            Err(error) => {
                topic.delete(plan).await;
                return Err(error);
            }
        };
        topic.from.store = topic.store(plan, run, &ports);
        Ok(Stage { topic, library, ports, client_config, sending, broker_version: version })
    }
}

impl PreparedTopic {
    /// Prepares the topic, the start offsets, and the first commits of the group.
    async fn prepare(
        &mut self,
        plan: &Plan,
        run: RunId,
        bootstrap: &str,
        found: Option<&Found>,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        match found.map(|found| (found, found.partitions)) {
            Some((_, Some(partitions))) if partitions != plan.topic.partitions as usize => {
                return Err(environment(SetupError::OtherPartitions {
                    topic: self.name.clone(),
                    found: partitions,
                    wanted: plan.topic.partitions,
                }));
            }
            // Share 1 has asked, or has created the topic itself.
            Some((_, Some(_))) if plan.share.is_some_and(|share| !share.is_first()) => {}
            Some((_, Some(_))) if plan.load.sends() && !plan.topic.writes_to_existing => {
                let records = self.admin.records(plan.topic.partitions, deadline);
                let topic = self.name.clone();
                return Err(environment(SetupError::NoConsent { topic, records }));
            }
            Some((_, None)) if !plan.load.sends() => {
                return Err(environment(SetupError::NothingToRead { topic: self.name.clone() }));
            }
            Some((found, None)) => self.create_topic(plan, bootstrap, found, deadline).await?,
            _ => {}
        }
        if self.embedded.is_none() {
            let payload = u64::from(plan.load.payload_bytes_max);
            self.admin.require_room_for(payload, deadline).await.map_err(environment)?;
        }
        self.down_max = down_max(plan, &mut *self.admin, deadline).await?;
        let partitions = plan.topic.partitions;
        let (admin, start) = (&mut self.admin, plan.consumers.start);
        self.starts = admin.start_offsets(start, partitions, deadline).map_err(environment)?;
        if let Some(resumption) = &mut self.resumption {
            // All mock clusters have the same id, although each is a new one.
            let id = match self.embedded {
                Some(_) => Some(format!("embedded-{run}")),
                None => admin.cluster_id(deadline),
            };
            resumption.apply(id, &mut self.starts)?;
            let ends =
                admin.start_offsets(StartAt::End, partitions, deadline).map_err(environment)?;
            self.from = resumption.from(&ends);
        }
        if matches!(plan.consumers.membership, Membership::Group(_)) {
            admin.commit_starts(&self.starts, found, deadline).await.map_err(environment)?;
        }
        Ok(())
    }

    /// The place of the checkpoints, and the time between two writes; `None` if they are only kept in memory.
    fn store(
        &self,
        plan: &Plan,
        run: RunId,
        ports: &Arc<dyn ClusterPort>,
    ) -> Option<(Store, Duration)> {
        match &plan.consumers.checkpoint {
            CheckpointPlan::Memory => None,
            CheckpointPlan::File { interval, .. } => {
                Some((self.resumption.as_ref()?.store(run), *interval))
            }
            CheckpointPlan::Commit { group, interval } => {
                let (cluster, group) = (ports.clone(), group.clone());
                Some((Store::Commit { cluster, group }, *interval))
            }
        }
    }

    async fn create_topic(
        &mut self,
        plan: &Plan,
        bootstrap: &str,
        found: &Found,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        if !plan.topic.keep {
            let delete = format!(
                "delete it with `kafka-topics.sh --bootstrap-server {bootstrap} --delete --topic {}`",
                self.name
            );
            self.leftovers.add(self.leftover(), delete);
        }
        self.created = true;
        let created = self.admin.create_topic(&plan.topic, found, deadline).await;
        let is_refused = matches!(
            created,
            Err(SetupError::NotCreated { .. }
                | SetupError::Denied(_)
                | SetupError::TooFewBrokers { .. }
                | SetupError::NotMade { .. })
        );
        if is_refused {
            self.created = false;
            self.leftovers.remove(&self.leftover());
        }
        created.map_err(environment)
    }

    /// The text about a topic that cannot be deleted.
    fn leftover(&self) -> String {
        format!("topic `{}` was created by this run and may still be there", self.name)
    }

    /// Deletes the topic if this run created it and is not to keep it. Returns true if it did.
    async fn delete(&mut self, plan: &Plan) -> bool {
        if !self.created || plan.topic.keep {
            return false;
        }
        match self.admin.delete_topic().await {
            Ok(()) => {
                self.leftovers.remove(&self.leftover());
                true
            }
            Err(error) => {
                tracing::warn!(%error, "topic not deleted");
                self.leftovers.explain(&self.leftover(), &error.to_string());
                false
            }
        }
    }
}

impl Stage {
    /// The environment for the rest of the run. `startup` is the time limit until all consumers are ready.
    pub(super) fn environment(
        &self,
        plan: &Plan,
        clock: Clock,
        startup: Duration,
        lease: PathBuf,
    ) -> RunEnvironment {
        RunEnvironment {
            topic: self.topic.name.clone(),
            measurements: measurements(plan, &self.topic.starts),
            from: self.topic.from.clone(),
            runtime: Arc::new(ThreadRuntime::new(self.ports.clone(), clock)),
            broker_version: self.broker_version.clone(),
            client: self.library.version(),
            client_config: self.client_config.clone(),
            sending: self.sending.clone(),
            host: describe(&clock),
            coordinator: Some(self.ports.clone()),
            requests: self.ports.requests(),
            startup,
            leftovers: self.topic.leftovers.clone(),
            down_max: self.topic.down_max,
            lease,
            shared: None,
        }
    }

    /// Deletes the topic if this run created it and is not to keep it. Then it also removes the checkpoint file, from
    /// which no run can continue any more. Returns a warning for the user.
    pub(super) async fn clear(mut self, plan: &Plan) -> Option<String> {
        if self.topic.embedded.is_some() {
            let why = "the embedded cluster ended with the run; use `--broker kafka` to continue in a later one";
            return self.topic.resumption.map(|resumption| resumption.forget(why));
        }
        if !self.topic.delete(plan).await {
            return None;
        }
        let why = "the topic was this run's own and is deleted; set `topic.keep = true`, or create it yourself, to \
                   continue in a later run";
        self.topic.resumption.map(|resumption| resumption.forget(why))
    }
}

/// The properties of the machine that the operating system reports.
fn describe(clock: &Clock) -> Host {
    let limit = CpuLimit::of_this_process();
    Host {
        os: std::env::consts::OS.to_owned(),
        kernel: kernel(),
        cpu: cpu(),
        cores: limit.cores,
        cpu_limit: Some(limit.cpus),
        clock_resolution_ns: u64::try_from(clock.resolution().as_nanos()).unwrap_or(0),
    }
}

/// The real time since `wall` that a simulation took. `None` if the run was no simulation.
pub fn record_host(wall: &Clock, summary: &Summary) -> Option<HostRecord> {
    let simulation = summary.simulation.as_ref()?;
    let wall_s = wall.now().as_secs_f64();
    Some(HostRecord {
        host: describe(wall),
        started_at: wall.wall_clock(Time::ZERO),
        wall_s,
        speed: simulation.virtual_ns as f64 / 1e9 / wall_s.max(1e-9),
    })
}

#[cfg(target_os = "linux")]
fn kernel() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned())
}

#[cfg(target_os = "linux")]
fn cpu() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim().to_owned())
}

#[cfg(not(target_os = "linux"))]
fn kernel() -> Option<String> {
    None
}

#[cfg(not(target_os = "linux"))]
fn cpu() -> Option<String> {
    None
}

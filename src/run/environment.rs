//! The environment of a run: the broker, the topic, the start offsets, the machine; and clearing it afterwards.
//!
//! Open files and threads: what a run needs of this process, looked at before the first client is made.
//!
//! The client library ends the process, or hangs, when it gets no thread or no descriptor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::checkpointing::{Continuation, Resumption, Store};
use crate::actors::{Runtime, ThreadRuntime};
use crate::base::{Clock, Leftovers, Offset, RunId, Time, format_count};
use crate::broker::ClusterPort;
use crate::broker::rdkafka::{
    Admin, ClientFile, ClientSettings, Deadline, Embedded, Found, RdCluster, SetupError,
    client_version,
};
use crate::broker::sim::TraceSink;
use crate::error::Error;
use crate::logic::Handlers;
use crate::measure::{CpuLimit, LaneShape, Measurements};
use crate::plan::{BrokerPlan, CheckpointPlan, Membership, Needs, PartitionChoice, Plan, StartAt};
use crate::scenario::{Diagnostic, Source, Sources};
use crate::summary::{ClientProperty, Host, HostRecord, Summary};

/// What a run needs besides its plan.
#[derive(Debug, Default)]
pub struct Options {
    /// Client properties from outside the scenario.
    pub client: ClientFile,
    /// What consumers do with records, in the place of the scenario's `work`.
    pub handlers: Option<Handlers>,
    /// Who is told every event of a simulation.
    pub trace_sink: Option<TraceSink>,
    /// Turns true when a simulation is to end early and keep what it has: [`listen`]. Without it Ctrl-C ends the
    /// process, as it does to many simulations at a time. A run on a cluster listens by itself.
    pub interrupted: Option<watch::Receiver<bool>>,
}

/// The broker, the topic and the machine of a run.
pub(super) struct RunEnvironment {
    /// The topic's name.
    pub(super) topic: String,
    /// Where everything is measured, from the start offsets on.
    pub(super) measurements: Arc<Measurements>,
    /// Where the run goes on, and where its own checkpoints go.
    pub(super) from: Continuation,
    /// The world the run is made in.
    pub(super) runtime: Arc<dyn Runtime>,
    /// The version of the broker, where it is known.
    pub(super) broker_version: Option<String>,
    /// The client and its version.
    pub(super) client: String,
    /// Effective client properties.
    pub(super) client_config: BTreeMap<String, ClientProperty>,
    /// The machine.
    pub(super) host: Host,
    /// Where the group's coordinator is asked for committed offsets; none in simulation, where it compares them itself.
    pub(super) coordinator: Option<Arc<dyn ClusterPort>>,
    /// How long consumers may take to be ready.
    pub(super) startup: Duration,
    /// What the run has to take back.
    pub(super) leftovers: Leftovers,
}

/// Where a run that reads from `starts` on is measured.
pub(super) fn measurements(plan: &Plan, starts: &[Offset]) -> Arc<Measurements> {
    let shape = LaneShape {
        fixed: plan.load.partition == PartitionChoice::Fixed,
        partitions: plan.topic.partitions,
        pools: plan.load.pools,
    };
    Arc::new(Measurements::new(shape, starts))
}

/// What a run stands on.
pub(super) struct Stage {
    topic: String,
    starts: Vec<Offset>,
    /// Where the run goes on, and where its own checkpoints go.
    from: Continuation,
    /// The checkpoint file, if there is one.
    resumption: Option<Resumption>,
    cluster: Arc<RdCluster>,
    admin: Admin,
    created: bool,
    leftovers: Leftovers,
    /// Keeps the mock cluster running.
    embedded: Option<Embedded>,
}

impl Stage {
    /// Starts or finds the broker, makes sure of the topic, and resolves the start offsets to numbers. A topic that was
    /// created is deleted again if a later step fails; what cannot be deleted stays in `leftovers`.
    pub(super) async fn set(
        plan: &Plan,
        run: RunId,
        client: ClientFile,
        clock: Clock,
        deadline: &Deadline,
        leftovers: &Leftovers,
    ) -> Result<Stage, Error> {
        let topic = plan.topic.name.resolve(run);
        let resumption = Resumption::open(plan, &topic)?;
        let (embedded, bootstrap) = match &plan.broker {
            BrokerPlan::Kafka { bootstrap } => (None, bootstrap.clone()),
            BrokerPlan::Sim(_) => return Err(Error::Bug("a simulation needs no stage".to_owned())),
            BrokerPlan::Embedded { brokers } => {
                let (partitions, copies) = (plan.topic.partitions, plan.topic.replication_factor);
                let embedded = Embedded::start(*brokers, &topic, partitions, copies)
                    .map_err(|error| Error::Environment(format!("no embedded broker: {error}")))?;
                let bootstrap = embedded.bootstrap().to_owned();
                (Some(embedded), bootstrap)
            }
        };
        let settings = ClientSettings::new(plan, &bootstrap, run, client)
            .map_err(|refused| Error::Input(rendered(plan, &refused)))?;
        let admin = Admin::new(settings.clone(), &bootstrap, &topic, clock).map_err(environment)?;
        let found = match &embedded {
            Some(_) => None,
            None => Some(admin.connect(deadline).map_err(environment)?),
        };
        let control = embedded.as_ref().map(Embedded::control);
        let cluster = Arc::new(RdCluster::new(plan, settings, &topic, clock, control));
        let mut stage = Stage {
            topic,
            starts: Vec::new(),
            from: Continuation::default(),
            resumption,
            cluster,
            admin,
            created: false,
            leftovers: leftovers.clone(),
            embedded,
        };
        if let Err(error) = stage.prepare(plan, run, &bootstrap, found.as_ref(), deadline).await {
            stage.delete_topic(plan).await;
            return Err(error);
        }
        Ok(stage)
    }

    /// The topic, where reading starts, and the group's first commits.
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
                    topic: self.topic.clone(),
                    found: partitions,
                    wanted: plan.topic.partitions,
                }));
            }
            Some((found, None)) => self.create_topic(plan, bootstrap, found, deadline).await?,
            _ => {}
        }
        if self.embedded.is_none() {
            let payload = u64::from(plan.load.payload_bytes);
            self.admin.require_room_for(payload, deadline).await.map_err(environment)?;
        }
        let partitions = plan.topic.partitions;
        let (admin, start) = (&self.admin, plan.consumers.start);
        self.starts = admin.start_offsets(start, partitions, deadline).map_err(environment)?;
        if let Some(resumption) = &mut self.resumption {
            // A mock cluster has the same id each time, and is another one each time.
            let id = match self.embedded {
                Some(_) => Some(format!("embedded-{run}")),
                None => admin.cluster_id(deadline),
            };
            resumption.apply(id, &mut self.starts)?;
            let ends =
                admin.start_offsets(StartAt::End, partitions, deadline).map_err(environment)?;
            self.from = resumption.from(&ends);
        }
        self.from.store = self.store(plan, run);
        if matches!(plan.consumers.membership, Membership::Group(_)) {
            admin.commit_starts(&self.starts, found, deadline).await.map_err(environment)?;
        }
        Ok(())
    }

    /// Where checkpoints are kept besides in memory, and how often.
    fn store(&self, plan: &Plan, run: RunId) -> Option<(Store, Duration)> {
        match &plan.consumers.checkpoint {
            CheckpointPlan::Memory => None,
            CheckpointPlan::File { interval, .. } => {
                Some((self.resumption.as_ref()?.store(run), *interval))
            }
            CheckpointPlan::Commit { group, interval } => {
                let (cluster, group) = (self.cluster.clone(), group.clone());
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
                self.topic
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

    /// What is left if the topic cannot be deleted.
    fn leftover(&self) -> String {
        format!("topic `{}` was created by this run and may still be there", self.topic)
    }

    /// Deletes the topic if this run created it and it is not to be kept. Returns whether it did.
    async fn delete_topic(&self, plan: &Plan) -> bool {
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

    /// What the rest of the run needs to know. Its consumers may take `startup` to be ready.
    pub(super) fn environment(
        &self,
        plan: &Plan,
        clock: Clock,
        startup: Duration,
    ) -> RunEnvironment {
        // A real broker does not tell its version to clients.
        let mock = self.embedded.as_ref().map(|_| format!("{} mock cluster", client_version()));
        RunEnvironment {
            topic: self.topic.clone(),
            measurements: measurements(plan, &self.starts),
            from: self.from.clone(),
            runtime: Arc::new(ThreadRuntime::new(self.cluster.clone(), clock)),
            broker_version: mock,
            client: client_version(),
            client_config: self.cluster.effective_config(),
            host: describe(&clock),
            coordinator: Some(self.cluster.clone()),
            startup,
            leftovers: self.leftovers.clone(),
        }
    }

    /// Deletes the topic if this run created it and it is not to be kept, and with it the checkpoint file that
    /// no run can go on from any more. Returns what the user should know.
    pub(super) async fn clear(self, plan: &Plan) -> Option<String> {
        if self.embedded.is_some() {
            let why = "the embedded cluster ended with the run; use `--broker kafka` to continue in a later one";
            return self.resumption.map(|resumption| resumption.forget(why));
        }
        if !self.delete_topic(plan).await {
            return None;
        }
        let why = "the topic was this run's own and is deleted; set `topic.keep = true`, or create it yourself, to \
                   continue in a later run";
        self.resumption.map(|resumption| resumption.forget(why))
    }
}

/// Diagnostics with the places of the scenario they speak of.
fn rendered(plan: &Plan, diagnostics: &[Diagnostic]) -> String {
    let file = Source { name: format!("{}.toml", plan.name), text: plan.source.clone() };
    let sources = Sources { file: &file, overrides: &plan.overrides };
    let texts: Vec<String> = diagnostics.iter().map(|d| d.render(&sources, false)).collect();
    texts.join("\n\n")
}

fn environment(error: SetupError) -> Error {
    match error {
        SetupError::Interrupted => Error::Interrupted,
        SetupError::NotMade { .. } => Error::Input(error.to_string()),
        other => Error::Environment(other.to_string()),
    }
}

/// What the system tells about itself.
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

/// What a simulation that began with `wall` took until now. `None` if it was none.
pub fn record_host(wall: &Clock, summary: &Summary) -> Option<HostRecord> {
    let simulation = summary.simulation.as_ref()?;
    let wall_s = wall.now().as_secs_f64();
    Some(HostRecord {
        host: describe(wall),
        started_at: wall_clock(wall, Time::ZERO),
        wall_s,
        speed: simulation.virtual_ns as f64 / 1e9 / wall_s.max(1e-9),
    })
}

/// An instant of the run on the wall clock, RFC 3339 in UTC. A simulated run has none.
pub(super) fn wall_clock(clock: &Clock, at: Time) -> Option<String> {
    if clock.is_simulated() {
        return None;
    }
    let ns = i128::from(clock.epoch_unix_ns()) + i128::from(at.0);
    let timestamp = jiff::Timestamp::from_nanosecond(ns).ok()?;
    Some(format!("{timestamp:.3}"))
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

/// Raises the soft limit of open files as far as the run needs it, and refuses a run for which there is no room.
///
/// # Errors
/// Which limit is too low, what the run needs, and what to do.
pub(super) fn make_room(plan: &Plan) -> Result<(), Error> {
    let needs = plan.needs(brokers(plan));
    let files = system::open_files_max(needs.descriptors);
    if let Some(max) = files.filter(|max| *max < needs.descriptors) {
        return Err(too_low(plan, &needs, "open files", needs.descriptors, max, "ulimit -n"));
    }
    if let Some((max, used)) = system::threads_left()
        && used.saturating_add(needs.threads) > max
    {
        let wanted = used.saturating_add(needs.threads);
        return Err(too_low(plan, &needs, "threads", wanted, max, "ulimit -u"));
    }
    Ok(())
}

/// Brokers that clients connect to, as far as it is known before they are asked.
fn brokers(plan: &Plan) -> u64 {
    match &plan.broker {
        BrokerPlan::Embedded { brokers } => u64::from(*brokers),
        BrokerPlan::Kafka { bootstrap } => bootstrap.split(',').count() as u64,
        BrokerPlan::Sim(_) => 0,
    }
}

fn too_low(plan: &Plan, needs: &Needs, what: &str, wanted: u64, max: u64, command: &str) -> Error {
    let fewer = match plan.load.clients {
        crate::plan::ProducerClients::PerProducer => "`load.clients = \"pool\"`",
        crate::plan::ProducerClients::PerPool => "`consumers.clients = \"shared\"`",
    };
    Error::Environment(format!(
        "this run needs about {} {what} for {} clients, and this process may have {}; raise the limit with `{command} {}` \
         (or where the limits of the user, the service or the container are set), or use fewer clients: {fewer}",
        format_count(wanted),
        format_count(needs.clients),
        format_count(max),
        // In steps that are easy to type.
        wanted.next_multiple_of(1024),
    ))
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::process::{Process, all_processes};
    use rustix::process::{Resource, getrlimit, setrlimit};

    /// How many open files this process may have, after the soft limit was raised to `wanted` if it can be.
    pub(super) fn open_files_max(wanted: u64) -> Option<u64> {
        let mut limit = getrlimit(Resource::Nofile);
        let soft = limit.current?;
        if soft >= wanted {
            return Some(soft);
        }
        limit.current = Some(limit.maximum.map_or(wanted, |hard| hard.min(wanted)));
        match setrlimit(Resource::Nofile, limit) {
            Ok(()) => limit.current,
            Err(_) => Some(soft),
        }
    }

    /// How many threads the user may have, and has. `None` if nothing limits them.
    pub(super) fn threads_left() -> Option<(u64, u64)> {
        // The superuser is not limited (setrlimit(2), RLIMIT_NPROC).
        if rustix::process::geteuid().is_root() {
            return None;
        }
        let max = getrlimit(Resource::Nproc).current?;
        let user = Process::myself().ok()?.status().ok()?.ruid;
        let threads = |process: Process| {
            let status = process.status().ok()?;
            (status.ruid == user).then_some(status.threads)
        };
        // A process that ends meanwhile has no threads.
        Some((max, all_processes().ok()?.filter_map(|process| threads(process.ok()?)).sum()))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn open_files_max(_wanted: u64) -> Option<u64> {
        None
    }

    pub(super) fn threads_left() -> Option<(u64, u64)> {
        None
    }
}

//! The stage: the broker, the topic, the start offsets; and clearing it afterwards.

use std::sync::Arc;
use std::time::Duration;

use super::checkpointing::Store;
use super::environment::RunEnvironment;
use super::host;
use super::resume::{Continuation, Resumption};
use crate::actors::Hosting;
use crate::base::{Clock, Leftovers, Offset, RunId};
use crate::broker::rdkafka::{
    Admin, ClientFile, ClientSettings, Deadline, Embedded, Found, RdCluster, SetupError,
    client_version,
};
use crate::error::Error;
use crate::plan::{BrokerPlan, CheckpointPlan, Membership, Plan, StartAt};
use crate::scenario::{Diagnostic, Source, Sources};

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
        self.from.store = store(plan, self.resumption.as_ref(), run);
        if matches!(plan.consumers.membership, Membership::Group(_)) {
            admin.commit_starts(&self.starts, found, deadline).await.map_err(environment)?;
        }
        Ok(())
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
    pub(super) fn environment(&self, clock: Clock, startup: Duration) -> RunEnvironment {
        // A real broker does not tell its version to clients.
        let mock = self.embedded.as_ref().map(|_| format!("{} mock cluster", client_version()));
        RunEnvironment {
            topic: self.topic.clone(),
            starts: self.starts.clone(),
            from: self.from.clone(),
            cluster: self.cluster.clone(),
            hosting: Hosting::Threads,
            broker_version: mock,
            client: client_version(),
            client_config: self.cluster.effective_config(),
            host: host::describe(&clock),
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

/// Where checkpoints are kept besides in memory, and how often.
fn store(plan: &Plan, resumption: Option<&Resumption>, run: RunId) -> Option<(Store, Duration)> {
    match &plan.consumers.checkpoint {
        CheckpointPlan::Memory => None,
        CheckpointPlan::File { interval, .. } => Some((resumption?.store(run), *interval)),
        CheckpointPlan::Commit { group, interval } => {
            Some((Store::Commit { group: group.clone() }, *interval))
        }
    }
}

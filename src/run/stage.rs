//! The stage: the broker, the topic, the start offsets; and clearing it afterwards.

use std::sync::Arc;
use std::time::Duration;

use super::checkpointing::Store;
use super::host;
use super::resume::{Continuation, Resumption};
use super::scene::Scene;
use crate::actors::Hosting;
use crate::base::{Clock, Offset, RunId};
use crate::broker::rdkafka::{
    Admin, ClientFile, ClientSettings, Embedded, RdCluster, SetupError, client_version,
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
    /// Keeps the mock cluster running.
    embedded: Option<Embedded>,
}

impl Stage {
    /// Starts or finds the broker, makes sure of the topic, and resolves the start offsets to numbers.
    pub(super) async fn set(
        plan: &Plan,
        run: RunId,
        clock: Clock,
        client: ClientFile,
    ) -> Result<Stage, Error> {
        let topic = plan.topic.name.resolve(run);
        let mut resumption = Resumption::open(plan, &topic)?;
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
        let admin = Admin::new(settings.clone(), &bootstrap, &topic);
        let created = match &embedded {
            Some(_) => true,
            None => {
                admin.ensure_topic(&plan.topic, plan.times.startup).await.map_err(environment)?
            }
        };
        let mut starts = admin
            .start_offsets(plan.consumers.start, plan.topic.partitions, plan.times.startup)
            .map_err(environment)?;
        let mut from = Continuation::default();
        if let Some(resumption) = &mut resumption {
            let id = admin.cluster_id(plan.times.startup);
            // A mock cluster has the same id each time, and is another one each time.
            let id = if embedded.is_some() { Some(format!("embedded-{run}")) } else { id };
            resumption.apply(id, &mut starts)?;
            let ends = admin
                .start_offsets(StartAt::End, plan.topic.partitions, plan.times.startup)
                .map_err(environment)?;
            from = resumption.from(&ends);
        }
        from.store = store(plan, resumption.as_ref(), run);
        if matches!(plan.consumers.membership, Membership::Group(_)) {
            admin.commit_starts(&starts, plan.times.startup).map_err(environment)?;
        }
        let control = embedded.as_ref().map(Embedded::control);
        let cluster = Arc::new(RdCluster::new(plan, settings, &topic, clock, control));
        Ok(Stage { topic, starts, from, resumption, cluster, admin, created, embedded })
    }

    /// What the rest of the run needs to know.
    pub(super) fn scene(&self, clock: Clock) -> Scene {
        // A real broker does not tell its version to clients.
        let mock = self.embedded.as_ref().map(|_| format!("{} mock cluster", client_version()));
        Scene {
            topic: self.topic.clone(),
            starts: self.starts.clone(),
            from: self.from.clone(),
            cluster: self.cluster.clone(),
            hosting: Hosting::Threads,
            broker_version: mock,
            client: client_version(),
            client_config: self.cluster.effective_config(),
            host: host::describe(&clock),
        }
    }

    /// Deletes the topic if this run created it and it is not to be kept, and with it the checkpoint file that
    /// nobody can go on from any more. Returns what the user should know.
    pub(super) async fn clear(self, plan: &Plan) -> Option<String> {
        if self.embedded.is_some() {
            let why = "the embedded cluster ended with the run; use `--broker kafka` to continue in a later one";
            return self.resumption.map(|resumption| resumption.forget(why));
        }
        if !self.created || plan.topic.keep {
            return None;
        }
        let Err(error) = self.admin.delete_topic().await else {
            let why = "the topic was this run's own and is deleted; set `topic.keep = true`, or create it \
                       yourself, to continue in a later run";
            return self.resumption.map(|resumption| resumption.forget(why));
        };
        Some(format!("topic `{}` was created by this run and is still there: {error}", self.topic))
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

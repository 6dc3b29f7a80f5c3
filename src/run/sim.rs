//! A run in virtual time: the same actors and hosts, with the kernel instead of the clock and the threads.
//!
//! A `current_thread` runtime without timers and sockets runs the actors, the run's wiring and the kernel as tasks. As
//! long as another task can continue, it does. When none can, tokio is about to park the thread, and only then the
//! kernel advances time. Therefore time never advances while a message is not handled, wherever the message comes from.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;

use super::checkpointing::Continuation;
use super::collecting::Observer;
use super::committed_offsets::compare_in_simulation;
use super::drain::ASK_LIMIT;
use super::environment::{Options, RunEnvironment, measurements};
use super::run_control::{LOAD_ENDS_WITHIN, STOP_LIMIT};
use super::wiring::run_in;
use crate::actors::SimRuntime;
use crate::base::{Clock, Leftovers, Offset, RunId, Time};
use crate::broker::model::ClusterSettings;
use crate::broker::model::group::{ConsumerGroupSettings, GroupSettings};
use crate::broker::native::NativeProducer;
use crate::broker::sim::{Exceeded, Kernel, KernelHandle, NetworkSettings, SimLimits, StepOutcome};
use crate::error::Error;
use crate::logic::Handlers;
use crate::plan::{Compression, ConsumerGroupsPlan, Plan, SimPlan};
use crate::summary::{Host, Sending, Summary};

/// Runs a plan in virtual time.
///
/// # Errors
/// There is no summary; [`Error`] has the reasons.
pub(super) fn run(
    plan: Plan,
    options: Options,
    observer: Box<dyn Observer>,
) -> Result<Summary, Error> {
    run_beside(plan, options, observer, |_| ())
}

/// The same, with additional tasks on the runtime of the simulation: `beside` starts them, and may use the kernel.
///
/// # Errors
/// There is no summary; [`Error`] has the reasons.
pub(super) fn run_beside(
    plan: Plan,
    options: Options,
    observer: Box<dyn Observer>,
    beside: impl FnOnce(&KernelHandle),
) -> Result<Summary, Error> {
    let Some(settings) = plan.broker.sim.clone() else {
        return Err(Error::Bug("the plan of a simulation has no simulated cluster".to_owned()));
    };
    let settings = &settings;
    let Options { handlers, trace_sink, interrupted, .. } = options;
    let (clock, hand) = Clock::simulated();
    let rest = IdleSignal::default();
    let at_rest = rest.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || at_rest.come())
        .build()
        .map_err(|error| Error::Environment(format!("no runtime: {error}")))?;
    let cluster = cluster(&plan, settings);
    let network = NetworkSettings {
        latency: settings.latency,
        jitter: settings.jitter,
        bandwidth: settings.bandwidth,
    };
    let seed = plan.seed.child("sim", 0);
    let limits = SimLimits::until(Time::ZERO + longest(&plan));
    let (_never, nothing) = watch::channel(false);
    let interrupted = interrupted.unwrap_or(nothing);
    let cores = settings.host_cores;
    let kernel = Kernel::new(hand, seed, cluster, network, cores, limits, interrupted.clone());
    let run = RunId(plan.seed.child("run", 0).0);
    let handle = kernel.handle();
    if let Some(trace_sink) = trace_sink {
        handle.trace_to(trace_sink);
    }
    let plan = Arc::new(plan);
    let environment = environment(&plan, settings, run, clock, &handle);
    let outcome = runtime.block_on(async {
        let wiring = tokio::spawn(wiring(
            plan,
            environment,
            run,
            clock,
            handlers,
            observer,
            interrupted.clone(),
        ));
        let kernel = tokio::spawn(drive_kernel(kernel, rest));
        beside(&handle);
        tokio::select! {
            biased;
            outcome = wiring => outcome.unwrap_or_else(|panic| Err(Error::Bug(panic.to_string()))),
            ended = kernel => Err(match ended {
                Ok(ended) => ended.error(),
                Err(panic) => Error::Bug(panic.to_string()),
            }),
            () = patience(interrupted) => Err(Error::CutOff(PATIENCE.as_secs())),
        }
    });
    let simulation = Some(handle.simulation());
    // Actors and hosts are dropped first: their last messages are not needed.
    drop(runtime);
    handle.forget();
    outcome.map(|summary| Summary { simulation, ..summary })
}

fn cluster(plan: &Plan, settings: &SimPlan) -> ClusterSettings {
    let ConsumerGroupsPlan { session_timeout, heartbeat_interval } = settings.consumer_groups;
    let consumer = ConsumerGroupSettings { session_timeout, heartbeat_interval };
    ClusterSettings {
        brokers: settings.brokers,
        cores: settings.broker_cores,
        request_cost: settings.request_cost,
        partitions: plan.topic.partitions,
        replication_factor: plan.topic.replication_factor,
        min_insync: plan.topic.min_insync_replicas,
        unclean_elections: settings.outage.unclean_elections,
        link: settings.latency + settings.jitter,
        broker_session: settings.outage.broker_session,
        replica_lag_max: settings.outage.replica_lag_max,
        leader_balance: settings.outage.leader_balance,
        retention_bytes: plan.topic.retention_bytes,
        group: GroupSettings { consumer, ..GroupSettings::default() },
    }
}

fn environment(
    plan: &Arc<Plan>,
    settings: &SimPlan,
    run: RunId,
    clock: Clock,
    handle: &KernelHandle,
) -> RunEnvironment {
    let measurements = measurements(plan, &vec![Offset(0); plan.topic.partitions as usize]);
    compare_in_simulation(plan, measurements.clone(), handle);
    let runtime = SimRuntime::new(handle.clone(), clock, plan.clone(), settings.clone());
    RunEnvironment {
        topic: plan.topic.name.resolve(run),
        measurements,
        // Nothing of a simulation outlives it.
        from: Continuation::default(),
        runtime: Arc::new(runtime),
        broker_version: Some("lanekeeper's broker model".to_owned()),
        client: "lanekeeper's native client".to_owned(),
        client_config: BTreeMap::new(),
        // Batches are as large as their records.
        sending: Sending {
            compression: Compression::None.to_string(),
            ..NativeProducer::sending(&plan.load)
        },
        host: Host {
            os: "simulated".to_owned(),
            cores: settings.host_cores as usize,
            clock_resolution_ns: 1,
            ..Host::default()
        },
        coordinator: None,
        requests: None,
        startup: plan.times.startup,
        leftovers: Leftovers::default(),
        // Commands are not run in virtual time.
        down_max: 0,
        lease: PathBuf::new(),
        shared: None,
    }
}

async fn wiring(
    plan: Arc<Plan>,
    environment: RunEnvironment,
    run: RunId,
    clock: Clock,
    handlers: Option<Handlers>,
    observer: Box<dyn Observer>,
    interrupted: watch::Receiver<bool>,
) -> Result<Summary, Error> {
    run_in(&plan, &environment, run, clock, handlers, observer, interrupted).await
}

/// Time limit of an orderly end after an interruption. It is real time, because virtual time may stand still.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for an interruption, and then for the time limit.
async fn patience(mut interrupted: watch::Receiver<bool>) {
    if interrupted.wait_for(|interrupted| *interrupted).await.is_err() {
        // The sender is dropped, so there will be no interruption.
        return std::future::pending().await;
    }
    let (over, waits) = tokio::sync::oneshot::channel();
    let wait = move || {
        std::thread::sleep(PATIENCE);
        // Fails if the run has ended.
        let _ = over.send(());
    };
    if std::thread::Builder::new().name("patience".to_owned()).spawn(wait).is_err() {
        return std::future::pending().await;
    }
    let _ = waits.await;
}

/// Longest virtual time of a run: the time limits of all steps, and a margin.
fn longest(plan: &Plan) -> Duration {
    let times = &plan.times;
    let starting = 2 * times.startup;
    let loading = times.load_end() + times.drain + LOAD_ENDS_WITHIN;
    let draining = 3 * times.drain + 2 * ASK_LIMIT;
    starting + loading + draining + STOP_LIMIT + MARGIN
}

/// Time for steps without a time limit.
const MARGIN: Duration = Duration::from_secs(60);

/// The reason why the kernel has stopped.
enum Ended {
    /// No event is left.
    StandsStill,
    Exceeded(Exceeded),
}

impl Ended {
    fn error(self) -> Error {
        match self {
            Ended::StandsStill => Error::Bug(
                "the simulation has no more events, but the run has not ended".to_owned(),
            ),
            // Every wait of a run has a time limit.
            Ended::Exceeded(exceeded @ Exceeded::Time(_)) => Error::Bug(exceeded.to_string()),
            Ended::Exceeded(exceeded) => Error::Limit(exceeded.to_string()),
        }
    }
}

/// Applies events, and lets actors run until they are idle in between. Ends when no event is left.
async fn drive_kernel(mut kernel: Kernel, rest: IdleSignal) -> Ended {
    let mut stands_still = false;
    loop {
        rest.wait().await;
        match kernel.step() {
            StepOutcome::ActorsBusy | StepOutcome::Interrupted => stands_still = false,
            StepOutcome::Exceeded(exceeded) => return Ended::Exceeded(exceeded),
            // Actors may have left commands just before. If they are idle a second time, they have not.
            StepOutcome::Finished if stands_still => return Ended::StandsStill,
            StepOutcome::Finished => stands_still = true,
        }
    }
}

/// Signals that every other task waits.
#[derive(Clone, Default)]
struct IdleSignal {
    waker: Arc<Mutex<Option<Waker>>>,
}

impl IdleSignal {
    /// To be called when the runtime is about to park the thread: no task can continue.
    fn come(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until no other task can continue.
    async fn wait(&self) {
        let mut has_waited = false;
        poll_fn(|context| {
            if has_waited {
                return Poll::Ready(());
            }
            has_waited = true;
            *self.waker.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

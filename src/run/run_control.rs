//! Control of a run: starts and ends its phases. Each phase sends the supervisor a message, and waits for the resulting
//! status, with a time limit.
//!
//! The first Ctrl-C, SIGTERM or SIGHUP ends the load and keeps the measurements. The second one ends the process.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::watch;

use crate::actors::{Context, PoolShared, Status, SupervisorMsg};
use crate::base::{Leftovers, PoolId, Time};
use crate::error::{Error, Exit};
use crate::logic::Pacer;
use crate::measure::Event;
use crate::report::{leave_screen, say};

/// Sends the supervisor messages and waits for the status that follows.
pub(super) struct RunControl {
    pub(super) context: Context,
    supervisor: ActorRef<SupervisorMsg>,
    status: watch::Receiver<Status>,
    pub(super) interrupted: watch::Receiver<bool>,
}

/// The end of the load.
pub(super) struct Ending {
    pub(super) interrupted: bool,
    /// Time at which the pools had finished, or were told to end.
    pub(super) at: Time,
    pub(super) warnings: Vec<String>,
}

/// Time between two checks of a condition that is not signalled.
pub(super) const LOOK: Duration = Duration::from_millis(5);
/// Time between two checks whether a stage has ended early. It is shorter than the time between the decision and the
/// end.
const STAGE_LOOK: Duration = Duration::from_millis(10);
/// Time limit for records in flight after an interruption.
pub(super) const DRAIN_INTERRUPTED: Duration = Duration::from_secs(3);
/// Time limit of stopping all consumers.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Time limit of the load beyond its end and its drain.
pub(super) const LOAD_ENDS_WITHIN: Duration = Duration::from_secs(10);

impl RunControl {
    pub(super) fn new(
        context: Context,
        supervisor: ActorRef<SupervisorMsg>,
        status: watch::Receiver<Status>,
        interrupted: watch::Receiver<bool>,
    ) -> RunControl {
        RunControl { context, supervisor, status, interrupted }
    }

    pub(super) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// A receiver of the status.
    pub(super) fn watch_status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    pub(super) fn tell(&self, message: SupervisorMsg) {
        if self.supervisor.cast(message).is_err() {
            tracing::error!("the supervisor is gone");
        }
    }

    /// Waits until `condition` holds, the user interrupts, or `limit` passes.
    pub(super) async fn until(
        &mut self,
        limit: Duration,
        condition: impl FnMut(&Status) -> bool,
    ) -> Waited {
        let mut interrupted = self.interrupted.clone();
        tokio::select! {
            biased;
            Ok(_) = interrupted.wait_for(|interrupted| *interrupted) => Waited::Interrupted,
            waited = self.until_done(limit, condition) => waited,
        }
    }

    /// Waits until `condition` is true or `limit` has passed, regardless of interruptions. For the end of a run.
    pub(super) async fn until_done(
        &mut self,
        limit: Duration,
        condition: impl FnMut(&Status) -> bool,
    ) -> Waited {
        tokio::select! {
            biased;
            happened = self.status.wait_for(condition) => match happened {
                Ok(_) => Waited::Happened,
                // The supervisor has ended.
                Err(_) => Waited::TooLong,
            },
            () = self.context.sleep(limit) => Waited::TooLong,
        }
    }

    /// Starts every consumer, and waits at most `limit` until each has fetched (or the group is complete). Returns the
    /// time that took.
    pub(super) async fn start_consumers(&mut self, limit: Duration) -> Result<Duration, Error> {
        let clock = self.context.clock;
        let began = clock.now();
        // A group may have standby members, beyond the number of partitions, which fetch nothing.
        let members = self.context.plan.own_members() as usize;
        let wanted = members.min(self.context.measurements.cells.len());
        self.tell(SupervisorMsg::StartConsumers);
        let ready =
            |status: &Status| status.consumers_running >= wanted || !status.given_up.is_empty();
        let waited = self.until(limit, ready).await;
        let status = self.status();
        if waited == Waited::Interrupted {
            return Err(Error::Interrupted);
        }
        if !status.given_up.is_empty() || waited == Waited::TooLong {
            return Err(Error::Environment(self.not_started(&status, wanted, limit)));
        }
        let deadline = began + limit;
        while !self.every_partition_has_its_owner() {
            if *self.interrupted.borrow() {
                return Err(Error::Interrupted);
            }
            if clock.now() > deadline {
                return Err(Error::Environment(format!(
                    "the group was not complete within {} s; raise `run.startup`, or check the coordinator",
                    limit.as_secs()
                )));
            }
            self.context.sleep(LOOK).await;
        }
        Ok(deadline.remaining(began) - deadline.remaining(clock.now()))
    }

    /// True if every partition has an owner and no member has two more than another. With the consumer protocol the
    /// first member gets all partitions, and then gives some to each later one.
    fn every_partition_has_its_owner(&self) -> bool {
        let measurements = &self.context.measurements;
        let owner = |cell: &crate::measure::PartitionCell| {
            cell.lock().owners().last().filter(|last| last.to.is_none()).map(|last| last.owner)
        };
        let owners: Option<Vec<_>> =
            measurements.own_cells().map(|(_, cell)| owner(cell)).collect();
        let Some(owners) = owners else { return false };
        let mut owned = vec![0; self.context.plan.members() as usize];
        for owner in owners {
            owned[owner.consumer.0 as usize] += 1;
        }
        let most = owned.iter().max().copied().unwrap_or(0);
        owned.iter().all(|count| count + 1 >= most)
    }

    fn not_started(&self, status: &Status, wanted: usize, limit: Duration) -> String {
        if let Some((consumer, reason)) = status.given_up.iter().next() {
            return format!(
                "consumer {consumer} cannot start: {reason}; check the topic and this user's rights"
            );
        }
        let heard: Vec<String> =
            self.context
                .measurements
                .journal
                .since(0)
                .into_iter()
                .rev()
                .find_map(|(_, event)| match event {
                    Event::ClientError { error, .. }
                    | Event::ConsumerFailed { reason: error, .. } => Some(error),
                    _ => None,
                })
                .into_iter()
                .collect();
        let heard =
            heard.first().map(|error| format!(" (last heard: {error})")).unwrap_or_default();
        format!(
            "only {} of {wanted} consumers were ready within {} s{heard}; raise `run.startup`, or check the \
             cluster's health",
            status.consumers_running,
            limit.as_secs()
        )
    }

    /// Starts the pools with schedules from `start` on. Waits until they have sent all records and the planned duration
    /// is over.
    pub(super) async fn load(&mut self, start: Time) -> Ending {
        let plan = self.context.plan.clone();
        let end = start + plan.times.load_end();
        let pool = |pool: u32| {
            let pool = PoolId(pool);
            Arc::new(PoolShared { pool, pacer: Pacer::of_plan(&plan, pool, start).into() })
        };
        let pools: Vec<Arc<PoolShared>> =
            (0..plan.load.pools).filter(|id| plan.has_pool(PoolId(*id))).map(pool).collect();
        self.tell(SupervisorMsg::StartLoad { pools: pools.clone(), start });
        let limit = plan.times.load_end() + plan.times.drain + LOAD_ENDS_WITHIN;
        let mut warnings = Vec::new();
        let waited = self.until(limit, |status| status.pools_over).await;
        let now = self.context.clock.now();
        let mut ending =
            Ending { interrupted: waited == Waited::Interrupted, at: now, warnings: Vec::new() };
        if waited == Waited::Happened {
            // A schedule ends when the next record would be due, not with its last record. Without producers the load
            // lasts until its end, because other producers write.
            let without = if plan.load.sends() { now } else { end };
            (ending.at, ending.interrupted) = self.until_over(&pools, without).await;
        } else {
            ending.at = ending.at.min(end);
            self.tell(SupervisorMsg::EndLoad);
            let flush = DRAIN_INTERRUPTED + Duration::from_secs(2);
            if self.until_done(flush, |status| status.pools_over).await != Waited::Happened {
                warnings.push(
                    "a producer pool did not end in time; its unanswered records count as indeterminate"
                        .to_owned(),
                );
            }
        }
        if waited == Waited::TooLong {
            warnings.push("the load did not end by itself; check the broker".to_owned());
        }
        self.note_unsent(&pools, start + plan.times.warmup, ending.at);
        Ending { warnings, ..ending }
    }

    /// Waits until all schedules are over. Returns the time of that, and true if the user has interrupted before. The
    /// last stages may end early.
    async fn until_over(&mut self, pools: &[Arc<PoolShared>], now: Time) -> (Time, bool) {
        let context = self.context.clone();
        let stages = &context.measurements.stages;
        loop {
            let over = pools.iter().filter_map(|pool| pool.over_at(stages)).max().unwrap_or(now);
            let now = context.clock.now();
            let is_open = stages.waits_from(now).is_some_and(|from| from < over);
            let next = if is_open { over.min(now + STAGE_LOOK) } else { over };
            if !self.until_time(next).await {
                return (self.context.clock.now(), true);
            }
            if next == over {
                return (over, false);
            }
        }
    }

    /// Waits until `time`. False when the user interrupts before.
    async fn until_time(&mut self, time: Time) -> bool {
        let mut interrupted = self.interrupted.clone();
        let left = time.remaining(self.context.clock.now());
        tokio::select! {
            biased;
            Ok(_) = interrupted.wait_for(|interrupted| *interrupted) => false,
            () = self.context.sleep(left) => true,
        }
    }

    /// Notes the records that were due in the measured window and not sent.
    fn note_unsent(&self, pools: &[Arc<PoolShared>], from: Time, to: Time) {
        for shared in pools {
            let mut unsent = vec![0; self.context.measurements.cells.len()];
            let pool = &self.context.measurements.pools[shared.pool.0 as usize];
            for due in shared.untaken(from, to) {
                pool.lock().count_due(due.intended);
                if let Some(count) = unsent.get_mut(due.partition.0 as usize) {
                    *count += 1;
                }
            }
            pool.lock().set_unsent(&unsent);
        }
    }

    /// Stops every consumer, and waits for their clients to close. Returns a warning if that failed.
    pub(super) async fn stop_consumers(&mut self) -> Option<String> {
        self.context.note(Event::Phase { name: "stopping".to_owned() });
        self.tell(SupervisorMsg::StopConsumers);
        let waited = self.until_done(STOP_LIMIT, |status| status.consumers_over).await;
        (waited == Waited::TooLong).then(|| {
            format!(
                "not every consumer stopped within {} s and its client was not closed: a handler is still busy with \
                 its record, or the broker does not answer",
                STOP_LIMIT.as_secs()
            )
        })
    }
}

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Happened,
    TooLong,
    Interrupted,
}

/// Printed at the first signal of a run.
pub const KEEPING: &str = "stopping and saving results";

/// Starts to listen for signals. The value becomes true with the first signal, after which `answer` is printed. The
/// second signal ends the process, which lists what it leaves behind.
///
/// A thread of its own listens, so that a signal is noticed even while the control plane waits for a broker. No signal
/// is missed after the return of this function.
pub fn listen(answer: &'static str, leftovers: &Leftovers) -> watch::Receiver<bool> {
    let (heard, interrupted) = watch::channel(false);
    let leftovers = leftovers.clone();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let listening = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            let mut signals = Signals::listen();
            let _ = ready.send(());
            let name = signals.next().await;
            say(&format!("{name}: {answer}; press Ctrl-C again to quit now"));
            heard.send_replace(true);
            signals.next().await;
            leave_screen();
            let left = leftovers.lines();
            if !left.is_empty() {
                say(&format!("stopped before everything was taken back:\n  {}", left.join("\n  ")));
            }
            stop_at_once();
        });
    });
    match listening {
        // A thread that has ended without a message is not waited for.
        Ok(_) => _ = is_ready.recv_timeout(READY_LIMIT),
        Err(error) => tracing::warn!(%error, "a signal will end the process at once"),
    }
    interrupted
}

/// Time limit for the start of that thread.
const READY_LIMIT: Duration = Duration::from_secs(5);

#[expect(clippy::exit, clippy::disallowed_methods, reason = "the user asked twice")]
fn stop_at_once() {
    std::process::exit(Exit::Interrupted as i32);
}

/// The signals that end a run. A signal that cannot be listened to keeps its default, which ends the process.
#[cfg(unix)]
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        // A process that was started with `nohup`, or in the background of a script, ignores the signal.
        let listen = |kind: SignalKind| match is_ignored(kind.as_raw_value()) {
            true => None,
            false => signal(kind).ok(),
        };
        Signals {
            interrupt: listen(SignalKind::interrupt()),
            terminate: listen(SignalKind::terminate()),
            hang_up: listen(SignalKind::hangup()),
        }
    }

    /// Waits for the next signal, and returns its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            () = heard(&mut self.interrupt) => "interrupted",
            () = heard(&mut self.terminate) => "terminated",
            () = heard(&mut self.hang_up) => "hung up",
        }
    }
}

#[cfg(unix)]
async fn heard(signal: &mut Option<tokio::signal::unix::Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending::<()>().await;
    }
}

/// True if the process was started with a signal ignored: bit `number - 1` of `SigIgn` in `proc_pid_status(5)`.
#[cfg(target_os = "linux")]
fn is_ignored(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(number - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_ignored(_number: i32) -> bool {
    false
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Signals {
        Signals
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "interrupted"
    }
}

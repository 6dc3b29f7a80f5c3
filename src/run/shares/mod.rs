//! A run by several processes. They communicate in a control topic on the cluster itself, agree on run, clock, start
//! and end, and exchange their measurements.
//!
//! Every wait has a time limit. A process that was silent for ten seconds is not waited for.

mod clock_offset;
mod control_topic;
mod conversation;
mod merging;
mod message;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

pub use self::merging::{merge, plan_of};

use self::clock_offset::ClockReading;
use self::control_topic::{ControlTopic, control_plan, control_topic};
use self::conversation::{Conversation, OwnIdentity, SILENCE};
use self::message::SharePhase;
use super::administrator::{administrator_of, environment, make_cluster, rendered};
use crate::base::{Clock, Leftovers, Offset, PartitionId, RunId, Share, Time, machine_clock};
use crate::broker::ClusterPort;
use crate::broker::settings::{ClientFile, ClientSettings};
use crate::broker::setup::{Administrator, Deadline};
use crate::error::Error;
use crate::measure::{Measurements, ShareClock, SharePart};
use crate::plan::Plan;
use crate::summary::Summary;

/// Time between two checks for a message of the others.
const LOOK: Duration = Duration::from_millis(10);
/// Time between two checks whether share 1 has created the control topic.
const PAUSE: Duration = Duration::from_millis(250);
/// Time from the decision to start to the first due record. The decision must reach every process before.
const LEAD: Duration = Duration::from_millis(1_500);
/// Time for which share 1 waits for the others before it deletes the control topic.
const LEAVE: Duration = Duration::from_secs(5);

/// The values with which a run in real time begins.
pub(super) struct Beginning {
    pub(super) clock: Clock,
    pub(super) run: RunId,
    /// Becomes true when the run is to end.
    pub(super) interrupted: watch::Receiver<bool>,
    /// The other processes; `None` if there are none.
    pub(super) shared: Option<Arc<SharedRun>>,
}

/// This process's membership in a run of several processes.
pub(super) struct SharedRun {
    share: Share,
    digest: String,
    topic: Mutex<Option<ControlTopic>>,
    admin: Mutex<Option<Box<dyn Administrator>>>,
    /// The clock of the conversation's times, which began before the clock of the run was known.
    own_clock: Clock,
    startup: Duration,
    leftovers: Leftovers,
    leftover: String,
    /// This process's part, once it is known.
    part: Mutex<Option<SharePart>>,
}

impl SharedRun {
    /// Creates or finds the control topic, and joins the run of share 1. `clock` and `run` are those of a run by this
    /// process alone.
    pub(super) async fn join(
        plan: &Arc<Plan>,
        share: Share,
        client: ClientFile,
        (clock, run): (Clock, RunId),
        interrupted: watch::Receiver<bool>,
        leftovers: &Leftovers,
    ) -> Result<Beginning, Error> {
        let deadline = Deadline::new(clock, plan.times.startup, interrupted.clone());
        let (its_plan, own, left) = (plan.clone(), deadline.clone(), leftovers.clone());
        let control = tokio::runtime::Handle::current();
        let opening = tokio::task::spawn_blocking(move || {
            control.block_on(open(&its_plan, share, client, (clock, run), &own, &left))
        });
        let (admin, cluster, leftover) =
            opening.await.unwrap_or_else(|panic| Err(Error::Bug(panic.to_string())))?;
        let reading = machine_clock().zip(clock.epoch_on_machine()).map(|(machine, epoch)| {
            let (epoch_ns, bound_ns) = epoch;
            ClockReading { machine, epoch_ns, bound_ns }
        });
        let digest = digest(plan);
        let identity = OwnIdentity {
            share,
            process: run.0.max(1),
            digest: digest.clone(),
            scenario: in_words(plan),
            clock: reading,
            run,
        };
        let (ends, both) = watch::channel(false);
        let conversation = Conversation::new(identity, clock.now());
        let topic = ControlTopic::start(conversation, cluster, clock, interrupted, ends)
            .map_err(|error| Error::Environment(format!("no thread for the shares: {error}")))?;
        let shared = SharedRun {
            share,
            digest,
            topic: Mutex::new(Some(topic)),
            admin: Mutex::new(share.is_first().then_some(admin)),
            own_clock: clock,
            startup: plan.times.startup,
            leftovers: leftovers.clone(),
            leftover,
            part: Mutex::default(),
        };
        match shared.wait_to_join(&deadline).await {
            Ok((clock, run)) => {
                Ok(Beginning { clock, run, interrupted: both, shared: Some(Arc::new(shared)) })
            }
            Err(error) => {
                shared.leave(Some(&error)).await;
                Err(error)
            }
        }
    }

    /// Waits until share 1 has accepted this process. Returns the clock and the id of the run.
    async fn wait_to_join(&self, deadline: &Deadline) -> Result<(Clock, RunId), Error> {
        let what = "share 1 has not answered";
        let run = self.wait(deadline, what, |talk, _| talk.joined()).await?;
        let more = self.with(|talk| {
            let (other_less_own_ns, _) = talk.offset().other_less_own_ns();
            talk.clock_is_set();
            other_less_own_ns
        });
        Ok((self.own_clock.with_earlier_epoch(more.unwrap_or(0)), run))
    }

    /// Notes that share 1 has created the topic.
    pub(super) fn topic_is_ready(&self) {
        self.reach(SharePhase::TopicReady);
    }

    /// Waits until share 1 has created the topic. Share 1 itself does not wait.
    pub(super) async fn wait_for_topic(&self, deadline: &Deadline) -> Result<(), Error> {
        let is_there =
            |talk: &mut Conversation, _| talk.first_has(SharePhase::TopicReady).then_some(());
        self.wait(deadline, "share 1 has not made the topic", is_there).await
    }

    /// Notes that the consumers of this process are ready, and waits for those of all others. Returns the start of the
    /// load, in the time of the run.
    pub(super) async fn wait_for_start(&self, clock: Clock) -> Result<Time, Error> {
        self.reach(SharePhase::Ready);
        let deadline = Deadline::of(self.own_clock, self.startup);
        let is_first = self.share.is_first();
        let start = |talk: &mut Conversation, now| {
            let is_complete = talk.unheard().is_empty()
                && talk.waits_for(SharePhase::Ready, now).is_empty()
                && talk.lost(now).is_empty();
            if is_first && is_complete && talk.start().is_none() {
                talk.decide_start(clock.now() + LEAD);
            }
            talk.start()
        };
        self.wait(&deadline, "not all shares are ready", start).await
    }

    /// Notes that this process has sent all its records, and waits for the others, so that no more records are appended
    /// to the topic. Returns warnings for the user.
    pub(super) async fn wait_for_sends(&self, limit: Duration) -> Vec<String> {
        self.wait_for_all(SharePhase::Sent, limit).await
    }

    /// Sends the bounds of the unread records of the own partitions, waits for those of the others, and counts the
    /// unread records among those that this process has sent. Returns warnings.
    pub(super) async fn agree_on_positions(
        &self,
        measurements: &Measurements,
        limit: Duration,
    ) -> Vec<String> {
        let own = measurements.own_cells();
        let own = own.map(|(id, _)| (id, measurements.unread_bounds(id))).collect();
        self.with(|talk| talk.tell_positions(own));
        let warnings = self.wait_for_all(SharePhase::Read, limit).await;
        let others: BTreeMap<PartitionId, (Offset, Offset)> =
            self.with(|talk| talk.positions()).unwrap_or_default();
        measurements.count_unread(&others);
        warnings
    }

    /// Sends this process's part, and waits for the parts of the others. Returns all parts that arrived, and the
    /// reasons for the missing ones.
    pub(super) async fn exchange(
        &self,
        part: SharePart,
    ) -> (Vec<SharePart>, BTreeMap<u32, String>) {
        let text = serde_json::to_vec(&part).unwrap_or_default();
        let is_told = self.with(|talk| talk.tell_part(&text)).unwrap_or(false);
        if !is_told {
            tracing::warn!(
                bytes = text.len(),
                "this share's part is too large for the control topic"
            );
        }
        *self.part.lock().unwrap_or_else(PoisonError::into_inner) = Some(part.clone());
        let warnings = self.wait_for_all(SharePhase::Told, LEAVE).await;
        let mut lost = self.with(|talk| talk.lost(self.own_clock.now())).unwrap_or_default();
        let told = self.with(|talk| talk.parts()).unwrap_or_default();
        let mut parts = vec![part];
        for text in told {
            match serde_json::from_slice::<SharePart>(&text) {
                Ok(other) if other.digest == self.digest => parts.push(other),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the part of another share cannot be read"),
            }
        }
        parts.sort_by_key(|part| part.share);
        for share in Share::all(self.share.count) {
            if !parts.iter().any(|part| part.share == share) {
                let why = warnings.first().map_or("its part did not come", String::as_str);
                lost.entry(share.number).or_insert_with(|| why.to_owned());
            }
        }
        lost.retain(|number, _| !parts.iter().any(|part| part.share.number == *number));
        (parts, lost)
    }

    /// This process's part, once it is known.
    pub(super) fn part(&self) -> Option<SharePart> {
        self.part.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The state of this process's clock.
    fn clock(&self) -> ShareClock {
        let known = self.with(|talk| (talk.offset().is_same(), talk.offset().left_ns()));
        let (is_same, (offset_ns, bound_ns)) = known.unwrap_or_default();
        let offset_ns = if is_same { 0 } else { offset_ns };
        ShareClock { machine: machine_clock(), is_same, offset_ns, bound_ns }
    }

    /// A part of this process without measurements. `alone` is the summary of this process alone.
    pub(super) fn empty_part(&self, alone: Summary) -> SharePart {
        SharePart {
            digest: self.digest.clone(),
            host: host_name(),
            clock: self.clock(),
            alone,
            ..SharePart::empty(self.share)
        }
    }

    /// Sends the positions of these measurements to the others from now on.
    pub(super) fn share_positions(&self, measurements: &Arc<Measurements>) {
        if let Some(topic) = &*self.topic.lock().unwrap_or_else(PoisonError::into_inner) {
            topic.share_positions(measurements.clone());
        }
    }

    /// The reason why the run is to end, if a process has sent one.
    pub(super) fn stopped(&self) -> Option<String> {
        self.with(|talk| talk.stopped().map(str::to_owned)).flatten()
    }

    /// Ends the conversation. An `error` of this process ends the run of the others. Share 1 removes the control topic.
    pub(super) async fn leave(&self, error: Option<&Error>) {
        if let Some(error) = error {
            let text = error.to_string();
            self.with(|talk| talk.stop(text.lines().next().unwrap_or_default()));
        }
        self.reach(SharePhase::Left);
        if self.share.is_first() {
            let limit = self.own_clock.now() + LEAVE;
            let is_waited_for = || {
                let now = self.own_clock.now();
                let others = self.with(|talk| talk.waits_for(SharePhase::Left, now));
                let unheard = self.with(|talk| match talk.has_refused() {
                    true => 0,
                    false => talk.unheard().len(),
                });
                let unheard = unheard.unwrap_or(0);
                now < limit && others.is_some_and(|others| others.len() > unheard)
            };
            while is_waited_for() {
                tokio::time::sleep(LOOK).await;
            }
        }
        // Dropping the topic writes its last messages.
        let topic = self.topic.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = tokio::task::spawn_blocking(move || drop(topic)).await;
        let admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut admin) = admin {
            match admin.delete_topic().await {
                Ok(()) => self.leftovers.remove(&self.leftover),
                Err(error) => self.leftovers.explain(&self.leftover, &error.to_string()),
            }
        }
    }

    fn reach(&self, phase: SharePhase) {
        let now = self.own_clock.now();
        self.with(|talk| talk.reach(phase, now));
    }

    /// Calls `act` with the conversation; `None` if it has ended.
    fn with<T>(&self, act: impl FnOnce(&mut Conversation) -> T) -> Option<T> {
        let topic = self.topic.lock().unwrap_or_else(PoisonError::into_inner);
        topic.as_ref().map(|topic| act(&mut topic.lock()))
    }

    fn failure(&self) -> Option<String> {
        let topic = self.topic.lock().unwrap_or_else(PoisonError::into_inner);
        topic.as_ref().and_then(ControlTopic::failure)
    }

    /// Waits before the load until `look` returns a value.
    async fn wait<T>(
        &self,
        deadline: &Deadline,
        what: &str,
        mut look: impl FnMut(&mut Conversation, Time) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            let now = self.own_clock.now();
            if let Some(found) = self.with(|talk| look(talk, now)).flatten() {
                return Ok(found);
            }
            if let Some(why) = self.with(|talk| talk.refused().map(str::to_owned)).flatten() {
                return Err(Error::Input(why));
            }
            if deadline.is_interrupted() {
                return Err(Error::Interrupted);
            }
            let failed =
                self.stopped().or_else(|| Some(format!("the control topic: {}", self.failure()?)));
            if let Some(why) = failed {
                return Err(Error::Environment(why));
            }
            if deadline.is_over() {
                return Err(Error::Environment(self.not_there(what, deadline.passed(), now)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The text about missing processes, with a remedy.
    fn not_there(&self, what: &str, waited: Duration, now: Time) -> String {
        let lost = self.with(|talk| talk.lost(now)).unwrap_or_default();
        let lost = lost.iter().map(|(number, why)| format!("share {number}: {why}"));
        let unheard = self.with(|talk| talk.unheard()).unwrap_or_default();
        let unheard =
            unheard.iter().map(|share| format!("share {} was not heard of", share.number));
        let late = self.with(|talk| talk.waits_for(SharePhase::Ready, now)).unwrap_or_default();
        let heard: Vec<String> = lost.chain(unheard).collect();
        let heard = match heard.is_empty() {
            true => late.iter().map(|number| format!("share {number} is not ready")).collect(),
            false => heard,
        };
        format!(
            "{what} within {} s ({}); start all of them, from `--share 1/{n}` to `--share {n}/{n}`, with the same \
             scenario, `topic.name` and cluster, or raise `run.startup`",
            waited.as_secs(),
            heard.join(", "),
            n = self.share.count
        )
    }

    /// Notes that this process has reached `phase`, and waits for all others that are not lost. Returns a warning for
    /// each process that did not reach it in time.
    async fn wait_for_all(&self, phase: SharePhase, limit: Duration) -> Vec<String> {
        self.reach(phase);
        let until = self.own_clock.now() + limit + SILENCE;
        loop {
            let now = self.own_clock.now();
            let waits_for = self.with(|talk| talk.waits_for(phase, now)).unwrap_or_default();
            if let Some(failure) = self.failure() {
                return vec![format!("the control topic: {failure}")];
            }
            if waits_for.is_empty() || now > until {
                let late = waits_for.iter().map(|number| {
                    format!("share {number} was not waited for any longer; see its own output")
                });
                return late.collect();
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Creates the control topic, or waits for it, and returns the ports to it.
async fn open(
    plan: &Arc<Plan>,
    share: Share,
    client: ClientFile,
    (clock, run): (Clock, RunId),
    deadline: &Deadline,
    leftovers: &Leftovers,
) -> Result<(Box<dyn Administrator>, Arc<dyn ClusterPort>, String), Error> {
    let name = control_topic(&plan.topic.name.resolve(run));
    let bootstrap = plan.broker.bootstrap.clone().unwrap_or_default();
    let control = Arc::new(control_plan(plan, &name));
    let settings = ClientSettings::new(&control, &bootstrap, run, client)
        .map_err(|refused| Error::Input(rendered(plan, &refused)))?;
    let mut admin = administrator_of(&control, &settings, &bootstrap, &name, clock)?;
    let mut found = admin.connect(deadline).map_err(environment)?;
    let leftover = format!(
        "topic `{name}`, in which shares meet, was created by this run and may still be there"
    );
    if share.is_first() {
        if found.partitions.is_some() {
            return Err(Error::Environment(format!(
                "topic `{name}` is there already: a run of these shares goes on, or one was killed; wait for its end, or \
                 remove the topic with `lanekeeper clean --bootstrap {bootstrap}`"
            )));
        }
        let remedy = format!("remove it with `lanekeeper clean --bootstrap {bootstrap}`");
        leftovers.add(leftover.clone(), remedy);
        admin.create_topic(&control.topic, &found, deadline).await.map_err(environment)?;
    }
    while !share.is_first() && found.partitions.is_none() {
        if deadline.is_interrupted() {
            return Err(Error::Interrupted);
        }
        if deadline.is_over() {
            return Err(Error::Environment(format!(
                "share 1 was not there within {} s; start it with `--share 1/{}`, the same scenario, `topic.name` and \
                 cluster, or raise `run.startup`",
                deadline.passed().as_secs(),
                share.count
            )));
        }
        std::thread::sleep(PAUSE.min(deadline.left()));
        found = admin.connect(deadline).map_err(environment)?;
    }
    let cluster = make_cluster((&control, run), &settings, (&bootstrap, &name), clock, None)?;
    Ok((admin, cluster, leftover))
}

/// Name of the machine; `None` if the system does not report it.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

/// Hash of what all processes of a run must have in common.
fn digest(plan: &Plan) -> String {
    let parts = (&plan.source, &plan.overrides, plan.seed.0, plan.broker.client().name());
    let text = serde_json::to_vec(&(parts, env!("CARGO_PKG_VERSION"))).unwrap_or_default();
    format!("{:016x}", xxh3_64(&text))
}

/// The same as a text for messages.
fn in_words(plan: &Plan) -> String {
    let set = match plan.overrides.is_empty() {
        true => String::new(),
        false => format!(" with {}", plan.overrides.join(" ")),
    };
    format!(
        "`{}`{set}, seed {}, client {}, version {}",
        plan.name,
        plan.seed.0,
        plan.broker.client(),
        env!("CARGO_PKG_VERSION")
    )
}

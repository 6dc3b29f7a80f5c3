//! Faults of the cluster: its brokers, their links in the simulator, the topic, and commands of the user's own.

use std::fmt::Write;
use std::time::Duration;

use toml::Value as Toml;

use super::effect::{BrokerChange, ClusterFault, ExecPlan, FaultEffect, LinkSide, PartitionFault};
use super::kind::{FaultDraw, FaultFacts, FaultKind, Hits, Lasts, Planned, brokers, draw_ms};
use super::targets::{Aim, BrokerAim, PartitionAim, Pick};
use crate::base::{PARTITIONS_MAX, Random, format_duration};
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, codes};

/// `broker_down`
pub(super) struct BrokerDown;

impl FaultKind for BrokerDown {
    type Keys = BrokerAim;
    const NAME: &'static str = "broker_down";
    const DOC: &'static str = "Brokers of the embedded cluster are unreachable for `for`; brokers of the simulator \
                               crash and restart.";
    const EXAMPLE: &'static str = "{ broker = 1 }";
    const VERB: &'static str = "take down";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Broker)];

    fn plan(keys: &At<BrokerAim>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_own_cluster(Self::NAME, keys.key, found);
        brokers(&keys.value.broker, BrokerChange::Down, Some(BrokerChange::Up))
    }
}

section! {
    /// Brokers that answer later.
    BrokerRtt {
        /// Brokers, from 1.
        broker: Pick = required, 1;
        /// Time added to each response.
        delay: Duration = required, "50ms";
    }
}

impl FaultKind for BrokerRtt {
    type Keys = BrokerRtt;
    const NAME: &'static str = "broker_rtt";
    const DOC: &'static str =
        "Brokers of the embedded cluster or the simulator delay their responses for `for`.";
    const EXAMPLE: &'static str = "{ broker = 1, delay = \"50ms\" }";
    const VERB: &'static str = "slow down";
    const DRAWS: &'static [FaultDraw] =
        &[FaultDraw::lasting(Hits::Broker)
            .with(|keys, random| draw_ms(keys, "delay", 200, random))];

    fn plan(keys: &At<BrokerRtt>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_own_cluster(Self::NAME, keys.key, found);
        let (_, delay) = (keys.value.broker.as_ref()?, keys.value.delay.as_ref()?);
        let range = Duration::from_millis(1)..=Duration::from_secs(60);
        let reason = "the embedded cluster counts whole milliseconds";
        let key = GivenKey::new("broker_rtt.delay", Some(delay));
        let delay = found.duration(key, delay.value, range, reason);
        let end = BrokerChange::Rtt(Duration::ZERO);
        let planned = brokers(&keys.value.broker, BrokerChange::Rtt(delay), Some(end))?;
        Some(planned.described(format!(" +{}", format_duration(delay))))
    }
}

/// `broker_pause`
pub(super) struct BrokerPause;

impl FaultKind for BrokerPause {
    type Keys = BrokerAim;
    const NAME: &'static str = "broker_pause";
    const DOC: &'static str =
        "Brokers of the simulator pause for `for` (as with SIGSTOP); requests wait.";
    const EXAMPLE: &'static str = "{ broker = 1 }";
    const VERB: &'static str = "pause";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Broker)];

    fn plan(keys: &At<BrokerAim>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        brokers(&keys.value.broker, BrokerChange::Pause, Some(BrokerChange::GoOn))
    }
}

section! {
    /// Brokers with a slow disk.
    SlowDisk {
        /// Brokers, from 1.
        broker: Pick = required, 1;
        /// Time added to each append.
        add: Duration = required, "20ms";
    }
}

impl FaultKind for SlowDisk {
    type Keys = SlowDisk;
    const NAME: &'static str = "slow_disk";
    const DOC: &'static str =
        "Each append to the disks of brokers of the simulator takes longer for `for`.";
    const EXAMPLE: &'static str = "{ broker = 1, add = \"20ms\" }";
    const VERB: &'static str = "slow down";
    const DRAWS: &'static [FaultDraw] =
        &[FaultDraw::lasting(Hits::Broker).with(|keys, random| draw_ms(keys, "add", 20, random))];

    fn plan(keys: &At<SlowDisk>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        let (_, add) = (keys.value.broker.as_ref()?, keys.value.add.as_ref()?);
        let range = Duration::from_micros(1)..=Duration::from_secs(60);
        let reason = "a disk that needs longer is broken";
        let key = GivenKey::new("slow_disk.add", Some(add));
        let add = found.duration(key, add.value, range, reason);
        let end = BrokerChange::SlowDisk(Duration::ZERO);
        let planned = brokers(&keys.value.broker, BrokerChange::SlowDisk(add), Some(end))?;
        Some(planned.described(format!(" +{}", format_duration(add))))
    }
}

section! {
    /// Brokers with bad links.
    Link {
        /// Brokers, from 1.
        broker: Pick = required, 1;
        /// Time added to each message to or from clients and other brokers.
        delay: Duration = ("none"), "50ms";
        /// Share of messages between clients and the broker that is lost. TCP sends a lost message again after 200 ms,
        /// then after twice as long each time; messages behind it wait.
        loss: f64 = ("none"), 0.05;
        /// Share of the producers' batches that arrives twice.
        duplicate: f64 = ("none"), 0.1;
    }
}

impl FaultKind for Link {
    type Keys = Link;
    const NAME: &'static str = "link";
    const DOC: &'static str = "Links of brokers of the simulator degrade for `for`. At least one of `delay`, `loss` \
                               and `duplicate`.";
    const EXAMPLE: &'static str = "{ broker = 1, loss = 0.05 }";
    const VERB: &'static str = "degrade";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Broker).with(|keys, random| {
        draw_ms(keys, "delay", 50, random);
        for key in ["loss", "duplicate"] {
            keys.insert(key.to_owned(), drawn_share(random));
        }
    })];

    fn plan(keys: &At<Link>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        let Link { broker, delay, loss, duplicate } = &keys.value;
        if delay.is_none() && loss.is_none() && duplicate.is_none() {
            let message = "`link` does not say what is wrong";
            found.push(
                Diagnostic::error(codes::MISSING_KEY, keys.origin, message)
                    .remedy("add `delay`, `loss` or `duplicate`, for example `loss = 0.05`"),
            );
        }
        let range = Duration::from_micros(1)..=Duration::from_secs(60);
        let delay = delay.as_ref().map_or(Duration::ZERO, |at| {
            let reason = "a link that takes longer is cut";
            found.duration(GivenKey::new("link.delay", Some(at)), at.value, range, reason)
        });
        let reason = "it is a share of the messages; `link_cut` lets nothing pass";
        let loss = found.number(GivenKey::new("link.loss", loss.as_ref()), 0.0, 0.0..=0.9, reason);
        let reason = "it is a share of the batches";
        let key = GivenKey::new("link.duplicate", duplicate.as_ref());
        let duplicate = found.number(key, 0.0, 0.0..=1.0, reason);
        let says_something = keys.value.delay.is_some() || loss != 0.0 || duplicate != 0.0;
        let share = keys.value.loss.as_ref().or(keys.value.duplicate.as_ref());
        if let Some(at) = share.filter(|_| !says_something) {
            let message = "`link` with shares of 0 changes nothing";
            found.push(
                Diagnostic::error(codes::NO_EFFECT, at.origin, message).remedy(
                    "choose a share above 0, for example `loss = 0.05`, or remove the fault",
                ),
            );
        }
        let begin = BrokerChange::Link { delay, loss, duplicate };
        let end = BrokerChange::Link { delay: Duration::ZERO, loss: 0.0, duplicate: 0.0 };
        let planned = brokers(broker, begin, Some(end))?;
        Some(planned.described(described(delay, loss, duplicate)))
    }
}

fn described(delay: Duration, loss: f64, duplicate: f64) -> String {
    let mut details = String::new();
    if !delay.is_zero() {
        let _ = write!(details, " +{}", format_duration(delay));
    }
    if loss > 0.0 {
        let _ = write!(details, " {loss} lost");
    }
    if duplicate > 0.0 {
        let _ = write!(details, " {duplicate} twice");
    }
    details
}

/// A random share from 0 to 0.2, in hundredths.
fn drawn_share(random: &mut Random) -> Toml {
    Toml::Float((random.unit() * 20.0).round() / 100.0)
}

section! {
    /// Brokers whose links are cut.
    LinkCut {
        /// Brokers, from 1.
        broker: Pick = required, 1;
        /// The other end of the cut links.
        side: LinkSide = "all", "brokers";
    }
}

impl FaultKind for LinkCut {
    type Keys = LinkCut;
    const NAME: &'static str = "link_cut";
    const DOC: &'static str = "No message passes on links of brokers of the simulator for `for`. Connections stay open \
                               until a timeout closes them.";
    const EXAMPLE: &'static str = "{ broker = 1, side = \"brokers\" }";
    const VERB: &'static str = "cut off";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Broker).with(|keys, random| {
        let side = ["clients", "brokers", "all"][random.below(3) as usize];
        keys.insert("side".to_owned(), Toml::String(side.to_owned()));
    })];

    fn plan(keys: &At<LinkCut>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        let side = keys.value.side.as_ref().map_or(LinkSide::All, |at| at.value);
        let end = BrokerChange::Join(side);
        let planned = brokers(&keys.value.broker, BrokerChange::Cut(side), Some(end))?;
        Some(planned.described(format!(" to {}", side.word())))
    }
}

/// `link_reset`
pub(super) struct LinkReset;

impl FaultKind for LinkReset {
    type Keys = BrokerAim;
    const NAME: &'static str = "link_reset";
    const DOC: &'static str = "Every client connection to brokers of the simulator is reset; responses in flight are \
                               lost.";
    const EXAMPLE: &'static str = "{ broker = 1 }";
    const VERB: &'static str = "disconnect";
    const IS_OVER_AT_ONCE: bool = true;
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::at_once(Hits::Broker)];

    fn plan(keys: &At<BrokerAim>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        brokers(&keys.value.broker, BrokerChange::Reset, None)
    }
}

/// `half_open`
pub(super) struct HalfOpen;

impl FaultKind for HalfOpen {
    type Keys = BrokerAim;
    const NAME: &'static str = "half_open";
    const DOC: &'static str = "Client connections to brokers of the simulator lose every message from now on, and \
                               neither side is notified.";
    const EXAMPLE: &'static str = "{ broker = 1 }";
    const VERB: &'static str = "cut off";
    const IS_OVER_AT_ONCE: bool = true;
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::at_once(Hits::Broker)];

    fn plan(keys: &At<BrokerAim>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        brokers(&keys.value.broker, BrokerChange::HalfOpen, None)
    }
}

section! {
    /// A topic's new size.
    Grow {
        /// New number of partitions, existing ones included.
        partitions: u64 = required, 24;
    }
}

impl FaultKind for Grow {
    type Keys = Grow;
    const NAME: &'static str = "grow";
    const DOC: &'static str = "Adds partitions to the topic; only to a topic this run created.";
    const EXAMPLE: &'static str = "{ partitions = 24 }";
    const IS_FAILURE: bool = false;
    const IS_OVER_AT_ONCE: bool = true;

    fn plan(keys: &At<Grow>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        if !facts.broker.capability().can_grow {
            let message = format!("the {} cluster cannot grow a topic", facts.broker);
            found.push(
                Diagnostic::error(codes::WRONG_BROKER, keys.key, message)
                    .remedy("use `--broker kafka` or `--broker sim`, or remove the fault"),
            );
        }
        facts.needs_own_topic(Self::NAME, keys.key, found);
        if let Some(every) = &facts.schedule.every {
            let message = "`grow` happens once: it names the topic's new size";
            found.push(
                Diagnostic::error(codes::NO_EFFECT, every.key, message)
                    .remedy("remove it, and write a `[[fault]]` for each size"),
            );
        }
        let (given, most) = (keys.value.partitions.as_ref(), PARTITIONS_MAX as u32);
        let reason = "each partition has a consumer and histograms of its own";
        let partitions = found.count(GivenKey::new("grow.partitions", given), 1, 1..=most, reason);
        let size = facts.partitions_by_then;
        if let Some(given) = given.filter(|_| partitions <= size) {
            let message =
                format!("`grow.partitions` is {partitions}, and the topic has {size} by then");
            found.push(
                Diagnostic::error(codes::CONFLICT, given.origin, message)
                    .remedy("a topic only grows: choose more"),
            );
        }
        let effect = FaultEffect::Cluster(ClusterFault::Grow(partitions));
        let planned = Planned::new(effect, Lasts::Never, Aim::Cluster);
        Some(planned.described(format!(" to {partitions} partitions")))
    }
}

/// `delete_records`
pub(super) struct DeleteRecords;

impl FaultKind for DeleteRecords {
    type Keys = PartitionAim;
    const NAME: &'static str = "delete_records";
    const DOC: &'static str =
        "Deletes all records of partitions, read or not; only of a topic this run created.";
    const EXAMPLE: &'static str = "{ partition = 3 }";
    const VERB: &'static str = "delete records of";
    const IS_OVER_AT_ONCE: bool = true;

    fn plan(
        keys: &At<PartitionAim>,
        facts: &FaultFacts<'_>,
        found: &mut Findings,
    ) -> Option<Planned> {
        if !facts.broker.capability().deletes_records {
            let message = format!("the {} cluster cannot delete records", facts.broker);
            found.push(
                Diagnostic::error(codes::WRONG_BROKER, keys.key, message)
                    .remedy("use `--broker kafka`, or remove the fault"),
            );
        }
        facts.needs_own_topic(Self::NAME, keys.key, found);
        keys.value.planned(PartitionFault::DeleteRecords, Lasts::Never)
    }
}

section! {
    /// Commands and their arguments. No shell is involved.
    Exec {
        /// Command that runs when the fault begins.
        start: Vec<At<String>> = required, ["docker", "kill", "broker-2"];
        /// Command that runs when `for` has passed, or at the end of the run, also if it is interrupted.
        end: Vec<At<String>> = ("none"), ["docker", "start", "broker-2"];
        /// A command that takes longer is killed, with every process it has started.
        limit: Duration = "30s", "10s";
        /// Ids of the brokers that are down between the two commands, none in an empty list. A fault that would stop more
        /// brokers than the topic's replicas allow is refused.
        brokers: Vec<At<u64>> = ("not known, and not counted"), [2];
        /// Allows more brokers down at once than `topic.replication_factor` and `topic.min_insync_replicas` do.
        allow_outage: bool = false, true;
    }
}

impl FaultKind for Exec {
    type Keys = Exec;
    const NAME: &'static str = "exec";
    const DOC: &'static str = "Runs commands of your own; needs `--allow-exec`.";
    const EXAMPLE: &'static str = "{ start = [\"docker\", \"kill\", \"broker-2\"], end = [\"docker\", \"start\", \"broker-2\"] }";

    fn plan(keys: &At<Exec>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        if facts.broker.capability().is_modelled {
            let message = "the simulator does not model `exec`";
            found.push(
                Diagnostic::error(codes::NOT_SIMULATED, keys.key, message)
                    .remedy("use `--broker embedded`, or remove the fault"),
            );
        }
        let capability = facts.broker.capability();
        if capability.is_elsewhere && keys.value.brokers.is_none() {
            let message = "`exec` does not say which brokers it stops";
            found.push(
                Diagnostic::warning(codes::MISSING_KEY, keys.key, message)
                    .label("so it may stop more than the topic's replicas allow")
                    .remedy("add their ids, for example `brokers = [2]`; `brokers = []` if it stops none"),
            );
        }
        let plan = commands(keys, found)?;
        let lasts = if plan.end.is_empty() { Lasts::May } else { Lasts::Must };
        let mut details = format!(" {}", typed(&plan.start));
        if !plan.end.is_empty() {
            details = format!("{details}, then {}", typed(&plan.end));
        }
        let planned = Planned::new(FaultEffect::Exec(plan), lasts, Aim::Cluster);
        Some(planned.described(details))
    }
}

fn commands(exec: &At<Exec>, found: &mut Findings) -> Option<ExecPlan> {
    let Exec { start, end, limit, brokers, allow_outage } = &exec.value;
    let words = |command: &Option<At<Vec<At<String>>>>| -> Vec<String> {
        let words = command.iter().flat_map(|at| at.value.iter());
        words.map(|word| word.value.clone()).collect()
    };
    for (key, command) in [("start", start), ("end", end)] {
        let Some(command) = command else { continue };
        if command.value.first().is_none_or(|program| program.value.trim().is_empty()) {
            let message = format!("`exec.{key}` names no program");
            found.push(
                Diagnostic::error(codes::MISSING_KEY, command.origin, message)
                    .remedy("for example `[\"docker\", \"kill\", \"broker-2\"]`"),
            );
            return None;
        }
    }
    let default = Duration::from_secs(30);
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    let reason = "a command that hangs must not hang the run";
    let limit = found.duration(GivenKey::new("exec.limit", limit.as_ref()), default, range, reason);
    start.as_ref()?;
    let brokers = brokers.iter().flat_map(|at| at.value.iter());
    let brokers = brokers.filter_map(|id| broker_id(id, found)).collect();
    let allow_outage = allow_outage.as_ref().is_some_and(|at| at.value);
    Some(ExecPlan { start: words(start), end: words(end), limit, brokers, allow_outage })
}

/// The `node.id` of a broker, which is not negative and has 31 bits. Adds a diagnostic and returns `None` otherwise.
fn broker_id(given: &At<u64>, found: &mut Findings) -> Option<u32> {
    let id = i32::try_from(given.value).ok().map(i32::unsigned_abs);
    if id.is_none() {
        let message = format!("{} is no id of a broker", given.value);
        let diagnostic = Diagnostic::error(codes::OUT_OF_RANGE, given.origin, message);
        found.push(diagnostic.remedy("give its `node.id`; `check --connect` prints the ids"));
    }
    id
}

impl ExecPlan {
    /// The start command for a message: its words with spaces between, quoted where it is necessary.
    pub fn start_typed(&self) -> String {
        typed(&self.start)
    }
}

fn typed(command: &[String]) -> String {
    let quoted = command.iter().map(|word| match word.contains([' ', '"', '\'']) {
        true => format!("{word:?}"),
        false => word.clone(),
    });
    format!("`{}`", quoted.collect::<Vec<_>>().join(" "))
}

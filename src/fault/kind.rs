//! The definition of a kind of fault, and the facts about the scenario that it needs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use toml::{Table, Value as Toml};

use super::effect::{BrokerChange, ConsumerFault, FaultEffect, PartitionFault};
use super::targets::{Aim, ConsumerAim, PartitionAim, Pick, TargetCounts};
use crate::base::{BrokerKind, Random};
use crate::reader::section::section;
use crate::reader::tree::Entry;
use crate::reader::{
    At, Diagnostic, Fallback, Field, Findings, Origin, Section, Value, ValueContext, codes,
};

/// A kind of fault.
pub trait FaultKind {
    /// The keys of the kind in a scenario.
    type Keys: Section + Send + Sync + 'static;
    /// Its name in scenarios and results.
    const NAME: &'static str;
    /// Its description in the reference.
    const DOC: &'static str;
    /// Its keys as they would be written in a scenario.
    const EXAMPLE: &'static str;
    /// The action on its targets, as in "there is no consumer 7 to kill".
    const VERB: &'static str = Self::NAME;
    /// The way in which it ends its target consumers; `None` if it does not end them.
    const ENDS: Option<Ending> = None;
    /// True if it is a failure: it may end a consumer or a pool.
    const IS_FAILURE: bool = true;
    /// True if it is over at once and ends no consumer or pool, so that there is no recovery to wait for.
    const IS_OVER_AT_ONCE: bool = false;
    /// The end of its description if it has no `for`.
    const WITHOUT_FOR: &'static str = "";
    /// The draws of `explore`; empty if `explore` does not use the kind.
    const DRAWS: &'static [FaultDraw] = &[];
    /// The effect and the targets. Errors in the keys are added to `found`.
    fn plan(keys: &At<Self::Keys>, facts: &FaultFacts<'_>, found: &mut Findings)
    -> Option<Planned>;
}

/// The way in which a fault ends a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Without any cleanup: a group member ends without leaving the group.
    Crash,
    /// Gracefully.
    Stop,
}

/// The rule of a kind for the key `for`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// `for` is not allowed: the fault is over at once.
    Never,
    /// `for` is optional.
    May,
    /// `for` is required.
    Must,
}

/// The effect and the targets of a `[[fault]]`.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The effect.
    pub effect: FaultEffect,
    /// The settings for descriptions: empty, or with a leading space.
    pub details: String,
    /// The rule for the key `for`.
    pub lasts: Lasts,
    /// Its targets.
    pub aim: Aim,
}

impl Planned {
    /// A fault without settings in its description.
    pub fn new(effect: FaultEffect, lasts: Lasts, aim: Aim) -> Planned {
        Planned { effect, details: String::new(), lasts, aim }
    }

    /// Adds settings to the description.
    #[must_use]
    pub fn described(self, details: String) -> Planned {
        Planned { details, ..self }
    }
}

/// The facts about a scenario that kinds need.
#[derive(Clone, Copy, Debug)]
pub struct FaultFacts<'a> {
    /// The kind of cluster.
    pub broker: BrokerKind,
    /// The number of possible targets of each kind.
    pub there: TargetCounts,
    /// Number of the topic's partitions after all faults before this one.
    pub partitions_by_then: u32,
    /// True if consumers are members of a group.
    pub is_group: bool,
    /// The topic's name; `None` if the run chooses one.
    pub topic_name: Option<&'a str>,
    /// Messages per second of the whole load; `None` at maximum rate.
    pub per_second: Option<f64>,
    /// True if producers are idempotent.
    pub idempotence: bool,
    /// True if the scenario has work for records.
    pub has_work: bool,
    /// The times of this fault.
    pub schedule: &'a FaultSchedule,
}

impl FaultFacts<'_> {
    /// Refuses a kind that only the simulator supports.
    pub(super) fn needs_simulator(&self, kind: &str, key: Origin, found: &mut Findings) {
        let broker = self.broker;
        if !broker.capability().is_modelled {
            let message = format!("`{kind}` needs a simulated cluster");
            found.push(
                Diagnostic::error(codes::WRONG_BROKER, key, message)
                    .label(format!("not possible with `--broker {broker}`"))
                    .remedy("use `--broker sim`, or `exec` with your own commands"),
            );
        }
    }

    /// Refuses a kind that is not possible on a cluster outside lanekeeper.
    pub(super) fn needs_own_cluster(&self, kind: &str, key: Origin, found: &mut Findings) {
        let broker = self.broker;
        if !broker.capability().breaks_on_demand {
            let message = format!("`{kind}` needs a cluster that lanekeeper runs itself");
            found.push(
                Diagnostic::error(codes::WRONG_BROKER, key, message)
                    .label(format!("with `--broker {broker}` the brokers are yours"))
                    .remedy(
                        "use `exec` with your own commands, `--broker sim` or `--broker embedded`",
                    ),
            );
        }
    }

    /// Refuses a kind that destroys or changes data in a topic that the run did not create.
    pub(super) fn needs_own_topic(&self, kind: &str, key: Origin, found: &mut Findings) {
        if let Some(name) = self.topic_name {
            let message = format!("`{kind}` needs a topic of the run's own");
            found.push(
                Diagnostic::error(codes::CONFLICT, key, message)
                    .label(format!("`{name}` may hold data of others"))
                    .remedy("remove `topic.name`"),
            );
        }
    }
}

/// A draw of `explore`: the targets of a kind, and its other settings.
#[derive(Clone, Copy, Debug)]
pub struct FaultDraw {
    /// The targets.
    pub hits: Hits,
    /// True if the fault has a duration.
    pub lasts: bool,
    /// Adds the other keys of the kind.
    pub settings: fn(&mut Table, &mut Random),
}

/// The kind of a draw's targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hits {
    /// Consumers.
    Consumer,
    /// Producer pools.
    Pool,
    /// Brokers.
    Broker,
    /// The cluster as a whole.
    Cluster,
}

impl FaultDraw {
    /// A draw of a kind that is over at once.
    pub(super) const fn at_once(hits: Hits) -> FaultDraw {
        FaultDraw { hits, lasts: false, settings: |_, _| () }
    }

    /// A draw of a kind with a duration.
    pub(super) const fn lasting(hits: Hits) -> FaultDraw {
        FaultDraw { hits, lasts: true, settings: |_, _| () }
    }

    /// Adds settings to the draw.
    pub(super) const fn with(self, settings: fn(&mut Table, &mut Random)) -> FaultDraw {
        FaultDraw { settings, ..self }
    }
}

section! {
    /// When a fault happens.
    FaultSchedule {
        /// Time of the fault, counted from the start of the load, warmup included.
        at: Duration = required, "30s";
        /// Duration of the fault. Kinds that end at once have none.
        span as "for": Duration = ("until its kind is over"), "5s";
        /// Repeats the fault at this interval while the load lasts.
        every: Duration = ("it happens once"), "10s";
        /// Moves each repetition earlier or later by up to this duration. At most half of `every`.
        jitter: Duration = ("none"), "2s";
    }
}

/// The function [`FaultKind::plan`] with the keys of a `[[fault]]`.
pub(super) type PlanKeys = dyn Fn(&FaultFacts<'_>, &mut Findings) -> Option<Planned> + Send + Sync;

/// The kind of a `[[fault]]`, with its keys.
#[derive(Clone)]
pub struct WrittenKind {
    /// The kind.
    pub info: &'static KindInfo,
    /// The place of its key.
    pub key: Origin,
    pub(super) plan: Arc<PlanKeys>,
}

impl WrittenKind {
    /// The effect and the targets. Errors in the keys are added to `found`.
    pub fn plan(&self, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        (self.plan)(facts, found)
    }
}

impl fmt::Debug for WrittenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info.name())
    }
}

impl ConsumerAim {
    /// A fault of these consumers; `None` if the key is missing.
    pub(super) fn planned(&self, fault: ConsumerFault, lasts: Lasts) -> Option<Planned> {
        let aim = Aim::Consumers(self.consumer.clone()?.value);
        Some(Planned::new(FaultEffect::Consumers(fault), lasts, aim))
    }
}

impl PartitionAim {
    /// A fault of these partitions; `None` if the key is missing.
    pub(super) fn planned(&self, fault: PartitionFault, lasts: Lasts) -> Option<Planned> {
        let aim = Aim::Partitions(self.partition.clone()?.value);
        Some(Planned::new(FaultEffect::Partitions(fault), lasts, aim))
    }
}

/// A fault of these brokers; `None` if the key is missing. The fault has a duration if `end` is given.
pub(super) fn brokers(
    pick: &Option<At<Pick>>,
    begin: BrokerChange,
    end: Option<BrokerChange>,
) -> Option<Planned> {
    let aim = Aim::Brokers(pick.clone()?.value);
    let lasts = if end.is_some() { Lasts::Must } else { Lasts::Never };
    Some(Planned::new(FaultEffect::Brokers { begin, end }, lasts, aim))
}

/// Draws a time of 1 to `most` milliseconds for a key.
pub(super) fn draw_ms(keys: &mut Table, key: &str, most: u64, random: &mut Random) {
    keys.insert(key.to_owned(), Toml::String(format!("{}ms", 1 + random.below(most))));
}

/// The entry of a kind in the registry.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// Its key in a `[[fault]]`.
    pub field: Field,
    /// The action on its targets.
    pub verb: &'static str,
    /// The way in which it ends its target consumers; `None` if it does not end them.
    pub ends: Option<Ending>,
    /// True if it may end a consumer or a pool.
    pub is_failure: bool,
    /// True if there is no recovery to wait for.
    pub is_over_at_once: bool,
    /// The end of its description if it has no `for`.
    pub without_for: &'static str,
    /// The draws of `explore`.
    pub draws: &'static [FaultDraw],
    pub(super) read: fn(
        &'static KindInfo,
        &Entry,
        ValueContext<'_>,
        &mut Vec<Diagnostic>,
    ) -> Option<WrittenKind>,
}

impl KindInfo {
    /// The entry of the kind `K`.
    pub const fn of<K: FaultKind>() -> KindInfo {
        KindInfo {
            field: Field {
                key: K::NAME,
                was: None,
                doc: K::DOC,
                fallback: Fallback::Depends("none"),
                example: K::EXAMPLE,
                wanted: <K::Keys as Value>::wanted,
                schema: <K::Keys as Value>::schema,
                fields: <K::Keys as Value>::fields,
            },
            verb: K::VERB,
            ends: K::ENDS,
            is_failure: K::IS_FAILURE,
            is_over_at_once: K::IS_OVER_AT_ONCE,
            without_for: K::WITHOUT_FOR,
            draws: K::DRAWS,
            read: read::<K>,
        }
    }

    /// Its name in scenarios and results.
    pub fn name(&self) -> &'static str {
        self.field.key
    }
}

fn read<K: FaultKind>(
    info: &'static KindInfo,
    entry: &Entry,
    place: ValueContext<'_>,
    out: &mut Vec<Diagnostic>,
) -> Option<WrittenKind> {
    let keys = At::<K::Keys>::read(entry, place, out)?;
    let key = keys.key;
    Some(WrittenKind {
        info,
        key,
        plan: Arc::new(move |facts, found| K::plan(&keys, facts, found)),
    })
}

/// The kind of a fault in a plan, with its settings.
#[derive(Clone)]
pub struct KindPlan {
    info: &'static KindInfo,
    details: String,
    /// The effect.
    pub effect: FaultEffect,
}

impl KindPlan {
    /// The kind with this effect and these settings.
    pub fn new(info: &'static KindInfo, effect: FaultEffect, details: String) -> KindPlan {
        KindPlan { info, details, effect }
    }

    /// The fault's name in scenarios and results.
    pub fn name(&self) -> &'static str {
        self.info.name()
    }

    /// The end of the description of a fault without `for`.
    pub fn without_for(&self) -> &'static str {
        self.info.without_for
    }

    /// True if the fault ends consumers, by a crash or gracefully.
    pub fn ends_consumer(&self) -> bool {
        self.info.ends.is_some()
    }

    /// True if the fault ends a group member without leaving the group.
    pub fn is_crash(&self) -> bool {
        self.info.ends == Some(Ending::Crash)
    }

    /// True if the fault is no failure: it ends no consumer and no pool.
    pub fn is_no_failure(&self) -> bool {
        !self.info.is_failure
    }

    /// True if the fault is over at once and ends no consumer or pool, so that there is no recovery to wait for.
    pub fn is_over_at_once(&self) -> bool {
        self.info.is_over_at_once
    }
}

/// The name and the settings.
impl fmt::Display for KindPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name(), self.details)
    }
}

impl fmt::Debug for KindPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}: {:?}", self.effect)
    }
}

impl PartialEq for KindPlan {
    fn eq(&self, other: &KindPlan) -> bool {
        (self.name(), &self.effect) == (other.name(), &other.effect)
    }
}

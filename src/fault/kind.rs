//! What a kind of fault says about itself, and what it is told about the scenario.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use toml::{Table, Value as Toml};

use super::effect::{BrokerChange, ConsumerFault, FaultEffect, PartitionFault};
use super::targets::{Aim, ConsumerAim, PartitionAim, Pick, There};
use crate::base::{BrokerKind, Random};
use crate::reader::section::section;
use crate::reader::tree::Entry;
use crate::reader::{
    At, Diagnostic, Fallback, Field, Findings, Origin, Place, Section, Value, codes,
};

/// A kind of fault.
pub trait FaultKind {
    /// What is written for it.
    type Keys: Section + Send + Sync + 'static;
    /// Its name in scenarios and results.
    const NAME: &'static str;
    /// What it does, for the reference.
    const DOC: &'static str;
    /// Its keys as they would be written.
    const EXAMPLE: &'static str;
    /// What it does to its targets, as in "there is no consumer 7 to kill".
    const VERB: &'static str = Self::NAME;
    /// How it ends the consumers it hits, if it does.
    const ENDS: Option<Ending> = None;
    /// Whether it is a failure: a consumer or a pool can end of it.
    const IS_FAILURE: bool = true;
    /// Whether it is over as soon as it is done and ends no consumer or pool, so that there is nothing to wait for.
    const IS_OVER_AT_ONCE: bool = false;
    /// How its description ends if it has no `for`.
    const WITHOUT_FOR: &'static str = "";
    /// How `explore` draws it; not at all if this is empty.
    const DRAWS: &'static [FaultDraw] = &[];
    /// What it does. Whatever is wrong with its keys is added to `found`.
    fn plan(keys: &At<Self::Keys>, facts: &FaultFacts<'_>, found: &mut Findings)
    -> Option<Planned>;
}

/// How a fault ends a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Without any clean-up: a group member goes without leaving the group.
    Crash,
    /// In order.
    Stop,
}

/// Whether a kind takes the key `for`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// It is over at once.
    Never,
    /// It has a meaning without.
    May,
    /// It needs one.
    Must,
}

/// What a `[[fault]]` does, and to what.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What it does.
    pub effect: FaultEffect,
    /// Its settings, for descriptions: empty, or with a space in front.
    pub details: String,
    /// Whether it takes the key `for`.
    pub lasts: Lasts,
    /// Its targets.
    pub aim: Aim,
}

impl Planned {
    /// A fault without settings.
    pub fn new(effect: FaultEffect, lasts: Lasts, aim: Aim) -> Planned {
        Planned { effect, details: String::new(), lasts, aim }
    }

    /// With settings in its description.
    #[must_use]
    pub fn described(self, details: String) -> Planned {
        Planned { details, ..self }
    }
}

/// What kinds have to know of the scenario.
#[derive(Clone, Copy, Debug)]
pub struct FaultFacts<'a> {
    /// Where the records go.
    pub broker: BrokerKind,
    /// The numbers of possible targets.
    pub there: There,
    /// Partitions of the topic after all faults before this one.
    pub partitions_by_then: u32,
    /// Whether consumers are members of a group.
    pub is_group: bool,
    /// The topic's name, if the scenario names it.
    pub topic_name: Option<&'a str>,
    /// Messages per second of the whole load; `None` at maximum rate.
    pub per_second: Option<f64>,
    /// Whether producers are idempotent.
    pub idempotence: bool,
    /// Whether processing a record costs something.
    pub has_work: bool,
    /// When this fault happens.
    pub schedule: &'a FaultSchedule,
}

impl FaultFacts<'_> {
    /// Refuses what only the simulator can do.
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

    /// Refuses what cannot be done to a cluster that runs elsewhere.
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

    /// Refuses a kind that destroys or changes what others may have in a topic.
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

/// How `explore` draws a kind: the targets, and the settings besides.
#[derive(Clone, Copy, Debug)]
pub struct FaultDraw {
    /// Its targets.
    pub hits: Hits,
    /// Whether it lasts.
    pub lasts: bool,
    /// Adds what the kind needs besides its targets.
    pub settings: fn(&mut Table, &mut Random),
}

/// What a kind hits.
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
    /// A kind that is over at once.
    pub(super) const fn at_once(hits: Hits) -> FaultDraw {
        FaultDraw { hits, lasts: false, settings: |_, _| () }
    }

    /// A kind that lasts.
    pub(super) const fn lasting(hits: Hits) -> FaultDraw {
        FaultDraw { hits, lasts: true, settings: |_, _| () }
    }

    /// With settings.
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

/// [`FaultKind::plan`] with its keys.
pub(super) type PlanKeys = dyn Fn(&FaultFacts<'_>, &mut Findings) -> Option<Planned> + Send + Sync;

/// A kind as a `[[fault]]` has it.
#[derive(Clone)]
pub struct WrittenKind {
    /// Which kind.
    pub info: &'static KindInfo,
    /// Where its key was written.
    pub key: Origin,
    pub(super) plan: Arc<PlanKeys>,
}

impl WrittenKind {
    /// What it does. Whatever is wrong with its keys is added to `found`.
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
    /// A fault of these consumers.
    pub(super) fn planned(&self, fault: ConsumerFault, lasts: Lasts) -> Option<Planned> {
        let aim = Aim::Consumers(self.consumer.clone()?.value);
        Some(Planned::new(FaultEffect::Consumers(fault), lasts, aim))
    }
}

impl PartitionAim {
    /// A fault of these partitions.
    pub(super) fn planned(&self, fault: PartitionFault, lasts: Lasts) -> Option<Planned> {
        let aim = Aim::Partitions(self.partition.clone()?.value);
        Some(Planned::new(FaultEffect::Partitions(fault), lasts, aim))
    }
}

/// A fault of these brokers: it lasts if there is an end to it.
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

/// A kind's line in the registry.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// Its key in a `[[fault]]`.
    pub field: Field,
    /// What it does to its targets.
    pub verb: &'static str,
    /// How it ends the consumers it hits, if it does.
    pub ends: Option<Ending>,
    /// Whether a consumer or a pool can end of it.
    pub is_failure: bool,
    /// Whether there is nothing to wait for.
    pub is_over_at_once: bool,
    /// How its description ends if it has no `for`.
    pub without_for: &'static str,
    /// How `explore` draws it.
    pub draws: &'static [FaultDraw],
    pub(super) read:
        fn(&'static KindInfo, &Entry, Place<'_>, &mut Vec<Diagnostic>) -> Option<WrittenKind>,
}

impl KindInfo {
    /// What `K` says about itself.
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
    place: Place<'_>,
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

/// A kind with its settings, as it is in a plan.
#[derive(Clone)]
pub struct KindPlan {
    info: &'static KindInfo,
    details: String,
    /// What it does.
    pub effect: FaultEffect,
}

impl KindPlan {
    /// The kind with these settings.
    pub fn new(info: &'static KindInfo, effect: FaultEffect, details: String) -> KindPlan {
        KindPlan { info, details, effect }
    }

    /// The fault's name in scenarios and results.
    pub fn name(&self) -> &'static str {
        self.info.name()
    }

    /// How the description of a fault of this kind ends if it has no `for`.
    pub fn without_for(&self) -> &'static str {
        self.info.without_for
    }

    /// Whether it ends consumers, by a crash or in order.
    pub fn ends_consumer(&self) -> bool {
        self.info.ends.is_some()
    }

    /// Whether a group member it hits goes without leaving the group.
    pub fn is_crash(&self) -> bool {
        self.info.ends == Some(Ending::Crash)
    }

    /// Whether it is no failure: no consumer and no pool can end of it.
    pub fn is_no_failure(&self) -> bool {
        !self.info.is_failure
    }

    /// Whether it is over as soon as it is done and ends no consumer or pool, so that there is nothing to wait for.
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

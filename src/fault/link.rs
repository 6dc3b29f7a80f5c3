//! Faults of the links of brokers in the simulator.

use std::fmt::Write;
use std::time::Duration;

use toml::Value as Toml;

use super::effect::{BrokerChange, LinkSide};
use super::kind::{FaultDraw, FaultFacts, FaultKind, Hits, Planned, brokers, draw_ms};
use super::targets::{BrokerAim, Pick};
use crate::base::{Random, format_duration};
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, codes};

section! {
    /// Brokers with bad links.
    Link {
        /// From 1.
        broker: Pick = required, 1;
        /// Added to each message to or from clients and other brokers.
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
    const VERB: &'static str = "cut off";
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

/// From nothing to a fifth, in hundredths.
fn drawn_share(random: &mut Random) -> Toml {
    Toml::Float((random.unit() * 20.0).round() / 100.0)
}

section! {
    /// Brokers whose links are cut.
    LinkCut {
        /// From 1.
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
    const VERB: &'static str = "cut off";
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

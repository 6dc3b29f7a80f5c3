//! Random settings that the scenario does not set: network, cluster, sizes and timeouts.
//!
//! Each seed has a random subset of them, as with [faults](super::swarm). The bounds keep a case small: some hundred
//! records per second for some seconds. Numbers are drawn log-uniformly.

use Role::{Condition, OfGroups, Size};
use Unit::{Bytes, Count, Membership, Microseconds, Milliseconds, Protocol, Rate};
use toml::{Table, Value};

use crate::base::{Random, Seed};
use crate::plan::{GroupPlan, Plan, SimPlan};

/// A drawn setting of a case.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) key: &'static Key,
    pub(super) value: u64,
}

/// A key whose value is drawn.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    unit: Unit,
    /// Default value; `None` if the default is no number.
    default: Option<u64>,
    /// Smallest value.
    least: u64,
    most: u64,
    pub(super) role: Role,
}

/// The role of a key, which decides how the setting is made simpler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A condition of the run. Its default is its simplest value.
    Condition,
    /// A size of the run. The smallest value is the simplest one.
    Size,
    /// A condition that only groups have.
    OfGroups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Microseconds,
    Milliseconds,
    Count,
    Bytes,
    /// Records per 1000 seconds.
    Rate,
    /// 0 for the classic protocol, 1 for the consumer protocol.
    Protocol,
    /// 0 for dynamic members, 1 for static ones.
    Membership,
}

macro_rules! keys {
    ($($section:ident . $name:ident: $role:ident $unit:ident $least:literal..=$most:literal, $default:expr;)*) => {
        [$(Key {
            section: stringify!($section),
            name: stringify!($name),
            unit: $unit,
            default: $default,
            least: $least,
            most: $most,
            role: $role,
        }),*]
    };
}

/// Keys in the order in which they are drawn.
static KEYS: [Key; 29] = keys! {
    run.warmup: Size Milliseconds 0..=2_000, Some(5_000);
    run.duration: Size Milliseconds 3_000..=20_000, Some(60_000);
    topic.partitions: Size Count 1..=12, Some(18);
    load.producers: Size Count 1..=40, Some(1_024);
    load.rate: Size Rate 500..=50_000, Some(2_000);
    load.pools: Condition Count 1..=3, Some(1);
    load.payload: Condition Bytes 48..=2_048, Some(100);
    load.linger: Condition Milliseconds 1..=100, Some(0);
    sim.brokers: Condition Count 1..=5, Some(3);
    topic.replication_factor: Condition Count 1..=3, None;
    topic.min_insync_replicas: Condition Count 1..=3, Some(1);
    sim.broker_cores: Condition Count 1..=4, Some(4);
    sim.request_cost: Condition Microseconds 5..=500, Some(40);
    sim.latency: Condition Microseconds 10..=50_000, Some(60);
    sim.jitter: Condition Microseconds 1..=50_000, Some(20);
    sim.bandwidth: Condition Bytes 131_072..=16_777_216, None;
    sim.broker_session: Condition Milliseconds 1_000..=9_000, Some(9_000);
    sim.replica_lag_max: Condition Milliseconds 500..=30_000, Some(30_000);
    sim.leader_balance: Condition Milliseconds 500..=300_000, Some(300_000);
    sim.request_timeout: Condition Milliseconds 500..=30_000, Some(30_000);
    sim.message_timeout: Condition Milliseconds 10_000..=300_000, Some(300_000);
    sim.retry_backoff: Condition Milliseconds 1..=1_000, Some(100);
    sim.client_start: Condition Microseconds 100..=1_000_000, Some(6_500);
    sim.host_cores: Condition Count 1..=8, Some(8);
    consumers.batch: Condition Count 1..=256, Some(256);
    consumers.commit_interval: OfGroups Milliseconds 10..=5_000, Some(1_000);
    consumers.session_timeout: OfGroups Milliseconds 500..=10_000, Some(6_000);
    consumers.max_poll_interval: OfGroups Milliseconds 10_000..=300_000, Some(300_000);
    restart.backoff: Condition Milliseconds 1..=1_000, Some(200);
};

/// Keys of groups that are drawn from a random branch of their own, so that they do not change the values of the
/// others.
static PROTOCOL_KEYS: [Key; 4] = keys! {
    consumers.protocol: OfGroups Protocol 0..=1, Some(0);
    sim.group_session_timeout: OfGroups Milliseconds 500..=10_000, Some(45_000);
    sim.group_heartbeat_interval: OfGroups Milliseconds 100..=3_000, Some(5_000);
    consumers.membership: OfGroups Membership 0..=1, Some(0);
};

/// Largest rate of all producers if the rate is drawn, in records per 1000 seconds.
const RATE_MAX: u64 = 600_000;
/// Smallest number of one-way network delays in a timeout. A connection takes four of them, and a long delay is seven
/// times the mean. With a shorter timeout no client would ever get a response.
const TRIPS: u64 = 30;
/// Smallest number of heartbeats in a session of the consumer protocol.
const BEATS: u64 = 3;
/// Bytes of a fetch response, for each partition. If a connection cannot carry them within a timeout, it is closed
/// before the response is complete, again after each reconnect.
const FETCHED_BYTES: u64 = 1 << 20;

/// The keys that are drawn, and the values of the plan.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    open: Vec<&'static Key>,
    of_protocol: Vec<&'static Key>,
    /// Values that apply where nothing is drawn.
    usual: Usual,
}

/// Values on which the bounds of timeouts depend.
#[derive(Clone, Copy, Debug, Default)]
struct Usual {
    producers: u64,
    partitions: u64,
    latency_us: u64,
    jitter_us: u64,
    bandwidth: Option<u64>,
    request_timeout_ms: u64,
    /// Session timeout of a group with the classic protocol.
    session_ms: Option<u64>,
    has_consumer_protocol: bool,
    /// Session timeout of groups with the consumer protocol.
    group_session_ms: u64,
}

impl Settings {
    /// The keys that `fixed` does not contain. `fixed` is a table of sections with keys.
    pub(super) fn new(plan: &Plan, fixed: &Table) -> Settings {
        let is_written = |key: &Key| {
            let section = fixed.get(key.section).and_then(Value::as_table);
            section.is_some_and(|section| section.contains_key(key.name))
        };
        let is_open = |key: &&'static Key| {
            (key.role != OfGroups || plan.group().is_some()) && !is_written(key)
        };
        let of_protocol = PROTOCOL_KEYS.iter().filter(is_open).collect();
        let open = KEYS.iter().filter(is_open).collect();
        Settings { open, of_protocol, usual: Usual::of(plan) }
    }

    /// No keys, so that nothing is drawn.
    pub(super) fn none() -> Settings {
        Settings { open: Vec::new(), of_protocol: Vec::new(), usual: Usual::default() }
    }

    /// Section and name of each key.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.open.iter().chain(&self.of_protocol).map(|key| (key.section, key.name))
    }

    /// The settings of a seed: every size that is open, and each condition in half of the seeds.
    pub(super) fn draw(&self, seed: Seed) -> Vec<Setting> {
        let mut all: Vec<Setting> = Vec::new();
        for (keys, branch) in [(&self.of_protocol, "protocol"), (&self.open, "settings")] {
            let mut random = seed.child(branch, 0).random();
            for &key in keys {
                let value = key.draw(&mut random);
                let is_wanted = key.role == Size || random.below(2) == 0;
                if is_wanted {
                    all.push(Setting { key, value });
                }
            }
        }
        // The timeouts of the other protocol have no effect.
        let is_consumer = self.has_consumer_protocol(&all);
        all.retain(|one| match one.key.name {
            "session_timeout" => !is_consumer,
            "group_session_timeout" | "group_heartbeat_interval" => is_consumer,
            _ => true,
        });
        self.fit(&mut all);
        all
    }

    fn has_consumer_protocol(&self, all: &[Setting]) -> bool {
        let drawn = all.iter().find(|one| one.key.name == "protocol").map(|one| one.value == 1);
        drawn.unwrap_or(self.usual.has_consumer_protocol)
    }

    /// Changes values with which a run would make no progress, or would be too large.
    fn fit(&self, all: &mut [Setting]) {
        let usual = self.usual;
        let value = |all: &[Setting], name| {
            all.iter().find(|one| one.key.name == name).map(|one| one.value)
        };
        let change = |all: &mut [Setting], name, change: &dyn Fn(u64) -> u64| {
            let one = all.iter_mut().find(|one| one.key.name == name);
            one.into_iter().for_each(|one| one.value = change(one.value));
        };
        let rate_max = RATE_MAX / value(all, "producers").unwrap_or(usual.producers).max(1);
        change(all, "rate", &|rate| rate.min(rate_max));
        let trip_us = value(all, "latency").unwrap_or(usual.latency_us)
            + value(all, "jitter").unwrap_or(usual.jitter_us);
        let answer_ms = 500 + TRIPS * trip_us / 1_000;
        let answer_bytes = FETCHED_BYTES * value(all, "partitions").unwrap_or(usual.partitions);
        let carried_ms = usual.bandwidth.map_or(0, |a_second| 2_000 * answer_bytes / a_second);
        change(all, "request_timeout", &|ms| ms.max(answer_ms + carried_ms));
        change(all, "session_timeout", &|ms| ms.max(answer_ms + carried_ms));
        let beat_ms = value(all, "group_heartbeat_interval").unwrap_or(0);
        let least_ms = (answer_ms + carried_ms).max(BEATS * beat_ms);
        change(all, "group_session_timeout", &|ms| ms.max(least_ms));
        let timeout_ms = value(all, "request_timeout").unwrap_or(usual.request_timeout_ms);
        // Heartbeats to the coordinator wait behind fetch responses.
        let session_ms = match self.has_consumer_protocol(all) {
            true => value(all, "group_session_timeout").unwrap_or(usual.group_session_ms),
            false => value(all, "session_timeout").or(usual.session_ms).unwrap_or(u64::MAX),
        };
        let left_ms = timeout_ms.saturating_sub(answer_ms).min(session_ms / 4).max(100);
        change(all, "bandwidth", &|a_second| a_second.max(2_000 * answer_bytes / left_ms));
    }
}

impl Usual {
    fn of(plan: &Plan) -> Usual {
        let Some(SimPlan { latency, jitter, bandwidth, client, consumer_groups, .. }) =
            &plan.broker.sim
        else {
            return Usual::default();
        };
        Usual {
            producers: plan.load.producers.into(),
            partitions: plan.topic.partitions.into(),
            latency_us: latency.as_micros() as u64,
            jitter_us: jitter.as_micros() as u64,
            bandwidth: *bandwidth,
            request_timeout_ms: client.request_timeout.as_millis() as u64,
            has_consumer_protocol: plan.group().is_some_and(|it| it.session_timeout().is_none()),
            group_session_ms: consumer_groups.session_timeout.as_millis() as u64,
            session_ms: plan
                .group()
                .and_then(GroupPlan::session_timeout)
                .map(|timeout| timeout.as_millis() as u64),
        }
    }
}

impl Key {
    fn draw(&self, random: &mut Random) -> u64 {
        let (least, most) = (self.least.max(1) as f64, self.most as f64);
        let drawn = least * (most / least).powf(random.unit());
        // A value of 0 has a probability of one quarter.
        if self.least == 0 && random.below(4) == 0 { 0 } else { drawn.round() as u64 }
    }

    /// The value as it is written in a scenario.
    fn write(&self, value: u64) -> Value {
        match self.unit {
            Microseconds => Value::String(format!("{value}us")),
            Milliseconds => Value::String(format!("{value}ms")),
            Count => Value::Integer(value as i64),
            Bytes => Value::String(format!("{value}B")),
            Protocol => Value::String(if value == 0 { "classic" } else { "consumer" }.to_owned()),
            Membership => Value::String(if value == 0 { "dynamic" } else { "static" }.to_owned()),
            Rate => Value::String(format!("{}/s", value as f64 / 1e3)),
        }
    }
}

impl Setting {
    /// Sets the value in a scenario.
    pub(super) fn write(&self, scenario: &mut Table) {
        let value = self.key.write(self.value);
        section(scenario, self.key.section).insert(self.key.name.to_owned(), value);
    }

    /// The distance from the default, and a function that makes the same setting with a smaller distance. `None`
    /// without a default.
    pub(super) fn distance(&self) -> Option<(u64, impl Fn(u64) -> Setting + use<>)> {
        let (key, value, default) = (self.key, self.value, self.key.default?);
        let nearer = move |distance| {
            let value = if value > default { default + distance } else { default - distance };
            Setting { key, value }
        };
        Some((value.abs_diff(default), nearer))
    }
}

/// A section of a scenario, which is created if it does not exist.
pub(super) fn section<'a>(table: &'a mut Table, name: &str) -> &'a mut Table {
    let entry = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
    if !entry.is_table() {
        *entry = Value::Table(Table::new());
    }
    match entry {
        Value::Table(section) => section,
        // The entry was made a table above.
        _ => unreachable!("a section is a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, compile};
    use crate::scenario::Source;

    fn plan(text: &str) -> Plan {
        let overrides =
            Overrides { broker: Some(crate::base::BrokerKind::SIM), ..Overrides::default() };
        let source = Source { name: "open.toml".to_owned(), text: text.to_owned() };
        let (plan, diagnostics) = compile(&source, &[], &overrides);
        plan.unwrap_or_else(|| panic!("{diagnostics:?}\n{text}"))
    }

    const GROUP: &str = "[consumers]\nmode = \"group\"\ncount = 1\n";

    #[test]
    fn what_is_written_is_not_drawn_and_groups_have_more() {
        let fixed: Table = "[sim]\nlatency = \"1ms\"\n[topic]\npartitions = 2".parse().unwrap();
        let assigned = Settings::new(&plan("[run]\nseed = 1"), &fixed);
        let names: Vec<_> = assigned.names().collect();
        assert!(!names.contains(&("sim", "latency")), "{names:?}");
        assert!(!names.contains(&("topic", "partitions")), "{names:?}");
        let group = Settings::new(&plan(GROUP), &fixed);
        assert_eq!(group.names().count(), names.len() + 7);
    }

    /// A default that differs from that of the plan would make cases larger instead of smaller.
    #[test]
    fn the_defaults_are_those_of_the_plan_and_all_bounds_are_allowed() {
        let text = |settings: &[Setting]| {
            let mut scenario: Table = GROUP.parse().unwrap();
            settings.iter().for_each(|setting| setting.write(&mut scenario));
            scenario.to_string()
        };
        let bare = Plan { source: String::new(), ..plan(GROUP) };
        for key in KEYS.iter().chain(&PROTOCOL_KEYS) {
            if let Some(value) = key.default {
                let written = plan(&text(&[Setting { key, value }]));
                let written = Plan { source: String::new(), ..written };
                assert_eq!(written, bare, "{}.{}", key.section, key.name);
            }
            for value in [key.least, key.most] {
                plan(&text(&[Setting { key, value }]));
            }
        }
    }
}

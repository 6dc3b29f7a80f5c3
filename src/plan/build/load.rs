//! The load: the records to send, and their schedule.

use std::sync::Arc;
use std::time::Duration;

use super::broker::EMBEDDED_UNPROCESSED_MAX;
use super::payload;
use crate::fault::check_rate;
use crate::plan::{
    Acks, BrokerPlan, Compression, LoadPlan, Pace, PartitionChoice, Phases, Plan, ProducerClients,
    TopicPlan,
};
use crate::reader::Findings;
use crate::reader::key;
use crate::scenario::sections::{AcksWord, CompressionWord, LoadClientsWord, PhasesWord};
use crate::scenario::target::{PartitionWord, Target};
use crate::scenario::{At, Diagnostic, Load, Origin, Rate, Scenario, codes};

/// Largest number of keys with weights.
const SKEWED_KEYS_MAX: u32 = 1_000_000;

/// The load. A payload that the client or the broker would refuse is an error.
pub(super) fn build(
    scenario: &Scenario,
    topic: &TopicPlan,
    broker: &BrokerPlan,
    found: &mut Findings,
) -> LoadPlan {
    let load = &scenario.load;
    let producers = found.count(
        key!(load.producers),
        1024,
        0..=1_000_000,
        "each producer is a schedule in memory; more than a million do not fit one process",
    );
    reads_only(scenario, producers, broker, found);
    let pace = pace(load, producers, found);
    in_all(load, producers, pace, found);
    let partition = partition_choice(load, topic, found);
    let is_keyed = matches!(partition, PartitionChoice::Keyed { .. });
    let payload = payload::build(scenario, broker, is_keyed, found);
    LoadPlan {
        producers,
        pace,
        stages: Vec::new(),
        backlog: None,
        messages: messages(load.messages.as_ref(), found),
        payload_bytes: payload.mean_bytes,
        payload_bytes_max: payload.most_bytes,
        partition,
        key_skew: key_skew(load, partition, found),
        skew: skew(load, topic, found),
        phases: phases(load, pace, found),
        pools: pools(load, producers, found),
        clients: clients(load),
        acks: acks(load),
        idempotence: idempotence(load, found),
        linger: found.duration(
            key!(load.linger),
            Duration::ZERO,
            Duration::ZERO..=Duration::from_secs(900),
            "librdkafka waits for 15 minutes at most",
        ),
        compression: compression(load.compression.as_ref(), found),
        unprocessed_bytes_max: unprocessed(load, pace, payload.most_bytes, broker, found),
        payload: Arc::new(payload.plan),
    }
}

fn pace(load: &Load, producers: u32, found: &mut Findings) -> Pace {
    let default = Pace::Paced { period: Duration::from_millis(500) };
    let total = |total| (total, "load.rate_total", f64::from(producers.max(1)));
    let (at, name, shared) = match (&load.rate_total, &load.rate) {
        // A value of the command line, or of a variant, overrides the other key of the file too.
        (Some(all), Some(each)) if rank(all.key) < rank(each.key) => (each, "load.rate", 1.0),
        (Some(all), Some(each)) if rank(all.key) > rank(each.key) => total(all),
        (Some(all), Some(_)) => {
            let message = "`load.rate` and `load.rate_total` are two rates for the same load";
            let remedy =
                "keep `rate`, the rate of each producer, or `rate_total`, that of all together";
            found.push(Diagnostic::error(codes::CONFLICT, all.key, message).remedy(remedy));
            return default;
        }
        (Some(all), None) => total(all),
        (None, Some(each)) => (each, "load.rate", 1.0),
        (None, None) => return default,
    };
    let Rate::PerSecond(rate) = at.value else {
        return Pace::Max;
    };
    let period = Duration::try_from_secs_f64(shared / rate).ok();
    match period {
        Some(period) if (1_000..=86_400_000_000_000).contains(&period.as_nanos()) => {
            Pace::Paced { period }
        }
        _ => {
            let of = if shared > 1.0 { " for each producer" } else { "" };
            let message =
                format!("`{name}` must be from one message a day to one a microsecond{of}");
            let key = name.trim_start_matches("load.");
            let remedy = match rate > 1.0 {
                true => "write `rate = \"max\"` to send as fast as possible".to_owned(),
                false => format!("for example `{key} = \"2/s\"`"),
            };
            found.push(Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message).remedy(remedy));
            default
        }
    }
}

/// The rank of a value: a later override has a higher one than an earlier override or the file.
fn rank(origin: Origin) -> usize {
    match origin {
        Origin::Override { index, .. } => index + 1,
        _ => 0,
    }
}

/// Refuses a rate that no process can send.
fn in_all(load: &Load, producers: u32, pace: Pace, found: &mut Findings) {
    let Pace::Paced { period } = pace else { return };
    let rate = load.rate_total.as_ref().or(load.rate.as_ref());
    let keys = [rate.map(|at| at.origin), load.producers.as_ref().map(|at| at.origin)];
    let origin = keys.into_iter().flatten().next().unwrap_or(Origin::WholeFile);
    check_rate("all", f64::from(producers) / period.as_secs_f64(), origin, found);
}

fn messages(given: Option<&At<u64>>, found: &mut Findings) -> Option<u64> {
    let at = given?;
    if at.value == 0 {
        let message = "`load.messages` must be at least 1";
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                .remedy("remove it to send until the run ends"),
        );
    }
    Some(at.value)
}

/// Refuses a run without producers on a broker to which no other producer can write.
fn reads_only(scenario: &Scenario, producers: u32, broker: &BrokerPlan, found: &mut Findings) {
    let Some(at) = scenario.load.producers.as_ref().filter(|_| producers == 0) else { return };
    let (message, remedy) = match (broker.capability().is_elsewhere, &scenario.topic.name) {
        (false, _) => (
            "with `producers = 0` a run reads what other producers write, and none does so here",
            "use `--bootstrap` with a cluster, or at least 1 producer",
        ),
        (true, None) => (
            "with `producers = 0` a run reads a topic that is there, and none is named",
            "set `topic.name`, or use at least 1 producer",
        ),
        (true, Some(_)) => return,
    };
    found.push(Diagnostic::error(codes::CONFLICT, at.origin, message).remedy(remedy));
}

/// The word of `load.partition`; `None` if it names a single partition.
fn partition_word(load: &Load) -> Option<PartitionWord> {
    match load.partition.as_ref().map(|at| &at.value) {
        None => Some(PartitionWord::Fixed),
        Some(Target::Choice(word)) => Some(*word),
        Some(Target::Only(_)) => None,
    }
}

/// The single partition that gets all records. It must be one of the topic's.
fn only(load: &Load, topic: &TopicPlan, found: &mut Findings) -> PartitionChoice {
    let Some(at) = &load.partition else { return PartitionChoice::Fixed };
    let Target::Only(only) = &at.value else { return PartitionChoice::Fixed };
    // A missing key is reported elsewhere.
    let Some(only) = &only.only else { return PartitionChoice::Fixed };
    let id = u32::try_from(only.value).unwrap_or(u32::MAX);
    if id >= topic.partitions {
        let message = format!(
            "`load.partition` names partition {}, and the topic has {}",
            only.value, topic.partitions
        );
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, only.origin, message)
                .remedy(format!("partitions are numbered from 0 to {}", topic.partitions - 1)),
        );
    }
    PartitionChoice::Only(id.min(topic.partitions - 1))
}

fn partition_choice(load: &Load, topic: &TopicPlan, found: &mut Findings) -> PartitionChoice {
    let choice = partition_word(load);
    let keys =
        found.count(key!(load.keys), 1_000, 1..=10_000_000, "each key has a place in a table");
    if choice != Some(PartitionWord::Keyed) {
        let works_with = "`load.partition` to `keyed`";
        found.no_effect("load.keys", load.keys.as_ref(), works_with, "this `load.partition`");
    }
    match choice {
        None => only(load, topic, found),
        Some(PartitionWord::Fixed) => PartitionChoice::Fixed,
        Some(PartitionWord::RoundRobin) => PartitionChoice::RoundRobin,
        Some(PartitionWord::Random) => PartitionChoice::Random,
        Some(PartitionWord::Keyed) => PartitionChoice::Keyed { keys },
    }
}

fn skew(load: &Load, topic: &TopicPlan, found: &mut Findings) -> f64 {
    let choice = partition_word(load);
    if !matches!(choice, Some(PartitionWord::Random | PartitionWord::Keyed)) {
        let works_with = "`load.partition` to `random` or `keyed`";
        found.no_effect("load.skew", load.skew.as_ref(), works_with, "this `load.partition`");
    }
    let remedy = format!(
        "0 is uniform; with 10 nearly everything goes to one of the {} partitions",
        topic.partitions
    );
    found.number(key!(load.skew), 0.0, 0.0..=10.0, &remedy)
}

/// The Zipf exponent of the keys' weights.
fn key_skew(load: &Load, partition: PartitionChoice, found: &mut Findings) -> f64 {
    let PartitionChoice::Keyed { keys } = partition else {
        let works_with = "`load.partition` to `keyed`";
        let now = "this `load.partition`";
        found.no_effect("load.key_skew", load.key_skew.as_ref(), works_with, now);
        return 0.0;
    };
    let reason = "0 is uniform; with 1 the second key has half of what the first one has";
    let skew = found.number(key!(load.key_skew), 0.0, 0.0..=10.0, reason);
    if let (true, Some(at)) = (skew > 0.0 && keys > SKEWED_KEYS_MAX, &load.key_skew) {
        let message = format!("`load.key_skew` goes with at most {SKEWED_KEYS_MAX} keys");
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                .remedy("set `load.keys` to less: each key has a weight in a table"),
        );
    }
    skew
}

fn phases(load: &Load, pace: Pace, found: &mut Findings) -> Phases {
    if pace == Pace::Max {
        let works_with = "`load.rate` to a rate, for example `2/s`";
        found.no_effect("load.phases", load.phases.as_ref(), works_with, "`rate = \"max\"`");
    }
    match load.phases.as_ref().map(|at| at.value) {
        Some(PhasesWord::Uniform) => Phases::Uniform,
        Some(PhasesWord::Random) | None => Phases::Random,
        Some(PhasesWord::Poisson) => Phases::Poisson,
    }
}

fn pools(load: &Load, producers: u32, found: &mut Findings) -> u32 {
    let pools = found.count(
        key!(load.pools),
        1,
        1..=1_024,
        "each pool is a thread; more than there are cores only makes them late",
    );
    if let (true, Some(at)) = (pools > producers.max(1), &load.pools) {
        let message = format!("{pools} pools are more than the {producers} producers they share");
        found.push(
            Diagnostic::error(codes::CONFLICT, at.origin, message)
                .remedy(format!("set `load.pools` to at most {}", producers.max(1))),
        );
    }
    pools
}

fn clients(load: &Load) -> ProducerClients {
    match load.clients.as_ref().map(|at| at.value) {
        None | Some(LoadClientsWord::Pool) => ProducerClients::PerPool,
        Some(LoadClientsWord::Producer) => ProducerClients::PerProducer,
    }
}

/// Largest number of producers' clients in a process. A librdkafka client has about three threads and as many
/// descriptors, and systems allow tens of thousands.
const CLIENTS_MAX: u32 = 10_000;

/// Refuses more clients than a process can have.
pub(super) fn check_clients(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let Some(at) = &scenario.load.clients else { return };
    let producers = plan.load.producers;
    let processes = plan.share.map_or(1, |share| share.count);
    if plan.load.clients == ProducerClients::PerProducer
        && producers.div_ceil(processes) > CLIENTS_MAX
    {
        let message = format!("{producers} producers cannot have a client each");
        let remedy = match plan.share {
            None => {
                "use `clients = \"pool\"`, at most 10,000 producers, or several processes (`--share`)"
            }
            Some(_) => "use `clients = \"pool\"`, or at most 10,000 producers for each process",
        };
        found.push(Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message).remedy(remedy));
    }
}

fn acks(load: &Load) -> Acks {
    match load.acks.as_ref().map(|at| at.value) {
        Some(AcksWord::All) | None => Acks::All,
        Some(AcksWord::Leader) => Acks::Leader,
        Some(AcksWord::None) => Acks::None,
    }
}

fn idempotence(load: &Load, found: &mut Findings) -> bool {
    let wanted = load.idempotence.as_ref().is_none_or(|at| at.value);
    if let (true, Some(at)) = (wanted && acks(load) != Acks::All, &load.acks) {
        let message = "an idempotent producer needs `acks = \"all\"`";
        found.push(
            Diagnostic::error(codes::CONFLICT, at.origin, message)
                .remedy("set `load.idempotence` to false, or `load.acks` to `all`"),
        );
    }
    wanted
}

fn compression(given: Option<&At<CompressionWord>>, found: &mut Findings) -> Compression {
    let Some(at) = given else {
        return Compression::None;
    };
    match at.value {
        CompressionWord::None => Compression::None,
        CompressionWord::Gzip => Compression::Gzip,
        CompressionWord::Snappy => Compression::Snappy,
        CompressionWord::Lz4 => Compression::Lz4,
        CompressionWord::Zstd => {
            if !cfg!(feature = "zstd") {
                let message = "zstd is not part of this build";
                found.push(
                    Diagnostic::error(codes::NOT_BUILT_IN, at.origin, message)
                        .remedy("build with `--features zstd`, or use `lz4`"),
                );
            }
            Compression::Zstd
        }
    }
}

fn unprocessed(
    load: &Load,
    pace: Pace,
    payload_bytes: u32,
    broker: &BrokerPlan,
    found: &mut Findings,
) -> Option<u64> {
    let given = load.unprocessed_max.as_ref();
    if pace != Pace::Max {
        let (key, now) = ("load.unprocessed_max", "a paced load, which never waits");
        found.no_effect(key, given, "`load.rate` to `max`", now);
        return None;
    }
    let is_embedded = broker.capability().partition_bytes_max.is_some();
    let Some(at) = given else {
        // A simulation keeps every record in memory, so it has a default limit as well.
        let is_own = is_embedded || broker.capability().is_modelled;
        let is_larger = u64::from(payload_bytes) > EMBEDDED_UNPROCESSED_MAX;
        let too_large = load.payload.as_ref().filter(|_| is_embedded && is_larger);
        if let Some(at) = too_large {
            let message =
                "`load.payload` is at most 2MiB at `rate = \"max\"` on the embedded cluster";
            found.push(Diagnostic::error(codes::EMBEDDED_LIMIT, at.origin, message).remedy(
                "no more of a partition may be unprocessed there: choose less, or a paced rate",
            ));
        }
        return is_own.then_some(EMBEDDED_UNPROCESSED_MAX);
    };
    if at.value.0 < u64::from(payload_bytes) {
        let message = "`load.unprocessed_max` has no room for a single message";
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                .remedy("for example `unprocessed_max = \"2MiB\"`"),
        );
    } else if is_embedded && at.value.0 > EMBEDDED_UNPROCESSED_MAX {
        let message = "`load.unprocessed_max` is at most 2MiB on the embedded cluster";
        found.push(Diagnostic::error(codes::EMBEDDED_LIMIT, at.origin, message).remedy(
            "it keeps 5 MiB per partition and drops the rest unread; use `--broker kafka` for more",
        ));
    }
    Some(at.value.0)
}

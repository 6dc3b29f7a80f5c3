//! What is sent. A payload has room for the stamp, and is no larger than client and broker take.

use std::time::Duration;

use super::broker::EMBEDDED_UNPROCESSED_MAX;
use crate::base::{
    BrokerKind, CLIENT_MESSAGE_BYTES, STAMP_BYTES, batch_payload_max, client_payload_max,
    format_count,
};
use crate::fault::check_rate;
use crate::plan::{
    Acks, BrokerPlan, Compression, LoadPlan, Pace, PartitionChoice, Phases, ProducerClients,
    TopicPlan,
};
use crate::reader::Findings;
use crate::reader::key;
use crate::scenario::sections::{
    AcksWord, CompressionWord, LoadClientsWord, PartitionWord, PhasesWord,
};
use crate::scenario::{At, Bytes, ClientSection, Diagnostic, Load, Origin, Rate, Scenario, codes};

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
        1..=1_000_000,
        "each producer is a schedule in memory; more than a million do not fit one process",
    );
    let pace = pace(load.rate.as_ref(), found);
    in_all(load, producers, pace, found);
    let payload_bytes = payload(scenario, broker, found);
    LoadPlan {
        producers,
        pace,
        messages: messages(load.messages.as_ref(), found),
        payload_bytes,
        partition: partition_choice(load, found),
        skew: skew(load, topic, found),
        phases: phases(load, pace, found),
        pools: pools(load, producers, found),
        clients: clients(load, producers, found),
        acks: acks(load),
        idempotence: idempotence(load, found),
        linger: found.duration(
            key!(load.linger),
            Duration::ZERO,
            Duration::ZERO..=Duration::from_secs(900),
            "librdkafka waits for 15 minutes at most",
        ),
        compression: compression(load.compression.as_ref(), found),
        unprocessed_bytes_max: unprocessed(load, pace, payload_bytes, broker, found),
    }
}

fn pace(given: Option<&At<Rate>>, found: &mut Findings) -> Pace {
    let default = Pace::Paced { period: Duration::from_millis(500) };
    let Some(at) = given else { return default };
    let Rate::PerSecond(rate) = at.value else {
        return Pace::Max;
    };
    let period = Duration::try_from_secs_f64(1.0 / rate).ok();
    match period {
        Some(period) if (1_000..=86_400_000_000_000).contains(&period.as_nanos()) => {
            Pace::Paced { period }
        }
        _ => {
            let message = "`load.rate` must be from one message a day to one a microsecond";
            let remedy = match rate > 1.0 {
                true => "write `rate = \"max\"` to send as fast as possible",
                false => "for example `rate = \"2/s\"`",
            };
            found.push(Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message).remedy(remedy));
            default
        }
    }
}

/// Refuses what no process can send.
fn in_all(load: &Load, producers: u32, pace: Pace, found: &mut Findings) {
    let Pace::Paced { period } = pace else { return };
    let keys =
        [load.rate.as_ref().map(|at| at.origin), load.producers.as_ref().map(|at| at.origin)];
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

fn partition_choice(load: &Load, found: &mut Findings) -> PartitionChoice {
    let choice = load.partition.as_ref().map_or(PartitionWord::Fixed, |at| at.value);
    let keys =
        found.count(key!(load.keys), 1_000, 1..=10_000_000, "each key has a place in a table");
    if choice != PartitionWord::Keyed {
        let works_with = "`load.partition` to `keyed`";
        found.no_effect("load.keys", load.keys.as_ref(), works_with, "this `load.partition`");
    }
    match choice {
        PartitionWord::Fixed => PartitionChoice::Fixed,
        PartitionWord::RoundRobin => PartitionChoice::RoundRobin,
        PartitionWord::Random => PartitionChoice::Random,
        PartitionWord::Keyed => PartitionChoice::Keyed { keys },
    }
}

fn skew(load: &Load, topic: &TopicPlan, found: &mut Findings) -> f64 {
    let choice = load.partition.as_ref().map_or(PartitionWord::Fixed, |at| at.value);
    if !matches!(choice, PartitionWord::Random | PartitionWord::Keyed) {
        let works_with = "`load.partition` to `random` or `keyed`";
        found.no_effect("load.skew", load.skew.as_ref(), works_with, "this `load.partition`");
    }
    let remedy = format!(
        "0 is uniform; with 10 nearly everything goes to one of the {} partitions",
        topic.partitions
    );
    found.number(key!(load.skew), 0.0, 0.0..=10.0, &remedy)
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
    if let (true, Some(at)) = (pools > producers, &load.pools) {
        let message = format!("{pools} pools are more than the {producers} producers they share");
        found.push(
            Diagnostic::error(codes::CONFLICT, at.origin, message)
                .remedy(format!("set `load.pools` to at most {producers}")),
        );
    }
    pools
}

fn clients(load: &Load, producers: u32, found: &mut Findings) -> ProducerClients {
    let Some(at) = load.clients.as_ref() else {
        return ProducerClients::PerPool;
    };
    // A client has some three threads and as many descriptors; systems allow tens of thousands.
    if at.value == LoadClientsWord::Producer && producers > 10_000 {
        let message = format!("{producers} producers cannot have a client each");
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                .remedy("use `clients = \"pool\"`, or at most 10,000 producers"),
        );
    }
    match at.value {
        LoadClientsWord::Pool => ProducerClients::PerPool,
        LoadClientsWord::Producer => ProducerClients::PerProducer,
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
    let is_embedded = matches!(broker, BrokerPlan::Embedded { .. });
    let Some(at) = given else {
        // A simulation keeps every record in memory, and its consumers are never too slow to be waited for.
        let is_own = is_embedded || matches!(broker, BrokerPlan::Sim(_));
        let too_large = load.payload.as_ref();
        let too_large = too_large.filter(|at| is_embedded && at.value.0 > EMBEDDED_UNPROCESSED_MAX);
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

const PAYLOAD_DEFAULT: u32 = 100;

fn payload(scenario: &Scenario, broker: &BrokerPlan, found: &mut Findings) -> u32 {
    let Some(at) = &scenario.load.payload else { return PAYLOAD_DEFAULT };
    let bytes = at.value.0;
    if bytes < STAMP_BYTES as u64 {
        let message = format!("`load.payload` of {bytes} B has no room for the stamp");
        let remedy =
            format!("the smallest is {STAMP_BYTES}B: run, producer, sequence, times, checksum");
        found.push(Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message).remedy(remedy));
        return PAYLOAD_DEFAULT;
    }
    let kind = broker.kind();
    if !fits_client(at, kind, &scenario.client, found) || !fits_broker(at, kind, found) {
        return PAYLOAD_DEFAULT;
    }
    u32::try_from(bytes).unwrap_or(PAYLOAD_DEFAULT)
}

/// Whether producers' clients take it.
fn fits_client(
    at: &At<Bytes>,
    kind: BrokerKind,
    client: &ClientSection,
    found: &mut Findings,
) -> bool {
    const NAME: &str = "message.max.bytes";
    let given = client.producer.get(NAME).or_else(|| client.common.get(NAME));
    // The simulated client has librdkafka's default, and no properties. What is no number is refused by the client.
    let given = given.filter(|_| kind != BrokerKind::Sim);
    let limit = given.and_then(|at| at.value.0.parse().ok()).unwrap_or(CLIENT_MESSAGE_BYTES);
    let largest = client_payload_max(limit);
    if at.value.0 <= largest {
        return true;
    }
    let message = format!(
        "`load.payload` of {} B is more than a client takes with `{NAME}` = {limit}",
        format_count(at.value.0)
    );
    let other = match kind {
        BrokerKind::Sim => "",
        _ => ", or set `message.max.bytes` in `[client]`",
    };
    found.push(
        Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
            .remedy(format!("the largest is {largest}B{other}")),
    );
    false
}

/// Whether the broker takes it. Another cluster's limit is known when it is asked; until then it is Kafka's default.
fn fits_broker(at: &At<Bytes>, kind: BrokerKind, found: &mut Findings) -> bool {
    let limit = kind.capability().batch_bytes_max;
    let largest = batch_payload_max(limit);
    if at.value.0 <= largest {
        return true;
    }
    let payload = format!("`load.payload` of {} B", format_count(at.value.0));
    let (remedy, takes) = (format!("the largest is {largest}B"), format_count(limit));
    let diagnostic = match kind {
        BrokerKind::Kafka => Diagnostic::warning(
            codes::OUT_OF_RANGE,
            at.origin,
            format!("{payload} is more than a broker takes by default: batches of {takes} B"),
        )
        .remedy(format!("{remedy}, unless `max.message.bytes` of the topic is higher")),
        BrokerKind::Embedded => Diagnostic::error(
            codes::EMBEDDED_LIMIT,
            at.origin,
            format!("{payload} is more than a partition of the embedded cluster keeps: {takes} B"),
        )
        .remedy(format!("{remedy}, or use `--broker kafka`")),
        BrokerKind::Sim => Diagnostic::error(
            codes::OUT_OF_RANGE,
            at.origin,
            format!("{payload} is more than a simulated broker takes: batches of {takes} B"),
        )
        .remedy(remedy),
    };
    let fits = !diagnostic.is_error();
    found.push(diagnostic);
    fits
}

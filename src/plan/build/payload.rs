//! The size of a payload: room for the stamp, and no more than client and broker take.

use crate::base::{
    BrokerKind, CLIENT_MESSAGE_BYTES, STAMP_BYTES, batch_payload_max, client_payload_max,
    format_count,
};
use crate::plan::BrokerPlan;
use crate::reader::Findings;
use crate::scenario::{At, Bytes, ClientSection, Diagnostic, Scenario, codes};

const DEFAULT: u32 = 100;

pub(super) fn build(scenario: &Scenario, broker: &BrokerPlan, found: &mut Findings) -> u32 {
    let Some(at) = &scenario.load.payload else { return DEFAULT };
    let bytes = at.value.0;
    if bytes < STAMP_BYTES as u64 {
        let message = format!("`load.payload` of {bytes} B has no room for the stamp");
        let remedy =
            format!("the smallest is {STAMP_BYTES}B: run, producer, sequence, times, checksum");
        found.push(Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message).remedy(remedy));
        return DEFAULT;
    }
    let kind = broker.kind();
    if !fits_client(at, kind, &scenario.client, found) || !fits_broker(at, kind, found) {
        return DEFAULT;
    }
    u32::try_from(bytes).unwrap_or(DEFAULT)
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

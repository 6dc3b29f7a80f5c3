//! Checks of a payload's size against the limits of client and broker.

use crate::base::{
    BrokerKind, CLIENT_MESSAGE_BYTES, batch_payload_max, client_payload_max, format_count,
};
use crate::reader::Findings;
use crate::scenario::{At, Bytes, ClientSection, Diagnostic, codes};

/// True if the producers' clients accept the size.
pub(super) fn fits_client(
    at: &At<Bytes>,
    kind: BrokerKind,
    client: &ClientSection,
    found: &mut Findings,
) -> bool {
    const NAME: &str = "message.max.bytes";
    let given = client.producer.get(NAME).or_else(|| client.common.get(NAME));
    // The simulated client has librdkafka's default, and no properties. A text that is no number is refused by the
    // client.
    let given = given.filter(|_| !kind.capability().is_modelled);
    let limit = given.and_then(|at| at.value.0.parse().ok()).unwrap_or(CLIENT_MESSAGE_BYTES);
    let largest = client_payload_max(limit);
    if at.value.0 <= largest {
        return true;
    }
    let message = format!(
        "`load.payload` of {} B is more than a client takes with `{NAME}` = {limit}",
        format_count(at.value.0)
    );
    let other = match kind.capability().is_modelled {
        true => "",
        false => ", or set `message.max.bytes` in `[client]`",
    };
    found.push(
        Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
            .remedy(format!("the largest is {largest}B{other}")),
    );
    false
}

/// True if the broker accepts the size. The limit of a cluster elsewhere is not known before the run, so Kafka's
/// default is used.
pub(super) fn fits_broker(at: &At<Bytes>, kind: BrokerKind, found: &mut Findings) -> bool {
    let capability = kind.capability();
    let limit = capability.batch_bytes_max;
    let largest = batch_payload_max(limit);
    if at.value.0 <= largest {
        return true;
    }
    let payload = format!("`load.payload` of {} B", format_count(at.value.0));
    let (remedy, takes) = (format!("the largest is {largest}B"), format_count(limit));
    let diagnostic = match (capability.is_elsewhere, capability.is_modelled) {
        (true, _) => Diagnostic::warning(
            codes::OUT_OF_RANGE,
            at.origin,
            format!("{payload} is more than a broker takes by default: batches of {takes} B"),
        )
        .remedy(format!("{remedy}, unless `max.message.bytes` of the topic is higher")),
        (false, false) => Diagnostic::error(
            codes::EMBEDDED_LIMIT,
            at.origin,
            format!("{payload} is more than a partition of the embedded cluster keeps: {takes} B"),
        )
        .remedy(format!("{remedy}, or use `--broker kafka`")),
        (false, true) => Diagnostic::error(
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

//! The summary of sending: the effective settings, and the batches as the clients count them.

use std::collections::BTreeMap;

use super::RequestLog;
use crate::summary::Sending;

/// Place in the result of the figure that is not always measured.
const RATIO_PLACE: &str = "sending.compression_ratio";

/// The settings and the counts of batches. The reason for a missing figure is added to `not_measured`.
pub(super) fn sending(
    settings: &Sending,
    requests: Option<&RequestLog>,
    is_simulated: bool,
    not_measured: &mut BTreeMap<String, String>,
) -> Sending {
    let mut sending = settings.clone();
    if let Some(requests) = requests {
        let sent = requests.batches();
        sending.batches = Some(sent.count);
        sending.batch_bytes = Some(sent.bytes);
        sending.uncompressed_bytes = Some(sent.uncompressed);
    }
    match (sending.uncompressed_bytes, sending.batch_bytes) {
        (Some(uncompressed), Some(bytes)) => {
            sending.compression_ratio = (bytes > 0).then(|| uncompressed as f64 / bytes as f64);
        }
        _ => {
            let reason = match is_simulated {
                true => "a simulation does not compress",
                false => "librdkafka does not tell how large its batches were before compression",
            };
            not_measured.insert(RATIO_PLACE.to_owned(), reason.to_owned());
        }
    }
    sending
}

/// The sending of all processes of a run: the common settings, and the sums of their batches.
pub(super) fn of_processes<'a>(
    parts: impl Iterator<Item = Option<&'a Sending>>,
) -> Option<Sending> {
    let add = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
    parts.flatten().cloned().reduce(|one, other| Sending {
        batches: add(one.batches, other.batches),
        batch_bytes: add(one.batch_bytes, other.batch_bytes),
        uncompressed_bytes: add(one.uncompressed_bytes, other.uncompressed_bytes),
        ..one
    })
}

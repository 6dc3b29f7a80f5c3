//! How records were sent, for the summary: the settings that held, and the batches as the clients count them.

use std::collections::BTreeMap;

use super::RequestLog;
use crate::summary::Sending;

/// Where the figure is in the result that is not always measured.
const RATIO_PLACE: &str = "sending.compression_ratio";

/// The settings with what batches came to. Why a figure is missing is added to `not_measured`.
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

/// How the processes of one run send: with the same settings, and batches of each.
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

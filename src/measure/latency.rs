//! The latency of a run and its parts, from what partitions and pools have measured.

use std::collections::BTreeMap;

use super::not_measured::{ACK_FIGURE, part_figure};
use super::{Collector, Latencies};
use crate::summary::{Part, RunLatency};

/// All partitions and pools merged. `unprocessed` has the ages of records that were not processed; what is in
/// `not_measured` is left out.
pub(super) fn latency(
    unprocessed: Option<&Latencies>,
    collector: &Collector,
    not_measured: &BTreeMap<String, String>,
) -> RunLatency {
    let response = collector.merged(|shard| &shard.response);
    let with_unprocessed = unprocessed.map(|ages| {
        let mut all = response.clone();
        all.merge(ages);
        all.digest()
    });
    let parts = &collector.parts;
    let part = |part: Part, measured: &Latencies| {
        (!not_measured.contains_key(&part_figure(part))).then(|| measured.digest())
    };
    RunLatency {
        response: response.digest(),
        response_with_unprocessed: with_unprocessed,
        service: collector.merged(|shard| &shard.service).digest(),
        ack: (!not_measured.contains_key(ACK_FIGURE)).then(|| collector.sends.ack.digest()),
        fetch: part(Part::Fetch, &parts.fetch),
        waiting: part(Part::Waiting, &parts.waiting),
        handed_over: part(Part::HandedOver, &parts.handed_over),
        handling: parts.handling.digest(),
    }
}

//! The latency of a run and its parts, from what partitions and pools have measured.

use std::collections::BTreeMap;

use super::not_measured::ACK_FIGURE;
use super::{Collector, Latencies, RunLatency, Scoreboard};

/// All partitions and pools merged. `unprocessed` has the ages of records that were not processed; what is in
/// `not_measured` is left out.
pub(super) fn latency(
    unprocessed: Option<&Latencies>,
    board: &Scoreboard,
    collector: &Collector,
    not_measured: &BTreeMap<String, String>,
) -> RunLatency {
    let response = collector.merged(|shard| &shard.response, 3);
    let with_unprocessed = unprocessed.map(|ages| {
        let mut all = response.clone();
        all.merge(ages);
        all.digest()
    });
    let mut ack = Latencies::default();
    board.pools.iter().for_each(|pool| ack.merge(&pool.lock().ack));
    RunLatency {
        response: response.digest(),
        response_with_unprocessed: with_unprocessed,
        service: collector.merged(|shard| &shard.service, 3).digest(),
        ack: (!not_measured.contains_key(ACK_FIGURE)).then(|| ack.digest()),
        arrival: collector.merged(|shard| &shard.arrival, 2).digest(),
        handling: collector.merged(|shard| &shard.handling, 2).digest(),
    }
}

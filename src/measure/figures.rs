//! Rates and latency of a run, and what it cannot measure rightly: no figure is better than a wrong one.

use std::collections::BTreeMap;

use super::{Collector, Latencies, Measurements, Shard};
use crate::base::Time;
use crate::plan::{Acks, Pace, Plan, ProducerClients};
use crate::summary::{METRICS, Need, Part, RunLatency};

/// Rates, and the time they are taken over.
pub(super) struct Rates {
    /// Length of the measured window, or at maximum rate of the whole transfer.
    pub(super) seconds: f64,
    /// From the start of the load to the last record processed.
    pub(super) load_seconds: f64,
    pub(super) achieved_per_s: f64,
    pub(super) achieved_bytes_per_s: f64,
    /// Records due in the measured window, and those sent; with a schedule only.
    pub(super) offered: Option<u64>,
    pub(super) offered_sent: Option<u64>,
    /// Records intended in the measured window that were sent.
    pub(super) sent_in_window: u64,
    /// Records due in the measured window by partition; with a schedule only.
    pub(super) due: Vec<u64>,
}

impl Rates {
    pub(super) fn of(
        plan: &Plan,
        start: Time,
        measured: (Time, Time),
        measurements: &Measurements,
        collector: &Collector,
    ) -> Rates {
        let first_sent = measurements.pools.iter().filter_map(|pool| pool.lock().first_sent).min();
        let last_done = measurements.cells.iter().filter_map(|cell| cell.lock().last_done).max();
        let span = |from: Time, to: Time| to.since_ns(from).max(1) as f64 / 1e9;
        let begin = first_sent.unwrap_or(start);
        let load_seconds = span(start, last_done.unwrap_or(measured.1));
        let sum = |of: fn(&Shard) -> u64| {
            collector.partitions.iter().map(|totals| of(&totals.shard)).sum::<u64>() as f64
        };
        let mut sent_in_window = 0;
        let mut due = vec![0; measurements.cells.len()];
        for pool in &measurements.pools {
            for (due, side) in due.iter_mut().zip(pool.lock().sides()) {
                sent_in_window += side.sent_in_window;
                *due += side.sent_in_window + side.unsent_in_window;
            }
        }
        if plan.load.pace == Pace::Max {
            let seconds = span(begin, last_done.unwrap_or(begin));
            return Rates {
                seconds,
                load_seconds,
                achieved_per_s: sum(|shard| shard.delivered) / seconds,
                achieved_bytes_per_s: sum(|shard| shard.bytes) / seconds,
                offered: None,
                offered_sent: None,
                sent_in_window,
                due: Vec::new(),
            };
        }
        let seconds = span(measured.0, measured.1);
        Rates {
            seconds,
            load_seconds,
            achieved_per_s: sum(|shard| shard.processed_in_window) / seconds,
            achieved_bytes_per_s: sum(|shard| shard.bytes_in_window) / seconds,
            offered: Some(due.iter().sum()),
            offered_sent: Some(sent_in_window),
            sent_in_window,
            due,
        }
    }

    /// Records due per second in a partition; with a schedule only.
    pub(super) fn offered_of(&self, partition: usize) -> Option<f64> {
        self.due.get(partition).map(|due| *due as f64 / self.seconds)
    }
}

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

/// Where `result.json` has the time from send to acknowledgement.
pub const ACK_FIGURE: &str = "latency_us.ack";

/// Figures that are `null`, by their place in `result.json`, each with the reason.
pub(super) fn not_measured(plan: &Plan) -> BTreeMap<String, String> {
    let ack = ack(plan).map(|reason| (ACK_FIGURE.to_owned(), reason.to_owned()));
    let kind = plan.broker.kind();
    let parts = Part::ALL.into_iter().filter_map(|part| {
        part.not_measured_on(kind).map(|reason| (part_figure(part), reason.to_owned()))
    });
    let no_commits = plan.lacks(Need::Commits).map(|(why, _)| why);
    let committed = METRICS
        .iter()
        .filter(|metric| metric.needs == Need::Commits)
        .filter_map(|metric| Some((metric.place(), no_commits?.to_owned())));
    parts.chain(ack).chain(committed).collect()
}

/// Where `result.json` has a part of the latency.
pub(super) fn part_figure(part: Part) -> String {
    format!("latency_us.{}", part.name())
}

/// Why it is not known how long acknowledgements take.
fn ack(plan: &Plan) -> Option<&'static str> {
    if plan.load.acks == Acks::None {
        return Some("with `load.acks = \"none\"` brokers answer nothing");
    }
    let is_rdkafka = !plan.broker.kind().capability().is_modelled;
    (is_rdkafka && plan.load.clients == ProducerClients::PerProducer).then_some(
        "with `load.clients = \"producer\"` one thread looks at many clients in turn, and finds an answer only some \
         time after it came",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BrokerKind;
    use crate::plan::{self, Overrides};
    use crate::scenario::Source;

    fn reasons(load: &str, broker: BrokerKind) -> BTreeMap<String, String> {
        let text =
            format!("[topic]\npartitions = 2\n[load]\nproducers = 4\nrate = \"1/s\"\n{load}\n");
        let source = Source { name: "test".to_owned(), text };
        let overrides = Overrides { broker: Some(broker), ..Overrides::default() };
        let (plan, found) = plan::compile(&source, &[], &overrides);
        not_measured(&plan.unwrap_or_else(|| panic!("{found:?}")))
    }

    #[test]
    fn a_client_per_producer_and_brokers_that_answer_nothing_leave_acknowledgements_unmeasured() {
        for (load, broker, word) in [
            ("clients = \"producer\"", BrokerKind::Embedded, Some("load.clients")),
            ("acks = \"none\"\nidempotence = false", BrokerKind::Embedded, Some("load.acks")),
            ("acks = \"none\"\nidempotence = false", BrokerKind::Sim, Some("load.acks")),
            ("clients = \"pool\"", BrokerKind::Embedded, None),
            ("", BrokerKind::Sim, None),
        ] {
            let reasons = reasons(load, broker);
            let reason = reasons.get("latency_us.ack");
            match word {
                Some(word) => assert!(reason.is_some_and(|reason| reason.contains(word)), "{load}"),
                None => assert_eq!(reason, None, "{load}"),
            }
        }
    }
}

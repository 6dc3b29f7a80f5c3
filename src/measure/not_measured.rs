//! What a run cannot measure rightly, with the reason: no figure is better than a wrong one.

use std::collections::BTreeMap;

use crate::plan::{Acks, Plan, ProducerClients};
use crate::summary::{METRICS, Need, Part};

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

//! Random faults: kinds, times and targets, all from one seed.
//!
//! Swarm testing (Groce et al., 2012): each seed allows a random subset of the kinds, so that some runs have only kills
//! and others a bit of everything. A fault that is in every run can hide what another one would show.

use std::time::Duration;

use toml::{Table, Value};

use crate::base::{Random, Seed};
use crate::fault::{FaultDraw, Hits, KINDS, KindInfo};
use crate::plan::{Identity, Plan};

/// The parameters of drawing faults.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    consumers: u32,
    pools: u32,
    brokers: u32,
    load_end: Duration,
    faults_max: u32,
    /// Shortest and longest duration of faults of consumers, in milliseconds.
    consumer_lasts_ms: (f64, f64),
}

/// A kind, and the way it is drawn.
type Drawn = (&'static KindInfo, &'static FaultDraw);

/// All kinds that are drawn, sorted by their targets: consumers, pools, brokers, the cluster.
fn all_kinds() -> Vec<Drawn> {
    let of_kind = |kind: &'static KindInfo| kind.draws.iter().map(move |draw| (kind, draw));
    let mut all: Vec<Drawn> = KINDS.iter().flat_map(of_kind).collect();
    all.sort_by_key(|(_, draw)| draw.hits);
    all
}

/// Shortest and longest duration of a fault, in milliseconds. Durations are drawn log-uniformly.
const LASTS_MS: (f64, f64) = (5.0, 4_000.0);
/// The same for faults of brokers, which are long enough for the election of other leaders.
const BROKER_LASTS_MS: (f64, f64) = (5.0, 15_000.0);
/// Upper limit for faults of a static member, in milliseconds. They last up to twice the session timeout, for which the
/// group keeps the member's assignment. A consumer that hangs is given up after `watchdog.poll` and `watchdog.close`,
/// 15 s.
const STATIC_LASTS_MAX_MS: f64 = 12_000.0;

/// Shortest and longest duration of faults of this plan's consumers, in milliseconds.
fn consumer_lasts_ms(plan: &Plan) -> (f64, f64) {
    let (least, most) = LASTS_MS;
    let Some(group) = plan.group().filter(|group| group.identity == Identity::Static) else {
        return LASTS_MS;
    };
    let of_broker = plan.broker.sim.as_ref().map(|sim| sim.consumer_groups.session_timeout);
    let session = group.session_timeout().or(of_broker).unwrap_or_default();
    (least, (2e3 * session.as_secs_f64()).clamp(most, STATIC_LASTS_MAX_MS))
}

impl Swarm {
    pub(super) fn new(plan: &Plan, faults_max: u32) -> Swarm {
        Swarm {
            consumers: plan.members(),
            pools: plan.load.pools,
            brokers: plan.broker.brokers.unwrap_or(1),
            load_end: plan.times.load_end(),
            faults_max,
            consumer_lasts_ms: consumer_lasts_ms(plan),
        }
    }

    /// The faults of a seed, in the order of their times: at least one, and at most `faults_max`.
    pub(super) fn draw(&self, seed: Seed) -> Vec<Table> {
        let mut random = seed.child("swarm", 0).random();
        let all = all_kinds();
        let allowed = 1 + random.below((1 << all.len()) - 1);
        let mut kinds: Vec<Drawn> =
            (0..all.len()).filter(|kind| allowed & (1 << kind) != 0).map(|at| all[at]).collect();
        // If a broker delays them, records in flight of a killed pool may be appended after those of its successor. On
        // Kafka as well, producers without a `transactional.id` are not fenced.
        if kinds.iter().any(|(_, draw)| draw.hits == Hits::Broker) {
            kinds.retain(|(kind, draw)| kind.ends.is_none() || draw.hits != Hits::Pool);
        }
        let count = 1 + random.below(u64::from(self.faults_max));
        // The last tenth of the load is left for recovery.
        let span_ms = self.load_end.as_millis() as u64 * 9 / 10;
        let mut times_ms: Vec<u64> = (0..count).map(|_| random.below(span_ms.max(1))).collect();
        times_ms.sort_unstable();
        let fault = |at_ms| self.fault(at_ms, &kinds, &mut random);
        times_ms.into_iter().map(fault).collect()
    }

    fn fault(&self, at_ms: u64, kinds: &[Drawn], random: &mut Random) -> Table {
        let (kind, draw) = kinds[random.below(kinds.len() as u64) as usize];
        let mut fault = Table::new();
        fault.insert("at".to_owned(), ms(at_ms));
        let mut target = Table::new();
        let hit = match draw.hits {
            Hits::Consumer => Some(("consumer", 0, self.consumers)),
            Hits::Pool => Some(("pool", 0, self.pools)),
            Hits::Broker => Some(("broker", 1, self.brokers)),
            Hits::Cluster => None,
        };
        if let Some((noun, lowest, there)) = hit {
            target.insert(noun.to_owned(), targets_of(lowest, there, random));
        }
        (draw.settings)(&mut target, random);
        fault.insert(kind.name().to_owned(), Value::Table(target));
        if draw.lasts {
            let (least, most) = match draw.hits {
                Hits::Broker => BROKER_LASTS_MS,
                Hits::Consumer => self.consumer_lasts_ms,
                Hits::Pool | Hits::Cluster => LASTS_MS,
            };
            let span_ms = least * (most / least).powf(random.unit());
            fault.insert("for".to_owned(), ms(span_ms as u64));
        }
        fault
    }
}

/// Targets of a fault: usually one, sometimes two, rarely all.
fn targets_of(lowest: u32, there: u32, random: &mut Random) -> Value {
    let draw = |random: &mut Random| {
        Value::Integer(i64::from(lowest) + random.below(u64::from(there)) as i64)
    };
    let one = draw(random);
    match random.below(8) {
        0 if there > 1 => Value::String("all".to_owned()),
        1 | 2 if there > 1 => {
            let other = draw(random);
            Value::Array(if one == other { vec![one] } else { vec![one, other] })
        }
        _ => one,
    }
}

fn ms(number: u64) -> Value {
    Value::String(format!("{number}ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::sim::TraceSink;
    use crate::plan::{Overrides, compile};
    use crate::run::explore::case::Case;
    use crate::run::{Options, run};
    use crate::scenario::Source;

    #[test]
    fn what_happens_to_a_static_member_may_outlast_its_session() {
        let longest_hang_ms = |more: &str| {
            let overrides =
                Overrides { broker: Some(crate::base::BrokerKind::SIM), ..Overrides::default() };
            let text = format!("[consumers]\nmode = \"group\"\ncount = 4\n{more}");
            let source = Source { name: "members.toml".to_owned(), text };
            let plan = compile(&source, &[], &overrides).0.unwrap();
            let faults = (1..=300).flat_map(|seed| Swarm::new(&plan, 12).draw(Seed(seed)));
            let lasts = faults.filter(|fault| fault.contains_key("hang")).map(|fault| {
                let lasts = fault["for"].as_str().unwrap().strip_suffix("ms").unwrap();
                lasts.parse::<u64>().unwrap()
            });
            lasts.max().unwrap()
        };
        let consumer = "protocol = \"consumer\"\n[sim]\ngroup_session_timeout = \"4s\"\n";
        for (session_ms, classic_or_consumer) in
            [(3_000, "session_timeout = \"3s\"\n"), (4_000, consumer)]
        {
            let dynamic_ms = longest_hang_ms(classic_or_consumer);
            assert!((2_000..=4_000).contains(&dynamic_ms), "{dynamic_ms} ms");
            let static_ms =
                longest_hang_ms(&format!("membership = \"static\"\n{classic_or_consumer}"));
            let bounds = session_ms + session_ms / 2..=2 * session_ms;
            assert!(bounds.contains(&static_ms), "{static_ms} ms");
        }
        // A consumer that hangs longer would be given up.
        let most = longest_hang_ms("membership = \"static\"\nsession_timeout = \"60s\"\n");
        assert!((8_000..=12_000).contains(&most), "{most} ms");
    }

    /// A trace has all messages in order, while a run without a trace defers some. No result may depend on that.
    #[test]
    fn watching_changes_nothing_whatever_fails() {
        let overrides =
            Overrides { broker: Some(crate::base::BrokerKind::SIM), ..Overrides::default() };
        for consumers in ["", "[consumers]\nmode = \"group\"\ncount = 4\n"] {
            let text = format!(
                "[topic]\npartitions = 9\n[load]\nproducers = 18\nrate = \"20/s\"\npools = 2\n{consumers}\
                 [run]\nwarmup = \"0s\"\nduration = \"15s\"\n"
            );
            let source = Source { name: "watched.toml".to_owned(), text };
            let plan = compile(&source, &[], &overrides).0.unwrap();
            let case = Case::new("watched", source.text.parse().unwrap());
            for seed in 1..=30 {
                let case = case.with(seed, Swarm::new(&plan, 12).draw(Seed(seed)));
                let trace_sink = Some(TraceSink::new(|_| {}));
                let options = Options { trace_sink, ..Options::default() };
                let watched = run(case.plan().unwrap(), options, Box::new(())).unwrap();
                let unwatched = case.run().unwrap();
                let json = |summary| serde_json::to_string(&summary).unwrap();
                assert_eq!(json(unwatched), json(watched), "seed {seed}: {}", case.text());
            }
        }
    }
}

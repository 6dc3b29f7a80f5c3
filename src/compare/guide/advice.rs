//! Advice from measured figures: the set-up that suits a load, and the number of partitions that it needs. Only
//! sentences with figures are given.

use serde::Serialize;

use super::condition::Condition;
use super::evidence::{Evidence, Measure, Shown};
use super::measures::{OTHERS_STALL, P99, RECOVERY};
use crate::base::{Seed, format_count};
use crate::compare::sample::mean;
use crate::compare::sentence::time;
use crate::summary::Summary;

/// A sentence of advice, with the figures that support it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The sentence.
    pub advice: String,
    /// The measured figures.
    pub figures: Vec<String>,
}

/// The way in which a set-up assigns partitions to its consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigning {
    /// Explicit assignment, with a client for each partition.
    Assigned,
    /// Explicit assignment, with one client for all partitions.
    Shared,
    /// A group with dynamic members.
    Group,
    /// A group with static members.
    Static,
}

impl Assigning {
    /// The assignment that the settings of a scenario describe.
    pub fn of(settings: &std::collections::BTreeMap<String, String>) -> Assigning {
        let is = |key: &str, value: &str| settings.get(key).is_some_and(|it| it.contains(value));
        match (is("consumers.mode", "group"), is("consumers.membership", "static")) {
            (true, true) => Assigning::Static,
            (true, false) => Assigning::Group,
            (false, _) if is("consumers.clients", "shared") => Assigning::Shared,
            (false, _) => Assigning::Assigned,
        }
    }
}

/// A set-up and its rounds in a condition.
#[derive(Clone, Debug)]
pub struct SetUpRounds<'a> {
    /// Name of the set-up.
    pub name: &'a str,
    /// The way in which the set-up assigns partitions.
    pub assigning: Assigning,
    /// The rounds of the set-up.
    pub summaries: &'a [Summary],
}

/// A condition, and the set-ups that were run in it.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// The condition.
    pub condition: Condition,
    /// The set-ups.
    pub set_ups: Vec<SetUpRounds<'a>>,
}

impl<'a> Situation<'a> {
    /// True if explicitly assigned consumers, one per partition, keep up with the load.
    fn keeps_up(&self) -> bool {
        let mut rounds = self.all(Assigning::Assigned).flat_map(|it| it.summaries);
        rounds.all(|summary| summary.overloaded.is_empty())
    }

    fn all(&self, wanted: Assigning) -> impl Iterator<Item = &SetUpRounds<'a>> {
        self.set_ups.iter().filter(move |it| it.assigning == wanted && !it.summaries.is_empty())
    }
}

/// A question that is answered by a comparison of two set-ups.
struct Question {
    kind: Kind,
    evidence: Evidence,
    /// Further figures of the answer.
    more: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    CrashOfGroup,
    CrashOfStatic,
    StaticOrAssigned,
    Scaling,
    GroupOrAssigned,
    SharedOrAssigned,
}

/// The smallest stall that counts as one, in milliseconds: as for the blast radius.
const STALL_MS: f64 = 100.0;

/// The advice that follows from the runs.
pub fn advice(situations: &[Situation<'_>], slow: u32) -> Vec<Advice> {
    let mut questions = questions(situations, slow);
    Evidence::adjust(&mut questions.iter_mut().map(|it| &mut it.evidence).collect::<Vec<_>>());
    let answers = questions.iter().filter_map(answer);
    answers.chain(partitions(situations)).collect()
}

fn questions(situations: &[Situation<'_>], slow: u32) -> Vec<Question> {
    let mut all = Vec::new();
    for situation in situations {
        let mut ask =
            |kind, measure: Measure, first: &SetUpRounds<'_>, second: &SetUpRounds<'_>| {
                let pair = [(first.name, first.summaries), (second.name, second.summaries)];
                let seed = Seed(1).child("advice", all.len() as u64);
                let found = Evidence::of(situation.condition, measure, pair, slow, seed);
                let more = match kind {
                    Kind::StaticOrAssigned => both(RECOVERY, first, second, slow),
                    Kind::SharedOrAssigned => threads(first, second),
                    _ => None,
                };
                let more = more.into_iter().collect();
                all.extend(found.map(|evidence| Question { kind, evidence, more }));
            };
        let assigned = situation.all(Assigning::Assigned).next();
        match situation.condition {
            Condition::Crash => {
                for group in situation.all(Assigning::Group) {
                    assigned.iter().for_each(|it| ask(Kind::CrashOfGroup, OTHERS_STALL, group, it));
                }
                for its in situation.all(Assigning::Static) {
                    // The same group with dynamic members, if it was run.
                    let groups = || situation.all(Assigning::Group);
                    let same = groups().find(|group| its.name.starts_with(group.name));
                    same.or(groups().last())
                        .into_iter()
                        .for_each(|group| ask(Kind::CrashOfStatic, OTHERS_STALL, group, its));
                }
                for its in situation.all(Assigning::Static) {
                    assigned
                        .iter()
                        .for_each(|it| ask(Kind::StaticOrAssigned, OTHERS_STALL, its, it));
                }
            }
            Condition::MembershipChange => {
                for group in situation.all(Assigning::Group) {
                    assigned.iter().for_each(|it| ask(Kind::Scaling, OTHERS_STALL, group, it));
                }
            }
            // Without keeping up, the latency only depends on the length of the run.
            Condition::Quiet | Condition::Busy70 | Condition::Busy95 if situation.keeps_up() => {
                for group in situation.all(Assigning::Group) {
                    assigned.iter().for_each(|it| ask(Kind::GroupOrAssigned, P99, group, it));
                }
                for shared in situation.all(Assigning::Shared) {
                    assigned.iter().for_each(|it| ask(Kind::SharedOrAssigned, P99, shared, it));
                }
            }
            Condition::Slow | Condition::Quiet | Condition::Busy70 | Condition::Busy95 => {}
        }
    }
    all
}

/// The answer to a question; `None` if its figures are not clear.
fn answer(question: &Question) -> Option<Advice> {
    let evidence = &question.evidence;
    let [first, second] = &evidence.names;
    let stops = evidence.means[0] >= STALL_MS;
    let load = match evidence.condition {
        Condition::Quiet => "at this load".to_owned(),
        condition => format!("where consumers of Before are {}", condition.name()),
    };
    let advice = match (question.kind, evidence.shown()) {
        (Kind::CrashOfGroup, Shown::Less) if stops => {
            format!(
                "Assign partitions explicitly if a crash must not stop others: {first} stops them."
            )
        }
        (Kind::CrashOfStatic, Shown::Less) if stops => {
            format!(
                "Static members pay: in a crash {second} does not stop other partitions, and {first} does."
            )
        }
        (Kind::StaticOrAssigned, Shown::Alike) => {
            format!("{first} keeps a crash from other partitions as well as {second} does.")
        }
        (Kind::Scaling, _) if !stops && evidence.means[0] > 0.0 => {
            format!(
                "{first} changes members without stopping other partitions: it suits a number of consumers that changes."
            )
        }
        (Kind::Scaling, Shown::Less) => {
            format!(
                "Changing members of {first} stops other partitions; {second} has no members to change."
            )
        }
        (Kind::GroupOrAssigned, Shown::Alike) => {
            format!("{first} is as fast as {second} {load} while nothing fails.")
        }
        (Kind::GroupOrAssigned, Shown::Less) => format!("{second} is faster than {first} {load}."),
        (Kind::GroupOrAssigned, Shown::More) => format!("{first} is faster than {second} {load}."),
        (Kind::SharedOrAssigned, Shown::Alike | Shown::More) => {
            format!("One client for all partitions is enough {load}: {second} is not faster.")
        }
        (Kind::SharedOrAssigned, Shown::Less) => {
            format!(
                "One client for all partitions is too slow {load}: give each partition its own."
            )
        }
        _ => return None,
    };
    let figures = std::iter::once(evidence.text()).chain(question.more.iter().cloned()).collect();
    Some(Advice { advice, figures })
}

/// A measure of two set-ups as text; `None` unless both have it in every round.
fn both(
    measure: Measure,
    first: &SetUpRounds<'_>,
    second: &SetUpRounds<'_>,
    slow: u32,
) -> Option<String> {
    let of = |set_up: &SetUpRounds<'_>| -> Option<f64> {
        let values: Option<Vec<f64>> =
            set_up.summaries.iter().map(|it| (measure.read)(it, slow)).collect();
        values.map(|values| mean(&values))
    };
    let (a, b) = (time(of(first)?), time(of(second)?));
    Some(format!("{} {a} in {}, {b} in {}", measure.name, first.name, second.name))
}

/// Numbers of threads of two set-ups; `None` if the system does not report them.
fn threads(first: &SetUpRounds<'_>, second: &SetUpRounds<'_>) -> Option<String> {
    let of = |set_up: &SetUpRounds<'_>| -> Option<f64> {
        let real = set_up.summaries.iter().filter(|it| it.simulation.is_none());
        let values: Vec<f64> =
            real.filter_map(|it| it.cost.threads_max).map(|count| count as f64).collect();
        (!values.is_empty()).then(|| mean(&values))
    };
    let (a, b) = (of(first)?, of(second)?);
    Some(format!("threads of the process {a:.0} in {}, {b:.0} in {}", first.name, second.name))
}

/// Utilisation up to which a consumer has no long queue.
const BUSY: f64 = 0.7;

/// The number of partitions that carry the load, computed from the measured rate and handling time.
fn partitions(situations: &[Situation<'_>]) -> Vec<Advice> {
    let mut all = Vec::new();
    let assigned = |it: &&Situation<'_>| it.all(Assigning::Assigned).next().is_some();
    let Some(situation) = situations.iter().find(assigned) else { return all };
    let Some(set_up) = situation.all(Assigning::Assigned).next() else { return all };
    let of = |read: fn(&Summary) -> Option<f64>| -> Option<f64> {
        let values: Option<Vec<f64>> = set_up.summaries.iter().map(read).collect();
        values.map(|values| mean(&values))
    };
    let rate = of(|it| Some(it.achieved_per_s));
    let handling_ms = of(|it| it.latency_us.handling.mean.map(|us| us * 1e-3));
    if let Some((rate, ms)) = rate.zip(handling_ms) {
        let consumers = rate * ms / 1e3;
        let count = set_up.summaries[0].partitions.len();
        let least = (consumers / BUSY).ceil().max(1.0);
        // With a low utilisation, the work decides nothing.
        if consumers >= BUSY {
            all.push(Advice {
                advice: format!(
                    "The load is the work of {consumers:.1} consumers: it needs {least:.0} partitions with a consumer each if \
                     none is to be busy for more than {:.0} % of its time, and it has {count}.",
                    100.0 * BUSY
                ),
                figures: vec![format!(
                    "{} msg/s x {} in {}",
                    format_count(rate.round() as u64),
                    time(ms),
                    set_up.name
                )],
            });
        }
    }
    let needed = set_up.summaries.iter().flat_map(|it| &it.overloaded);
    let needed =
        needed.filter_map(|it| Some((it.partition, it.offered_per_s, it.consumers_needed?)));
    let worst = needed.max_by(|a, b| a.2.total_cmp(&b.2)).filter(|it| it.2 > 1.0);
    if let Some((partition, per_second, consumers)) = worst {
        all.push(Advice {
            advice: format!(
                "No number of consumers carries partition {partition}: more partitions, less skew or less work for a record do."
            ),
            figures: vec![format!("{per_second:.0} msg/s there are the work of {consumers:.2} consumers in {}", set_up.name)],
        });
    }
    all
}

/// The advice as lines of a section, each followed by its figures.
pub fn advice_lines(all: &[Advice]) -> Vec<String> {
    let lines = |it: &Advice| {
        let figures = it.figures.iter().map(|figure| format!("  {figure}"));
        std::iter::once(it.advice.clone()).chain(figures).collect::<Vec<_>>()
    };
    all.iter().flat_map(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::{Digest, FaultSummary, Others};

    fn crashed(stall_ms: f64) -> Vec<Summary> {
        let round = |number: u32| {
            let others =
                Others { stall_after_ms: stall_ms + f64::from(number) * 0.01, ..Others::default() };
            let fault = FaultSummary {
                at_s: Some(7.0),
                others: Some(others),
                partitions_hit: vec![1],
                ..FaultSummary::default()
            };
            Summary { faults: vec![fault], ..Summary::default() }
        };
        (0..4).map(round).collect()
    }

    fn said(
        condition: Condition,
        set_ups: &[(&'static str, Assigning, &[Summary])],
    ) -> Vec<Advice> {
        let set_ups = set_ups
            .iter()
            .map(|(name, assigning, summaries)| SetUpRounds {
                name,
                assigning: *assigning,
                summaries,
            })
            .collect();
        advice(&[Situation { condition, set_ups }], 0)
    }

    #[test]
    fn a_crash_that_stops_others_is_a_reason_for_assignment_and_static_members() {
        let (stops, keeps) = (crashed(5_000.0), crashed(1.5));
        let all = said(
            Condition::Crash,
            &[
                ("group:8", Assigning::Group, &stops),
                ("group:8:static", Assigning::Static, &keeps),
                ("assign", Assigning::Assigned, &keeps),
            ],
        );
        let text = advice_lines(&all).join("\n");
        assert_eq!(all.len(), 3, "{text}");
        assert!(
            text.contains("Assign partitions explicitly") && text.contains("5s in group:8"),
            "{text}"
        );
        assert!(text.contains("Static members pay"), "{text}");
        assert!(
            text.contains("group:8:static keeps a crash from other partitions as well"),
            "{text}"
        );
    }

    #[test]
    fn there_is_no_advice_without_a_clear_figure() {
        let one = &crashed(5_000.0)[..1];
        let set_ups = [("group:8", Assigning::Group, one), ("assign", Assigning::Assigned, one)];
        assert_eq!(said(Condition::Crash, &set_ups), []);
        assert_eq!(said(Condition::Quiet, &set_ups), []);
    }

    #[test]
    fn work_for_a_record_says_how_many_partitions_a_load_needs() {
        let mut summary = Summary { achieved_per_s: 2_000.0, ..Summary::default() };
        summary.latency_us.handling = Digest { mean: Some(3_000.0), ..Digest::default() };
        let all = said(Condition::Quiet, &[("assign", Assigning::Assigned, &[summary])]);
        assert!(
            all[0].advice.contains("the work of 6.0 consumers: it needs 9 partitions"),
            "{all:?}"
        );
        assert_eq!(all[0].figures, ["2,000 msg/s x 3ms in assign"]);
    }
}

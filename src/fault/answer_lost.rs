//! Requests that are carried out, and whose answer never comes.

use super::effect::{Api, BrokerChange, Call, CallAction, CallRule, FaultEffect};
use super::kind::{FaultDraw, FaultFacts, FaultKind, Hits, Lasts, Planned};
use super::targets::{Aim, Pick};
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, Origin, codes};

section! {
    /// Answers that are lost.
    AnswerLost {
        /// Brokers of the simulator, from 1. On other clusters the client loses the answer, whichever broker gives it.
        broker: Pick = ("all"), 1;
        /// Kind of request. On other clusters `produce` or `fetch`.
        api: Api = required, "produce";
        /// Number of answers: of each broker of the simulator, otherwise of all clients together.
        count: u64 = 1, 5;
    }
}

impl FaultKind for AnswerLost {
    type Keys = AnswerLost;
    const NAME: &'static str = "answer_lost";
    const DOC: &'static str = "Requests are carried out, but their answers never come. A broker of the simulator closes \
                               the connection instead; on other clusters the client discards the answer.";
    const EXAMPLE: &'static str = "{ broker = 1, api = \"produce\", count = 5 }";
    const VERB: &'static str = "lose answers of";
    const IS_OVER_AT_ONCE: bool = true;
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::at_once(Hits::Broker).with(|keys, random| {
        let apis = [Api::Produce, Api::Fetch, Api::OffsetCommit, Api::JoinGroup, Api::Heartbeat];
        let api = apis[random.below(apis.len() as u64) as usize];
        keys.insert("api".to_owned(), api.word().into());
        keys.insert("count".to_owned(), (1 + random.below(10) as i64).into());
    })];

    fn plan(
        keys: &At<AnswerLost>,
        facts: &FaultFacts<'_>,
        found: &mut Findings,
    ) -> Option<Planned> {
        let AnswerLost { broker, api, count } = &keys.value;
        let key = GivenKey::new("answer_lost.count", count.as_ref());
        let count = found.count(key, 1, 1..=10_000, "each loses one answer");
        let api = api.as_ref()?;
        let (effect, aim) = if facts.broker.capability().is_modelled {
            let begin = BrokerChange::LoseAnswers { api: api.value, count };
            let pick = broker.as_ref().map_or(Pick::All, |at| at.value.clone());
            (FaultEffect::Brokers { begin, end: None }, Aim::Brokers(pick))
        } else {
            if let Some(broker) = broker {
                refuse_broker(broker.key, facts, found);
            }
            let (call, aim) = match api.value {
                Api::Produce => (Call::Produce, Aim::Pools(Pick::All)),
                Api::Fetch => (Call::Fetch, Aim::Consumers(Pick::All)),
                other => {
                    refuse_api(other, api.origin, facts, found);
                    return None;
                }
            };
            let action = CallAction::LoseAnswer;
            let rule = CallRule { call, action, share: 1.0, count: Some(count) };
            (FaultEffect::Calls(rule), aim)
        };
        let planned = Planned::new(effect, Lasts::Never, aim);
        Some(planned.described(format!(" {count} x {}", api.value.word())))
    }
}

/// A client does not say which broker it has an answer from.
fn refuse_broker(key: Origin, facts: &FaultFacts<'_>, found: &mut Findings) {
    let message = "`answer_lost.broker` needs a simulated cluster";
    found.push(
        Diagnostic::error(codes::WRONG_BROKER, key, message)
            .label(format!("with `--broker {}` the clients lose the answers", facts.broker))
            .remedy("remove `broker`, or use `--broker sim`"),
    );
}

/// What a client asks on its own account, and learns, is not seen from outside it.
fn refuse_api(api: Api, origin: Origin, facts: &FaultFacts<'_>, found: &mut Findings) {
    let message = format!("`answer_lost` of `{}` needs a simulated cluster", api.word());
    found.push(
        Diagnostic::error(codes::WRONG_BROKER, origin, message)
            .label(format!(
                "with `--broker {}` only answers to `produce` and `fetch` can be lost",
                facts.broker
            ))
            .remedy("use `--broker sim`, or `api = \"produce\"` or `\"fetch\"`"),
    );
}

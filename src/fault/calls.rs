//! Faults of calls and requests: calls of clients on any cluster, requests that are refused, and requests whose
//! response is lost.

use std::time::Duration;

use super::effect::{
    Api, ApiError, BrokerChange, Call, CallAction, CallError, CallRule, ClusterFault, FaultEffect,
};
use super::kind::{FaultDraw, FaultFacts, FaultKind, Hits, Lasts, Planned};
use super::targets::{Aim, Pick};
use crate::base::format_duration;
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, Origin, codes};

/// Longest delay of a call. The timeouts of clients are shorter.
const DELAY_MAX: Duration = Duration::from_secs(60);
const DELAY_MIN: Duration = Duration::from_micros(1);

section! {
    /// Records handed to a producer client. One of `pool` and `partition`, and one of `delay`, `drop` and `error`.
    ProduceCall {
        /// Producer pools, from 0.
        pool: Pick = ("none"), 0;
        /// Partitions, for all producers.
        partition: Pick = ("none"), 3;
        /// Records are sent this much later, and records behind them in their partition wait.
        delay: Duration = ("none"), "50ms";
        /// Records are not sent and no error is reported: they are indeterminate.
        drop: bool = false, true;
        /// Records are not sent, and the client reports an error.
        error: CallError = ("none"), "retriable";
        /// Share of the calls that are affected, drawn from the seed.
        share: f64 = 1.0, 0.1;
    }
}

impl FaultKind for ProduceCall {
    type Keys = ProduceCall;
    const NAME: &'static str = "produce_call";
    const DOC: &'static str =
        "Producer clients delay, drop or refuse records for `for`; on any cluster.";
    const EXAMPLE: &'static str = "{ pool = \"all\", delay = \"50ms\" }";
    const VERB: &'static str = "affect";

    fn plan(keys: &At<ProduceCall>, _: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        let ProduceCall { pool, partition, delay, drop, error, share } = &keys.value;
        let (kind, example) = (Self::NAME, Self::EXAMPLE);
        let pool = pool.as_ref().map(|at| Aim::Pools(at.value.clone()));
        let written = Written { kind, example, origin: keys.origin, delay, drop, error, share };
        written.plan(Call::Produce, ("pool", pool), partition, found)
    }
}

section! {
    /// Records returned by a consumer client. One of `consumer` and `partition`, and one of `delay`, `drop` and `error`.
    FetchCall {
        /// Consumers, from 0.
        consumer: Pick = ("none"), 7;
        /// Partitions, for all consumers.
        partition: Pick = ("none"), 3;
        /// Records arrive this much later, and records behind them in their partition wait.
        delay: Duration = ("none"), "50ms";
        /// Records are discarded and fetched again 100 ms later.
        drop: bool = false, true;
        /// The client returns an error instead of records.
        error: CallError = ("none"), "retriable";
        /// Share of the calls that are affected, drawn from the seed.
        share: f64 = 1.0, 0.1;
    }
}

impl FaultKind for FetchCall {
    type Keys = FetchCall;
    const NAME: &'static str = "fetch_call";
    const DOC: &'static str =
        "Consumer clients delay, drop or fail to fetch records for `for`; on any cluster.";
    const EXAMPLE: &'static str = "{ consumer = 7, drop = true, share = 0.1 }";
    const VERB: &'static str = "affect";

    fn plan(keys: &At<FetchCall>, _: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        let FetchCall { consumer, partition, delay, drop, error, share } = &keys.value;
        let (kind, example) = (Self::NAME, Self::EXAMPLE);
        let consumer = consumer.as_ref().map(|at| Aim::Consumers(at.value.clone()));
        let written = Written { kind, example, origin: keys.origin, delay, drop, error, share };
        written.plan(Call::Fetch, ("consumer", consumer), partition, found)
    }
}

/// The keys that both kinds of calls share.
struct Written<'a> {
    kind: &'static str,
    example: &'static str,
    origin: Origin,
    delay: &'a Option<At<Duration>>,
    drop: &'a Option<At<bool>>,
    error: &'a Option<At<CallError>>,
    share: &'a Option<At<f64>>,
}

impl Written<'_> {
    fn plan(
        &self,
        call: Call,
        caller: (&str, Option<Aim>),
        partition: &Option<At<Pick>>,
        found: &mut Findings,
    ) -> Option<Planned> {
        let aim = self.aim(caller, partition, found);
        let action = self.action(found);
        let share = self.share(found);
        let (aim, action) = (aim?, action?);
        let effect = FaultEffect::Calls(CallRule { call, action, share, count: None });
        let mut details = match action {
            CallAction::Delay(delay) => format!(" +{}", format_duration(delay)),
            CallAction::Drop => " dropped".to_owned(),
            CallAction::Error(error) => format!(" {} error", error.word()),
            CallAction::LoseAnswer => " answer lost".to_owned(),
        };
        if share < 1.0 {
            details = format!("{details} {}%", share * 100.0);
        }
        Some(Planned::new(effect, Lasts::Must, aim).described(details))
    }

    fn action(&self, found: &mut Findings) -> Option<CallAction> {
        let is_dropped = self.drop.as_ref().is_some_and(|drop| drop.value);
        match (self.delay, is_dropped, self.error) {
            (Some(_), false, None) => {
                let key = format!("{}.delay", self.kind);
                let reason = "a client that waits longer has given up long before";
                let (given, range) = (self.delay.as_ref(), DELAY_MIN..=DELAY_MAX);
                let delay = found.duration(GivenKey::new(&*key, given), DELAY_MAX, range, reason);
                Some(CallAction::Delay(delay))
            }
            (None, true, None) => Some(CallAction::Drop),
            (None, false, Some(error)) => Some(CallAction::Error(error.value)),
            _ => {
                self.refuse("`delay`, `drop` and `error`", found);
                None
            }
        }
    }

    fn share(&self, found: &mut Findings) -> f64 {
        let key = format!("{}.share", self.kind);
        let reason = "it is the part of the calls that is hit, and 1 is all of them";
        found.number(GivenKey::new(&*key, self.share.as_ref()), 1.0, 1e-6..=1.0, reason)
    }

    fn aim(
        &self,
        (noun, caller): (&str, Option<Aim>),
        partition: &Option<At<Pick>>,
        found: &mut Findings,
    ) -> Option<Aim> {
        match (caller, partition) {
            (Some(caller), None) => Some(caller),
            (None, Some(partition)) => Some(Aim::Partitions(partition.value.clone())),
            _ => {
                self.refuse(&format!("`{noun}` and `partition`"), found);
                None
            }
        }
    }

    fn refuse(&self, choices: &str, found: &mut Findings) {
        let message = format!("`{}` needs exactly one of {choices}", self.kind);
        found.push(
            Diagnostic::error(codes::EXACTLY_ONE, self.origin, message)
                .remedy(format!("for example `{}`", self.example)),
        );
    }
}

section! {
    /// Requests that are refused.
    RequestError {
        /// Kind of request.
        api: Api = required, "produce";
        /// Error code of the response.
        code: ApiError = required, "not-leader";
        /// Number of requests, of any client.
        count: u64 = 1, 5;
    }
}

impl FaultKind for RequestError {
    type Keys = RequestError;
    const NAME: &'static str = "request_error";
    const DOC: &'static str =
        "The embedded cluster or the simulator answers requests with an error.";
    const EXAMPLE: &'static str = "{ api = \"produce\", code = \"not-leader\", count = 5 }";
    const IS_OVER_AT_ONCE: bool = true;

    fn plan(
        keys: &At<RequestError>,
        facts: &FaultFacts<'_>,
        found: &mut Findings,
    ) -> Option<Planned> {
        facts.needs_own_cluster(Self::NAME, keys.key, found);
        let RequestError { api, code, count } = &keys.value;
        let key = GivenKey::new("request_error.count", count.as_ref());
        let count = found.count(key, 1, 1..=10_000, "each refuses one request");
        let (api, code) = (api.as_ref()?.value, code.as_ref());
        if api == Api::Produce {
            warn_about_sequences(keys.key, facts, found);
        }
        let code = code?.value;
        let effect = FaultEffect::Cluster(ClusterFault::Refuse { api, code, count });
        let planned = Planned::new(effect, Lasts::Never, Aim::Cluster);
        Some(planned.described(format!(" {count} x {} on {}", code.word(), api.word())))
    }
}

/// Warns that records are lost: on a cluster that does not check sequences, an idempotent producer takes a refused
/// request for a successful one.
fn warn_about_sequences(key: Origin, facts: &FaultFacts<'_>, found: &mut Findings) {
    if !facts.idempotence || facts.broker.capability().filters_duplicates {
        return;
    }
    let message =
        "refused produce requests of an idempotent producer are lost on the embedded cluster";
    found.push(
        Diagnostic::warning(codes::EMBEDDED_LIMIT, key, message)
            .label("it checks no sequences, and the client relies on that")
            .remedy("set `load.idempotence = false`, or use `produce_call`, which works on every cluster"),
    );
}

section! {
    /// Answers that are lost.
    AnswerLost {
        /// Brokers of the simulator, from 1. On other clusters the client discards responses of any broker.
        broker: Pick = ("all"), 1;
        /// Kind of request. On other clusters `produce` or `fetch`.
        api: Api = required, "produce";
        /// Number of responses: of each broker of the simulator; on other clusters, of all clients together.
        count: u64 = 1, 5;
    }
}

impl FaultKind for AnswerLost {
    type Keys = AnswerLost;
    const NAME: &'static str = "answer_lost";
    const DOC: &'static str = "Requests are carried out, but their responses do not arrive. A broker of the simulator \
                               closes the connection instead; on other clusters the client discards the response.";
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

/// Refuses `broker`: a client does not report which broker has sent a response.
fn refuse_broker(key: Origin, facts: &FaultFacts<'_>, found: &mut Findings) {
    let message = "`answer_lost.broker` needs a simulated cluster";
    found.push(
        Diagnostic::error(codes::WRONG_BROKER, key, message)
            .label(format!("with `--broker {}` the clients lose the answers", facts.broker))
            .remedy("remove `broker`, or use `--broker sim`"),
    );
}

/// Refuses a request that a client sends by itself: its response is not visible outside the client.
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

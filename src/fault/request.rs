//! Requests that are refused.

use super::effect::{Api, ApiError, Disturbance, FaultEffect};
use super::kind::{FaultFacts, FaultKind, Lasts, Planned};
use super::targets::Aim;
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, Origin, codes};

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
        let effect = FaultEffect::Cluster(Disturbance::Refuse { api, code, count });
        let planned = Planned::new(effect, Lasts::Never, Aim::Cluster);
        Some(planned.described(format!(" {count} x {} on {}", code.word(), api.word())))
    }
}

/// Warns that an idempotent producer takes a refused request for done where sequences are not checked.
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

//! Keys that take a value within limits.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Findings;
use crate::base::format_duration;
use crate::scenario::{At, Diagnostic, codes};

/// A key of the scenario, and what is given for it.
pub(super) struct Key<'a, T> {
    name: Cow<'a, str>,
    given: Option<&'a At<T>>,
}

impl<'a, T> Key<'a, T> {
    /// The key called `name` in messages.
    pub(super) fn new(name: impl Into<Cow<'a, str>>, given: Option<&'a At<T>>) -> Key<'a, T> {
        Key { name: name.into(), given }
    }
}

/// `key!(run.warmup)` is that key of a section in a variable of the section's name.
macro_rules! key {
    ($section:ident . $key:ident) => {
        $crate::plan::build::key::Key::new(
            concat!(stringify!($section), ".", stringify!($key)),
            $section.$key.as_ref(),
        )
    };
}
pub(super) use key;

impl Findings {
    /// A count within `range`, or `default`.
    pub(super) fn count(
        &mut self,
        key: Key<'_, u64>,
        default: u32,
        range: RangeInclusive<u32>,
        reason: &str,
    ) -> u32 {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        let value = self.within(key, default.into(), range, reason, |value| value.to_string());
        // The range ends where a `u32` does.
        u32::try_from(value).unwrap_or(default)
    }

    /// A number within `range`, or `default`.
    pub(super) fn number(
        &mut self,
        key: Key<'_, f64>,
        default: f64,
        range: RangeInclusive<f64>,
        reason: &str,
    ) -> f64 {
        self.within(key, default, range, reason, |value| value.to_string())
    }

    /// A duration within `range`, or `default`.
    pub(super) fn duration(
        &mut self,
        key: Key<'_, Duration>,
        default: Duration,
        range: RangeInclusive<Duration>,
        reason: &str,
    ) -> Duration {
        self.within(key, default, range, reason, format_duration)
    }

    #[expect(clippy::needless_pass_by_value, reason = "a key is looked at once")]
    fn within<T: Copy + PartialOrd>(
        &mut self,
        key: Key<'_, T>,
        default: T,
        range: RangeInclusive<T>,
        reason: &str,
        show: impl Fn(T) -> String,
    ) -> T {
        let Some(at) = key.given else { return default };
        if range.contains(&at.value) {
            return at.value;
        }
        let (least, most) = (show(*range.start()), show(*range.end()));
        let message =
            format!("`{}` must be from {least} to {most}, not {}", key.name, show(at.value));
        self.push(Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message).remedy(reason));
        default
    }
}

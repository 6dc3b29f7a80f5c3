//! Collects diagnostics while a scenario is translated to a plan, and reads keys whose values have limits.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{At, Diagnostic, MISTAKES_MAX, Severity, codes};
use crate::base::format_duration;

/// The diagnostics found so far.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Diagnostic>,
    /// True if the scenario is read as one of several variants.
    is_variant: bool,
}

impl Findings {
    /// Findings of one variant of a scenario, in which a setting without effect is only a warning.
    pub fn of_variant() -> Findings {
        Findings { list: Vec::new(), is_variant: true }
    }

    /// True if the scenario is read as one of several variants.
    pub fn is_variant(&self) -> bool {
        self.is_variant
    }

    /// Adds a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Adds a diagnostic about a setting that other variants of the scenario may need: in a variant it is a warning.
    pub fn push_for_others(&mut self, mut diagnostic: Diagnostic) {
        if self.is_variant {
            diagnostic.severity = Severity::Warning;
        }
        self.push(diagnostic);
    }

    /// The number of diagnostics.
    pub fn count_so_far(&self) -> usize {
        self.list.len()
    }

    /// The diagnostics in the order of their places.
    pub fn into_sorted(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.list;
        diagnostics.sort_by_key(|diagnostic| diagnostic.origin);
        diagnostics
    }

    /// True if the limit of diagnostics is reached, so that further checks are skipped.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MISTAKES_MAX
    }

    /// Refuses a key that has no effect without another setting.
    pub fn no_effect<T>(&mut self, key: &str, given: Option<&At<T>>, works_with: &str, now: &str) {
        if let Some(at) = given {
            let message = format!("`{key}` has no effect with {now}");
            let diagnostic = Diagnostic::error(codes::NO_EFFECT, at.key, message);
            self.push_for_others(diagnostic.remedy(format!("remove it, or set {works_with}")));
        }
    }
}

/// A key of the scenario, and its value if it is given.
#[derive(Clone, Debug)]
pub struct GivenKey<'a, T> {
    name: Cow<'a, str>,
    given: Option<&'a At<T>>,
}

impl<'a, T> GivenKey<'a, T> {
    /// The key called `name` in messages.
    pub fn new(name: impl Into<Cow<'a, str>>, given: Option<&'a At<T>>) -> GivenKey<'a, T> {
        GivenKey { name: name.into(), given }
    }
}

/// `key!(run.warmup)` is the [`GivenKey`] of this key. A variable named like the section must be in scope.
macro_rules! key {
    ($section:ident . $key:ident) => {
        $crate::reader::GivenKey::new(
            concat!(stringify!($section), ".", stringify!($key)),
            $section.$key.as_ref(),
        )
    };
}
pub(crate) use key;

impl Findings {
    /// A count within `range`, or `default`. Adds a diagnostic if the value is outside the range.
    pub fn count(
        &mut self,
        key: GivenKey<'_, u64>,
        default: u32,
        range: RangeInclusive<u32>,
        reason: &str,
    ) -> u32 {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        let value = self.within(key, default.into(), range, reason, |value| value.to_string());
        // The range ends within the range of a `u32`.
        u32::try_from(value).unwrap_or(default)
    }

    /// A number within `range`, or `default`. Adds a diagnostic if the value is outside the range.
    pub fn number(
        &mut self,
        key: GivenKey<'_, f64>,
        default: f64,
        range: RangeInclusive<f64>,
        reason: &str,
    ) -> f64 {
        self.within(key, default, range, reason, |value| value.to_string())
    }

    /// A duration within `range`, or `default`. Adds a diagnostic if the value is outside the range.
    pub fn duration(
        &mut self,
        key: GivenKey<'_, Duration>,
        default: Duration,
        range: RangeInclusive<Duration>,
        reason: &str,
    ) -> Duration {
        self.within(key, default, range, reason, format_duration)
    }

    #[expect(clippy::needless_pass_by_value, reason = "a key is looked at once")]
    fn within<T: Copy + PartialOrd>(
        &mut self,
        key: GivenKey<'_, T>,
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

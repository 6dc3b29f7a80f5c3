//! Comparisons in `[expect]`: `< 50ms`, `>= 100`, `106..122`, `0`.

use crate::base::{Quantity, UnitError, parse_duration};
use crate::plan::Comparison;

/// Why a text is not a comparison: what is wrong, and an example of what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadBound {
    pub(super) why: String,
    pub(super) example: &'static str,
}

/// The two-letter operators come first: `<` is the beginning of `<=`.
type Operator = (&'static str, fn(f64) -> Comparison);
const OPERATORS: [Operator; 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

/// Reads a comparison. Times become nanoseconds.
pub(super) fn parse(text: &str, is_time: bool) -> Result<Comparison, BadBound> {
    let text = text.trim();
    if let Some((low, high)) = text.split_once("..") {
        let high = high.strip_prefix('=').unwrap_or(high);
        let (low, high) = (value(low, is_time)?, value(high, is_time)?);
        if low > high {
            return Err(bad("its lower end is above its upper end".to_owned(), is_time));
        }
        return Ok(Comparison::Within(low, high));
    }
    let found = OPERATORS
        .iter()
        .find_map(|(operator, make)| text.strip_prefix(operator).map(|rest| (rest, make)));
    match found {
        Some((rest, make)) => value(rest, is_time).map(make),
        None => value(text, is_time).map(Comparison::Equal),
    }
}

fn value(text: &str, is_time: bool) -> Result<f64, BadBound> {
    let text = text.trim();
    if is_time {
        return match parse_duration(text) {
            Ok(span) => Ok(span.as_nanos() as f64),
            Err(UnitError::NoUnit) => {
                let units = Quantity::Duration.units();
                Err(bad(format!("`{text}` needs a unit: {units}"), true))
            }
            Err(error) => Err(bad(format!("`{text}` is not a duration: {error}"), true)),
        };
    }
    match text.replace(['_', ','], "").parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(bad(format!("`{text}` is not a number"), false)),
    }
}

pub(super) fn bad(why: String, is_time: bool) -> BadBound {
    let example = if is_time { "\"< 50ms\"" } else { "0`, `\">= 100\"` or `\"106..122\"" };
    BadBound { why, example }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read() {
        assert_eq!(parse("< 50ms", true), Ok(Comparison::Less(50e6)));
        assert_eq!(parse("<=1s", true), Ok(Comparison::AtMost(1e9)));
        assert_eq!(parse("1ms..2ms", true), Ok(Comparison::Within(1e6, 2e6)));
        assert_eq!(parse("106..122", false), Ok(Comparison::Within(106.0, 122.0)));
        assert_eq!(parse("0.5..=1.5", false), Ok(Comparison::Within(0.5, 1.5)));
        assert_eq!(parse("= 0", false), Ok(Comparison::Equal(0.0)));
        assert_eq!(parse("> 10", false), Ok(Comparison::Greater(10.0)));
        assert_eq!(parse("1_228_800", false), Ok(Comparison::Equal(1_228_800.0)));
    }

    #[test]
    fn nonsense_is_not() {
        for text in ["", "<", "< fast", "5..1", "..", "NaN", "inf", "< -"] {
            assert!(parse(text, false).is_err(), "{text}");
        }
        for text in ["50", "< 50", "< 50 parsecs", "-5ms"] {
            assert!(parse(text, true).is_err(), "{text}");
        }
    }
}

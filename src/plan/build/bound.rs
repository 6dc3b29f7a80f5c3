//! Comparisons in `[expect]`: `< 50ms`, `>= 100`, `106..122`, `0`.

use crate::base::{Quantity, UnitError, number, parse_duration};
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

/// How comparisons are written elsewhere, and how they are written here.
const ELSEWHERE: [(&str, &str); 8] = [
    ("=>", "`>=`"),
    ("=<", "`<=`"),
    ("\u{2264}", "`<=`"),
    ("\u{2265}", "`>=`"),
    ("\u{2260}", "`<` or `>`"),
    ("!=", "`<` or `>`"),
    ("<>", "`<` or `>`"),
    ("\u{2026}", "`..` between the two ends of a range"),
];

/// Reads a comparison. Times become nanoseconds.
pub(super) fn parse(text: &str, is_time: bool) -> Result<Comparison, BadBound> {
    let text = text.trim();
    let is_elsewhere = |(its, _): &&(&str, &str)| {
        text.starts_with(its) || (*its == "\u{2026}" && text.contains(its))
    };
    if let Some((its, here)) = ELSEWHERE.iter().find(is_elsewhere) {
        return Err(bad(format!("`{its}` is not a comparison here: write {here}"), is_time));
    }
    if let Some((low, high)) = text.split_once("..") {
        return range(low.trim(), high.strip_prefix('=').unwrap_or(high).trim(), is_time);
    }
    let found = OPERATORS
        .iter()
        .find_map(|(operator, make)| text.strip_prefix(operator).map(|rest| (rest, make)));
    match found {
        Some((rest, make)) => value(rest.trim(), is_time).map(make),
        None => value(text, is_time).map(Comparison::Equal),
    }
}

fn range(low: &str, high: &str, is_time: bool) -> Result<Comparison, BadBound> {
    if high.starts_with('.') || low.ends_with('.') {
        return Err(bad("a range has two points between its ends".to_owned(), is_time));
    }
    for (end, which) in [(low, "lower"), (high, "upper")] {
        if end.is_empty() {
            let why = format!("its {which} end is missing; `<` and `>` compare with one number");
            return Err(bad(why, is_time));
        }
    }
    let (low, high) = (value(low, is_time)?, value(high, is_time)?);
    if low > high {
        return Err(bad("its lower end is above its upper end".to_owned(), is_time));
    }
    Ok(Comparison::Within(low, high))
}

fn value(text: &str, is_time: bool) -> Result<f64, BadBound> {
    if text.is_empty() {
        let wanted = if is_time { "a duration" } else { "a number" };
        return Err(bad(format!("{wanted} is missing"), is_time));
    }
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
    plain(text).ok_or_else(|| {
        let why = match text {
            text if text.ends_with('%') => "shares are written from 0 to 1",
            text if text.contains(',') => {
                "decimals are written with a point, and thousands without a comma"
            }
            _ => return bad(format!("`{text}` is not a number"), false),
        };
        bad(format!("`{text}` is not a number: {why}"), false)
    })
}

/// A number, perhaps with a sign and an exponent.
fn plain(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    number(digits)?;
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    exponent.parse::<u16>().ok()?;
    text.replace('_', "").parse::<f64>().ok().filter(|number| number.is_finite())
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
        assert_eq!(parse("> -1e3", false), Ok(Comparison::Greater(-1_000.0)));
        assert_eq!(parse("1_228_800", false), Ok(Comparison::Equal(1_228_800.0)));
    }

    #[test]
    fn nonsense_is_not() {
        for text in ["", "<", "< fast", "5..1", "..", "5..", "..5", "NaN", "inf", "< -", "1e999"] {
            assert!(parse(text, false).is_err(), "{text}");
        }
        for text in ["50", "< 50", "< 50 parsecs", "-5ms", "< 0,5s", "1ms...2ms"] {
            assert!(parse(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn what_looks_like_another_number_is_none() {
        let why = |text| parse(text, false).expect_err(text).why;
        for (text, part) in [
            ("< 0,5", "decimals are written with a point"),
            ("1,228,800", "thousands without a comma"),
            ("0...5", "two points between"),
            ("0.. .5", "two points between"),
            ("0.5.", "`0.5.` is not a number"),
            ("=> 0", "write `>=`"),
            ("=< 0", "write `<=`"),
            ("\u{2264} 5", "write `<=`"),
            ("!= 0", "write `<` or `>`"),
            ("0\u{2026}5", "write `..`"),
            ("> 99%", "from 0 to 1"),
        ] {
            assert!(why(text).contains(part), "{text}: {}", why(text));
        }
    }
}

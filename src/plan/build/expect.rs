//! Expectations. Each has a figure that exists and that this run measures, and a comparison: `< 50ms`, `>= 100`,
//! `106..122`, `0`.

use crate::base::{Quantity, UnitError, number, parse_duration};
use crate::fault::Targets;
use crate::plan::{Comparison, Expectation, FaultPlan, Pace, Plan};
use crate::reader::Findings;
use crate::scenario::{Bound, Diagnostic, Expected, Scenario, closest, codes};
use crate::summary::{Figure, Need, Scope, Unit};

/// The expectations of the scenario in its order, then the default ones.
pub(super) fn build(scenario: &Scenario, plan: &Plan, found: &mut Findings) -> Vec<Expectation> {
    let mut all: Vec<Expectation> = Vec::new();
    for expected in &scenario.expect {
        if found.is_full() {
            break;
        }
        all.extend(expectation(expected, scenario, plan, found));
    }
    let is_named = |default: &Expectation| {
        scenario.expect.iter().any(|its| Figure::parse(&its.metric) == Some(default.figure))
    };
    let missing = defaults(plan).into_iter().filter(|default| !is_named(default));
    all.extend(missing.collect::<Vec<_>>());
    all
}

/// The default expectations, unless the scenario names the same figure. Something was measured, and all records sent
/// were acknowledged and processed. With a schedule, consumers keep up with it. In a run that sends nothing, a record
/// of another producer counts as measured.
fn defaults(plan: &Plan) -> Vec<Expectation> {
    let default = |expression: &str, name: &str, comparison| {
        let expression = expression.to_owned();
        let figure = Figure::parse(name)?;
        Some(Expectation { expression, figure, comparison, is_default: true })
    };
    let none = |name: &str| default(&format!("{name} = 0"), name, Comparison::Equal(0.0));
    let mut all: Vec<Option<Expectation>> =
        ["lost", "unread", "failed", "indeterminate"].map(none).into();
    if plan.load.sends() {
        all.push(default("measured > 0", "measured", Comparison::Greater(0.0)));
    }
    if plan.load.sends() && plan.load.pace != Pace::Max {
        all.push(default("keeps_up = true", "keeps_up", Comparison::Equal(1.0)));
    }
    all.into_iter().flatten().collect()
}

fn expectation(
    expected: &Expected,
    scenario: &Scenario,
    plan: &Plan,
    found: &mut Findings,
) -> Option<Expectation> {
    let current = current_name(expected, scenario, found);
    let name = current.as_ref().unwrap_or(&expected.metric);
    let Some(figure) = Figure::parse(name) else {
        let message = format!("there is no figure `{name}`");
        found.push(
            Diagnostic::error(codes::UNKNOWN_METRIC, expected.bound.key, message)
                .remedy(suggestion(name)),
        );
        return None;
    };
    if let Some((why, remedy)) = not_measured(figure, scenario.fault.len(), plan) {
        let message = format!("`{name}` is not measured: {why}");
        found.push_for_others(
            Diagnostic::error(codes::NOT_MEASURED, expected.bound.key, message).remedy(remedy),
        );
        return None;
    }
    match comparison(&expected.bound.value, figure.metric.unit) {
        Ok((comparison, text)) => {
            let expression = format!("{name} {text}");
            Some(Expectation { expression, figure, comparison, is_default: false })
        }
        Err(BadBound { why, example }) => {
            let message = format!("`{name}` cannot be compared: {why}");
            found.push(
                Diagnostic::error(codes::BAD_BOUND, expected.bound.origin, message)
                    .remedy(format!("for example `{example}`")),
            );
            None
        }
    }
}

/// The name of the figure. For a name of the previous version, the current one, with a warning.
fn current_name(expected: &Expected, scenario: &Scenario, found: &mut Findings) -> Option<String> {
    let old = &expected.metric;
    let name = Figure::renamed(old)?;
    let warning = Diagnostic::warning(
        codes::RENAMED_KEY,
        expected.bound.key,
        format!("the figure `{old}` is called `{name}` now"),
    );
    found.push(warning.remedy(format!("write `{name}`: the next version does not know `{old}`")));
    if scenario.expect.iter().any(|its| its.metric == name) {
        let message = format!("`expect` has `{name}` and its old name `{old}`");
        let conflict = Diagnostic::error(codes::CONFLICT, expected.bound.key, message);
        found.push(conflict.remedy(format!("remove `{old}`")));
    }
    Some(name)
}

/// The comparison, and its text after the figure's name.
fn comparison(bound: &Bound, unit: Unit) -> Result<(Comparison, String), BadBound> {
    let is_time = unit == Unit::Time;
    let text = match bound {
        Bound::Flag(flag) if unit == Unit::Flag => {
            return Ok((Comparison::Equal(f64::from(u8::from(*flag))), format!("= {flag}")));
        }
        Bound::Flag(flag) => {
            return Err(bad_bound(format!("it is not `{flag}`, but measured"), is_time));
        }
        Bound::Number(number) if is_time => {
            return Err(bad_bound(format!("`{number}` is not a time"), true));
        }
        Bound::Number(number) => return Ok((Comparison::Equal(*number), format!("= {number}"))),
        Bound::Text(text) => text.trim(),
    };
    let comparison = parse_bound(text, is_time)?;
    let has_operator = text.starts_with(['<', '>', '=']);
    // A number without an operator means "exactly", which a measured time never is.
    if is_time && !has_operator && matches!(comparison, Comparison::Equal(_)) {
        let why = format!("a time is never exactly `{text}`: write `< {text}`, or a range");
        return Err(bad_bound(why, true));
    }
    let text = match comparison {
        Comparison::Within(..) => format!("in {text}"),
        Comparison::Equal(_) if !has_operator => format!("= {text}"),
        _ => text.to_owned(),
    };
    Ok((comparison, text))
}

/// The remedy for an unknown name: the closest known one, or a list of all.
fn suggestion(name: &str) -> String {
    // The user's own index is kept. Names are compared without it.
    let index = name.find('[').and_then(|open| Some(&name[open..=open + name[open..].find(']')?]));
    let bare = index.map_or(name.to_owned(), |index| name.replacen(index, "[]", 1));
    let names: Vec<String> = Figure::names().map(|(name, _)| name).collect();
    match closest(&bare, names.iter().map(String::as_str)) {
        Some(near) => {
            let default = if near.starts_with("partition") { "[*]" } else { "[0]" };
            let is_usable = |index: &&str| Figure::parse(&near.replacen("[]", index, 1)).is_some();
            let usable = index.filter(is_usable).unwrap_or(default);
            format!("did you mean `{}`?", near.replacen("[]", usable, 1))
        }
        None => "figures are counters such as `lost`, `latency.p99`, `lateness.p99`, \
                 `partition[*].rate`, `fault[0].recovery`; the book lists all of them"
            .to_owned(),
    }
}

/// The reason why this run does not measure the figure, with a remedy; `None` if it does.
fn not_measured(figure: Figure, faults: usize, plan: &Plan) -> Option<(String, String)> {
    let partitions = plan.partitions_max();
    match figure.scope {
        Scope::Partition(partition) if partition >= partitions => Some((
            format!("there is no partition {partition}"),
            format!("partitions are numbered 0 to {}", partitions - 1),
        )),
        Scope::Fault(index) if index >= faults => Some((
            match faults {
                0 => "the scenario has no fault".to_owned(),
                1 => format!("there is no fault {index}"),
                count => format!("there is no fault {index} among {count}"),
            },
            match faults {
                0 => "add a `[[fault]]`, or remove the expectation".to_owned(),
                1 => "the only fault is `fault[0]`".to_owned(),
                count => format!("faults are numbered 0 to {}", count - 1),
            },
        )),
        Scope::Stage(index) if index >= plan.load.stages.len() => {
            Some(match plan.load.stages.len() {
                0 => (
                    "the load has no stages".to_owned(),
                    "add a `[[load.stage]]`, or remove the expectation".to_owned(),
                ),
                count => (
                    format!("there is no stage {index}"),
                    format!("stages are numbered 0 to {}", count - 1),
                ),
            })
        }
        Scope::Fault(index) => not_of_fault(index, figure.metric.needs, plan),
        _ => {
            plan.lacks(figure.metric.needs).map(|(why, remedy)| (why.to_owned(), remedy.to_owned()))
        }
    }
}

/// The reason why a fault does not have the times or targets that a metric needs, with a remedy; `None` if it does.
fn not_of_fault(index: usize, needs: Need, plan: &Plan) -> Option<(String, String)> {
    let remedy = format!("remove it, or ask for `fault[{index}].recovery`");
    let its = || plan.faults.iter().filter(|fault| fault.entry == index);
    match needs {
        Need::Failure => {
            let fault = its().find(|fault| fault.kind.is_no_failure())?;
            Some((format!("`{}` ends no consumer and no pool", fault.kind.name()), remedy))
        }
        Need::OtherPartitions => {
            let is_whole = |fault: &FaultPlan| {
                let aimed_at = match &fault.targets {
                    Targets::Partitions(partitions) => partitions.len(),
                    // A member of a group may get any partitions.
                    Targets::Consumers(consumers) if plan.group().is_none() => consumers.len(),
                    _ => 0,
                };
                aimed_at as u64 >= u64::from(plan.partitions_max())
            };
            let is_aimed_at_all = its().next().is_some() && its().all(is_whole);
            is_aimed_at_all.then(|| ("the fault is aimed at every partition".to_owned(), remedy))
        }
        _ => None,
    }
}

/// The error in the text of a comparison, and a correct example.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BadBound {
    why: String,
    example: &'static str,
}

/// Two-character operators come first, because `<` is the beginning of `<=`.
type Operator = (&'static str, fn(f64) -> Comparison);
const OPERATORS: [Operator; 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

/// Spellings of comparisons in other languages, and the ones used here.
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
fn parse_bound(text: &str, is_time: bool) -> Result<Comparison, BadBound> {
    let text = text.trim();
    let is_elsewhere = |(its, _): &&(&str, &str)| {
        text.starts_with(its) || (*its == "\u{2026}" && text.contains(its))
    };
    if let Some((its, here)) = ELSEWHERE.iter().find(is_elsewhere) {
        return Err(bad_bound(format!("`{its}` is not a comparison here: write {here}"), is_time));
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
        return Err(bad_bound("a range has two points between its ends".to_owned(), is_time));
    }
    for (end, which) in [(low, "lower"), (high, "upper")] {
        if end.is_empty() {
            let why = format!("its {which} end is missing; `<` and `>` compare with one number");
            return Err(bad_bound(why, is_time));
        }
    }
    let (low, high) = (value(low, is_time)?, value(high, is_time)?);
    if low > high {
        return Err(bad_bound("its lower end is above its upper end".to_owned(), is_time));
    }
    Ok(Comparison::Within(low, high))
}

fn value(text: &str, is_time: bool) -> Result<f64, BadBound> {
    if text.is_empty() {
        let wanted = if is_time { "a duration" } else { "a number" };
        return Err(bad_bound(format!("{wanted} is missing"), is_time));
    }
    if is_time {
        return match parse_duration(text) {
            Ok(span) => Ok(span.as_nanos() as f64),
            Err(UnitError::NoUnit) => {
                let units = Quantity::Duration.units();
                Err(bad_bound(format!("`{text}` needs a unit: {units}"), true))
            }
            Err(error) => Err(bad_bound(format!("`{text}` is not a duration: {error}"), true)),
        };
    }
    plain(text).ok_or_else(|| {
        let why = match text {
            text if text.ends_with('%') => "shares are written from 0 to 1",
            text if text.contains(',') => {
                "decimals are written with a point, and thousands without a comma"
            }
            _ => return bad_bound(format!("`{text}` is not a number"), false),
        };
        bad_bound(format!("`{text}` is not a number: {why}"), false)
    })
}

/// A number with optional sign and exponent.
fn plain(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    number(digits)?;
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    exponent.parse::<u16>().ok()?;
    text.replace('_', "").parse::<f64>().ok().filter(|number| number.is_finite())
}

fn bad_bound(why: String, is_time: bool) -> BadBound {
    let example = if is_time { "\"< 50ms\"" } else { "0`, `\">= 100\"` or `\"106..122\"" };
    BadBound { why, example }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_keeps_the_index_that_was_written() {
        for (written, meant) in [
            ("partition[3].latncy.p99", "did you mean `partition[3].latency.p99`?"),
            ("fault[*].recovery", "did you mean `fault[0].recovery`?"),
        ] {
            assert_eq!(suggestion(written), meant);
        }
    }

    #[test]
    fn comparisons_are_read() {
        assert_eq!(parse_bound("< 50ms", true), Ok(Comparison::Less(50e6)));
        assert_eq!(parse_bound("<=1s", true), Ok(Comparison::AtMost(1e9)));
        assert_eq!(parse_bound("1ms..2ms", true), Ok(Comparison::Within(1e6, 2e6)));
        assert_eq!(parse_bound("106..122", false), Ok(Comparison::Within(106.0, 122.0)));
        assert_eq!(parse_bound("0.5..=1.5", false), Ok(Comparison::Within(0.5, 1.5)));
        assert_eq!(parse_bound("= 0", false), Ok(Comparison::Equal(0.0)));
        assert_eq!(parse_bound("> 10", false), Ok(Comparison::Greater(10.0)));
        assert_eq!(parse_bound("> -1e3", false), Ok(Comparison::Greater(-1_000.0)));
        assert_eq!(parse_bound("1_228_800", false), Ok(Comparison::Equal(1_228_800.0)));
    }

    #[test]
    fn nonsense_is_not() {
        for text in ["", "<", "< fast", "5..1", "..", "5..", "..5", "NaN", "inf", "< -", "1e999"] {
            assert!(parse_bound(text, false).is_err(), "{text}");
        }
        for text in ["50", "< 50", "< 50 parsecs", "-5ms", "< 0,5s", "1ms...2ms"] {
            assert!(parse_bound(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn what_looks_like_another_number_is_none() {
        let why = |text| parse_bound(text, false).expect_err(text).why;
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

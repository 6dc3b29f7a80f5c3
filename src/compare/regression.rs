//! `--fail-on-regression METRIC[:THRESHOLD]`: figures that must not become worse.

use super::side_by_side::{ChangeWord, MetricRow, MetricValue, SideBySide};
use crate::base::{number, parse_duration};
use crate::scenario::closest;
use crate::summary::{Figure, Unit};

/// A figure that must not become worse by more than a threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct RegressionRule {
    /// The figure's name.
    pub metric: String,
    /// The tolerance.
    pub threshold: Threshold,
}

/// The tolerance for a figure that becomes worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// A fraction of the first variant's value: 0.1 for `10%`.
    Share(f64),
    /// An amount in the figure's unit; times are milliseconds.
    Amount(f64),
}

impl RegressionRule {
    /// Reads `METRIC` or `METRIC:THRESHOLD`, where the threshold is `10%`, `5ms` or `3`.
    ///
    /// # Errors
    /// The name is no figure, or the threshold does not fit it. The text has a remedy.
    pub fn parse(text: &str) -> Result<RegressionRule, String> {
        let (metric, threshold) = text.split_once(':').unwrap_or((text, "0"));
        let Some(figure) = Figure::parse(metric) else {
            let names: Vec<String> = Figure::names().map(|(name, _)| name).collect();
            let near = closest(metric, names.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| {
                format!(
                    "; did you mean `{}`?",
                    near.replacen("partition[]", "partition[*]", 1).replacen("[]", "[0]", 1)
                )
            });
            return Err(format!("there is no figure `{metric}`{near}"));
        };
        let wrong = || {
            format!(
                "`{threshold}` is no threshold of `{metric}`: write `10%`, or {}",
                match figure.is_time() {
                    true => "a time such as `5ms`",
                    false => "a number such as `3`",
                }
            )
        };
        let threshold = match threshold.strip_suffix('%') {
            Some(percent) => Threshold::Share(number(percent.trim()).ok_or_else(wrong)? / 100.0),
            None if figure.metric.unit == Unit::Time && threshold != "0" => Threshold::Amount(
                parse_duration(threshold).map_err(|_| wrong())?.as_secs_f64() * 1e3,
            ),
            None => Threshold::Amount(number(threshold).ok_or_else(wrong)?),
        };
        Ok(RegressionRule { metric: metric.to_owned(), threshold })
    }

    /// The variants in which the figure is worse than in the first one by more than the threshold, as text. Also those
    /// with a round in which the figure was not measured, the first variant included.
    fn broken(&self, row: &MetricRow) -> Vec<String> {
        let first = row.values[0].value;
        let is_worse = |value: &&MetricValue| {
            value.change.as_ref().is_some_and(|change| {
                let size = change.difference.abs();
                let is_more = match self.threshold {
                    Threshold::Share(share) => {
                        first.is_some_and(|first| size > share * first.abs())
                    }
                    Threshold::Amount(amount) => size > amount,
                };
                change.verdict == ChangeWord::Worse && is_more
            })
        };
        let said = |value: &MetricValue| {
            let (from, to) = (first.unwrap_or(f64::NAN), value.value.unwrap_or(f64::NAN));
            let unit = if row.unit == "ms" { " ms" } else { "" };
            format!("{} of {}: {from:.3}{unit} became {to:.3}{unit}", row.name, value.variant)
        };
        row.values.iter().filter(is_worse).map(said).collect()
    }
}

/// All regressions of a comparison, as text.
///
/// # Errors
/// No variant has the figure, so the rule could never fail.
pub fn regressions(rules: &[RegressionRule], compared: &SideBySide) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for rule in rules {
        let row = compared.metric(&rule.metric).ok_or_else(|| {
            format!(
                "these runs have no figure `{}`; remove it from `--fail-on-regression`",
                rule.metric
            )
        })?;
        all.extend(rule.broken(row));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_shares_times_or_numbers() {
        let parse = |text: &str| RegressionRule::parse(text).map(|rule| rule.threshold);
        assert_eq!(parse("latency.p99"), Ok(Threshold::Amount(0.0)));
        assert_eq!(parse("latency.p99:10%"), Ok(Threshold::Share(0.1)));
        assert_eq!(parse("latency.p99:5ms"), Ok(Threshold::Amount(5.0)));
        assert_eq!(parse("lost:3"), Ok(Threshold::Amount(3.0)));
        for (text, said) in [
            ("latency.p99:5", "a time such as `5ms`"),
            ("lost:5ms", "a number such as `3`"),
            ("latency.p98", "did you mean `latency.p9"),
            ("partition[0].latencyp99", "there is no figure"),
        ] {
            let error = parse(text).expect_err("a mistake");
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}

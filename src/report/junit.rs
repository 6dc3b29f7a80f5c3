//! The result as JUnit XML: a case for each expectation, so that a CI server shows which one failed.
//!
//! A case is a `failure` if its expectation does not hold. It is an `error` if the run could not decide it, because the
//! run is invalid, was interrupted or was cut off.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::stored::readable;
use super::words::{Outcome, measured, outcome, story, verdict_word};
use crate::summary::{ExpectationSummary, Summary};

/// The XML.
///
/// # Errors
/// The file cannot be written.
pub fn junit_report(summary: &Summary) -> Result<String, SerializeError> {
    let shown = readable(summary);
    let summary = shown.as_deref().unwrap_or(summary);
    let mut suite = TestSuite::new(summary.scenario.as_str());
    let lasted = seconds(summary.load_lasted_s);
    suite.set_time(lasted);
    suite.set_system_out(story(summary));
    suite.add_test_cases(summary.expectations.iter().map(|it| case(summary, it)));
    let mut report = Report::new("lanekeeper");
    report.set_time(lasted);
    report.add_test_suite(suite);
    report.to_string()
}

fn seconds(s: f64) -> Duration {
    Duration::try_from_secs_f64(s).unwrap_or_default()
}

fn case(summary: &Summary, expectation: &ExpectationSummary) -> TestCase {
    let status = match outcome(summary, expectation) {
        Outcome::Holds => TestCaseStatus::success(),
        Outcome::Fails => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(format!("measured {}", measured(expectation)));
            status.set_type("expectation");
            status
        }
        Outcome::Undecided => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            let reason = summary.invalid_reasons.first().cloned();
            let reason = reason.unwrap_or_else(|| measured(expectation));
            status.set_message(format!("{}: {reason}", verdict_word(summary.verdict)));
            status.set_type("undecided");
            status
        }
    };
    let mut case = TestCase::new(expectation.expression.as_str(), status);
    case.set_classname(format!("lanekeeper.{}", summary.scenario));
    case.set_time(Duration::ZERO);
    case.set_system_out(format!("measured {}", measured(expectation)));
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Verdict;

    fn summary(verdict: Verdict) -> Summary {
        let expectation = |expression: &str, passed| ExpectationSummary {
            expression: expression.to_owned(),
            text: Some("<3> & \u{1b}".to_owned()),
            passed,
            judged: true,
            ..ExpectationSummary::default()
        };
        let expectations = vec![expectation("lost = 0", false), expectation("a < \"b\"", true)];
        Summary { verdict, scenario: "s".to_owned(), expectations, ..Summary::default() }
    }

    fn counts(verdict: Verdict) -> (usize, usize, usize) {
        let xml = junit_report(&summary(verdict)).unwrap();
        let report = Report::deserialize_from_str(&xml).unwrap();
        (report.tests, report.failures, report.errors)
    }

    #[test]
    fn failures_and_errors_are_told_apart() {
        assert_eq!(counts(Verdict::Failed), (2, 1, 0));
        assert_eq!(counts(Verdict::Invalid), (2, 0, 2));
        assert_eq!(counts(Verdict::CutOff), (2, 0, 2));
    }

    #[test]
    fn texts_are_escaped() {
        let xml = junit_report(&summary(Verdict::Failed)).unwrap();
        assert!(xml.contains("&lt;3&gt; &amp; \\u{1b}"), "{xml}");
        assert!(xml.contains("a &lt; &quot;b&quot;"), "{xml}");
    }
}

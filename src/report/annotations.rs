//! Annotations of a GitHub workflow: each expectation that does not hold is shown at its line of the scenario.

use super::stored::readable;
use super::words::{Outcome, measured, outcome, verdict_word};
use crate::summary::{Summary, Verdict};

/// A line for each expectation that does not hold, and one for a run that decides nothing. `file` is the path of the
/// scenario in the workflow, and `text` its content.
pub fn github_annotations(summary: &Summary, file: Option<&str>, text: &str) -> Vec<String> {
    let shown = readable(summary);
    let s = shown.as_deref().unwrap_or(summary);
    let place = |line: Option<usize>| {
        let file = file.map(|file| format!("file={},", property(file))).unwrap_or_default();
        let line = line.filter(|_| !file.is_empty()).map(|line| format!("line={line},"));
        file + &line.unwrap_or_default()
    };
    let mut lines = Vec::new();
    if !matches!(s.verdict, Verdict::Passed | Verdict::Failed) {
        let reason = s.invalid_reasons.first().map_or("the run decides nothing", String::as_str);
        let title = property(&format!("{} {}", verdict_word(s.verdict), s.scenario));
        lines.push(format!("::error {}title={title}::{}", place(None), message(reason)));
    }
    for it in s.expectations.iter().filter(|it| outcome(s, it) == Outcome::Fails) {
        let title = property(&format!("{}: {}", s.scenario, it.expression));
        let said = message(&format!("measured {}", measured(it)));
        lines
            .push(format!("::error {}title={title}::{said}", place(line_of(text, &it.expression))));
    }
    lines
}

/// The line of an expectation in the scenario, from 1; `None` if it is not found.
fn line_of(text: &str, expression: &str) -> Option<usize> {
    let figure = expression.split(' ').next()?;
    let mut is_within = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            is_within = line.starts_with("[expect]");
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        if is_within && key.trim_matches(['"', '\'']) == figure {
            return Some(number + 1);
        }
    }
    None
}

/// A text as the message of an annotation.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A text as a property of an annotation.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::ExpectationSummary;

    #[test]
    fn what_fails_is_shown_at_its_line() {
        let expectation = ExpectationSummary {
            expression: "fault[0].recovery < 250ms".to_owned(),
            text: Some("6.2s, 100%".to_owned()),
            judged: true,
            ..ExpectationSummary::default()
        };
        let mut summary = Summary {
            verdict: Verdict::Failed,
            scenario: "a,b".to_owned(),
            expectations: vec![expectation],
            ..Summary::default()
        };
        let text = "[load]\nrate = 1\n[expect]\n\n\"fault[0].recovery\" = \"< 250ms\"\n";
        assert_eq!(
            github_annotations(&summary, Some("s.toml"), text),
            [
                "::error file=s.toml,line=5,title=a%2Cb%3A fault[0].recovery < 250ms::measured 6.2s, 100%25"
            ]
        );
        assert!(github_annotations(&summary, None, text)[0].starts_with("::error title=a%2Cb"));
        summary.verdict = Verdict::Invalid;
        let lines = github_annotations(&summary, None, text);
        assert_eq!(lines, ["::error title=INVALID a%2Cb::the run decides nothing"]);
        summary.expectations[0].passed = true;
        summary.verdict = Verdict::Passed;
        assert!(github_annotations(&summary, None, text).is_empty());
    }
}

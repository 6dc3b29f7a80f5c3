//! `guide` on the simulator: every claim has a verdict, figures, and a valid command.

use crate::support::{Finished, Tool};
use serde_json::Value;

#[test]
fn every_claim_has_a_verdict_figures_and_a_command() {
    let guide = Tool::new().args(["guide", "--repeat", "1", "--format", "json"]).finish();
    assert_eq!(guide.code, 0, "{}", guide.output());
    let report: Value = serde_json::from_str(&guide.stdout).expect("JSON");
    let claims = report["claims"].as_array().expect("claims");
    assert_eq!(claims.len(), 11);
    for claim in claims {
        let verdict = claim["verdict"].as_str().expect("a verdict");
        assert!(["supported", "not supported", "inconclusive"].contains(&verdict), "{claim:#}");
        assert!(!claim["because"].as_array().expect("figures").is_empty(), "{claim:#}");
        let command = claim["command"].as_str().expect("a command");
        assert!(
            command.starts_with("lanekeeper compare scenarios/guide-option-2.toml --variants "),
            "{command}"
        );
    }
    // Verdicts about single runs need no statistics.
    let verdict = |name: &str| {
        let claim = claims.iter().find(|claim| claim["claim"] == name);
        claim.unwrap_or_else(|| panic!("no claim {name}"))["verdict"].clone()
    };
    for claim in ["ordering within partitions", "simpler monitoring", "price"] {
        assert_eq!(verdict(claim), "supported", "{claim}");
    }
}

#[test]
fn another_load_is_judged_as_well() {
    let load = "[topic]\npartitions = 4\n[load]\nproducers = 12\nrate = \"5/s\"\n[expect]\nrebalances = 0\n";
    let tool = Tool::new().file("mine.toml", load.as_bytes());
    let guide = tool.args(["guide", "--load", "mine.toml", "--repeat", "1", "--html", "page.html"]);
    let guide = guide.finish();
    assert_eq!(guide.code, 0, "{}", guide.output());
    assert_page(&guide);
    assert!(guide.stdout.contains("Before is group:2, option 1 is group:4"), "{}", guide.output());
    let load = Tool::new().file("max.toml", b"[load]\nrate = \"max\"\nmessages = 10\n");
    let refused = load.args(["guide", "--load", "max.toml"]).finish();
    assert!(refused.code == 2 && refused.stderr.contains("load.rate"), "{}", refused.output());
}

/// Asserts that the page has every claim with the verdict, the figures and the command of the text.
fn assert_page(guide: &Finished) {
    let page = std::fs::read_to_string(guide.scratch().join("page.html")).expect("the page");
    assert_eq!(page.matches("data-claim=").count(), 11);
    let parts = page.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    let text: String = parts.collect();
    let entities = [("&quot;", "\""), ("&gt;", ">"), ("&lt;", "<"), ("&amp;", "&")];
    let text = entities.iter().fold(text, |text, (entity, c)| text.replace(entity, c));
    let mut seen = 0;
    for line in guide.stdout.lines().filter(|line| line.starts_with("    ")) {
        let line = line.trim().trim_start_matches("$ ");
        assert!(text.contains(line), "`{line}` is not on the page");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    for outside in ["http:", "https:", "src=", "url(", "@import", "fetch("] {
        assert!(!page.contains(outside), "the page has `{outside}`");
    }
    assert!(page.contains("<svg") && page.contains("prefers-color-scheme: dark"));
}

/// Two consumers with two partitions each are saturated by 100 records a second of 20 ms.
#[test]
fn what_before_carries_of_another_load_is_found_and_used() {
    let load = "[topic]\npartitions = 4\n[load]\nproducers = 12\nrate = \"5/s\"\n[consumers]\nwork = { wait = \"20ms\" }\n\
                [[load.stage]]\nfor = \"5s\"\nstep = 3\n";
    let tool = Tool::new().file("mine.toml", load.as_bytes());
    let arguments = ["guide", "--load", "mine.toml", "--repeat", "2", "--format", "json"];
    let guide = tool.args(arguments).finish();
    assert_eq!(guide.code, 0, "{}", guide.output());
    let report: Value = serde_json::from_str(&guide.stdout).expect("JSON");
    let note = report["notes"][0].as_str().expect("a note");
    let words: Vec<&str> = note.split(' ').collect();
    let at = words.iter().position(|word| *word == "between").unwrap_or_else(|| panic!("{note}"));
    let bracket = [words[at + 1], words[at + 3]].map(|rate| rate.parse::<f64>().expect(note));
    assert!(bracket[0] > 96.0 && bracket[1] < 104.0, "{note}");
    let text = report["claims"].to_string();
    assert!(text.contains("70 % busy") && text.contains("95 % busy"), "{text}");
    // Each piece of advice has figures.
    let advice = report["advice"].as_array().expect("advice");
    assert!(!advice.is_empty(), "{report:#}");
    for it in advice {
        let figures = it["figures"].as_array().expect("figures");
        assert!(
            figures.iter().all(|it| it.as_str().is_some_and(|it| it.contains(char::is_numeric)))
        );
        assert!(!figures.is_empty() && it["advice"].is_string(), "{it:#}");
    }
}

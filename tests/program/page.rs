//! `report --html`: the page of a result. Its figures are those of `result.json`, it loads no other file, and no text
//! from a scenario or a result is markup in it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::{Finished, Tool, report_of};
use lanekeeper::base::{PartitionId, format_duration};
use lanekeeper::report::{PageParts, Second, Series, html_page};
use lanekeeper::summary::{Figure, Summary};
use serde_json::Value;

/// A run in which one of 18 consumers is killed. In virtual time its figures are the same each time.
const SHORT: [&str; 3] = ["run.warmup=1s", "run.duration=6s", "fault[0].at=3s"];

fn kill_one() -> Finished {
    Tool::run("kill-one-consumer.toml").set(SHORT).args(["--broker", "sim"]).exits(0)
}

/// The page of a result.
fn page_of(finished: &Finished, code: i32) -> String {
    let shown = report_of(finished).args(["--html", "page.html"]).exits(code);
    assert!(shown.stderr.contains("wrote page.html"), "{}", shown.output());
    std::fs::read_to_string(finished.scratch().join("page.html")).expect("the page")
}

/// The text of markup without tags, with entities decoded.
fn text_of_markup(markup: &str) -> String {
    let mut text = String::new();
    for part in markup.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")];
    entities.iter().fold(text, |text, (entity, c)| text.replace(entity, c)).trim().to_owned()
}

/// The rows of a table: the cells of each, with their tags.
fn rows<'a>(page: &'a str, figures: &str) -> Vec<Vec<&'a str>> {
    let begin = page.find(&format!("data-figures=\"{figures}\"")).expect("the table");
    let table = &page[begin..begin + page[begin..].find("</table>").expect("its end")];
    let cells = |row: &'a str| {
        let starts = row.match_indices("<t").filter(|(at, _)| {
            ["<td", "<th"].iter().any(|tag| {
                row[*at..].strip_prefix(tag).is_some_and(|rest| rest.starts_with([' ', '>']))
            })
        });
        let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
        let ends = starts.iter().skip(1).copied().chain([row.len()]);
        starts.iter().zip(ends).map(|(from, to)| &row[*from..to]).collect()
    };
    table.split("<tr").skip(1).map(cells).collect()
}

/// The value of an attribute; `None` without it.
fn attribute<'a>(markup: &'a str, name: &str) -> Option<&'a str> {
    let rest = markup.split_once(&format!("{name}=\""))?.1;
    rest.split('"').next()
}

#[test]
fn the_figures_are_those_of_the_result() {
    let finished = kill_one();
    let page = page_of(&finished, 0);
    let (json, summary) = (finished.json(), finished.summary());
    assert_latency(&page, &json);
    assert_partitions(&page, &summary);
    assert_faults(&page, &json);
    assert_slowest(&page, &summary);
    let expectations = rows(&page, "expectations");
    assert_eq!(expectations.len() - 1, summary.expectations.len());
    for (row, expected) in expectations.iter().skip(1).zip(&summary.expectations) {
        assert_eq!(text_of_markup(row[0]), "✓ holds");
        assert_eq!(text_of_markup(row[1]), expected.expression);
        assert!(text_of_markup(row[2]).starts_with(expected.text.as_deref().unwrap_or_default()));
    }
    for said in
        ["PASSED", "14 of 14 expectations hold", "fault[0].recovery", "--broker sim --seed 1"]
    {
        assert!(text_of_markup(&page).contains(said), "{said}");
    }
}

fn assert_latency(page: &str, json: &Value) {
    let mut seen = 0;
    let begin = page.find("data-figures=\"latency\"").expect("the table");
    let end = begin + page[begin..].find("</table>").expect("its end");
    for row in page[begin..end].split("<tr").skip(2) {
        let name = attribute(row, "data-figure").expect("a figure");
        let digest = match name {
            "latency" => &json["latency_us"]["response"],
            "lateness" => &json["lateness_us"],
            part => &json["latency_us"][part.strip_prefix("latency.").expect("a part")],
        };
        let cells: Vec<String> =
            row.split("<td").skip(1).map(|it| text_of_markup(&format!("<td{it}"))).collect();
        for (cell, quantile) in cells.iter().zip(["p50", "p90", "p95", "p99", "p999", "max"]) {
            let Some(us) = digest[quantile].as_f64().filter(|_| cell != "–") else { continue };
            let wanted = format_duration(Duration::from_nanos((us * 1e3) as u64));
            assert_eq!(*cell, wanted, "{name}.{quantile}");
            seen += 1;
        }
        assert_eq!(cells[7].replace(',', ""), digest["count"].to_string(), "{name}");
    }
    assert!(seen > 20, "{seen}");
}

fn assert_slowest(page: &str, summary: &Summary) {
    let rows = rows(page, "slowest");
    assert_eq!((rows.len(), summary.slowest_records.len()), (11, 10));
    let column = |name: &str| {
        rows[0]
            .iter()
            .position(|head| text_of_markup(head) == name)
            .unwrap_or_else(|| panic!("{name}"))
    };
    for (row, record) in rows[1..].iter().zip(&summary.slowest_records) {
        let text = |name: &str| text_of_markup(row[column(name)]);
        let whole = format_duration(Duration::from_nanos((record.response_us * 1e3) as u64));
        assert_eq!(text("whole"), whole);
        assert_eq!(text("offset"), record.offset.to_string());
        assert_eq!(text("seq"), record.sequence.to_string());
    }
}

fn assert_partitions(page: &str, summary: &Summary) {
    let rows = rows(page, "partitions");
    assert_eq!(rows.len() - 1, summary.partitions.len());
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (column, head) in rows[0].iter().enumerate() {
        let Some(name) = attribute(head, "data-figure") else { continue };
        let figure = Figure::parse(&name.replace("[]", "[*]")).expect("a figure");
        for (row, partition) in rows[1..].iter().zip(&summary.partitions) {
            let text = text_of_markup(row[column]);
            let value = figure.of_partition(partition).expect("a value");
            let value = if figure.is_time() { value / 1e6 } else { value };
            let decimals = text.split_once('.').map_or(0, |(_, digits)| digits.len()) as i32;
            let shown: f64 = text.replace(',', "").parse().expect("a number");
            assert!(
                (shown - value).abs() <= 0.51 * 10_f64.powi(-decimals),
                "{name}: {text} {value}"
            );
            *seen.entry(name).or_default() += 1;
        }
    }
    assert!(seen.len() >= 7 && seen.values().all(|count| *count == 18), "{seen:?}");
}

fn assert_faults(page: &str, json: &Value) {
    let rows = rows(page, "faults");
    let [head, row] = &rows[..] else { panic!("{rows:?}") };
    let shown = |name: &str| -> f64 {
        let at = head.iter().position(|it| attribute(it, "data-figure") == Some(name));
        text_of_markup(row[at.expect(name)]).replace(',', "").parse().expect("a number")
    };
    let fault = &json["faults"][0];
    for (name, field) in [("recovery", "recovered_ms"), ("first_record", "first_record_ms")] {
        let told = fault[field].as_f64().expect("a time");
        assert!((shown(name) - told).abs() < 0.006, "{name}");
    }
    assert_eq!(Some(shown("blast_radius")), fault["blast_radius"].as_f64());
    assert_eq!(Some(shown("lag_peak")), fault["lag_peak"].as_f64());
}

/// Elements that must be closed in a well-formed page.
const PAIRED: [&str; 12] = [
    "svg", "g", "path", "rect", "text", "table", "tr", "section", "figure", "details", "div",
    "script",
];

fn assert_well_formed(page: &str) {
    // The content of scripts and styles is no markup.
    let body = page.split("</style>").nth(1).expect("a body");
    for name in PAIRED {
        let opened =
            body.matches(&format!("<{name} ")).count() + body.matches(&format!("<{name}>")).count();
        assert_eq!(opened, body.matches(&format!("</{name}>")).count(), "{name}");
    }
    for (at, _) in page.match_indices("<svg class=\"plot\"") {
        let drawing = &page[at..at + 400.min(page.len() - at)];
        assert!(
            drawing.contains("role=\"img\"") && drawing.contains("aria-labelledby"),
            "{drawing}"
        );
    }
    assert_eq!(page.matches("<table").count(), page.matches("<caption>").count());
    let ids: Vec<&str> =
        page.split(" id=\"").skip(1).map(|it| it.split('"').next().unwrap()).collect();
    let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len(), "{ids:?}");
    for target in page.split("href=\"#").skip(1).map(|it| it.split('"').next().unwrap()) {
        assert!(ids.contains(&target), "no #{target}");
    }
}

fn assert_self_contained(page: &str) {
    for outside in [
        "http:",
        "https:",
        "src=",
        "url(",
        "@import",
        "<link rel=\"stylesheet",
        "<iframe",
        "fetch(",
    ] {
        assert!(!page.contains(outside), "the page has `{outside}`");
    }
    let targets = page.split("href=\"").skip(1).map(|it| it.split('"').next().unwrap_or_default());
    assert!(targets.into_iter().all(|to| to.starts_with('#') || to == "data:,"));
}

#[test]
fn the_page_loads_nothing_and_is_readable_without_script() {
    let page = page_of(&kill_one(), 0);
    assert_self_contained(&page);
    assert_well_formed(&page);
    assert!(
        page.lines().filter(|line| line.contains("<svg")).count() >= 8
            && page.contains("prefers-color-scheme: dark")
    );
    assert!(page.contains("id=\"heat-p99\"") && page.contains("id=\"heat-lag\""));
    // The figures are in the page without the script.
    let without = page.split("<script>").next().expect("a page");
    assert!(without.contains("data-figures=\"partitions\"") && without.contains("</footer>"));
}

#[test]
fn texts_of_a_scenario_are_no_markup() {
    let text = "# </script><img src=x onerror=alert(1)> & <!-- \"quoted\"\n[topic]\npartitions = 2\n\
                [load]\nproducers = 2\nrate = \"10/s\"\n[run]\nwarmup = \"0s\"\nduration = \"2s\"\n";
    let name = "<script>alert(1)&\"'.toml";
    let tool = Tool::new().file(name, text.as_bytes());
    let finished = tool.args(["run", name, "--out", "out", "--broker", "sim"]).exits(0);
    let scenario = finished.json()["scenario"].as_str().expect("a name").to_owned();
    assert!(scenario.contains("<script>"), "{scenario}");
    let page = page_of(&finished, 0);
    assert_eq!(page.matches("<script").count(), 3, "two maps and the script");
    for markup in ["<img", "<!--", "<script>alert"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"));
    assert!(text_of_markup(&page).contains(&scenario));
    assert_well_formed(&page);
}

#[test]
fn a_run_that_was_cut_off_has_a_page() {
    let text = "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"10/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"10m\"\n[expect]\nlost = 0\n";
    let mut running = Tool::run_text(text).start();
    running.await_text("so-far.json", "\"partitions\"");
    running.await_text("seconds.jsonl", "\"from_s\":1");
    let finished = running.kill();
    let torn = finished.read("seconds.jsonl") + "{\"acked\":3,\"by";
    std::fs::write(finished.out().join("seconds.jsonl"), torn).expect("a file");
    let page = page_of(&finished, 130);
    assert_well_formed(&page);
    let text = text_of_markup(&page);
    for said in ["CUT OFF", "none decided", "? not decided", "records not processed yet"] {
        assert!(text.contains(said), "{said}");
    }
    assert!(page.contains("id=\"heat-lag\""));
    // A page can be made without `seconds.jsonl`.
    std::fs::remove_file(finished.out().join("seconds.jsonl")).expect("a file");
    let page = page_of(&finished, 130);
    assert!(page.contains("There are no figures over time") && !page.contains("id=\"heat-lag\""));
}

/// A summary with this number of partitions, and an hour of seconds in which no two cells are equal.
fn hour(finished: &Finished, partitions: u32) -> (Summary, PageParts) {
    let mut summary = finished.summary();
    let all: Vec<_> = (0..partitions)
        .map(|id| {
            let mut its = summary.partitions[id as usize % summary.partitions.len()].clone();
            its.partition = id;
            its
        })
        .collect();
    summary.partitions = all;
    summary.faults = vec![summary.faults[0].clone(); 100];
    (summary.load_lasted_s, summary.duration_s) = (3_600.0, 3_600.0);
    let mut series = Series::default();
    let mut noise = 1_u64;
    for s in 0..3_600_u32 {
        for id in 0..partitions {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            series.push(&Second {
                from_s: f64::from(s),
                to_s: f64::from(s + 1),
                partition: PartitionId(id),
                delivered: 1,
                lag: noise >> 50,
                response_p99_us: Some((noise >> 40) as f64 / 3.0),
                ..Second::default()
            });
        }
    }
    (summary, PageParts { series: Some(series), ..PageParts::default() })
}

#[test]
fn a_long_run_of_many_partitions_is_a_small_page() {
    let finished = kill_one();
    for (partitions, bytes_max) in [(18, 2_000_000), (1_000, 10_000_000)] {
        let (summary, parts) = hour(&finished, partitions);
        let page = html_page(&summary, &parts);
        assert!(page.len() < bytes_max, "{partitions} partitions: {} bytes", page.len());
        assert_well_formed(&page);
        assert_eq!(rows(&page, "partitions").len() as u32 - 1, partitions);
    }
}

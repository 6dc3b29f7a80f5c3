//! `run --metrics`, scraped over HTTP, and the files in `monitoring/`.
//!
//! If `LANEKEEPER_PROMETHEUS` names a directory with `prometheus` and `promtool`, the alert rules and the queries of
//! the dashboard are also tested with a real Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{self, server::closed};
use serde_json::Value;
use support::{Running, Tool, root, text_of};

const LIMIT: Duration = Duration::from_secs(10);

/// GET: returns the status, the head and the body; `None` without a server.
fn get(address: SocketAddr, path: &str, accept: &str) -> Option<(u32, String, String)> {
    request(address, &format!("GET {path} HTTP/1.1"), accept)
}

fn request(address: SocketAddr, line: &str, accept: &str) -> Option<(u32, String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let request =
        format!("{line}\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_lowercase(), body.to_owned()))
}

/// Values by name and labels. Asserts that every line is a comment or a sample.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("`{line}`"));
        let value = value.parse().unwrap_or_else(|_| panic!("`{line}`"));
        assert!(series.starts_with("lanekeeper_"), "`{line}`");
        assert_eq!(samples.insert(series.to_owned(), value), None, "twice: `{line}`");
    }
    samples
}

/// Sum over the series of a metric.
fn total(samples: &BTreeMap<String, f64>, name: &str) -> f64 {
    let is_its = |series: &&String| series.split('{').next() == Some(name);
    let its: Vec<&String> = samples.keys().filter(is_its).collect();
    assert!(!its.is_empty(), "no {name}");
    its.into_iter().map(|series| samples[series]).sum()
}

/// A run with metrics on a free port.
fn run(text: &str) -> (Running, SocketAddr) {
    let address = closed();
    let tool = Tool::run_text(text).args(["--metrics", &address.to_string()]);
    (tool.start(), address)
}

const SHORT: &str = "
[topic]
partitions = 3
[load]
producers = 30
rate = \"10/s\"
[run]
warmup = \"500ms\"
duration = \"2500ms\"
[[fault]]
at = \"1s\"
kill = { consumer = 1 }
[expect]
lost = 0
";

#[test]
fn a_run_is_scraped_until_its_verdict_was() {
    let (mut running, address) = run(SHORT);
    let (mut last, mut during) = (None, None);
    // The endpoint closes with the run.
    while running.is_running() {
        let Some((status, head, body)) = get(address, "/metrics", "text/plain") else { continue };
        assert_eq!(status, 200, "{body}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        let now = samples(&body);
        if !now.keys().any(|series| series.contains("_run_verdict")) {
            during = Some((now.clone(), body));
        }
        last = Some(now);
        std::thread::sleep(Duration::from_millis(100));
    }
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.stderr.contains(&format!("metrics at http://{address}/metrics")));
    let (during, text) = during.expect("a scrape while it ran");
    for partition in 0..3 {
        let state =
            format!("lanekeeper_partition_state{{partition=\"{partition}\",state=\"running\"}}");
        assert!(during.contains_key(&state), "{text}");
        assert!(
            during.contains_key(&format!(
                "lanekeeper_partition_stalled{{partition=\"{partition}\"}}"
            ))
        );
        assert!(during.contains_key(&format!(
            "lanekeeper_partition_lag_records{{partition=\"{partition}\"}}"
        )));
    }
    assert_eq!(
        during["lanekeeper_fault_injections_total{fault=\"0\",description=\"kill consumer 1\"}"],
        1.0
    );
    assert_eq!(during["lanekeeper_consumer_restarts_total{consumer=\"1\"}"], 1.0);
    names_are_known(&text);

    // The last scrape has the figures of the result, and no figures of a running run.
    let (last, summary) = (last.expect("a scrape"), finished.summary());
    assert_eq!(last["lanekeeper_run_verdict{verdict=\"passed\"}"], 1.0);
    assert_eq!(last["lanekeeper_run_verdict{verdict=\"failed\"}"], 0.0);
    for gone in ["_partition_lag", "_partition_stalled", "_partition_state", "_fault_active"] {
        assert!(!last.keys().any(|series| series.contains(gone)), "{gone}");
    }
    let same = [
        ("lanekeeper_records_sent_total", summary.ledger.sent),
        ("lanekeeper_records_acknowledged_total", summary.ledger.acked),
        ("lanekeeper_records_processed_total", summary.ledger.delivered),
        ("lanekeeper_records_redelivered_total", summary.ledger.redelivered),
        ("lanekeeper_latency_seconds_count", summary.latency_us.response.count),
        ("lanekeeper_consumer_restarts_total", 1),
    ];
    for (name, value) in same {
        assert_eq!(total(&last, name), value as f64, "{name}");
    }
    buckets_add_up(&last);
}

/// Asserts that buckets are cumulative, and that the last one has all values.
fn buckets_add_up(last: &BTreeMap<String, f64>) {
    for partition in 0..3 {
        let of_it = format!("partition=\"{partition}\"");
        let bucket = |bound: &str| {
            let bound = format!("le=\"{bound}\"");
            let is_it = |series: &&String| {
                let name = series.starts_with("lanekeeper_latency_seconds_bucket{");
                name && series.contains(&of_it) && series.contains(&bound)
            };
            last[last.keys().find(is_it).unwrap_or_else(|| panic!("no {bound}"))]
        };
        let all = last[&format!("lanekeeper_latency_seconds_count{{{of_it}}}")];
        assert_eq!(bucket("+Inf"), all);
        assert!(bucket("0.001") <= bucket("0.01") && bucket("0.01") <= bucket("60"));
    }
}

/// Asserts that a scrape has all metrics that the rules and the dashboard name.
fn names_are_known(text: &str) {
    let there: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut seen = 0;
    for file in ["monitoring/alerts.yml", "monitoring/dashboard.json", "book/src/monitoring.md"] {
        let file_text = text_of(file);
        for (at, _) in file_text.match_indices("lanekeeper_") {
            let name: String =
                file_text[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
            let is_known =
                there.contains(name.as_str()) || base.is_some_and(|base| there.contains(base));
            assert!(is_known, "{file} names {name}, which is not in\n{text}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
    let chapter = text_of("book/src/monitoring.md");
    for name in there {
        assert!(chapter.contains(&format!("`{name}`")), "the book does not explain {name}");
    }
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().map(|address| (address.to_string(), taken)).expect("an address");
    let port = taken.0.rsplit(':').next().expect("a port").to_owned();
    let anywhere = format!("0.0.0.0:{port}");
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--metrics", &taken.0], 3, "the port is taken"),
        (&["--metrics", &anywhere], 2, "--allow-remote-metrics"),
        (&["--metrics", &anywhere, "--allow-remote-metrics"], 3, "the port is taken"),
        (&["--metrics", "9464"], 2, "no address with a port"),
        (&["--metrics", "127.0.0.1:0", "--broker", "sim"], 2, "virtual time"),
    ];
    for (arguments, code, said) in cases {
        let finished = Tool::run_text(SHORT).args(arguments.iter().copied()).exits(code);
        assert!(finished.stderr.contains(said), "{}", finished.output());
        assert!(!finished.out().exists(), "{arguments:?} made a result directory");
    }
}

#[test]
fn other_requests_and_clients_that_say_nothing_are_no_harm() {
    let (mut running, address) = run(SHORT);
    let silent = loop {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => break stream,
            Err(_) => running.look(),
        }
    };
    let openmetrics =
        get(address, "/metrics", "application/openmetrics-text;version=1.0.0").expect("an answer");
    assert!(
        openmetrics.1.contains("application/openmetrics-text; version=1.0.0"),
        "{}",
        openmetrics.1
    );
    assert!(openmetrics.2.ends_with("# EOF\n"));
    assert_eq!(get(address, "/", "*/*").expect("an answer").0, 200);
    assert_eq!(get(address, "/else", "*/*").expect("an answer").0, 404);
    running.interrupt();
    let finished = running.finish();
    assert_eq!(finished.code, 130, "{}", finished.output());
    drop(silent);
}

/// A process that ends with its test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The series that a query finds within the last five minutes.
fn query(prometheus: SocketAddr, query: &str) -> Vec<Value> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    // A response in HTTP/1.0 is not chunked.
    let ask = |path: &str| {
        request(prometheus, &format!("GET {path} HTTP/1.0"), "*/*").expect("an answer")
    };
    let now = ask("/api/v1/query?query=time()").2;
    let now: Value = serde_json::from_str(&now).expect("JSON");
    let now: f64 = now["data"]["result"][0].as_f64().expect("a time");
    let path =
        format!("/api/v1/query_range?query={encoded}&start={}&end={now}&step=1", now - 300.0);
    let (status, _, body) = ask(&path);
    assert_eq!(status, 200, "{query}: {body}");
    let found: Value = serde_json::from_str(&body).expect("JSON");
    found["data"]["result"].as_array().cloned().unwrap_or_default()
}

const STALLED: &str = "
[topic]
partitions = 18
[load]
producers = 180
rate = \"5/s\"
[run]
warmup = \"1s\"
duration = \"29s\"
[[fault]]
at = \"6s\"
for = \"8s\"
stall = { consumer = 7 }
[[fault]]
at = \"20s\"
kill = { consumer = 3 }
";

#[test]
fn prometheus_fires_the_alert_for_the_stalled_partition_alone() {
    let Some(tools) = std::env::var_os("LANEKEEPER_PROMETHEUS").map(PathBuf::from) else { return };
    let promtool = |arguments: &[&str]| {
        let mut command = Command::new(tools.join("promtool"));
        let output = command.args(arguments).current_dir(root().join("monitoring")).output();
        let output = output.expect("promtool runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts.test.yml"]);
    promtool(&["check", "config", "prometheus.yml"]);

    let (running, scraped) = run(STALLED);
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (served, prometheus) = start_prometheus(&tools, scratch.path(), scraped);
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.output());

    let fired =
        query(prometheus, "ALERTS{alertname=\"LanekeeperPartitionStalled\",alertstate=\"firing\"}");
    let partitions: Vec<&str> = fired
        .iter()
        .map(|series| series["metric"]["partition"].as_str().expect("a partition"))
        .collect();
    assert_eq!(partitions, ["7"]);
    let seconds = fired[0]["values"].as_array().expect("values").len();
    assert!((1..=9).contains(&seconds), "fires for {seconds} s of a stall of 8 s, and is resolved");
    let restarted =
        query(prometheus, "ALERTS{alertname=\"LanekeeperConsumerRestarts\",alertstate=\"firing\"}");
    let consumers: Vec<&Value> =
        restarted.iter().map(|series| &series["metric"]["consumer"]).collect();
    assert_eq!(consumers, ["3"]);

    let dashboard: Value =
        serde_json::from_str(&text_of("monitoring/dashboard.json")).expect("JSON");
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() > 15, "{queries:?}");
    for text in queries {
        let filled =
            text.replace("$instance", &scraped.to_string()).replace("$__rate_interval", "4s");
        assert!(!query(prometheus, &filled).is_empty(), "no data: {filled}");
    }
    drop(served);
}

/// Collects every `expr` in it.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// A Prometheus with the rules of the repository that scrapes `scraped` each second.
fn start_prometheus(tools: &Path, scratch: &Path, scraped: SocketAddr) -> (Served, SocketAddr) {
    let rules = root().join("monitoring/alerts.yml");
    let config = text_of("monitoring/prometheus.yml")
        .replace("alerts.yml", &rules.display().to_string())
        .replace("127.0.0.1:9464", &scraped.to_string());
    std::fs::write(scratch.join("prometheus.yml"), config).expect("a writable scratch");
    let address = closed();
    let started = Command::new(tools.join("prometheus"))
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg(format!("--web.listen-address={address}"))
        .current_dir(scratch)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(scratch.join("log")).expect("a writable scratch"))
        .spawn();
    (Served(started.expect("prometheus starts")), address)
}

//! Stages of the load, sweeps, and the search for the highest rate: compared with arithmetic, and the same on every
//! broker.

use crate::support::Tool;
use serde_json::Value;

fn json(scenario: &str, arguments: &[&str]) -> (i32, Value) {
    let tool = Tool::new().file("scenario.toml", scenario.as_bytes());
    let finished = tool.args(arguments.iter().copied()).finish();
    let value = serde_json::from_str(&finished.stdout);
    (finished.code, value.unwrap_or_else(|error| panic!("{error}: {}", finished.output())))
}

/// A queue: one partition, and one consumer with a fixed service time.
fn queue(phases: &str, service: &str, rate: &str, run: &str) -> String {
    format!(
        "[topic]\npartitions = 1\n[load]\nproducers = 10\nrate_total = \"{rate}\"\nphases = \"{phases}\"\n\
         [consumers]\nwork = {{ wait = \"{service}\" }}\n[run]\n{run}\n"
    )
}

/// The highest rate that meets the condition, and the lowest that does not, in messages per second.
fn bracket(scenario: &str, arguments: &[&str]) -> [f64; 2] {
    let command = ["limit", "scenario.toml", "--broker", "sim", "--format", "json"];
    let (code, found) = json(scenario, &[&command, arguments].concat());
    assert_eq!(code, 0, "{found:#}");
    ["holds", "above"].map(|end| found[end].as_f64().unwrap_or_else(|| panic!("{found:#}")))
}

/// D/D/1: the capacity with a service time of 1 ms is 1,000 records a second. Beyond it, the queue grows without end.
#[test]
fn the_limit_of_regular_arrivals_is_one_over_the_service_time() {
    let scenario = queue("uniform", "1ms", "600/s", "warmup = \"1s\"\nduration = \"8s\"");
    let until = ["--until", "latency.p99 < 20ms", "--repeat", "1", "--precision", "1%"];
    let [holds, above] = bracket(&scenario, &until);
    assert!(holds > 980.0 && above < 1_020.0 && holds < above, "{holds} {above}");
}

/// The share of records that wait for at most `t` service times in M/D/1 with the utilisation `rho` (Erlang 1909).
fn waits_at_most(t: f64, rho: f64) -> f64 {
    let term = |k: u32| {
        let x = rho * (f64::from(k) - t);
        let factorial: f64 = (1..=k).map(f64::from).product();
        x.powi(k as i32) / factorial * (-x).exp()
    };
    (1.0 - rho) * (0..=t as u32).map(term).sum::<f64>()
}

/// M/D/1: the rate at which the p90 of the response time is five service times.
#[test]
fn the_limit_of_random_arrivals_is_that_of_queueing_theory() {
    let mut ends = [0.01, 0.999];
    for _ in 0..50 {
        let middle = (ends[0] + ends[1]) / 2.0;
        ends[usize::from(waits_at_most(4.0, middle) < 0.9)] = middle;
    }
    let expected = 100.0 * ends[0];
    assert!((75.0..76.5).contains(&expected), "{expected}");
    let scenario = queue("poisson", "10ms", "70/s", "warmup = \"20s\"\nduration = \"300s\"");
    let until = ["--until", "latency.p90 < 50ms", "--repeat", "1", "--precision", "1%"];
    let [holds, above] = bracket(&scenario, &until);
    for end in [holds, above] {
        assert!((end / expected - 1.0).abs() < 0.02, "{holds} {above}, by arithmetic {expected}");
    }
}

#[test]
fn a_limit_says_what_ends_it_and_which_command_repeats_it() {
    let scenario = queue("uniform", "5ms", "100/s", "warmup = \"1s\"\nduration = \"4s\"");
    let tool = Tool::new().file("scenario.toml", scenario.as_bytes());
    let limit =
        ["limit", "scenario.toml", "--broker", "sim", "--repeat", "2", "--precision", "20%"];
    let found = tool.args(limit).args(["--until", "latency.p99 < 30ms"]).finish();
    assert_eq!(found.code, 0, "{}", found.output());
    let command =
        found.stdout.lines().find_map(|line| line.trim().strip_prefix("run it: lanekeeper "));
    let command = command.unwrap_or_else(|| panic!("{}", found.output()));
    assert!(
        command.starts_with("run scenario.toml --broker sim --set 'expect.\"latency.p99\"="),
        "{command}"
    );
    let rate = command.rsplit("load.rate_total=").next().expect("a rate");
    assert!(found.stdout.contains("does not (latency.p99 < 30ms: "), "{}", found.stdout);
    let run = Tool::new().file("scenario.toml", scenario.as_bytes());
    let set = format!("load.rate_total={rate}");
    let run = run.args(["run", "scenario.toml", "--broker", "sim", "--set", &set]);
    assert_eq!(run.args(["--set", "expect.\"latency.p99\"=\"< 30ms\""]).finish().code, 0);
    let none = Tool::new().file("scenario.toml", scenario.as_bytes()).args(limit);
    let none = none.args(["--until", "latency.p50 < 1ms", "--steps", "4"]).finish();
    assert!(none.code == 1 && none.stdout.contains("no rate holds"), "{}", none.output());
}

#[test]
fn mistakes_of_sweep_and_limit_have_a_remedy() {
    let scenario = queue("uniform", "1ms", "100/s", "duration = \"2s\"");
    let staged = format!("{scenario}[[load.stage]]\nfor = \"1s\"\nstep = \"300/s\"\n");
    for (text, arguments, said) in [
        (&scenario, &["limit", "--until", "latency.p99"][..], "write a figure and a comparison"),
        (&scenario, &["limit", "--until", "latency.p98 < 1ms"], "did you mean `latency.p90`?"),
        (&scenario, &["limit", "--precision", "0"], "a share from 0.1% to 50%"),
        (&staged, &["limit"], "write it as a factor of the load's rate"),
        (&scenario, &["sweep"], "a sweep needs a setting with several values"),
        (&scenario, &["sweep", "--set", "load.rat=1/s,2/s"], "did you mean `rate`?"),
        (
            &scenario,
            &["sweep", "--set", "consumers.batch=1,2", "--figure", "p99"],
            "there is no figure `p99`",
        ),
    ] {
        let tool = Tool::new().file("scenario.toml", text.as_bytes());
        let command = [arguments[0], "scenario.toml"];
        let finished = tool.args(command).args(arguments[1..].iter().copied()).finish();
        assert_eq!(finished.code, 2, "{arguments:?}: {}", finished.output());
        assert!(finished.stderr.contains(said), "{arguments:?}: {}", finished.output());
    }
}

#[test]
fn a_sweep_has_a_row_for_each_combination() {
    let scenario = queue("uniform", "1ms", "100/s", "warmup = \"0s\"\nduration = \"4s\"");
    let sets = ["--set", "load.rate_total=500/s,2000/s", "--set", "consumers.batch=1,64"];
    let command =
        ["sweep", "scenario.toml", "--broker", "sim", "--repeat", "2", "--format", "json"];
    let (code, table) = json(&scenario, &[&command[..], &sets[..]].concat());
    assert_eq!((code, table["rows"].as_array().map(Vec::len)), (0, Some(4)));
    let figures = table["figures"].as_array().expect("figures");
    let at = figures.iter().position(|it| it == "achieved_per_s").expect("the rate");
    for row in table["rows"].as_array().expect("rows") {
        let is_slow = row["settings"]["load.rate_total"] == "500/s";
        let rate = row["values"][at]["value"].as_f64().expect("a rate");
        let expected = if is_slow { 500.0 } else { 1_000.0 };
        assert!((rate / expected - 1.0).abs() < 0.02, "{row:#}");
        assert_eq!(row["passed"], if is_slow { 2 } else { 0 });
    }
    let tool = Tool::new().file("scenario.toml", scenario.as_bytes());
    let csv =
        tool.args(["sweep", "scenario.toml", "--broker", "sim", "--format", "csv"]).args(sets);
    assert_eq!(csv.finish().stdout.lines().count(), 5);
}

/// A load of 100 messages a second with every kind of stage.
const STAGES: &str = "[topic]\npartitions = 3\n[load]\nproducers = 20\nrate_total = \"100/s\"\n\
    stage = [{ for = \"2s\", ramp = { to = \"300/s\" } }, { for = \"1s\" }, { for = \"1s\", spike = 5 },\n\
    { for = \"9s\", pause = true, until = \"lag is 0\" }, { for = \"1s\", step = 2 }]\n\
    [run]\nwarmup = \"1s\"\n";

fn stages_on(broker: &str) -> Vec<Value> {
    let run = ["run", "scenario.toml", "--broker", broker, "--format", "json"];
    let (code, result) = json(STAGES, &run);
    assert_eq!(code, 0, "{result:#}");
    result["stages"].as_array().expect("stages").clone()
}

#[test]
fn stages_send_the_area_under_their_rate_on_every_broker() {
    let simulated = stages_on("sim");
    let offered: Vec<u64> =
        simulated.iter().map(|stage| stage["offered"].as_u64().expect("a count")).collect();
    // The stages: a ramp from 100/s to 300/s, 300/s, five times the load's rate, a pause, and twice the load's rate.
    for (offered, expected) in offered.iter().zip([400, 300, 500, 0, 200]) {
        assert!(
            offered.abs_diff(expected) <= 20,
            "{offered} {expected}: a record of each producer"
        );
    }
    assert_eq!(offered.iter().sum::<u64>(), 1_400, "what is left of one stage is in the next");
    let pause = &simulated[3];
    let lasted =
        pause["to_s"].as_f64().expect("a time") - pause["from_s"].as_f64().expect("a time");
    assert!(pause["ended_early"] == true && lasted < 1.0, "{pause:#}");
    assert_eq!(simulated[4]["from_s"], pause["to_s"], "the next stage follows at once");
    let embedded = stages_on("embedded");
    let count = |stages: &[Value], at: usize| stages[at]["offered"].clone();
    for at in 0..5 {
        assert_eq!(count(&embedded, at), count(&simulated, at), "stage {at}");
    }
    assert_eq!(embedded[3]["ended_early"], true);
}

#[test]
fn stages_fit_the_run_and_mistakes_have_a_remedy() {
    let check = |text: &str| {
        let tool = Tool::new().file("scenario.toml", text.as_bytes());
        tool.args(["check", "scenario.toml", "--broker", "sim"]).finish()
    };
    let plan = check(STAGES);
    assert!(
        plan.stdout.contains("stage       [0] ramp: 100 to 300 msg/s from 1s to 3s"),
        "{}",
        plan.output()
    );
    assert!(plan.stdout.contains("measured 14s"), "{}", plan.output());
    let longer = format!("{STAGES}duration = \"20s\"\n");
    assert!(check(&longer).stdout.contains("[5] rest: 200 msg/s"), "{}", check(&longer).output());
    for (more, said) in [
        ("duration = \"3s\"\n", "leave `run.duration` out"),
        ("[expect]\n\"stage[7].latency.p99\" = \"< 1s\"\n", "stages are numbered 0 to 4"),
    ] {
        let wrong = check(&format!("{STAGES}{more}"));
        assert!(wrong.code == 2 && wrong.stderr.contains(said), "{}", wrong.output());
    }
    for (stage, said) in [
        ("{ for = \"1s\", step = 1, pause = true }", "a stage has one of them"),
        ("{ step = 1 }", "needs the key `for`"),
        ("{ for = \"1s\", step = \"fast\" }", "for one and a half of the load's rate"),
        ("{ for = \"1s\", step = -1 }", "a rate from 0 on"),
        ("{ for = \"1s\", until = \"lag = 0\" }", "did you mean `lag is 0`?"),
    ] {
        let wrong = check(&format!("[load]\nstage = [{stage}]\n"));
        assert!(wrong.code == 2 && wrong.stderr.contains(said), "{stage}: {}", wrong.output());
    }
    let both = check("[load]\nrate = \"2/s\"\nrate_total = \"30/s\"\n");
    assert!(both.code == 2 && both.stderr.contains("keep `rate`"), "{}", both.output());
}

#[test]
fn the_report_has_a_line_for_each_stage() {
    let tool = Tool::new().file("scenario.toml", STAGES.as_bytes());
    let run = tool.args(["run", "scenario.toml", "--broker", "sim", "--out", "out"]).exits(0);
    let from_heading = run.stdout.lines().skip_while(|line| !line.starts_with("STAGES"));
    let rows: Vec<&str> = from_heading.skip(1).take_while(|line| !line.is_empty()).collect();
    let stages = run.summary().stages;
    assert_eq!(rows.len(), stages.len(), "{}", run.output());
    for (row, stage) in rows.iter().zip(&stages) {
        assert!(row.contains(&stage.name) && row.contains(&format!("{:.1}", stage.to_s)), "{row}");
    }
    crate::support::report_of(&run).args(["--html", "page.html"]).exits(0);
    let page = std::fs::read_to_string(run.scratch().join("page.html")).expect("the page");
    let section = page.split("id=\"load\"").nth(1).and_then(|it| it.split("</section>").next());
    let section = section.expect("a section of the load");
    assert_eq!(section.matches("data-stage=").count(), stages.len());
    for stage in &stages {
        assert!(section.contains(&format!("{} {}</th>", stage.stage, stage.name)), "{section}");
        assert!(section.contains(&format!("<td>{:.1}", stage.to_s)), "{}", stage.to_s);
    }
}

/// A consumer with a service time of 2 ms, a backlog, and a load of 200 records a second.
fn behind(partitions: u32, backlog: u32, run: &str) -> String {
    format!(
        "[topic]\npartitions = {partitions}\n[load]\nproducers = {}\nrate_total = \"{}/s\"\nphases = \"uniform\"\n\
         backlog = {backlog}\n[consumers]\nbatch = 16\nwork = {{ wait = \"2ms\" }}\n[run]\nwarmup = \"1s\"\n{run}\n",
        10 * partitions,
        200 * partitions
    )
}

fn close(value: &Value, expected: f64) {
    let measured = value.as_f64().unwrap_or_else(|| panic!("{value}"));
    assert!((measured / expected - 1.0).abs() < 0.02, "{measured}, by arithmetic {expected}");
}

/// D/D/1: 500 records a second are processed and 200 arrive, so the backlog shrinks by 300 a second.
#[test]
fn a_backlog_is_worked_off_at_capacity_less_rate() {
    let scenario = behind(1, 6_000, "duration = \"25s\"");
    let run = ["run", "scenario.toml", "--broker", "sim", "--format", "json"];
    let (code, result) = json(&scenario, &run);
    assert_eq!(code, 0, "{result:#}");
    let backlog = &result["backlog"];
    assert_eq!(backlog["written"], 6_000);
    close(&backlog["read_s"], 6_000.0 / 500.0);
    close(&backlog["read_per_s"], 500.0);
    close(&backlog["caught_up_s"], 6_000.0 / (500.0 - 200.0));
    // Records of the load wait behind the backlog, at most 12 s minus the time until they are due. Those of the
    // backlog, which have waited for longer, are in no distribution.
    let response = &result["latency_us"]["response"];
    assert_eq!(response["count"], 25 * 200, "{response:#}");
    assert!(response["max"].as_f64().is_some_and(|max| max < 12.0e6), "{response:#}");
    assert_eq!((&result["ledger"]["sent"], &result["ledger"]["lost"]), (&11_200.into(), &0.into()));
    let plan = Tool::new().file("scenario.toml", scenario.as_bytes());
    let plan = plan.args(["check", "scenario.toml", "--broker", "sim"]).finish().stdout;
    assert!(plan.contains("caught up in about 20s: partition 0 has 6,000 records"), "{plan}");
}

#[test]
fn a_backlog_is_read_by_every_client_and_by_groups() {
    for arguments in
        [&["--broker", "embedded"][..], &["--broker", "embedded", "--client", "native"]]
    {
        let scenario = behind(2, 800, "duration = \"2s\"");
        let run = ["run", "scenario.toml", "--format", "json"];
        let (code, result) = json(&scenario, &[&run[..], arguments].concat());
        let backlog = &result["backlog"];
        assert_eq!((code, &backlog["written"]), (0, &800.into()), "{result:#}");
        let [read, caught_up] = ["read_s", "caught_up_s"].map(|it| backlog[it].as_f64());
        // Work is a wait, so a consumer is never faster than the arithmetic.
        assert!(read >= Some(0.8) && caught_up >= read, "{backlog:#}");
    }
    let group = format!(
        "{}drain = \"60s\"\n[[fault]]\nat = \"3s\"\nkill = {{ consumer = 0 }}\n",
        behind(4, 4_000, "duration = \"20s\"")
    );
    let group = group.replace("[consumers]", "[consumers]\nmode = \"group\"\ncount = 4");
    let run = ["run", "scenario.toml", "--broker", "sim", "--format", "json"];
    let (_, result) = json(&group, &run);
    let (ledger, backlog) = (&result["ledger"], &result["backlog"]);
    assert_eq!((&ledger["lost"], &ledger["unread"]), (&0.into(), &0.into()), "{ledger:#}");
    let caught_up = backlog["caught_up_s"].as_f64();
    assert!(caught_up > backlog["read_s"].as_f64(), "{backlog:#}");
}

#[test]
fn a_backlog_that_is_never_caught_up_with_has_no_time() {
    let scenario = behind(1, 2_000, "duration = \"4s\"").replace("200/s", "600/s");
    let run = ["run", "scenario.toml", "--broker", "sim", "--format", "json"];
    let (code, result) = json(&scenario, &run);
    assert_eq!((code, &result["backlog"]["caught_up_s"]), (1, &Value::Null), "{result:#}");
    let plan = Tool::new().file("scenario.toml", scenario.as_bytes());
    let plan = plan.args(["check", "scenario.toml", "--broker", "sim"]).finish().stdout;
    assert!(plan.contains("never caught up: partition 0 has 2,000 records"), "{plan}");
}

//! Client properties from outside the scenario: they select no cluster, change no controlled property, run no code, and
//! are never shown. Every value is a marker.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{self, Finished, Tool, root};
use lanekeeper::scenario::known;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

const BRIEF: &str = "[topic]\npartitions = 2\n[load]\nproducers = 4\nrate = \"10/s\"\n\
                     [run]\nwarmup = \"0s\"\nduration = \"1s\"\n[limits]\nlateness_p99 = \"1h\"\n";

/// The value of every property. It begins with a digit, for properties that are numbers.
const MARKER: &str = "7hunter2marker";
/// The part of the marker that tests search for.
const MARK: &str = "hunter2";

/// Asserts that neither the outputs nor the files of a run contain the marker.
#[track_caller]
fn assert_unmarked(finished: &Finished, what: &str) {
    assert!(!finished.output().contains(MARK), "{what}: {}", finished.output());
    let mut open = vec![finished.out()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("a readable file");
            let has = bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
            assert!(!has, "{what}: {}", path.display());
        }
    }
}

#[track_caller]
fn says(finished: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(finished.stderr.contains(text), "`{text}` is not in\n{}", finished.output());
    }
}

fn check() -> Tool {
    Tool::new().file("x.toml", BRIEF.as_bytes()).args(["check", "x.toml"])
}

fn with_file(tool: Tool, properties: &str) -> Tool {
    tool.file("c.properties", properties.as_bytes()).args(["--client-config", "c.properties"])
}

fn variable(name: &str) -> String {
    format!("{}{}", known::VARIABLES, name.to_uppercase().replace('.', "_"))
}

/// The directory of librdkafka's source.
fn librdkafka() -> PathBuf {
    let cargo = |arguments: &[&str]| {
        let asked = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output();
        String::from_utf8(asked.expect("cargo").stdout).expect("UTF-8")
    };
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    // The sources of this build are on the machine, so no network is needed.
    let asked = ["metadata", "--offline", "--format-version", "1", "--filter-platform", host];
    let metadata = cargo(&asked);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let sys = packages.iter().find(|package| package["name"] == "rdkafka-sys").expect("a package");
    let manifest = Path::new(sys["manifest_path"].as_str().expect("a path"));
    manifest.parent().expect("a directory").join("librdkafka")
}

#[test]
fn every_property_of_librdkafka_is_decided() {
    let source = librdkafka();
    let text = |path: &str| std::fs::read_to_string(source.join(path)).expect("its source");
    let is_name =
        |name: &str| name.contains(['.', '_']) || ["acks", "debug", "retries"].contains(&name);
    let documented = text("CONFIGURATION.md");
    let mut names: BTreeSet<&str> = documented
        .lines()
        .filter(|line| line.matches('|').count() >= 5)
        .filter_map(|line| line.split('|').next().map(str::trim))
        .filter(|name| is_name(name))
        .collect();
    assert!(names.len() > 150, "{names:?}");
    let code = text("src/rdkafka_conf.c");
    let table = &code[code.find("rd_kafka_properties[]").expect("its table")..];
    for (at, hidden) in table.match_indices("_RK_HIDDEN") {
        let name = table[at + hidden.len()..].split('"').nth(1).expect("a name");
        names.insert(name);
        if name == "ut_handle_ProduceResponse" {
            break;
        }
    }
    assert!(names.contains("test.mock.num.brokers"));
    let undecided: Vec<&&str> =
        names.iter().filter(|name| known::treatment(name).is_none()).collect();
    assert!(undecided.is_empty(), "{undecided:?}");
    // Every name with a decision exists in librdkafka.
    for name in
        known::names().filter(|name| *name != "plugin.library.paths" && !name.starts_with("ut_"))
    {
        if let Err(KafkaError::ClientConfig(code, ..)) =
            ClientConfig::new().set(name, MARKER).create_native_config()
        {
            assert_ne!(code, RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, "{name}");
        }
    }
}

/// All known names, some of the Java client, and some misspelled ones.
fn every_name() -> Vec<String> {
    let java =
        ["sasl.jaas.config", "ssl.truststore.password", "ssl.keystore.key", "key.serializer"];
    assert!(java.iter().all(|name| known::instead(name).is_some()));
    let slips = ["sasl.pasword", "nonsense", "ssl.key.pasword", "a.b"];
    known::names().chain(java).chain(slips).map(str::to_owned).collect()
}

#[test]
fn no_value_is_shown_whatever_property_it_is_of() {
    for name in every_name() {
        let tool = with_file(check(), &format!("{name} = {MARKER}\n"));
        let of_file = tool.args(["--bootstrap", "127.0.0.1:1", "-vv"]).finish();
        assert_unmarked(&of_file, &name);
        let of_variable = check().env(variable(&name), MARKER).arg("-vv").finish();
        assert_unmarked(&of_variable, &name);
        for finished in [of_file, of_variable] {
            assert!(matches!(finished.code, 0 | 2), "{name}: {}", finished.output());
            let is_named = finished.output().contains(&name) || finished.stderr.contains("line 1");
            assert!(is_named || finished.code == 0, "{name}: {}", finished.output());
        }
    }
}

/// Properties that the client accepts, each with the marker.
fn taken() -> String {
    let names = ["sasl.username", "sasl.password", "client.rack"];
    let marked = names.iter().map(|name| format!("{name} = {MARKER}\n"));
    marked
        .chain(["security.protocol = sasl_plaintext\nsasl.mechanism = PLAIN\n".to_owned()])
        .collect()
}

#[test]
fn no_value_is_shown_by_a_run() {
    let tool = with_file(Tool::run_text(BRIEF), &taken());
    let finished = tool.args(["-vv"]).env("LANEKEEPER_CLIENT_DEBUG", "").exits(2);
    assert_unmarked(&finished, "a property without a value");
    let tool = with_file(Tool::run_text(BRIEF), &format!("{}debug = all\n", taken()));
    let finished = tool.args(["-vv"]).env("LANEKEEPER_CLIENT_SASL_USERNAME", MARKER).exits(0);
    assert_unmarked(&finished, "embedded");
    // The client's log has content, and its properties among it.
    says(&finished, &["client log", "client.rack = (hidden)"]);
    let config = finished.summary().client_config;
    let value = |name: &str| config[name].value.as_deref();
    assert_eq!(value("consumer.client.rack"), Some("(hidden)"));
    assert_eq!(value("producer.security.protocol"), Some("plaintext"));
    // It was set twice and not passed to the client, and the result contains that.
    let user = &config["producer.sasl.username"];
    assert_eq!((&user.value, user.overruled.len()), (&None, 2), "{user:?}");
    let finished = with_file(Tool::run_text(BRIEF), &taken()).args(["--broker", "sim"]).exits(0);
    assert_unmarked(&finished, "sim");
}

#[test]
fn no_value_is_shown_by_a_run_that_fails() {
    // It accepts connections and sends bytes that are not Kafka's protocol.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = std::io::Write::write_all(&mut stream, MARKER.as_bytes());
        }
    });
    for debug in ["", "debug = all\n"] {
        let tool = with_file(Tool::run_text(BRIEF), &format!("{}{debug}", taken()));
        let finished = tool.args(["-vv", "--bootstrap", &address]).set(["run.startup=1s"]).exits(3);
        assert_unmarked(&finished, "kafka");
    }
    let bearer =
        format!("sasl.mechanism = OAUTHBEARER\nsasl.oauthbearer.config = token={MARKER}\n");
    let file =
        format!("sasl.mechanism = OAUTHBEARER\nsasl.oauthbearer.config = token_file={MARKER}\n");
    let user = format!("sasl.username = {MARKER}\nsasl.password = {MARKER}\n");
    for protocol in ["sasl_plaintext", "sasl_ssl"] {
        let mechanism = |name: &str| format!("sasl.mechanism = {name}\n{user}");
        for login in [&mechanism("PLAIN"), &mechanism("SCRAM-SHA-512"), &bearer, &file] {
            let properties = format!(
                "security.protocol = {protocol}\n{login}enable.ssl.certificate.verification = false\n"
            );
            let tool = with_file(Tool::run_text(BRIEF), &properties).args(["--client", "native"]);
            let finished = tool.args(["-vv", "--bootstrap", &address]).set(["run.startup=1s"]);
            assert_unmarked(&finished.exits(3), "native");
        }
    }
    for name in ["ssl.ca.location", "ssl.ca.pem", "ssl.certificate.location", "ssl.key.pem"] {
        let properties = format!("security.protocol = ssl\n{name} = {MARKER}\n");
        let tool = with_file(Tool::run_text(BRIEF), &properties).args(["--client", "native"]);
        let finished = tool.args(["-vv", "--bootstrap", &address]).exits(2);
        assert_unmarked(&finished, name);
        says(&finished, &["`ssl."]);
    }
    // The file of the property does not exist, and its name is a hidden value.
    let tool = with_file(Tool::run_text(BRIEF), &format!("plugin.library.paths = {MARKER}\n"));
    let finished = tool.args(["-vv", "--allow-exec", "--bootstrap", &address]).exits(2);
    assert_unmarked(&finished, "a plugin");
    says(&finished, &["refuses `plugin.library.paths`"]);
}

#[test]
fn commands_are_not_told_secrets() {
    let exec = "[[fault]]\nat = \"100ms\"\n[fault.exec]\nstart = [\"sh\", \"-c\", \"env >&2\"]\n";
    let finished = Tool::run_text(&format!("{BRIEF}{exec}"))
        .arg("--allow-exec")
        .env("LANEKEEPER_CLIENT_SASL_PASSWORD", MARKER)
        .env("VISIBLE", "to-commands")
        .exits(0);
    says(&finished, &["VISIBLE=to-commands"]);
    assert_unmarked(&finished, "env");
}

/// A server that counts connections.
struct Watched(TcpListener);

impl Watched {
    fn new() -> Watched {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        Watched(listener)
    }

    fn address(&self) -> String {
        self.0.local_addr().expect("an address").to_string()
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let taken = self.0.accept();
        assert!(taken.is_err(), "a client connected: {taken:?}");
    }
}

#[test]
fn no_property_chooses_another_cluster() {
    let watched = Watched::new();
    let address = watched.address();
    for (arguments, here) in [
        (vec!["--broker", "embedded"], "embedded in this process"),
        (vec!["--broker", "sim"], "this run is simulated"),
        (vec!["--bootstrap", "127.0.0.1:1"], "given by `--bootstrap` or `kafka.bootstrap`"),
    ] {
        for name in ["bootstrap.servers", "metadata.broker.list", "test.mock.num.brokers"] {
            let tool = with_file(Tool::run_text(BRIEF), &format!("\n{name}: {address}\n"));
            let finished = tool.args(arguments.iter().copied()).exits(2);
            says(&finished, &["`c.properties`, line 2", name, here, "remove it"]);
            let tool = Tool::run_text(BRIEF).env(variable(name), &address);
            let finished = tool.args(arguments.iter().copied()).exits(2);
            says(&finished, &[&variable(name), here, "remove it"]);
            assert!(!finished.output().contains(&address), "{}", finished.output());
            assert!(!finished.out().exists());
        }
    }
    watched.assert_untouched();
}

#[test]
fn the_embedded_and_the_simulated_cluster_are_all_that_is_talked_to() {
    let watched = Watched::new();
    let address = watched.address();
    let outside = format!(
        "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.method=oidc\n\
         sasl.oauthbearer.token.endpoint.url=http://{address}/token\nsasl.oauthbearer.client.id=a\n\
         sasl.oauthbearer.client.secret=b\nssl.ca.location=nowhere.pem\nclient.dns.lookup=use_all_dns_ips\n\
         broker.address.family=v6\n"
    );
    for broker in ["embedded", "sim"] {
        let tool = with_file(Tool::run_text(BRIEF), &outside).args(["--broker", broker]);
        let finished = tool.env("LANEKEEPER_CLIENT_SASL_USERNAME", "me").exits(0);
        support::assert_clean(&finished.summary());
    }
    // The same properties in a scenario.
    let client = "[client]\nsecurity.protocol = \"sasl_ssl\"\nbroker.address.family = \"v6\"\n";
    for (broker, warning) in [
        ("embedded", "has no effect on the embedded cluster"),
        ("sim", "say nothing to the simulated client"),
    ] {
        let tool = Tool::run_text(&format!("{BRIEF}{client}")).args(["--broker", broker]);
        let finished = tool.exits(0);
        says(&finished, &["warning", warning]);
        support::assert_clean(&finished.summary());
    }
    watched.assert_untouched();
}

#[test]
fn what_a_run_promises_is_not_weakened_from_outside() {
    let properties = "acks=1\nenable.idempotence=false\ngroup.id=x\ngroup.instance.id=x\n\
                      transactional.id=x\nenable.auto.commit=true\nauto.offset.reset=latest\nclient.id=x\n\
                      delivery.report.only.error=true\ninternal.termination.signal=9\n";
    let finished = with_file(check(), properties).exits(2);
    for (line, property) in properties.lines().enumerate() {
        let name = property.split('=').next().expect("a name");
        says(
            &finished,
            &[&format!("`c.properties`, line {}: `{name}` may not be set here", line + 1)],
        );
    }
    says(&finished, &["`load.acks` of the scenario decides it", "remove it, and use `load.acks`"]);
    // A file does not replace a property of the scenario.
    let tool =
        with_file(check(), "fetch.min.bytes=9\n").args(["--set", "client.fetch.min.bytes=5"]);
    says(&tool.exits(2), &["`client.fetch.min.bytes` has another value in `c.properties`, line 1"]);
}

#[test]
fn code_files_and_servers_need_consent() {
    let scenario = |property: &str| {
        let text = format!("{BRIEF}[client]\n{property}\n");
        (
            Tool::run_text(&text),
            Tool::new().file("x.toml", text.as_bytes()).args(["check", "x.toml"]),
        )
    };
    for (property, does) in [
        ("plugin.library.paths = \"x.so\"", "loads code or runs a command"),
        ("ssl.ca.location = \"x.pem\"", "opens a file of this machine"),
        ("enable.ssl.certificate.verification = false", "talk to another server"),
    ] {
        let (run, check) = scenario(property);
        let finished = check.exits(0);
        let shown = finished.stdout.contains(does) && finished.stdout.contains("`--allow-exec`");
        assert!(shown, "{}", finished.output());
        let finished = run.exits(2);
        says(&finished, &[property.split(' ').next().expect("a name"), does, "`--allow-exec`"]);
        assert!(!finished.out().exists());
    }
    // Code needs `--allow-exec` in each source of properties, and `check` loads none.
    let run = with_file(Tool::run_text(BRIEF), "plugin.library.paths = x.so\n");
    says(&run.exits(2), &["`c.properties`, line 1", "`--allow-exec`"]);
    with_file(check(), "plugin.library.paths = x.so\n").exits(0);
}

#[test]
fn check_refuses_what_the_client_would_refuse() {
    let refused = |text: &str, texts: &[&str]| {
        let text = format!("{BRIEF}[client]\n{text}\n");
        let finished =
            Tool::new().file("x.toml", text.as_bytes()).args(["check", "x.toml"]).exits(2);
        says(&finished, &["x.toml:12:", "help: "]);
        says(&finished, texts);
    };
    refused("log_level = 99", &["refuses `client.log_level`: its value must be in 0..7"]);
    refused("check.crcs = \"maybe\"", &["it is `true` or `false`"]);
    refused("isolation.level = \"all\"", &["its value is none that it takes"]);
    refused("fetch.mni.bytes = 1", &["did you mean `fetch.min.bytes`?"]);
    refused("max.in.flight = 7", &["`max.in.flight` must be set <= 5"]);
    let finished = with_file(check(), "max.in.flight = 7\n").exits(2);
    says(&finished, &["must be set <= 5", "`max.in.flight` is in `c.properties`, line 1"]);
    let small = with_file(check(), "message.max.bytes = 2035\n").set(["load.payload=2000B"]);
    says(&small.exits(2), &["too small for `load.payload` of 2000 B", "2036 or more"]);
    let enough = with_file(check(), "message.max.bytes = 2036\n").set(["load.payload=2000B"]);
    enough.exits(0);
    let finished = with_file(check(), "client.rack = here\n").exits(0);
    assert!(finished.stdout.contains("client.rack from `c.properties`, line 1"));
}

#[test]
fn a_client_file_that_is_none_is_refused() {
    for (path, why) in [
        ("nowhere", "there is no such file"),
        (".", "it is a directory"),
        ("/dev/zero", "it is a device"),
    ] {
        let finished = check().args(["--client-config", path]).exits(2);
        says(&finished, &["cannot read the client properties", path, why, "give the path"]);
    }
    let tool = check();
    let made = Command::new("mkfifo").arg(tool.path("pipe")).status();
    assert!(made.expect("`mkfifo` is there").success());
    says(&tool.args(["--client-config", "pipe"]).exits(2), &["it is a pipe"]);
    let long = "# x\n".repeat(300_000);
    says(&with_file(check(), &long).exits(2), &["larger than 1 MiB"]);
    // If the scenario has a mistake as well, both are reported.
    let finished = with_file(check(), "nonsense\n").args(["--set", "run.duraton=1s"]).exits(2);
    says(&finished, &["did you mean `duration`?", "`c.properties`, line 1"]);
}

#[cfg(unix)]
#[test]
fn variables_that_are_no_text_are_left_alone() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let broken = OsStr::from_bytes(b"a\xffb");
    for broker in ["sim", "embedded"] {
        let tool = Tool::run_text(BRIEF).args(["--broker", broker]);
        tool.env("SOMETHING", broken).env(OsStr::from_bytes(b"X\xfe"), "1").exits(0);
    }
    let finished = Tool::run_text(BRIEF).env("LANEKEEPER_CLIENT_SASL_PASSWORD", broken).exits(2);
    says(
        &finished,
        &["`LANEKEEPER_CLIENT_SASL_PASSWORD` in the environment is not UTF-8 text", "unset it"],
    );
}

//! The native client on the listeners with TLS and SASL: each login, a repeated login, and the messages about wrong
//! connections.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::{login, port, refused, says, shared, tool};
use crate::support::{Finished, Tool, root};

/// Certificates that were exported by `keytool`. They are kept, because each call starts a Java virtual machine.
static CERTIFICATES: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// Adds the self-signed certificate with this name as `ca.pem`, for `ssl.ca.location=ca.pem`.
pub(super) fn trusting(tool: Tool, name: &str) -> Tool {
    let mut known = CERTIFICATES.lock().unwrap_or_else(PoisonError::into_inner);
    let certificate = known.entry(name.to_owned()).or_insert_with(|| {
        let mut command = Command::new(root().join("tests/kafka.sh"));
        command.args(["certificate", name]).output().expect("a shell").stdout
    });
    tool.file("ca.pem", certificate)
}

/// A run of the native client on the listener at the first port plus `offset`.
fn native(port: u16, offset: u16, properties: &str, certificate: &str) -> Tool {
    let trusted = if properties.contains("ssl") { "ssl.ca.location=ca.pem\n" } else { "" };
    let tool = tool(port, offset, &format!("{properties}{trusted}"));
    trusting(tool.args(["--client", "native"]), certificate)
}

fn over_tls(mechanism: &str, password: &str) -> String {
    let login = login("admin", password).replace("sasl_plaintext", "sasl_ssl");
    login.replace("mechanism=PLAIN", &format!("mechanism={mechanism}"))
}

/// An unsigned token, valid until the year 2100. This broker accepts unsigned tokens.
pub(super) fn token(user: &str) -> String {
    use base64::Engine as _;

    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims = format!("{{\"sub\":\"{user}\",\"iat\":1700000000,\"exp\":4102444800}}");
    format!("{}.{}.", part("{\"alg\":\"none\"}"), part(&claims))
}

const TLS: &str = "security.protocol=ssl\n";

/// Asserts that all records were processed. Whether consumers keep up depends on the machine.
#[track_caller]
pub(super) fn all_delivered(finished: &Finished) {
    let ledger = &finished.summary().ledger;
    assert!(ledger.sent > 0 && ledger.delivered == ledger.sent, "{}", finished.output());
    assert!(!finished.output().contains("-secret"), "{}", finished.output());
}

#[test]
fn each_login_works() {
    let Some(port) = port() else { return };
    let _shared = shared();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let properties = over_tls(mechanism, "admin-secret");
        all_delivered(&native(port, 6, &properties, "broker").finish());
    }
    let bearer = "security.protocol=sasl_ssl\nsasl.mechanism=OAUTHBEARER\n\
                  sasl.oauthbearer.config=token_file=token\n";
    let with_token = native(port, 6, bearer, "broker").file("token", token("admin").as_bytes());
    all_delivered(&with_token.finish());
    all_delivered(&native(port, 3, TLS, "broker").finish());
    all_delivered(&native(port, 2, &login("admin", "admin-secret"), "broker").finish());
}

/// The listener accepts requests for two seconds after a login. Then the login is repeated on the same connection.
#[test]
fn a_login_is_repeated_before_it_is_over() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let properties = over_tls("SCRAM-SHA-512", "admin-secret");
    let finished = native(port, 6, &properties, "broker").arg("-vv").set(["run.duration=5s"]);
    let finished = finished.finish();
    all_delivered(&finished);
    let lost = finished.stderr.matches("connection lost").count();
    assert_eq!(lost, 0, "{}", finished.output());
    let logins = finished.summary().requests.expect("counted").per_s["SaslAuthenticate"];
    assert!(logins > 0.0, "{}", finished.output());
}

#[test]
fn each_mistake_of_a_login_has_its_own_message() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let admin = login("admin", "admin-secret");
    let wrong = native(port, 2, &login("admin", "wrong-secret"), "broker");
    refused(wrong, &["refuses the login", "sasl.password"]);
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let properties = over_tls(mechanism, "wrong-secret");
        let wrong = native(port, 6, &properties, "broker").arg("-vv");
        refused(wrong, &["refuses the login", "sasl.password"]);
    }
    let bearer = "security.protocol=sasl_ssl\nsasl.mechanism=OAUTHBEARER\n\
                  sasl.oauthbearer.config=token=not-a-secret\n";
    refused(native(port, 6, bearer, "broker"), &["refuses the login", "invalid_token"]);
    let no_file = bearer.replace("token=not-a-secret", "token_file=none-secret");
    refused(
        native(port, 6, &no_file, "broker"),
        &["has no token: the `token_file` of", "`token_file=FILE`"],
    );
    let scram = admin.replace("mechanism=PLAIN", "mechanism=SCRAM-SHA-512");
    refused(native(port, 2, &scram, "broker"), &["takes PLAIN, and not SCRAM-SHA-512"]);
    refused(native(port, 2, "", "broker"), &["is a listener with SASL (PLAIN)"]);
    let both = ["is a listener with SASL (", "SCRAM-SHA-512", "over TLS `sasl_ssl`"];
    refused(native(port, 6, TLS, "broker"), &both);
}

#[test]
fn each_listener_and_each_certificate_has_its_own_message() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let admin = login("admin", "admin-secret");
    refused(native(port, 0, &admin, "broker"), &["is a listener without SASL"]);
    let login_over_tls = over_tls("PLAIN", "admin-secret");
    refused(native(port, 3, &login_over_tls, "broker"), &["is a listener without SASL"]);
    for offset in [3, 6] {
        refused(native(port, offset, "", "broker"), &["is a listener with TLS"]);
    }
    for offset in [0, 2] {
        refused(native(port, offset, TLS, "broker"), &["is a listener without TLS"]);
    }
    refused(native(port, 3, TLS, "elsewhere"), &["of an authority that is not trusted"]);
    refused(native(port, 7, TLS, "expired"), &["has expired on"]);
    refused(native(port, 8, TLS, "elsewhere"), &["not for this name, but for broker.example"]);
    // The certificate is valid for the listener, but not for the address that it advertises.
    let misnamed = native(port, 9, &login_over_tls, "broker");
    refused(misnamed, &["`localhost:", "not for this name, but for 127.0.0.1"]);
}

#[test]
fn each_address_has_its_own_message() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let family = ["has the address 127.0.0.1", "tries IPv6 alone"];
    refused(native(port, 0, "broker.address.family=v6\n", "broker"), &family);
    refused(native(port, 1, "", "broker"), &["is a listener of a controller"]);
    let advertised = ["advertises broker 1 as `127.0.0.1:9` (connection refused)"];
    refused(native(port, 4, "", "broker"), &advertised);
    let guest = native(port, 2, &login("guest", "guest-secret"), "broker");
    refused(guest.set(["topic.name=none-of-guest"]), &["lacks the right Describe on topic"]);
}

#[test]
fn what_the_native_client_does_not_have_is_named_at_once() {
    let Some(port) = port() else { return };
    let cases = [
        ("security.protocol=tls\n", "`security.protocol`: its value is none that it takes"),
        ("security.protocol=ssl\nssl.keystore.location=k\n", "the native client does not have it"),
        ("security.protocol=sasl_ssl\n", "SASL without it is GSSAPI"),
        ("security.protocol=sasl_ssl\nsasl.mechanism=OAUTHBEARER\n", "no source of tokens"),
        ("security.protocol=ssl\nssl.ca.pem=x\n", "it has no certificate"),
        ("ssl.ca.loction=ca.pem\n", "did you mean `ssl.ca.location`?"),
    ];
    for (properties, text) in cases {
        let finished = tool(port, 6, properties).args(["--client", "native"]).exits(2);
        says(&finished, &[text]);
    }
}

/// `check --connect` with each client that supports the listener.
#[test]
fn check_shows_the_cluster_and_the_same_causes() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let check = |properties: &str| {
        let address = format!("127.0.0.1:{}", port + 6);
        let properties = format!("{properties}ssl.ca.location=ca.pem\n");
        let tool = Tool::new().file("brief.toml", super::BRIEF.as_bytes());
        let tool = tool.file("c.properties", properties.as_bytes());
        let tool = tool.args(["check", "brief.toml", "--connect", "--client", "native"]);
        trusting(tool.args(["--bootstrap", &address, "--client-config", "c.properties"]), "broker")
    };
    let finished = check(&over_tls("SCRAM-SHA-256", "admin-secret")).exits(0);
    for text in ["all reached: 1 at", "Fetch up to", "can be created", "has Describe, Create"] {
        assert!(finished.stdout.contains(text), "`{text}` is not in\n{}", finished.output());
    }
    let finished = check(&over_tls("SCRAM-SHA-256", "wrong-secret")).exits(3);
    says(&finished, &["refuses the login"]);
    assert!(!finished.output().contains("-secret"), "{}", finished.output());
}

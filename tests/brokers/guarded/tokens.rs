//! OAUTHBEARER with tokens from a server (OIDC, client credentials) through librdkafka: a successful login, and the
//! messages if the server returns no token. The native client does not support token servers.

#[cfg(feature = "oidc")]
use super::native::all_delivered;
use super::native::{token, trusting};
use super::{port, says, tool};
#[cfg(feature = "oidc")]
use super::{refused, shared};
use crate::support::Tool;
use crate::support::server;

/// The client properties for tokens from the server at `address`.
fn asking(address: &str, secret: &str) -> String {
    format!(
        "security.protocol=sasl_ssl\nssl.ca.location=ca.pem\nsasl.mechanism=OAUTHBEARER\n\
         sasl.oauthbearer.method=oidc\nsasl.oauthbearer.token.endpoint.url=http://{address}/token\n\
         sasl.oauthbearer.client.id=load-test\nsasl.oauthbearer.client.secret={secret}\n"
    )
}

fn librdkafka(port: u16, address: &str, secret: &str) -> Tool {
    trusting(tool(port, 6, &asking(address, secret)), "broker")
}

/// Starts a server that returns tokens for `admin` to `load-test` with the right secret. Its error contains a wrong
/// secret.
fn tokens() -> String {
    use base64::Engine as _;

    let login = base64::engine::general_purpose::STANDARD.encode("load-test:right-secret");
    server::answering(move |request| {
        let is_login = request.contains(&format!("Basic {login}"));
        let is_asked = request.contains("grant_type=client_credentials");
        match is_login && is_asked {
            true => (200, format!("{{\"access_token\":\"{}\",\"expires_in\":60}}", token("admin"))),
            // A server that repeats the secret in its error.
            false => (401, "{\"error\":\"invalid_client\", \"sent\":\"wrong-secret\"}".to_owned()),
        }
    })
    .to_string()
}

#[cfg(feature = "oidc")]
#[test]
fn a_server_of_tokens_is_asked() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let finished = librdkafka(port, &tokens(), "right-secret").arg("-vv").finish();
    all_delivered(&finished);
    assert!(!finished.output().contains(&token("admin")), "{}", finished.output());
}

#[cfg(feature = "oidc")]
#[test]
fn a_server_of_tokens_that_gives_none_is_named_with_its_answer() {
    let Some(port) = port() else { return };
    let _shared = shared();
    let gives_none = "the server of tokens gives none";
    let wrong = librdkafka(port, &tokens(), "wrong-secret");
    let remedy = "check `sasl.oauthbearer.token.endpoint.url`";
    refused(wrong, &[gives_none, "HTTP 401", "invalid_client", remedy]);
    let asking = format!("{}debug=all\n", asking(&tokens(), "wrong-secret"));
    let talking = trusting(tool(port, 6, &asking), "broker").arg("-vv");
    refused(talking, &[gives_none, "client log"]);
    let page = server::answering(|_| (200, "<html></html>".to_owned())).to_string();
    refused(librdkafka(port, &page, "right-secret"), &[gives_none]);
    let closed = server::closed().to_string();
    refused(librdkafka(port, &closed, "right-secret"), &[gives_none]);
}

/// A build without OIDC and the native client both name the build or client that supports it.
#[test]
fn what_asks_no_server_names_what_does() {
    let Some(port) = port() else { return };
    let native = librdkafka(port, &tokens(), "right-secret").args(["--client", "native"]).exits(2);
    let texts =
        ["the native client asks no server for tokens", "token_file=FILE", "--features oidc"];
    says(&native, &texts);
    assert!(!native.output().contains("-secret"), "{}", native.output());
    #[cfg(not(feature = "oidc"))]
    {
        let finished = librdkafka(port, &tokens(), "right-secret").exits(2);
        says(&finished, &["is not built in", "--features oidc", "--client native"]);
        assert!(!finished.output().contains("-secret"), "{}", finished.output());
    }
}

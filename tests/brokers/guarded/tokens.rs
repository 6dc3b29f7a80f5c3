//! OAUTHBEARER with tokens from a server (OIDC, client credentials) through librdkafka: a login that works, and what is
//! said when the server gives no token. The native client asks no server.

#[cfg(feature = "oidc")]
use super::native::all_delivered;
use super::native::{token, trusting};
use super::{port, says, tool};
#[cfg(feature = "oidc")]
use super::{refused, shared};
use crate::support::Tool;
use crate::support::server;

/// What a client needs to ask the server at `address` for a token.
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

/// A server that gives tokens for `admin` to `load-test` with the right secret, and repeats a wrong one.
fn tokens() -> String {
    use base64::Engine as _;

    let login = base64::engine::general_purpose::STANDARD.encode("load-test:right-secret");
    server::answering(move |request| {
        let is_login = request.contains(&format!("Basic {login}"));
        let is_asked = request.contains("grant_type=client_credentials");
        match is_login && is_asked {
            true => (200, format!("{{\"access_token\":\"{}\",\"expires_in\":60}}", token("admin"))),
            // A server that is careless with what it is sent.
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

/// Both a build without it and the native client name what has it.
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

//! TLS without a broker: a server in this process, with certificates that are valid, for another name, expired, or of
//! an untrusted authority. The native client names each cause before any request.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};

use super::{BRIEF, server};
use crate::support::{Finished, Tool};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, key()).expect("a certificate")
}

/// A certificate for these names, valid from the first year until the second.
fn certificate(by: &Authority, names: &[&str], years: (i32, i32)) -> (Certificate, KeyPair) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let key = key();
    (params.signed_by(&key, by).expect("a certificate"), key)
}

const NOW: (i32, i32) = (2020, 4000);

/// Starts a server that completes the handshake, and closes the connection at the first request. With an authority, it
/// requires a certificate of the client.
fn start((certificate, key): (Certificate, KeyPair), of_clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = match of_clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = builder.with_single_cert(vec![certificate.der().clone()], key).expect("a pair");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let config = config.clone();
            std::thread::spawn(move || {
                let mut tls = ServerConnection::new(config).expect("a server");
                let _ = Stream::new(&mut tls, &mut stream).read(&mut [0; 64]);
            });
        }
    });
    address
}

/// A run of the native client that trusts `authority`.
fn run(host: &str, port: u16, trusted: &Authority, more: &str) -> Tool {
    let properties = format!("security.protocol=ssl\nssl.ca.location=ca.pem\n{more}");
    let tool = Tool::run_text(BRIEF).args(["--client", "native"]);
    tool.file("ca.pem", trusted.pem().as_bytes())
        .file("c.properties", properties.as_bytes())
        .args(["--client-config", "c.properties", "--bootstrap", &format!("{host}:{port}")])
}

/// Asserts that the handshake succeeds. The server then closes the connection, as a starting broker does.
#[track_caller]
fn reaches(tool: Tool) {
    refused(tool.set(["run.startup=1s"]), &["closes the connection"]);
}

#[track_caller]
fn refused(tool: Tool, texts: &[&str]) -> Finished {
    let finished = tool.exits(3);
    for text in texts {
        assert!(finished.stderr.contains(text), "`{text}` is not in\n{}", finished.output());
    }
    assert!(!finished.out().exists(), "{}", finished.output());
    finished
}

#[test]
fn each_thing_that_is_wrong_with_a_certificate_is_named() {
    let (ours, foreign) = (authority("ours"), authority("foreign"));
    let good = start(certificate(&ours, &["127.0.0.1", "localhost"], NOW), None).port();
    reaches(run("127.0.0.1", good, &ours, ""));
    let untrusted = ["of an authority that is not trusted", "ssl.ca.location"];
    refused(run("127.0.0.1", good, &foreign, ""), &untrusted);
    let named = start(certificate(&ours, &["broker.example"], NOW), None).port();
    let wrong_name = ["not for this name, but for broker.example", "`advertised.listeners`"];
    refused(run("127.0.0.1", named, &ours, ""), &wrong_name);
    let any_name = "ssl.endpoint.identification.algorithm=none\n";
    reaches(run("127.0.0.1", named, &ours, any_name));
    // Without a check of the name, the authority is still checked.
    refused(run("127.0.0.1", named, &foreign, any_name), &untrusted);
    let old = start(certificate(&ours, &["127.0.0.1"], (2000, 2001)), None).port();
    refused(run("127.0.0.1", old, &ours, ""), &["has expired on 2001-01-01", "the clock"]);
    let early = start(certificate(&ours, &["127.0.0.1"], (3000, 3001)), None).port();
    refused(run("127.0.0.1", early, &ours, ""), &["not valid yet, only from 3000-01-01 on"]);
    let any = "enable.ssl.certificate.verification=false\n";
    reaches(run("127.0.0.1", old, &foreign, any));
}

#[test]
fn a_certificate_of_the_client_is_wanted_and_taken() {
    let (ours, foreign) = (authority("ours"), authority("foreign"));
    let port = start(certificate(&ours, &["127.0.0.1"], NOW), Some(&ours)).port();
    let wanted = ["certificate of the client", "`ssl.certificate.location`"];
    refused(run("127.0.0.1", port, &ours, ""), &wanted);
    let with = |by: &Authority, key_file: &str| {
        let (certificate, key) = certificate(by, &["client"], NOW);
        let more = format!("ssl.certificate.location=own.pem\nssl.key.location={key_file}\n");
        let tool = run("127.0.0.1", port, &ours, &more);
        let tool = tool.file("own.pem", certificate.pem().as_bytes());
        tool.file("own.key", key.serialize_pem().as_bytes())
    };
    reaches(with(&ours, "own.key"));
    refused(with(&foreign, "own.key"), &["does not take the client's certificate"]);
    let finished = with(&ours, "another.key").exits(2);
    assert!(
        finished.stderr.contains("`ssl.key.location`: its file cannot be read"),
        "{}",
        finished.output()
    );
    let finished = with(&ours, "own.pem").exits(2);
    assert!(
        finished.stderr.contains("`ssl.key.location`: it has no private key"),
        "{}",
        finished.output()
    );
    assert!(!finished.output().contains("own.pem"), "{}", finished.output());
}

#[test]
fn tls_to_a_listener_without_it_is_told() {
    let ours = authority("ours");
    let closes = server::start(server::Answer::Close).port();
    refused(run("127.0.0.1", closes, &ours, ""), &["is a listener without TLS"]);
    let other = server::start(server::Answer::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")).port();
    refused(run("127.0.0.1", other, &ours, ""), &["is a listener without TLS"]);
}

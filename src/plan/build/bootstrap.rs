//! The addresses of a cluster: `host:port`, several with commas.

use std::net::Ipv6Addr;

use crate::reader::Findings;
use crate::scenario::{Diagnostic, Origin, codes};

/// The longest name the domain name system has.
const LONGEST_HOST: usize = 253;

/// Checks the addresses given by `key`. A text that may hold a password is never shown.
pub(super) fn check(text: &str, origin: Origin, key: &str, found: &mut Findings) {
    if text.contains('@') {
        let message = format!("`{key}` has an `@`: no user and no password belongs in an address");
        found.push(Diagnostic::error(codes::BAD_BOOTSTRAP, origin, message).remedy(
            "write `host:port`; give `sasl.username` and `sasl.password` in a file with `--client-config`",
        ));
        return;
    }
    for address in text.split(',').map(str::trim) {
        let Err((why, remedy)) = parts(address) else { continue };
        let message = format!("`{address}` in `{key}` {why}");
        found.push(Diagnostic::error(codes::BAD_BOOTSTRAP, origin, message).remedy(remedy));
    }
}

const FORM: &str = "write `host:port`, several with commas, for example `localhost:9092`";

/// What is wrong with an address, and what to do about it.
fn parts(address: &str) -> Result<(), (&'static str, &'static str)> {
    if address.is_empty() {
        return Err(("is an empty address", FORM));
    }
    if address.contains("://") {
        return Err((
            "is a URL",
            "write `host:port` alone; the client property `security.protocol` says how it is reached",
        ));
    }
    if address.contains([';', ' ', '\t', '|']) {
        return Err(("is more than one address", FORM));
    }
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(("has no port", FORM));
    };
    if address.starts_with('[') || address.matches(':').count() > 1 {
        const BRACKETS: &str = "an IPv6 address stands in brackets, for example `[::1]:9092`";
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let Some(inner) = inner else { return Err(("has more than one colon", BRACKETS)) };
        let number = inner.split_once('%').map_or(inner, |(number, _zone)| number);
        if number.parse::<Ipv6Addr>().is_err() {
            return Err(("is not an IPv6 address", BRACKETS));
        }
    } else if host.is_empty() {
        return Err(("has no host", FORM));
    } else if host.len() > LONGEST_HOST {
        return Err(("has a host longer than 253 characters", FORM));
    } else if !host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
        return Err((
            "has a host with other characters than letters, digits, `.`, `-` and `_`",
            FORM,
        ));
    }
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    if !is_number || !matches!(port.parse::<u16>(), Ok(1..)) {
        return Err(("has no port from 1 to 65535", FORM));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for good in [
            "localhost:9092",
            "10.0.0.1:1",
            "broker_1.example.org.:65535",
            "[::1]:9092",
            "[fe80::1%eth0]:1",
        ] {
            assert_eq!(parts(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "is an empty address"),
            ("localhost", "has no port"),
            (":9092", "has no host"),
            ("h:0", "has no port from 1 to 65535"),
            ("h:+1", "has no port from 1 to 65535"),
            ("h:65536", "has no port from 1 to 65535"),
            ("[::1", "has more than one colon"),
            ("[::1]", "has more than one colon"),
            ("[h]:1", "is not an IPv6 address"),
            ("::1:9092", "has more than one colon"),
            ("h:1:2", "has more than one colon"),
            ("http://h:1", "is a URL"),
            ("a:1;b:2", "is more than one address"),
            ("h ost:1", "is more than one address"),
            ("h/path:1", "has a host with other characters than letters, digits, `.`, `-` and `_`"),
        ] {
            assert_eq!(parts(bad).map_err(|(why, _)| why), Err(why), "{bad}");
        }
    }
}

//! The settings of the access to a cluster, from a client's properties. They are checked, and no file is opened.

use super::family::AddressFamily;
use super::scram::ScramHash;

/// The reason why the properties describe no usable access. No text contains a value from outside the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessError {
    /// The property.
    pub(crate) property: &'static str,
    /// The problem.
    pub(crate) text: String,
    /// The remedy.
    pub(crate) remedy: &'static str,
    /// True if librdkafka supports it and the native client does not.
    pub(crate) is_missing_here: bool,
}

impl AccessError {
    /// The error of a value, or of a file that it names.
    pub(super) fn bad(
        property: &'static str,
        text: impl Into<String>,
        remedy: &'static str,
    ) -> AccessError {
        AccessError { property, text: text.into(), remedy, is_missing_here: false }
    }

    fn missing(
        property: &'static str,
        text: impl Into<String>,
        remedy: &'static str,
    ) -> AccessError {
        AccessError { is_missing_here: true, ..AccessError::bad(property, text, remedy) }
    }
}

/// Certificates or a key, as text or in a file, with the property that gives it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Pem {
    /// The property, and the text.
    Text(&'static str, String),
    /// The property, and the name of the file.
    File(&'static str, String),
}

/// The settings of TLS.
#[derive(Clone)]
pub(super) struct TlsSettings {
    /// The trusted authorities; `None` for those of the system.
    pub(super) authorities: Option<Pem>,
    /// The client's own certificate, and its key.
    pub(super) identity: Option<(Pem, Pem)>,
    pub(super) key_password: Option<String>,
    /// True if the broker's certificate is verified.
    pub(super) verifies: bool,
    /// True if the certificate must be for the host's name.
    pub(super) verifies_name: bool,
}

/// The settings of the login.
#[derive(Clone)]
pub(super) enum LoginSettings {
    /// A user with a password.
    Plain { user: String, password: String },
    /// A user with a password, which SCRAM proves without sending it.
    Scram { hash: ScramHash, user: String, password: String },
    /// A token.
    Bearer { token: Pem, extensions: String },
}

/// The settings of TLS, of the login, and of the address family.
#[derive(Clone, Default)]
pub(crate) struct AccessSettings {
    pub(super) tls: Option<TlsSettings>,
    pub(super) login: Option<LoginSettings>,
    pub(super) family: AddressFamily,
}

/// TLS properties that librdkafka supports and the native client does not.
const TLS_NOT_HERE: [&str; 9] = [
    "ssl.keystore.location",
    "ssl.crl.location",
    "ssl.engine.location",
    "ssl.engine.id",
    "ssl.providers",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.sigalgs.list",
    "ssl.ca.certificate.stores",
];
const RDKAFKA: &str = "use `--client rdkafka` with a build that has `--features tls`";
const TOKENS: &str = "write `token_file=FILE` or `token=TOKEN` into `sasl.oauthbearer.config`, in the client file or \
                      the environment";
const TOKEN_SERVER: &str = "write `token_file=FILE` into `sasl.oauthbearer.config`, which is read for each login, or use `--client \
                            rdkafka` with a build that has `--features oidc`";

type Value<'a> = &'a dyn Fn(&str) -> Option<String>;

impl AccessSettings {
    /// Reads the settings from properties, which `value` returns by name.
    ///
    /// # Errors
    /// A value is not valid, or the native client does not support the property.
    pub(crate) fn of(value: Value<'_>) -> Result<AccessSettings, AccessError> {
        const PROTOCOL: &str = "security.protocol";
        let protocol = value(PROTOCOL).unwrap_or_default().to_ascii_lowercase();
        let (has_tls, has_login) = match protocol.as_str() {
            "" | "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => {
                let remedy = "write `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`";
                return Err(AccessError::bad(PROTOCOL, "its value is none that it takes", remedy));
            }
        };
        Ok(AccessSettings {
            tls: if has_tls { Some(tls(value)?) } else { None },
            login: if has_login { Some(login(value)?) } else { None },
            family: AddressFamily::of(value("broker.address.family").as_deref()),
        })
    }
}

fn tls(value: Value<'_>) -> Result<TlsSettings, AccessError> {
    if let Some(property) = TLS_NOT_HERE.into_iter().find(|name| value(name).is_some()) {
        return Err(AccessError::missing(property, "the native client does not have it", RDKAFKA));
    }
    let pem = |text: &'static str, file: &'static str| match (value(text), value(file)) {
        (Some(its), _) => Some(Pem::Text(text, its)),
        (None, its) => its.map(|its| Pem::File(file, its)),
    };
    let is = |name: &str, word: &str| value(name).is_some_and(|it| it.eq_ignore_ascii_case(word));
    // With `probe`, librdkafka uses the system's authorities.
    let authorities = match pem("ssl.ca.pem", "ssl.ca.location") {
        Some(Pem::File(_, name)) if name == "probe" => None,
        other => other,
    };
    let certificate = pem("ssl.certificate.pem", "ssl.certificate.location");
    let identity = match (certificate, pem("ssl.key.pem", "ssl.key.location")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            let text = "a certificate of the client needs its private key";
            let remedy = "set `ssl.key.location`, too";
            return Err(AccessError::bad("ssl.certificate.location", text, remedy));
        }
        (None, Some(_)) => {
            let text = "a private key needs the client's certificate";
            let remedy = "set `ssl.certificate.location`, too";
            return Err(AccessError::bad("ssl.key.location", text, remedy));
        }
    };
    Ok(TlsSettings {
        authorities,
        identity,
        key_password: value("ssl.key.password"),
        verifies: !is("enable.ssl.certificate.verification", "false"),
        verifies_name: !is("ssl.endpoint.identification.algorithm", "none"),
    })
}

fn login(value: Value<'_>) -> Result<LoginSettings, AccessError> {
    const MECHANISM: &str = "sasl.mechanism";
    let mechanism = value(MECHANISM).map(|name| name.to_ascii_uppercase());
    let needed = |property: &'static str, remedy: &'static str| {
        let missing = || AccessError::bad(property, "it is missing", remedy);
        value(property).filter(|its| !its.is_empty()).ok_or_else(missing)
    };
    let user = || needed("sasl.username", "set it in the client file or the environment");
    let password = || {
        needed(
            "sasl.password",
            "set LANEKEEPER_CLIENT_SASL_PASSWORD, or write it into the client file",
        )
    };
    match mechanism.as_deref() {
        Some("PLAIN") => Ok(LoginSettings::Plain { user: user()?, password: password()? }),
        Some("SCRAM-SHA-256") => {
            let hash = ScramHash::Sha256;
            Ok(LoginSettings::Scram { hash, user: user()?, password: password()? })
        }
        Some("SCRAM-SHA-512") => {
            let hash = ScramHash::Sha512;
            Ok(LoginSettings::Scram { hash, user: user()?, password: password()? })
        }
        Some("OAUTHBEARER") => bearer(value),
        Some("GSSAPI") => {
            let text = "GSSAPI (Kerberos) is not built in";
            let remedy = "use SCRAM, PLAIN or OAUTHBEARER";
            Err(AccessError::missing(MECHANISM, text, remedy))
        }
        None => {
            let text = "SASL without it is GSSAPI (Kerberos), which is not built in";
            let remedy = "set `sasl.mechanism` to what the listener takes, for example PLAIN";
            Err(AccessError::missing(MECHANISM, text, remedy))
        }
        Some(_) => {
            let remedy = "write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
            Err(AccessError::bad(MECHANISM, "its value is none that it takes", remedy))
        }
    }
}

fn bearer(value: Value<'_>) -> Result<LoginSettings, AccessError> {
    const CONFIG: &str = "sasl.oauthbearer.config";
    let config = value(CONFIG).unwrap_or_default();
    let part = |name: &str| {
        let mut parts = config.split_ascii_whitespace().filter_map(|part| part.split_once('='));
        parts.find(|(its, _)| *its == name).map(|(_, its)| its.to_owned())
    };
    let token = match (part("token"), part("token_file")) {
        (Some(token), _) => Pem::Text(CONFIG, token),
        (None, Some(file)) => Pem::File(CONFIG, file),
        (None, None)
            if value("sasl.oauthbearer.method")
                .is_some_and(|its| its.eq_ignore_ascii_case("oidc")) =>
        {
            let text = "the native client asks no server for tokens";
            return Err(AccessError::missing("sasl.oauthbearer.method", text, TOKEN_SERVER));
        }
        (None, None) => {
            let text = "`sasl.mechanism` OAUTHBEARER has no source of tokens";
            return Err(AccessError::bad(CONFIG, text, TOKENS));
        }
    };
    let extensions = value("sasl.oauthbearer.extensions").unwrap_or_default();
    Ok(LoginSettings::Bearer { token, extensions })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<AccessSettings, AccessError> {
        AccessSettings::of(&|name| {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            pairs.find(|(its, _)| *its == name).map(|(_, value)| value.to_owned())
        })
    }

    #[test]
    fn nothing_is_plaintext_and_each_protocol_has_its_parts() {
        let parts = |text: &str| of(text).map(|it| (it.tls.is_some(), it.login.is_some()));
        assert_eq!(parts(""), Ok((false, false)));
        assert_eq!(parts("security.protocol=SSL"), Ok((true, false)));
        let user = "sasl.mechanism=plain\nsasl.username=a\nsasl.password=b";
        assert_eq!(parts(&format!("security.protocol=sasl_plaintext\n{user}")), Ok((false, true)));
        assert_eq!(parts(&format!("security.protocol=sasl_ssl\n{user}")), Ok((true, true)));
        // These properties are read only where they have an effect.
        assert_eq!(parts("sasl.mechanism=GSSAPI\nssl.keystore.location=x"), Ok((false, false)));
    }

    #[test]
    fn what_is_missing_is_named_by_its_property() {
        let refused = [
            ("security.protocol=tls", "security.protocol", false),
            ("security.protocol=sasl_ssl", "sasl.mechanism", true),
            ("security.protocol=sasl_ssl\nsasl.mechanism=GSSAPI", "sasl.mechanism", true),
            ("security.protocol=sasl_ssl\nsasl.mechanism=MD5", "sasl.mechanism", false),
            ("security.protocol=sasl_ssl\nsasl.mechanism=PLAIN", "sasl.username", false),
            (
                "security.protocol=sasl_ssl\nsasl.mechanism=PLAIN\nsasl.username=a",
                "sasl.password",
                false,
            ),
            (
                "security.protocol=sasl_ssl\nsasl.mechanism=OAUTHBEARER",
                "sasl.oauthbearer.config",
                false,
            ),
            (
                "security.protocol=sasl_ssl\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.method=oidc",
                "sasl.oauthbearer.method",
                true,
            ),
            ("security.protocol=ssl\nssl.keystore.location=k.p12", "ssl.keystore.location", true),
            ("security.protocol=ssl\nssl.key.location=k.pem", "ssl.key.location", false),
        ];
        for (text, property, is_missing_here) in refused {
            let error = of(text).map(|_| ()).expect_err(text);
            assert_eq!(
                (error.property, error.is_missing_here),
                (property, is_missing_here),
                "{text}"
            );
        }
    }
}

//! The reasons why a TLS handshake fails.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// The reason why a connection has no TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsFailure {
    /// The authority of the broker's certificate is not trusted.
    #[error("its certificate is of an authority that is not trusted")]
    Untrusted,
    /// The broker's certificate is for these other hosts.
    #[error("its certificate is not for this name, but for {}", names(.0))]
    WrongName(Vec<String>),
    /// The broker's certificate has expired. The text names the day, if it is known.
    #[error("its certificate has expired{0}")]
    Expired(String),
    /// The broker's certificate is not valid yet. The text names the day, if it is known.
    #[error("its certificate is not valid yet{0}")]
    NotYetValid(String),
    /// The broker's certificate is refused for another reason.
    #[error("its certificate is refused: {0}")]
    BadCertificate(String),
    /// The broker requires a certificate of the client, or does not accept the one it got.
    #[error("it {0}")]
    ClientCertificate(&'static str),
    /// The answer is not TLS.
    #[error("it does not answer in TLS")]
    NoTls,
    /// The host name cannot be in a certificate.
    #[error("its host name is none that a certificate can be for")]
    NoName,
    /// Any other error of the handshake.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

impl TlsFailure {
    /// The failure for an error of rustls.
    pub(super) fn of(error: &Error) -> TlsFailure {
        match error {
            Error::InvalidCertificate(why) => TlsFailure::of_certificate(why),
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::MessageTooLarge,
            ) => TlsFailure::NoTls,
            Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired => {
                    TlsFailure::ClientCertificate("wants a certificate of the client")
                }
                AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired => TlsFailure::ClientCertificate(
                    "does not take the client's certificate, or wants one",
                ),
                other => TlsFailure::Handshake(format!("the broker says {other:?}")),
            },
            other => TlsFailure::Handshake(other.to_string()),
        }
    }

    fn of_certificate(why: &CertificateError) -> TlsFailure {
        match why {
            CertificateError::UnknownIssuer => TlsFailure::Untrusted,
            CertificateError::Expired => TlsFailure::Expired(String::new()),
            CertificateError::ExpiredContext { not_after, .. } => {
                TlsFailure::Expired(format!(" on {}", date(*not_after)))
            }
            CertificateError::NotValidYet => TlsFailure::NotYetValid(String::new()),
            CertificateError::NotValidYetContext { not_before, .. } => {
                TlsFailure::NotYetValid(format!(", only from {} on", date(*not_before)))
            }
            CertificateError::NotValidForName => TlsFailure::WrongName(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                TlsFailure::WrongName(presented.iter().map(|name| plain_name(name)).collect())
            }
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                TlsFailure::BadCertificate(
                    "it is one of an authority (CA:TRUE), and signs for itself".to_owned(),
                )
            }
            other => TlsFailure::BadCertificate(other.to_string()),
        }
    }

    /// The TLS failure in an error of a [`Channel`](super::Channel); `None` for other errors.
    pub(crate) fn in_error(error: &io::Error) -> Option<&TlsFailure> {
        error.get_ref()?.downcast_ref()
    }

    pub(super) fn into_error(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }
}

/// Most names of a certificate in a message.
const NAMES_MAX: usize = 4;

fn names(names: &[String]) -> String {
    match names {
        [] => "another one".to_owned(),
        some if some.len() > NAMES_MAX => {
            format!("{} and {} more", some[..NAMES_MAX].join(", "), some.len() - NAMES_MAX)
        }
        some => some.join(", "),
    }
}

/// A name without the kind that rustls adds: `DnsName("a")`, `IpAddress(127.0.0.1)`.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').to_owned()
}

/// The date, in UTC.
fn date(time: UnixTime) -> String {
    let second = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_second(second);
    at.map_or_else(|_| "a day of another age".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_few_names_and_none_of_the_librarys_words() {
        let presented: Vec<String> = (0..6)
            .map(|i| format!("DnsName(\"b{i}\")"))
            .chain(["IpAddress(1.2.3.4)".to_owned()])
            .collect();
        let of = |presented: &[String]| {
            TlsFailure::WrongName(presented.iter().map(|name| plain_name(name)).collect())
                .to_string()
        };
        assert!(
            of(&presented).ends_with("but for b0, b1, b2, b3 and 3 more"),
            "{}",
            of(&presented)
        );
        assert!(of(&presented[6..]).ends_with("but for 1.2.3.4"));
        assert!(of(&[]).ends_with("but for another one"));
    }
}

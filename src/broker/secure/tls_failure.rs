//! Why a TLS handshake does not succeed: each cause by itself.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// Why a connection has no TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsFailure {
    /// The authority of the broker's certificate is none that is trusted.
    #[error("its certificate is of an authority that is not trusted")]
    Untrusted,
    /// The broker's certificate is for other hosts.
    #[error("its certificate is not for this name, but for {}", names(.0))]
    WrongName(Vec<String>),
    /// The broker's certificate was good until then.
    #[error("its certificate has expired{0}")]
    Expired(String),
    /// The broker's certificate is good only from then on.
    #[error("its certificate is not valid yet{0}")]
    NotYetValid(String),
    /// The broker's certificate cannot be used for another reason.
    #[error("its certificate is refused: {0}")]
    BadCertificate(String),
    /// The broker wants a certificate of the client, or another one.
    #[error("it {0}")]
    ClientCertificate(&'static str),
    /// What answers is no TLS.
    #[error("it does not answer in TLS")]
    NoTls,
    /// The host's name cannot be in a certificate.
    #[error("its host name is none that a certificate can be for")]
    NoName,
    /// The two sides do not understand each other.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

impl TlsFailure {
    /// From what rustls says.
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

    /// What an error of a [`Channel`](super::Channel) says about TLS, if it is about that.
    pub(crate) fn in_error(error: &io::Error) -> Option<&TlsFailure> {
        error.get_ref()?.downcast_ref()
    }

    pub(super) fn into_error(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }
}

/// Names of a certificate that a message has at most.
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

/// A name without the kind that rustls writes around it: `DnsName("a")`, `IpAddress(127.0.0.1)`.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').to_owned()
}

/// The day, in UTC.
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

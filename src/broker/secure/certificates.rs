//! Certificates and keys, and the TLS configuration made of them.

use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::Decode as _;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::settings::{AccessError, Pem, TlsSettings};
use super::verifier::BrokerVerifier;

/// Most bytes read from a file of certificates.
const FILE_BYTES_MAX: u64 = 16 << 20;
const PEM_FILE: &str = "it is a PEM file: text with lines `-----BEGIN …-----`";

impl Pem {
    fn property(&self) -> &'static str {
        match self {
            Pem::Text(property, _) | Pem::File(property, _) => property,
        }
    }

    /// The PEM text. An error contains no value.
    fn bytes(&self) -> Result<Vec<u8>, AccessError> {
        use std::io::Read as _;

        match self {
            Pem::Text(_, text) => Ok(text.clone().into_bytes()),
            Pem::File(property, file) => {
                let mut bytes = Vec::new();
                let opened = std::fs::File::open(file);
                let read =
                    opened.and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
                read.map(|_| bytes).map_err(|error| {
                    let text = format!("its file cannot be read: {}", error.kind());
                    AccessError::bad(property, text, "check the name of the file and its rights")
                })
            }
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, AccessError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes()?)
            .map(|it| it.map(|der| der.into_owned()))
            .collect();
        match read {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(AccessError::bad(self.property(), "it has no certificate", PEM_FILE)),
        }
    }

    fn key(&self, password: Option<&str>) -> Result<PrivateKeyDer<'static>, AccessError> {
        let bytes = self.bytes()?;
        if let Some(encrypted) = encrypted_key(&bytes) {
            let bad = |text: &str| {
                AccessError::bad("ssl.key.password", text, "set LANEKEEPER_CLIENT_SSL_KEY_PASSWORD")
            };
            let password = password.ok_or_else(|| bad("the private key needs a password"))?;
            let opened = EncryptedPrivateKeyInfo::from_der(&encrypted).and_then(|key| {
                key.decrypt(password).map_err(|_| pkcs8::der::ErrorKind::Failed.into())
            });
            let opened = opened.map_err(|_| bad("it does not open the private key"))?;
            return Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into());
        }
        PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_| AccessError::bad(self.property(), "it has no private key", PEM_FILE))
    }
}

/// The key in a section `ENCRYPTED PRIVATE KEY`, a kind of section that `pki_types` does not know.
fn encrypted_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let from = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----")?;
    let (_, document) = pkcs8::SecretDocument::from_pem(text[from..].trim()).ok()?;
    Some(document.as_bytes().to_vec())
}

/// The TLS configuration of connections. Reads the files that the settings name.
///
/// # Errors
/// A file cannot be read, or does not contain what its property needs.
pub(super) fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, AccessError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            AccessError::bad("security.protocol", error.to_string(), "use `--client rdkafka`")
        })?;
    let authorities = match settings.verifies {
        false => None,
        true => {
            let (property, roots) = roots(settings.authorities.as_ref())?;
            let built =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build();
            let bad = |_| AccessError::bad(property, "it has no authority", PEM_FILE);
            Some(built.map_err(bad)?)
        }
    };
    let verifies_name = settings.verifies_name;
    let verifier = BrokerVerifier { authorities, verifies_name, provider };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificate.certificates()?;
            let private = key.key(settings.key_password.as_deref())?;
            builder.with_client_auth_cert(chain, private).map_err(|_| {
                let text = "it does not go with the certificate of `ssl.certificate.location`";
                AccessError::bad(
                    key.property(),
                    text,
                    "name the key that the certificate was made for",
                )
            })?
        }
    };
    Ok(Arc::new(config))
}

/// The trusted authorities, and the property that they come from.
fn roots(given: Option<&Pem>) -> Result<(&'static str, RootCertStore), AccessError> {
    const REMEDY: &str = "name a PEM file with the certificate of the brokers' authority";
    const LOCATION: &str = "ssl.ca.location";
    let mut roots = RootCertStore::empty();
    let Some(given) = given else {
        let (taken, _) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if taken == 0 {
            let text = "this system has no certificates of authorities";
            return Err(AccessError::bad(LOCATION, text, REMEDY));
        }
        return Ok((LOCATION, roots));
    };
    for certificate in given.certificates()? {
        let added = roots.add(certificate);
        added.map_err(|_| {
            AccessError::bad(given.property(), "a certificate of it is not readable", REMEDY)
        })?;
    }
    Ok((given.property(), roots))
}

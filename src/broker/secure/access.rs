//! The access to a cluster, ready for connections: certificates that have been read, and credentials.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ClientConfig;

use super::certificates::client_config;
use super::channel::Channel;
use super::family::AddressFamily;
use super::login::{Credentials, Login};
use super::settings::{AccessError, AccessSettings};

/// The access to a cluster. Cheap to clone. Its `Debug` shows no value.
#[derive(Clone, Default)]
pub(crate) struct Access {
    tls: Option<Arc<ClientConfig>>,
    credentials: Option<Arc<Credentials>>,
    family: AddressFamily,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("tls", &self.has_tls()).finish_non_exhaustive()
    }
}

impl Access {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// A file cannot be read, or does not contain what its property needs.
    pub(crate) fn open(settings: AccessSettings) -> Result<Access, AccessError> {
        Ok(Access {
            tls: settings.tls.as_ref().map(client_config).transpose()?,
            credentials: settings.login.map(|login| Arc::new(Credentials::of(login))),
            family: settings.family,
        })
    }

    /// Access without TLS and without a login.
    pub(crate) fn plaintext(family: AddressFamily) -> Access {
        Access { family, ..Access::default() }
    }

    /// True if connections use TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The address family that is tried.
    pub(crate) fn family(&self) -> AddressFamily {
        self.family
    }

    /// The channel of a connection to this host.
    ///
    /// # Errors
    /// The host name cannot be in a certificate.
    pub(crate) fn channel(&self, host: &str) -> io::Result<Channel> {
        match &self.tls {
            None => Ok(Channel::plaintext()),
            Some(config) => Channel::tls(config.clone(), host),
        }
    }

    /// The login that each connection begins with; `None` without SASL.
    pub(crate) fn login(&self) -> Option<Login> {
        self.credentials.clone().map(Login::new)
    }
}

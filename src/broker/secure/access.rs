//! How a cluster is reached, ready to be used: certificates read, and who logs in.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ClientConfig;

use super::certificates::client_config;
use super::channel::Channel;
use super::family::AddressFamily;
use super::login::{Credentials, Login};
use super::settings::{AccessError, AccessSettings};

/// How a cluster is reached. Cheap to clone; shows no value.
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
    /// One of them cannot be read, or has not what it should.
    pub(crate) fn open(settings: AccessSettings) -> Result<Access, AccessError> {
        Ok(Access {
            tls: settings.tls.as_ref().map(client_config).transpose()?,
            credentials: settings.login.map(|login| Arc::new(Credentials::of(login))),
            family: settings.family,
        })
    }

    /// Without TLS and login.
    pub(crate) fn plaintext(family: AddressFamily) -> Access {
        Access { family, ..Access::default() }
    }

    /// Whether connections have TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Which addresses are tried.
    pub(crate) fn family(&self) -> AddressFamily {
        self.family
    }

    /// What carries a connection to this host.
    ///
    /// # Errors
    /// The name cannot be in a certificate.
    pub(crate) fn channel(&self, host: &str) -> io::Result<Channel> {
        match &self.tls {
            None => Ok(Channel::plaintext()),
            Some(config) => Channel::tls(config.clone(), host),
        }
    }

    /// The login that each connection begins with, if the listener has one.
    pub(crate) fn login(&self) -> Option<Login> {
        self.credentials.clone().map(Login::new)
    }
}

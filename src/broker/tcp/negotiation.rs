//! The first exchange on each connection: the login, if the listener requires one, and the request for the broker's
//! versions.

use std::time::Duration;

use super::ask_error::AskError;
use crate::broker::secure::{Access, Login, LoginStep};
use crate::broker::wire::{
    Api, BrokerVersions, Pending, VersionsAnswer, WireError, api_versions, put_api_versions,
    put_request,
};

/// The state of the exchange.
#[derive(Debug)]
pub(super) struct Negotiation {
    /// The login, until it is done.
    login: Option<Login>,
    /// Lifetime of the login, once it is done; `None` if it is unlimited.
    lifetime: Option<Duration>,
    /// The versions, if they are known and only the login is to be repeated.
    known: Option<BrokerVersions>,
    /// The version of the next or last ApiVersions request.
    version: i16,
}

impl Negotiation {
    /// An exchange that has not started.
    pub(super) fn new(access: &Access) -> Negotiation {
        let version = Api::ApiVersions.ours().max;
        Negotiation { login: access.login(), lifetime: None, known: None, version }
    }

    /// A repeated login on a connection with these versions (KIP-368).
    pub(super) fn again(access: &Access, known: BrokerVersions) -> Negotiation {
        Negotiation { known: Some(known), ..Negotiation::new(access) }
    }

    /// Lifetime of the login; `None` if it is unlimited.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// Writes the next request, and notes it as `question`.
    ///
    /// # Errors
    /// A text is too long.
    pub(super) fn ask<T>(
        &self,
        out: &mut Vec<u8>,
        pending: &mut Pending<T>,
        question: T,
        client_id: &str,
    ) -> Result<(), WireError> {
        let what = match &self.login {
            Some(login) => (login.api(), login.api().ours().max),
            None => (Api::ApiVersions, self.version),
        };
        let id = pending.asked(what.0, what.1, question);
        put_request(out, what, id, client_id, |out: &mut Vec<u8>| match &self.login {
            Some(login) => login.put(out),
            None => put_api_versions(out, what.1),
        })
    }

    /// Handles a response. Returns the versions at the end of the exchange. A login has a few requests, and each
    /// ApiVersions request has a lower version than the last one.
    ///
    /// # Errors
    /// The broker returns an error, or its response is not readable.
    pub(super) fn answered(&mut self, body: &[u8]) -> Result<Option<BrokerVersions>, AskError> {
        if let Some(login) = &mut self.login {
            if let LoginStep::Done(lifetime) = login.answered(body)? {
                self.login = None;
                self.lifetime = lifetime;
                return Ok(self.known.take());
            }
            return Ok(None);
        }
        match api_versions(body, self.version)? {
            VersionsAnswer::Known(versions) => Ok(Some(versions)),
            VersionsAnswer::AskAgain(lower) => {
                self.version = lower;
                Ok(None)
            }
            VersionsAnswer::Refused(code) => Err(AskError::NoVersions(code)),
        }
    }
}

//! The exchange that each connection begins with: the login, if the listener has one, and which versions the broker speaks.

use std::time::Duration;

use super::ask_error::AskError;
use crate::broker::secure::{Access, Login, LoginStep};
use crate::broker::wire::{
    Api, BrokerVersions, Pending, VersionsAnswer, WireError, api_versions, put_api_versions,
    put_request,
};

/// How far the exchange is.
#[derive(Debug)]
pub(super) struct Negotiation {
    /// What comes first, as long as it is not done.
    login: Option<Login>,
    /// How long the login holds, once it is done; none is without end.
    lifetime: Option<Duration>,
    /// The versions, if they are known and only the login is to be repeated.
    known: Option<BrokerVersions>,
    /// The version of ApiVersions that is asked in next, or was asked in last.
    version: i16,
}

impl Negotiation {
    /// Not begun.
    pub(super) fn new(access: &Access) -> Negotiation {
        let version = Api::ApiVersions.ours().max;
        Negotiation { login: access.login(), lifetime: None, known: None, version }
    }

    /// A login that is repeated on a connection with these versions (KIP-368).
    pub(super) fn again(access: &Access, known: BrokerVersions) -> Negotiation {
        Negotiation { known: Some(known), ..Negotiation::new(access) }
    }

    /// How long the login holds; none is without end.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// Writes the question, and notes it as `question`.
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

    /// Takes the answer: the versions, or nothing if there is more to ask. A login has a few questions, and each question
    /// for the versions is in a lower version than the one before it.
    ///
    /// # Errors
    /// The broker refuses, or its answer is not readable.
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

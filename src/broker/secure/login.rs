//! A SASL login without a socket: the next request, and the evaluation of its response.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::scram::{ScramBegun, ScramProven, ScramUser};
use super::settings::{LoginSettings, Pem};
use super::token::{first_message, token};
use crate::broker::wire::{
    Api, SaslAnswer, WireError, authenticated, mechanisms, put_authenticate, put_handshake,
};

/// The error codes UNSUPPORTED_SASL_MECHANISM and ILLEGAL_SASL_STATE.
const UNSUPPORTED_MECHANISM: i16 = 33;
const ILLEGAL_STATE: i16 = 34;

/// The reason why a login fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    /// The listener supports other mechanisms.
    #[error("this listener takes {}, and not {wanted}", .takes.join(", "))]
    Mechanism {
        /// The client's mechanism.
        wanted: &'static str,
        /// The mechanisms of the listener.
        takes: Vec<String>,
    },
    /// The listener has no SASL.
    #[error("this listener has no SASL")]
    NoSasl,
    /// The broker refuses this user. Contains the broker's message.
    #[error("{0}")]
    Refused(String),
    /// The client ends the exchange, for this reason.
    #[error("{0}")]
    Exchange(&'static str),
    /// The client has no token.
    #[error("{0}")]
    NoToken(String),
    /// The response is not in Kafka's protocol.
    #[error(transparent)]
    Unreadable(#[from] WireError),
}

/// The user, and the mechanism of the login.
pub(super) enum Credentials {
    Plain { user: String, password: String },
    Scram(ScramUser),
    Bearer { token: Pem, extensions: String },
}

impl Credentials {
    pub(super) fn of(settings: LoginSettings) -> Credentials {
        match settings {
            LoginSettings::Plain { user, password } => Credentials::Plain { user, password },
            LoginSettings::Scram { hash, user, password } => {
                Credentials::Scram(ScramUser::new(hash, user, password))
            }
            LoginSettings::Bearer { token, extensions } => {
                Credentials::Bearer { token, extensions }
            }
        }
    }

    fn mechanism(&self) -> &'static str {
        match self {
            Credentials::Plain { .. } => "PLAIN",
            Credentials::Scram(user) => user.mechanism(),
            Credentials::Bearer { .. } => "OAUTHBEARER",
        }
    }
}

/// The login of one connection.
pub(crate) struct Login {
    credentials: Arc<Credentials>,
    step: Step,
    /// The mechanism's own bytes that are sent next.
    message: Vec<u8>,
}

/// The request that is outstanding or sent next.
enum Step {
    /// SaslHandshake, to find out if the listener supports the mechanism.
    Handshake,
    /// The only message of PLAIN, or the token.
    Whole,
    /// The first message of SCRAM. The response has the salt and the number of iterations.
    Begun(ScramBegun),
    /// The proof of SCRAM.
    Proven(ScramProven),
    /// The final message after a token was refused, and the reason of the refusal.
    Denied(String),
}

/// The result of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginStep {
    /// Another request follows.
    Next,
    /// The login is complete. It is valid for this time; `None` means without end.
    Done(Option<Duration>),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Login {
    pub(super) fn new(credentials: Arc<Credentials>) -> Login {
        Login { credentials, step: Step::Handshake, message: Vec::new() }
    }

    /// The next request. All of them have version 1.
    pub(crate) fn api(&self) -> Api {
        match self.step {
            Step::Handshake => Api::SaslHandshake,
            _ => Api::SaslAuthenticate,
        }
    }

    /// Writes the body of the request.
    ///
    /// # Errors
    /// A text is too long for its field.
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        match self.step {
            Step::Handshake => put_handshake(out, self.credentials.mechanism()),
            _ => put_authenticate(out, &self.message),
        }
    }

    /// Handles the body of the response.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub(crate) fn answered(&mut self, body: &[u8]) -> Result<LoginStep, LoginError> {
        if let Step::Handshake = self.step {
            let (code, takes) = mechanisms(body)?;
            return match code {
                0 => self.begin(),
                ILLEGAL_STATE => Err(LoginError::NoSasl),
                UNSUPPORTED_MECHANISM => {
                    Err(LoginError::Mechanism { wanted: self.credentials.mechanism(), takes })
                }
                code => Err(LoginError::Refused(format!("SaslHandshake has error {code}"))),
            };
        }
        let answer = authenticated(body)?;
        if answer.code != 0 {
            return Err(LoginError::Refused(self.reason(&answer)));
        }
        let done = u64::try_from(answer.lifetime_ms).ok().filter(|ms| *ms > 0);
        let done = LoginStep::Done(done.map(Duration::from_millis));
        match (&self.step, &*self.credentials) {
            (Step::Begun(begun), Credentials::Scram(user)) => {
                let (proven, message) =
                    user.prove(begun, &answer.bytes).map_err(LoginError::Exchange)?;
                (self.step, self.message) = (Step::Proven(proven), message);
                Ok(LoginStep::Next)
            }
            (Step::Proven(proven), _) => {
                proven.check(&answer.bytes).map_err(LoginError::Exchange)?;
                Ok(done)
            }
            // A refused token is answered with a reason. The refusal itself comes after one more message of one byte
            // (RFC 7628, section 3.2.3).
            (Step::Whole, Credentials::Bearer { .. }) if !answer.bytes.is_empty() => {
                let reason = String::from_utf8_lossy(&answer.bytes).into_owned();
                (self.step, self.message) = (Step::Denied(reason), vec![1]);
                Ok(LoginStep::Next)
            }
            (Step::Denied(reason), _) => Err(LoginError::Refused(reason.clone())),
            _ => Ok(done),
        }
    }

    fn begin(&mut self) -> Result<LoginStep, LoginError> {
        (self.step, self.message) = match &*self.credentials {
            Credentials::Plain { user, password } => {
                (Step::Whole, format!("\0{user}\0{password}").into_bytes())
            }
            Credentials::Scram(user) => {
                let (begun, message) = user.begin().map_err(LoginError::Exchange)?;
                (Step::Begun(begun), message)
            }
            Credentials::Bearer { token: source, extensions } => {
                let token = token(source).map_err(LoginError::NoToken)?;
                (Step::Whole, first_message(&token, extensions))
            }
        };
        Ok(LoginStep::Next)
    }

    /// The broker's reason for the refusal.
    fn reason(&self, answer: &SaslAnswer) -> String {
        let said = answer.message.clone().filter(|said| !said.is_empty());
        let said = said.unwrap_or_else(|| format!("error {}", answer.code));
        match &self.step {
            Step::Denied(reason) if *reason != said => format!("{said}: {reason}"),
            _ => said,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i16, message: Option<&str>, bytes: &[u8], lifetime_ms: i64) -> Vec<u8> {
        let mut body = code.to_be_bytes().to_vec();
        match message {
            None => body.extend((-1i16).to_be_bytes()),
            Some(text) => {
                body.extend((text.len() as i16).to_be_bytes());
                body.extend(text.as_bytes());
            }
        }
        body.extend((bytes.len() as i32).to_be_bytes());
        body.extend(bytes);
        body.extend(lifetime_ms.to_be_bytes());
        body
    }

    fn handshake(code: i16, names: &[&str]) -> Vec<u8> {
        let mut body = code.to_be_bytes().to_vec();
        body.extend((names.len() as i32).to_be_bytes());
        for name in names {
            body.extend((name.len() as i16).to_be_bytes());
            body.extend(name.as_bytes());
        }
        body
    }

    fn plain() -> Login {
        let (user, password) = ("me".to_owned(), "pw".to_owned());
        Login::new(Arc::new(Credentials::Plain { user, password }))
    }

    fn asked(login: &Login) -> Vec<u8> {
        let mut out = Vec::new();
        login.put(&mut out).expect("short");
        out
    }

    #[test]
    fn plain_is_one_message_and_says_how_long_it_holds() {
        let mut login = plain();
        assert_eq!((login.api(), asked(&login)), (Api::SaslHandshake, b"\0\x05PLAIN".to_vec()));
        assert_eq!(login.answered(&handshake(0, &["PLAIN"])), Ok(LoginStep::Next));
        assert_eq!(login.api(), Api::SaslAuthenticate);
        assert_eq!(asked(&login), b"\0\0\0\x06\0me\0pw");
        let done = login.answered(&answer(0, None, b"", 5_000));
        assert_eq!(done, Ok(LoginStep::Done(Some(Duration::from_secs(5)))));
        assert!(!format!("{login:?}").contains("pw"));
    }

    #[test]
    fn each_refusal_has_its_meaning() {
        let takes = vec!["SCRAM-SHA-512".to_owned()];
        assert_eq!(
            plain().answered(&handshake(33, &["SCRAM-SHA-512"])),
            Err(LoginError::Mechanism { wanted: "PLAIN", takes })
        );
        assert_eq!(plain().answered(&handshake(34, &[])), Err(LoginError::NoSasl));
        let mut login = plain();
        assert_eq!(login.answered(&handshake(0, &["PLAIN"])), Ok(LoginStep::Next));
        let refused = login.answered(&answer(58, Some("no"), b"", 0));
        assert_eq!(refused, Err(LoginError::Refused("no".to_owned())));
        assert!(matches!(plain().answered(b""), Err(LoginError::Unreadable(_))));
    }

    #[test]
    fn a_token_that_is_not_taken_is_refused_with_the_reason() {
        let token = Pem::Text("sasl.oauthbearer.config", "t".to_owned());
        let bearer = Credentials::Bearer { token, extensions: String::new() };
        let mut login = Login::new(Arc::new(bearer));
        assert_eq!(login.answered(&handshake(0, &["OAUTHBEARER"])), Ok(LoginStep::Next));
        let reason = answer(0, None, b"{\"status\":\"invalid_token\"}", 0);
        assert_eq!(login.answered(&reason), Ok(LoginStep::Next));
        assert_eq!(asked(&login), b"\0\0\0\x01\x01");
        let refused = login.answered(&answer(58, Some("no"), b"", 0)).expect_err("refused");
        assert_eq!(refused.to_string(), "no: {\"status\":\"invalid_token\"}");
    }
}

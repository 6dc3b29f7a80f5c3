//! TLS and the SASL login of connections to brokers.
//!
//! [`Access`] is made of a client's properties. A [`Channel`] carries TLS over a socket that the caller owns, blocking
//! or not. A [`Login`] is the SASL exchange without a socket. A [`SecureStream`] is a blocking socket with its channel.
//!
//! Sources: KIP-43, KIP-152 and KIP-368 for the exchange; RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), RFC 7628
//! (OAUTHBEARER).

mod access;
mod certificates;
mod channel;
mod family;
mod login;
mod scram;
mod settings;
mod stream;
mod tls_failure;
mod token;
mod verifier;

pub(crate) use access::Access;
pub(crate) use channel::Channel;
pub(crate) use family::AddressFamily;
pub(crate) use login::{Login, LoginError, LoginStep};
pub(crate) use settings::{AccessError, AccessSettings};
pub(crate) use stream::{SecureStream, host_of};
pub(crate) use tls_failure::TlsFailure;

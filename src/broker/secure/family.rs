//! The address family of a client's connections.

use std::net::SocketAddr;

/// The addresses of a host name that a client connects to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AddressFamily {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// Only IPv4.
    V4,
    /// Only IPv6.
    V6,
}

impl AddressFamily {
    /// The family for the value of `broker.address.family`. Any other value means [`AddressFamily::Any`].
    pub(crate) fn of(value: Option<&str>) -> AddressFamily {
        match value {
            Some("v4") => AddressFamily::V4,
            Some("v6") => AddressFamily::V6,
            _ => AddressFamily::Any,
        }
    }

    /// True if the client tries this address.
    pub(crate) fn takes(self, address: &SocketAddr) -> bool {
        match self {
            AddressFamily::Any => true,
            AddressFamily::V4 => address.is_ipv4(),
            AddressFamily::V6 => address.is_ipv6(),
        }
    }

    /// A description for a message.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            AddressFamily::Any => "the client tries all addresses",
            AddressFamily::V4 => "the client tries IPv4 alone (`broker.address.family=v4`)",
            AddressFamily::V6 => "the client tries IPv6 alone (`broker.address.family=v6`)",
        }
    }
}

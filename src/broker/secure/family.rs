//! Which addresses of a name a client connects to.

use std::net::SocketAddr;

/// Which addresses a client connects to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AddressFamily {
    /// All.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl AddressFamily {
    /// The value of `broker.address.family`.
    pub(crate) fn of(value: Option<&str>) -> AddressFamily {
        match value {
            Some("v4") => AddressFamily::V4,
            Some("v6") => AddressFamily::V6,
            _ => AddressFamily::Any,
        }
    }

    /// Whether the client tries this address.
    pub(crate) fn takes(self, address: &SocketAddr) -> bool {
        match self {
            AddressFamily::Any => true,
            AddressFamily::V4 => address.is_ipv4(),
            AddressFamily::V6 => address.is_ipv6(),
        }
    }

    /// What the client was told, for a message.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            AddressFamily::Any => "the client tries all addresses",
            AddressFamily::V4 => "the client tries IPv4 alone (`broker.address.family=v4`)",
            AddressFamily::V6 => "the client tries IPv6 alone (`broker.address.family=v6`)",
        }
    }
}

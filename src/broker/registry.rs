//! The registry of the client libraries of this build.

use super::library::ClientLibrary;
use super::tcp::TcpLibrary;
use crate::base::ClientKind;
#[cfg(feature = "rdkafka")]
use crate::broker::rdkafka::RdLibrary;

/// The client libraries of this build, in the order of [`ClientKind::ALL`].
const LIBRARIES: &[(ClientKind, &dyn ClientLibrary)] = &[
    #[cfg(feature = "rdkafka")]
    (ClientKind::Rdkafka, &RdLibrary),
    (ClientKind::Native, &TcpLibrary),
];

/// The client library of this kind; `None` if this build does not have it.
pub fn client_library(kind: ClientKind) -> Option<&'static dyn ClientLibrary> {
    LIBRARIES.iter().find(|(known, _)| *known == kind).map(|(_, library)| *library)
}

/// All client libraries of this build.
pub fn client_libraries() -> impl Iterator<Item = &'static dyn ClientLibrary> {
    LIBRARIES.iter().map(|(_, library)| *library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_built_in_if_its_library_is() {
        for kind in ClientKind::ALL {
            assert_eq!(client_library(kind).is_some(), kind.is_built_in(), "{kind}");
        }
        assert!(ClientKind::of_this_build().is_built_in());
    }
}

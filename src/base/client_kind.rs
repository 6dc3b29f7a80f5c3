//! The client libraries with which a run accesses brokers.

use std::fmt;

/// A client library. The default is that of a build with all features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientKind {
    /// librdkafka, the client of many production services. Each client has threads of its own.
    #[default]
    Rdkafka,
    /// The client of the simulator, on sockets. It needs few threads, and times each acknowledgement and response.
    Native,
}

impl ClientKind {
    /// Every client library, in the order of `--help`.
    pub const ALL: [ClientKind; 2] = [ClientKind::Rdkafka, ClientKind::Native];

    /// The default library of this build.
    pub fn of_this_build() -> ClientKind {
        ClientKind::ALL.into_iter().find(|kind| kind.is_built_in()).unwrap_or(ClientKind::Native)
    }

    /// True if this build includes the library.
    pub fn is_built_in(self) -> bool {
        match self {
            ClientKind::Rdkafka => cfg!(feature = "rdkafka"),
            ClientKind::Native => true,
        }
    }

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ClientKind::Rdkafka => "rdkafka",
            ClientKind::Native => "native",
        }
    }

    /// The library in a result's description with a version, such as `librdkafka 2.12.1`; `None` if it is unknown.
    #[cfg_attr(doc, doc(hidden))]
    pub fn named_in(description: &str) -> Option<ClientKind> {
        let is_named = |kind: &ClientKind| {
            description.split_whitespace().any(|word| word.ends_with(kind.name()))
        };
        ClientKind::ALL.into_iter().find(is_named)
    }

    /// Description for `--help`.
    pub fn doc(self) -> &'static str {
        match self {
            ClientKind::Rdkafka => "librdkafka, the client of many production services",
            ClientKind::Native => "lanekeeper's own client: less CPU, exact send -> ack times",
        }
    }

    /// True if its consumers can share a thread, because the caller does the waiting.
    #[cfg_attr(doc, doc(hidden))]
    pub fn shares_threads(self) -> bool {
        self == ClientKind::Native
    }

    /// True if it tells the time at which the response with a record arrived.
    #[cfg_attr(doc, doc(hidden))]
    pub fn fetch_is_timed(self) -> bool {
        self == ClientKind::Native
    }

    /// True if acknowledgements are timed even if each producer has a client of its own.
    #[cfg_attr(doc, doc(hidden))]
    pub fn times_many_clients(self) -> bool {
        self == ClientKind::Native
    }

    /// True if it counts its requests and times them.
    #[cfg_attr(doc, doc(hidden))]
    pub fn counts_requests(self) -> bool {
        self == ClientKind::Native
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

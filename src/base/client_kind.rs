//! The client libraries through which a run talks to brokers.

use std::fmt;

/// A client library. The default is the one that a build with everything uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientKind {
    /// librdkafka, the client of many production services. Each client has threads of its own.
    #[default]
    Rdkafka,
    /// The client of the simulator, on sockets: few threads, and each acknowledgement and response has a time.
    Native,
}

impl ClientKind {
    /// Each of them, in the order of `--help`.
    pub const ALL: [ClientKind; 2] = [ClientKind::Rdkafka, ClientKind::Native];

    /// The one that this build uses where none is named.
    pub fn of_this_build() -> ClientKind {
        ClientKind::ALL.into_iter().find(|kind| kind.is_built_in()).unwrap_or(ClientKind::Native)
    }

    /// Whether this build has it.
    pub fn is_built_in(self) -> bool {
        match self {
            ClientKind::Rdkafka => cfg!(feature = "rdkafka"),
            ClientKind::Native => true,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ClientKind::Rdkafka => "rdkafka",
            ClientKind::Native => "native",
        }
    }

    /// The library that a result names, with its version: `librdkafka 2.12.1`, `lanekeeper native 0.1.0`.
    #[cfg_attr(doc, doc(hidden))]
    pub fn named_in(description: &str) -> Option<ClientKind> {
        let is_named = |kind: &ClientKind| {
            description.split_whitespace().any(|word| word.ends_with(kind.name()))
        };
        ClientKind::ALL.into_iter().find(is_named)
    }

    /// What it is, for `--help`.
    pub fn doc(self) -> &'static str {
        match self {
            ClientKind::Rdkafka => "librdkafka, the client of many production services",
            ClientKind::Native => "lanekeeper's own client: less CPU, exact send -> ack times",
        }
    }

    /// Whether its consumers can share a thread: it leaves the waiting to its caller.
    #[cfg_attr(doc, doc(hidden))]
    pub fn shares_threads(self) -> bool {
        self == ClientKind::Native
    }

    /// Whether it says when the response with a record reached it.
    #[cfg_attr(doc, doc(hidden))]
    pub fn fetch_is_timed(self) -> bool {
        self == ClientKind::Native
    }

    /// Whether acknowledgements are timed when each producer has a client of its own.
    #[cfg_attr(doc, doc(hidden))]
    pub fn times_many_clients(self) -> bool {
        self == ClientKind::Native
    }

    /// Whether it says how many requests it sends, and how long each takes.
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

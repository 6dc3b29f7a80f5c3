//! One event of a simulation as a line that can be read.

use std::fmt;

use crate::base::{PartitionId, Time};

/// An event, with its time and subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// Virtual time, since the load began where that is known; negative before.
    pub at: Time,
    /// What sort of event.
    pub kind: TraceKind,
    /// Its subject: `consumer-7`, `pool-0`, `broker-1`, `supervisor`.
    pub who: String,
    /// What happened.
    pub what: String,
    /// The partitions it is about; none for what is about all or no partition.
    pub partitions: Vec<PartitionId>,
}

/// Sorts of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceKind {
    /// The control plane: starts, failures, restarts, faults.
    Control,
    /// A request reaches a broker.
    Request,
    /// A response reaches a client.
    Response,
    /// A consumer has processed records.
    Processed,
    /// A deadline of a broker has come.
    Deadline,
    /// A machine gets a turn.
    Turn,
    /// A timer of the control plane goes off.
    Timer,
}

impl TraceKind {
    /// Every kind with its name.
    pub const ALL: [(TraceKind, &'static str); 7] = [
        (TraceKind::Control, "control"),
        (TraceKind::Request, "request"),
        (TraceKind::Response, "response"),
        (TraceKind::Processed, "processed"),
        (TraceKind::Deadline, "deadline"),
        (TraceKind::Turn, "turn"),
        (TraceKind::Timer, "timer"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        TraceKind::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceLine { at, kind, who, what, .. } = self;
        let (seconds, ns) =
            (at.0.unsigned_abs() / 1_000_000_000, at.0.unsigned_abs() % 1_000_000_000);
        let seconds = format!("{}{seconds}", if at.0 < 0 { "-" } else { "" });
        write!(f, "{seconds:>6}.{ns:09}  {:9}  {who:12}  {what}", kind.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_and_columns_line_up() {
        let line = TraceLine {
            at: Time(1_000_000_007),
            kind: TraceKind::Turn,
            who: "pool-0".to_owned(),
            what: "a turn".to_owned(),
            partitions: Vec::new(),
        };
        assert_eq!(line.to_string(), "     1.000000007  turn       pool-0        a turn");
        let earlier = TraceLine { at: Time(-50_000_000), ..line };
        assert_eq!(earlier.to_string(), "    -0.050000000  turn       pool-0        a turn");
    }
}

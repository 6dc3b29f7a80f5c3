//! The conditions of the guide's runs.

/// The condition of a run of the guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// No fault, and consumers with low utilisation.
    Quiet,
    /// The busiest consumer of Before has a utilisation of 70 %.
    Busy70,
    /// The busiest consumer of Before has a utilisation of 95 %.
    Busy95,
    /// The consumer of one partition has a utilisation of two thirds.
    Slow,
    /// A consumer crashes.
    Crash,
    /// A consumer leaves in order and returns, as in a deployment.
    MembershipChange,
}

impl Condition {
    /// Name in results.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Quiet => "quiet",
            Condition::Busy70 => "70 % busy",
            Condition::Busy95 => "95 % busy",
            Condition::Slow => "slow partition",
            Condition::Crash => "crash",
            Condition::MembershipChange => "membership change",
        }
    }

    /// True if one client for all partitions is run as well.
    pub(super) fn has_shared(self) -> bool {
        matches!(self, Condition::Quiet | Condition::Busy95)
    }

    /// True if other assignors and memberships of option 1 are run as well.
    pub(super) fn has_all_groups(self) -> bool {
        matches!(self, Condition::Crash | Condition::MembershipChange)
    }
}

//! Defects planted on purpose, so that a test can show that they are found. Part of the tests, never of the program.

use std::sync::OnceLock;

/// What is done wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A record counts as processed for the group as soon as it is begun.
    CommitFirst,
    /// A restarted consumer reads its neighbour's partition.
    WrongPartition,
    /// The coordinator takes commits of any that was a member once, in whatever generation.
    StaleGeneration,
}

impl Defect {
    pub(crate) const ALL: [(Defect, &'static str); 3] = [
        (Defect::CommitFirst, "commit-first"),
        (Defect::WrongPartition, "wrong-partition"),
        (Defect::StaleGeneration, "stale-generation"),
    ];

    /// Names the defect of a whole test process.
    pub(crate) const VARIABLE: &'static str = "LANEKEEPER_TEST_DEFECT";

    /// Whether it is planted in this process.
    pub(crate) fn is_planted(self) -> bool {
        static PLANTED: OnceLock<Option<Defect>> = OnceLock::new();
        let planted = PLANTED.get_or_init(|| {
            let name = std::env::var(Defect::VARIABLE).ok()?;
            Defect::ALL.iter().find(|(_, other)| *other == name).map(|(defect, _)| *defect)
        });
        *planted == Some(self)
    }
}

//! The size limit of a value from a schema. Without it, a schema could produce a million lists of a million items.

/// Largest number of parts and bytes of a value.
const PARTS_MAX: u64 = 1 << 20;

/// The parts and bytes that a value may still use.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Budget {
    /// The full budget.
    pub(super) fn new() -> Budget {
        Budget(PARTS_MAX)
    }

    /// Uses up this number of parts or bytes.
    ///
    /// # Errors
    /// The budget is exceeded.
    pub(super) fn spend(&mut self, parts: u64) -> Result<(), String> {
        self.0 = self.0.checked_sub(parts).ok_or("a value has more than a million parts")?;
        Ok(())
    }

    /// True if optional lists must be empty from now on.
    pub(super) fn is_low(&self) -> bool {
        self.0 < PARTS_MAX / 2
    }
}

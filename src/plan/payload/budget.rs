//! A limit for a value that a schema makes: a schema may ask for a million lists of a million items.

/// Parts and bytes of a value, at most.
const PARTS_MAX: u64 = 1 << 20;

/// What is left for a value.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Budget {
    /// Nothing is used yet.
    pub(super) fn new() -> Budget {
        Budget(PARTS_MAX)
    }

    /// Takes this number of parts or bytes.
    ///
    /// # Errors
    /// There is less.
    pub(super) fn spend(&mut self, parts: u64) -> Result<(), String> {
        self.0 = self.0.checked_sub(parts).ok_or("a value has more than a million parts")?;
        Ok(())
    }

    /// Whether lists that may be empty are to be.
    pub(super) fn is_low(&self) -> bool {
        self.0 < PARTS_MAX / 2
    }
}

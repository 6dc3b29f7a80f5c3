//! A service that books orders. It gets each order at least once, and books it once.

use std::collections::BTreeMap;

/// What is booked. Stands for a database: it outlives the consumers that write into it.
#[derive(Debug, Default)]
pub struct Books {
    /// Amounts, by partition and offset of their orders.
    amounts: BTreeMap<(u32, i64), u64>,
}

impl Books {
    /// Books an order, the text of its amount. One that is known already is not booked again.
    ///
    /// # Errors
    /// The order is no number.
    pub fn book(&mut self, partition: u32, offset: i64, order: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(order);
        let amount = text.parse().map_err(|error| format!("`{text}` is no amount: {error}"))?;
        self.amounts.entry((partition, offset)).or_insert(amount);
        Ok(())
    }

    /// How many orders are booked.
    pub fn count(&self) -> usize {
        self.amounts.len()
    }
}

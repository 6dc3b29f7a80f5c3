//! lanekeeper with a user's handler: it has the same commands, and the code below processes the records.
//!
//! `cargo run --example own_handler -- run scenarios/kill-one-consumer.toml`

use std::collections::BTreeMap;

use lanekeeper::{Exit, Handler, HandlerError, Handlers, ProducerId, Record};

/// Represents a service: it keeps the last sequence of each producer, and requires their order.
#[derive(Default)]
struct Orders {
    last: BTreeMap<ProducerId, u64>,
}

impl Handler for Orders {
    fn handle(&mut self, record: &Record<'_>) -> Result<(), HandlerError> {
        if record.value.len() > 1_000_000 {
            // A restart does not mend this failure.
            return Err(HandlerError::Poison("an order of more than 1 MB".to_owned()));
        }
        let (producer, sequence) = (record.stamp.producer, record.stamp.sequence);
        match self.last.insert(producer, sequence) {
            // A handler continues where the previous one ended, so its first sequence can be any.
            Some(last) if sequence > last + 1 => {
                Err(HandlerError::Failed(format!("producer {producer}: {sequence} after {last}")))
            }
            _ => Ok(()),
        }
    }
}

/// Called at each start of a partition's consumer, on its thread, for example to open a connection.
pub(crate) fn handlers() -> Handlers {
    Handlers::new("orders", |_partition, _incarnation| Ok(Orders::default()))
}

fn main() -> Exit {
    lanekeeper::main_with(Some(handlers()))
}

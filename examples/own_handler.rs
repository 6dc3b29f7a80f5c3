//! lanekeeper with a handler of one's own: the same commands, and records are processed by the code below.
//!
//! `cargo run --example own_handler -- run scenarios/kill-one-consumer.toml`

use std::collections::BTreeMap;

use lanekeeper::{Exit, Handler, HandlerError, Handlers, ProducerId, Record};

/// Stands for a service: it keeps the last sequence of each producer, and insists on their order.
#[derive(Default)]
struct Orders {
    last: BTreeMap<ProducerId, u64>,
}

impl Handler for Orders {
    fn handle(&mut self, record: &Record<'_>) -> Result<(), HandlerError> {
        if record.value.len() > 1_000_000 {
            // No restart will ever help with this one.
            return Err(HandlerError::Poison("an order of more than 1 MB".to_owned()));
        }
        let (producer, sequence) = (record.stamp.producer, record.stamp.sequence);
        match self.last.insert(producer, sequence) {
            // A handler begins where the one before it ended, so its first sequence may be any.
            Some(last) if sequence > last + 1 => {
                Err(HandlerError::Failed(format!("producer {producer}: {sequence} after {last}")))
            }
            _ => Ok(()),
        }
    }
}

/// Called at each start of a partition's consumer, on its thread: the place to open a connection.
pub(crate) fn handlers() -> Handlers {
    Handlers::new("orders", |_partition, _incarnation| Ok(Orders::default()))
}

fn main() -> Exit {
    lanekeeper::main_with(Some(handlers()))
}

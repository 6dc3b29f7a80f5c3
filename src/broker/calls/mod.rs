//! Clients whose calls are delayed, dropped or refused on purpose: decorators for the ports of any broker.
//!
//! The decorators are between host and client, so their faults work on every cluster. They lose no record silently: a
//! record that is not sent is answered as failed or indeterminate, and one that was fetched and dropped is fetched
//! again.

mod consumer;
mod producer;

pub use consumer::RuledConsumer;
pub use producer::RuledProducer;

#[cfg(test)]
mod tests;

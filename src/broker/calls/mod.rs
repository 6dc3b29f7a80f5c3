//! Clients whose calls are delayed, dropped or refused on purpose: decorators around the ports of any broker.
//!
//! They sit between host and client, so what they do is done on every cluster. Nothing is lost in them without a
//! word: a record that is not sent is answered as failed or indeterminate, one that was fetched and dropped is fetched
//! again.

mod consumer;
mod producer;

pub use consumer::RuledConsumer;
pub use producer::RuledProducer;

#[cfg(test)]
mod tests;

//! The service under load, while its consumers are killed and stalled: on a simulated cluster, in a fraction of a second.

use std::sync::{Arc, Mutex};

use lanekeeper::{BrokerKind, Handler, HandlerError, Handlers, LoadTest, Record};
use orders::Books;

/// Passes records to the service, as its consumer does.
struct Booking(Arc<Mutex<Books>>);

impl Handler for Booking {
    fn handle(&mut self, record: &Record<'_>) -> Result<(), HandlerError> {
        let mut books = self.0.lock().unwrap();
        // No restart helps with a record that is no order.
        books.book(record.partition.0, record.offset.0, record.value).map_err(HandlerError::Poison)
    }
}

#[test]
fn each_order_is_booked_once_whatever_happens_to_its_consumer() {
    let books = Arc::new(Mutex::new(Books::default()));
    let shared = books.clone();
    let handlers = Handlers::new("orders", move |_partition, _start| Ok(Booking(shared.clone())));
    let summary = LoadTest::from_text("orders.toml", include_str!("orders.toml"))
        .broker(BrokerKind::SIM)
        .handlers(handlers)
        .assert_passes();
    assert_eq!(books.lock().unwrap().count() as u64, summary.ledger.sent);
    // Without orders that came twice the test would show nothing.
    assert!(summary.ledger.redelivered > 0);
}

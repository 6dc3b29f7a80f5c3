//! lanekeeper load-tests Kafka-protocol clusters with one supervised consumer per partition. It breaks consumers on
//! purpose, and reports the effect on each partition.
//!
//! Most users need only the program of that name. The library runs the same tests with your own code:
//!
//! * a [`Handler`] processes each record, as a service does,
//! * a [`LoadTest`] runs a scenario with it, for example in a `#[test]`,
//! * a [`Summary`] has the figures of a run,
//! * and [`main_with`] is the whole command line with that handler.
//!
//! In this example a consumer is killed on a simulated cluster. No record is lost, and the handler of its replacement
//! gets a few records again.
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::sync::{Arc, Mutex};
//!
//! use lanekeeper::{BrokerKind, Handler, HandlerError, Handlers, LoadTest, Record};
//!
//! /// Books each order once: partition and offset identify a record.
//! struct Bookings(Arc<Mutex<BTreeSet<(u32, i64)>>>);
//!
//! impl Handler for Bookings {
//!     fn handle(&mut self, record: &Record<'_>) -> Result<(), HandlerError> {
//!         self.0.lock().unwrap().insert((record.partition.0, record.offset.0));
//!         Ok(())
//!     }
//! }
//!
//! let scenario = r#"
//!     [topic]
//!     partitions = 3
//!     [load]
//!     producers = 6
//!     rate = "10/s"
//!     [run]
//!     warmup = "0s"
//!     duration = "10s"
//!     [[fault]]
//!     at = "4s"
//!     kill = { consumer = 1 }
//!     [expect]
//!     lost = 0
//!     restarts = 1
//! "#;
//! let booked = Arc::new(Mutex::new(BTreeSet::new()));
//! let shared = booked.clone();
//! let handlers = Handlers::new("bookings", move |_, _| Ok(Bookings(shared.clone())));
//! let summary = LoadTest::from_text("bookings.toml", scenario)
//!     .broker(BrokerKind::SIM)
//!     .handlers(handlers)
//!     .assert_passes();
//! assert_eq!(booked.lock().unwrap().len() as u64, summary.ledger.sent);
//! ```
//!
//! The book, in `book/src` of the repository, describes scenarios, faults and figures.
//!
//! # Versions
//!
//! Versions follow semantic versioning for the items below, and those in [`summary`]. The crate has more public
//! modules, for its own tests and benches. They are not documented here, and may change in every version. Structs of
//! results get fields in minor versions, so programs cannot construct them.
//!
//! The oldest Rust that builds it is 1.90. A newer one may be needed from a minor version on, and never from a patch.

// The modules are a map of the code, in the order of the data flow. A module uses only those before it, and `report`
// uses none of `logic`, `broker` and `actors`; a test checks that. All but `summary` are hidden from users, except for
// the items at the end.
//
// * `base` - vocabulary: ids, units, clock, seed tree, record stamp.
// * `reader` - TOML into typed tables: every value with its place, every mistake with a remedy.
// * `fault` - what can be broken on purpose: a kind is one item and one line in a registry.
// * `summary` - the figures of a run as values: the format of `result.json`, and the table of metrics.
// * `scenario` - the TOML file, 1:1 and uninterpreted, with every mistake and its place.
// * `plan` - facts: every default decided, nothing left to interpret.
// * `measure` - numbers: histograms, ledger, lag, recovery, verdict.
// * `logic` - pure machines: supervision, consumer, pacing. No async, no actors.
// * `broker` - ports to a cluster, and their adapters.
// * `actors` - thin ractor shells around the machines, and the threads that host them.
// * `report` - what a user sees: text, JSON, progress, the result directory.
// * `error` - what can go wrong for a user, with exit codes.
// * `run` - the only wiring: a plan in, a summary out.
// * `load_test` - a scenario run by a program or a test, without the command line.
// * `compare` - set-ups side by side: rounds, statistics, and the guide's claims.
// * `cli` - the commands, and what they print.

#[cfg_attr(doc, doc(hidden))]
pub mod base;
#[cfg_attr(doc, doc(hidden))]
pub mod reader;
#[cfg_attr(doc, doc(hidden))]
pub mod fault;
pub mod summary;
#[cfg_attr(doc, doc(hidden))]
pub mod scenario;
#[cfg_attr(doc, doc(hidden))]
pub mod plan;
#[cfg_attr(doc, doc(hidden))]
pub mod measure;
#[cfg_attr(doc, doc(hidden))]
pub mod logic;
#[cfg_attr(doc, doc(hidden))]
pub mod broker;
#[cfg_attr(doc, doc(hidden))]
pub mod actors;
#[cfg_attr(doc, doc(hidden))]
pub mod report;
#[cfg_attr(doc, doc(hidden))]
pub mod error;
#[cfg_attr(doc, doc(hidden))]
pub mod run;
#[cfg_attr(doc, doc(hidden))]
pub mod load_test;
#[cfg_attr(doc, doc(hidden))]
pub mod compare;
#[cfg_attr(doc, doc(hidden))]
pub mod cli;

#[doc(inline)]
pub use base::{
    BrokerKind, ClientKind, Headers, Incarnation, Offset, PartitionId, ProducerId, RunId, Stamp,
    Time,
};
#[doc(inline)]
pub use cli::main_with;
#[doc(inline)]
pub use error::{Error, Exit};
#[doc(inline)]
pub use load_test::{LoadTest, report_text};
#[doc(inline)]
pub use logic::{Handler, HandlerError, Handlers, Record};
#[doc(inline)]
pub use summary::{Summary, Verdict};

//! lanekeeper load-tests Kafka-protocol clusters with one supervised consumer per partition,
//! breaks consumers on purpose, and says for each partition what that did.
//!
//! The module list is a map of the code, in the order data flows. A module uses only those
//! before it (and `report` uses none of `logic`, `broker` and `actors`); a test checks it.
//!
//! * [`base`] - vocabulary: ids, units, clock, seed tree, record stamp.
//! * [`reader`] - TOML into typed tables: every value with its place, every mistake with a remedy.
//! * [`fault`] - what can be broken on purpose: a kind is one item and one line in a registry.
//! * [`summary`] - the figures of a run as values: the format of `result.json`, and the table of metrics.
//! * [`scenario`] - the TOML file, 1:1 and uninterpreted, with every mistake and its place.
//! * [`plan`] - facts: every default decided, nothing left to interpret.
//! * [`measure`] - numbers: histograms, ledger, lag, recovery, verdict.
//! * [`logic`] - pure machines: supervision, consumer, pacing. No async, no actors.
//! * [`broker`] - ports to a cluster, and their adapters.
//! * [`actors`] - thin ractor shells around the machines, and the threads that host them.
//! * [`report`] - what a user sees: text, JSON, progress, the result directory.
//! * [`error`] - what can go wrong for a user, with exit codes.
//! * [`run`] - the only wiring: a plan in, a summary out.
//! * [`compare`] - set-ups side by side: rounds, statistics, and the guide's claims.
//! * [`cli`] - the commands, and what they print.

pub mod base;
pub mod reader;
pub mod fault;
pub mod summary;
pub mod scenario;
pub mod plan;
pub mod measure;
pub mod logic;
pub mod broker;
pub mod actors;
pub mod report;
pub mod error;
pub mod run;
pub mod compare;
pub mod cli;

//! Tests of runs on brokers: the embedded one, the cluster in `BOOTSTRAP`, the guarded cluster in `GUARDED`, and
//! addresses without a broker.

#[path = "../support/cluster.rs"]
mod cluster;
mod accidents;
mod checkpoints;
mod conformance;
mod connect;
mod embedded;
mod guarded;
mod no_connection;
mod recompute;
mod supervision;
mod truths;
#[path = "../support/mod.rs"]
mod support;

//! Tests of runs in virtual time, and of figures that are computed from them. Each has the same result on every
//! machine.

mod capacity;
mod cluster;
mod compare;
mod consumer_protocol;
mod damage;
mod defects;
mod explore;
mod figures;
mod guide;
mod oracles;
mod outage;
mod random_scenarios;
mod replay;
mod sim;
mod sim_ends;
#[path = "../support/mod.rs"]
mod support;

//! Tests of the program as users call it: arguments, exit codes, outputs, pages, and other programs that read them.

mod attempts;
mod client_properties;
mod exit_codes;
mod heal;
mod live_view;
mod machines;
mod monitoring;
mod outputs;
mod own_handler;
mod page;
mod panics;
mod report;
mod results;
mod streams;
#[path = "../support/mod.rs"]
mod support;

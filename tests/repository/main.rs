//! Tests of the files of the repository: the code, the book, the shipped scenarios and the messages agree.

mod architecture;
mod book;
mod public_api;
mod scenarios;
mod diagnostics;
mod package;
#[path = "../support/mod.rs"]
mod support;

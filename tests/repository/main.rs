//! What the files of the repository say of each other: the code, the book, the shipped scenarios and the messages.

mod architecture;
mod book;
mod public_api;
mod scenarios;
mod diagnostics;
mod package;
#[path = "../support/mod.rs"]
mod support;

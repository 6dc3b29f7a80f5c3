//! `init`: a scenario to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::Args;

use super::terminal::print;
use crate::base::printable_path;
use crate::error::{Error, Exit};

/// The scenario that is written.
const TEMPLATE: &str = include_str!("init.toml");

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// The file to write, which must not exist; `-` for stdout.
    #[arg(default_value = "scenario.toml")]
    file: PathBuf,
}

/// Writes the scenario, and prints the next steps.
pub(super) fn init(arguments: &InitArguments) -> Result<Exit, Error> {
    if arguments.file.as_os_str() == "-" {
        print(TEMPLATE)?;
        return Ok(Exit::Passed);
    }
    let named = printable_path(&arguments.file);
    let created = OpenOptions::new().write(true).create_new(true).open(&arguments.file);
    let written = created.and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Error::Input(format!("`{named}` exists and is not overwritten; name another file"))
        }
        _ => Error::Environment(format!("cannot write `{named}`: {error}; name another file")),
    })?;
    print(&format!(
        "wrote {named}\n\n\
         lanekeeper check {named}                      # print the plan\n\
         lanekeeper run {named} --broker sim           # in virtual time\n\
         lanekeeper run {named}                        # on the embedded mock cluster\n\
         lanekeeper run {named} --bootstrap HOST:PORT  # on a cluster\n\
         lanekeeper run {named} --broker sim --html page.html\n"
    ))?;
    Ok(Exit::Passed)
}

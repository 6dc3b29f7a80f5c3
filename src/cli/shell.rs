//! `completions` and `man`: outputs made from the definition of the command line.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::terminal::print;
use crate::base::printable_path;
use crate::error::{Error, Exit};

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(super) fn completions(
    arguments: &CompletionsArguments,
    mut command: Command,
) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "lanekeeper", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Passed)
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// Write a page for each command into this directory, which is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the page of the program, or writes the pages of all commands.
pub(super) fn man(arguments: &ManArguments, command: Command) -> Result<Exit, Error> {
    let Some(directory) = &arguments.out else {
        let mut page = Vec::new();
        // The pages of all commands have no `help` subcommand either.
        let command = command.disable_help_subcommand(true);
        Man::new(command).render(&mut page).map_err(|error| Error::Bug(error.to_string()))?;
        print(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Passed);
    };
    let named = printable_path(directory);
    let made = std::fs::create_dir_all(directory);
    made.and_then(|()| clap_mangen::generate_to(command, directory)).map_err(|error| {
        Error::Environment(format!(
            "cannot write man pages into `{named}`: {error}; name another directory"
        ))
    })?;
    print(&format!("wrote man pages to {named}\n"))?;
    Ok(Exit::Passed)
}

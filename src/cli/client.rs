//! Client properties from outside the scenario: the options, and what is refused of them.

use std::path::{Path, PathBuf};

use clap::Args;

use super::scenario::{ScenarioArguments, render};
use crate::base::{FileError, printable, read_regular};
use crate::broker::rdkafka::{ClientFile, refusals, remember_hidden};
use crate::error::Error;
use crate::plan::Plan;
use crate::scenario::{Diagnostic, Source};

/// Where client properties come from besides the scenario.
#[derive(Debug, Args)]
pub(super) struct ClientArguments {
    /// File with librdkafka properties (`key=value`, as in a Java `.properties` file), for TLS settings and secrets.
    /// Environment variables such as LANEKEEPER_CLIENT_SASL_PASSWORD override it. Values are never shown or stored.
    /// Properties that the run sets itself are refused, such as `bootstrap.servers`, `group.id` and `acks`.
    #[arg(long, value_name = "FILE")]
    client_config: Option<PathBuf>,
}

/// A client file is a page of text; a file beyond this is something else.
const LARGEST_BYTES: u64 = 1024 * 1024;

impl ClientArguments {
    /// The plan of a scenario, and the properties from outside it. Everything that is wrong with both is one error.
    pub(super) fn with_plan(
        &self,
        arguments: &ScenarioArguments,
    ) -> Result<(Plan, ClientFile), Error> {
        let (plan, file) = match (arguments.plan(), self.read()) {
            (Ok(plan), Ok(file)) => (plan, file),
            (Err(Error::Input(one)), Err(Error::Input(other))) => {
                return Err(Error::Input(format!("{one}\n\n{other}")));
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        remember_hidden(&file);
        let refused = refusals(&plan, &file);
        if refused.is_empty() {
            return Ok((plan, file));
        }
        let source =
            Source { name: arguments.file.display().to_string(), text: plan.source.clone() };
        Err(Error::Input(render(&source, &plan.overrides, &refused)))
    }

    fn read(&self) -> Result<ClientFile, Error> {
        let content = self.client_config.as_deref().map(|path| Ok((path, content(path)?)));
        let content = content.transpose()?;
        let named = content.as_ref().map(|(path, bytes)| (path.display().to_string(), bytes));
        let file = named.as_ref().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        ClientFile::read(file, std::env::vars_os())
            .map_err(|wrong: Vec<Diagnostic>| Error::Input(render(&Source::default(), &[], &wrong)))
    }
}

/// The bytes of a client file.
fn content(path: &Path) -> Result<Vec<u8>, Error> {
    read_regular(path, LARGEST_BYTES).map_err(|refused| {
        let remedy = match refused {
            FileError::Refused(_) => refused.remedy(),
            _ => "give the path of a file with `property = value` lines",
        };
        let path = path.display().to_string();
        Error::Input(format!(
            "cannot read the client properties in `{}`: {refused}; {remedy}",
            printable(&path)
        ))
    })
}

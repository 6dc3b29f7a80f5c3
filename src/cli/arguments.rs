//! Arguments that commands share: a scenario with its overrides, and client properties from outside the scenario.
//!
//! All errors in them are returned as one error.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::base::{BROKER_KINDS, BrokerKind, ClientKind, Share, printable_path};
use crate::broker::refusals;
use crate::broker::settings::ClientFile;
use crate::error::Error;
use crate::load_test::client_properties;
use crate::plan::{Overrides, Plan, compile};
use crate::scenario::{Diagnostic, Source, Sources, load, render_all};

/// A scenario and what is laid over it.
#[derive(Debug, Args)]
pub(super) struct ScenarioArguments {
    /// The scenario file.
    file: PathBuf,

    /// Cluster to use; `kafka` needs --bootstrap. [default: embedded, or kafka if --bootstrap is given]
    #[arg(long, value_parser = broker_kinds(|_| true))]
    broker: Option<BrokerKind>,

    /// Addresses of the cluster, `host:port[,host:port…]`.
    #[arg(long, value_name = "ADDRESSES")]
    bootstrap: Option<String>,

    /// The client library.
    #[arg(long, value_parser = client_kinds(), default_value_t = ClientKind::of_this_build())]
    client: ClientKind,

    /// Seed of all randomness; overrides `run.seed`.
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| whole(0, text))]
    seed: Option<u64>,

    /// Override a value of the scenario, as in `--set run.duration=10s`. Repeatable.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

/// The largest integer in TOML, and therefore the largest seed.
pub(super) const SEED_MAX: u64 = i64::MAX as u64;

/// A whole number from `least` to [`SEED_MAX`].
pub(super) fn whole(least: u64, text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (least..=SEED_MAX).contains(number));
    number.ok_or_else(|| format!("it is a whole number from {least} to {SEED_MAX}"))
}

/// Parser of the names of the kinds of broker for which the given function is true.
pub(super) fn broker_kinds(
    is_meant: fn(BrokerKind) -> bool,
) -> impl TypedValueParser<Value = BrokerKind> {
    let meant = move || BROKER_KINDS.iter().copied().filter(move |kind| is_meant(*kind));
    let value = |kind: BrokerKind| PossibleValue::new(kind.name()).help(kind.doc());
    let find = move |name: String| meant().find(|kind| kind.name() == name).ok_or("unknown");
    PossibleValuesParser::new(meant().map(value)).try_map(find)
}

/// Parser for commands that always run in virtual time. The name of the simulated broker is accepted.
pub(super) fn simulated_only() -> impl TypedValueParser<Value = BrokerKind> {
    broker_kinds(|kind| kind.capability().is_modelled)
}

/// Parser of the names of the client libraries.
pub(super) fn client_kinds() -> impl TypedValueParser<Value = ClientKind> {
    let value = |kind: ClientKind| PossibleValue::new(kind.name()).help(kind.doc());
    let find = |name: String| {
        ClientKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or("unknown")
    };
    PossibleValuesParser::new(ClientKind::ALL.map(value)).try_map(find)
}

impl ScenarioArguments {
    /// Path of the scenario file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Reads the scenario and builds its plan. Warnings are printed to stderr. Errors are returned as one error with
    /// all of them.
    fn plan(&self, allow_existing_topic: bool, share: Option<Share>) -> Result<Plan, Error> {
        let overrides = Overrides { share, ..self.overrides(allow_existing_topic) };
        planned(&self.source()?, &self.set, &overrides)
    }

    /// The scenario's text.
    pub(super) fn source(&self) -> Result<Source, Error> {
        source(&self.file, &self.set)
    }

    /// The overrides of the command line, without [`ScenarioArguments::set`].
    pub(super) fn overrides(&self, allow_existing_topic: bool) -> Overrides {
        Overrides {
            broker: self.broker,
            client: Some(self.client),
            bootstrap: self.bootstrap.clone(),
            seed: self.seed,
            allow_existing_topic,
            share: None,
            is_variant: false,
        }
    }

    /// The values of `--set`.
    pub(super) fn set(&self) -> &[String] {
        &self.set
    }

    /// `lanekeeper COMMAND FILE` with the given cluster and seed, quoted for a shell.
    pub(super) fn command(&self, command: &str) -> String {
        let mut text = format!("lanekeeper {command} {}", quoted(&printable_path(&self.file)));
        let broker = self.broker.map(|broker| format!(" --broker {broker}"));
        let client =
            (self.client != ClientKind::default()).then(|| format!(" --client {}", self.client));
        let bootstrap = self.bootstrap.as_ref().map(|it| format!(" --bootstrap {}", quoted(it)));
        let seed = self.seed.map(|seed| format!(" --seed {seed}"));
        [broker, client, bootstrap, seed].into_iter().flatten().for_each(|it| text.push_str(&it));
        text
    }
}

/// A word quoted for a shell.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Builds the plan of a scenario. Warnings are printed to stderr. Errors are returned as one error with all of them.
pub(super) fn planned(
    source: &Source,
    set: &[String],
    overrides: &Overrides,
) -> Result<Plan, Error> {
    let (plan, diagnostics) = compile(source, set, overrides);
    let text = render(source, set, &diagnostics);
    let Some(plan) = plan else { return Err(Error::Input(text)) };
    if !text.is_empty() {
        let _ = writeln!(anstream::stderr(), "{text}");
    }
    Ok(plan)
}

/// Reads a scenario file. Its name is escaped for the terminal.
pub(super) fn source(file: &Path, set: &[String]) -> Result<Source, Error> {
    let name = printable_path(file);
    match load(file) {
        Ok(source) => Ok(Source { name, ..source }),
        Err(diagnostic) => {
            let source = Source { name, text: String::new() };
            Err(Error::Input(render(&source, set, &[*diagnostic])))
        }
    }
}

/// Diagnostics as text, with their places in the scenario.
pub(super) fn render(source: &Source, set: &[String], diagnostics: &[Diagnostic]) -> String {
    let sources = Sources { file: source, overrides: set };
    let colour = !matches!(anstream::stderr().current_choice(), anstream::ColorChoice::Never);
    render_all(diagnostics, &sources, colour)
}

/// What a run on a cluster elsewhere needs besides the scenario.
#[derive(Debug, Args)]
pub(super) struct ClientArguments {
    #[command(flatten)]
    connection: ConnectionArguments,

    /// Allow a run to write into a topic that exists already; `check --connect` shows its records and the groups that
    /// read it.
    #[arg(long)]
    pub(super) allow_existing_topic: bool,
}

/// Where client properties come from besides the scenario.
#[derive(Debug, Args)]
pub(super) struct ConnectionArguments {
    /// File with librdkafka properties (`key=value`, as in a Java `.properties` file), for TLS settings and secrets.
    /// Environment variables such as LANEKEEPER_CLIENT_SASL_PASSWORD override it. Values are never shown or stored.
    /// Properties that the run sets itself are refused, such as `bootstrap.servers`, `group.id` and `acks`.
    #[arg(long, value_name = "FILE")]
    client_config: Option<PathBuf>,
}

impl ClientArguments {
    /// The plan of a scenario, and the properties from outside it. All errors in both are returned as one error.
    pub(super) fn with_plan(
        &self,
        arguments: &ScenarioArguments,
        share: Option<Share>,
    ) -> Result<(Plan, ClientFile), Error> {
        let plan = arguments.plan(self.allow_existing_topic, share);
        let (plan, file) = match (plan, self.read()) {
            (Ok(plan), Ok(file)) => (plan, file),
            (Err(Error::Input(one)), Err(Error::Input(other))) => {
                return Err(Error::Input(format!("{one}\n\n{other}")));
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let refused = refusals(&plan, &file);
        if refused.is_empty() {
            return Ok((plan, file));
        }
        let source =
            Source { name: arguments.file.display().to_string(), text: plan.source.clone() };
        Err(Error::Input(render(&source, &plan.overrides, &refused)))
    }

    /// The properties from outside the scenario.
    pub(super) fn read(&self) -> Result<ClientFile, Error> {
        self.connection.read()
    }
}

impl ConnectionArguments {
    /// The properties from outside the scenario.
    pub(super) fn read(&self) -> Result<ClientFile, Error> {
        client_properties(self.client_config.as_deref(), render)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("run.duration=5s"), "run.duration=5s");
        assert_eq!(quoted("consumers.work={wait=\"5ms\"}"), "'consumers.work={wait=\"5ms\"}'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}

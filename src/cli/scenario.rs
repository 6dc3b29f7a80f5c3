//! The arguments `run` and `check` share: a scenario and what is laid over it.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::base::{BrokerKind, printable_path};
use crate::error::Error;
use crate::plan::{Overrides, Plan, compile};
use crate::scenario::{Diagnostic, Source, Sources, load, render_all};

/// A scenario and what is laid over it.
#[derive(Debug, Args)]
pub(super) struct ScenarioArguments {
    /// The scenario file.
    pub(super) file: PathBuf,

    /// Cluster to use; `kafka` needs --bootstrap. [default: embedded, or kafka if --bootstrap is given]
    #[arg(long, value_enum)]
    pub(super) broker: Option<BrokerName>,

    /// Addresses of the cluster, `host:port[,host:port…]`.
    #[arg(long, value_name = "ADDRESSES")]
    pub(super) bootstrap: Option<String>,

    /// The client library.
    #[arg(long, value_enum, default_value = "rdkafka")]
    pub(super) client: ClientName,

    /// Seed of all randomness; overrides `run.seed`.
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| whole(0, text))]
    pub(super) seed: Option<u64>,

    /// Override a value of the scenario, as in `--set run.duration=10s`. Repeatable.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(super) set: Vec<String>,
}

/// The largest number a scenario file can hold: what keeps a seed may be one.
pub(super) const SEED_MAX: u64 = i64::MAX as u64;

/// A whole number from `least` to [`SEED_MAX`].
pub(super) fn whole(least: u64, text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (least..=SEED_MAX).contains(number));
    number.ok_or_else(|| format!("it is a whole number from {least} to {SEED_MAX}"))
}

/// Brokers by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum BrokerName {
    /// librdkafka's mock cluster, in this process: nothing to install.
    Embedded,
    /// A real cluster.
    Kafka,
    /// A simulated cluster in virtual time: the same seed gives the same result.
    Sim,
}

/// For commands that run in virtual time whatever one says; saying so is no mistake.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SimulatedOnly {
    /// The simulated cluster.
    Sim,
}

/// Clients by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ClientName {
    /// librdkafka, the client of many production services.
    Rdkafka,
}

impl ScenarioArguments {
    /// Reads the scenario and builds its plan. Warnings go to stderr; mistakes come back as one error with all
    /// of them.
    pub(super) fn plan(&self) -> Result<Plan, Error> {
        let ClientName::Rdkafka = self.client;
        let source = source(&self.file, &self.set)?;
        let overrides = Overrides {
            broker: self.broker.map(|broker| match broker {
                BrokerName::Embedded => BrokerKind::Embedded,
                BrokerName::Kafka => BrokerKind::Kafka,
                BrokerName::Sim => BrokerKind::Sim,
            }),
            bootstrap: self.bootstrap.clone(),
            seed: self.seed,
        };
        planned(&source, &self.set, &overrides)
    }
}

/// Builds the plan of a scenario. Warnings go to stderr; mistakes come back as one error with all of them.
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

/// Reads a scenario file. It is named as a terminal may have it.
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

/// Diagnostics as text, with the places they speak of.
pub(super) fn render(source: &Source, set: &[String], diagnostics: &[Diagnostic]) -> String {
    let sources = Sources { file: source, overrides: set };
    let colour = !matches!(anstream::stderr().current_choice(), anstream::ColorChoice::Never);
    render_all(diagnostics, &sources, colour)
}

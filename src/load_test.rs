//! A scenario that a program or a `#[test]` runs without the command line.

use std::path::{Path, PathBuf};

use crate::base::{BrokerKind, ClientKind, FileError, printable, read_regular};
use crate::broker::settings::{ClientFile, remember_hidden};
use crate::broker::{needs_consent, refusals};
use crate::error::Error;
use crate::logic::Handlers;
use crate::plan::{Overrides, Plan, compile};
use crate::report::full_report;
use crate::run::{Options, run};
use crate::scenario::{Diagnostic, Source, Sources, load, render_all};
use crate::summary::{Summary, Verdict};

/// A scenario to be run, with its overrides.
///
/// ```
/// use lanekeeper::{BrokerKind, LoadTest, Verdict};
///
/// let scenario = r#"
///     [topic]
///     partitions = 2
///     [load]
///     producers = 4
///     rate = "10/s"
///     [run]
///     warmup = "0s"
///     duration = "5s"
///     [[fault]]
///     at = "2s"
///     kill = { consumer = 1 }
///     [expect]
///     lost = 0
/// "#;
/// let test = LoadTest::from_text("kill.toml", scenario).broker(BrokerKind::SIM).set("run.seed=7");
/// let summary = test.run()?;
/// assert_eq!(summary.verdict, Verdict::Passed);
/// assert_eq!((summary.ledger.sent, summary.restarts), (200, 1));
/// # Ok::<(), lanekeeper::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LoadTest {
    source: Source,
    set: Vec<String>,
    overrides: Overrides,
    handlers: Option<Handlers>,
    client_config: Option<PathBuf>,
    may_execute: bool,
}

impl LoadTest {
    /// A scenario as TOML text. Messages call it `name`. Without the ending `.toml`, that is the name of the scenario.
    pub fn from_text(name: impl Into<String>, text: impl Into<String>) -> LoadTest {
        LoadTest {
            source: Source { name: name.into(), text: text.into() },
            set: Vec::new(),
            overrides: Overrides::default(),
            handlers: None,
            client_config: None,
            may_execute: false,
        }
    }

    /// A scenario in a file.
    ///
    /// # Errors
    /// [`Error::Input`]: the file cannot be read, or is not text.
    pub fn from_file(path: impl AsRef<Path>) -> Result<LoadTest, Error> {
        let path = path.as_ref();
        let source = load(path).map_err(|found| {
            let source = Source { name: path.display().to_string(), ..Source::default() };
            Error::Input(rendered(&source, &[], &[*found]))
        })?;
        Ok(LoadTest::from_text(source.name, source.text))
    }

    /// Overrides a value of the scenario, as `--set` does: `run.duration=10s`.
    #[must_use]
    pub fn set(mut self, setting: impl Into<String>) -> LoadTest {
        self.set.push(setting.into());
        self
    }

    /// The broker. The default is the embedded one, or the cluster of [`LoadTest::bootstrap`] if that is set.
    ///
    /// On [`BrokerKind::SIM`] a run takes a fraction of a second, and is the same each time. On the others it takes the
    /// time that the scenario has, and Ctrl-C ends it in order.
    #[must_use]
    pub fn broker(mut self, broker: BrokerKind) -> LoadTest {
        self.overrides.broker = Some(broker);
        self
    }

    /// The addresses of a real cluster: `host:port`, separated by commas.
    #[must_use]
    pub fn bootstrap(mut self, addresses: impl Into<String>) -> LoadTest {
        self.overrides.bootstrap = Some(addresses.into());
        self
    }

    /// The client library. The default is [`ClientKind::Rdkafka`].
    #[must_use]
    pub fn client(mut self, client: ClientKind) -> LoadTest {
        self.overrides.client = Some(client);
        self
    }

    /// A file with client properties for a real cluster, as for `--client-config`. Variables such as
    /// `LANEKEEPER_CLIENT_SASL_PASSWORD` apply with and without it.
    #[must_use]
    pub fn client_config(mut self, path: impl Into<PathBuf>) -> LoadTest {
        self.client_config = Some(path.into());
        self
    }

    /// The handlers of records, which replace the scenario's `work`.
    #[must_use]
    pub fn handlers(mut self, handlers: Handlers) -> LoadTest {
        self.handlers = Some(handlers);
        self
    }

    /// Allows `exec` faults to run their commands, and client properties that load code, run a command, open files or
    /// reach other servers. Without it, a scenario with one of them is rejected.
    #[must_use]
    pub fn allow_exec(mut self) -> LoadTest {
        self.may_execute = true;
        self
    }

    /// Allows the run to write into an existing topic.
    #[must_use]
    pub fn allow_existing_topic(mut self) -> LoadTest {
        self.overrides.allow_existing_topic = true;
        self
    }

    /// Reads the scenario and makes its plan without running it. Returns the warnings, for example about settings
    /// without an effect.
    ///
    /// # Errors
    /// [`Error::Input`]: the scenario or the client properties are wrong, or not allowed. The message has every mistake
    /// with its line and remedy.
    pub fn check(&self) -> Result<Vec<String>, Error> {
        self.planned().map(|planned| planned.warnings)
    }

    /// Runs the scenario to its end. The summary has the warnings of [`LoadTest::check`].
    ///
    /// An expectation that does not hold is no error: [`Summary::verdict`] shows it.
    ///
    /// # Errors
    /// There is no summary: the scenario is wrong ([`Error::Input`]), a cluster cannot be reached
    /// ([`Error::Environment`]), or another reason of [`Error`].
    pub fn run(self) -> Result<Summary, Error> {
        let Planned { plan, client, warnings } = self.planned()?;
        let options = Options { client, handlers: self.handlers, ..Options::default() };
        let mut summary = run(plan, options, Box::new(()))?;
        summary.warnings.extend(warnings);
        Ok(summary)
    }

    /// Runs the scenario in a `#[test]`. Returns the summary of a run that has passed.
    ///
    /// # Panics
    /// If the verdict is another one, with the full report. If there is an [`Error`], with its message.
    #[track_caller]
    pub fn assert_passes(self) -> Summary {
        let summary = self.run().unwrap_or_else(|error| panic!("{error}"));
        assert!(summary.verdict == Verdict::Passed, "{}", report_text(&summary));
        summary
    }

    fn planned(&self) -> Result<Planned, Error> {
        let (plan, found) = compile(&self.source, &self.set, &self.overrides);
        let Some(plan) = plan else {
            return Err(Error::Input(rendered(&self.source, &self.set, &found)));
        };
        let client = match plan.broker.capability().takes_access {
            true => client_properties(self.client_config.as_deref(), rendered)?,
            false => ClientFile::default(),
        };
        let refused = refusals(&plan, &client);
        if !refused.is_empty() {
            return Err(Error::Input(rendered(&self.source, &self.set, &refused)));
        }
        if !self.may_execute {
            let command = plan.first_command().map(|command| {
                format!("this scenario runs commands on this machine, the first is {command}")
            });
            if let Some(first) = command.or_else(|| needs_consent(&plan, &client).first().cloned())
            {
                return Err(Error::Input(format!(
                    "{first}; call `LoadTest::allow_exec` if that is what you want, or remove it"
                )));
            }
        }
        let warnings =
            found.iter().map(|one| rendered(&self.source, &self.set, std::slice::from_ref(one)));
        Ok(Planned { plan, client, warnings: warnings.collect() })
    }
}

/// The plan of a scenario.
struct Planned {
    plan: Plan,
    client: ClientFile,
    /// Warnings about the scenario.
    warnings: Vec<String>,
}

/// The full report of a run without colours, for a message.
pub fn report_text(summary: &Summary) -> String {
    anstream::adapter::strip_str(&full_report(summary, None)).to_string()
}

fn rendered(source: &Source, set: &[String], found: &[Diagnostic]) -> String {
    render_all(found, &Sources { file: source, overrides: set }, false)
}

/// Largest size of a client file in bytes. A larger file is no list of properties.
const LARGEST_BYTES: u64 = 1024 * 1024;

/// The client properties from outside a scenario: from a file, if one is named, and from the environment. Later
/// messages hide their values.
pub(crate) fn client_properties(
    path: Option<&Path>,
    render: impl Fn(&Source, &[String], &[Diagnostic]) -> String,
) -> Result<ClientFile, Error> {
    let content = path.map(|path| Ok((path.display().to_string(), content(path)?))).transpose()?;
    let file = content.as_ref().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let read = ClientFile::read(file, std::env::vars_os())
        .map_err(|wrong| Error::Input(render(&Source::default(), &[], &wrong)))?;
    remember_hidden(&read);
    Ok(read)
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

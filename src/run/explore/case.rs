//! A case: a scenario with a seed, settings and faults, which can be run and written to a file.

use std::time::Duration;

use toml::{Table, Value};

use super::settings::{Setting, section};
use crate::error::Error;
use crate::plan::{Overrides, Plan, compile};
use crate::run::Options;
use crate::run::run;
use crate::scenario::{Diagnostic, Source};
use crate::summary::{METRICS, Summary};

/// The size of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CaseSize {
    /// Number of faults.
    pub faults: usize,
    /// Number of settings that were drawn.
    pub settings: usize,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Producers.
    pub producers: u32,
    /// Length of the load, warmup included.
    pub load: Duration,
}

/// The invariants that every run must keep: the metrics that must be 0, each with its meaning.
pub(super) fn zeros() -> impl Iterator<Item = (&'static str, &'static str)> {
    METRICS.iter().filter_map(|metric| Some((metric.name, metric.invariant?)))
}

/// The invariant that a run breaks if it ends with an error, and so has no figures.
pub(super) const ENDS: (&str, &str) = ("error", "every run comes to its end");

/// A scenario with a seed, settings and faults.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) base: Table,
    pub(super) seed: u64,
    /// Drawn settings, which replace those of `base`.
    pub(super) settings: Vec<Setting>,
    pub(super) faults: Vec<Table>,
}

impl Case {
    /// The scenario `base`, with the invariants as its expectations. Pauses of pools make records late on purpose, so
    /// the limits for lateness and unsent records are lifted.
    pub(super) fn new(name: &str, mut base: Table) -> Case {
        let expected = zeros().map(|(figure, _)| (figure.to_owned(), Value::Integer(0)));
        base.insert("expect".to_owned(), Value::Table(expected.collect()));
        // Virtual time costs little, and late records are not lost.
        let drain = Value::String("10m".to_owned());
        let run = section(&mut base, "run");
        run.entry("drain".to_owned()).or_insert(drain.clone());
        run.entry("startup".to_owned()).or_insert(drain);
        let limits = section(&mut base, "limits");
        limits.insert("lateness_p99".to_owned(), Value::String("1h".to_owned()));
        limits.insert("sent_min".to_owned(), Value::Float(0.0));
        Case { name: name.to_owned(), base, seed: 0, settings: Vec::new(), faults: Vec::new() }
    }

    /// The same scenario with another seed and these settings, without faults. Settings that do not fit the scenario or
    /// an earlier setting are left out.
    pub(super) fn with_settings(&self, seed: u64, settings: Vec<Setting>) -> Case {
        let bare = Case { seed, settings: Vec::new(), faults: Vec::new(), ..self.clone() };
        let all = Case { settings, ..bare.clone() };
        if all.plan().is_ok() {
            return all;
        }
        let mut fitting = bare;
        for setting in all.settings {
            fitting.settings.push(setting);
            if fitting.plan().is_err() {
                fitting.settings.pop();
            }
        }
        fitting
    }

    /// The same scenario with another seed and other faults.
    pub(super) fn with(&self, seed: u64, faults: Vec<Table>) -> Case {
        Case { seed, faults, ..self.clone() }
    }

    /// The text of the scenario file.
    pub(super) fn text(&self) -> String {
        let mut base = self.base.clone();
        base.remove("fault");
        self.settings.iter().for_each(|setting| setting.write(&mut base));
        section(&mut base, "run").insert("seed".to_owned(), Value::Integer(self.seed as i64));
        let mut text = base.to_string();
        for fault in &self.faults {
            text.push_str("\n[[fault]]\n");
            for (key, value) in fault {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        text
    }

    pub(super) fn plan(&self) -> Result<Plan, Vec<Diagnostic>> {
        let source = Source { name: self.name.clone(), text: self.text() };
        let overrides = Overrides {
            broker: Some(crate::base::BrokerKind::simulated()),
            ..Overrides::default()
        };
        match compile(&source, &[], &overrides) {
            (Some(plan), _) => Ok(plan),
            (None, diagnostics) => Err(diagnostics),
        }
    }

    /// The plan. A drawn scenario that is refused is a bug.
    fn accepted(&self) -> Result<Plan, Error> {
        self.plan().map_err(|diagnostics| {
            let messages = diagnostics.iter().filter(|found| found.is_error());
            let messages: Vec<_> = messages.map(|found| found.message.clone()).collect();
            Error::Bug(format!("a drawn scenario is refused: {}", messages.join("; ")))
        })
    }

    /// The size of the case.
    pub(super) fn size(&self) -> Result<CaseSize, Error> {
        let plan = self.accepted()?;
        Ok(CaseSize {
            faults: self.faults.len(),
            settings: self.settings.len(),
            partitions: plan.topic.partitions,
            producers: plan.load.producers,
            load: plan.times.load_end(),
        })
    }

    /// Runs the case in virtual time.
    pub(super) fn run(&self) -> Result<Summary, Error> {
        run(self.accepted()?, Options::default(), Box::new(()))
    }

    /// True if a run of the case breaks the invariant `figure`.
    pub(super) fn breaks(&self, figure: &str) -> bool {
        self.plan().is_ok() && broken(&self.run()).iter().any(|broken| broken.figure == figure)
    }
}

/// An invariant that a run broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The figure that is not 0.
    pub figure: &'static str,
    /// The meaning of the invariant.
    pub meaning: &'static str,
    /// The measured value, or the error of the run.
    pub measured: String,
}

/// The invariants that a run broke.
pub(super) fn broken(outcome: &Result<Summary, Error>) -> Vec<Broken> {
    let summary = match outcome {
        Ok(summary) => summary,
        Err(error) => {
            let (figure, meaning) = ENDS;
            return vec![Broken { figure, meaning, measured: error.to_string() }];
        }
    };
    let failed = summary.expectations.iter().filter(|expectation| !expectation.passed);
    failed
        .filter_map(|expectation| {
            let (named, _) = expectation.expression.split_once(' ')?;
            let (figure, meaning) = zeros().find(|(figure, _)| *figure == named)?;
            let measured = expectation.text.clone().unwrap_or_default();
            Some(Broken { figure, meaning, measured })
        })
        .collect()
}

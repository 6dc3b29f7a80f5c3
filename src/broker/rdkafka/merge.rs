//! The one place where the properties of a client come together, each with its source.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::client_file::{ClientFile, Place};
use crate::scenario::known::{self, Treatment};

/// Where the value of a property comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From lanekeeper: a default of its own, or what a key of the scenario means.
    Lanekeeper,
    /// From `[client]` of the scenario.
    Scenario,
    /// From a client file.
    File,
    /// From the environment.
    Environment,
}

impl Source {
    /// Whether the value may be shown.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Source::Lanekeeper | Source::Scenario)
    }
}

/// A value and its source.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) source: Source,
}

/// The properties of one client, by the names under which they are kept.
#[derive(Clone, Default)]
pub(super) struct Properties {
    held: BTreeMap<String, Setting>,
    /// What was set and does not hold, in the order in which it was overruled.
    overruled: BTreeMap<String, Vec<Setting>>,
}

/// Whether a scenario, a client file or the environment may set `name` on this kind of cluster. The clients of an
/// embedded cluster are told nothing of how a cluster is reached, and so can reach no other.
pub(super) fn may_be_given(name: &str, is_embedded: bool) -> bool {
    match known::treatment(name) {
        Some(Treatment::Free) => true,
        Some(Treatment::Access | Treatment::Needs(_)) => !is_embedded,
        Some(Treatment::Ours(_)) | None => false,
    }
}

impl Properties {
    /// What lanekeeper says.
    pub(super) fn ours(&mut self, properties: &BTreeMap<String, String>) {
        for (name, value) in properties {
            self.set(name, value, Source::Lanekeeper);
        }
    }

    /// What the scenario says, as far as it may.
    pub(super) fn scenario(&mut self, properties: &BTreeMap<String, String>, is_embedded: bool) {
        for (name, value) in properties {
            match may_be_given(name, is_embedded) {
                true => self.set(name, value, Source::Scenario),
                false => self.overrule(name, value, Source::Scenario),
            }
        }
    }

    /// What a client file and the environment say, as far as they may.
    pub(super) fn outside(&mut self, file: &ClientFile, is_embedded: bool) {
        for (name, given) in file.overruled().chain(file.all()) {
            let source = match given.place {
                Place::File { .. } => Source::File,
                Place::Environment { .. } => Source::Environment,
            };
            match may_be_given(name, is_embedded) {
                true => self.set(name, &given.value, source),
                false => self.overrule(name, &given.value, source),
            }
        }
    }

    pub(super) fn set(&mut self, name: &str, value: &str, source: Source) {
        let setting = Setting { value: value.to_owned(), source };
        if let Some(old) = self.held.insert(name.to_owned(), setting)
            && (old.source, source) != (Source::Lanekeeper, Source::Lanekeeper)
        {
            self.overrule(name, &old.value, old.source);
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(old) = self.held.remove(name)
            && old.source != Source::Lanekeeper
        {
            self.overrule(name, &old.value, old.source);
        }
    }

    /// Notes a value that does not hold. That lanekeeper changes a default of its own is no news.
    fn overrule(&mut self, name: &str, value: &str, source: Source) {
        let setting = Setting { value: value.to_owned(), source };
        self.overruled.entry(name.to_owned()).or_default().push(setting);
    }

    /// What was set and does not hold, by property.
    pub(super) fn overruled(&self) -> impl Iterator<Item = (&str, &[Setting])> {
        self.overruled.iter().map(|(name, settings)| (name.as_str(), settings.as_slice()))
    }

    /// Every property with its value and its source.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.held.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    /// Those whose values may be shown and that load nothing, as the client library wants them.
    pub(super) fn open(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let is_plain = |name: &str| !matches!(known::treatment(name), Some(Treatment::Needs(_)));
        for (name, setting) in self.held.iter().filter(|(name, _)| is_plain(name)) {
            if setting.source.is_open() {
                config.set(name, &setting.value);
            }
        }
        config
    }

    /// As the client library wants them.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        if tracing::enabled!(tracing::Level::DEBUG) {
            // What it says by itself, or what `debug` asks for.
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        for (name, setting) in &self.held {
            config.set(name, &setting.value);
        }
        config
    }
}

//! Merges the properties of a client, each with its source.

use std::collections::BTreeMap;

use super::client_file::{ClientFile, PropertyLocation};
use crate::scenario::known::{self, Treatment};

/// The source of a property's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Source {
    /// lanekeeper: a default of its own, or a value derived from a key of the scenario.
    Lanekeeper,
    /// `[client]` of the scenario.
    Scenario,
    /// A client file.
    File,
    /// The environment.
    Environment,
}

impl Source {
    /// True if the value may be shown.
    pub(in crate::broker) fn is_open(self) -> bool {
        matches!(self, Source::Lanekeeper | Source::Scenario)
    }
}

/// A value and its source.
#[derive(Clone)]
pub(in crate::broker) struct Setting {
    pub(in crate::broker) value: String,
    pub(in crate::broker) source: Source,
}

/// The properties of one client, by canonical name.
#[derive(Clone, Default)]
pub(in crate::broker) struct Properties {
    held: BTreeMap<String, Setting>,
    /// The values that were set and overruled, in the order in which they were overruled.
    overruled: BTreeMap<String, Vec<Setting>>,
}

/// True if a scenario, a client file or the environment may set `name` for clients of a cluster that `takes_access`.
/// Clients of other clusters take no properties about the access to a cluster, so that they can reach no other cluster.
pub(in crate::broker) fn may_be_given(name: &str, takes_access: bool) -> bool {
    match known::treatment(name) {
        Some(Treatment::Free) => true,
        Some(Treatment::Access | Treatment::Needs(_)) => takes_access,
        Some(Treatment::Ours(_)) | None => false,
    }
}

impl Properties {
    /// Sets properties of lanekeeper.
    pub(in crate::broker) fn ours(&mut self, properties: &BTreeMap<String, String>) {
        for (name, value) in properties {
            self.set(name, value, Source::Lanekeeper);
        }
    }

    /// Sets properties of the scenario. Those that it may not set are noted as overruled.
    pub(in crate::broker) fn scenario(
        &mut self,
        properties: &BTreeMap<String, String>,
        takes_access: bool,
    ) {
        for (name, value) in properties {
            match may_be_given(name, takes_access) {
                true => self.set(name, value, Source::Scenario),
                false => self.overrule(name, value, Source::Scenario),
            }
        }
    }

    /// Sets properties of a client file and the environment. Those that they may not set are noted as overruled.
    pub(in crate::broker) fn outside(&mut self, file: &ClientFile, takes_access: bool) {
        for (name, given) in file.overruled().chain(file.all()) {
            let source = match given.place {
                PropertyLocation::File { .. } => Source::File,
                PropertyLocation::Environment { .. } => Source::Environment,
            };
            match may_be_given(name, takes_access) {
                true => self.set(name, &given.value, source),
                false => self.overrule(name, &given.value, source),
            }
        }
    }

    pub(in crate::broker) fn set(&mut self, name: &str, value: &str, source: Source) {
        let setting = Setting { value: value.to_owned(), source };
        if let Some(old) = self.held.insert(name.to_owned(), setting)
            && (old.source, source) != (Source::Lanekeeper, Source::Lanekeeper)
        {
            self.overrule(name, &old.value, old.source);
        }
    }

    pub(in crate::broker) fn remove(&mut self, name: &str) {
        if let Some(old) = self.held.remove(name)
            && old.source != Source::Lanekeeper
        {
            self.overrule(name, &old.value, old.source);
        }
    }

    /// Notes a value that is overruled.
    fn overrule(&mut self, name: &str, value: &str, source: Source) {
        let setting = Setting { value: value.to_owned(), source };
        self.overruled.entry(name.to_owned()).or_default().push(setting);
    }

    /// The overruled values, by property.
    pub(in crate::broker) fn overruled(&self) -> impl Iterator<Item = (&str, &[Setting])> {
        self.overruled.iter().map(|(name, settings)| (name.as_str(), settings.as_slice()))
    }

    /// The value of a property; `None` if it is not set.
    pub(in crate::broker) fn get(&self, name: &str) -> Option<&str> {
        self.held.get(name).map(|setting| setting.value.as_str())
    }

    /// Every property with its value and its source.
    pub(in crate::broker) fn all(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.held.iter().map(|(name, setting)| (name.as_str(), setting))
    }
}

//! The settings in which variants differ, and those differences that make a comparison meaningless.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use toml::Value;

use super::variant::VariantRounds;
use crate::scenario::{Source, merged};

/// A setting that differs between variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingRow {
    /// `section.key`.
    pub key: String,
    /// The value in each variant; `null` where it is not set.
    pub values: Vec<Option<String>>,
}

/// Settings as `section.key` with their values as TOML. The seed and the variants themselves are left out.
pub fn settings(source: &Source, overrides: &[String]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (section, value) in merged(source, overrides) {
        match value {
            _ if section == "variant" => {}
            Value::Table(keys) => {
                let entries =
                    keys.iter().map(|(key, value)| (format!("{section}.{key}"), value.to_string()));
                all.extend(entries);
            }
            other => drop(all.insert(section, other.to_string())),
        }
    }
    all.remove("run.seed");
    all
}

/// The settings that differ between `variants`.
pub fn setting_rows(variants: &[BTreeMap<String, String>]) -> Vec<SettingRow> {
    let keys: BTreeSet<&String> = variants.iter().flat_map(BTreeMap::keys).collect();
    let rows = keys.into_iter().map(|key| SettingRow {
        key: key.clone(),
        values: variants.iter().map(|variant| variant.get(key).cloned()).collect(),
    });
    rows.filter(|row| row.values.iter().any(|value| *value != row.values[0])).collect()
}

/// True if a setting is about the load, its length or its faults.
fn is_load(key: &str) -> bool {
    key.starts_with("load.")
        || key == "fault"
        || ["topic.partitions", "run.duration", "run.warmup"].contains(&key)
}

/// The reasons why variants cannot be compared: another load, other faults, another broker. Empty if they can.
pub fn not_comparable(rows: &[SettingRow], variants: &[VariantRounds]) -> Vec<String> {
    let shown = |value: &Option<String>| value.clone().unwrap_or("not set".to_owned());
    let of_row = |row: &SettingRow| {
        let values: Vec<String> = row.values.iter().map(shown).collect();
        format!("`{}` is {}", row.key, values.join(" / "))
    };
    let mut why: Vec<String> = rows.iter().filter(|row| is_load(&row.key)).map(of_row).collect();
    let mut of_run = |what: &str, values: Vec<String>| {
        if values.iter().any(|value| *value != values[0]) {
            why.push(format!("{what} is {}", values.join(" / ")));
        }
    };
    let firsts = || variants.iter().filter_map(|variant| variant.summaries.first());
    of_run("the broker", firsts().map(|it| it.broker.clone()).collect());
    of_run(
        "the number of partitions",
        firsts().map(|it| it.partitions.len().to_string()).collect(),
    );
    of_run(
        "the length of the load in seconds",
        firsts().map(|it| it.planned_load_s.to_string()).collect(),
    );
    of_run(
        "the handler",
        firsts().map(|it| it.handler.clone().unwrap_or("none".to_owned())).collect(),
    );
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[&str]) -> BTreeMap<String, String> {
        let text =
            "[load]\nproducers = 4\n[consumers]\ncount = 8\n[[variant]]\nname = \"x\"\n".to_owned();
        let set: Vec<String> = set.iter().map(|it| (*it).to_owned()).collect();
        settings(&Source { name: "x.toml".to_owned(), text }, &set)
    }

    #[test]
    fn only_what_differs_is_listed() {
        let rows = setting_rows(&[of(&["run.seed=1"]), of(&["consumers.count=18", "run.seed=2"])]);
        let values = vec![Some("8".to_owned()), Some("18".to_owned())];
        assert_eq!(rows, [SettingRow { key: "consumers.count".to_owned(), values }]);
        assert!(not_comparable(&rows, &[]).is_empty());
    }

    #[test]
    fn another_load_is_not_comparable() {
        let rows = setting_rows(&[of(&[]), of(&["load.producers=5", "fault=[{at=\"1s\"}]"])]);
        let why = not_comparable(&rows, &[]);
        assert_eq!(why.len(), 2, "{why:?}");
        assert!(why[1].contains("`load.producers` is 4 / 5"), "{why:?}");
    }
}

//! The command that repeats a run.

use std::fmt::Write;

use crate::base::{BrokerKind, ClientKind};
use crate::summary::Summary;

/// The command that repeats the run of the scenario in a result directory.
pub(super) fn command(summary: &Summary) -> String {
    let kind = BrokerKind::named(&summary.broker);
    let has_address = kind.is_some_and(|kind| kind.capability().is_elsewhere);
    let address = if has_address { " --bootstrap HOST:PORT" } else { "" };
    let (broker, seed) = (quoted(&summary.broker), summary.seed);
    let mut command =
        format!("lanekeeper run scenario.toml --broker {broker}{address} --seed {seed}");
    let library = ClientKind::named_in(&summary.client);
    // On a model there is only one client library.
    let is_chosen =
        |library: &ClientKind| summary.simulation.is_none() && *library != ClientKind::default();
    if let Some(library) = library.filter(is_chosen) {
        let _ = write!(command, " --client {library}");
    }
    for text in &summary.overrides {
        let _ = write!(command, " --set {}", quoted(text));
    }
    command
}

/// A word quoted for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-=/:,+".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Simulation;

    #[test]
    fn the_command_can_be_pasted() {
        let overrides = vec!["run.duration=10s".to_owned(), "expect.lost='> 0'".to_owned()];
        let summary =
            Summary { broker: "sim".to_owned(), seed: 7, overrides, ..Summary::default() };
        assert_eq!(
            command(&summary),
            "lanekeeper run scenario.toml --broker sim --seed 7 --set run.duration=10s \
             --set 'expect.lost='\\''> 0'\\'''"
        );
        let client = "lanekeeper native 0.1.0".to_owned();
        let native = Summary { broker: "embedded".to_owned(), client, ..Summary::default() };
        assert!(command(&native).ends_with(" --broker embedded --seed 0 --client native"));
        let simulated = Summary { simulation: Some(Simulation::default()), ..native };
        assert!(!command(&simulated).contains("--client"));
        let elsewhere = BrokerKind::elsewhere().name().to_owned();
        let command = command(&Summary { broker: elsewhere, ..Summary::default() });
        assert!(command.ends_with(" --bootstrap HOST:PORT --seed 0"), "{command}");
    }
}

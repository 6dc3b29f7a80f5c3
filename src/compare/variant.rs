//! The names of variants: `group:8`, `group:18:static`, `assign`, and those of `[[variant]]` in a scenario.

use crate::plan::{Overrides, Plan, compile};
use crate::scenario::{self, Diagnostic, Source, closest};
use crate::summary::Summary;

/// A set-up that is compared, with its overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name in tables and results.
    pub name: String,
    /// Overrides of the scenario, as `path=value`: those of the command line, then those of the variant.
    pub overrides: Vec<String>,
}

/// The rounds of one variant.
#[derive(Clone, Debug, Default)]
pub struct VariantRounds {
    /// Its name.
    pub name: String,
    /// Overrides of the variant, as `path=value`.
    pub overrides: Vec<String>,
    /// The summary of each round.
    pub summaries: Vec<Summary>,
}

/// The values that a variant's short name may have.
const FORMS: &str = "`group:MEMBERS`, `group:MEMBERS:WORD` with the word `range`, `roundrobin`, `cooperative-sticky`, \
                     `static` or `consumer`, `assign`, `assign:shared`, or the name of a `[[variant]]` in the scenario";

/// The words that may follow `group:MEMBERS`, and the settings of each.
const GROUP_WORDS: [(&str, &str); 8] = [
    ("range", "consumers.assignor=range"),
    ("roundrobin", "consumers.assignor=roundrobin"),
    ("cooperative-sticky", "consumers.assignor=cooperative-sticky"),
    ("uniform", "consumers.assignor=uniform"),
    ("static", "consumers.membership=static"),
    ("dynamic", "consumers.membership=dynamic"),
    ("classic", "consumers.protocol=classic"),
    ("consumer", "consumers.protocol=consumer"),
];

impl Variant {
    /// The variants with these `names`, in their order; without names, those of the scenario. Overrides of the command
    /// line, `set`, apply to all of them, and a variant's own come after them.
    ///
    /// # Errors
    /// An unknown name, a name that is given twice, or fewer than two variants. The text has a remedy.
    pub fn all(source: &Source, set: &[String], names: &[String]) -> Result<Vec<Variant>, String> {
        let (scenario, _) = scenario::read(source, set);
        let of_file = |section: &scenario::At<scenario::VariantSection>| {
            let name = section.value.name.as_ref()?.value.clone();
            Some(Variant { name, overrides: section.value.overrides.clone() })
        };
        let written: Vec<Variant> = scenario.variant.iter().filter_map(of_file).collect();
        let mut variants = match names {
            [] => written,
            names => names.iter().map(|name| named(name, &written)).collect::<Result<_, _>>()?,
        };
        if let Some(twice) = repeated(&variants) {
            return Err(format!("the variant `{twice}` is there twice; remove one of them"));
        }
        if variants.len() < 2 {
            return Err(format!(
                "{} to compare; give at least two, for example `--variants group:8,group:18,assign`: {FORMS}",
                if variants.is_empty() {
                    "there are no variants"
                } else {
                    "there is only one variant"
                }
            ));
        }
        for variant in &mut variants {
            variant.overrides.splice(0..0, set.iter().cloned());
        }
        Ok(variants)
    }

    /// The plan of this variant of the scenario. A setting without effect is a warning.
    pub fn plan(&self, source: &Source, overrides: &Overrides) -> (Option<Plan>, Vec<Diagnostic>) {
        compile(source, &self.overrides, &Overrides { is_variant: true, ..overrides.clone() })
    }
}

/// A name that two variants have.
fn repeated(variants: &[Variant]) -> Option<&str> {
    let is_twice = |at: &usize| variants[..*at].iter().any(|it| it.name == variants[*at].name);
    (0..variants.len()).find(is_twice).map(|at| variants[at].name.as_str())
}

fn named(name: &str, written: &[Variant]) -> Result<Variant, String> {
    if let Some(variant) = written.iter().find(|variant| variant.name == name) {
        return Ok(variant.clone());
    }
    let overrides = short(name).ok_or_else(|| {
        let written = written.iter().map(|variant| variant.name.as_str());
        let known: Vec<&str> = written.chain(["assign", "assign:shared", "group:8"]).collect();
        let near = closest(name, known.iter().copied());
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        format!("there is no variant `{name}`{near}\n  a variant is {FORMS}")
    })?;
    Ok(Variant { name: name.to_owned(), overrides })
}

/// The settings of a short name; `None` if the name is none.
fn short(name: &str) -> Option<Vec<String>> {
    let mut words = name.split(':');
    match (words.next()?, words.next()) {
        ("assign", None) => Some(vec!["consumers.mode=assigned".to_owned()]),
        ("assign", Some("shared")) if words.next().is_none() => {
            Some(vec!["consumers.mode=assigned".to_owned(), "consumers.clients=shared".to_owned()])
        }
        ("group", Some(members)) => {
            let members: u32 = members.parse().ok()?;
            let mut set =
                vec!["consumers.mode=group".to_owned(), format!("consumers.count={members}")];
            for word in words {
                let (_, sets) = GROUP_WORDS.iter().find(|(known, _)| *known == word)?;
                set.push((*sets).to_owned());
            }
            Some(set)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BrokerKind;

    fn source(text: &str) -> Source {
        Source { name: "x.toml".to_owned(), text: text.to_owned() }
    }

    fn all(text: &str, names: &[&str]) -> Result<Vec<Variant>, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Variant::all(&source(text), &["run.duration=1s".to_owned()], &names)
    }

    #[test]
    fn names_are_short_forms_or_those_of_the_file() {
        let text = "[[variant]]\nname = \"mine\"\nconsumers.batch = 8\n";
        let variants = all(text, &["group:18:static", "mine", "assign"]).expect("variants");
        assert_eq!(
            variants[0].overrides,
            [
                "run.duration=1s",
                "consumers.mode=group",
                "consumers.count=18",
                "consumers.membership=static"
            ]
        );
        assert_eq!(variants[1].overrides, ["run.duration=1s", "consumers.batch=8"]);
    }

    #[test]
    fn mistakes_have_a_remedy() {
        for (names, said) in [
            (&["group:8", "asign"][..], "did you mean `assign`?"),
            (&["group:8", "group"], "a variant is `group:MEMBERS`"),
            (&["group:8", "group:x"], "a variant is"),
            (&["assign"], "there is only one variant"),
            (&[], "there are no variants"),
            (&["assign", "assign"], "there twice"),
        ] {
            let error = all("[topic]\npartitions = 18\n", names).expect_err("a mistake");
            assert!(error.contains(said), "{names:?}: {error}");
        }
    }

    #[test]
    fn what_has_no_effect_is_a_warning_and_standbys_are_allowed() {
        let text = "[topic]\npartitions = 4\n[consumers]\nsession_timeout = \"6s\"\n[expect]\nrebalances = 0\n";
        let overrides = Overrides { broker: Some(BrokerKind::SIM), ..Overrides::default() };
        for name in ["assign", "group:6"] {
            let overrides_of = short(name).expect("a variant");
            let variant = Variant { name: name.to_owned(), overrides: overrides_of };
            let (plan, diagnostics) = variant.plan(&source(text), &overrides);
            assert!(plan.is_some(), "{name}: {diagnostics:?}");
            assert_eq!(diagnostics.is_empty(), name == "group:6", "{diagnostics:?}");
        }
    }
}

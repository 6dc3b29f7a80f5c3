//! `--set path=a,b,c`: the values of a sweep, and all their combinations.

use super::variant::Variant;

/// Largest number of combinations of a sweep.
pub const COMBINATIONS_MAX: usize = 256;

/// A setting with the values it takes in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Path of the setting, as in `load.rate_total`.
    pub path: String,
    /// The values, as written.
    pub values: Vec<String>,
}

impl Axis {
    /// Reads `path=a,b,c`. Commas within quotes, brackets and braces do not separate.
    ///
    /// # Errors
    /// There is no `=`, or a value is empty. The text has the error and a remedy.
    pub fn parse(text: &str) -> Result<Axis, String> {
        let Some((path, values)) = text.split_once('=') else {
            return Err(format!(
                "`--set {text}` has no values: write `--set load.rate_total=1000/s,2000/s`"
            ));
        };
        let values = separated(values);
        if values.iter().any(String::is_empty) {
            return Err(format!(
                "a value of `--set {text}` is empty: write values with one comma between two of them"
            ));
        }
        Ok(Axis { path: path.trim().to_owned(), values })
    }
}

/// The texts between commas, except commas within quotes, brackets and braces.
fn separated(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0, false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        match parts.last_mut() {
            Some(_) if c == ',' && depth == 0 && !quoted => parts.push(String::new()),
            Some(part) => part.push(c),
            None => {}
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// A variant for every combination of the values. The values of the last axis change fastest. Axes with one value are
/// in all variants.
///
/// # Errors
/// No axis has two values, or there are too many combinations. The text has the error and a remedy.
pub fn combinations(axes: &[Axis]) -> Result<Vec<Variant>, String> {
    if !axes.iter().any(|axis| axis.values.len() > 1) {
        return Err(
            "a sweep needs a setting with several values, for example `--set load.rate_total=1000/s,2000/s`"
                .to_owned(),
        );
    }
    let count = axes.iter().map(|axis| axis.values.len()).fold(1, usize::saturating_mul);
    if count > COMBINATIONS_MAX {
        return Err(format!(
            "these are {count} combinations, more than {COMBINATIONS_MAX}: give fewer values, or sweep one setting \
             after the other"
        ));
    }
    let mut all: Vec<(Vec<String>, Vec<String>)> = vec![(Vec::new(), Vec::new())];
    for axis in axes {
        let with = |(names, sets): &(Vec<String>, Vec<String>)| -> Vec<_> {
            let each = axis.values.iter().map(|value| {
                let (mut names, mut sets) = (names.clone(), sets.clone());
                let set = format!("{}={value}", axis.path);
                if axis.values.len() > 1 {
                    names.push(set.clone());
                }
                sets.push(set);
                (names, sets)
            });
            each.collect()
        };
        all = all.iter().flat_map(with).collect();
    }
    let variant =
        |(names, overrides): (Vec<String>, _)| Variant { name: names.join(" "), overrides };
    Ok(all.into_iter().map(variant).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(texts: &[&str]) -> Vec<Axis> {
        texts.iter().map(|text| Axis::parse(text).expect(text)).collect()
    }

    #[test]
    fn every_combination_is_there_once_and_in_order() {
        let axes = axes(&["consumers.batch=1,8", "run.duration=5s", "load.rate_total=1/s,2/s,3/s"]);
        let all = combinations(&axes).expect("combinations");
        let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names[0], "consumers.batch=1 load.rate_total=1/s");
        assert_eq!(names[1], "consumers.batch=1 load.rate_total=2/s");
        assert_eq!((names.len(), names[5]), (6, "consumers.batch=8 load.rate_total=3/s"));
        assert_eq!(
            all[5].overrides,
            ["consumers.batch=8", "run.duration=5s", "load.rate_total=3/s"]
        );
    }

    #[test]
    fn commas_within_a_value_do_not_separate() {
        let axis = Axis::parse(
            "consumers.work={ wait = { min = \"1ms\", max = \"2ms\" } },{ wait = \"1ms\" }",
        )
        .expect("an axis");
        assert_eq!(axis.values.len(), 2, "{axis:?}");
    }

    #[test]
    fn mistakes_have_a_remedy() {
        assert!(Axis::parse("load.rate_total").is_err_and(|it| it.contains("write")));
        assert!(Axis::parse("consumers.batch=1,,2").is_err_and(|it| it.contains("is empty")));
        let many = vec![axes(&["a=1,2,3,4,5,6,7,8"])[0].clone(); 3];
        assert!(combinations(&many).is_err_and(|it| it.contains("512 combinations")));
        assert!(combinations(&axes(&["a=1"])).is_err_and(|it| it.contains("several values")));
    }
}

//! "Did you mean": remedies for names that do not exist.

/// `one of a, b, c`, each in backticks.
pub fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    format!("one of {}", quoted.join(", "))
}

/// The known name that is closest to `name`; `None` if none is close.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    known
        .into_iter()
        // The distance is at least the difference in length. This check avoids the cost of computing it.
        .filter(|candidate| {
            let its = candidate.chars().count();
            length.abs_diff(its) <= its.div_ceil(3)
        })
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        // At most a third of the letters may differ. A name with a larger distance is not suggested.
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A remedy for a word: the closest of `known`, otherwise all of them.
pub fn word(name: &str, known: &[&str]) -> String {
    match closest(name, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("it is {}", one_of(known)),
    }
}

/// Names that other tools use for keys, and the keys of a `[[fault]]` that they stand for.
const ELSEWHERE: [(&str, &str); 9] = [
    ("duration", "for"),
    ("lasts", "for"),
    ("length", "for"),
    ("time", "at"),
    ("start", "at"),
    ("after", "at"),
    ("interval", "every"),
    ("repeat", "every"),
    ("period", "every"),
];

/// The known key that other tools call `name`; `None` outside a `[[fault]]`.
pub fn meant<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // Only a fault has both keys.
    let is_fault = known.contains(&"for") && known.contains(&"every");
    let (_, here) = ELSEWHERE.iter().find(|(elsewhere, _)| is_fault && *elsewhere == name)?;
    known.iter().find(|key| *key == here).copied()
}

/// A remedy for a key: the closest of `known`, otherwise all of them.
pub fn key(name: &str, known: &[&str]) -> String {
    let near = meant(name, known).or_else(|| closest(name, known.iter().copied()));
    match near {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_corrected_and_a_guess_is_not_made() {
        let known = ["partitions", "payload", "name"];
        assert_eq!(closest("partitons", known), Some("partitions"));
        assert_eq!(closest("plyoad", known), Some("payload"));
        assert_eq!(closest("colour", known), None);
    }
}

//! "Did you mean": remedies for names that do not exist.

use super::words::one_of;

/// The known name closest to `name`, if any is close.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        // A third of the letters may be wrong: further away it is a guess, not a suggestion.
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A remedy: the closest of `known`, otherwise all of them.
pub(super) fn word(name: &str, known: &[&str]) -> String {
    match closest(name, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("it is {}", one_of(known)),
    }
}

/// A remedy for a key: the closest of `known`, otherwise all of them.
pub(super) fn key(name: &str, known: &[&str]) -> String {
    match closest(name, known.iter().copied()) {
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

//! Sections of a report with a limited number of lines. The least important items are left out, and a line has their
//! number.

/// A part of the report.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// Lines that are never cut.
    pub(super) head: Vec<String>,
    /// Items that can be left out, the last ones first. Each has one or more lines.
    pub(super) items: Vec<Vec<String>>,
    /// Number of further items that were not made.
    pub(super) more: usize,
    /// Name of the items, for the line with the number of those left out.
    pub(super) noun: &'static str,
    /// Rank of the section. The smallest rank is cut first.
    pub(super) rank: u8,
    /// Lines after the items, which are never cut.
    pub(super) foot: Vec<String>,
    /// True if a blank line is before the section.
    pub(super) is_apart: bool,
}

/// Largest number of items that are made for a section. More never fit.
pub(super) const ITEMS_MAX: usize = 30;
/// The steps of cutting: number of items that every section keeps, and true if blank lines separate sections.
const STEPS: [(usize, bool); 5] = [(4, true), (4, false), (2, false), (1, false), (0, false)];

impl Section {
    /// A section of lines that are never cut.
    pub(super) fn of(head: Vec<String>) -> Section {
        Section { head, ..Section::default() }
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.items.is_empty() && self.foot.is_empty()
    }

    fn lines(&self, shown: usize) -> Vec<String> {
        let mut lines = self.head.clone();
        lines.extend(self.items[..shown].iter().flatten().cloned());
        let left_out = self.items.len() - shown + self.more;
        if left_out > 0 {
            lines.push(format!("  … {left_out} more {}: `report --full` has all", self.noun));
        }
        lines.extend(self.foot.clone());
        lines
    }
}

/// The lines of all sections, at most `lines_max`.
pub(super) fn fitted(sections: &[Section], lines_max: usize) -> Vec<String> {
    let sections: Vec<&Section> = sections.iter().filter(|section| !section.is_empty()).collect();
    let mut shown: Vec<usize> = sections.iter().map(|section| section.items.len()).collect();
    for (least, is_apart) in STEPS {
        loop {
            let lines = joined(&sections, &shown, is_apart);
            if lines.len() <= lines_max {
                return filled(&sections, shown, is_apart, lines_max);
            }
            // The section with the smallest rank among those that can be cut. Among equal ranks, the last one.
            let cut = (0..sections.len())
                .rev()
                .filter(|at| shown[*at] > least)
                .min_by_key(|at| sections[*at].rank);
            let Some(cut) = cut else { break };
            shown[cut] -= 1;
        }
    }
    let mut lines = joined(&sections, &shown, false);
    // The last two lines have the place of the result and the verdict.
    let last = lines.split_off(lines.len().saturating_sub(2));
    lines.truncate(lines_max.saturating_sub(last.len()));
    lines.extend(last);
    lines
}

/// Adds items that fit again, one of each section in turn, the most important section first.
fn filled(
    sections: &[&Section],
    mut shown: Vec<usize>,
    is_apart: bool,
    lines_max: usize,
) -> Vec<String> {
    let mut order: Vec<usize> = (0..sections.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(sections[*at].rank));
    loop {
        let before = shown.clone();
        for at in order.iter().copied() {
            if shown[at] < sections[at].items.len() {
                shown[at] += 1;
                if joined(sections, &shown, is_apart).len() > lines_max {
                    shown[at] -= 1;
                }
            }
        }
        if shown == before {
            break;
        }
    }
    joined(sections, &shown, is_apart)
}

fn joined(sections: &[&Section], shown: &[usize], is_apart: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (section, shown) in sections.iter().zip(shown) {
        if is_apart && section.is_apart && !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(section.lines(*shown));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(rank: u8, items: usize) -> Section {
        let item = |number: usize| vec![format!("{rank}.{number}"), "more of it".to_owned()];
        Section {
            head: vec![format!("HEAD {rank}")],
            items: (0..items).map(item).collect(),
            noun: "things",
            rank,
            is_apart: true,
            ..Section::default()
        }
    }

    #[test]
    fn what_fits_is_whole() {
        let lines = fitted(&[section(1, 1), Section::default(), section(2, 1)], 7);
        assert_eq!(lines, ["HEAD 1", "1.0", "more of it", "", "HEAD 2", "2.0", "more of it"]);
    }

    #[test]
    fn the_least_important_is_cut_first_and_counted() {
        let all = [section(2, 4), section(1, 4), Section::of(vec!["END".to_owned()])];
        let lines = fitted(&all, 17);
        assert_eq!(lines.len(), 16, "{lines:#?}");
        assert!(lines.contains(&"2.3".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"  … 2 more things: `report --full` has all".to_owned()));
        assert_eq!(lines.last().map(String::as_str), Some("END"));
        for lines_max in 3..25 {
            let lines = fitted(&all, lines_max);
            assert!(lines.len() <= lines_max, "{lines_max}: {lines:#?}");
            assert_eq!(lines.last().map(String::as_str), Some("END"));
        }
    }
}

//! Aligned columns of text.

/// Lines of cells, right-aligned but for the first column.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The rows as lines, two spaces between columns, without trailing spaces; of at most `width` characters, as far as
    /// the first column and another one fit. Columns for which there is no room follow in further blocks, each behind
    /// the first column.
    pub(super) fn blocks(&self, width: Option<usize>) -> Vec<Vec<String>> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let of = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| of(column).unwrap_or(0)).collect();
        let groups = groups(&widths, width.unwrap_or(usize::MAX));
        groups
            .iter()
            .map(|group| self.rows.iter().map(|row| line(row, group, &widths)).collect())
            .collect()
    }
}

/// Which columns stand beside each other, the first one always.
fn groups(widths: &[usize], width: usize) -> Vec<Vec<usize>> {
    let first = widths.first().copied().unwrap_or(0);
    let mut groups = Vec::new();
    let (mut group, mut taken) = (vec![0], first);
    for (column, own) in widths.iter().enumerate().skip(1) {
        if group.len() > 1 && taken + GAP + own > width {
            groups.push(std::mem::replace(&mut group, vec![0]));
            taken = first;
        }
        group.push(column);
        taken += GAP + own;
    }
    groups.push(group);
    groups
}

/// Spaces between columns.
const GAP: usize = 2;

fn line(row: &[String], columns: &[usize], widths: &[usize]) -> String {
    let mut line = String::new();
    for column in columns {
        let cell = row.get(*column).map_or("", String::as_str);
        let padding = " ".repeat(widths[*column] - cell.chars().count());
        if *column == 0 {
            line.push_str(cell);
            line.push_str(&padding);
        } else {
            line.push_str(&" ".repeat(GAP));
            line.push_str(&padding);
            line.push_str(cell);
        }
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_column_is_left_aligned_and_the_others_right() {
        let mut table = Table::default();
        table.row(["partition".into(), "msg/s".into()]);
        table.row(["7".into(), "113.8".into()]);
        table.row(["17".into(), "9".into()]);
        assert_eq!(
            table.blocks(None).concat(),
            ["partition  msg/s", "7          113.8", "17             9"]
        );
    }

    #[test]
    fn columns_without_room_follow_below_behind_the_first_one() {
        let mut table = Table::default();
        table.row(["".into(), "p50".into(), "p99".into(), "max".into()]);
        table.row(["7".into(), "1ms".into(), "22ms".into(), "300ms".into()]);
        assert_eq!(table.blocks(Some(19)).len(), 1);
        let narrow = table.blocks(Some(12));
        assert_eq!(narrow, [["   p50   p99", "7  1ms  22ms"], ["     max", "7  300ms"]]);
        // However little room there is, nothing is left out.
        assert_eq!(table.blocks(Some(0)).len(), 3);
        assert_eq!(table.blocks(None).len(), 1);
    }
}

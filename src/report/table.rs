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

    /// The rows as lines, two spaces between columns, without trailing spaces.
    pub(super) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        self.rows.iter().map(|row| line(row, &widths)).collect()
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.chars().count());
        if column == 0 {
            line.push_str(cell);
            line.push_str(&padding);
        } else {
            line.push_str("  ");
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
        assert_eq!(table.lines(), ["partition  msg/s", "7          113.8", "17             9"]);
    }
}

//! The page docs/components.md: the table between two marks, the rest is written by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::seen::Row;

pub(super) const PATH: &str = "docs/components.md";
const BEGIN: &str = "<!-- the table is written by tests/e2e/components.rs -->\n";
const END: &str = "<!-- end of the table -->\n";

/// A page, as it is or as it is written anew.
pub(super) struct Page {
    text: String,
    /// By column, then by row.
    kept: BTreeMap<String, BTreeMap<String, String>>,
    columns: Vec<String>,
    /// The columns that were seen now, in this order.
    seen: Vec<(String, Vec<Row>)>,
    anew: bool,
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PATH)
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

impl Page {
    pub(super) fn open() -> Page {
        let text = std::fs::read_to_string(path()).unwrap();
        let (_, rest) = text.split_once(BEGIN).unwrap();
        let (table, _) = rest.split_once(END).unwrap();
        let mut lines = table.lines();
        let columns: Vec<String> = lines.next().map(cells).unwrap_or_default().into_iter().skip(1).collect();
        let mut kept: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for line in lines.skip(1) {
            let all = cells(line);
            for (column, cell) in columns.iter().zip(all.iter().skip(1)) {
                kept.entry(column.clone()).or_default().insert(all[0].clone(), cell.clone());
            }
        }
        let anew = std::env::var_os("UPDATE_GOLDEN").is_some();
        Page { text, kept, columns, seen: Vec::new(), anew }
    }

    pub(super) fn is_written_anew(&self) -> bool {
        self.anew
    }

    /// Where the column and the world differ, a sentence each; it counts as seen when they do not.
    pub(super) fn differences(&mut self, column: &str, rows: &[Row]) -> Vec<String> {
        let Some(kept) = self.kept.get(column) else {
            return vec![format!("{PATH} has no column `{column}`")];
        };
        let mut wrong = Vec::new();
        for row in rows {
            match kept.get(&row.component) {
                Some(said) if *said == row.cell => {}
                Some(said) => {
                    wrong.push(format!("{}: the page says `{said}`, seen is `{}`", row.component, row.cell))
                }
                None => wrong.push(format!("{PATH} has no row `{}`", row.component)),
            }
        }
        let known: Vec<&str> = rows.iter().map(|row| row.component.as_str()).collect();
        wrong.extend(
            kept.keys()
                .filter(|row| !known.contains(&row.as_str()))
                .map(|row| format!("nobody looks at `{row}`")),
        );
        if wrong.is_empty() {
            self.write(column, rows.to_vec());
        }
        wrong
    }

    pub(super) fn write(&mut self, column: &str, rows: Vec<Row>) {
        self.seen.push((column.to_owned(), rows));
    }

    /// Writes the page, or sees that no column of it was left out.
    pub(super) fn close(self) {
        let columns: Vec<String> = self.seen.iter().map(|(column, _)| column.clone()).collect();
        if !self.anew {
            assert_eq!(columns, self.columns, "the columns of {PATH}");
            return;
        }
        let mut table = format!("| Component | {} |\n", columns.join(" | "));
        table += &format!("|---|{}\n", "---|".repeat(columns.len()));
        for (number, row) in self.seen[0].1.iter().enumerate() {
            write!(table, "| {} |", row.component).unwrap();
            for (_, rows) in &self.seen {
                write!(table, " {} |", rows[number].cell).unwrap();
            }
            table.push('\n');
        }
        let (head, rest) = self.text.split_once(BEGIN).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        std::fs::write(path(), format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
    }
}

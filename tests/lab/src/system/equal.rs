//! Whether both configuration databases hold the same, table by table, and what a ledger has saved.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

use super::plan::{Role, Site};
use super::{Lab, until, users};

const WITHIN: Duration = Duration::from_secs(60);
/// Each published table; those of Pointsman have rows of their own at each site.
const TABLES: &str = "SELECT format('%I.%I', schemaname, tablename) FROM pg_publication_tables
                       WHERE pubname = 'lab_config' AND schemaname <> 'pointsman' ORDER BY 1";

impl Lab {
    /// Waits until each table is the same at both sites, and answers which tables those are. Of the users' rows
    /// it is all that were acknowledged so far: who writes goes on.
    ///
    /// # Errors
    ///
    /// When a table stays different.
    pub fn tables_equal(&self) -> anyhow::Result<Vec<String>> {
        let last = users::acknowledged(&self.plan.writer_file()).iter().map(|row| row.n).max();
        let last = last.context("nothing was acknowledged")?;
        self.compared(&format!("WHERE n <= {last}"))
    }

    /// [`Lab::tables_equal`] of all rows, once nobody writes.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn all_rows_equal(&self) -> anyhow::Result<Vec<String>> {
        self.compared("")
    }

    fn compared(&self, entries: &str) -> anyhow::Result<Vec<String>> {
        let tables = Site::ALL.map(|site| self.postgres[site.index()].psql("config", TABLES));
        let [main, secondary] = tables;
        let (main, secondary) = (main?, secondary?);
        if main != secondary || !main.lines().any(|table| table == "public.entry") {
            bail!("published at main: {main}; at the secondary: {secondary}");
        }
        let tables: Vec<String> = main.lines().map(str::to_owned).collect();
        for table in &tables {
            let of = if table == "public.entry" { entries } else { "" };
            let sql = format!(
                "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t {of}"
            );
            until(&format!("{table} is the same at both sites"), WITHIN, || {
                let [main, secondary] = [0, 1].map(|site| self.postgres[site].psql("config", &sql));
                let (main, secondary) = (main?, secondary?);
                match main == secondary && !main.starts_with("0|") {
                    true => Ok(Some(())),
                    false => Err(anyhow!("{main} and {secondary}")),
                }
            })?;
        }
        Ok(tables)
    }

    /// The numbers of the rows at a site.
    ///
    /// # Errors
    ///
    /// When its database does not answer.
    pub fn numbers(&self, site: Site) -> anyhow::Result<BTreeSet<i64>> {
        let rows = self.postgres[site.index()].psql("config", "SELECT n FROM entry")?;
        Ok(rows.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// The finished ledgers at a site.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn ledgers(&self, site: Site) -> anyhow::Result<BTreeSet<PathBuf>> {
        let folder = self.plan.host(site.host(Role::Database)).join("state/ledgers");
        if !folder.exists() {
            return Ok(BTreeSet::new());
        }
        let all = std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path()));
        let mut all = all.collect::<anyhow::Result<BTreeSet<_>>>()?;
        all.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
        Ok(all)
    }
}

/// A ledger beside what the users know.
#[derive(Debug)]
pub struct Judged {
    /// Users' rows that it has.
    pub rows: usize,
    /// Of those, rows that got no answer.
    pub unanswered: usize,
    /// What should not be so.
    pub wrong: Vec<String>,
}

/// Compares a ledger, line by line, with the users' rows that are lost: each is there as the insert that the writer made,
/// once. Beside them it has at most rows that got no answer, and the beats of the masters.
///
/// # Errors
///
/// When it is no ledger.
pub fn judge_ledger(text: &str, lost: &BTreeSet<i64>, unanswered: &BTreeSet<i64>) -> anyhow::Result<Judged> {
    let mut lines = text.lines();
    let head: Value = serde_json::from_str(lines.next().context("the ledger is empty")?)?;
    if head["ledger"].is_null() {
        bail!("no head of a ledger: {head}");
    }
    let mut saved = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in lines {
        let line: Value = serde_json::from_str(line)?;
        let (table, what) = (line["table"].as_str(), line["do"].as_str());
        let beat = (table, what) == (Some("public.master_session"), Some("update"));
        if beat && line["key"]["slot"] == "1" {
            continue;
        }
        let insert = (table, what) == (Some("public.entry"), Some("insert"));
        let n = line["new"]["n"].as_str().and_then(|n| n.parse::<i64>().ok());
        let fits = |n: &i64| {
            let known = lost.contains(n) || unanswered.contains(n);
            insert && known && line["new"]["text"] == format!("row-{n}")
        };
        match n.filter(fits) {
            Some(n) if saved.insert(n) => {}
            Some(_) => wrong.push(format!("twice in the ledger: {line}")),
            None => wrong.push(format!("in the ledger and not lost: {line}")),
        }
    }
    let unsaved: Vec<&i64> = lost.difference(&saved).collect();
    if !unsaved.is_empty() {
        wrong.push(format!("lost and not in the ledger: {unsaved:?}"));
    }
    Ok(Judged { rows: saved.len(), unanswered: saved.difference(lost).count(), wrong })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(table: &str, what: &str, n: i64, text: &str) -> Value {
        json!({ "table": table, "do": what, "key": { "id": "7" }, "new": { "n": n.to_string(), "text": text } })
    }

    /// What is wrong with a ledger that has these lines, where row 1 is lost and row 2 got no answer.
    fn wrong(lines: &[Value]) -> anyhow::Result<Vec<String>> {
        let head = json!({ "ledger": 1 });
        let text: String = [&head].into_iter().chain(lines).map(|line| format!("{line}\n")).collect();
        Ok(judge_ledger(&text, &BTreeSet::from([1]), &BTreeSet::from([2]))?.wrong)
    }

    #[test]
    fn a_ledger_is_judged_line_by_line() -> anyhow::Result<()> {
        let lost = row("public.entry", "insert", 1, "row-1");
        let unanswered = row("public.entry", "insert", 2, "row-2");
        let beat =
            json!({ "table": "public.master_session", "do": "update", "key": { "slot": "1" }, "new": {} });
        assert!(wrong(&[lost.clone(), beat, unanswered.clone()])?.is_empty());
        assert_eq!(wrong(&[unanswered])?, ["lost and not in the ledger: [1]"]);
        for more in [
            lost.clone(),
            row("public.entry", "update", 1, "row-1"),
            row("public.entry", "insert", 2, "row-3"),
            row("public.entry", "insert", 3, "row-3"),
            row("public.other", "insert", 2, "row-2"),
            json!({ "table": "public.entry", "do": "delete", "key": { "id": "7" } }),
        ] {
            assert_eq!(wrong(&[lost.clone(), more.clone()])?.len(), 1, "{more}");
        }
        assert!(judge_ledger("{}\n", &BTreeSet::new(), &BTreeSet::new()).is_err());
        Ok(())
    }
}

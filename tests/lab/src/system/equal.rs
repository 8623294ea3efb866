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

/// The numbers of the users' rows that a ledger has as inserted.
///
/// # Errors
///
/// When it is no ledger.
pub fn saved(ledger: &std::path::Path) -> anyhow::Result<BTreeSet<i64>> {
    let text = std::fs::read_to_string(ledger).with_context(|| format!("read {}", ledger.display()))?;
    let mut saved = BTreeSet::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        if line["table"] == "public.entry" && line["do"] == "insert" {
            let n = line["new"]["n"].as_str().with_context(|| format!("no number: {line}"))?;
            saved.insert(n.parse()?);
        }
    }
    Ok(saved)
}

//! The page of steps by hand (`docs/workflows/by-hand.md`), played as it stands: a site is lost, and comes home.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use responder::Driver;
use schemas::Action;
use schemas::args::ExportOutput;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pair::{Pair, Site, WITHIN, act};

/// Never typed here: what there is one of already cannot be made.
const NOT_TYPED: [&str; 1] = ["replication.start 1"];

struct Page {
    text: String,
    /// Where files are written.
    folder: TempDir,
    typed: RefCell<BTreeSet<String>>,
}

impl Page {
    fn read() -> Page {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/workflows/by-hand.md");
        let text = std::fs::read_to_string(file).unwrap();
        Page { text, folder: tempfile::tempdir().unwrap(), typed: RefCell::default() }
    }

    /// Its blocks of SQL, by function and number.
    fn blocks(&self) -> BTreeMap<String, &str> {
        let mut found = BTreeMap::new();
        for section in self.text.split("\n## ").skip(1) {
            let (name, body) = section.split_once('\n').unwrap();
            for (number, part) in body.split("```sql\n").skip(1).enumerate() {
                let (block, _) = part.split_once("```").unwrap();
                found.insert(format!("{name} {number}"), block);
            }
        }
        found
    }

    /// Types one block at a site, with these words of the page replaced; what `psql` says.
    fn try_typed(&self, site: &Site, name: &str, values: &[(&str, &str)]) -> Result<String, String> {
        let blocks = self.blocks();
        let block = blocks.get(name).unwrap_or_else(|| panic!("{name} is not on the page"));
        let mut sql = block.replace("cfg_db", "app");
        for (word, value) in values {
            assert!(sql.contains(word), "{name} has no `{word}`: {sql}");
            sql = sql.replace(word, value);
        }
        self.typed.borrow_mut().insert(name.to_owned());
        let mut psql = Command::new(lab::tools::postgres("psql").unwrap())
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(site.cluster.superuser_dsn("config"))
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let done = psql.wait_with_output().unwrap();
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned()),
            false => Err(format!("{name}: {sql}\n{}", String::from_utf8_lossy(&done.stderr))),
        }
    }

    fn typed(&self, site: &Site, name: &str, values: &[(&str, &str)]) -> String {
        self.try_typed(site, name, values).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As the page says: again, until it answers so.
    async fn until(
        &self,
        site: &Site,
        name: &str,
        values: &[(&str, &str)],
        seen: impl Fn(&str) -> bool,
    ) -> String {
        let start = Instant::now();
        loop {
            match self.try_typed(site, name, values) {
                Ok(said) if seen(&said) => return said,
                other => assert!(start.elapsed() < WITHIN, "{name}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Closes a database, and sees that it is closed.
    async fn close(&self, site: &Site) {
        self.until(site, "database.disable-access 0", &[], |said| said == "0\napp|f|0|0|0").await;
    }

    /// Stops a subscription; X.
    async fn stop(&self, site: &Site, values: &[(&str, &str)]) -> String {
        let said =
            self.until(site, "replication.stop 0", values, |said| said.lines().next() == Some("0")).await;
        said.lines().nth(1).unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_site_is_left_and_comes_home_by_the_page_alone() {
    let (pair, page) = (Pair::start().await, Page::read());
    let (main, sec) = (&pair.main, &pair.sec);
    let write = |site: &Site, sql: &str| site.cluster.psql_as("app", "config", sql).unwrap();
    // Left over from an earlier move: a slot with rows of main, and a note of where the subscription stopped then.
    let old = sec.psql("SELECT lsn FROM pg_create_logical_replication_slot('rev_config', 'pgoutput')");
    sec.psql("UPDATE pointsman.receiver SET position = '0/1', local = '0/1'");
    write(main, "INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 30)");
    pair.same(main, sec).await;

    // Main is lost.
    page.typed(sec, "replication.abandon 0", &[]);
    let x = page.stop(sec, &[]).await;
    assert_eq!(sec.psql("SELECT position, stopped FROM pointsman.receiver"), format!("{x}|stopped"));
    for sql in [
        "INSERT INTO t (v) VALUES ('orphan')",
        "UPDATE t SET v = 'changed' WHERE id = 3",
        "DELETE FROM t WHERE id = 4",
    ] {
        write(main, sql);
    }
    page.typed(sec, "replication.abandon 1", &[]);
    assert_eq!(sec.psql("SELECT last_value FROM t_id_seq"), "10030");
    page.typed(sec, "replication.capture 0", &[]);
    page.typed(sec, "replication.capture 1", &[]);
    let anew = format!("SELECT confirmed_flush_lsn > '{old}' FROM pg_replication_slots");
    assert_eq!(sec.psql(&anew), "t", "the slot of an earlier move was left");
    assert_eq!(page.typed(sec, "database.enable-access 0", &[]), "app|t|t");
    write(sec, "INSERT INTO t (v) SELECT 'new' FROM generate_series(1, 50)");

    // Main is back: what never came is stored, and nothing that came.
    page.close(main).await;
    page.typed(main, "replication.export 0", &[("0/5A3F1C8", x.as_str())]);
    let ledger = std::fs::read_to_string(page.folder.path().join("orphans.csv")).unwrap();
    let rows: Vec<&str> =
        ledger.lines().filter_map(|line| line.split_once("table public.")).map(|(_, row)| row).collect();
    assert_eq!(
        rows,
        [
            "t: INSERT: id[bigint]:31 v[text]:'orphan'",
            "t: UPDATE: id[bigint]:3 v[text]:'changed'",
            "t: DELETE: id[bigint]:4",
        ],
        "{ledger}"
    );
    let mut export = act(Action::Export, 1, Value::Null);
    export.args["applied"] = json!(x);
    let output = pair.source(main).act(&export).await.unwrap();
    let output: ExportOutput = serde_json::from_value(output).unwrap();
    assert_eq!((output.transactions, output.rows), (3, 3), "the service finds others: {output:?}");

    page.typed(main, "replication.discard 0", &[]);
    assert_eq!(page.typed(main, "replication.copy 0", &[]), "main");
    page.typed(main, "replication.copy 2", &[]);
    let at = sec.cluster.address();
    let peer = format!("host={} port={} dbname=config user=replicator", at.ip(), at.port());
    page.typed(main, "replication.copy 3", &[("host=… dbname=config user=…", peer.as_str())]);
    main.until("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'", "0").await;
    pair.same(sec, main).await;
    let sum = "replication.compare 0";
    assert_eq!(page.typed(main, sum, &[]), page.typed(sec, sum, &[]));
    page.until(main, "replication.start 2", &[], |said| said.ends_with("|0|0") && !said.starts_with('|'))
        .await;

    // The planned way home.
    let (back, out) = (("fwd_config", "rev_config"), ("rev_config", "fwd_config"));
    page.close(sec).await;
    let mark: Value = serde_json::from_str(&page.typed(sec, "replication.mark 0", &[])).unwrap();
    let sentinel = mark["sentinel"].to_string();
    let drain = [back, ("12345", sentinel.as_str())];
    page.until(main, "replication.drain 0", &drain, |said| said.contains("\"came\": true")).await;
    page.stop(main, &[back]).await;
    let sequences = mark["sequences"].to_string();
    page.typed(main, "replication.set-sequences 0", &[("{\"public.t_id_seq\": 4711}", sequences.as_str())]);
    page.typed(main, "replication.capture 0", &[out]);
    page.typed(main, "database.enable-access 0", &[]);
    let written = page.typed(main, "database.verify-write 0", &[]);
    assert!(written.starts_with("t\napp|t|t|"), "{written}");
    page.typed(main, "database.verify-write 1", &[]);
    write(main, "INSERT INTO t (v) VALUES ('home')");
    assert_eq!(main.psql("SELECT id FROM t WHERE v = 'home'"), "10081");
    page.typed(sec, "replication.start 0", &[out]);
    pair.same(main, sec).await;
    page.typed(main, "replication.copy 1", &[]);
    page.typed(main, "replication.cleanup 0", &[]);

    let typed = page.typed.borrow();
    let left: Vec<String> = page.blocks().into_keys().filter(|name| !typed.contains(name)).collect();
    assert_eq!(left, NOT_TYPED, "each block of the page is played");
}

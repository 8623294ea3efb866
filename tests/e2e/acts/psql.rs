//! Sites with a real database, set up as the README says, and sessions that hold something up.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use lab::postgres::{Postgres, PostgresOptions};
use lab::tools;

use super::desk::{Desk, WITHIN};

/// A site's database: its host's file is written, and the DBA has run what `setup postgres` prints.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    cluster: Postgres,
}

/// A file, the replications that it names, and the start of the other site's.
pub(crate) fn pair(desk: &Desk) -> (Rc<Site>, Rc<Site>) {
    let start = |name| {
        let databases = vec!["config".into(), "log".into()];
        let options = PostgresOptions { databases, ..PostgresOptions::default() };
        Rc::new(Site { name, cluster: Postgres::start(options).unwrap() })
    };
    let (main, secondary) = (start("main"), start("secondary"));
    main.set_up(desk, &secondary, "csp", "css");
    secondary.set_up(desk, &main, "css", "csp");
    (main, secondary)
}

impl Site {
    fn set_up(&self, desk: &Desk, other: &Site, sends: &str, receives: &str) {
        let name = self.name;
        desk.write(&format!("{name}.dsn"), &self.cluster.dsn("pointsman", "config"));
        desk.write(&format!("{name}-peer.dsn"), &other.cluster.dsn("replicator", "config"));
        let shared = format!("driver: postgres, database: config, peer: \"file:{name}-peer.dsn\"");
        let file = desk.host_file(
            name,
            &format!(
                "database:\n  config: {{ driver: postgres, dsn: \"file:{name}.dsn\", writers: [app] }}\n\
                 replication:\n  {sends}: {{ {shared}, slot: {sends}, publication: pub_config }}\n  \
                 {receives}: {{ {shared}, subscription: {receives} }}\n"
            ),
        );
        self.psql(
            "CREATE ROLE app LOGIN; CREATE ROLE replicator LOGIN REPLICATION;
             CREATE TABLE t (id bigserial PRIMARY KEY, v text); CREATE SEQUENCE loose;
             GRANT SELECT, INSERT, UPDATE, DELETE ON t TO app;
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;
             GRANT SELECT ON t TO replicator;
             CREATE PUBLICATION pub_config FOR TABLE t WITH (publish = 'insert, update, delete')",
        );
        self.psql(&desk.command(&file, &["setup", "postgres", "--print", "--database", "config"]));
    }

    /// As a host that was switched off does it.
    pub(crate) fn boot(self: &mut Rc<Self>) {
        Rc::get_mut(self).unwrap().cluster.restart().unwrap();
    }

    /// As a host that loses its power.
    pub(crate) fn crash(self: &mut Rc<Self>) {
        Rc::get_mut(self).unwrap().cluster.kill9().unwrap();
    }

    pub(crate) fn data(&self) -> &std::path::Path {
        self.cluster.data()
    }

    /// Somebody who tries a statement as this role again and again, until this is dropped.
    pub(crate) fn knock(&self, role: &str, sql: &str) -> Knocks {
        let (dsn, sql) = (self.dsn(role), sql.to_owned());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let psql = tools::postgres("psql").unwrap();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                let _ = Command::new(&psql).args(["-X", "-q", "-d", &dsn, "-c", &sql]).output();
            }
        });
        Knocks { stop, thread: Some(thread) }
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        self.cluster.psql("config", sql).unwrap()
    }

    pub(crate) fn count(&self, sql: &str) -> u64 {
        let found = self.psql(sql);
        found.parse().unwrap_or_else(|_| panic!("{sql}: {found}"))
    }

    pub(crate) fn is(&self, sql: &str) -> bool {
        self.psql(&format!("SELECT ({sql})::text")) == "true"
    }

    pub(crate) fn until(&self, sql: &str) {
        let end = Instant::now() + WITHIN;
        while !self.is(sql) {
            assert!(Instant::now() < end, "{sql} at {}\n{}", self.name, self.cluster.output());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub(crate) fn dsn(&self, role: &str) -> String {
        self.cluster.dsn(role, "config")
    }

    pub(crate) fn output(&self) -> String {
        self.cluster.output()
    }

    /// Closes it by hand, as a DBA would.
    pub(crate) fn close(&self) {
        self.psql(
            "ALTER ROLE app NOLOGIN; REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public FROM app;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
        );
        self.until("SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'");
    }

    /// Opens it by hand.
    pub(crate) fn open(&self) {
        self.psql("ALTER ROLE app LOGIN; GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app");
    }

    /// A transaction that has done this and stays open until it is dropped.
    pub(crate) fn transaction(&self, database: &str, sql: &str) -> Session {
        Session::start(&self.cluster.superuser_dsn(database), &format!("BEGIN; {sql};"))
    }

    /// Whether an act of a resource has begun: its session is there, not one that looks.
    pub(crate) fn acts(&self, resource: &str) -> bool {
        self.is(&format!(
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name LIKE 'pointsman/{resource}/%'
                AND application_name NOT LIKE '%?'"
        ))
    }

    /// Whether an act of a resource waits for this kind of lock.
    pub(crate) fn waits(&self, resource: &str, event: &str) -> bool {
        let waits = format!(
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name LIKE 'pointsman/{resource}/%'
                AND wait_event_type = 'Lock' AND wait_event = '{event}'"
        );
        self.acts(resource) && self.is(&waits)
    }

    /// A session of the application that has done this and stays, frozen: nobody can end it.
    pub(crate) fn frozen_writer(&self) -> Frozen {
        let session = Session::start(&self.dsn("app"), "SELECT 1;");
        let pid = self.count("SELECT pid FROM pg_stat_activity WHERE usename = 'app'");
        Frozen::new(u32::try_from(pid).unwrap(), Some(session))
    }
}

/// Somebody who knocks, until this is dropped.
pub(crate) struct Knocks {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Knocks {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A `psql` that waits for its input.
pub(crate) struct Session {
    child: Child,
    input: ChildStdin,
    /// Something was sent that nobody may ever answer.
    left: bool,
}

impl Session {
    /// Returns once the statements are done.
    pub(crate) fn start(dsn: &str, sql: &str) -> Session {
        let mut child = Command::new(tools::postgres("psql").unwrap())
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{sql}\n\\echo ready").unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"), "{sql}");
        Session { child, input, left: false }
    }

    /// Sends something, whether somebody answers or not.
    pub(crate) fn send(&mut self, sql: &str) {
        self.left = true;
        writeln!(self.input, "{sql}").unwrap();
    }
}

impl Drop for Session {
    /// In order, so that its locks are free when this returns; its server may have ended it before.
    fn drop(&mut self) {
        let _ = match self.left {
            true => self.child.kill(),
            false => writeln!(self.input, "ROLLBACK;\n\\q"),
        };
        let _ = self.child.wait();
    }
}

/// A process of the server that is stopped in its tracks until this is dropped.
pub(crate) struct Frozen {
    pid: u32,
    _session: Option<Session>,
}

impl Frozen {
    pub(crate) fn new(pid: u32, session: Option<Session>) -> Frozen {
        lab::process::freeze_pid(pid);
        Frozen { pid, _session: session }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        lab::process::thaw_pid(self.pid);
    }
}

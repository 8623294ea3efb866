//! Sessions, identity, epochs and the set-up, on a real server.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::postgres::{Postgres, PostgresOptions};
use postgres::setup::{self, SetupInput};
use postgres::{Claim, Fate, Identity, Life, PgError, Server};
use schemas::{Code, Epoch, GroupId, RunId};
use uuid::Uuid;

const WITHIN: Duration = Duration::from_secs(5);

struct Site {
    cluster: Postgres,
    folder: tempfile::TempDir,
}

fn input() -> SetupInput {
    SetupInput {
        role: "pointsman".into(),
        site: "main".into(),
        resource: "config".into(),
        database: "config".into(),
        writers: vec!["app".into()],
        schemas: vec!["public".into()],
        ..SetupInput::default()
    }
}

fn start(settings: &[(&str, &str)]) -> Site {
    let cluster = Postgres::start(PostgresOptions {
        databases: vec!["config".into()],
        settings: settings.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        ..PostgresOptions::default()
    })
    .unwrap();
    cluster.psql("config", "CREATE ROLE app LOGIN; CREATE TABLE t (id bigserial PRIMARY KEY)").unwrap();
    cluster.psql("config", &setup::sql(&input())).unwrap();
    Site { cluster, folder: tempfile::tempdir().unwrap() }
}

impl Site {
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn server(&self, resource: &str, life: Uuid) -> Server {
        let dsn = self.file("config.dsn", &self.cluster.dsn("pointsman", "config"));
        let identity = Identity { site: "main".into(), resource: resource.into(), uuid: None };
        Server::new(dsn, "database", "config", &Life::new(life), Some(identity))
    }
}

fn claim(epoch: u64, run: u128) -> Claim {
    Claim::new(&GroupId::new("cfg").unwrap(), Epoch(epoch), RunId(Uuid::from_u128(run)))
}

#[test]
fn setup_may_run_again_and_makes_no_superuser() {
    let site = start(&[]);
    let psql = |sql: &str| site.cluster.psql("config", sql).unwrap();
    let before = psql("SELECT uuid FROM pointsman.identity");
    psql(&setup::sql(&input()));
    assert_eq!(psql("SELECT uuid FROM pointsman.identity"), before);
    assert_eq!(psql("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = 'pointsman'"), "f|f");
    let refused = site.cluster.psql_as("app", "config", "SELECT pointsman.close_access('cfg', 1, 'x')");
    assert!(refused.unwrap_err().to_string().contains("permission denied"));
    // Another site's script does not take the database over.
    let other = SetupInput { site: "secondary".into(), ..input() };
    assert!(site.cluster.psql("config", &setup::sql(&other)).is_err());
}

#[tokio::test]
async fn only_the_server_that_was_named_is_taken() {
    let site = start(&[]);
    site.server("config", Uuid::from_u128(1)).look(WITHIN).await.unwrap();
    let error = site.server("log", Uuid::from_u128(1)).look(WITHIN).await.err().unwrap();
    assert_eq!(error.code(), Code::WrongServer, "{error}");
    assert_eq!(error.fate(), Fate::NothingStarted);
    // A database without the set-up.
    site.file("config.dsn", &site.cluster.dsn("pointsman", "postgres"));
    let identity = Identity { site: "main".into(), resource: "config".into(), uuid: None };
    let path = site.folder.path().join("config.dsn");
    let server = Server::new(path, "database", "config", &Life::default(), Some(identity));
    assert_eq!(server.look(WITHIN).await.err().unwrap().code(), Code::WrongServer);
    // The file is read anew each time.
    site.file("config.dsn", &site.cluster.dsn("pointsman", "config"));
    server.look(WITHIN).await.unwrap();
}

#[tokio::test]
async fn epochs_only_rise_and_belong_to_one_run() {
    let site = start(&[]);
    let server = site.server("config", Uuid::from_u128(1));
    server.raise_epoch(&claim(3, 1), WITHIN).await.unwrap();
    server.raise_epoch(&claim(3, 1), WITHIN).await.unwrap();
    let code = |r: Result<(), PgError>| r.err().map(|e| (e.code(), e.fate()));
    let taken = code(server.raise_epoch(&claim(3, 2), WITHIN).await);
    assert_eq!(taken, Some((Code::EpochTaken, Fate::Ended)));
    assert_eq!(code(server.raise_epoch(&claim(2, 1), WITHIN).await), Some((Code::StaleEpoch, Fate::Ended)));
    // Two runs at once: one of them gets the number.
    let (c1, c2) = (claim(4, 1), claim(4, 2));
    let (one, two) = tokio::join!(server.raise_epoch(&c1, WITHIN), server.raise_epoch(&c2, WITHIN));
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count(), 1);
    let session = server.look(WITHIN).await.unwrap();
    assert_eq!(Server::epoch(&session).await.unwrap(), Some(Epoch(4)));
}

#[tokio::test]
async fn a_mute_server_is_given_up_in_time() {
    let site = start(&[]);
    let server = site.server("config", Uuid::from_u128(1));
    let session = server.look(Duration::from_secs(1)).await.unwrap();
    site.cluster.freeze().unwrap();
    let start = Instant::now();
    let error = session.rows("SELECT 1", &[]).await.err().unwrap();
    assert_eq!(error.fate(), Fate::Unknown);
    let error = server.look(Duration::from_millis(300)).await.err().unwrap();
    assert_eq!((error.fate(), error.code()), (Fate::NothingStarted, Code::Unreachable), "{error}");
    assert!(start.elapsed() < Duration::from_secs(4));
    site.cluster.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_life_started_is_ended() {
    let site = start(&[]);
    let old = site.server("config", Uuid::from_u128(1));
    let new = site.server("config", Uuid::from_u128(2));
    let orphan = old.act(WITHIN).await.unwrap();
    let sleeping = tokio::spawn(async move { orphan.rows("SELECT pg_sleep(30)", &[]).await });
    let looking = new.look(WITHIN).await.unwrap();
    let count =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pointsman/database.config/%'";
    let start = Instant::now();
    while site.cluster.psql("config", &format!("{count} AND wait_event = 'PgSleep'")).unwrap() != "1" {
        assert!(start.elapsed() < WITHIN * 2);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    new.end_earlier(WITHIN).await.unwrap();
    let error = sleeping.await.unwrap().err().unwrap();
    assert_eq!(error.fate(), Fate::Unknown, "{error}");
    // A look of this life goes on; an act that was given up is ended by the next.
    looking.rows("SELECT 1", &[]).await.unwrap();
    let given_up = new.act(WITHIN).await.unwrap();
    let pid = given_up.pid();
    let sleeping = tokio::spawn(async move { given_up.rows("SELECT pg_sleep(30)", &[]).await });
    new.act(WITHIN).await.unwrap();
    assert!(sleeping.await.unwrap().is_err());
    let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    assert_eq!(site.cluster.psql("config", &gone).unwrap(), "0");
}

#[tokio::test]
async fn tls_as_sslmode_asks() {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |args: &[&str]| {
        let done =
            std::process::Command::new("openssl").args(args).current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=ca",
        "-days",
        "2",
    ]);
    openssl(&[
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "s.key",
        "-out",
        "s.csr",
        "-subj",
        "/CN=db",
    ]);
    let names = "basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\n";
    std::fs::write(folder.path().join("ext"), names).unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "s.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-out",
        "s.pem",
        "-days",
        "2",
        "-extfile",
        "ext",
    ]);
    let site = start(&[]);
    for file in ["s.pem", "s.key"] {
        let to = site.cluster.data().join(file);
        std::fs::copy(folder.path().join(file), &to).unwrap();
        if let Some(account) = site.cluster.account() {
            std::os::unix::fs::chown(&to, Some(account.uid), Some(account.gid)).unwrap();
        }
        std::fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    for sql in ["ssl_cert_file = 's.pem'", "ssl_key_file = 's.key'", "ssl = on"] {
        site.cluster.psql("postgres", &format!("ALTER SYSTEM SET {sql}")).unwrap();
    }
    site.cluster.psql("postgres", "SELECT pg_reload_conf()").unwrap();
    let port = site.cluster.port();
    let root = folder.path().join("ca.pem").display().to_string();
    let other = folder.path().join("s.pem").display().to_string();
    let cases = [
        ("host=127.0.0.1 sslmode=require".to_owned(), true),
        (format!("host=127.0.0.1 sslmode=verify-ca sslrootcert={root}"), true),
        (format!("host=localhost hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={root}"), true),
        (format!("host=127.0.0.1 sslmode=verify-full sslrootcert={root}"), false),
        (format!("host=127.0.0.1 sslmode=verify-ca sslrootcert={other}"), false),
    ];
    for (how, good) in cases {
        site.file("config.dsn", &format!("{how} port={port} user=pointsman dbname=config"));
        let server =
            Server::new(site.folder.path().join("config.dsn"), "database", "config", &Life::default(), None);
        // The reload is seen by new sessions soon after.
        let start = Instant::now();
        let result = loop {
            match server.look(WITHIN).await {
                Ok(session) => {
                    let used = "SELECT to_jsonb(ssl) FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                    break session.json::<bool>(used, &[]).await.map_err(|e| e.to_string());
                }
                Err(error) if good && start.elapsed() < WITHIN => drop(error),
                Err(error) => break Err(error.to_string()),
            }
        };
        assert_eq!(result.is_ok_and(|tls| tls), good, "{how}");
    }
}

/// A new connection costs a process at the server: one on which all ended well is used again, under the name and
/// the bounds of its next use. One that is in doubt, failed or dead never is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_used_again_unless_something_of_it_is_in_doubt() {
    let mut site = start(&[]);
    let server = site.server("config", Uuid::from_u128(1));
    let pid = server.look(WITHIN).await.unwrap().pid();
    let act = server.act(WITHIN).await.unwrap();
    assert_eq!(act.pid(), pid, "the parked one");
    let now = "SELECT jsonb_build_array(current_setting('application_name'), setting::int)
                 FROM pg_settings WHERE name = 'statement_timeout'";
    let (name, bound): (String, u64) = act.json(now, &[]).await.unwrap();
    assert_eq!(name, "pointsman/database.config/000000000001");
    assert!((4000..=5000).contains(&bound), "{bound}");
    let beside = server.look(Duration::from_secs(3)).await.unwrap();
    assert_ne!(beside.pid(), pid, "it is in use");
    let (name, bound): (String, u64) = beside.json(now, &[]).await.unwrap();
    assert_eq!(name, "pointsman/database.config/000000000001?");
    assert!((2000..=3000).contains(&bound), "{bound}");
    drop(beside);
    drop(act);

    // Left in the middle of a statement: what it sent may still have its effect.
    let left = server.look(WITHIN).await.unwrap();
    let pid = left.pid();
    let sleep = left.rows("SELECT pg_sleep(30)", &[]);
    assert!(tokio::time::timeout(Duration::from_millis(50), sleep).await.is_err());
    drop(left);
    let next = server.look(WITHIN).await.unwrap();
    assert_ne!(next.pid(), pid);
    // Failed.
    let pid = next.pid();
    next.rows("SELECT 1 / 0", &[]).await.err().unwrap();
    drop(next);
    let next = server.look(WITHIN).await.unwrap();
    assert_ne!(next.pid(), pid);
    drop(next);
    // Dead: nobody but us sees that there was another one before.
    site.cluster.kill9().unwrap();
    site.cluster.restart().unwrap();
    server.look(WITHIN).await.unwrap().rows("SELECT 1", &[]).await.unwrap();
    // Another connection string is another server.
    let pid = server.look(WITHIN).await.unwrap().pid();
    site.file("config.dsn", &format!("{}?connect_timeout=7", site.cluster.dsn("pointsman", "config")));
    assert_ne!(server.look(WITHIN).await.unwrap().pid(), pid);
}

#[test]
fn the_certificates_of_a_connection_string_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.dsn");
    let named = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let server = Server::new(file.clone(), "database", "config", &Life::new(Uuid::new_v4()), None);
        server.certificates().unwrap()
    };
    assert_eq!(named("host=a"), (None, None));
    assert_eq!(named("host=a sslmode=prefer sslrootcert=/r.pem"), (None, None), "nobody looks at it");
    let both = "host=a sslmode=verify-full sslrootcert=/r.pem sslcert=/c.pem sslkey=/k.pem";
    assert_eq!(named(both), (Some("/c.pem".into()), Some("/r.pem".into())));
}

//! What cannot be closed is refused before anything is done, with the reason.

use postgres::settings::Access as Mode;
use responder::Driver;
use schemas::{Access, Code};

use crate::site::{Close, Open, Site, access, act, args, claim, seen};

#[tokio::test]
async fn roles_that_cannot_be_closed() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    driver.check(Close, &args()).await.unwrap();
    site.psql("CREATE ROLE owner; CREATE ROLE crew; GRANT INSERT ON t TO crew");
    let cases = [
        ("ALTER ROLE app SUPERUSER", "ALTER ROLE app NOSUPERUSER", "superuser"),
        ("ALTER ROLE app CREATEROLE", "ALTER ROLE app NOCREATEROLE", "create roles"),
        ("GRANT pg_write_all_data TO app", "REVOKE pg_write_all_data FROM app", "pg_write_all_data"),
        ("CREATE TABLE mine (n int); ALTER TABLE mine OWNER TO app", "DROP TABLE mine", "owns table"),
        (
            "CREATE TABLE mine (n int); ALTER TABLE mine OWNER TO owner; GRANT owner TO app",
            "REVOKE owner FROM app; DROP TABLE mine",
            "owns table",
        ),
        ("GRANT crew TO app", "REVOKE crew FROM app", "through crew"),
        ("GRANT UPDATE ON t TO PUBLIC", "REVOKE UPDATE ON t FROM PUBLIC", "through PUBLIC"),
        (
            "CREATE SCHEMA other; CREATE TABLE other.v (n int); GRANT INSERT ON other.v TO app",
            "DROP SCHEMA other CASCADE",
            "other.v",
        ),
        (
            "ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO app",
            "ALTER DEFAULT PRIVILEGES REVOKE INSERT ON TABLES FROM app",
            "default privileges",
        ),
    ];
    for (make, unmake, reason) in cases {
        site.psql(make);
        for action in [Close, Open] {
            let problem = driver.check(action, &args()).await.unwrap_err();
            assert_eq!(problem.code, Code::CannotClose, "{make}");
            assert!(problem.detail.as_ref().unwrap().contains(reason), "{make}: {problem}");
        }
        assert!(seen(&driver).await.detail["cannotClose"].to_string().contains(reason));
        site.psql(unmake);
        driver.check(Close, &args()).await.unwrap();
    }
    assert_eq!(access(&driver).await, Access::Open);
}

#[tokio::test]
async fn a_group_role_that_can_be_taken_back() {
    let site = Site::start(Mode::Group("config_rw".into()));
    let driver = site.driver();
    driver.check(Close, &args()).await.unwrap();
    site.psql("GRANT config_rw TO app WITH ADMIN OPTION");
    let problem = driver.check(Close, &args()).await.unwrap_err();
    assert!(problem.to_string().contains("grant itself"), "{problem}");
    site.psql("REVOKE ADMIN OPTION FOR config_rw FROM app; GRANT INSERT ON t TO app");
    let problem = driver.check(Close, &args()).await.unwrap_err();
    assert!(problem.to_string().contains("through app"), "{problem}");
}

/// Half a close would be left: shut, and not known to be.
#[tokio::test]
async fn an_older_set_up_is_refused_before_anybody_is_shut_out() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    site.psql("DROP FUNCTION pointsman.shut_out");
    for action in [Close, Open] {
        let problem = driver.check(action, &args()).await.unwrap_err();
        assert_eq!(problem.code, Code::BadConfiguration, "{problem}");
        assert!(problem.to_string().contains("setup postgres"), "{problem}");
    }
    assert_eq!(access(&driver).await, Access::Open);
}

#[tokio::test]
async fn others_that_could_write_are_told() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    assert_eq!(seen(&driver).await.detail["otherWriters"], serde_json::json!([]));
    site.psql("CREATE ROLE stranger LOGIN; GRANT UPDATE (n) ON t TO stranger");
    assert_eq!(seen(&driver).await.detail["otherWriters"], serde_json::json!(["stranger"]));
}

#[tokio::test]
async fn another_set_up_than_the_hosts_file() {
    let site = Site::start(Mode::Login);
    claim(&site.driver(), 1).await.unwrap();
    let other = site.driver_for("somebody");
    assert_eq!(other.check(Close, &args()).await.unwrap_err().code, Code::BadConfiguration);
    assert!(other.act(&act(Open, 1)).await.is_err());
    assert!(other.observe().await.is_err());
}

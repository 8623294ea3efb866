//! Whether a write arrives: with the rights of the named roles, durably, and without a trace in their tables.

use postgres::settings::Access as Mode;
use responder::{Driver, DriverError, Look};
use schemas::args::WriteOutput;
use schemas::{Access, Action, Code};
use serde_json::Value;

use crate::site::{Close, Open, Site, access, act, args, claim};

const MARKS: &str = "SELECT coalesce(max(mark), 0) FROM pointsman.sentinel WHERE site = 'main'";

fn refused(result: Result<Value, DriverError>) -> String {
    match result {
        Err(DriverError::NotDone { code: Code::Precondition, detail }) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_write_is_seen_to_arrive_as_each_writer_and_changes_no_row_of_theirs() {
    for mode in [Mode::Login, Mode::Group("config_rw".into())] {
        let site = Site::start(mode);
        let driver = site.driver();
        claim(&driver, 1).await.unwrap();
        driver.check(Action::VerifyWrite, &args()).await.unwrap();
        let before = site.psql(MARKS);
        // It is done each time: what arrived a while ago says nothing of now.
        for _ in 0..2 {
            let looked = driver.look(Action::VerifyWrite, &args()).await;
            assert!(matches!(looked, Look::NotInEffect(_)), "{looked:?}");
            let output = driver.act(&act(Action::VerifyWrite, 1)).await.unwrap();
            let output: WriteOutput = serde_json::from_value(output).unwrap();
            assert_eq!(output.by, "row");
            assert_eq!(output.roles["app"].as_deref(), Some("public.t"));
            assert!(output.lsn.is_some());
        }
        assert_ne!(site.psql(MARKS), before, "a row of our own is there");
        assert_eq!(site.psql("SELECT count(*) FROM t"), "0");
        assert_eq!(site.psql("SELECT last_value || ' ' || is_called FROM t_id_seq"), "1 false");

        driver.act(&act(Close, 1)).await.unwrap();
        let why = refused(driver.act(&act(Action::VerifyWrite, 1)).await);
        assert!(why.contains("its writers are not let in"), "{why}");
        assert_eq!(access(&driver).await, Access::Closed);
        driver.act(&act(Open, 1)).await.unwrap();
        driver.act(&act(Action::VerifyWrite, 1)).await.unwrap();
    }
}

/// It is open as far as an opening goes, and nobody can write.
#[tokio::test]
async fn what_keeps_a_writer_from_writing_is_told_in_the_servers_words() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    site.psql(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'in repair'; END $$;
         CREATE TRIGGER no BEFORE INSERT ON t EXECUTE FUNCTION no()",
    );
    assert_eq!(access(&driver).await, Access::Open);
    let why = refused(driver.act(&act(Action::VerifyWrite, 1)).await);
    assert!(why.contains("app cannot write to public.t: in repair"), "{why}");
    // What broke leaves nothing behind that would be in the way of the next one.
    site.psql("DROP TRIGGER no ON t");
    driver.act(&act(Action::VerifyWrite, 1)).await.unwrap();
}

//! What is said by day of what would stand in the way at night.

use postgres::settings::Access as Mode;
use responder::Driver;
use schemas::{CheckLine, Level};

use crate::site::Site;

async fn line(driver: &impl Driver, what: &str) -> CheckLine {
    let lines = driver.preflight().await;
    lines.iter().find(|line| line.what == what).unwrap_or_else(|| panic!("{what}: {lines:?}")).clone()
}

async fn credentials(driver: &impl Driver) -> CheckLine {
    line(driver, "credentials").await
}

/// By night every close would be refused for it.
#[tokio::test]
async fn an_older_set_up_is_red_by_day() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    let green = line(&*driver, "setup-version").await;
    assert_eq!(green.level, Level::Green, "{green:?}");
    site.psql("DROP FUNCTION pointsman.setup_version(), pointsman.shut_out(timestamptz)");
    let red = line(&*driver, "setup-version").await;
    assert!(red.level == Level::Red && red.text.contains("version 0"), "{red:?}");
    assert!(red.remedy.unwrap().contains("pointsman setup postgres --print"));
}

#[tokio::test]
async fn passwords_that_end_are_said_beforehand_the_writers_too() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    let green = credentials(&*driver).await;
    assert_eq!(green.level, Level::Green, "{green:?}");
    for (role, from_now, level, words) in [
        ("app", "40 days", Level::Green, "can log in"),
        ("app", "5 days", Level::Amber, "the password of app ends in 5.0 days"),
        ("app", "-2 days", Level::Red, "the password of app ended 2.0 days ago"),
        ("pointsman", "5 days", Level::Amber, "the password of pointsman ends in 5.0 days"),
    ] {
        let until = site.psql(&format!("SELECT (now() + interval '{from_now}')::text"));
        site.psql(&format!("ALTER ROLE {role} VALID UNTIL '{until}'"));
        let line = credentials(&*driver).await;
        assert!(line.level == level && line.text.contains(words), "{role}, {from_now}: {line:?}");
        assert_eq!(line.remedy.is_some(), level != Level::Green, "{line:?}");
        site.psql(&format!("ALTER ROLE {role} VALID UNTIL 'infinity'"));
    }
    assert_eq!(credentials(&*driver).await.level, Level::Green, "a password without an end");
}

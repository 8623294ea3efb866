//! Every component of the model system in every mode, as `psql`, `dig` and `ps` see it: the table in
//! docs/components.md. `UPDATE_GOLDEN=1 cargo test -p pointsman --test e2e components` writes it anew.

mod page;
mod seen;
mod sessions;

use std::time::{Duration, Instant};

use lab::system::loss::By;
use lab::system::plan::Site;
use lab::system::{STATUS_EVERY, until, until_every};
use schemas::view::Mode;
use schemas::{Action, Service};

use crate::bench::{Bench, WITHIN};
use page::Page;
use seen::Row;
use sessions::Sessions;

/// What stayed the same for so long has come to rest.
const AT_REST: Duration = Duration::from_secs(4);

/// Waits until the world is as the page says, or, where the page is written anew, until it is at rest.
fn see(lab: &Bench, page: &mut Page, column: &str) {
    let mut last: Option<(Vec<Row>, Instant)> = None;
    until(&format!("the column `{column}` of {}", page::PATH), WITHIN, || {
        let rows = seen::all(lab)?;
        if !page.is_written_anew() {
            let wrong = page.differences(column, &rows);
            return if wrong.is_empty() {
                Ok(Some(()))
            } else {
                Err(anyhow::anyhow!("{}", wrong.join("; ")))
            };
        }
        match &last {
            Some((same, since)) if *same == rows => {
                if since.elapsed() < AT_REST {
                    return Err(anyhow::anyhow!("not at rest"));
                }
                page.write(column, rows);
                Ok(Some(()))
            }
            _ => {
                last = Some((rows, Instant::now()));
                Err(anyhow::anyhow!("it changes"))
            }
        }
    })
    .unwrap();
}

#[test]
fn every_component_is_in_each_mode_what_the_page_says() {
    let mut page = Page::open();
    let mut lab = Bench::start("components");
    let sessions = Sessions::watch(&lab);
    see(&lab, &mut page, "Normal");

    // The runner stands still, so that limited mode lasts.
    lab.kill_runner().unwrap();
    lab.lose_site(Site::Main, By::Kill).unwrap();
    see(&lab, &mut page, "Main lost: limited");

    lab.start_runner().unwrap();
    let killer = lab.killer(&[(Site::Secondary, Service::Replication, "css", Action::Capture)]);
    until("the runner is killed half way", WITHIN, || Ok(killer.fired())).unwrap();
    lab.kill_runner().unwrap();
    see(&lab, &mut page, "Failing over, half way");

    lab.start_runner().unwrap();
    lab.completed(None, 0);
    see(&lab, &mut page, "Failed over");

    lab.return_site(Site::Main).unwrap();
    until_every(STATUS_EVERY, "nothing is owed", WITHIN, || {
        let debts = lab.status()?.debts;
        if debts.is_empty() { Ok(Some(())) } else { Err(anyhow::anyhow!("{debts:?}")) }
    })
    .unwrap();
    see(&lab, &mut page, "Main is back, closed");

    lab.copy_home();
    lab.completed(None, 0);
    see(&lab, &mut page, "Brought up to date by copy");

    lab.mode(Mode::Normal, "pointsman failback");
    let killer = lab.killer(&[(Site::Main, Service::Replication, "csp", Action::Capture)]);
    lab.begin("failback", Site::Main);
    until("the runner is killed half way", WITHIN, || Ok(killer.fired())).unwrap();
    lab.kill_runner().unwrap();
    see(&lab, &mut page, "Failing back, half way");

    lab.start_runner().unwrap();
    lab.completed(None, 0);
    see(&lab, &mut page, "Home again");
    sessions.were_never_two();
    lab.passed();

    let mut lab = Bench::start("components-planned");
    let sessions = Sessions::watch(&lab);
    lab.moved("switchover", Site::Secondary);
    see(&lab, &mut page, "Switched over");
    lab.moved("switchover", Site::Main);
    see(&lab, &mut page, "Normal again");
    lab.no_read_failed();
    sessions.were_never_two();
    lab.passed();
    page.close();
}

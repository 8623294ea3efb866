//! Message Servers for logging that write to main's log database, at both sites: while main is lost they write to the
//! secondary's, and at home again to main's. What they wrote is seen by `psql`, as rows, and not asked of Pointsman.

use lab::system::logging::entry;
use lab::system::loss::By;
use lab::system::plan::{LOG_SERVER, Logging, Site};
use lab::system::{STATUS_EVERY, until, until_every};
use schemas::Seen;
use schemas::view::Mode;

use crate::bench::{Bench, WITHIN};

impl Bench {
    /// What the Message Server of a site has written into the log database of a site.
    fn entries(&self, of: Site, at: Site) -> anyhow::Result<u64> {
        let sql =
            format!("SELECT count(*) FROM message WHERE site = '{}' AND text = '{}'", at.name(), entry(of));
        Ok(self.postgres[at.index()].psql("log", &sql)?.parse()?)
    }

    /// It writes there, several entries in a row, and none to the other database if that answers.
    fn logs(&self, of: Site, at: Site) {
        let mut first = None;
        until_every(
            STATUS_EVERY,
            &format!("that of {} writes to {}'s", of.name(), at.name()),
            WITHIN,
            || {
                let now = (self.entries(of, at)?, self.entries(of, at.other()).unwrap_or_default());
                match first {
                    Some((there, elsewhere)) if elsewhere == now.1 => Ok((now.0 >= there + 3).then_some(())),
                    _ => {
                        first = Some(now);
                        Err(anyhow::anyhow!("{now:?} entries there and elsewhere"))
                    }
                }
            },
        )
        .unwrap();
    }

    /// Where Pointsman shows that a site's works.
    fn points(&self, of: Site) -> Option<String> {
        let address = format!("{}.process.{LOG_SERVER}", of.name());
        let resources = self.status().unwrap().resources;
        let view = resources.into_iter().find(|view| view.address.to_string() == address)?;
        match view.observation?.seen {
            Seen::Process(seen) => seen.points_at.map(|site| site.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn nothing_owed(&self) {
        until_every(STATUS_EVERY, "nothing is owed", WITHIN, || {
            let debts = self.status()?.debts;
            if debts.is_empty() { Ok(Some(())) } else { Err(anyhow::anyhow!("{debts:?}")) }
        })
        .unwrap();
    }
}

#[test]
fn message_servers_write_to_the_secondary_while_main_is_lost_and_come_home_with_it() {
    use Site::{Main, Secondary};
    let mut lab = Bench::logging("repoint", Logging::Main);
    lab.logs(Main, Main);
    lab.logs(Secondary, Main);
    assert_eq!(lab.entries(Secondary, Secondary).unwrap(), 0);
    assert_eq!(lab.points(Secondary).as_deref(), Some("main"));

    lab.lose_site(Main, By::Kill).unwrap();
    until("monitoring has started a failover", WITHIN, || lab.newest_run()).unwrap();
    let run = lab.completed(None, 0);
    lab.logs(Secondary, Secondary);
    assert_eq!(lab.points(Secondary).as_deref(), Some("secondary"));
    // Users and their names come first, and what could not be asked is owed.
    let place = |function: &str, at: &str| {
        let of = |step: &schemas::view::StepView| {
            step.function == function && step.address.as_ref().is_some_and(|a| a.site.as_str() == at)
        };
        run.steps.iter().position(of).unwrap_or_else(|| panic!("no {function} at {at}: {run:#?}"))
    };
    assert!(place("process.point", "secondary") > place("dns.point", "witness"));
    let debts = lab.status().unwrap().debts;
    let owed = debts.iter().filter(|debt| debt.what == "process.point");
    let owed: Vec<String> = owed.map(|debt| debt.address.to_string()).collect();
    assert_eq!(owed, [format!("main.process.{LOG_SERVER}")]);

    // It boots as it was configured, and is told.
    lab.return_site(Main).unwrap();
    lab.nothing_owed();
    lab.logs(Main, Secondary);
    lab.copy_home();
    lab.completed(None, 0);
    lab.mode(Mode::Normal, "pointsman failback");
    lab.logs(Secondary, Secondary);

    lab.moved("failback", Main);
    for site in Site::ALL {
        lab.logs(site, Main);
        assert_eq!(lab.points(site).as_deref(), Some("main"));
    }
    lab.nothing_owed();
    lab.written_at(Main);
    lab.passed();
}

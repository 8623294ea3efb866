//! The Message Servers for logging where both write to main's log database: how one is started, the operator's scripts that
//! make it write to a site's, and the one that says to whose it does.

use std::fs;
use std::path::PathBuf;

use super::plan::{LOG_SERVER, Plan, ProcessPlan, Site};
use super::scripts::{pid_file, script};

/// The name of the script that makes one write to the database of that site.
#[must_use]
pub fn to(site: Site) -> String {
    format!("to-{}", site.name())
}

/// The name of the script that prints the site.
pub const POINTED: &str = "pointed";

/// Its configuration: the site to whose database it writes once it is started.
fn setting(plan: &Plan, site: Site) -> PathBuf {
    plan.path("run").join(format!("{}-{LOG_SERVER}.database", site.name()))
}

/// What its start script does before it starts it, and its words, for a shell. Its entries name the site whose database they
/// are in, since each site sends only rows of its own; their text says who wrote them.
pub(super) fn start(
    plan: &Plan,
    site: Site,
    process: &ProcessPlan,
    databases: &[String; 2],
) -> (String, String) {
    let [main, secondary] = databases;
    let before = format!(
        "read -r database <'{}'\n\
         case \"$database\" in main) dsn='{main}' ;; secondary) dsn='{secondary}' ;; *) exit 2 ;; esac\n",
        setting(plan, site).display(),
    );
    let words = format!(
        "message --listen '{}' --dsn \"$dsn\" --site \"$database\" --text '{}'",
        plan.at(site, process),
        entry(site),
    );
    (before, words)
}

/// What a site's Message Server says in each entry.
#[must_use]
pub fn entry(site: Site) -> String {
    format!("an entry of {}", site.name())
}

/// The configuration as of the first day, and the scripts that change and tell it.
pub(super) fn write(plan: &Plan, site: Site, process: &ProcessPlan) -> anyhow::Result<()> {
    let (name, setting) = (process.name, setting(plan, site).display().to_string());
    let [check, start, stop] =
        ["check", "start", "stop"].map(|what| plan.script(site, name, what).display().to_string());
    fs::write(&setting, format!("{}\n", Site::Main.name()))?;
    for at in Site::ALL {
        let body = format!(
            "# Makes {name} at {site} write to the log database of {at}. One that runs is started again.\n\
             echo {at} >'{setting}.new' && mv '{setting}.new' '{setting}' || exit 2\n\
             '{check}' || exit 0\n\
             '{stop}' && '{start}'\n",
            site = site.name(),
            at = at.name(),
        );
        script(&plan.script(site, name, &to(at)), &body)?;
    }
    let body = format!(
        "# Prints to whose log database {name} at {site} writes: what it runs with, else what it is to start with.\n\
         if '{check}'; then\n\
         \x20 read -r pid <'{pid}'\n\
         \x20 tr '\\0' '\\n' <\"/proc/$pid/cmdline\" | grep -A1 -x -e --site | tail -n 1\n\
         else\n\
         \x20 cat '{setting}'\n\
         fi\n",
        site = site.name(),
        pid = pid_file(plan, site, process),
    );
    script(&plan.script(site, name, POINTED), &body)
}

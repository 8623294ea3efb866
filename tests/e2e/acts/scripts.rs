//! The operator's scripts: one that waits at a gate before its effect, and at one after it.

use std::path::{Path, PathBuf};

use schemas::{Action, Service};

use super::case::{Case, Settles};
use super::desk::{Desk, address};

/// Two gates in a script: shut, a script that comes there says so and waits.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    folder: PathBuf,
}

const GATES: [&str; 2] = ["before", "after"];

impl Gate {
    pub(crate) fn new(desk: &Desk) -> Gate {
        Gate { folder: desk.folder.path().into() }
    }

    /// A script's text with the gates around its effect.
    pub(crate) fn around(&self, effect: &str) -> String {
        let [before, after] =
            GATES.map(|gate| format!("while test -e {gate}.shut; do : >{gate}.here; sleep 0.02; done"));
        format!("{before}\n{effect}\n{after}")
    }

    /// A case that is held up at both; where its effect is there already, `settles` says what comes of it.
    pub(crate) fn holds(&self, case: Case, settles: Settles) -> Case {
        let [before, after] = [0, 1].map(|at| (self.clone(), GATES[at], self.folder.join(GATES[at])));
        let here = |at: &Path| at.with_extension("here");
        let (reached, reached_after) = (here(&before.2), here(&after.2));
        case.hold(
            "the script has not had its effect",
            Settles::NotDone,
            move || before.0.shut(before.1),
            move || reached.exists(),
        )
        .hold(
            "the script has had its effect and has not ended",
            settles,
            move || after.0.shut(after.1),
            move || reached_after.exists(),
        )
    }

    fn shut(&self, gate: &str) -> Shut {
        let _ = std::fs::remove_file(self.folder.join(gate).with_extension("here"));
        let shut = self.folder.join(gate).with_extension("shut");
        std::fs::write(&shut, "").unwrap();
        Shut(shut)
    }
}

/// Opens the gate when it is dropped.
struct Shut(PathBuf);

impl Drop for Shut {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn access_by_the_operators_scripts() {
    let mut desk = Desk::start();
    let gate = Gate::new(&desk);
    desk.script("close", &gate.around("echo x >>done; echo closed >state"));
    desk.script("open", &gate.around("echo x >>done; echo open >state"));
    desk.script("check", "test \"$(cat state)\" = \"$1\"");
    desk.write("done", "");
    desk.host_file("main", "database:\n  config: { driver: exec, close: close, open: open, check: check }\n");
    let at = address("main", Service::Database, "config");
    let state = desk.path("state");
    std::fs::write(&state, "open\n").unwrap();
    desk.serve("main", std::slice::from_ref(&at));
    for (action, was) in [(Action::DisableAccess, "open\n"), (Action::EnableAccess, "closed\n")] {
        let (state, done) = (state.clone(), desk.path("done"));
        let case = Case::new(at.clone(), action)
            .before(move || std::fs::write(&state, was).unwrap())
            .effects(move || std::fs::read_to_string(&done).unwrap().lines().count() as u64);
        gate.holds(case, Settles::Applied).run(&mut desk);
    }
}

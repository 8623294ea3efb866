//! When enough clients follow the names: counted from what is owed, so it ends by itself when debts are paid.

use schemas::{Action, Address, Key};
use serde_json::json;

use crate::core::{Core, Timer};
use crate::gate::LOOK_AGAIN;
use crate::seam::Now;

/// So many clients are named in a wait.
const NAMED: usize = 5;

impl Core {
    /// Whether `share` per cent of the group's clients resolve the new addresses; those of lost sites do not count. Else
    /// the step waits, for them or for a person.
    pub(crate) fn at_await_followed(&mut self, now: Now, key: &Key, share: u64) {
        let Some(group) = self.lives.get(key).and_then(|live| live.group.clone()) else { return };
        let Some(run) = self.runs.get(&key.run) else { return };
        let Some(g) = self.groups.get(&group) else { return };
        let counted: Vec<&Address> = g.plan.clients.iter().filter(|client| !run.lost(&client.site)).collect();
        let owed = |client: &&&Address| {
            g.record
                .debts
                .values()
                .any(|debt| debt.owed.address == ***client && debt.owed.action == Some(Action::Follow))
        };
        let missing: Vec<String> =
            counted.iter().filter(owed).map(|client| client.resource.to_string()).collect();
        let (all, followed) = (counted.len(), counted.len() - missing.len());
        let enough = followed as u64 * 100 >= share * all as u64;
        if enough {
            self.lives.remove(key);
            let result = Ok(json!({ "followed": followed, "of": all, "owed": missing }));
            return self.engine_input(
                now,
                key.run,
                engine::Input::CallEnded { at: key.position.clone(), result },
            );
        }
        let number = run.steps.iter().rposition(|step| step.position == key.position).map_or(0, |i| i + 1);
        let more = missing.len().saturating_sub(NAMED);
        let named = missing.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let how = format!(
            "{followed} of {all} clients follow, {share} % are asked for; not yet {named}{more}: pointsman skip {} {number} --why …",
            key.run.short(4)
        );
        self.wait_for_person(now, key, how);
        self.timer(now.boot + LOOK_AGAIN, Timer::Live(key.clone()));
    }
}

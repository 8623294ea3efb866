//! The operator's scripts: `close`, `open`, `check` and `write`.
//!
//! A check is run with one argument, `closed` or `open`, and exits 0 if the database is, 1 if it is not,
//! anything else if it cannot tell. `write` writes as the application does, and exits 0 if that arrived; without it a
//! check that says `open` must do. Scripts of one resource never run beside each other, and what an
//! earlier life of the service started is gone before the first look (the guard's lock).

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use exec::{Check, Ended, Guard, Occasion, Script};
use responder::{Act, Driver, DriverError, Look, path_word, startable};
use schemas::args::{AccessOutput, WriteOutput};
use schemas::{Access, Action, CheckLine, Code, DatabaseSeen, Epoch, GroupId, Problem, Role, RunId, Seen};
use serde_json::{Value, json};

use crate::settings::{ExecSettings, Place};

/// The driver of one database.
#[derive(Debug)]
pub struct ScriptAccess {
    settings: ExecSettings,
    place: Place,
    guard: Guard,
    lock: PathBuf,
}

impl ScriptAccess {
    /// The database that the scripts stand for. Runs nothing yet.
    #[must_use]
    pub fn new(settings: ExecSettings, place: Place, guard: Guard) -> Self {
        let lock = place.state.join(format!("database.{}.lock", place.resource));
        Self { settings, place, guard, lock }
    }

    fn script(&self, program: &PathBuf, within: Duration) -> Script {
        Script::new(self.place.folder.join(program), within)
    }

    /// Whether the database is `closed` or `open`, as the check says.
    async fn ask(&self, state: &str) -> Check {
        let Some(check) = &self.settings.check else {
            return Check::CannotTell("there is no check script".into());
        };
        let occasion = Occasion {
            action: "check".into(),
            resource: self.place.resource.to_string(),
            site: self.place.site.to_string(),
            ..Occasion::default()
        };
        let script = self.script(check, self.settings.look_within.duration()).arg(state).on(&occasion);
        match script.run(&self.guard).await {
            Ok(ended) => ended.check(),
            Err(error) => Check::CannotTell(error.to_string()),
        }
    }

    /// Runs a script for an act; afterwards nothing of it runs.
    async fn done_by(&self, act: &Act, program: &PathBuf, within: Duration) -> Result<Ended, DriverError> {
        let occasion = Occasion {
            action: act.action.as_str().into(),
            resource: self.place.resource.to_string(),
            site: self.place.site.to_string(),
            group: act.group.to_string(),
            run: act.run.to_string(),
            key: act.key.to_string(),
            epoch: act.epoch.0,
            attempt: act.attempt.0,
        };
        // TERM, then KILL, still within the bound.
        let grace = (within / 4).min(Duration::from_secs(5));
        let script = self
            .script(program, within.saturating_sub(grace))
            .grace(grace)
            .on(&occasion)
            .locked_by(&self.lock);
        let ended = match script.run(&self.guard).await {
            Ok(ended) => ended,
            Err(error) if error.never_ran() => {
                return Err(DriverError::not_done(Code::Script, error.to_string()));
            }
            Err(error) => return Err(DriverError::unknown(Code::Script, error.to_string())),
        };
        if ended.never_ran() {
            return Err(DriverError::not_done(Code::Script, ended.to_string()));
        }
        if ended.left > 0 {
            return Err(DriverError::unknown(Code::Script, ended.to_string()));
        }
        Ok(ended)
    }

    /// Whether a write arrives; which script saw it.
    async fn verify(&self, act: &Act) -> Result<Value, DriverError> {
        let seen = |by: &str| Ok(json!(WriteOutput { by: by.into(), ..WriteOutput::default() }));
        let no = |why: String| Err(DriverError::not_done(Code::Precondition, why));
        if let Some(program) = &self.settings.write {
            let ended = self.done_by(act, program, act.within).await?;
            return if ended.succeeded() { seen("script") } else { no(format!("no write arrives: {ended}")) };
        }
        match self.ask("open").await {
            Check::InEffect => seen("check"),
            Check::NotInEffect => no("no write arrives: the check says not open".into()),
            Check::CannotTell(_) if self.settings.check.is_none() => seen("unverified"),
            Check::CannotTell(why) => Err(DriverError::not_done(Code::Script, why)),
        }
    }
}

fn wanted(action: Action) -> &'static str {
    if action == Action::DisableAccess { "closed" } else { "open" }
}

#[async_trait]
impl Driver for ScriptAccess {
    fn actions(&self) -> &[Action] {
        &[Action::DisableAccess, Action::EnableAccess, Action::VerifyWrite]
    }

    fn by_hand(&self, _group: &GroupId, action: Action, _args: &Value) -> Vec<String> {
        let word = |path: &PathBuf| path_word(&self.place.folder.join(path));
        let check = self.settings.check.as_ref();
        let check = check.map(|path| format!("{} {} # exit code 0: it is", word(path), wanted(action)));
        match (action, &self.settings.write) {
            (Action::VerifyWrite, Some(write)) => {
                vec![format!("{} # exit code 0: a write arrives", word(write))]
            }
            (Action::VerifyWrite, None) => check.into_iter().collect(),
            (Action::DisableAccess, _) => [word(&self.settings.close)].into_iter().chain(check).collect(),
            _ => [word(&self.settings.open)].into_iter().chain(check).collect(),
        }
    }

    async fn check(&self, _action: Action, _args: &Value) -> Result<(), Problem> {
        Ok(())
    }

    async fn preflight(&self) -> Vec<CheckLine> {
        let ExecSettings { close, open, check, write, .. } = &self.settings;
        let scripts = [Some(close), Some(open), check.as_ref(), write.as_ref()];
        let paths: Vec<PathBuf> =
            scripts.into_iter().flatten().map(|script| self.place.folder.join(script)).collect();
        let mut lines = vec![startable(paths.iter().map(PathBuf::as_path))];
        if check.is_none() && write.is_none() {
            lines.push(CheckLine::amber(
                "write",
                "nobody can tell whether its users can write: a back-out of a planned move ends unverified",
                "name `write:`, or at least `check:`, in the host's file",
            ));
        }
        lines
    }

    /// `partly` also where the check says neither; an error where it cannot tell.
    async fn observe(&self) -> Result<Seen, DriverError> {
        let access = match self.ask("closed").await {
            Check::InEffect => Access::Closed,
            Check::NotInEffect => match self.ask("open").await {
                Check::InEffect => Access::Open,
                Check::NotInEffect => Access::Partly,
                Check::CannotTell(why) => return Err(DriverError::not_done(Code::Script, why)),
            },
            Check::CannotTell(why) => return Err(DriverError::not_done(Code::Script, why)),
        };
        let role = if access == Access::Closed { Role::Standby } else { Role::Live };
        Ok(Seen::Database(DatabaseSeen { access, role, sessions: 0, epoch: None, detail: Value::Null }))
    }

    async fn look(&self, action: Action, _args: &Value) -> Look {
        if action == Action::VerifyWrite {
            // What was written before proves nothing about now.
            return Look::NotInEffect(json!("a write is made anew"));
        }
        match self.ask(wanted(action)).await {
            Check::InEffect => Look::InEffect(json!(AccessOutput::default())),
            Check::NotInEffect => Look::NotInEffect(json!(format!("not {}", wanted(action)))),
            Check::CannotTell(why) => Look::CannotTell(why),
        }
    }

    async fn act(&self, act: &Act) -> Result<Value, DriverError> {
        let program = match act.action {
            Action::DisableAccess => &self.settings.close,
            Action::EnableAccess => &self.settings.open,
            Action::VerifyWrite => return self.verify(act).await,
            other => {
                return Err(DriverError::not_done(Code::Refused, format!("{other} is not for a database")));
            }
        };
        let mut within = act.within;
        if let Some(end) = act.not_after {
            // A script cannot carry a deadline of its own: it is ended when the yes is too old.
            within = within.min(end.saturating_duration_since(std::time::Instant::now()));
            if within.is_zero() {
                return Err(DriverError::not_done(Code::NotConfirmed, "the yes to this opening is too old"));
            }
        }
        let ended = self.done_by(act, program, within).await?;
        // The exit code says how it went; the check, where there is one, says what is.
        match (self.ask(wanted(act.action)).await, ended.succeeded()) {
            (Check::InEffect, _) => Ok(json!(AccessOutput::default())),
            (Check::NotInEffect, _) => Err(DriverError::not_done(
                Code::Script,
                format!("{ended}; the check says not {}", wanted(act.action)),
            )),
            (Check::CannotTell(_), true) if self.settings.check.is_none() => {
                Ok(json!(AccessOutput::default()))
            }
            (Check::CannotTell(why), _) => Err(DriverError::unknown(Code::Script, format!("{ended}; {why}"))),
        }
    }

    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        match exec::lock(&self.lock, within).await {
            Ok(_lock) => Ok(()),
            Err(error) => Err(DriverError::unknown(Code::EarlierUnended, error.to_string())),
        }
    }

    async fn raise_epoch(&self, _group: &GroupId, _epoch: Epoch, _run: RunId) -> Result<(), DriverError> {
        Ok(())
    }
}

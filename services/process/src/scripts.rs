//! The operator's own scripts: start, stop, and one that checks. An exit code is enough.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use exec::{Check, Children, Guard, Occasion, Script, Settled};
use responder::{Act, DriverError, path_word, startable};
use schemas::{CheckLine, Code, Problem, ResourceId, SiteId};
use serde_json::{Value, json};

use crate::health::{Health, Probe};
use crate::manager::{Manager, Presence};
use crate::starters::{self, Ours};

/// Who took the connection is there, whether or not he has answered by then.
const PRESENT_WITHIN: Duration = Duration::from_millis(250);

/// A service run by scripts.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// Starts it and returns; what it leaves running is the service.
    pub start: PathBuf,
    /// Stops it and returns when nothing of it is left; where nothing is, at once. Without a check it is run whenever a stop
    /// is asked for.
    pub stop: PathBuf,
    /// Exit 0: it runs, 1: nothing of it runs, else cannot tell. Without it the health gate says whether it runs, and
    /// nothing proves that it does not; without either an act is done once and never repeated.
    pub check: Option<PathBuf>,
    /// The health gate, where it has to do for the check.
    pub health: Option<Health>,
    /// How long the check may take.
    pub look_within: Duration,
    /// This resource, for the scripts' environment.
    pub resource: ResourceId,
    /// Its site, likewise.
    pub site: SiteId,
    /// The resource's lock file, in the service's state folder.
    pub lock: PathBuf,
    /// Where the host says what a boot and cron run: `/etc`.
    pub etc: PathBuf,
    /// How to start a guard.
    pub guard: Guard,
}

impl Scripts {
    async fn run(
        &self,
        program: &PathBuf,
        act: &Act,
        children: Children,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let script = Script::new(program, deadline.saturating_duration_since(Instant::now()))
            .on(&occasion(act, &self.resource, &self.site))
            .children(children)
            .locked_by(&self.lock);
        let Some((code, why)) = settled(script, &self.guard).await? else { return Ok(()) };
        let reached = match (self.presence().await, children) {
            (Presence::Running(_), Children::LiveOn) => true,
            (Presence::Stopped(_), Children::AreEnded) => self.proves_stopped(),
            (Presence::CannotTell(cannot), _) => {
                return Err(DriverError::unknown(code, format!("{why}; {cannot}")));
            }
            _ => false,
        };
        if reached { Ok(()) } else { Err(DriverError::not_done(code, why)) }
    }
}

/// What a script of an act is run for.
pub(crate) fn occasion(act: &Act, resource: &ResourceId, site: &SiteId) -> Occasion {
    Occasion {
        action: act.action.as_str().to_owned(),
        resource: resource.to_string(),
        site: site.to_string(),
        group: act.group.to_string(),
        run: act.run.to_string(),
        key: act.key.to_string(),
        attempt: act.attempt.0,
        epoch: act.epoch.0,
    }
}

/// Runs a script of an act. None: it ended well. Otherwise why not: nothing of it is left, and what it did before it failed
/// is for a look to say.
pub(crate) async fn settled(script: Script, guard: &Guard) -> Result<Option<(Code, String)>, DriverError> {
    match script.settle(guard).await {
        Settled::Succeeded(_) => Ok(None),
        Settled::Failed { why, timed_out } => {
            Ok(Some((if timed_out { Code::TimedOut } else { Code::Script }, why)))
        }
        Settled::NeverRan { why, locked } => {
            Err(DriverError::not_done(if locked { Code::Busy } else { Code::Script }, why))
        }
        Settled::MayAct { why } => Err(DriverError::unknown(Code::Script, why)),
    }
}

#[async_trait]
impl Manager for Scripts {
    fn by_hand(&self, start: bool) -> Vec<String> {
        let check = self.check.as_ref().map(|check| {
            let expected = if start { "0: it runs" } else { "1: nothing of it runs" };
            format!("{} # exit code {expected}", path_word(check))
        });
        let script = if start { &self.start } else { &self.stop };
        [path_word(script)].into_iter().chain(check).collect()
    }

    async fn check(&self) -> Result<(), Problem> {
        Ok(())
    }

    async fn preflight(&self) -> Vec<CheckLine> {
        let all = [Some(&self.start), Some(&self.stop), self.check.as_ref()];
        let mut lines = vec![startable(all.into_iter().flatten().map(PathBuf::as_path))];
        if !self.can_look() {
            lines.push(CheckLine::amber(
                "look",
                "there is no check of any kind: a start or stop is done once, and its outcome is taken on trust",
                "name a `check:` script or a health gate in the host's file",
            ));
        } else if !self.proves_stopped() {
            lines.push(CheckLine::amber(
                "check-script",
                "that nobody answers its health gate is all that would tell that it does not run: what hangs or is just \
                 starting looks the same",
                "name a `check:` script in the host's file: exit 0 it runs, 1 nothing of it runs",
            ));
        }
        lines.extend(starters::look(self.etc.clone(), Ours::Script(self.start.clone())).await);
        lines
    }

    async fn presence(&self) -> Presence {
        let Some(check) = &self.check else {
            let Some(health) = &self.health else {
                return Presence::CannotTell("there is no check of any kind".to_owned());
            };
            // Whether somebody is there; what he says is asked by whoever wants to know.
            return match health.probe(PRESENT_WITHIN).await {
                Probe::Healthy => Presence::Running(json!({ "health": "healthy" })),
                Probe::Unhealthy(why) => Presence::Running(json!({ "health": why })),
                Probe::Absent(why) => Presence::Stopped(json!({ "health": why })),
                Probe::CannotTell(why) => Presence::CannotTell(why),
            };
        };
        let occasion = Occasion {
            action: "check".to_owned(),
            resource: self.resource.to_string(),
            site: self.site.to_string(),
            ..Occasion::default()
        };
        // Without the lock: a look changes nothing, and must not wait for an act.
        let ended = match Script::new(check, self.look_within).on(&occasion).run(&self.guard).await {
            Ok(ended) => ended,
            Err(cause) => return Presence::CannotTell(cause.to_string()),
        };
        let found = ended.json().unwrap_or(Value::Null);
        match ended.check() {
            Check::InEffect => Presence::Running(found),
            Check::NotInEffect => Presence::Stopped(found),
            Check::CannotTell(why) => Presence::CannotTell(format!("the check cannot tell: {why}")),
        }
    }

    fn can_look(&self) -> bool {
        self.check.is_some() || self.health.is_some()
    }

    /// A gate that nobody answers proves nothing.
    fn proves_stopped(&self) -> bool {
        self.check.is_some()
    }

    async fn start(&self, act: &Act, deadline: Instant) -> Result<(), DriverError> {
        self.run(&self.start, act, Children::LiveOn, deadline).await
    }

    async fn stop(&self, act: &Act, deadline: Instant) -> Result<(), DriverError> {
        self.run(&self.stop, act, Children::AreEnded, deadline).await
    }

    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        exec::lock(&self.lock, within)
            .await
            .map(drop)
            .map_err(|cause| DriverError::unknown(Code::EarlierUnended, cause.to_string()))
    }
}

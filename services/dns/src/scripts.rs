//! The operator's own scripts, one for each site, as they are: an exit code is enough. Whether a name points
//! at a site is seen by our own questions to the authoritative servers, never by the script's word.
//!
//! By day nobody sees whether the server would take what a script sends, nor which server that is: a script cannot be
//! asked for an update that changes nothing. A `check` of the operator's own may say so; without one `update` is green
//! and says that it was not tried. What is seen by day is that the scripts are there, that the authoritative servers
//! answer, and at which sites those stand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use exec::{Check, Guard, Occasion, Script, Settled};
use responder::{Act, Driver, DriverError, Look, path_word, startable};
use schemas::{Action, CheckLine, Code, Epoch, GroupId, Problem, ResourceId, RunId, Seen, SiteId};
use serde_json::Value;

use crate::names::{Names, Target, refused};
use crate::server::Server;

/// How long the name may take to follow a script that ended otherwise than well.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(1);

/// How long a preflight waits for the operator's check.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

/// The keys of the host's file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The script that makes the name point at a site.
    pub point: BTreeMap<SiteId, PathBuf>,
    /// Says by day whether the name could be changed, and changes nothing: exit 0 it could, 1 it could not, else it
    /// cannot tell.
    pub check: Option<PathBuf>,
    /// What the name points at, by site.
    pub addresses: BTreeMap<SiteId, Vec<IpAddr>>,
    /// Authoritative servers by the site at which they stand.
    pub verify: BTreeMap<SiteId, Vec<Server>>,
    /// The record's name; none: each request brings it.
    pub name: Option<String>,
    /// This resource, for the scripts' environment.
    pub resource: ResourceId,
    /// The site of this service, likewise.
    pub site: SiteId,
    /// The resource's lock file, in the service's state folder.
    pub lock: PathBuf,
    /// A file beside it where the name is kept for the next life.
    pub memo: Option<PathBuf>,
    /// How to start a guard.
    pub guard: Guard,
}

/// The driver of one record.
#[derive(Debug)]
pub struct Scripts {
    names: Names,
    settings: Settings,
}

impl Scripts {
    /// A driver; starts nothing yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn new(settings: Settings) -> Result<Scripts, Problem> {
        let mut names =
            Names::new(settings.addresses.clone(), settings.verify.clone(), settings.name.clone())?;
        if let Some(memo) = settings.memo.clone() {
            names = names.remembered_in(memo);
        }
        Ok(Scripts { names, settings })
    }

    fn script(&self, target: &Target) -> Result<&PathBuf, Problem> {
        self.settings.point.get(&target.to).ok_or_else(|| {
            Problem::new(Code::BadConfiguration, format!("`point` has no script for site `{}`", target.to))
        })
    }

    /// Whether the name could be changed, in the words of the operator's check.
    async fn updatable(&self) -> CheckLine {
        let Some(check) = &self.settings.check else {
            return CheckLine::green(
                "update",
                "not tried: no `check:` in the host's file says whether it can be changed",
            );
        };
        let occasion = Occasion {
            action: "check".to_owned(),
            resource: self.settings.resource.to_string(),
            site: self.settings.site.to_string(),
            ..Occasion::default()
        };
        let script = Script::new(check, CHECK_WITHIN)
            .on(&occasion)
            .env("POINTSMAN_NAME", self.names.known().unwrap_or_default());
        let remedy = "look at what the check says: the server, its policy, the scripts' key";
        match script.run(&self.settings.guard).await {
            Err(error) => CheckLine::amber("update", format!("the check cannot tell: {error}"), remedy),
            Ok(ended) => match ended.check() {
                Check::InEffect => CheckLine::green("update", "its check says that it can be changed"),
                Check::NotInEffect => CheckLine::red("update", ended.to_string(), remedy),
                Check::CannotTell(why) => {
                    CheckLine::amber("update", format!("the check cannot tell: {why}"), remedy)
                }
            },
        }
    }

    /// What somebody else wrote is his, for scripts too.
    async fn may_replace(&self, target: &Target) -> Result<(), DriverError> {
        let survey = self.names.needed(target).await;
        for (server, found) in &survey.answers {
            self.names.may_replace(*server, found)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Driver for Scripts {
    fn actions(&self) -> &[Action] {
        &[Action::Point]
    }

    fn by_hand(&self, _group: &GroupId, _action: Action, args: &Value) -> Vec<String> {
        let Ok(target) = self.names.target(args) else { return Vec::new() };
        let script = self.script(&target).map(|script| path_word(script)).ok();
        script.into_iter().chain(Names::seen_by_hand(&target)).collect()
    }

    async fn check(&self, _action: Action, args: &Value) -> Result<(), Problem> {
        self.names.target(args).and_then(|target| self.script(&target).map(|_| ()))
    }

    async fn preflight(&self) -> Vec<CheckLine> {
        let all = self.settings.point.values().chain(&self.settings.check);
        vec![startable(all.map(PathBuf::as_path)), self.updatable().await]
    }

    async fn observe(&self) -> Result<Seen, DriverError> {
        self.names.observe().await
    }

    async fn look(&self, _action: Action, args: &Value) -> Look {
        match self.names.target(args) {
            Ok(target) => self.names.look(&target).await,
            Err(problem) => Look::CannotTell(problem.to_string()),
        }
    }

    async fn act(&self, act: &Act) -> Result<Value, DriverError> {
        let deadline = Instant::now() + act.within;
        let target = self.names.target(&act.args).map_err(refused)?;
        let program = self.script(&target).map_err(refused)?;
        if let Look::InEffect(output) = self.names.look(&target).await {
            return Ok(output);
        }
        self.may_replace(&target).await?;
        let occasion = occasion(act, &self.settings.resource, &self.settings.site);
        let addresses: Vec<String> = target.addresses.iter().map(ToString::to_string).collect();
        let settled = Script::new(program, deadline.saturating_duration_since(Instant::now()))
            .on(&occasion)
            .env("POINTSMAN_NAME", &target.text)
            .env("POINTSMAN_TO", target.to.as_str())
            .env("POINTSMAN_ADDRESS", addresses.join(" "))
            .locked_by(&self.settings.lock)
            .settle(&self.settings.guard)
            .await;
        let (code, why) = match settled {
            Settled::Succeeded(_) => return self.names.verified(&target, deadline).await,
            Settled::NeverRan { why, locked } => {
                return Err(DriverError::not_done(if locked { Code::Busy } else { Code::Script }, why));
            }
            Settled::MayAct { why } => return Err(DriverError::unknown(Code::Script, why)),
            Settled::Failed { why, timed_out: true } => (Code::TimedOut, why),
            Settled::Failed { why, timed_out: false } => (Code::Script, why),
        };
        // It ended badly, and may yet have done its work: what counts is what the servers say.
        match self.names.verified(&target, Instant::now() + FOLLOWS_WITHIN).await {
            Ok(output) => Ok(output),
            Err(_) => match self.names.look(&target).await {
                Look::InEffect(output) => Ok(output),
                Look::NotInEffect(_) => Err(DriverError::not_done(code, why)),
                Look::CannotTell(cannot) => Err(DriverError::unknown(code, format!("{why}; {cannot}"))),
            },
        }
    }

    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        exec::lock(&self.settings.lock, within)
            .await
            .map(drop)
            .map_err(|cause| DriverError::unknown(Code::EarlierUnended, cause.to_string()))
    }

    async fn raise_epoch(&self, _: &GroupId, _: Epoch, _: RunId) -> Result<(), DriverError> {
        Ok(())
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

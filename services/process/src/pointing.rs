//! A program that works on the database of one site, such as a Message Server that writes to one log database: the
//! operator's scripts make it work on a site's, one script a site, and one says on which it works. Whatever runs the
//! program, systemd or scripts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use exec::{Children, Guard, Occasion, Script};
use responder::{Act, DriverError, Look, Pauses, path_word, startable};
use schemas::args::{self, ProcessPointArgs, ProcessPointOutput};
use schemas::{CheckLine, Code, Level, Problem, ResourceId, SiteId};
use serde_json::{Value, json};

use crate::scripts::{occasion, settled};

/// How long between two looks at a program that was just started again, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most that is shown of what a script printed, in characters.
const SHOWN_MAX: usize = 60;

/// How a program is pointed at a site's database.
#[derive(Debug, Clone)]
pub struct Pointing {
    /// The script that makes it work on a site's database. It may start the program again, and leaves one that does not
    /// run stopped.
    pub repoint: BTreeMap<SiteId, PathBuf>,
    /// Prints the site on whose database it works, as its last line.
    pub pointed: PathBuf,
    /// How long that may take.
    pub look_within: Duration,
    /// This resource, for the scripts' environment.
    pub resource: ResourceId,
    /// Its site, likewise.
    pub site: SiteId,
    /// The resource's lock file, in the service's state folder.
    pub lock: PathBuf,
    /// How to start a guard.
    pub guard: Guard,
}

impl Pointing {
    /// The site that the arguments name, and its script.
    fn target(&self, args: &Value) -> Result<(SiteId, &PathBuf), Problem> {
        let ProcessPointArgs { to, .. } = args::read(args)?;
        match self.repoint.get(&to) {
            Some(script) => Ok((to, script)),
            None => {
                let detail = format!("`repoint` of the host's file has no script for site `{to}`");
                Err(Problem::new(Code::BadConfiguration, detail))
            }
        }
    }

    /// Whether it can be carried out at all.
    pub(crate) fn check(&self, args: &Value) -> Result<(), Problem> {
        self.target(args).map(drop)
    }

    /// The sites on whose database it can be made to work.
    pub(crate) fn sites(&self) -> Vec<SiteId> {
        self.repoint.keys().cloned().collect()
    }

    /// How a person does it.
    pub(crate) fn by_hand(&self, args: &Value) -> Vec<String> {
        let Ok((to, script)) = self.target(args) else { return Vec::new() };
        vec![path_word(script), format!("{} # must print {to}", path_word(&self.pointed))]
    }

    /// Whether its scripts are there. Amber at most: no move is kept back for it.
    pub(crate) fn preflight(&self) -> CheckLine {
        let all = self.repoint.values().chain([&self.pointed]);
        let scripts = startable(all.map(PathBuf::as_path));
        CheckLine { what: "repoint".to_owned(), level: scripts.level.min(Level::Amber), ..scripts }
    }

    /// The site on whose database it works; else, in words, why nobody can tell.
    pub(crate) async fn pointed(&self) -> Result<SiteId, String> {
        let occasion = Occasion {
            action: "pointed".to_owned(),
            resource: self.resource.to_string(),
            site: self.site.to_string(),
            ..Occasion::default()
        };
        // Without the lock: a look changes nothing, and must not wait for an act.
        let script = Script::new(&self.pointed, self.look_within).on(&occasion);
        let ended = script.run(&self.guard).await.map_err(|cause| cause.to_string())?;
        if !ended.succeeded() {
            return Err(ended.to_string());
        }
        let last = ended.stdout.text.trim_end().lines().next_back().unwrap_or_default().trim();
        match last.parse::<SiteId>() {
            Ok(site) if self.repoint.contains_key(&site) => Ok(site),
            _ => {
                let tame = |c: char| if c.is_control() { ' ' } else { c };
                let shown: String = last.chars().take(SHOWN_MAX).map(tame).collect();
                Err(format!("its last line is `{shown}`, which is no site of `repoint`"))
            }
        }
    }

    pub(crate) async fn look(&self, args: &Value) -> Look {
        match self.target(args) {
            Ok((to, _)) => self.look_at(&to).await,
            Err(problem) => Look::CannotTell(problem.to_string()),
        }
    }

    async fn look_at(&self, to: &SiteId) -> Look {
        match self.pointed().await {
            Ok(at) if at == *to => Look::InEffect(json!(ProcessPointOutput { to: at })),
            Ok(at) => Look::NotInEffect(json!({ "pointsAt": at })),
            Err(why) => Look::CannotTell(format!("`pointed` cannot tell: {why}")),
        }
    }

    /// Runs the site's script, and looks. Where the look before it cannot tell it is run all the same: a program may be mute
    /// for the very reason that its database is gone.
    pub(crate) async fn act(&self, act: &Act, deadline: Instant) -> Result<Value, DriverError> {
        let (to, program) = self.target(&act.args).map_err(|problem| {
            let detail = problem.detail.unwrap_or(problem.title);
            DriverError::not_done(problem.code, detail)
        })?;
        if let Look::InEffect(output) = self.look_at(&to).await {
            return Ok(output);
        }
        let script = Script::new(program, deadline.saturating_duration_since(Instant::now()))
            .on(&occasion(act, &self.resource, &self.site))
            .env("POINTSMAN_TO", to.as_str())
            // It may have started the program again.
            .children(Children::LiveOn)
            .locked_by(&self.lock);
        let failed = settled(script, &self.guard).await?;
        let mut pauses = Pauses::up_to(LOOK_EVERY);
        loop {
            let over = Instant::now() + LOOK_EVERY >= deadline;
            match (self.look_at(&to).await, &failed) {
                (Look::InEffect(output), _) => return Ok(output),
                (Look::NotInEffect(_), Some((code, why))) => {
                    return Err(DriverError::not_done(*code, why.clone()));
                }
                (Look::CannotTell(cannot), Some((code, why))) => {
                    return Err(DriverError::unknown(*code, format!("{why}; {cannot}")));
                }
                (Look::NotInEffect(found), None) if over => {
                    let detail = format!("its script ended well, and it works elsewhere: {found}");
                    return Err(DriverError::unknown(Code::TimedOut, detail));
                }
                (Look::CannotTell(why), None) if over => {
                    return Err(DriverError::unknown(Code::Unreachable, why));
                }
                (Look::NotInEffect(_) | Look::CannotTell(_), None) => pauses.wait().await,
            }
        }
    }

    /// Returns once no script of an earlier life runs any more.
    pub(crate) async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        exec::lock(&self.lock, within)
            .await
            .map(drop)
            .map_err(|cause| DriverError::unknown(Code::EarlierUnended, cause.to_string()))
    }
}

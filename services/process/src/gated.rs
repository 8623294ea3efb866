//! The driver: a manager behind a health gate, watched after a stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use responder::{Act, Driver, DriverError, Look, Pauses};
use schemas::{
    Action, Attempt, CheckLine, Code, Epoch, GroupId, Problem, ProcessSeen, ResourceId, RunId, Running, Seen,
    SiteId,
};
use serde_json::{Value, json};

use crate::health::{Health, Probe};
use crate::manager::{Manager, Presence};
use crate::pointing::Pointing;

/// How long between two looks, at most.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long one that is being started has to answer, the first time that it is asked.
const FIRST_PROBE: Duration = Duration::from_millis(50);

/// How long a service that is to be refreshed has to become healthy by itself.
const REFRESH_PATIENCE: Duration = Duration::from_secs(10);

/// How long between two looks while a stopped service is watched.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// Somebody started a service within `settle` after it was stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned {
    /// Which.
    pub resource: ResourceId,
    /// How long after the stop it was seen.
    pub after: Duration,
    /// The manager's own words.
    pub found: Value,
}

type Hook = Arc<dyn Fn(Returned) + Send + Sync>;

/// The driver of one service.
pub struct Gated<M> {
    manager: Arc<M>,
    resource: ResourceId,
    health: Option<Health>,
    closes: Option<SiteId>,
    pointing: Option<Pointing>,
    settle: Duration,
    patience: Duration,
    on_return: Option<Hook>,
    /// Counts acts: a watch ends when the next act begins.
    acts: Arc<AtomicU64>,
}

impl<M: Manager> Gated<M> {
    /// A driver without a health gate, that watches nothing after a stop.
    pub fn new(manager: M, resource: ResourceId) -> Gated<M> {
        Gated {
            manager: Arc::new(manager),
            resource,
            health: None,
            closes: None,
            pointing: None,
            settle: Duration::ZERO,
            patience: REFRESH_PATIENCE,
            on_return: None,
            acts: Arc::default(),
        }
    }

    /// It counts as started only when this passes.
    #[must_use]
    pub fn health(mut self, health: Option<Health>) -> Self {
        self.health = health;
        self
    }

    /// While it is stopped, this site is closed: it is a switch of its power or network.
    #[must_use]
    pub fn closes(mut self, site: Option<SiteId>) -> Self {
        self.closes = site;
        self
    }

    /// It works on the database of one site, and can be made to work on another one's.
    #[must_use]
    pub fn pointing(mut self, pointing: Option<Pointing>) -> Self {
        self.pointing = pointing;
        self
    }

    /// How long after a stop it is watched.
    #[must_use]
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// How long one that is to be refreshed has to become healthy by itself; 10 s, if not said.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Told once for each stop, when the service came back within [`Gated::settle`].
    #[must_use]
    pub fn on_return(mut self, hook: impl Fn(Returned) + Send + Sync + 'static) -> Self {
        self.on_return = Some(Arc::new(hook));
        self
    }

    /// Whether it runs, with the manager's own words.
    async fn state(&self) -> (Running, Value) {
        match self.manager.presence().await {
            Presence::Stopped(found) => (Running::Stopped, found),
            Presence::CannotTell(why) => (Running::Unknown, json!({ "unknown": why })),
            Presence::Changing(found) => {
                (Running::Unhealthy, json!({ "running": "changing", "found": found }))
            }
            Presence::Remains(found) => (Running::Unhealthy, json!({ "running": "remains", "found": found })),
            Presence::Running(found) => match self.healthy(Duration::MAX).await {
                Ok(()) => (Running::Healthy, found),
                Err(why) => (Running::Unhealthy, json!({ "found": found, "health": why })),
            },
        }
    }

    /// Where it works, if that can be changed at all.
    async fn pointed(&self) -> Option<Result<SiteId, String>> {
        match &self.pointing {
            Some(pointing) => Some(pointing.pointed().await),
            None => None,
        }
    }

    fn points(&self) -> Result<&Pointing, Problem> {
        self.pointing.as_ref().ok_or_else(|| {
            let detail = format!("`{}` has no `repoint` in its host's file", self.resource);
            Problem::new(Code::BadConfiguration, detail)
        })
    }

    async fn healthy(&self, patience: Duration) -> Result<(), String> {
        match &self.health {
            None => Ok(()),
            Some(health) => match health.probe(patience).await {
                Probe::Healthy => Ok(()),
                Probe::Absent(why) | Probe::Unhealthy(why) | Probe::CannotTell(why) => Err(why),
            },
        }
    }

    async fn look_started(&self, patience: Duration) -> Look {
        match self.manager.presence().await {
            Presence::CannotTell(why) => Look::CannotTell(why),
            Presence::Stopped(found) => Look::NotInEffect(json!({ "running": "stopped", "found": found })),
            Presence::Changing(found) => Look::NotInEffect(json!({ "running": "changing", "found": found })),
            Presence::Remains(found) => Look::NotInEffect(json!({ "running": "remains", "found": found })),
            Presence::Running(found) => match self.healthy(patience).await {
                Ok(()) => Look::InEffect(json!({ "running": "healthy", "found": found })),
                Err(why) => {
                    Look::NotInEffect(json!({ "running": "unhealthy", "health": why, "found": found }))
                }
            },
        }
    }

    /// `told`: a stop that has just ended well says so too.
    async fn look_stopped(&self, told: bool) -> Look {
        match self.manager.presence().await {
            Presence::CannotTell(why) => Look::CannotTell(why),
            Presence::Stopped(found) if !told && !self.manager.proves_stopped() => {
                Look::NotInEffect(json!({ "running": "not proved", "found": found }))
            }
            Presence::Stopped(found) => Look::InEffect(json!({ "running": "stopped", "found": found })),
            Presence::Running(found) | Presence::Changing(found) => {
                Look::NotInEffect(json!({ "running": "running", "found": found }))
            }
            Presence::Remains(found) => Look::NotInEffect(json!({ "running": "remains", "found": found })),
        }
    }

    /// Looks until it is in effect, or the bound passes; returns the last look.
    async fn await_look(&self, action: Action, deadline: Instant) -> Look {
        let mut pauses = Pauses::up_to(LOOK_EVERY);
        // One that is just starting may take a connection and have nothing to say yet: it is asked again soon,
        // and given more time each time.
        let mut patience = FIRST_PROBE;
        loop {
            let look = match action {
                Action::StartProcess | Action::RefreshProcess => self.look_started(patience).await,
                _ => self.look_stopped(true).await,
            };
            patience = patience.saturating_mul(2);
            if matches!(look, Look::InEffect(_)) || Instant::now() + LOOK_EVERY >= deadline {
                return look;
            }
            pauses.wait().await;
        }
    }

    /// What it is once it is neither being started nor stopped, or at the bound.
    async fn at_rest(&self, deadline: Instant) -> Presence {
        let mut pauses = Pauses::up_to(LOOK_EVERY);
        loop {
            let presence = self.manager.presence().await;
            if !matches!(presence, Presence::Changing(_)) || Instant::now() + LOOK_EVERY >= deadline {
                return presence;
            }
            pauses.wait().await;
        }
    }

    async fn start(&self, act: &Act, deadline: Instant) -> Result<Value, DriverError> {
        match self.at_rest(deadline).await {
            Presence::Changing(found) => {
                let detail =
                    format!("somebody else's start or stop is not over, so nothing was done: {found}");
                return Err(DriverError::not_done(Code::Precondition, detail));
            }
            Presence::Running(_) => {
                // A second start might make a second copy; the first one is given its time.
                return match self.await_look(act.action, deadline).await {
                    Look::InEffect(output) => Ok(output),
                    Look::NotInEffect(found) => Err(DriverError::not_done(
                        Code::Precondition,
                        format!("it runs already and is not healthy, so it was not started again: {found}"),
                    )),
                    Look::CannotTell(why) => Err(DriverError::not_done(Code::Unreachable, why)),
                };
            }
            Presence::CannotTell(why) => self.blind(act, why)?,
            Presence::Stopped(_) | Presence::Remains(_) => {}
        }
        self.manager.start(act, deadline).await?;
        if !self.manager.can_look() {
            return Ok(json!({ "running": "unverified" }));
        }
        match self.await_look(act.action, deadline).await {
            Look::InEffect(output) => Ok(output),
            Look::NotInEffect(found) => Err(DriverError::unknown(
                Code::TimedOut,
                format!("it was started and is not healthy within the bound: {found}"),
            )),
            Look::CannotTell(why) => Err(DriverError::unknown(Code::Unreachable, why)),
        }
    }

    async fn stop(&self, act: &Act, deadline: Instant) -> Result<Value, DriverError> {
        let proves = self.manager.proves_stopped();
        match self.manager.presence().await {
            Presence::Stopped(found) if proves => {
                return Ok(json!({ "running": "stopped", "found": found }));
            }
            Presence::CannotTell(why) if proves || !self.manager.can_look() => self.blind(act, why)?,
            // What proves nothing keeps nobody from being stopped.
            Presence::Stopped(_)
            | Presence::CannotTell(_)
            | Presence::Running(_)
            | Presence::Changing(_)
            | Presence::Remains(_) => {}
        }
        self.manager.stop(act, deadline).await?;
        if !self.manager.can_look() {
            return Ok(json!({ "running": "unverified" }));
        }
        match self.await_look(act.action, deadline).await {
            Look::InEffect(output) => Ok(output),
            Look::NotInEffect(found) => Err(DriverError::not_done(
                Code::Failed,
                format!("it was told to stop, and something of it still runs: {found}"),
            )),
            Look::CannotTell(why) if !proves => Ok(json!({ "running": "unverified", "unknown": why })),
            Look::CannotTell(why) => Err(DriverError::unknown(Code::Unreachable, why)),
        }
    }

    /// Gives it time to become healthy by itself; else it is stopped and started.
    async fn refresh(&self, act: &Act, deadline: Instant) -> Result<Value, DriverError> {
        let patience = deadline.min(Instant::now() + self.patience);
        let found = match self.await_look(act.action, patience).await {
            Look::InEffect(output) => return Ok(output),
            Look::CannotTell(why) => {
                return Err(DriverError::not_done(Code::Unreachable, format!("{why}; nothing was done")));
            }
            Look::NotInEffect(found) => found,
        };
        tracing::info!(resource = %self.resource, %found, "it is not healthy, so it is started again");
        self.stop(&Act { action: Action::StopProcess, ..act.clone() }, deadline).await?;
        self.start(&Act { action: Action::StartProcess, ..act.clone() }, deadline).await
    }

    /// Without a look an act is done once and never again.
    fn blind(&self, act: &Act, why: String) -> Result<(), DriverError> {
        if self.manager.can_look() {
            return Err(DriverError::not_done(Code::Unreachable, format!("{why}; nothing was done")));
        }
        if act.attempt > Attempt::FIRST {
            return Err(DriverError::unknown(
                Code::InDoubt,
                "there is no check of any kind, so it is not done a second time",
            ));
        }
        Ok(())
    }

    /// Beside everything else: a stop has long returned.
    fn watch(&self, act: u64) {
        if self.settle.is_zero() {
            return;
        }
        let (manager, acts, settle) = (self.manager.clone(), self.acts.clone(), self.settle);
        let (resource, hook, began) = (self.resource.clone(), self.on_return.clone(), Instant::now());
        tokio::spawn(async move {
            while began.elapsed() < settle {
                tokio::time::sleep(WATCH_EVERY.min(settle.saturating_sub(began.elapsed()))).await;
                let presence = manager.presence().await;
                if acts.load(Ordering::SeqCst) != act {
                    return;
                }
                if let Presence::Running(found) | Presence::Changing(found) | Presence::Remains(found) =
                    presence
                {
                    let after = began.elapsed();
                    tracing::warn!(%resource, ?after, %found, "stopped, and somebody started it again");
                    if let Some(hook) = hook {
                        hook(Returned { resource, after, found });
                    }
                    return;
                }
            }
        });
    }
}

#[async_trait]
impl<M: Manager> Driver for Gated<M> {
    fn actions(&self) -> &[Action] {
        &[Action::StartProcess, Action::StopProcess, Action::RefreshProcess, Action::PointProcess]
    }

    fn by_hand(&self, _group: &GroupId, action: Action, args: &Value) -> Vec<String> {
        match action {
            Action::PointProcess => {
                self.pointing.as_ref().map(|pointing| pointing.by_hand(args)).unwrap_or_default()
            }
            Action::RefreshProcess => [self.manager.by_hand(false), self.manager.by_hand(true)].concat(),
            action => self.manager.by_hand(action == Action::StartProcess),
        }
    }

    async fn check(&self, action: Action, args: &Value) -> Result<(), Problem> {
        match action {
            Action::PointProcess => self.points()?.check(args),
            _ => self.manager.check().await,
        }
    }

    async fn preflight(&self) -> Vec<CheckLine> {
        let mut lines = self.manager.preflight().await;
        lines.extend(self.pointing.as_ref().map(Pointing::preflight));
        if self.manager.can_look()
            && let Presence::CannotTell(why) = self.manager.presence().await
        {
            lines.push(CheckLine::amber(
                "look",
                format!("nobody can tell whether it runs: {why}"),
                "mend what looks: a check script exits 0 (it runs) or 1 (it does not)",
            ));
        }
        lines
    }

    async fn observe(&self) -> Result<Seen, DriverError> {
        let ((running, found), pointed) = tokio::join!(self.state(), self.pointed());
        let (points_at, detail) = match pointed {
            Some(Ok(site)) => (Some(site), found),
            Some(Err(why)) => (None, json!({ "found": found, "pointed": why })),
            None => (None, found),
        };
        let repoints = self.pointing.as_ref().map(Pointing::sites).unwrap_or_default();
        let closes = self.closes.clone();
        Ok(Seen::Process(ProcessSeen { running, closes, repoints, points_at, detail }))
    }

    async fn look(&self, action: Action, args: &Value) -> Look {
        match action {
            Action::PointProcess => match self.points() {
                Ok(pointing) => pointing.look(args).await,
                Err(problem) => Look::CannotTell(problem.to_string()),
            },
            // Nobody can tell whether it is stale: then it is left alone.
            Action::RefreshProcess if !self.manager.can_look() => {
                Look::InEffect(json!({ "running": "unverified" }))
            }
            Action::StartProcess | Action::RefreshProcess => self.look_started(Duration::MAX).await,
            Action::StopProcess => self.look_stopped(false).await,
            other => Look::CannotTell(format!("{other} is no action of a process")),
        }
    }

    async fn act(&self, act: &Act) -> Result<Value, DriverError> {
        let number = self.acts.fetch_add(1, Ordering::SeqCst) + 1;
        let mut deadline = Instant::now() + act.within;
        if let Some(not_after) = act.not_after {
            deadline = deadline.min(not_after);
        }
        match act.action {
            Action::StartProcess => self.start(act, deadline).await,
            Action::RefreshProcess => self.refresh(act, deadline).await,
            Action::PointProcess => match &self.pointing {
                Some(pointing) => pointing.act(act, deadline).await,
                None => Err(DriverError::not_done(Code::BadConfiguration, "it has no `repoint`")),
            },
            Action::StopProcess => {
                let output = self.stop(act, deadline).await?;
                self.watch(number);
                Ok(output)
            }
            other => Err(DriverError::not_done(Code::Internal, format!("{other} is no action of a process"))),
        }
    }

    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        let deadline = Instant::now() + within;
        self.manager.end_earlier(within).await?;
        match &self.pointing {
            Some(pointing) => pointing.end_earlier(deadline.saturating_duration_since(Instant::now())).await,
            None => Ok(()),
        }
    }

    async fn raise_epoch(&self, _: &GroupId, _: Epoch, _: RunId) -> Result<(), DriverError> {
        Ok(())
    }
}

//! systemd over D-Bus (org.freedesktop.systemd1(5)).
//!
//! A start or stop is a job of systemd's own: it lives on when this service dies, so an earlier life's job is
//! awaited before anything is looked at. Stopped means that the unit is inactive or failed *and* that its
//! control group has no process left; what a unit with `KillMode=process` leaves behind is killed.
//! It needs the right to manage units: root, or a polkit rule for `org.freedesktop.systemd1.manage-units`.

mod bus;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use responder::{Act, DriverError, quoted};
use schemas::{CheckLine, Code, Problem};
use serde_json::json;
use tokio::time::timeout_at;

use crate::manager::{Manager, Presence};
use crate::starters::{self, ETC, Ours};
use bus::{Bus, BusError, ManagerProxy, Unit};

/// How long one call may take.
const CALL_WITHIN: Duration = Duration::from_secs(5);

/// How long between two looks at a job of somebody else's.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One unit of the host's systemd.
#[derive(Debug)]
pub struct Systemd {
    unit: String,
    bus: Bus,
    etc: PathBuf,
}

enum Verb {
    Start,
    Stop,
}

impl Systemd {
    /// A unit, by its whole name such as `web.service`; reaches nobody yet. `address` is a D-Bus address
    /// such as `unix:path=/run/dbus/system_bus_socket`; none: the system bus.
    pub fn new(unit: impl Into<String>, address: Option<String>) -> Systemd {
        Systemd { unit: unit.into(), bus: Bus::at(address), etc: ETC.into() }
    }

    /// Where the host says what a boot and cron run; `/etc`, if not said.
    #[must_use]
    pub fn etc(mut self, etc: impl Into<PathBuf>) -> Systemd {
        self.etc = etc.into();
        self
    }

    async fn unit(&self) -> Result<Unit, BusError> {
        self.bus.bounded(CALL_WITHIN, self.bus.unit(&self.unit)).await
    }

    /// Queues a job and waits for its end.
    async fn job(&self, verb: Verb, deadline: Instant) -> Result<(), DriverError> {
        let not_done = |cause: BusError| DriverError::not_done(Code::Unreachable, cause.to_string());
        let manager = self.bus.bounded(CALL_WITHIN, self.bus.manager()).await.map_err(not_done)?;
        // Listening begins before the job does: its end may come before the answer that names it.
        let listen = async { Ok(manager.receive_job_removed().await?) };
        let mut ends = self.bus.bounded(CALL_WITHIN, listen).await.map_err(not_done)?;
        let queued = self.queue(&manager, verb).await;
        // From here on a job may exist: no answer is no refusal.
        let job = queued.map_err(|cause| match cause {
            BusError::Refused(_) => DriverError::not_done(Code::Refused, cause.to_string()),
            _ => DriverError::unknown(Code::Unreachable, cause.to_string()),
        })?;
        let ended = async {
            while let Some(signal) = ends.next().await {
                if let Ok(end) = signal.args()
                    && end.job().as_str() == job
                {
                    return Some(end.result().to_string());
                }
            }
            None
        };
        match timeout_at(deadline.into(), ended).await {
            Ok(Some(result)) if result == "done" || result == "skipped" => Ok(()),
            Ok(Some(result)) => Err(self.failed(&result).await),
            Ok(None) => Err(DriverError::unknown(Code::Unreachable, "the bus went away in the middle")),
            Err(_) => Err(DriverError::unknown(
                Code::TimedOut,
                format!("systemd still works on it: {}", self.described().await),
            )),
        }
    }

    async fn queue(&self, manager: &ManagerProxy<'static>, verb: Verb) -> Result<String, BusError> {
        let call = async {
            let job = match verb {
                Verb::Start => manager.start_unit(&self.unit, "replace").await?,
                Verb::Stop => manager.stop_unit(&self.unit, "replace").await?,
            };
            Ok(job.as_str().to_owned())
        };
        self.bus.bounded(CALL_WITHIN, call).await
    }

    /// A job ended badly. Nothing of it can come later once the unit rests with nothing running.
    async fn failed(&self, result: &str) -> DriverError {
        let detail = format!("systemd's job ended as `{result}`: {}", self.described().await);
        match self.presence().await {
            Presence::Stopped(_) => DriverError::not_done(Code::Failed, detail),
            Presence::Running(_) | Presence::Changing(_) | Presence::Remains(_) | Presence::CannotTell(_) => {
                DriverError::unknown(Code::Failed, detail)
            }
        }
    }

    async fn described(&self) -> String {
        match self.unit().await {
            Ok(unit) => unit.found().to_string(),
            Err(cause) => cause.to_string(),
        }
    }

    /// What `KillMode=process` left in the control group.
    async fn kill_left(&self) -> Result<(), BusError> {
        let manager = self.bus.manager().await?;
        let kill = async { Ok(manager.kill_unit(&self.unit, "all", 9).await?) };
        self.bus.bounded(CALL_WITHIN, kill).await
    }
}

#[async_trait]
impl Manager for Systemd {
    fn by_hand(&self, start: bool) -> Vec<String> {
        let (unit, verb) = (quoted(&self.unit), if start { "start" } else { "stop" });
        vec![format!("systemctl {verb} {unit}"), format!("systemctl status --no-pager {unit}")]
    }

    async fn check(&self) -> Result<(), Problem> {
        match self.unit().await {
            Err(cause) => Err(Problem::new(Code::Unreachable, cause.to_string())),
            Ok(unit) if unit.load_state == "loaded" => Ok(()),
            Ok(unit) => {
                let detail = format!("systemd says of unit `{}`: {}", self.unit, unit.load_state);
                Err(Problem::new(Code::Precondition, detail))
            }
        }
    }

    async fn preflight(&self) -> Vec<CheckLine> {
        let unit = match self.unit().await {
            Ok(unit) if unit.load_state == "loaded" => {
                CheckLine::green("unit", format!("{} is loaded", self.unit))
            }
            Ok(unit) => CheckLine::red(
                "unit",
                format!("{} is {}", self.unit, unit.load_state),
                "install the unit, or mend its name in the host's file; systemctl daemon-reload",
            ),
            Err(cause) => CheckLine::red(
                "unit",
                cause.to_string(),
                "look at D-Bus, and at this user's right to manage units (polkit)",
            ),
        };
        let state = async { Ok(self.bus.manager().await?.get_unit_file_state(&self.unit).await?) };
        let state = self.bus.bounded(CALL_WITHIN, state).await;
        let generated = matches!(&state, Ok(state) if state == "generated");
        let started_at_boot = match state {
            Ok(state) if state.starts_with("enabled") => Some(CheckLine::red(
                "autostart",
                format!("{} is {state}: a boot starts it, whichever site is live", self.unit),
                format!("systemctl disable {}", self.unit),
            )),
            // A unit without an [Install] section, or one that is not there, is started by nobody.
            _ => None,
        };
        let ours = Ours::Unit { name: self.unit.clone(), generated };
        let others = starters::look(self.etc.clone(), ours).await;
        [Some(unit), started_at_boot].into_iter().flatten().chain(others).collect()
    }

    async fn presence(&self) -> Presence {
        match self.unit().await {
            Err(cause) => Presence::CannotTell(cause.to_string()),
            Ok(unit) if unit.rests() && unit.processes.is_empty() => Presence::Stopped(unit.found()),
            Ok(unit) if unit.rests() => Presence::Remains(unit.found()),
            Ok(unit) if unit.is_up() => Presence::Running(unit.found()),
            Ok(unit) => Presence::Changing(unit.found()),
        }
    }

    fn can_look(&self) -> bool {
        true
    }

    async fn start(&self, _act: &Act, deadline: Instant) -> Result<(), DriverError> {
        self.job(Verb::Start, deadline).await
    }

    async fn stop(&self, _act: &Act, deadline: Instant) -> Result<(), DriverError> {
        self.job(Verb::Stop, deadline).await?;
        let left = self.unit().await;
        if left.is_ok_and(|unit| unit.rests() && !unit.processes.is_empty()) {
            self.kill_left().await.map_err(|cause| {
                let detail = format!("it is stopped, and what it left behind cannot be killed: {cause}");
                DriverError::not_done(Code::Failed, detail)
            })?;
        }
        Ok(())
    }

    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        let deadline = Instant::now() + within;
        let unended = |why: String| Err(DriverError::unknown(Code::EarlierUnended, why));
        loop {
            match self.unit().await {
                Err(cause) => return unended(cause.to_string()),
                Ok(unit) if unit.job.is_none() => return Ok(()),
                Ok(unit) if Instant::now() >= deadline => {
                    return unended(format!("systemd still works on it: {}", json!(unit.found())));
                }
                Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

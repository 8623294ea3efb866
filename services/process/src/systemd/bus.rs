//! The bus, the few methods that are needed, and what a unit says of itself.

use std::future::Future;
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::Mutex;
use zbus::Connection;
use zbus::{ObjectPath, OwnedObjectPath};

/// A unit's processes that are shown, at most.
const SHOWN: usize = 20;

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Manager {
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn get_unit_file_state(&self, name: &str) -> zbus::Result<String>;
    fn kill_unit(&self, name: &str, who: &str, signal: i32) -> zbus::Result<()>;
    fn get_unit_processes(&self, name: &str) -> zbus::Result<Vec<(String, u32, String)>>;
    fn subscribe(&self) -> zbus::Result<()>;

    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: ObjectPath<'_>, unit: &str, result: &str) -> zbus::Result<()>;
}

#[zbus::proxy(interface = "org.freedesktop.systemd1.Unit", default_service = "org.freedesktop.systemd1")]
trait UnitObject {
    #[zbus(property(emits_changed_signal = "false"))]
    fn load_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn sub_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn job(&self) -> zbus::Result<(u32, OwnedObjectPath)>;
}

/// Why systemd could not be asked.
#[derive(Debug, Error)]
pub(super) enum BusError {
    /// It answered that it will not.
    #[error("systemd refuses: {0}")]
    Refused(String),
    /// The bus or systemd cannot be reached, or went away.
    #[error("systemd cannot be reached over D-Bus: {0}")]
    Gone(String),
    /// No answer came.
    #[error("systemd did not answer within {0:?}")]
    Silent(Duration),
}

impl From<zbus::Error> for BusError {
    fn from(cause: zbus::Error) -> BusError {
        match cause {
            zbus::Error::MethodError(name, detail, _) => {
                BusError::Refused(detail.unwrap_or_else(|| name.to_string()))
            }
            other => BusError::Gone(other.to_string()),
        }
    }
}

/// What systemd says of a unit, seen in one go as far as D-Bus allows.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) load_state: String,
    active_state: String,
    sub_state: String,
    /// The number of its job, while there is one.
    pub(super) job: Option<u32>,
    /// Processes in its control group and below, by id and command line.
    pub(super) processes: Vec<(u32, String)>,
}

impl Unit {
    /// Nothing of it is active or about to be.
    pub(super) fn rests(&self) -> bool {
        self.job.is_none() && matches!(self.active_state.as_str(), "inactive" | "failed")
    }

    /// It is active, and no job is about to change that.
    pub(super) fn is_up(&self) -> bool {
        self.job.is_none() && matches!(self.active_state.as_str(), "active" | "reloading" | "refreshing")
    }

    /// For people.
    pub(super) fn found(&self) -> Value {
        let processes: Vec<_> = self.processes.iter().take(SHOWN).collect();
        json!({
            "load": self.load_state,
            "active": self.active_state,
            "sub": self.sub_state,
            "job": self.job,
            "processes": processes,
        })
    }
}

/// A connection that is made when it is needed, and made anew after it failed.
#[derive(Debug)]
pub(super) struct Bus {
    address: Option<String>,
    connection: Mutex<Option<Connection>>,
}

impl Bus {
    pub(super) fn at(address: Option<String>) -> Bus {
        Bus { address, connection: Mutex::new(None) }
    }

    async fn connection(&self) -> Result<Connection, BusError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let builder = match &self.address {
            Some(address) => zbus::connection::Builder::address(address.as_str()),
            None => zbus::connection::Builder::system(),
        };
        let connection = builder.build().await?;
        // Else systemd sends no signals.
        ManagerProxy::new(&connection).await?.subscribe().await?;
        *kept = Some(connection.clone());
        Ok(connection)
    }

    /// The manager, signals on.
    pub(super) async fn manager(&self) -> Result<ManagerProxy<'static>, BusError> {
        let connection = self.connection().await?;
        Ok(ManagerProxy::new(&connection).await?)
    }

    /// Gives a conversation its bound; a connection that failed in it is dropped.
    pub(super) async fn bounded<T>(
        &self,
        within: Duration,
        talk: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        let result = tokio::time::timeout(within, talk).await.unwrap_or(Err(BusError::Silent(within)));
        if let Err(BusError::Gone(_) | BusError::Silent(_)) = &result {
            *self.connection.lock().await = None;
        }
        result
    }

    /// What it says of a unit. One that is not there is `not-found`, and has no processes.
    pub(super) async fn unit(&self, name: &str) -> Result<Unit, BusError> {
        let manager = self.manager().await?;
        let connection = self.connection().await?;
        let path = manager.load_unit(name).await?;
        let unit = UnitObjectProxy::builder(&connection)
            .path(path)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?;
        // The job first: one that ends in between leaves a state that is seen afterwards.
        let job = Some(unit.job().await?.0).filter(|&id| id != 0);
        let load_state = unit.load_state().await?;
        let active_state = unit.active_state().await?;
        let sub_state = unit.sub_state().await?;
        let listed = match manager.get_unit_processes(name).await {
            Ok(listed) => listed,
            // It was unloaded in between, which happens only to a unit without processes.
            Err(zbus::Error::MethodError(error, _, _))
                if error.as_str() == "org.freedesktop.systemd1.NoSuchUnit" =>
            {
                Vec::new()
            }
            Err(cause) => return Err(cause.into()),
        };
        let processes = listed.into_iter().map(|(_, pid, command)| (pid, command)).collect();
        Ok(Unit { load_state, active_state, sub_state, job, processes })
    }
}

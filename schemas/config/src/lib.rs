//! The operator's files: `host.yaml`, `groups/*.yaml`, `defaults.yaml`.
//!
//! Who is live is observed, never configured. A group's file stands over `defaults.yaml`; what
//! neither says has the defaults written here, each of which `pointsman init` prints. The
//! drivers' settings in a host's file are handed on as they stand, with their places: this crate
//! knows no driver.

mod acceptance;
mod check;
mod codes;
mod file;
mod forms;
mod group;
mod host;
pub mod init;
mod load;
mod merge;
mod policy;
mod schema;
mod units;

pub use acceptance::{Acceptance, AskOr, RefusedOr, Until};
pub use check::{OPENING_BOUND, double_claims};
pub use codes::CODES;
pub use forms::{Direction, Everywhere, FencePath, Share};
pub use group::{Client, Clients, Database, Group, Kind, Names, Record, Stale};
pub use host::{Bus, Host, RunnerSettings, Settings, Tls};
pub use load::{DEFAULTS, load_group, load_groups, load_host, parse_group, parse_host};
pub use policy::{
    Approval, CannotStart, Drain, Fence, Loss, Notify, OnFailover, OnSwitchover, Resume, Reverse, Silence,
    Target, Trigger, TriggerMode, WalKeep,
};
pub use schema::{FILES, json_schema};
pub use units::{BadUnit, Percent, Size, Span};

/// The host's file that a command reads where nobody names another one.
pub const HOST_FILE: &str = "/etc/pointsman/host.yaml";

//! The SQLSTATE codes that decide something. `PM…` are raised by our own functions (`sql/`).

/// A newer run claimed the database.
pub const STALE_EPOCH: &str = "PM001";
/// Another run holds this very epoch.
pub const EPOCH_TAKEN: &str = "PM002";
/// The epoch has not claimed the database.
pub const UNCLAIMED: &str = "PM003";
/// An opening came after its deadline, by the server's clock.
pub const TOO_LATE: &str = "PM004";
/// A name that was not set up.
pub const NOT_SET_UP: &str = "PM005";
/// What was found is not what the function needs.
pub const PRECONDITION: &str = "PM006";
/// `tuple concurrently updated` has no code of its own.
pub const INTERNAL: &str = "XX000";
/// Two sessions wait for each other.
pub const DEADLOCK: &str = "40P01";
/// Cancelled, also by `statement_timeout`.
pub const CANCELED: &str = "57014";
/// `lock_timeout`.
pub const LOCK_NOT_AVAILABLE: &str = "55P03";
/// A slot is in use.
pub const IN_USE: &str = "55006";
/// The object is not there.
pub const UNDEFINED: &str = "42704";
/// The object is there already.
pub const DUPLICATE: &str = "42710";

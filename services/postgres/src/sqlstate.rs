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
/// The role lacks a privilege.
pub const FORBIDDEN: &str = "42501";

/// What our own codes and the commonest of the server's mean, for people: code, cause, remedy.
pub const TEXTS: &[(&str, &str, &str)] = &[
    (
        STALE_EPOCH,
        "A newer run has claimed the database.",
        "Nothing: the older run is fenced. `pointsman status` shows the newer one.",
    ),
    (
        EPOCH_TAKEN,
        "Another run holds this very epoch in the database.",
        "There is a second runner, or a restored journal: stop it, then supersede the run.",
    ),
    (
        UNCLAIMED,
        "The run's epoch has not claimed the database.",
        "The runner claims again by itself; if the database was restored from a backup, start a new run.",
    ),
    (
        TOO_LATE,
        "The opening came later than its yes allows, by the server's clock; nothing was opened.",
        "Nothing: the runner asks again. If it stays so, the server is slow: look at its load and locks.",
    ),
    (
        NOT_SET_UP,
        "The host's file names a subscription that this database was not set up for.",
        "Run what `pointsman setup postgres --print` prints again, as its DBA.",
    ),
    (
        PRECONDITION,
        "What was found in the database is not what the act needs: a subscription that should stand still is enabled \
         or has a worker, or a write that should arrive does not.",
        "See the message. Somebody or something else starts the subscription: stop that. A role cannot write: give it \
         back what it lacks. Then retry.",
    ),
    (
        IN_USE,
        "The replication slot is in use.",
        "Stop its receiver first, or end the session that pg_replication_slots.active_pid names.",
    ),
    (
        CANCELED,
        "The statement was cancelled, mostly because the bound of the act passed.",
        "Look in pg_stat_activity and pg_locks for what it waited for, then retry.",
    ),
    (
        LOCK_NOT_AVAILABLE,
        "A lock was not free within the bound of the act.",
        "Look in pg_locks for who holds it, then retry.",
    ),
    (
        UNDEFINED,
        "An object that the configuration or the set-up names is not there.",
        "Compare the names in the host's file with the database; run the set-up again.",
    ),
    (DUPLICATE, "The object is there already.", "Nothing: it is looked at and taken as it is."),
    (
        FORBIDDEN,
        "The role of the connection string lacks a privilege.",
        "Run what `pointsman setup postgres --print` prints again, as its DBA; for a peer see the README.",
    ),
    (
        "28P01",
        "The password is not the role's.",
        "Compare the connection string's file with the role's password.",
    ),
    (
        "28000",
        "The server lets nobody in by this role, database and address.",
        "Look at LOGIN of the role and at pg_hba.conf.",
    ),
    (
        "55000",
        "The object is not in a state for this.",
        "See the message; a table that is published needs a primary key or a replica identity.",
    ),
];

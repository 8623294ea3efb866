//! The same by hand.

use postgres::by_hand::{claimed, held, psql};
use schemas::{Action, GroupId};

/// Lines for a shell.
pub(super) fn lines(dsn: &str, group: &GroupId, action: Action) -> Vec<String> {
    let statements = match action {
        Action::DisableAccess => vec![
            claimed(group),
            held("close_access(group_name, epoch, run)", group),
            "-- again and again, until it says 0:".to_owned(),
            "SELECT pointsman.end_writers(clock_timestamp());".to_owned(),
            "-- roll back what this lists (ROLLBACK PREPARED), as its owner:".to_owned(),
            "SELECT gid, owner FROM pg_prepared_xacts WHERE database = current_database();".to_owned(),
            held("close_ended(group_name, epoch, run)", group),
            "-- closed: enters f, writable 0, sessions 0, prepared 0 in every line".to_owned(),
            "SELECT role, enters, writable, sessions, prepared FROM pointsman.seen_access();".to_owned(),
        ],
        Action::EnableAccess => vec![
            claimed(group),
            held("open_access(group_name, epoch, run, clock_timestamp() + interval '5 seconds')", group),
            "-- open: enters t, granted t in every line".to_owned(),
            "SELECT role, enters, granted FROM pointsman.seen_access();".to_owned(),
        ],
        _ => return Vec::new(),
    };
    psql(dsn, &[], &statements)
}

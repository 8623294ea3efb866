//! The same by hand.

use postgres::by_hand::{claimed, held, psql};
use schemas::{Action, GroupId};

/// What must be true before a close is noted as ended: a person may give all lines at once, and a session takes its
/// time to end.
const NOTHING_LEFT: &str = " AND NOT EXISTS (SELECT FROM pointsman.seen_access() WHERE writable > 0 OR writing > 0 \
     OR prepared > 0 OR (mode <> 'group' AND (enters OR sessions > 0)));";

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
            "-- only where nothing is left, else it notes nothing:".to_owned(),
            held("close_ended(group_name, epoch, run)", group).trim_end_matches(';').to_owned()
                + NOTHING_LEFT,
            "-- closed: enters f (t where access is by a group), writable 0, sessions 0, prepared 0, ended t"
                .to_owned(),
            "SELECT role, enters, writable, sessions, prepared, ended FROM pointsman.seen_access(), \
             pointsman.access;"
                .to_owned(),
        ],
        Action::EnableAccess => vec![
            claimed(group),
            held("open_access(group_name, epoch, run, clock_timestamp() + interval '5 seconds')", group),
            "-- open: enters t, granted t in every line".to_owned(),
            "SELECT role, enters, granted FROM pointsman.seen_access();".to_owned(),
        ],
        Action::VerifyWrite => vec![
            "-- t: a row was written, and is durable".to_owned(),
            "SELECT pointsman.heartbeat();".to_owned(),
            "-- each writer is let in and may write: enters t, granted t, writable more than 0".to_owned(),
            "SELECT role, enters, granted, writable FROM pointsman.seen_access();".to_owned(),
        ],
        _ => return Vec::new(),
    };
    psql(dsn, &[], &statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_noted_as_ended_only_where_nothing_is_left() {
        let group = GroupId::new("cfg").unwrap_or_else(|e| panic!("{e}"));
        let all = lines("/p/own.dsn", &group, Action::DisableAccess);
        let noted = all.iter().find(|line| line.contains("close_ended(")).map_or("", String::as_str);
        assert!(noted.contains("WHERE group_name = 'cfg' AND NOT EXISTS (SELECT"), "{all:#?}");
        assert_eq!(noted.matches(';').count(), 1, "{noted}");
    }
}

//! Lines for a shell that do with `psql` what a driver does, for a night on which it must be done by hand.
//! The connection is taken from the driver's own file, so no secret is shown.

use schemas::GroupId;

/// `psql` on the database behind the file `dsn` (a word for a shell), with these variables and statements.
#[must_use]
pub fn psql(dsn: &str, variables: &[(&str, String)], statements: &[String]) -> Vec<String> {
    let set: String = variables.iter().map(|(name, value)| format!(" -v {name}=\"{value}\"")).collect();
    let mut lines = vec![format!("psql -X -v ON_ERROR_STOP=1{set} \"$(cat {dsn})\" <<'SQL'")];
    lines.extend(statements.iter().cloned());
    lines.push("SQL".to_owned());
    lines
}

/// A text in SQL, as people write it.
#[must_use]
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A statement that calls one of the installed functions by the claim that the database holds, which is what
/// every change of it compares.
#[must_use]
pub fn held(call: &str, group: &GroupId) -> String {
    let group = text(group.as_str());
    format!("SELECT pointsman.{call} FROM pointsman.epoch WHERE group_name = {group};")
}

/// Before the first statement that goes by it: a database that no run ever claimed gets a claim that any run's
/// is above. Without one such a statement would do nothing, and say nothing.
#[must_use]
pub fn claimed(group: &GroupId) -> String {
    let group = text(group.as_str());
    format!(
        "SELECT pointsman.raise_epoch({group}, 0, 'by hand') \
         WHERE NOT EXISTS (SELECT FROM pointsman.epoch WHERE group_name = {group});"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_go_by_the_claim_that_the_database_holds() {
        let group = GroupId::new("cfg").unwrap_or_else(|e| panic!("{e}"));
        let lines = psql("'/a b'", &[], &[held("close_access(group_name, epoch, run)", &group)]);
        assert_eq!(lines[0], "psql -X -v ON_ERROR_STOP=1 \"$(cat '/a b')\" <<'SQL'");
        assert_eq!(
            lines[1],
            "SELECT pointsman.close_access(group_name, epoch, run) FROM pointsman.epoch WHERE group_name = 'cfg';"
        );
    }
}

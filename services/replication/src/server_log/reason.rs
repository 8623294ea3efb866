//! What a server's log says of a subscription's last error, without what only its rows hold.
//!
//! An error is told in several lines: `ERROR`, then perhaps `DETAIL`, `HINT` and `CONTEXT`, each behind the server's
//! `log_line_prefix`. DETAIL has values of rows and is left out, and so is what stands in quotes in the message and is
//! no name of a thing.

use std::collections::BTreeSet;

/// Nobody reads more at night.
const CHARS_MAX: usize = 300;
/// What a line may say of itself.
const LEVELS: [&str; 13] = [
    "LOG",
    "ERROR",
    "FATAL",
    "PANIC",
    "WARNING",
    "NOTICE",
    "INFO",
    "DETAIL",
    "HINT",
    "QUERY",
    "CONTEXT",
    "LOCATION",
    "STATEMENT",
];
/// Those that go on with an error.
const PARTS: [&str; 6] = ["DETAIL", "HINT", "QUERY", "CONTEXT", "LOCATION", "STATEMENT"];
/// Words before a name in quotes.
const THINGS: [&str; 20] = [
    "constraint",
    "relation",
    "column",
    "columns",
    "table",
    "index",
    "slot",
    "subscription",
    "publication",
    "origin",
    "type",
    "domain",
    "schema",
    "function",
    "trigger",
    "role",
    "user",
    "database",
    "socket",
    "plugin",
];
/// How the server's own messages begin. Without a context nobody can tell whose words others are: a trigger's may hold anything
/// of the row.
const OWN: [&str; 26] = [
    "background worker \"",
    "canceling statement due to ",
    "connection to server ",
    "could not ",
    "data stream ",
    "date/time field value out of range",
    "deadlock detected",
    "duplicate key value ",
    "incorrect binary data format",
    "insert or update on table ",
    "invalid input ",
    "logical replication ",
    "new row for relation ",
    "null value in column ",
    "out of memory",
    "out of shared memory",
    "permission denied for ",
    "publication \"",
    "relation \"",
    "replication origin ",
    "replication slot ",
    "subscription \"",
    "terminating ",
    "there is no unique ",
    "update or delete on table ",
    "value too long ",
];

/// Why a worker of `subscription` ended last, with the table where it is told: one whose start by that name is in `log`,
/// or whose context names the subscription's number (`pg_subscription.oid`).
pub(crate) fn reason(log: &str, subscription: &str, number: Option<i64>) -> Option<String> {
    let name = format!("subscription \"{subscription}\"");
    let mut workers = BTreeSet::new();
    let mut found = None;
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next().map(split) {
        let Some(line) = line else { continue };
        match line.level {
            "LOG" if line.text.starts_with("logical replication ") && line.text.contains(&name) => {
                let Some(pid) = line.pid() else { continue };
                match line.text.trim_end().ends_with("has started") {
                    true => workers.insert(pid),
                    false => workers.remove(&pid),
                };
            }
            "ERROR" | "FATAL" => {
                let mut context = Vec::new();
                let mut in_context = false;
                while let Some(next) = lines.peek().copied() {
                    if let Some(more) = next.strip_prefix('\t') {
                        context.extend(in_context.then_some(more));
                    } else if let Some(part) = split(next).filter(|part| PARTS.contains(&part.level)) {
                        in_context = part.level == "CONTEXT";
                        context.extend(in_context.then_some(part.text));
                    } else {
                        break;
                    }
                    lines.next();
                }
                // It ends with its error, and the number of its process is free again.
                let started = line.pid().is_some_and(|pid| workers.remove(&pid));
                let ours = match origin(&context) {
                    Some(origin) => number.is_some_and(|number| is_of(origin, number)),
                    None => started,
                };
                if ours {
                    found = Some(words(line.text, &context));
                }
            }
            _ => {}
        }
    }
    found
}

struct Line<'a> {
    prefix: &'a str,
    level: &'a str,
    text: &'a str,
}

fn split(line: &str) -> Option<Line<'_>> {
    let level = |level: &'static str| {
        let (prefix, text) = line.split_once(&format!("{level}:  "))?;
        Some(Line { prefix, level, text })
    };
    LEVELS.into_iter().filter_map(level).min_by_key(|line| line.prefix.len())
}

impl Line<'_> {
    /// The process: the first whole number of the prefix that is no part of a time, as in `[4711]`.
    fn pid(&self) -> Option<u32> {
        let number = |word: &str| word.trim_matches(|c: char| c.is_ascii_punctuation()).parse().ok();
        self.prefix.split_whitespace().find_map(number)
    }
}

/// The replication origin that a context names.
fn origin<'a>(context: &[&'a str]) -> Option<&'a str> {
    context.iter().find_map(|line| quoted(line, "replication origin"))
}

/// `pg_OID` of the worker that applies, `pg_OID_TABLE` of one that copies a table.
fn is_of(origin: &str, number: i64) -> bool {
    let of = origin.strip_prefix("pg_").and_then(|rest| rest.split('_').next());
    of.is_some_and(|of| of == number.to_string())
}

/// What stands in quotes after a word.
fn quoted<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.split_once(&format!("{word} \""))?.1.split_once('"').map(|(name, _)| name)
}

fn words(message: &str, context: &[&str]) -> String {
    let mut text = match raised(context) {
        // Its words are the application's, and may hold anything of the row.
        Some(by) => format!("{by} raised an error"),
        None if message.contains("connection info string") => {
            "could not connect to the publisher: its connection string cannot be read".to_owned()
        }
        None if context.is_empty() && !OWN.iter().any(|own| message.starts_with(own)) => {
            "an error whose text is in the server's log".to_owned()
        }
        None => masked(message),
    };
    if let Some(at) = place(context) {
        text.push_str(&format!(" ({at})"));
    }
    let mut clean: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect();
    if clean.chars().count() < text.chars().count() {
        clean.push('…');
    }
    clean
}

/// The function whose own words an error's message is.
fn raised(context: &[&str]) -> Option<String> {
    let first = context.first()?.trim_end();
    if let Some(rest) = first.strip_prefix("PL/pgSQL function ") {
        let own = rest.ends_with("at RAISE") || rest.ends_with("at ASSERT");
        return own.then(|| format!("function {}", rest.split(" line ").next().unwrap_or_default()));
    }
    first.starts_with("PL/").then(|| "a function".to_owned())
}

/// Which row, as far as it is no secret: of which table, and where the log has it.
fn place(context: &[&str]) -> Option<String> {
    for line in context {
        if let Some(copied) = line.strip_prefix("COPY ") {
            let table = copied.split(',').next().unwrap_or_default();
            return Some(format!("COPY of {table}"));
        }
        if !line.contains("processing remote data") {
            continue;
        }
        let what = quoted(line, "message type").or_else(|| quoted(line, "during")).unwrap_or("a change");
        let mut place = what.to_owned();
        if let Some(table) = quoted(line, "target relation") {
            place.push_str(&format!(" on {table}"));
        }
        if let Some(column) = quoted(line, "column") {
            place.push_str(&format!(", column {column}"));
        }
        if let Some((_, end)) = line.split_once("finished at ") {
            place.push_str(&format!(", finished at {}", end.split_whitespace().next().unwrap_or_default()));
        }
        return Some(place);
    }
    None
}

/// Without what stands in quotes, but for names of things.
fn masked(message: &str) -> String {
    let mut told = String::new();
    let mut rest = message;
    let mut list = false;
    while let Some((before, after)) = rest.split_once('"') {
        told.push_str(before);
        let last = before.trim_end().rsplit(' ').next().unwrap_or_default();
        let of_list = list && matches!(before, ", " | " and ");
        list = of_list || before.ends_with("replicated column: ") || before.ends_with("replicated columns: ");
        let name = list || THINGS.contains(&last) || before.ends_with("server at ");
        match after.split_once('"').filter(|_| name) {
            Some((name, tail)) => {
                told.push_str(&format!("\"{name}\""));
                rest = tail;
            }
            None => {
                // A value may have quotes of its own.
                told.push_str("\"…\"");
                rest = after.rsplit_once('"').map_or("", |(_, tail)| tail);
            }
        }
    }
    told.push_str(rest);
    told
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{CHARS_MAX, masked, reason};

    /// As PostgreSQL 15 wrote it; the second session's lines are of somebody else.
    const LOG: &str = r#"2026-11-28 00:35:18.655 UTC [4347] LOG:  logical replication apply worker for subscription "fwd" has started
2026-11-28 00:35:18.664 UTC [4350] LOG:  logical replication table synchronization worker for subscription "fwd", table "t" has started
2026-11-28 00:35:18.689 UTC [4350] LOG:  logical replication table synchronization worker for subscription "fwd", table "t" has finished
2026-11-28 00:35:19.700 UTC [4350] app@config ERROR:  column "nothing" does not exist at character 8
2026-11-28 00:35:19.700 UTC [4350] app@config STATEMENT:  SELECT nothing
2026-11-28 00:35:19.723 UTC [4347] ERROR:  duplicate key value violates unique constraint "t_pkey"
2026-11-28 00:35:19.723 UTC [4347] DETAIL:  Key (id)=(4711) already exists.
2026-11-28 00:35:19.723 UTC [4347] CONTEXT:  processing remote data for replication origin "pg_16421" during message type "INSERT" for replication target relation "public.t" in transaction 737, finished at 0/1571068
2026-11-28 00:35:19.728 UTC [10315] LOG:  background worker "logical replication worker" (PID 4347) exited with exit code 1
2026-11-28 00:35:20.000 UTC [4400] LOG:  logical replication apply worker for subscription "fwd2" has started
2026-11-28 00:35:20.001 UTC [4400] ERROR:  could not start WAL streaming: ERROR:  replication slot "fwd2" does not exist
"#;

    fn last(lines: &str) -> String {
        reason(&format!("{LOG}{lines}"), "fwd", Some(16421)).unwrap()
    }

    #[test]
    fn the_last_error_of_this_subscription_is_told_without_its_row() {
        let told = "duplicate key value violates unique constraint \"t_pkey\" (INSERT on public.t, finished at 0/1571068)";
        assert_eq!(reason(LOG, "fwd", Some(16421)).unwrap(), told);
        let other = reason(LOG, "fwd2", Some(1)).unwrap();
        assert_eq!(other, "could not start WAL streaming: ERROR:  replication slot \"fwd2\" does not exist");
        assert_eq!(reason(LOG, "rev", Some(1)), None);
        // Known by its number alone: its start is not in what was read.
        let (_, end) = LOG.split_once("STATEMENT:  SELECT nothing\n").unwrap();
        assert_eq!(reason(end, "fwd", Some(16421)).unwrap(), told);
        assert_eq!(reason(end, "fwd", None), None);
    }

    #[test]
    fn each_log_line_prefix_does() {
        // '%m [%p] ', '%m [%p] %q%u@%d ', '%t [%p]: [%l-1] user=%u,db=%d ', '%p %m ', none but the process.
        for prefix in [
            "2026-11-28 00:35:18.655 UTC [4347] ",
            "2026-11-28 00:35:18.655 UTC [4347] postgres@config ",
            "2026-11-28 00:35:18 UTC [4347]: [3-1] user=,db= ",
            "4347 2026-11-28 00:35:18.655 UTC ",
            "4347:",
        ] {
            let log = format!(
                "{prefix}LOG:  logical replication apply worker for subscription \"fwd\" has started\n\
                 {prefix}ERROR:  could not receive data from WAL stream: server closed the connection unexpectedly\n\
                 \t\tThis probably means the server terminated abnormally\n"
            );
            let told = reason(&log, "fwd", None).unwrap_or_else(|| panic!("{prefix}"));
            let end = "could not receive data from WAL stream: server closed the connection unexpectedly";
            assert_eq!(told, end, "{prefix}");
        }
    }

    #[test]
    fn values_of_rows_are_left_out() {
        let at = "2026-11-28 00:35:21.853 UTC [4380] ";
        let context = format!(
            "{at}CONTEXT:  processing remote data for replication origin \"pg_16421\" during message type \"INSERT\" for \
             replication target relation \"public.t\" column \"v\" in transaction 738, finished at 0/1571160\n"
        );
        let told = last(&format!(
            "{at}ERROR:  invalid input syntax for type integer: \"secret \"value\"\n{context}"
        ));
        let wanted = "invalid input syntax for type integer: \"…\" (INSERT on public.t, column v, finished at 0/1571160)";
        assert_eq!(told, wanted);
        // A value with a line of its own.
        let told = last(&format!(
            "{at}ERROR:  invalid input syntax for type integer: \"secret\n\tvalue\"\n{context}"
        ));
        assert_eq!(told, wanted);
        // What a trigger says is the application's.
        let told = last(&format!(
            "{at}ERROR:  bad customer smith\n{at}CONTEXT:  PL/pgSQL function public.boom() line 1 at RAISE\n\
             \tprocessing remote data for replication origin \"pg_16421\" during message type \"INSERT\" for replication \
             target relation \"public.t\" in transaction 739, finished at 0/1571218\n"
        ));
        assert_eq!(
            told,
            "function public.boom() raised an error (INSERT on public.t, finished at 0/1571218)"
        );
        // Of a copy.
        let worker =
            "LOG:  logical replication table synchronization worker for subscription \"fwd\", table \"w\"";
        let told = last(&format!(
            "{at}{worker} has started\n{at}ERROR:  invalid input syntax for type integer: \"x\"\n\
             {at}CONTEXT:  COPY w, line 1, column v: \"secret\"\n"
        ));
        assert_eq!(told, "invalid input syntax for type integer: \"…\" (COPY of w)");
    }

    /// `log_error_verbosity = terse`: nothing tells a trigger's words from the server's.
    #[test]
    fn without_a_context_only_the_servers_own_words_are_told() {
        let at = "2026-11-28 00:35:21.853 UTC [4347] ";
        let start =
            format!("{at}LOG:  logical replication apply worker for subscription \"fwd\" has started\n");
        let nothing = "an error whose text is in the server's log";
        for (message, told) in [
            ("bad customer smith", nothing),
            ("smith: duplicate key value", nothing),
            (
                "duplicate key value violates unique constraint \"t_pkey\"",
                "duplicate key value violates unique constraint \"t_pkey\"",
            ),
            ("deadlock detected", "deadlock detected"),
            (
                "invalid input syntax for type integer: \"smith\"",
                "invalid input syntax for type integer: \"…\"",
            ),
        ] {
            assert_eq!(last(&format!("{start}{at}ERROR:  {message}\n")), told);
        }
    }

    #[test]
    fn names_of_things_stay() {
        for (message, told) in [
            (
                "logical replication target relation \"public.t\" is missing replicated columns: \"a\", \"b\"",
                "logical replication target relation \"public.t\" is missing replicated columns: \"a\", \"b\"",
            ),
            (
                "null value in column \"v\" of relation \"t\" violates not-null constraint",
                "null value in column \"v\" of relation \"t\" violates not-null constraint",
            ),
            ("value \"9\" is out of range for type integer", "value \"…\" is out of range for type integer"),
            ("invalid input value for enum type: \"secret\"", "invalid input value for enum type: \"…\""),
            ("syntax error at or near \"secret", "syntax error at or near \"…\""),
            (
                "connection to server at \"10.1.0.5\", port 5432 failed: FATAL:  password authentication failed for user \"replicator\"",
                "connection to server at \"10.1.0.5\", port 5432 failed: FATAL:  password authentication failed for user \"replicator\"",
            ),
        ] {
            assert_eq!(masked(message), told);
        }
        let at = "2026-11-28 00:35:21.853 UTC [4347] ";
        let start =
            format!("{at}LOG:  logical replication apply worker for subscription \"fwd\" has started\n");
        let told = last(&format!(
            "{start}{at}ERROR:  could not connect to the publisher: missing \"=\" after \"hunter2\" in connection info string\n"
        ));
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn it_is_short_and_does_nothing_to_a_terminal() {
        let at = "2026-11-28 00:35:21.853 UTC [4347] ";
        let start =
            format!("{at}LOG:  logical replication apply worker for subscription \"fwd\" has started\n");
        let told = last(&format!("{start}{at}ERROR:  could not \u{1b}[2J{}\n", "x".repeat(2000)));
        assert_eq!(told.chars().count(), CHARS_MAX + 1);
        assert!(!told.contains('\u{1b}'), "{told}");
    }

    /// Nothing in a log ends in a panic, wherever it is cut.
    #[test]
    fn a_log_that_is_cut_anywhere_is_read() {
        for (at, _) in LOG.char_indices() {
            let (head, tail) = LOG.split_at(at);
            drop((reason(head, "fwd", Some(16421)), reason(tail, "fwd", Some(16421))));
        }
    }
}

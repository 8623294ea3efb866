//! What a code means, and the words of `status` and `check`.

mod words;

use schemas::Code;
use serde_json::json;

use crate::args::Explain;
use crate::exit::{Exit, Usage};
use crate::output::Output;

/// Before the cause of a code: why it is said.
const WHY: &str = "Why:  ";
/// Before what a word, a mode or a line of `check` is about.
const WHAT: &str = "What: ";

/// A code with what is known of it.
struct Entry {
    code: &'static str,
    title: Option<&'static str>,
    label: &'static str,
    cause: &'static str,
    remedy: &'static str,
}

/// Every code of the program, sorted, each once: on the bus it has a title, in a file only a cause.
fn entries() -> Vec<Entry> {
    let of_bus = Code::ALL.iter().map(|code| Entry {
        code: code.as_str(),
        title: Some(code.title()),
        label: WHY,
        cause: code.cause(),
        remedy: code.remedy(),
    });
    let of_files = [document::CODES, config::CODES, engine::CODES].into_iter().flatten().map(|text| Entry {
        code: text.code,
        title: None,
        label: WHY,
        cause: text.cause,
        remedy: text.remedy,
    });
    // What a message of a database service shows in brackets.
    let of_servers = postgres::sqlstate::TEXTS.iter().map(|(code, cause, remedy)| Entry {
        code,
        title: None,
        label: WHY,
        cause,
        remedy,
    });
    let of_words = words::WORDS.iter().map(|(code, cause, remedy)| Entry {
        code,
        title: None,
        label: WHAT,
        cause,
        remedy,
    });
    let mut all: Vec<Entry> = of_bus.chain(of_files).chain(of_servers).chain(of_words).collect();
    all.sort_by_key(|entry| entry.code);
    all.dedup_by_key(|entry| entry.code);
    all
}

/// `explain`; 2 for a code that does not exist.
pub(crate) fn run(ask: &Explain, out: &Output) -> anyhow::Result<Exit> {
    let all = entries();
    let Some(code) = &ask.code else {
        let mut table = out.table();
        for entry in &all {
            table.add_row([entry.code, entry.title.unwrap_or(entry.cause)]);
        }
        out.line(table.trim_fmt());
        out.value(&all.iter().map(as_json).collect::<Vec<_>>());
        return Ok(Exit::Done);
    };
    // As it is printed: `PARTLY OPEN`, or a whole line's name, `main.database.config:closable`.
    let printed = code.rsplit(':').next().unwrap_or(code).trim().replace([' ', '_'], "-");
    let Some(entry) = find(&all, &printed) else {
        if is_sqlstate(code) {
            let what = "a SQLSTATE of PostgreSQL's own: its manual lists them in the appendix on error codes";
            return Err(Usage(format!("`{code}` is {what}")).into());
        }
        let codes: Vec<String> = near(&all, code).iter().map(|code| format!("`{code}`")).collect();
        return Err(Usage(format!("`{code}` is no code of ours; near it: {}", codes.join(", "))).into());
    };
    out.line(out.strong(entry.code));
    if let Some(title) = entry.title {
        out.line(title);
    }
    out.line(format!("\n{}{}\nDo:   {}", entry.label, entry.cause, entry.remedy));
    out.value(&as_json(entry));
    Ok(Exit::Done)
}

/// What is printed so; the lines `path-NAME`, one for each record, are one word.
fn find<'a>(all: &'a [Entry], printed: &str) -> Option<&'a Entry> {
    let named = |code: &str| all.iter().find(|entry| entry.code.eq_ignore_ascii_case(code));
    let of_record = printed.to_ascii_lowercase().starts_with("path-");
    named(printed).or_else(|| named("path").filter(|_| of_record))
}

/// Two digits or letters of a class, three of a condition.
fn is_sqlstate(code: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    code.len() == 5 && code.bytes().all(known) && code.bytes().any(|byte| byte.is_ascii_digit())
}

fn as_json(entry: &Entry) -> serde_json::Value {
    json!({ "code": entry.code, "title": entry.title, "cause": entry.cause, "remedy": entry.remedy })
}

/// Three codes that are typed nearly so; codes are short, what is typed is cut.
fn near(all: &[Entry], typed: &str) -> Vec<&'static str> {
    let typed: String = typed.chars().take(64).collect();
    let far = |code: &str| strsim::damerau_levenshtein(code, &typed);
    let mut codes: Vec<&'static str> = all.iter().map(|entry| entry.code).collect();
    codes.sort_by_cached_key(|code| (far(code), *code));
    codes.truncate(3);
    codes
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;

    use super::*;

    /// The name of each line of `check`, and of those that a planned move is refused for.
    const LINES: &str = "adopted answers armed autostart broken bus check check-script clock closable closed \
        credentials disk dormant doubts fence-path fresh hosts instances look open owed path \
        path-cs-primary peer points protected publication reachable repoint runner-bus runs schema \
        scripts seen setup setup-version slot stopped tables trigger ttl unit unpublished update \
        version wal-keep write";

    #[test]
    fn codes_are_there_once_and_say_what_to_do() {
        let all = entries();
        assert!(all.len() >= Code::ALL.len() + document::CODES.len());
        for entry in &all {
            let plain = entry.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            assert!(plain || is_sqlstate(entry.code), "{}", entry.code);
            assert!(entry.cause.ends_with('.') && !entry.remedy.is_empty(), "{}", entry.code);
        }
    }

    /// Each code that the functions raise in the database.
    #[test]
    fn what_the_database_raises_is_explained() {
        let all = entries();
        for sql in
            [include_str!("../postgres/sql/access.sql"), include_str!("../postgres/sql/replication.sql")]
        {
            for (at, _) in sql.match_indices("ERRCODE = '") {
                let code = &sql[at + 11..at + 16];
                assert!(all.iter().any(|entry| entry.code == code), "{code}");
            }
        }
    }

    #[test]
    fn words_say_what_they_are_and_codes_why() {
        let all = entries();
        let label = |code: &str| all.iter().find(|entry| entry.code == code).map(|entry| entry.label);
        for word in ["unpublished", "limited", "autostart"] {
            assert_eq!(label(word), Some(WHAT), "{word}");
        }
        assert_eq!(label(Code::StaleEpoch.as_str()), Some(WHY));
        assert_eq!(label("one-prober"), Some(WHY));
        let unpublished = all.iter().find(|entry| entry.code == "unpublished");
        assert!(unpublished.is_some_and(|entry| entry.remedy.contains("`local_tables`")));
    }

    #[test]
    fn each_line_of_check_is_explained() {
        let all = entries();
        for line in LINES.split(' ') {
            let found = find(&all, line);
            assert!(found.is_some_and(|entry| entry.label == WHAT), "{line}");
        }
        assert_eq!(find(&all, "path-cs-primary").unwrap().code, "path");
        assert!(find(&all, "pathological").is_none());
    }

    /// A new line of a service, or of the runner, has to be written into that list.
    #[test]
    fn the_list_of_the_lines_is_whole() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders = vec![root.join("services"), root.join("workflows")];
        let mut named = 0;
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() && !path.ends_with("tests") {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    named += lines_of(&path);
                }
            }
        }
        assert!(named > 50, "{named} lines");
    }

    /// How many lines a source names as such; each of them is in the list.
    fn lines_of(source: &Path) -> usize {
        let text = std::fs::read_to_string(source).unwrap();
        let mut named = 0;
        for after in text.split("CheckLine::").skip(1) {
            let made = ["green(", "amber(", "red("].into_iter().find_map(|level| after.strip_prefix(level));
            let word = made.and_then(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
            if let Some(word) = word {
                assert!(LINES.split(' ').any(|line| line == word), "{word} of {}", source.display());
                named += 1;
            }
        }
        named
    }

    #[test]
    fn a_misspelt_code_is_near_its_own() {
        let all = entries();
        for (typed, meant) in [("stale-epok", "stale-epoch"), ("unreachible", "unreachable")] {
            assert_eq!(near(&all, typed)[0], meant, "{typed}");
        }
        assert_eq!(near(&all, &"x".repeat(100_000)).len(), 3);
    }
}

//! The rules of this tree that no compiler checks.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Decide and do nothing else: no clock, no chance, no I/O.
const PURE: [&str; 5] =
    ["schemas", "services/service-core", "workflows/engine", "workflows/runner-core", "workflows/paper"];
/// A file longer than this has more than one idea.
const LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the tree that ends in one of `ends`, by its path from the root.
fn files(ends: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if path.is_symlink() || name == "target" || name == ".git" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if ends.iter().any(|end| name.ends_with(end)) {
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    assert!(!found.is_empty(), "no file ends in {ends:?}");
    found
}

/// Rust sources in the folder `under`, without tests.
fn sources(under: &str) -> BTreeMap<String, String> {
    let test = |name: &str| name.contains("/tests/") || name.ends_with("/tests.rs");
    let inside = format!("{under}/src/");
    files(&[".rs"]).into_iter().filter(|(name, _)| name.starts_with(&inside) && !test(name)).collect()
}

/// The code of a line, without its comment.
fn code(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line }
}

fn complain(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Folder of a crate to the names in one section of its Cargo.toml.
fn dependencies(section: &str) -> BTreeMap<String, BTreeSet<String>> {
    let crates = files(&["Cargo.toml"]);
    let names = |text: &str| -> BTreeSet<String> {
        let header = format!("[{section}]");
        let lines = text.lines().skip_while(|line| *line != header).skip(1);
        lines
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| Some(line.split(['.', ' ', '=']).next()?.to_owned()))
            .filter(|name| !name.is_empty() && !name.starts_with('#'))
            .collect()
    };
    crates
        .iter()
        .map(|(file, text)| {
            (file.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned(), names(text))
        })
        .collect()
}

/// The name of each crate of ours to its folder.
fn ours() -> BTreeMap<String, String> {
    let name = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("name = ")).unwrap();
        line.trim_start_matches("name = ").trim_matches('"').to_owned()
    };
    let folder = |file: &str| file.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned();
    files(&["Cargo.toml"]).iter().map(|(file, text)| (name(text), folder(file))).collect()
}

#[test]
fn services_and_workflows_meet_in_schemas_only() {
    let ours = ours();
    let mut broken = Vec::new();
    for (folder, names) in dependencies("dependencies") {
        let top = |folder: &str| folder.split('/').next().unwrap().to_owned();
        for other in names.iter().filter_map(|name| ours.get(name)) {
            let allowed = match (top(&folder).as_str(), top(other).as_str()) {
                ("" | "tests", _) | ("services" | "workflows", "schemas") => true,
                (one, two) => one == two,
            };
            if !allowed {
                broken.push(format!("{folder} depends on {other}"));
            }
        }
    }
    complain("services/ and workflows/ meet in schemas/; only the command and tests join them", &broken);
}

#[test]
fn who_decides_does_no_io() {
    let mut broken = Vec::new();
    let dependencies = dependencies("dependencies");
    for folder in PURE {
        for name in ["tokio", "tokio-util", "async-nats", "futures-util", "sled", "rand", "rustix", "tracing"]
        {
            if dependencies[folder].contains(name) {
                broken.push(format!("{folder} depends on {name}"));
            }
        }
        for (file, text) in sources(folder) {
            for (number, line) in text.lines().enumerate() {
                let line = code(line).replace("std::time::Duration", "");
                for word in [
                    "HashMap",
                    "HashSet",
                    "std::time::",
                    "Instant::",
                    "SystemTime",
                    "Utc::now",
                    "Local::now",
                    "now_v7",
                    "new_v4",
                    "std::fs",
                    "std::env::",
                    "std::thread",
                    "std::process",
                    "async ",
                ] {
                    if line.contains(word) {
                        broken.push(format!("{file}:{}: {word}", number + 1));
                    }
                }
            }
        }
        let bans =
            |folder: &str| fs::read_to_string(root().join(folder).join("clippy.toml")).unwrap_or_default();
        if bans(folder) != bans(PURE[0]) || !bans(folder).contains("HashMap") {
            broken.push(format!("{folder}/clippy.toml differs from {}/clippy.toml", PURE[0]));
        }
    }
    complain("the crates that decide have no clock, no chance and no I/O", &broken);
}

#[test]
fn only_the_journal_names_sled() {
    let mut broken = Vec::new();
    for (folder, names) in dependencies("dependencies").into_iter().chain(dependencies("dev-dependencies")) {
        if names.contains("sled") && folder != "workflows/journal" {
            broken.push(format!("{folder}/Cargo.toml"));
        }
    }
    for (file, text) in files(&[".rs"]) {
        let inside = file.starts_with("workflows/journal/") || file == "tests/tidy.rs";
        if !inside && text.lines().any(|line| code(line).contains("sled::")) {
            broken.push(file);
        }
    }
    complain("only workflows/journal names sled", &broken);
}

/// Stand-ins in tests/ play other programs, which know no types of ours.
#[test]
fn only_one_file_spells_subjects() {
    let mut broken = Vec::new();
    for (file, text) in files(&[".rs"]) {
        if file == "schemas/src/subject.rs" || file.starts_with("tests/") || file.contains("/tests/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let parts = [".event.in", ".event.out", ".runner.op", ".runner.svc", ".svc.confirm", ".svc.beat"];
            if parts.iter().any(|part| code(line).contains(part)) {
                broken.push(format!("{file}:{}", number + 1));
            }
        }
    }
    complain("only schemas/src/subject.rs spells subjects", &broken);
}

#[test]
fn files_are_short() {
    let long = |(file, text): (String, String)| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{file}: {lines} lines"))
    };
    let broken: Vec<String> = files(&[".rs"]).into_iter().filter_map(long).collect();
    complain("a source file has at most 600 lines", &broken);
}

#[test]
fn tests_are_never_ignored() {
    let ignored = concat!("#[", "ignore");
    let bad = files(&[".rs"]).into_iter().filter(|(_, text)| text.contains(ignored));
    let broken: Vec<String> = bad.map(|(file, _)| file).collect();
    complain("a test that needs a server has it installed", &broken);
}

#[test]
fn members_are_all_and_each_says_what_it_is() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let list = text.lines().skip_while(|line| *line != "members = [").skip(1).take_while(|line| *line != "]");
    let mut members = BTreeSet::from([String::new()]);
    let mut broken = Vec::new();
    for line in list {
        let member = line.trim().trim_start_matches('"').split('"').next().unwrap();
        members.insert(member.to_owned());
        if !line.contains(" # ") {
            broken.push(format!("{member} has no comment in Cargo.toml"));
        }
    }
    let crates = files(&["Cargo.toml"]);
    for (file, text) in &crates {
        if !text.contains("[lints]\nworkspace = true") {
            broken.push(format!("{file} does not take the workspace's lints"));
        }
    }
    complain("the list of members is the table of contents", &broken);
    assert_eq!(members, ours().into_values().collect());
}

/// The words of other trades for what has a name here. A stand-in keeps the name of what it stands for.
#[test]
fn words() {
    let own = |word: &str| word.split('_').collect::<String>();
    let banned = [own("sla_ve"), own("play_book"), own("orches_trat"), own("task_ queue"), own("job_ queue")];
    let master = own("mas_ter");
    let mut broken = Vec::new();
    for (file, text) in files(&[".rs", ".md", ".yaml", ".toml", ".sh", ".sql"]) {
        for (number, line) in text.lines().enumerate() {
            // PostgreSQL's own name.
            let line = line.to_lowercase().replace("pg_postmaster_start_time", "");
            // The model system's own parts: the master configuration server, its pair, its sessions.
            let theirs = file.starts_with("tests/") || file.contains("/tests/") || file.ends_with(".md");
            let parts = ["-scs", " configuration server", " server", " control server", " session", " pair"];
            let named = theirs || parts.iter().any(|part| line.contains(&format!("{master}{part}")));
            let bad = banned.iter().find(|word| line.contains(word.as_str()));
            let bad = bad.or((line.contains(&master) && !named).then_some(&master));
            if let Some(word) = bad {
                broken.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    complain("the table of words in ARCHITECTURE.md says what to write", &broken);
}

/// Every path in backticks, and every link, of the documents leads somewhere.
#[test]
fn documents_name_what_exists() {
    let mut broken = Vec::new();
    let tops: Vec<String> =
        fs::read_dir(root()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    for (file, text) in files(&[".md"]) {
        let folder = root().join(&file).parent().unwrap().to_path_buf();
        let quoted = text.split('`').skip(1).step_by(2).filter(|_| file == "ARCHITECTURE.md");
        for path in quoted.filter(|text| !text.contains([' ', '<', '\n', '(', '{'])) {
            let head = path.split('/').next().unwrap();
            let is_path = path.contains('/') && tops.iter().any(|top| top == head)
                || [".rs", ".md", ".toml", ".yaml", ".yml", "Makefile"].iter().any(|end| path.ends_with(end));
            if is_path && !exists(root(), path) {
                broken.push(format!("{file} names {path}"));
            }
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !path.is_empty()
                && !path.contains("://")
                && !path.starts_with("mailto:")
                && !exists(&folder, path)
            {
                broken.push(format!("{file} links to {link}"));
            }
        }
    }
    complain("documents name what exists", &broken);
}

/// Whether `path` is there; a `*` in its last part stands for anything.
fn exists(from: &Path, path: &str) -> bool {
    let path: PathBuf = from.join(path);
    let last = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((head, tail)) = last.split_once('*') else { return path.exists() };
    let entries = fs::read_dir(path.parent().unwrap()).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.into_iter().any(|name| name.starts_with(head) && name.ends_with(tail))
}

#[test]
fn the_usual_documents_are_there() {
    for file in ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"] {
        assert!(root().join(file).is_file(), "{file} is missing");
    }
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let folders = ours().into_values().filter(|folder| !folder.is_empty());
    let broken: Vec<String> =
        folders.filter(|folder| !architecture.contains(&format!("`{folder}"))).collect();
    complain("ARCHITECTURE.md has a word for each crate", &broken);
}

/// A machine's own paths say nothing to others.
#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let words = [concat!("/wo", "rk/"), concat!("/ho", "me/")];
    let mut broken = Vec::new();
    for (file, text) in files(&[".rs", ".md", ".yaml", ".toml", ".sh", ".sql", ".json", "Makefile"]) {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                broken.push(format!("{file}:{}", number + 1));
            }
        }
    }
    complain("no path of one machine", &broken);
}

/// A document that names a test, as `file::test`, names one that there is.
#[test]
fn named_tests_exist() {
    let tests = files(&[".rs"]);
    let mut broken = Vec::new();
    let mut named = 0;
    for (document, text) in files(&[".md"]) {
        for word in
            text.split('`').filter(|word| word.contains(".rs::") && !word.contains(char::is_whitespace))
        {
            let (file, test) = word.split_once("::").unwrap();
            named += 1;
            if !tests.get(file).is_some_and(|text| text.contains(&format!("fn {test}("))) {
                broken.push(format!("{document}: {word}"));
            }
        }
    }
    complain("a test that a document names exists", &broken);
    assert!(named > 0, "no document names a test");
}

//! What of the files on disk the running parts do not have yet, and taking it.

use std::collections::BTreeMap;
use std::path::Path;

use config::Host;
use schemas::op::{GroupFile, Op, OpReply, Reloaded};
use schemas::{Digest, GroupId};
use serde::Serialize;
use serde_json::Value;

use crate::bus::{Bus, strange};
use crate::exit::Exit;
use crate::output::Output;
use crate::running::{self, flatten};

/// What differs; empty: nothing.
#[derive(Debug, Default, Serialize)]
struct Differences {
    /// Of this host's file: by part, the keys.
    host: BTreeMap<String, Vec<String>>,
    /// Of the groups' files: by group, a sentence each.
    groups: BTreeMap<GroupId, Vec<String>>,
}

/// `config diff`; 8 when something differs.
pub(crate) async fn diff(path: &Path, out: &Output) -> anyhow::Result<Exit> {
    let host = config::load_host(path)?;
    let mut found = Differences { host: of_host(&host), ..Differences::default() };
    if let Some(runner) = &host.runner {
        let disk = config::load_groups(&runner.groups)?;
        let bus = Bus::connect(&host.bus).await?;
        found.groups = of_groups(&disk, &bus).await?;
    }
    tell_host(&host, &found.host, out);
    for (group, lines) in &found.groups {
        for line in lines {
            out.line(format!("group {group}: {line}"));
        }
    }
    out.value(&found);
    if found.host.is_empty() && found.groups.is_empty() {
        let parts: Vec<String> = running::parts(&host).into_iter().map(|part| part.part).collect();
        let parts = if parts.is_empty() { "no part of this host runs".to_owned() } else { parts.join(", ") };
        out.line(format!("Nothing differs from what runs: {parts}."));
        return Ok(Exit::Done);
    }
    Ok(Exit::NotNormal)
}

/// `config reload`: the runner takes changed groups' files; 8 when something needs a new start.
pub(crate) async fn reload(why: &str, path: &Path, out: &Output) -> anyhow::Result<Exit> {
    let host = config::load_host(path)?;
    let bus = Bus::connect(&host.bus).await?;
    out.line(bus.heading());
    let reply = bus.change(Op::Reload {}, why, None).await?;
    let OpReply::Reloaded(told) = &reply else { return Err(strange(&reply)) };
    let left = of_host(&host);
    print(told, out);
    tell_host(&host, &left, out);
    out.value(&serde_json::json!({ "reloaded": told, "host": left }));
    Ok(if told.restart.is_empty() && left.is_empty() { Exit::Done } else { Exit::NotNormal })
}

fn print(told: &Reloaded, out: &Output) {
    let names = |groups: &[GroupId]| groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if told.taken.is_empty() && told.later.is_empty() && told.restart.is_empty() {
        out.line("No group's file has changed.");
    }
    if !told.taken.is_empty() {
        out.line(format!("taken: {}", names(&told.taken)));
    }
    if !told.later.is_empty() {
        out.line(format!("taken when the run that is under way has ended: {}", names(&told.later)));
    }
    for line in &told.restart {
        out.line(format!("{} {line}", out.warn("needs a new start of `pointsman runner`:")));
    }
}

fn of_host(host: &Host) -> BTreeMap<String, Vec<String>> {
    let parts = running::parts(host).into_iter();
    parts.map(|part| (part.part.clone(), part.differs(host))).filter(|(_, keys)| !keys.is_empty()).collect()
}

fn tell_host(host: &Host, found: &BTreeMap<String, Vec<String>>, out: &Output) {
    let path = host.document().path();
    for (part, keys) in found {
        for key in keys {
            let warn = out.warn(&format!("needs a new start of `pointsman {part}`:"));
            out.line(format!("{path}: {warn} {key}"));
        }
    }
}

async fn files(group: Option<GroupId>, bus: &Bus) -> anyhow::Result<Vec<GroupFile>> {
    match bus.look(Op::Files { group }).await? {
        OpReply::Files(files) => Ok(files),
        other => Err(strange(&other)),
    }
}

async fn of_groups(disk: &[config::Group], bus: &Bus) -> anyhow::Result<BTreeMap<GroupId, Vec<String>>> {
    let mut found = BTreeMap::new();
    let running = files(None, bus).await?;
    for file in running.iter().filter(|file| !disk.iter().any(|group| group.name == file.group)) {
        found.insert(file.group.clone(), vec!["its file is gone; the runner still has it".to_owned()]);
    }
    for group in disk {
        let value = group.to_workflow_input();
        let digest = Digest::of(value.to_string().as_bytes());
        let Some(file) = running.iter().find(|file| file.group == group.name) else {
            let line = format!("{} is new; the runner does not have it yet", group.path);
            found.insert(group.name.clone(), vec![line]);
            continue;
        };
        if file.digest == digest {
            continue;
        }
        let mut lines = Vec::new();
        if file.next == Some(digest) {
            lines.push("it is taken when the run that is under way has ended".to_owned());
        }
        let whole = files(Some(group.name.clone()), bus).await?;
        let then = whole.first().map_or(&Value::Null, |file| &file.file);
        lines.extend(between(then, &value));
        found.insert(group.name.clone(), lines);
    }
    Ok(found)
}

/// Each key that differs: what runs, what is on disk.
fn between(then: &Value, now: &Value) -> Vec<String> {
    let map = |value: &Value| {
        let mut all = BTreeMap::new();
        flatten(String::new(), value, &mut |pointer, value| drop(all.insert(pointer, value.clone())));
        all
    };
    let (then, now) = (map(then), map(now));
    let word = |value: Option<&Value>| value.map_or("nothing".to_owned(), ToString::to_string);
    let mut keys: Vec<&String> =
        then.keys().chain(now.keys().filter(|key| !then.contains_key(*key))).collect();
    keys.sort();
    keys.into_iter()
        .filter(|key| then.get(*key) != now.get(*key))
        .map(|key| format!("{key}: {} runs, {} on disk", word(then.get(key)), word(now.get(key))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::between;
    use serde_json::json;

    #[test]
    fn differences_are_named_by_key() {
        let then = json!({ "drain": { "within": "PT5M" }, "live_only": ["a", "b"], "order": 1 });
        let now = json!({ "drain": { "within": "PT10M" }, "live_only": ["a"], "order": 1, "a/b": true });
        assert_eq!(
            between(&then, &now),
            [
                "/a~1b: nothing runs, true on disk",
                "/drain/within: \"PT5M\" runs, \"PT10M\" on disk",
                "/live_only/1: \"b\" runs, nothing on disk",
            ]
        );
        assert!(between(&now, &now).is_empty());
    }
}

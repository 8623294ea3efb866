//! The files that hold secrets: whom they can be read by.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use config::Host;
use serde_json::Value;

/// A warning for each secret of a host's file that everybody on the host can read.
pub(crate) fn readable(host: &Host) -> Vec<String> {
    files(host).iter().filter_map(|file| warning(file)).collect()
}

/// A warning for each that is not there, or is no file.
pub(crate) fn missing(host: &Host) -> Vec<String> {
    let path = host.document().path();
    let mut all = files(host);
    // No secrets, but nothing reaches the bus without them.
    all.extend(host.bus.tls.iter().flat_map(|tls| tls.ca.iter().chain(&tls.cert)).cloned());
    let gone = all.into_iter().filter(|file| !file.is_file());
    gone.map(|file| format!("{path}: {} is not there, or cannot be looked at by this user", file.display()))
        .collect()
}

fn files(host: &Host) -> BTreeSet<PathBuf> {
    let mut written = BTreeSet::new();
    named(host.document().value(), &mut written);
    let mut files: BTreeSet<PathBuf> = written.iter().map(|file| host.resolve(file)).collect();
    // Those of the bus are resolved already.
    let bus = &host.bus;
    let tls = bus.tls.as_ref().and_then(|tls| tls.key.as_ref());
    files.extend(bus.creds.iter().chain(&bus.nkey).chain(tls).cloned());
    files
}

/// Every `file:PATH` of the document: that is how a secret is named.
fn named(value: &Value, files: &mut BTreeSet<PathBuf>) {
    match value {
        Value::String(text) => files.extend(text.strip_prefix("file:").map(PathBuf::from)),
        Value::Array(items) => items.iter().for_each(|item| named(item, files)),
        Value::Object(members) => members.values().for_each(|member| named(member, files)),
        _ => {}
    }
}

/// None where it is closed to others, or cannot be looked at: whoever needs it says so.
fn warning(file: &Path) -> Option<String> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    let open = mode & 0o007 != 0;
    open.then(|| {
        let path = file.display();
        format!("{path} holds a secret and its mode is {mode:03o}: chmod 640 {path}, or 600")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_everybody_can_read_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str, mode| {
            let path = folder.path().join(name);
            std::fs::write(&path, "x").expect(name);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect(name);
            path
        };
        assert!(warning(&at("open", 0o644)).is_some_and(|text| text.contains("mode is 644")));
        assert_eq!(warning(&at("group", 0o640)), None);
        assert_eq!(warning(&at("own", 0o600)), None);
        assert_eq!(warning(&folder.path().join("missing")), None);
        let mut files = BTreeSet::new();
        named(
            &serde_json::json!({ "a": ["file:one"], "b": { "dsn": "file:two", "name": "three" } }),
            &mut files,
        );
        assert_eq!(files, BTreeSet::from(["one".into(), "two".into()]));
    }
}

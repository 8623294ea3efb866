//! Whether Debian starts a cluster by itself (postgresql-common: pg_createcluster(1), `start.conf`).
//!
//! Where the service starts the server closed (`boot: closed`), nothing else may start it. Other ways to start a server
//! at a boot than Debian's are not seen.

use std::path::{Path, PathBuf};

use responder::bounded;
use schemas::CheckLine;

/// Where the configuration of a Debian host stands.
pub(super) const ETC: &str = "/etc";

/// How the cluster whose data stand in `data` is started; nothing where it is none of Debian's.
pub(super) fn autostart(etc: &Path, data: &Path) -> Option<CheckLine> {
    let versions = bounded::listed(&etc.join("postgresql"));
    let mut clusters = versions.iter().flat_map(|version| bounded::listed(version));
    let cluster = clusters.find(|cluster| data_of(cluster).is_some_and(|own| same(&own, data)))?;
    let file = cluster.join("start.conf");
    let (place, mode) = match first_word(&file) {
        Some((line, word)) => (format!("line {line} of {}", file.display()), word),
        None => (format!("{}, which says nothing,", file.display()), "auto".to_owned()),
    };
    if mode == "auto" {
        let text = format!("by {place} a boot starts the server with its writers let in");
        let remedy = format!("write `manual` into {}: its service starts it closed", file.display());
        return Some(CheckLine::red("autostart", text, remedy));
    }
    let unit = unit(&cluster)?;
    let wanted = etc.join("systemd/system/multi-user.target.wants").join(&unit);
    Some(match wanted.symlink_metadata() {
        Ok(_) => CheckLine::red(
            "autostart",
            format!("{unit} is enabled: a boot starts the server with its writers let in"),
            format!("systemctl disable {unit}: its service starts it closed"),
        ),
        Err(_) => CheckLine::green("autostart", format!("{place} says {mode}")),
    })
}

/// `postgresql@15-main.service`, by the folders of its configuration.
fn unit(cluster: &Path) -> Option<String> {
    let name = cluster.file_name()?.to_str()?;
    let version = cluster.parent()?.file_name()?.to_str()?;
    Some(format!("postgresql@{version}-{name}.service"))
}

/// The last `data_directory` of a cluster's configuration.
fn data_of(cluster: &Path) -> Option<PathBuf> {
    let text = bounded::text(&cluster.join("postgresql.conf"))?;
    let value = |line: &str| {
        let rest = line.trim_start().strip_prefix("data_directory")?.trim_start();
        let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
        let value = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next()?,
            None => rest.split(|c: char| c.is_whitespace() || c == '#').next()?,
        };
        Some(PathBuf::from(value))
    };
    text.lines().rev().find_map(value)
}

/// The first line of `start.conf` that says something, and what.
fn first_word(file: &Path) -> Option<(usize, String)> {
    let text = bounded::text(file)?;
    let word = |line: &str| Some(line.split('#').next()?.split_whitespace().next()?.to_owned());
    (1..).zip(text.lines()).find_map(|(number, line)| Some((number, word(line)?)))
}

fn same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole(one) == whole(other)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use schemas::{CheckLine, Level};

    use super::autostart;

    fn put(etc: &Path, name: &str, text: &str) {
        let file = etc.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    fn level(line: Option<&CheckLine>) -> Option<Level> {
        line.map(|line| line.level)
    }

    #[test]
    fn a_cluster_that_a_boot_starts_is_told_with_file_and_line() {
        let etc = tempfile::tempdir().unwrap();
        let data = Path::new("/nowhere/15/main");
        let look = || autostart(etc.path(), data);
        assert_eq!(look(), None, "it is none of Debian's");
        put(etc.path(), "postgresql/15/other/postgresql.conf", "data_directory = '/nowhere/15/other'\n");
        put(etc.path(), "postgresql/15/other/start.conf", "auto\n");
        let own =
            "#data_directory = '/x'\ndata_directory = '/nowhere/15/main'\t# use data in another directory\n";
        put(etc.path(), "postgresql/15/main/postgresql.conf", own);

        let unsaid = look().unwrap();
        assert_eq!(unsaid.level, Level::Red, "{unsaid:?}");
        put(etc.path(), "postgresql/15/main/start.conf", "# Automatic startup\n#\n\nauto\n");
        let told = look().unwrap();
        assert_eq!((told.what.as_str(), told.level), ("autostart", Level::Red));
        assert!(told.text.contains("line 4 of ") && told.text.contains("15/main/start.conf"), "{told:?}");
        assert!(told.remedy.unwrap().contains("`manual`"));

        put(etc.path(), "postgresql/15/main/start.conf", "manual\n");
        assert_eq!(level(look().as_ref()), Some(Level::Green));
        put(etc.path(), "systemd/system/multi-user.target.wants/postgresql@15-main.service", "");
        let enabled = look().unwrap();
        assert_eq!(enabled.level, Level::Red);
        assert!(enabled.remedy.unwrap().starts_with("systemctl disable postgresql@15-main.service"));
    }
}

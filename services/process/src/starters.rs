//! Who else starts a service on this host: what a boot or cron runs, read where Debian keeps it.
//!
//! Seen, without root: units of systemd that are enabled under `/etc` and run the script, themselves or by a timer, the scripts
//! of a boot (`rc?.d`, `rc.local`), the tables of cron and the scripts of `cron.daily` and the like. Not seen: the controllers of
//! other products, crontabs of users (root's to read), units of users, what a unit's drop-ins add, `at`, `anacrontab`, files that
//! this user cannot read, and a script that is run by another script.
//! A line is told by its place only: what stands in it may hold a secret.

mod command;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use responder::bounded::{self, listed};
use schemas::CheckLine;

use command::Starts;

/// Where Debian keeps them.
pub(crate) const ETC: &str = "/etc";

/// So many are named.
const NAMED_MAX: usize = 8;

/// The levels in which a Debian host comes up.
const LEVELS: [&str; 5] = ["rcS.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d"];

/// Whose executable scripts cron runs (run-parts(8)).
const PERIODS: [&str; 4] = ["cron.hourly", "cron.daily", "cron.weekly", "cron.monthly"];

/// What nobody else may start.
#[derive(Debug, Clone)]
pub(crate) enum Ours {
    /// A script, by its path.
    Script(PathBuf),
    /// A unit of systemd.
    Unit {
        /// Its whole name.
        name: String,
        /// systemd makes it from a script in `init.d`: whether a boot starts it is said by `rc?.d`.
        generated: bool,
    },
}

/// A line for each that was found, red ones first; none where nothing was. It is amber where nobody can tell what becomes of
/// the name that stands there. Beside everything else: a disk may be slow.
pub(crate) async fn look(etc: PathBuf, ours: Ours) -> Vec<CheckLine> {
    tokio::task::spawn_blocking(move || seen(&etc, &ours)).await.unwrap_or_default()
}

fn seen(etc: &Path, ours: &Ours) -> Vec<CheckLine> {
    let mut found = boot_scripts(etc, ours);
    let local = etc.join("rc.local");
    if executable(&local) {
        found.extend(starting(&local, command::script, ours).map(|found| written(&local, found, "a boot")));
    }
    let tables = listed(&etc.join("cron.d")).into_iter().filter(|table| is_plain(table));
    for table in std::iter::once(etc.join("crontab")).chain(tables) {
        found.extend(starting(&table, command::cron, ours).map(|found| written(&table, found, "cron")));
    }
    found.extend(periodic(etc, ours));
    found.extend(units(etc, ours));
    found.sort_by_key(|line| std::cmp::Reverse(line.level));
    found.truncate(NAMED_MAX);
    found
}

fn red(text: String, remedy: String) -> CheckLine {
    CheckLine::red("autostart", format!("{text}, whichever site is live"), remedy)
}

/// It is named there, and whether that starts it cannot be told.
fn amber(who: &str, place: &str) -> CheckLine {
    let text = format!("{place} names it: nobody can tell whether {who} starts it, whichever site is live");
    CheckLine::amber("autostart", text, format!("look at {place}; where it starts it, take that out"))
}

fn written(file: &Path, (line, starts): (usize, Starts), who: &str) -> CheckLine {
    let file = file.display();
    match starts {
        Starts::Yes => red(
            format!("{who} starts it by line {line} of {file}"),
            format!("take line {line} out of {file}"),
        ),
        _ => amber(who, &format!("line {line} of {file}")),
    }
}

/// Links `S??NAME` (update-rc.d(8)): the script itself, or one that runs it.
fn boot_scripts(etc: &Path, ours: &Ours) -> Vec<CheckLine> {
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for link in LEVELS.iter().flat_map(|level| listed(&etc.join(level))) {
        let Some(name) = sysv_name(&link) else { continue };
        let whole = Some((link.display().to_string(), Starts::Yes));
        let place = match ours {
            Ours::Unit { name: unit, generated } => {
                whole.filter(|_| *generated && *unit == format!("{name}.service"))
            }
            Ours::Script(script) if same(script, &link) => whole,
            Ours::Script(_) => worst(starting(&link, command::script, ours))
                .map(|(line, starts)| (format!("line {line} of {}", link.display()), starts)),
        };
        if let Some((place, starts)) = place
            && told.insert(name.clone())
        {
            found.push(match starts {
                Starts::Yes => {
                    red(format!("a boot starts it by {place}"), format!("update-rc.d {name} disable"))
                }
                _ => amber("a boot", &place),
            });
        }
    }
    found
}

/// Scripts that cron runs by their folder: the script itself, or one that runs it.
fn periodic(etc: &Path, ours: &Ours) -> Vec<CheckLine> {
    let files = PERIODS.iter().flat_map(|period| listed(&etc.join(period)));
    let told = |file: PathBuf| match ours {
        Ours::Script(script) if same(script, &file) => {
            let file = file.display();
            Some(red(format!("cron starts it by {file}"), format!("take {file} away")))
        }
        _ => worst(starting(&file, command::script, ours)).map(|found| written(&file, found, "cron")),
    };
    files.filter(|file| is_plain(file) && executable(file)).filter_map(told).collect()
}

/// Units that a target wants and that run the script, or start the unit; of a timer that of its service.
fn units(etc: &Path, ours: &Ours) -> Vec<CheckLine> {
    let wants = |folder: &PathBuf| folder.extension().is_some_and(|end| end == "wants" || end == "requires");
    let folders = listed(&etc.join("systemd/system")).into_iter().filter(wants);
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for file in folders.flat_map(|folder| listed(&folder)) {
        let Some(name) = file.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        let timed = file.extension().is_some_and(|end| end == "timer");
        // What the host itself says of a unit goes before what its package says; masked, it is started by nobody.
        let beside = file.canonicalize().ok().and_then(|real| Some(real.parent()?.to_path_buf()));
        let own = etc.join("systemd/system").join(&name);
        let file = if own.symlink_metadata().is_ok() { own } else { file };
        let place = match timed {
            true => timer(etc, &file, beside, &name, ours),
            false => worst(starting(&file, command::unit, ours))
                .map(|(line, starts)| (format!("line {line} of {}", file.display()), starts)),
        };
        if let Some((place, starts)) = place
            && told.insert(name.clone())
        {
            found.push(match starts {
                Starts::Yes if timed => {
                    let text = format!("a timer of systemd starts it by {place}");
                    red(text, format!("systemctl disable --now {name}"))
                }
                Starts::Yes => {
                    let text = format!("systemd starts it at a boot by {place}");
                    red(text, format!("systemctl disable {name}"))
                }
                _ => amber("systemd", &place),
            });
        }
    }
    found
}

/// Where a timer starts it (systemd.timer(5)): it runs the service that `Unit=` says, else that of its own name, which lies
/// under `/etc` or beside the timer.
fn timer(
    etc: &Path,
    file: &Path,
    beside: Option<PathBuf>,
    name: &str,
    ours: &Ours,
) -> Option<(String, Starts)> {
    let text = bounded::text(file)?;
    let said = text.lines().filter_map(|line| line.trim().split_once('='));
    let said =
        said.filter(|(key, _)| key.trim_end() == "Unit").map(|(_, unit)| unit.trim().to_owned()).next_back();
    let service = said.unwrap_or_else(|| format!("{}.service", name.trim_end_matches(".timer")));
    if matches!(ours, Ours::Unit { name, .. } if *name == service) {
        return Some((file.display().to_string(), Starts::Yes));
    }
    // A name, not a path; an instance runs its template's file.
    let service = Path::new(&service).file_name()?.to_str()?;
    let template = service.split_once('@').map(|(stem, _)| format!("{stem}@.service"));
    let folders: Vec<PathBuf> = std::iter::once(etc.join("systemd/system")).chain(beside).collect();
    let names = [Some(service.to_owned()), template];
    let mut files =
        names.iter().flatten().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let service = files.find(|file| file.exists())?;
    worst(starting(&service, command::unit, ours))
        .map(|(line, starts)| (format!("line {line} of {} ({name})", service.display()), starts))
}

/// The lines of a file that start it or may do so, with their numbers; none where it cannot be read.
fn starting(
    file: &Path,
    told: fn(&str, &Ours) -> Starts,
    ours: &Ours,
) -> impl Iterator<Item = (usize, Starts)> {
    let text = bounded::text(file).unwrap_or_default();
    let lines: Vec<_> = (1..).zip(text.lines().map(|line| told(line, ours))).collect();
    lines.into_iter().filter(|(_, starts)| *starts != Starts::No)
}

/// The first of those that are told with most certainty.
fn worst(lines: impl Iterator<Item = (usize, Starts)>) -> Option<(usize, Starts)> {
    lines.min_by_key(|(line, starts)| (std::cmp::Reverse(*starts), *line))
}

/// cron passes over every other name, such as `x.disabled` (cron(8)).
fn is_plain(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn sysv_name(link: &Path) -> Option<String> {
    let name = link.file_name()?.to_str()?.strip_prefix('S')?;
    let (order, name) = name.split_at_checked(2)?;
    (order.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty()).then(|| name.to_owned())
}

fn same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(one).is_some_and(|one| Some(one) == whole(other))
}

fn executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use schemas::{CheckLine, Level};

    use super::{Ours, seen};

    fn put(etc: &Path, name: &str, text: &str) {
        let file = etc.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn link(etc: &Path, name: &str, to: &str) {
        let file = etc.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        symlink(etc.join(to), file).unwrap();
    }

    fn unit(generated: bool) -> Ours {
        Ours::Unit { name: "cs.service".into(), generated }
    }

    fn one(lines: &[CheckLine]) -> &CheckLine {
        let [line] = lines else { panic!("{lines:?}") };
        assert_eq!((line.what.as_str(), line.level), ("autostart", Level::Red));
        line
    }

    #[test]
    fn whatever_starts_the_script_is_told_with_file_and_line() {
        let ours = Ours::Script("/dr/start_cs.sh".into());
        for (file, text, line, remedy) in [
            ("crontab", "SHELL=/bin/sh\n@reboot root /dr/start_cs.sh\n", 2, "take line 2 out of"),
            (
                "cron.d/cs",
                "# every minute\n* * * * * cs [ -x /dr/x ] || /dr/start_cs.sh>/dev/null\n",
                2,
                "cron.d/cs",
            ),
            ("rc.local", "#!/bin/sh\nsu - cs -c \"/dr/start_cs.sh\"\n", 2, "rc.local"),
            (
                "systemd/system/multi-user.target.wants/old-cs.service",
                "[Service]\nUser=cs\nExecStart=-/dr/start_cs.sh now\n",
                3,
                "systemctl disable old-cs.service",
            ),
        ] {
            let etc = tempfile::tempdir().unwrap();
            put(etc.path(), file, text);
            let lines = seen(etc.path(), &ours);
            let told = one(&lines);
            assert!(told.text.contains(&format!("line {line} of ")) && told.text.contains(file), "{told:?}");
            assert!(told.remedy.as_deref().unwrap().contains(remedy), "{told:?}");
            assert!(!told.text.contains("start_cs"), "a line may hold a secret: {told:?}");
        }
    }

    #[test]
    fn what_a_timer_starts_is_told_with_the_timer() {
        let ours = Ours::Script("/dr/start_cs.sh".into());
        let service = "[Service]\nExecStart=/dr/start_cs.sh\n";
        for (timer, timed, runs, place) in [
            ("keep.timer", "[Timer]\nOnCalendar=hourly\n", "etc/systemd/system/keep.service", "line 2 of "),
            (
                "keep.timer",
                "[Timer]\nUnit = cs-x.service\n",
                "etc/systemd/system/cs-x.service",
                "cs-x.service",
            ),
            ("keep.timer", "[Timer]\n", "lib/systemd/system/keep.service", "lib/systemd/system/keep.service"),
            ("keep@1.timer", "[Timer]\n", "lib/systemd/system/keep@.service", "keep@.service (keep@1.timer)"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let etc = root.path().join("etc");
            put(root.path(), "lib/systemd/system/a.timer", timed);
            put(root.path(), runs, service);
            let seen = || seen(&etc, &ours);
            assert!(seen().is_empty(), "it is not enabled");
            link(
                &etc,
                &format!("systemd/system/timers.target.wants/{timer}"),
                "../lib/systemd/system/a.timer",
            );
            let lines = seen();
            let told = one(&lines);
            assert!(told.text.contains(place) && told.text.contains(timer), "{told:?}");
            assert!(told.text.starts_with("a timer of systemd starts it by "), "{told:?}");
            let remedy = format!("systemctl disable --now {timer}");
            assert_eq!(told.remedy.as_deref(), Some(remedy.as_str()));
            // Masked by the host, it starts nothing; let go, it does again.
            link(&etc, &format!("systemd/system/{timer}"), "/dev/null");
            assert!(seen().is_empty(), "{timer} is masked");
            std::fs::remove_file(etc.join("systemd/system").join(timer)).unwrap();
            assert_eq!(seen().len(), 1);
            // What the host says goes before what a package says.
            put(&etc, &format!("systemd/system/{}", runs.rsplit('/').next().unwrap()), "[Service]\n");
            assert!(seen().is_empty());
        }
        // The unit itself, whatever its file says.
        for (name, timed, starts) in [
            ("cs.timer", "[Timer]\nOnBootSec=1min\n", true),
            ("keep.timer", "[Timer]\nUnit=cs.service\n", true),
            ("cs.timer", "[Timer]\nUnit=other.service\n", false),
        ] {
            let etc = tempfile::tempdir().unwrap();
            put(etc.path(), &format!("systemd/system/timers.target.wants/{name}"), timed);
            let lines = seen(etc.path(), &unit(false));
            assert_eq!(lines.len(), usize::from(starts), "{name}: {lines:?}");
        }
    }

    #[test]
    fn what_cron_runs_by_its_folder_is_told() {
        for period in ["cron.hourly", "cron.daily", "cron.weekly", "cron.monthly"] {
            let etc = tempfile::tempdir().unwrap();
            let ours = Ours::Script(etc.path().join("dr/start_cs.sh"));
            let text = format!("#!/bin/sh\n{}/dr/start_cs.sh\n", etc.path().display());
            // Names and modes that run-parts(8) passes over.
            put(etc.path(), &format!("{period}/keep.sh"), &text);
            put(etc.path(), &format!("{period}/off"), &text);
            let mode = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(etc.path().join(period).join("off"), mode).unwrap();
            put(etc.path(), &format!("{period}/status"), "#!/bin/sh\nls /dr/start_cs.sh\n");
            let lines = seen(etc.path(), &ours);
            assert!(lines.is_empty(), "{lines:?}");
            put(etc.path(), &format!("{period}/keep"), &text);
            let lines = seen(etc.path(), &ours);
            let told = one(&lines);
            assert!(
                told.text.contains(&format!("line 2 of {}/{period}/keep", etc.path().display())),
                "{told:?}"
            );
            std::fs::remove_file(etc.path().join(period).join("keep")).unwrap();
            put(etc.path(), "dr/start_cs.sh", "#!/bin/sh\n");
            link(etc.path(), &format!("{period}/itself"), "dr/start_cs.sh");
            let lines = seen(etc.path(), &ours);
            assert!(one(&lines).text.contains(&format!("{period}/itself")), "{lines:?}");
        }
    }

    #[test]
    fn what_does_not_start_it_is_passed_over() {
        let etc = tempfile::tempdir().unwrap();
        assert!(seen(etc.path(), &Ours::Script("/dr/start_cs.sh".into())).is_empty(), "nothing is there");
        put(etc.path(), "crontab", "# @reboot root /dr/start_cs.sh\n@reboot root /dr/start_cs.sh.old\n");
        put(etc.path(), "cron.d/cs.disabled", "@reboot root /dr/start_cs.sh\n");
        put(etc.path(), "init.d/cs", "/dr/start_cs.sh\n");
        link(etc.path(), "rc2.d/K01cs", "init.d/cs");
        put(etc.path(), "rc.local", "/dr/start_cs.sh\n");
        std::fs::set_permissions(etc.path().join("rc.local"), std::fs::Permissions::from_mode(0o644))
            .unwrap();
        put(
            etc.path(),
            "systemd/system/multi-user.target.wants/a.service",
            "[Service]\nExecStop=/dr/start_cs.sh\n",
        );
        put(etc.path(), "systemd/system/b.service", "[Service]\nExecStart=/dr/start_cs.sh\n");
        let lines = seen(etc.path(), &Ours::Script("/dr/start_cs.sh".into()));
        assert!(lines.is_empty(), "{lines:?}");
        put(etc.path(), "cron.d/state", "@reboot root systemctl status cs\n");
        link(etc.path(), "rc3.d/S01cs", "init.d/cs");
        let lines = seen(etc.path(), &unit(false));
        assert!(lines.is_empty(), "a unit of its own hides the script of a boot: {lines:?}");
    }

    #[test]
    fn where_nobody_can_tell_it_is_amber_behind_what_is_certain() {
        let etc = tempfile::tempdir().unwrap();
        let table = "@reboot root keep /dr/start_cs.sh\n@daily root /dr/start_cs.sh stop\n@reboot root /dr/start_cs.sh\n";
        put(etc.path(), "crontab", table);
        let lines = seen(etc.path(), &Ours::Script("/dr/start_cs.sh".into()));
        let [certain, named] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(certain.level == Level::Red && certain.text.contains("line 3 of"), "{certain:?}");
        assert!(named.level == Level::Amber && named.text.contains("line 1 of"), "{named:?}");
        assert!(named.text.contains("nobody can tell"), "{named:?}");
    }

    #[test]
    fn a_script_of_a_boot_is_told_once() {
        let etc = tempfile::tempdir().unwrap();
        put(etc.path(), "init.d/cs", "#!/bin/sh\ncase $1 in\nstart) /dr/start_cs.sh ;;\nesac\n");
        for level in ["rc2.d", "rc3.d", "rc5.d"] {
            link(etc.path(), &format!("{level}/S01cs"), "init.d/cs");
        }
        for (ours, place) in [
            (Ours::Script("/dr/start_cs.sh".into()), "line 3 of "),
            (Ours::Script(etc.path().join("init.d/cs")), "rc2.d/S01cs"),
            (unit(true), "rc2.d/S01cs"),
        ] {
            let lines = seen(etc.path(), &ours);
            let told = one(&lines);
            assert!(told.text.contains(place) && told.text.contains("rc2.d/S01cs"), "{told:?}");
            assert_eq!(told.remedy.as_deref(), Some("update-rc.d cs disable"));
        }
    }

    #[test]
    fn a_unit_is_started_by_its_name() {
        for (line, starts) in [
            ("@reboot root systemctl start cs.service", true),
            ("@reboot root /usr/sbin/service cs restart", true),
            ("@reboot root /etc/init.d/cs start", true),
            ("@reboot root systemctl start css", false),
            ("@reboot root systemctl stop cs", false),
        ] {
            let etc = tempfile::tempdir().unwrap();
            put(etc.path(), "cron.d/cs", line);
            assert_eq!(seen(etc.path(), &unit(false)).len(), usize::from(starts), "{line}");
        }
    }
}

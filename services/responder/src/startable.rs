//! Whether a program could be started, without starting it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use schemas::CheckLine;

/// One line for each script: there, a file, and executable by somebody. Nothing is run.
pub fn startable<'a>(scripts: impl IntoIterator<Item = &'a Path>) -> CheckLine {
    let mut wrong = Vec::new();
    let mut count = 0;
    for script in scripts {
        count += 1;
        match std::fs::metadata(script) {
            Err(error) => wrong.push(format!("{}: {error}", script.display())),
            Ok(found) if !found.is_file() => wrong.push(format!("{} is no file", script.display())),
            Ok(found) if found.permissions().mode() & 0o111 == 0 => {
                wrong.push(format!("{} is not executable", script.display()));
            }
            Ok(_) => {}
        }
    }
    match wrong.is_empty() {
        true => CheckLine::green("scripts", format!("{count} can be started")),
        false => CheckLine::red("scripts", wrong.join("; "), "put the script there, and chmod +x it"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use schemas::Level;

    #[test]
    fn what_cannot_be_started_is_named() {
        let shell = Path::new("/bin/sh");
        assert_eq!(super::startable([shell]).level, Level::Green);
        let gone = super::startable([shell, Path::new("/nowhere/start.sh")]);
        assert!(gone.level == Level::Red && gone.text.contains("/nowhere/start.sh"), "{gone:?}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let plain = super::startable([file.path()]);
        assert!(plain.level == Level::Red && plain.text.contains("not executable"), "{plain:?}");
    }
}

//! What a line starts, as far as that can be told without running it: simple words of a shell, and programs that run what
//! they are given, such as `nohup`, `su -c` and `flock`. Variables are not filled in.

use std::path::{Path, PathBuf};

use super::Ours;

/// Whether a line starts what must stay dormant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Starts {
    /// It does not, though it may name it.
    No,
    /// It names it, and what becomes of that cannot be told.
    Perhaps,
    /// It does.
    Yes,
}

/// Commands within commands are followed so far.
const DEPTH: u8 = 8;

/// Programs that run what follows their own words: options that have a value beside them, and how many operands come before.
const CARRIERS: [(&str, &[&str], usize); 15] = [
    (".", &[], 0),
    ("chronic", &[], 0),
    ("env", &["-u", "-C"], 0),
    ("eval", &[], 0),
    ("exec", &["-a"], 0),
    ("flock", &["-w", "-E"], 1),
    ("ionice", &["-c", "-n"], 0),
    ("nice", &["-n"], 0),
    ("nohup", &[], 0),
    ("setsid", &[], 0),
    ("source", &[], 0),
    ("stdbuf", &["-i", "-o", "-e"], 0),
    ("sudo", &["-u", "-g"], 0),
    ("systemd-cat", &["-t", "-p"], 0),
    ("timeout", &["-k", "-s"], 1),
];
/// They run the text behind `-c`, or a file.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ksh", "su", "runuser"];
const SHELL_OPTIONS: [&str; 4] = ["-u", "-g", "-s", "-o"];
/// They look at what they are given, or put it elsewhere, and run nothing of it.
const HARMLESS: &str = "[ [[ chgrp chmod chown cmp cp diff echo egrep fgrep file fuser grep gzip kill killall ln logger \
    logrotate ls mail mv pgrep pidof pkill printf rm savelog stat test touch type";
/// Words of a shell that may stand before a command.
const BEFORE: [&str; 10] = ["!", "{", "do", "elif", "else", "if", "then", "time", "until", "while"];
/// What a unit's manager, or its script in `init.d`, is told that starts it.
const STARTING: [&str; 3] = ["reload-or-restart", "restart", "start"];
/// What a script is told that is to start nothing.
const NOT_STARTING: [&str; 4] = ["--help", "check", "status", "stop"];

/// A line of a script.
pub(super) fn script(line: &str, ours: &Ours) -> Starts {
    text(line, ours, DEPTH)
}

/// A line of `/etc/crontab` or `/etc/cron.d` (crontab(5)): when, as whom, what.
pub(super) fn cron(line: &str, ours: &Ours) -> Starts {
    let line = line.trim_start();
    let fields = match line.chars().next() {
        None | Some('#') => return Starts::No,
        Some('@') => 2,
        // `NAME = value`: what uses it is not followed.
        Some(c) if c.is_ascii_alphabetic() || "_\"'".contains(c) => return perhaps(ours.is_named_in(line)),
        Some(_) => 6,
    };
    let Some(command) = after(line, fields) else { return Starts::No };
    // What follows the first per cent sign is the command's input.
    let (command, input) = match command.replace("\\%", "\0").split_once('%') {
        Some((command, input)) => (command.replace('\0', "%"), input.to_owned()),
        None => (command.replace("\\%", "%"), String::new()),
    };
    script(&command, ours).max(perhaps(ours.is_named_in(&input)))
}

/// A line of a unit's file (systemd.service(5)): `ExecStart=` and what comes before and after it.
pub(super) fn unit(line: &str, ours: &Ours) -> Starts {
    match line.trim_start().split_once('=') {
        Some((key, value)) if key.starts_with("ExecStart") => {
            script(value.trim_start().trim_start_matches(['-', '@', ':', '+', '!', '|']), ours)
        }
        _ => Starts::No,
    }
}

/// What stands behind so many fields.
fn after(line: &str, fields: usize) -> Option<&str> {
    let mut rest = line;
    for _ in 0..fields {
        rest = rest.trim_start();
        rest = &rest[rest.find(char::is_whitespace)?..];
    }
    Some(rest.trim_start())
}

fn perhaps(named: bool) -> Starts {
    if named { Starts::Perhaps } else { Starts::No }
}

fn text(line: &str, ours: &Ours, depth: u8) -> Starts {
    let Some(commands) = commands(line) else { return perhaps(ours.is_named_in(line)) };
    let (mut starts, mut folder) = (Starts::No, None);
    for words in &commands {
        match words.as_slice() {
            [cd, to] if cd == "cd" => folder = Some(Path::new(to)),
            words => starts = starts.max(command(words, folder, ours, depth)),
        }
    }
    starts
}

/// A simple command, in a folder if that is known.
fn command(words: &[String], folder: Option<&Path>, ours: &Ours, depth: u8) -> Starts {
    let named = |words: &[String]| perhaps(ours.is_named_in(&words.join(" ")));
    if depth == 0 {
        return named(words);
    }
    let before = words.iter().take_while(|word| BEFORE.contains(&word.as_str()) || is_setting(word)).count();
    let (before, words) = words.split_at(before);
    // A variable that holds it may be used anywhere.
    let held = named(before);
    let Some((program, rest)) = words.split_first() else { return held };
    let is = ours.is(program, folder);
    if is != Starts::No {
        return if ours.is_started_by(rest.first().map(String::as_str)) { is.max(held) } else { held };
    }
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or(program);
    let starts = if let Some(starts) = ours.is_managed_by(name, rest) {
        starts
    } else if let Some((_, options, operands)) = CARRIERS.iter().find(|(carrier, ..)| *carrier == name) {
        match carried(rest, options, *operands) {
            [c, line, ..] if c == "-c" => text(line, ours, depth - 1),
            inner => command(inner, folder, ours, depth - 1),
        }
    } else if SHELLS.contains(&name) {
        match script_of(rest) {
            Some((line, rest)) => text(line, ours, depth - 1).max(named(rest)),
            None => command(carried(rest, &SHELL_OPTIONS, 0), folder, ours, depth - 1),
        }
    } else if HARMLESS.split_whitespace().any(|harmless| harmless == name) {
        Starts::No
    } else {
        named(words)
    };
    starts.max(held)
}

impl Ours {
    /// Whether a program is the one that starts it; a name without its folder may be.
    fn is(&self, program: &str, folder: Option<&Path>) -> Starts {
        let ours = match self {
            Ours::Script(path) => path.clone(),
            Ours::Unit { name, .. } => PathBuf::from(format!("/etc/init.d/{}", stem(name))),
        };
        let program = folder.map_or_else(|| PathBuf::from(program), |folder| folder.join(program));
        if program == ours {
            return Starts::Yes;
        }
        // A bare name is looked up in the folders of programs: elsewhere it is another word, such as `start)` of a `case`.
        let looked_up = program.components().count() > 1 || ours.parent().is_some_and(holds_programs);
        perhaps(program.is_relative() && looked_up && program.file_name() == ours.file_name())
    }

    /// Whether that program starts it, told this first.
    fn is_started_by(&self, told: Option<&str>) -> bool {
        match self {
            Ours::Script(_) => told.is_none_or(|told| !NOT_STARTING.contains(&told)),
            Ours::Unit { .. } => told.is_some_and(|told| STARTING.contains(&told)),
        }
    }

    /// Whether a manager of units starts it; none for any other program, and for one that manages another host.
    fn is_managed_by(&self, program: &str, words: &[String]) -> Option<Starts> {
        let Ours::Unit { name, .. } = self else { return None };
        let operands: Vec<&str> =
            words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
        let elsewhere =
            |word: &String| ["-H", "-M", "--host", "--machine"].iter().any(|o| word.starts_with(o));
        let (verb, units) = match (program, operands.as_slice()) {
            ("systemctl", [verb, units @ ..]) if !words.iter().any(elsewhere) => (verb, units),
            ("service" | "invoke-rc.d", [unit, verb, ..]) => (verb, std::slice::from_ref(unit)),
            _ => return None,
        };
        let now = *verb == "enable" && words.iter().any(|word| word == "--now");
        let ours = units.iter().any(|unit| *unit == name || *unit == stem(name));
        Some(if ours && (now || STARTING.contains(verb)) { Starts::Yes } else { Starts::No })
    }

    /// Whether it stands anywhere in a text, of a unit together with a word that starts one.
    fn is_named_in(&self, text: &str) -> bool {
        let between = |c: char| c.is_whitespace() || "\"'`;&|()<>={}$,:".contains(c);
        let words = || text.split(between).filter(|word| !word.is_empty());
        match self {
            Ours::Script(path) => words().any(|word| Path::new(word) == path),
            Ours::Unit { name, .. } => {
                let script = format!("/etc/init.d/{}", stem(name));
                words().any(|word| word == name || word == stem(name) || word == script)
                    && words().any(|word| STARTING.contains(&word))
            }
        }
    }
}

/// Whether a folder is one in which a shell looks for programs.
fn holds_programs(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    matches!(name, Some("bin" | "sbin"))
}

/// A unit's name as people say it.
fn stem(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}

/// `NAME=value`.
fn is_setting(word: &str) -> bool {
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && is_name(name))
}

/// What a program runs, behind its own options and operands.
fn carried<'w>(mut words: &'w [String], options: &[&str], operands: usize) -> &'w [String] {
    while let Some((first, rest)) = words.split_first()
        && first.starts_with('-')
    {
        words = rest.get(usize::from(options.contains(&first.as_str()))..).unwrap_or_default();
        if first == "--" {
            break;
        }
    }
    words.get(operands..).unwrap_or_default()
}

/// The text that a shell is told to run, and the words behind it.
fn script_of(words: &[String]) -> Option<(&str, &[String])> {
    let (at, text) =
        words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--command=") {
            Some(text) => Some((at, text)),
            None => {
                let short = word.starts_with('-') && !word.starts_with("--") && word.ends_with('c');
                (short || word == "--command")
                    .then(|| words.get(at + 1))
                    .flatten()
                    .map(|text| (at + 1, text.as_str()))
            }
        })?;
    Some((text, &words[at + 1..]))
}

/// The simple commands of a line: their words without quotes, and without what they are redirected to. None where a quote
/// has no end.
fn commands(line: &str) -> Option<Vec<Vec<String>>> {
    let mut read = Words::default();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = read.word.get_or_insert_default();
                while let Some(c) = Some(chars.next()?).filter(|c| *c != '\'') {
                    word.push(c);
                }
            }
            '"' => {
                let word = read.word.get_or_insert_default();
                while let Some(c) = Some(chars.next()?).filter(|c| *c != '"') {
                    word.push(if c == '\\' { chars.next()? } else { c });
                }
            }
            '\\' => read.word.get_or_insert_default().extend(chars.next()),
            '#' if read.word.is_none() => break,
            ';' | '&' | '|' | '(' | ')' | '`' => read.end_command(),
            '>' | '<' => {
                read.redirect();
                while chars.next_if(|c| ['>', '<', '&', '|'].contains(c)).is_some() {}
            }
            c if c.is_whitespace() => read.end_word(),
            c => read.word.get_or_insert_default().push(c),
        }
    }
    read.end_command();
    Some(read.commands)
}

/// What was read of a line so far.
#[derive(Default)]
struct Words {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
    redirected: bool,
}

impl Words {
    fn end_word(&mut self) {
        if let Some(word) = self.word.take()
            && !std::mem::take(&mut self.redirected)
        {
            self.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.redirected = false;
        if !self.words.is_empty() {
            self.commands.push(std::mem::take(&mut self.words));
        }
    }

    /// The number before it is a file descriptor, the word behind it a file.
    fn redirect(&mut self) {
        if self.word.as_ref().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
        self.redirected = true;
    }
}

#[cfg(test)]
mod tests {
    use super::Starts::{No, Perhaps, Yes};
    use super::{Ours, Starts, cron, script, unit};

    fn start() -> Ours {
        Ours::Script("/dr/start_cs.sh".into())
    }

    #[test]
    fn a_line_of_cron_starts_it_only_by_its_command() {
        for (line, starts) in [
            ("@reboot root /dr/start_cs.sh", Yes),
            ("5 4 * * sun cs cd /dr && ./start_cs.sh --fast >/dev/null 2>&1", Yes),
            ("*/5 * * * * cs LANG=C nice -n 10 /dr/start_cs.sh # at once", Yes),
            ("*/5 * * * * root pgrep -f cs >/dev/null || su - cs -c '/dr/start_cs.sh now'", Yes),
            ("*/5 * * * * root flock -n /run/cs -c \"/dr/start_cs.sh\"", Yes),
            ("*/5 * * * * root timeout -k 5 60 sudo -u cs env -u HOME A=b sh -e /dr/start_cs.sh", Yes),
            ("*/5 * * * * root [ -e /run/dr ] || (/dr/start_cs.sh)", Yes),
            ("@daily root echo $(/dr/start_cs.sh) `date`", Yes),
            // Named, and no more than that.
            ("# @reboot root /dr/start_cs.sh", No),
            ("@daily root true # /dr/start_cs.sh", No),
            ("@daily root /dr/start_cs.sh stop", No),
            ("@hourly root /dr/start_cs.sh status | mail -s cs ops", No),
            ("*/5 * * * * root test -x /dr/start_cs.sh", No),
            ("@weekly root logrotate -s /var/lib/cs /dr/start_cs.sh", No),
            ("@weekly root ls -l /dr >/dr/start_cs.sh", No),
            ("@hourly root /dr/check_cs.sh --config=/dr/cs.conf", No),
            ("@hourly root cd /opt && ./start_cs.sh", No),
            ("@hourly root /dr/start_cs.sh.old", No),
            // Nobody can tell.
            ("START=/dr/start_cs.sh", Perhaps),
            ("@reboot root X=/dr/start_cs.sh; $X", Perhaps),
            ("@reboot root /usr/local/bin/keep --alive /dr/start_cs.sh", Perhaps),
            ("@reboot root ssh s2cs /dr/start_cs.sh", Perhaps),
            ("@reboot root sh%/dr/start_cs.sh", Perhaps),
            ("@reboot cs ./start_cs.sh", Perhaps),
            ("@reboot root echo 'no end; /dr/start_cs.sh", Perhaps),
        ] {
            assert_eq!(cron(line, &start()), starts, "{line}");
        }
    }

    #[test]
    fn a_unit_is_started_by_whoever_manages_units() {
        let ours = Ours::Unit { name: "cs.service".into(), generated: false };
        for (line, starts) in [
            ("systemctl --no-block restart web cs", Yes),
            ("systemctl enable --now cs.service", Yes),
            ("sudo service cs start", Yes),
            ("/etc/init.d/cs restart", Yes),
            ("systemctl enable cs", No),
            ("systemctl start web; systemctl stop cs", No),
            ("service cs status && logger start of cs", No),
            ("/etc/init.d/cs stop", No),
            ("echo start cs", No),
            ("systemctl -H s2cs start cs", Perhaps),
            ("ssh s2cs systemctl start cs", Perhaps),
        ] {
            assert_eq!(script(line, &ours), starts, "{line}");
        }
    }

    #[test]
    fn a_unit_starts_what_its_exec_start_runs() {
        for (line, starts) in [
            ("ExecStart=-/dr/start_cs.sh now", Yes),
            ("ExecStartPre=+/bin/sh -c 'exec /dr/start_cs.sh'", Yes),
            ("ExecStart=/usr/bin/keep /dr/start_cs.sh", Perhaps),
            ("ExecStop=/dr/start_cs.sh", No),
            ("ConditionPathExists=/dr/start_cs.sh", No),
        ] {
            assert_eq!(unit(line, &start()), starts, "{line}");
        }
    }

    /// A script that is called as a word of a shell's `case`.
    #[test]
    fn a_bare_word_is_no_script_of_that_name() {
        let ours = Ours::Script("/parts/cs-primary/start".into());
        for (line, starts) in [("start)", No), ("  start|restart) start ;;", No), ("./start", Perhaps)] {
            assert_eq!(script(line, &ours), starts, "{line}");
        }
        assert_eq!(script("cs-start", &Ours::Script("/usr/local/bin/cs-start".into())), Perhaps);
    }

    #[test]
    fn depth_has_a_bound() {
        let deep = format!("{}/dr/start_cs.sh", "nohup ".repeat(10_000));
        assert_eq!(script(&deep, &start()), Starts::Perhaps);
    }
}

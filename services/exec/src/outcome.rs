//! How a script ended, and what that means for a check.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a script ended. Every one of these was seen by the guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum How {
    /// It ended by itself with this code.
    Exited {
        /// 0 to 255.
        code: i32,
    },
    /// It died by a signal that the guard did not send.
    Signalled {
        /// Number of the signal.
        signal: i32,
    },
    /// It ran longer than its bound and was ended.
    TimedOut,
    /// The service went away while it ran, so it was ended.
    Abandoned,
    /// It could not be executed; nothing ran.
    NotStarted {
        /// Why, for people.
        reason: String,
    },
    /// Another guard held the lock for the whole bound; nothing ran.
    Locked,
}

/// The end of one output stream of a script.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The last bytes, at most 64 KiB, as UTF-8 with replacement characters.
    pub text: String,
    /// How many bytes came before and were thrown away.
    pub dropped: u64,
}

/// A script that ended, as the guard saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How it ended.
    #[serde(flatten)]
    pub how: How,
    /// What it wrote to standard output.
    pub stdout: Output,
    /// What it wrote to standard error.
    pub stderr: Output,
    /// From its start to its end.
    pub took: Duration,
    /// Processes that could not be ended, even by KILL. Not 0 means that it may still act.
    pub left: u32,
}

/// What a check script says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Exit 0: the state asked about is in effect.
    InEffect,
    /// Exit 1: it is not.
    NotInEffect,
    /// Anything else, with the reason.
    CannotTell(String),
}

impl Ended {
    /// Whether it ended by itself with exit code 0 and nothing unkillable is left.
    pub fn succeeded(&self) -> bool {
        self.how == How::Exited { code: 0 } && self.left == 0
    }

    /// Whether nothing ran at all.
    pub fn never_ran(&self) -> bool {
        matches!(self.how, How::NotStarted { .. } | How::Locked)
    }

    /// Reads the exit code as that of a check: 0 in effect, 1 not in effect, anything else cannot tell.
    pub fn check(&self) -> Check {
        match &self.how {
            How::Exited { code: 0 } => Check::InEffect,
            How::Exited { code: 1 } => Check::NotInEffect,
            How::Exited { .. }
            | How::Signalled { .. }
            | How::TimedOut
            | How::Abandoned
            | How::NotStarted { .. }
            | How::Locked => Check::CannotTell(self.to_string()),
        }
    }

    /// The JSON object on the last line of standard output, if there is one. Scripts need not print any.
    pub fn json(&self) -> Option<Value> {
        let last = self.stdout.text.trim_end().lines().next_back()?.trim();
        serde_json::from_str::<Value>(last).ok().filter(Value::is_object)
    }

    /// The last line that it wrote, to standard error or else to standard output, for people; at most 200
    /// characters, control characters replaced.
    pub fn last_words(&self) -> Option<String> {
        [&self.stderr, &self.stdout]
            .into_iter()
            .filter_map(|output| output.text.trim_end().lines().next_back())
            .find(|line| !line.trim().is_empty())
            .map(|line| line.trim().chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.how {
            How::Exited { code } => write!(f, "the script exited with code {code}")?,
            How::Signalled { signal } => write!(f, "the script died by signal {signal}")?,
            How::TimedOut => write!(f, "the script did not end within {:.1?}", self.took)?,
            How::Abandoned => write!(f, "the script was ended because its service went away")?,
            How::NotStarted { reason } => write!(f, "the script could not be started: {reason}")?,
            How::Locked => write!(f, "another script of this resource still runs")?,
        }
        if self.left > 0 {
            write!(f, "; {} of its processes cannot be ended", self.left)?;
        }
        match self.last_words() {
            Some(words) => write!(f, " ({words})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(how: How, stdout: &str, stderr: &str) -> Ended {
        let output = |text: &str| Output { text: text.to_owned(), dropped: 0 };
        Ended { how, stdout: output(stdout), stderr: output(stderr), took: Duration::from_secs(1), left: 0 }
    }

    #[test]
    fn an_exit_code_is_enough_for_a_check() {
        let check = |code| ended(How::Exited { code }, "", "").check();
        assert_eq!(check(0), Check::InEffect);
        assert_eq!(check(1), Check::NotInEffect);
        for code in [2, 126, 127, 255] {
            assert!(matches!(check(code), Check::CannotTell(_)));
        }
        for how in [How::Signalled { signal: 9 }, How::TimedOut, How::Locked, How::Abandoned] {
            assert!(matches!(ended(how, "", "").check(), Check::CannotTell(_)));
        }
    }

    #[test]
    fn json_is_the_last_line_or_nothing() {
        let json = |stdout| ended(How::Exited { code: 0 }, stdout, "").json();
        assert_eq!(json("hello\n{\"pid\": 7}\n\n"), Some(serde_json::json!({ "pid": 7 })));
        for text in ["", "done", "{\"a\":1}\nbye", "7", "{\"a\":"] {
            assert_eq!(json(text), None, "{text}");
        }
    }

    #[test]
    fn last_words_are_one_tame_line() {
        let words = |out, err| ended(How::TimedOut, out, err).last_words();
        assert_eq!(words("out", "one\ntwo\x1b[2J\n").as_deref(), Some("two [2J"));
        assert_eq!(words("out\n", "").as_deref(), Some("out"));
        assert_eq!(words("", "\n \n"), None);
    }
}

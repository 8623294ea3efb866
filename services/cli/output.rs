//! Where results go: text for people or JSON for programs, never mixed.

use std::io::{IsTerminal, Write};

use chrono::{DateTime, Local, Utc};
use comfy_table::{ContentArrangement, Table};
use schemas::Problem;
use serde::Serialize;

use crate::args::{Args, Form};
use crate::files;

/// How this command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    form: Form,
    utc: bool,
    colour: bool,
}

impl Output {
    /// Colour is for terminals, and not where `NO_COLOR` is set (no-color.org).
    pub(crate) fn new(args: &Args) -> Output {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Output {
            form: args.common.output,
            utc: args.common.utc,
            colour: wanted && std::io::stdout().is_terminal(),
        }
    }

    /// Text without colours, in UTC.
    #[cfg(test)]
    pub(crate) fn plain() -> Output {
        Output { form: Form::Text, utc: true, colour: false }
    }

    /// Whether programs read it.
    pub(crate) fn json(&self) -> bool {
        self.form == Form::Json
    }

    /// Whether a person looks at it and it may move.
    pub(crate) fn live(&self) -> bool {
        self.form == Form::Text && std::io::stdout().is_terminal()
    }

    /// A line for people; nothing where programs read. A reader that is gone is no error.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if self.form == Form::Text {
            let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
        }
    }

    /// The result for programs, as one line; nothing where people read.
    pub(crate) fn value(&self, value: &impl Serialize) {
        if self.form == Form::Json
            && let Ok(text) = serde_json::to_string(value)
        {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// Text that is the result itself, in either form.
    pub(crate) fn raw(&self, text: &str) {
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    /// An error, with its causes; files are shown around the place.
    pub(crate) fn failed(&self, error: &anyhow::Error) {
        if let Some(found) = error.downcast_ref::<document::Diagnostics>() {
            return self.diagnostics(found);
        }
        let problem = error.chain().find_map(|cause| cause.downcast_ref::<Problem>());
        if self.json() {
            let message = format!("{error:#}");
            match problem {
                Some(problem) => self.value(&serde_json::json!({ "problem": problem })),
                None => self.value(&serde_json::json!({ "error": message })),
            }
            return;
        }
        let mut text = format!("pointsman: {error:#}\n");
        if let Some(problem) = problem {
            text.push_str(&format!(
                "  {}\n  more: pointsman explain {}\n",
                problem.code.remedy(),
                problem.code
            ));
        }
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// What is wrong with files.
    pub(crate) fn diagnostics(&self, found: &document::Diagnostics) {
        if self.json() {
            self.value(&serde_json::json!({ "errors": files::as_json(found) }));
        } else {
            let _ = writeln!(std::io::stderr(), "{}", files::rendered(found));
        }
    }

    /// A question; the answer without its line break. Nothing when the input has ended.
    pub(crate) fn ask(&self, question: &str) -> std::io::Result<Option<String>> {
        let mut err = std::io::stderr();
        write!(err, "{question}")?;
        err.flush()?;
        let mut answer = String::new();
        match std::io::stdin().read_line(&mut answer)? {
            0 => Ok(None),
            _ => Ok(Some(answer.trim().to_owned())),
        }
    }

    /// Emphasis; what it says is said by the words too.
    pub(crate) fn strong(&self, text: &str) -> String {
        if self.colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A word that warns.
    pub(crate) fn warn(&self, text: &str) -> String {
        if self.colour { format!("\u{1b}[1;31m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A time with date and offset.
    pub(crate) fn time(&self, at: DateTime<Utc>) -> String {
        if self.utc {
            at.format("%Y-%m-%d %H:%M:%SZ").to_string()
        } else {
            at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %:z").to_string()
        }
    }

    /// The time of the day alone.
    pub(crate) fn clock(&self, at: DateTime<Utc>) -> String {
        if self.utc {
            at.format("%H:%M:%SZ").to_string()
        } else {
            at.with_timezone(&Local).format("%H:%M:%S").to_string()
        }
    }

    /// A table without borders, as wide as the terminal.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table
    }
}

//! The report as Markdown.

use std::fmt::Write;

use schemas::view::RunState;

use crate::report::{Followed, Objective, Report, clock, day, lasting, word};

impl Report {
    /// For people; times are in UTC.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for part in self.parts() {
            part.markdown(&mut out);
        }
        out
    }

    /// The parts of the report, whatever they are printed as.
    pub(super) fn parts(&self) -> Vec<Part> {
        vec![
            Part::Title(format!("Report of run {}", self.run.short(4))),
            Part::Pairs(self.head()),
            self.objectives(),
            self.phase_table(),
            self.ledger_table(),
            self.decision_table(),
            self.step_table(),
            self.doubt_table(),
            self.debt_table(),
            self.timeline_table(),
            Part::Section("Proof".into()),
            Part::Pairs(self.proof_pairs()),
            Part::Text(
                "`pointsman report verify --head HASH FILE` compares it with the head that the run's last \
                 event carried; take HASH from where the events are kept, not from here."
                    .into(),
            ),
        ]
    }

    fn head(&self) -> Vec<(String, String)> {
        let mut pairs = vec![
            ("Run".to_owned(), self.run.to_string()),
            ("State".to_owned(), word(self.state).to_uppercase()),
        ];
        let mut add = |label: &str, text: Option<String>| {
            pairs.extend(text.map(|text| (label.to_owned(), text)));
        };
        add("Group", self.group.as_ref().map(ToString::to_string));
        add("Workflow", Some(self.workflow.clone()));
        let moves = self.from.as_ref().zip(self.to.as_ref());
        add("Move", moves.map(|(from, to)| format!("{from} -> {to}, epoch {}", self.epoch)));
        let lost: Vec<&str> = self.lost.iter().map(|site| site.as_str()).collect();
        add("Called lost", (!lost.is_empty()).then(|| lost.join(", ")));
        add("Started", Some(day(self.started)));
        add("Ended", self.ended.map(day));
        add("Limited", self.limited_ms.map(|ms| format!("{}: users could only read", lasting(ms))));
        let followed = |f: &Followed| format!("run {} {} at {}", f.run.short(4), f.workflow, day(f.at));
        let followed: Vec<String> = self.followed.iter().map(followed).collect();
        add("Followed by", (!followed.is_empty()).then(|| followed.join("; ")));
        add("NOT COMPARED", (!self.not_compared.is_empty()).then(|| self.not_compared.join(", ")));
        add("DIFFERS", (!self.differs.is_empty()).then(|| self.differs.join(", ")));
        add("Error", self.problem.as_ref().map(ToString::to_string));
        pairs
    }

    fn objectives(&self) -> Part {
        let row = |name: &str, objective: &Objective| {
            let time = |ms: Option<u64>| ms.map_or("-".to_owned(), lasting);
            let met = match objective.met {
                Some(true) if objective.estimated => "met, by an estimate",
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "not known",
            };
            vec![
                name.to_owned(),
                time(objective.target_ms),
                time(objective.measured_ms),
                met.to_owned(),
                objective.how.clone(),
            ]
        };
        Part::table(
            "Objectives",
            &["", "target", "measured", "", "how"],
            vec![row("RTO", &self.rto), row("RPO", &self.rpo)],
        )
    }

    fn phase_table(&self) -> Part {
        let rows = self.phases.iter().map(|phase| {
            let slowest = phase.slowest.as_ref().map(|(name, ms)| format!("{name} ({})", lasting(*ms)));
            vec![
                phase.name.clone(),
                clock(phase.from),
                phase.to.map_or("goes on".to_owned(), clock),
                phase.took_ms.map_or("-".to_owned(), lasting),
                slowest.unwrap_or_default(),
            ]
        });
        Part::table("Time by phase", &["phase", "from", "to", "took", "slowest step"], rows.collect())
    }

    fn ledger_table(&self) -> Part {
        let rows = self.ledgers.iter().map(|ledger| {
            vec![
                ledger.address.to_string(),
                ledger.transactions.to_string(),
                ledger.rows.to_string(),
                ledger.file.clone(),
                format!("sha256 {}", ledger.digest),
            ]
        });
        let mut rows: Vec<_> = rows.collect();
        if let Some(waived) = &self.ledger_waived {
            rows.push(vec!["-".into(), "-".into(), "-".into(), format!("WAIVED by {waived}"), String::new()]);
        }
        if rows.is_empty() && self.may_lack() {
            let protects = |f: &&Followed| f.workflow.starts_with("reprotect:");
            let next: Vec<String> = self.followed.iter().filter(protects).map(|f| f.run.short(4)).collect();
            let saved = match next.is_empty() {
                true => "not saved yet: a reprotect by copy does that before it copies".to_owned(),
                false => format!("see pointsman report {}", next.join(" and ")),
            };
            rows.push(vec!["-".into(), "-".into(), "-".into(), saved, String::new()]);
        }
        Part::table("Ledgers: what only one site had", &["of", "transactions", "rows", "file", ""], rows)
    }

    /// Whether the site that was left may have what the other one never received.
    fn may_lack(&self) -> bool {
        self.state == RunState::Completed && !self.lost.is_empty() && self.rpo.measured_ms != Some(0)
    }

    fn decision_table(&self) -> Part {
        let rows = self.decisions.iter().map(|decision| {
            vec![
                clock(decision.at),
                decision.what.clone(),
                format!("{} ({})", decision.who.person, decision.who.claimed),
                decision.why.clone(),
            ]
        });
        Part::table("Who decided what", &["at", "what", "who", "why"], rows.collect())
    }

    fn step_table(&self) -> Part {
        let rows = self.steps.iter().map(|step| {
            let mut notes = Vec::new();
            if step.attempts > 1 {
                notes.push(format!("{} attempts", step.attempts));
            }
            notes.extend(step.closed_by.as_ref().map(|by| format!("counts as closed: {by}")));
            notes.extend(step.problem.as_ref().map(ToString::to_string));
            vec![
                step.number.to_string(),
                step.name.clone(),
                step.phase.clone().unwrap_or_default(),
                step.started.map(clock).unwrap_or_default(),
                step.took_ms.map_or(String::new(), lasting),
                word(step.state).replace('-', " "),
                notes.join("; "),
            ]
        });
        let heads = ["no", "step", "phase", "at", "took", "state", ""];
        Part::table("Steps", &heads, rows.collect())
    }

    fn doubt_table(&self) -> Part {
        let rows = self.steps.iter().flat_map(|step| {
            step.doubts.iter().map(|(at, why)| {
                vec![
                    clock(*at),
                    format!("{} {}", step.number, step.name),
                    why.clone(),
                    step.settled_by.clone().unwrap_or_else(|| "not settled".into()),
                    word(step.state).replace('-', " "),
                ]
            })
        });
        Part::table(
            "Doubts, and what settled them",
            &["at", "step", "why", "settled by", "as"],
            rows.collect(),
        )
    }

    fn debt_table(&self) -> Part {
        let rows = self.debts.iter().map(|debt| {
            let ended = debt.ended.as_ref().map(|(at, how)| format!("{how}, {}", day(*at)));
            vec![
                debt.what.clone(),
                debt.address.to_string(),
                clock(debt.since),
                debt.why.clone(),
                ended.unwrap_or_else(|| "OWED".into()),
            ]
        });
        Part::table("Debts", &["what", "of", "since", "why", "became"], rows.collect())
    }

    fn timeline_table(&self) -> Part {
        let rows = self
            .timeline
            .iter()
            .map(|moment| vec![clock(moment.at), moment.entry.clone(), moment.what.clone()]);
        Part::table("Timeline", &["at (UTC)", "entry", "what"], rows.collect())
    }

    fn proof_pairs(&self) -> Vec<(String, String)> {
        let mut pairs = vec![
            ("Definition".to_owned(), format!("sha256 {}", self.definition)),
            ("Entries of the run".to_owned(), self.proof.entries.to_string()),
            ("Head of its chain".to_owned(), self.proof.head.clone()),
        ];
        if let Some((seq, hash)) = &self.proof.group_head {
            pairs.push(("Group's chain at its end".to_owned(), format!("entry {seq}, {hash}")));
        }
        pairs
    }
}

/// A part of a printed page.
pub(super) enum Part {
    Title(String),
    Section(String),
    Text(String),
    Pairs(Vec<(String, String)>),
    Table { title: String, heads: Vec<String>, rows: Vec<Vec<String>> },
}

impl Part {
    fn table(title: &str, heads: &[&str], rows: Vec<Vec<String>>) -> Part {
        Part::Table {
            title: title.into(),
            heads: heads.iter().map(|head| (*head).to_owned()).collect(),
            rows,
        }
    }

    fn markdown(&self, out: &mut String) {
        // Writing into a string cannot fail.
        let _ = match self {
            Part::Title(text) => writeln!(out, "# {text}\n"),
            Part::Section(text) => writeln!(out, "## {text}\n"),
            Part::Text(text) => writeln!(out, "{text}\n"),
            Part::Pairs(pairs) => {
                for (label, text) in pairs {
                    let _ = writeln!(out, "- {label}: {}", cell(text));
                }
                writeln!(out)
            }
            Part::Table { title, rows, .. } if rows.is_empty() => writeln!(out, "## {title}\n\nNone.\n"),
            Part::Table { title, heads, rows } => {
                let line = |cells: &[String]| {
                    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
                    format!("| {} |", cells.join(" | "))
                };
                let _ = writeln!(out, "## {title}\n\n{}\n|{}", line(heads), " --- |".repeat(heads.len()));
                for row in rows {
                    let _ = writeln!(out, "{}", line(row));
                }
                writeln!(out)
            }
        };
    }
}

/// Text from outside in a cell: on one line, and nothing in it is markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '|' | '<' | '*' | '`' | '[' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

//! What is seen of a run that is followed: lines that stay, and on a terminal one line a step that moves.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use schemas::view::{RunView, StepState, StepView};

use crate::output::Output;
use crate::{runs, text};

/// A step's line stays once it is in one of these states.
fn stays(state: StepState) -> bool {
    match state {
        StepState::Pending | StepState::Running | StepState::Waiting | StepState::InDoubt => false,
        StepState::Done
        | StepState::DoneByHand
        | StepState::Assumed
        | StepState::Skipped
        | StepState::Failed
        | StepState::Undone => true,
    }
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Where a followed run is shown.
pub(super) struct Screen<'a> {
    out: &'a Output,
    /// On a terminal: the moving lines.
    moving: Option<MultiProgress>,
    bars: BTreeMap<u32, ProgressBar>,
    /// The state in which each step was last written as a line that stays.
    written: BTreeMap<u32, (StepState, u32)>,
    head: String,
    waits: Vec<String>,
    silent: bool,
    sequence: Option<u64>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(out: &'a Output) -> Self {
        Screen {
            out,
            moving: out.live().then(MultiProgress::new),
            bars: BTreeMap::new(),
            written: BTreeMap::new(),
            head: String::new(),
            waits: Vec::new(),
            silent: false,
            sequence: None,
        }
    }

    /// Shows what is new of the run.
    pub(super) fn show(&mut self, run: &RunView) {
        self.silent = false;
        if self.sequence.replace(run.sequence) != Some(run.sequence) {
            self.out.value(run);
        }
        let head = runs::head(run, self.out);
        if head != self.head {
            self.keep(&head);
            self.head = head;
        }
        for step in &run.steps {
            self.step(step);
        }
        // A wait that counts down is said once.
        let waits: Vec<String> = run.waits_for.iter().map(|wait| without_numbers(wait)).collect();
        for (wait, known) in run.waits_for.iter().zip(&waits) {
            if !self.waits.contains(known) {
                let line = format!("    {}: {wait}", self.out.warn("WAITS"));
                self.keep(&line);
            }
        }
        self.waits = waits;
    }

    fn step(&mut self, step: &StepView) {
        let line = runs::step(step, self.out);
        let now = (step.state, step.attempts);
        // Doubt is worth a line that stays also where lines move.
        if stays(step.state) || step.state == StepState::InDoubt {
            if self.written.get(&step.number) != Some(&now) {
                self.keep(&line);
                self.written.insert(step.number, now);
            }
            if stays(step.state) {
                if let Some(bar) = self.bars.remove(&step.number) {
                    bar.finish_and_clear();
                }
                return;
            }
        }
        match &self.moving {
            Some(moving) if step.state != StepState::Pending => {
                let bar = self.bars.entry(step.number).or_insert_with(|| {
                    let bar = moving.add(ProgressBar::new_spinner());
                    if let Ok(style) = ProgressStyle::with_template("{msg} {spinner}") {
                        bar.set_style(style);
                    }
                    bar.enable_steady_tick(Duration::from_millis(200));
                    bar
                });
                bar.set_message(line);
            }
            None if step.state == StepState::Waiting && self.written.get(&step.number) != Some(&now) => {
                self.keep(&line);
                self.written.insert(step.number, now);
            }
            _ => {}
        }
    }

    /// The runner does not answer; said once.
    pub(super) fn silent(&mut self, since: Duration) {
        if !self.silent {
            let line = format!("    no answer from the runner for {}; still looking", text::lasting(since));
            self.keep(&line);
            self.silent = true;
        }
    }

    /// The run is left alone.
    pub(super) fn leave(&mut self, line: &str) {
        self.clear();
        self.out.line(line);
    }

    /// The run has ended, or waits for somebody.
    pub(super) fn end(&mut self, run: &RunView, evidence: bool) {
        self.clear();
        let short = text::short(&run.id);
        let owed = run.steps.iter().filter(|step| step.state == StepState::Assumed).count();
        let mut line = self.out.strong(&text::run_state(run.state));
        if owed > 0 {
            line.push_str(&format!(", {owed} owed"));
        }
        if let Some(took) = run.ended.and_then(|end| (end - run.started).to_std().ok()) {
            line.push_str(&format!(" in {}", text::lasting(took)));
        }
        if let Some(problem) = &run.problem {
            line.push_str(&format!(": {problem}"));
        }
        if evidence {
            line.push_str(&format!(".  Evidence: `pointsman show {short}`"));
        }
        self.out.line(line);
    }

    fn keep(&self, line: &str) {
        match &self.moving {
            Some(moving) if moving.println(line).is_ok() => {}
            _ => self.out.line(line),
        }
    }

    fn clear(&mut self) {
        for (_, bar) in std::mem::take(&mut self.bars) {
            bar.finish_and_clear();
        }
    }
}

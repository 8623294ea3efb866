//! What is seen of a run that is followed: lines that stay, and on a terminal one line a step that moves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use schemas::view::{RunState, RunView, StepState, StepView};

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

/// A shorter silence of the runner is not worth a line.
const SAID_AFTER: Duration = Duration::from_secs(2);
/// After such a silence it is said what may help.
const HELP_AFTER: Duration = Duration::from_secs(10);
/// A wait that is over sooner held nobody up.
const WAITS_AFTER: Duration = Duration::from_secs(1);

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// What was said of a runner's silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silent {
    Unsaid,
    Said,
    Helped,
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
    /// Without numbers: since when, and whether it was said.
    waits: Vec<(String, Instant, bool)>,
    silent: Silent,
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
            silent: Silent::Unsaid,
            sequence: None,
        }
    }

    /// Shows what is new of the run.
    pub(super) fn show(&mut self, run: &RunView) {
        self.silent = Silent::Unsaid;
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
        self.waits(run);
    }

    /// What it waits for, once that lasts; one that counts down is said once. A run that only a person goes on with is not
    /// looked at for long.
    fn waits(&mut self, run: &RunView) {
        let now = Instant::now();
        let goes_on = matches!(run.state, RunState::Running | RunState::Waiting);
        let mut waits = Vec::new();
        for wait in &run.waits_for {
            let bare = without_numbers(wait);
            let (since, told) = match self.waits.iter().find(|known| known.0 == bare) {
                Some((_, since, told)) => (*since, *told),
                None => (now, false),
            };
            let due = !goes_on || now - since >= WAITS_AFTER;
            if due && !told {
                let line = format!("    {}: {wait}", self.out.warn("WAITS"));
                self.keep(&line);
            }
            waits.push((bare, since, told || due));
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

    /// The runner does not answer. One that was just started anew answers soon; what to do is said of one that does not.
    pub(super) fn silent(&mut self, since: Duration) {
        let said = match (self.silent, since) {
            (Silent::Unsaid, since) if since >= SAID_AFTER => Silent::Said,
            (Silent::Said, since) if since >= HELP_AFTER => Silent::Helped,
            _ => return,
        };
        let since = text::lasting(since);
        let line = match said {
            Silent::Helped => format!(
                "    no answer from the runner for {since}: start `pointsman runner` again on its host, or look at its link; \
                 the run goes on where it was"
            ),
            _ => format!("    no answer from the runner for {since}; still looking"),
        };
        self.keep(&line);
        self.silent = said;
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

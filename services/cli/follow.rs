//! Following a run until it ends. The run does not know that it is looked at.

mod screen;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use schemas::view::{RunState, RunView};
use schemas::{Code, Problem};

use crate::bus::Bus;
use crate::exit::{self, Exit};
use crate::output::Output;
use crate::{runs, text};
use screen::Screen;

/// It is looked at least so often; events make it sooner.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Events come in crowds: after one, the rest of a crowd is let by.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(50);
/// Without a terminal nobody ends the waiting for a silent runner.
const SILENT_FOR: Duration = Duration::from_secs(60);

/// How the following ended: the exit code, and the run as it was seen last.
pub(crate) struct Followed {
    pub(crate) exit: Exit,
    pub(crate) last: RunView,
}

/// `watch`, and what follows a start. The exit code is the run's; on Ctrl-C it is 0, and the run goes on.
///
/// Without a terminal a run that is held or paused ends the following: a script cannot decide.
pub(crate) async fn run(run: &str, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let words = Words { leave: "The run goes on. Follow it again: `pointsman watch ", evidence: true };
    Ok(follow(run, bus, out, words).await?.exit)
}

/// The run of a drill: it ends with this command, and leaves nothing to look at.
pub(crate) async fn drilled(run: &str, bus: &Bus, out: &Output) -> anyhow::Result<Followed> {
    let words = Words { leave: "The drill is broken off with its run `", evidence: false };
    let mut followed = follow(run, bus, out, words).await?;
    if !followed.last.state.ended() {
        followed.exit = Exit::Cancelled;
    }
    Ok(followed)
}

struct Words {
    /// What is said on Ctrl-C, before the run's short id.
    leave: &'static str,
    /// Whether the run can be looked at afterwards.
    evidence: bool,
}

async fn follow(run: &str, bus: &Bus, out: &Output, words: Words) -> anyhow::Result<Followed> {
    let first = runs::fetch(run, bus).await?;
    let id = first.id.to_string();
    let mut screen = Screen::new(out);
    screen.show(&first);
    let mut last = first;
    let mut stirrings = bus.stirrings().await;
    let mut answered = Instant::now();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        if let Some(exit) = finished(&last) {
            screen.end(&last, words.evidence);
            return Ok(Followed { exit, last });
        }
        tokio::select! {
            _ = &mut interrupted => {
                let short = text::short(&last.id);
                screen.leave(&format!("{}{short}`", words.leave));
                return Ok(Followed { exit: Exit::Done, last });
            }
            () = stirrings.next(LOOK_AT_MOST_EVERY) => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        match runs::fetch(&id, bus).await {
            Ok(view) => {
                answered = Instant::now();
                screen.show(&view);
                last = view;
            }
            Err(error) if silent(&error) => {
                screen.silent(answered.elapsed());
                if answered.elapsed() > SILENT_FOR && !std::io::stdout().is_terminal() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn silent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Problem>().is_some_and(|p| matches!(p.code, Code::NoRunner | Code::NoBus))
}

fn finished(run: &RunView) -> Option<Exit> {
    let waits = matches!(run.state, RunState::Held | RunState::Paused);
    let alone = waits && !std::io::stdout().is_terminal();
    (run.state.ended() || alone).then(|| exit::of_run(run.state))
}

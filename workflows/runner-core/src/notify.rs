//! Telling people: a command of the group's file for each run that is held, failed or completed. What is to be
//! told is owed from the same batch on as the fact itself, so a killed runner's successor still tells it; a
//! command that fails is tried again within a bound. No run ever waits for it.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::op::Who;
use schemas::view::RunState;
use schemas::{Epoch, GroupId, Key, Position, RunId, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::{Core, Timer};
use crate::entry::GroupEntry;
use crate::group::Record;
use crate::seam::{Effect, Now};

/// How long one life of the runner tries to tell one thing; what came before it counts no more, since late is
/// better than never.
const TRIED_WITHIN: Duration = Duration::from_secs(3600);
/// The longest pause between two tries; the first is 2 s, each further one twice as long.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A wait for a person's word is told when it has lasted so long: what a look or the group's file ends is none.
const WAIT_TOLD_AFTER: Duration = Duration::from_secs(5);
/// So many may be owed to one group's commands; the oldest is given up for the newest.
const OWED_MAX: usize = 64;
/// Longer texts are cut: they go into an environment.
const TEXT_MAX: usize = 2000;

/// What a command is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeOf {
    /// A run waits for a person.
    Held,
    /// A run ended otherwise than completed.
    Failed,
    /// A run ended as it should.
    Completed,
    /// Two sites are open at once: the command for what is held is called.
    SplitBrain,
}

impl NoticeOf {
    /// As the group's file calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeOf::Held => "held",
            NoticeOf::Failed => "failed",
            NoticeOf::Completed => "completed",
            NoticeOf::SplitBrain => "split-brain",
        }
    }
}

/// A group's commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commands {
    /// For a run that waits for a person.
    pub held: Option<PathBuf>,
    /// For a run that ended otherwise than completed.
    pub failed: Option<PathBuf>,
    /// For a run that ended as it should.
    pub completed: Option<PathBuf>,
}

impl Commands {
    fn of(&self, what: NoticeOf) -> Option<&PathBuf> {
        match what {
            NoticeOf::Held | NoticeOf::SplitBrain => self.held.as_ref(),
            NoticeOf::Failed => self.failed.as_ref(),
            NoticeOf::Completed => self.completed.as_ref(),
        }
    }
}

/// Something to be told, as it was when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Which command is called.
    pub what: NoticeOf,
    /// The run.
    pub run: RunId,
    /// `name:version`.
    pub workflow: String,
    /// Its epoch.
    pub epoch: Epoch,
    /// The site left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SiteId>,
    /// The site opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SiteId>,
    /// The run's state.
    pub state: RunState,
    /// Why it is held, or by which error it ended.
    pub text: String,
    /// Who started the run.
    pub who: Who,
    /// Why he did.
    pub why: String,
    /// The step that waits for a person's word, where nothing else holds the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Position>,
    /// When it happened.
    pub at: DateTime<Utc>,
}

/// One try: a command, and what it reads. Answered by [`crate::Input::Told`].
#[derive(Debug, Clone, PartialEq)]
pub struct Telling {
    /// Whose command.
    pub group: GroupId,
    /// The group's number for what is told.
    pub notice: u64,
    /// The command.
    pub program: PathBuf,
    /// The facts, an object of plain values.
    pub facts: Value,
}

/// How far telling is, in this life.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    since: Duration,
    tries: u32,
    /// What the last try said.
    last: Option<String>,
}

impl Core {
    /// After a restart: what is still owed is told.
    pub(crate) fn resume_notices(&mut self, now: Now) {
        let owed: Vec<(GroupId, u64)> = self
            .groups
            .iter()
            .flat_map(|(id, g)| g.record.notices.keys().map(|notice| (id.clone(), *notice)))
            .collect();
        for (group, notice) in owed {
            self.tell(now, &group, notice);
        }
    }

    /// The run is held: whoever the group's file names is told.
    pub(crate) fn owe_held(&mut self, now: Now, run: RunId, why: &str) {
        // Nothing may be told that is not recorded.
        self.flush(run);
        self.owe_notice(now, run, NoticeOf::Held, RunState::Held, why, None);
    }

    /// A step that only a person's word moves on: told once, when it has lasted.
    pub(crate) fn wait_for_person(&mut self, now: Now, key: &Key, how: String) {
        let Some(live) = self.lives.get_mut(key) else { return };
        live.wait(how.clone());
        let since = *live.asked.get_or_insert(now.boot);
        let told = || {
            let g = self.groups.get(live.group.as_ref()?)?;
            Some(g.record.waited.as_ref() == Some(key))
        };
        if now.boot >= since + WAIT_TOLD_AFTER && told() == Some(false) {
            self.flush(key.run);
            let step = Some(key.position.clone());
            self.owe_notice(now, key.run, NoticeOf::Held, RunState::Waiting, &how, step);
        }
    }

    /// The run has ended.
    pub(crate) fn owe_ended(&mut self, now: Now, run: RunId) {
        let Some((state, problem, _)) = self.runs.get(&run).and_then(|run| run.ended.clone()) else { return };
        let what = match state {
            RunState::Completed => NoticeOf::Completed,
            _ => NoticeOf::Failed,
        };
        let text = problem.map(|problem| problem.to_string()).unwrap_or_default();
        self.owe_notice(now, run, what, state, &text, None);
    }

    fn owe_notice(
        &mut self,
        now: Now,
        id: RunId,
        what: NoticeOf,
        state: RunState,
        text: &str,
        step: Option<Position>,
    ) {
        let Some(run) = self.runs.get(&id) else { return };
        let started = &run.started;
        let Some(group) = started.group.clone() else { return };
        let notice = Notice {
            what,
            run: id,
            workflow: started.workflow.clone(),
            epoch: started.epoch,
            from: started.from.clone(),
            to: started.to.clone(),
            state,
            text: text.chars().take(TEXT_MAX).collect(),
            who: started.who.clone(),
            why: started.why.chars().take(TEXT_MAX).collect(),
            step,
            at: now.wall,
        };
        self.note_owed(now, &group, notice);
    }

    /// Something about the group that is no run's; `run` holds its epoch.
    pub(crate) fn owe_alarm(
        &mut self,
        now: Now,
        group: &GroupId,
        run: RunId,
        what: NoticeOf,
        state: RunState,
        text: &str,
    ) {
        let Some(g) = self.groups.get(group) else { return };
        let notice = Notice {
            what,
            run,
            workflow: String::new(),
            epoch: g.record.epoch,
            from: None,
            to: None,
            state,
            text: text.chars().take(TEXT_MAX).collect(),
            who: Who { person: "runner".into(), claimed: String::new() },
            why: String::new(),
            step: None,
            at: now.wall,
        };
        self.note_owed(now, group, notice);
    }

    fn note_owed(&mut self, now: Now, group: &GroupId, notice: Notice) {
        let Some(g) = self.groups.get(group).filter(|g| g.plan.notify.of(notice.what).is_some()) else {
            return;
        };
        let surplus = (g.record.notices.len() + 1).saturating_sub(OWED_MAX);
        let oldest: Vec<u64> = g.record.notices.keys().copied().take(surplus).collect();
        let number = g.record.last_notice + 1;
        for old in oldest {
            self.end_notice(now, group, old, Some(format!("more than {OWED_MAX} wait to be told")));
        }
        self.append_group(now, group, &GroupEntry::NoticeOwed { notice: number, owed: Box::new(notice) });
        self.tell(now, group, number);
    }

    /// The next try.
    pub(crate) fn tell(&mut self, now: Now, group: &GroupId, number: u64) {
        let Some(g) = self.groups.get_mut(group) else { return };
        let Some(notice) = g.record.notices.get(&number) else { return };
        let Some(program) = g.plan.notify.of(notice.what).cloned() else {
            let why = format!("the group's file names no command for `{}` any more", notice.what.as_str());
            return self.end_notice(now, group, number, Some(why));
        };
        let tried = g.tried.entry(number).or_insert(Tried { since: now.boot, tries: 0, last: None });
        tried.tries += 1;
        let facts = facts(group, number, notice, g.record.active, tried.tries);
        let telling = Telling { group: group.clone(), notice: number, program, facts };
        self.out.effects.push(Effect::Tell(Box::new(telling)));
    }

    /// A try ended.
    pub(crate) fn on_told(&mut self, now: Now, group: &GroupId, number: u64, failed: Option<String>) {
        let Some(g) = self.groups.get_mut(group) else { return };
        let Some(tried) = g.tried.get_mut(&number) else { return };
        let Some(why) = failed else { return self.end_notice(now, group, number, None) };
        let lasted = now.boot.saturating_sub(tried.since);
        if lasted >= TRIED_WITHIN {
            let why = format!("{} tries in {} min; the last: {why}", tried.tries, lasted.as_secs() / 60);
            return self.end_notice(now, group, number, Some(why));
        }
        tried.last = Some(why);
        let pause = Duration::from_secs(1 << tried.tries.min(6)).min(PAUSE_MAX);
        self.timer(now.boot + pause, Timer::Notice(group.clone(), number));
    }

    fn end_notice(&mut self, now: Now, group: &GroupId, notice: u64, gave_up: Option<String>) {
        let Some(g) = self.groups.get_mut(group) else { return };
        let tries = g.tried.remove(&notice).map_or(0, |tried| tried.tries);
        self.append_group(now, group, &GroupEntry::NoticeEnded { notice, tries, gave_up });
    }

    /// What could not be told, one sentence each.
    pub(crate) fn untold(&self, group: &GroupId) -> Vec<String> {
        let Some(g) = self.groups.get(group) else { return Vec::new() };
        let waits = g.tried.iter().filter_map(|(number, tried)| {
            let (notice, last) = (g.record.notices.get(number)?, tried.last.as_ref()?);
            let (what, run) = (notice.what.as_str(), notice.run.short(4));
            Some(format!("notify.{what} of run {run} is not told yet, {} tries: {last}", tried.tries))
        });
        let given_up = g.record.untold.iter().map(|(at, why)| {
            format!("{why} (given up {}); the next that is told ends this", at.format("%H:%M:%SZ"))
        });
        waits.chain(given_up).collect()
    }
}

/// What a command is told. `active` is the run that has not ended.
fn facts(group: &GroupId, number: u64, notice: &Notice, active: Option<RunId>, tries: u32) -> Value {
    let short = notice.run.short(4);
    json!({
        // The same for each try, so that whoever is told twice can tell.
        "id": format!("{group}-notice-{number}"),
        "notify": notice.what,
        "group": group,
        "run": notice.run,
        "short": short,
        "workflow": notice.workflow,
        "epoch": notice.epoch,
        "from": notice.from,
        "to": notice.to,
        "state": notice.state,
        "text": notice.text,
        "who": notice.who.person,
        "why": notice.why,
        "at": notice.at,
        // A late word about a held run may be about one that went on meanwhile.
        "ended": active != Some(notice.run),
        "try": tries,
        "look": match notice.what {
            NoticeOf::SplitBrain => format!("pointsman status {group}"),
            _ => format!("pointsman show {short}"),
        },
    })
}

impl Record {
    pub(crate) fn apply_notice(&mut self, at: DateTime<Utc>, entry: &GroupEntry) {
        match entry {
            GroupEntry::NoticeOwed { notice, owed } => {
                self.last_notice = self.last_notice.max(*notice);
                if let Some(position) = owed.step.clone() {
                    self.waited = Some(Key { run: owed.run, position });
                }
                self.notices.insert(*notice, (**owed).clone());
            }
            GroupEntry::NoticeEnded { notice, gave_up, .. } => {
                let ended = self.notices.remove(notice);
                self.untold = gave_up.as_ref().map(|why| {
                    let what = ended.map_or_else(
                        || "a notice".to_owned(),
                        |n| format!("notify.{} of run {}", n.what.as_str(), n.run.short(4)),
                    );
                    (at, format!("{what} was never told: {why}"))
                });
            }
            _ => {}
        }
    }
}

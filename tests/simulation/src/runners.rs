//! What runners do in a world: they start, take inputs, die at a write, and their effects leave.

use std::time::Duration;

use journal::memory::Moment;
use runner_core::{BusRequest, Effect as RunnerEffect, Input as RunnerInput, ReplyTo};
use schemas::{Frame, MessageId};

use crate::event::Event;
use crate::runner::Came;
use crate::world::{Saved, World};

impl World {
    /// Starts a runner on its disk, unless it lives.
    pub fn start_runner(&mut self, runner: usize) {
        if self.runners[runner].alive.is_some() {
            return;
        }
        let now = self.runner_now();
        let came = self.runners[runner].start(&self.scene, now);
        self.came(runner, came);
    }

    /// Kills a runner now: what it had in mind is gone.
    pub fn kill_runner(&mut self, runner: usize) {
        self.note(|| format!("runner {runner} is killed"));
        self.runners[runner].alive = None;
        self.runner_died(runner);
    }

    pub(crate) fn runner_died(&mut self, runner: usize) {
        self.runners[runner].life.life += 1;
        if let Some(after) = self.restart {
            self.push(Event::StartRunner(runner), after);
        }
    }

    /// Hands an input to a runner, if it lives.
    pub fn to_runner(&mut self, runner: usize, input: RunnerInput) {
        let now = self.runner_now();
        let came = self.runners[runner].input(now, input);
        self.came(runner, came);
    }

    pub(crate) fn came(&mut self, runner: usize, came: Came) {
        for append in &came.durable {
            self.note(|| format!("runner {runner} wrote {} {}", append.kind, brief(&append.body)));
        }
        self.ghosts.durable(runner, &came.durable);
        self.note_ends(&came.durable);
        for effect in came.effects {
            self.released(runner, effect);
        }
        if came.died {
            self.note(|| format!("runner {runner} died at a write"));
            self.runner_died(runner);
        }
    }

    pub(crate) fn released(&mut self, runner: usize, effect: RunnerEffect) {
        match effect {
            RunnerEffect::Request(request) => self.ask(runner, request),
            RunnerEffect::Answer(to, reply) => {
                let slot = &mut self.runners[runner];
                if let Some(id) = slot.waiting.remove(&to) {
                    slot.answers.insert(id, *reply);
                    self.persons.remove(&id);
                }
            }
            // No group of a scene names a command.
            RunnerEffect::Tell(_) => {}
            RunnerEffect::Confirm(to, reply) => {
                if let Some((host, address)) = self.runners[runner].confirms.remove(&to) {
                    self.send(Event::May { to: host, address, reply });
                }
            }
        }
    }

    pub(crate) fn ask(&mut self, runner: usize, request: BusRequest) {
        let life = self.runners[runner].life;
        let prefix = self.scene.prefix();
        let (address, verb) = prefix.parse_request(&request.subject).unwrap_or_else(|e| panic!("{e}"));
        let frame = (!request.headers.is_empty()).then(|| {
            let headers = request.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            Box::new(Frame::from_headers(headers).unwrap_or_else(|e| panic!("{e:?}")))
        });
        self.push(Event::Patience { of: life, id: request.id }, request.patience);
        self.send(Event::Ask { from: life, id: request.id, address, verb, frame, body: request.body });
    }

    pub(crate) fn person_asks(&mut self, id: MessageId) {
        let Some((runner, request)) = self.persons.get(&id).cloned() else { return };
        let slot = &mut self.runners[runner];
        if slot.alive.is_some() {
            slot.last_reply += 1;
            let reply_to = ReplyTo(slot.last_reply);
            slot.waiting.insert(reply_to, id);
            let person = "anna".parse().unwrap_or_else(|e| panic!("{e}"));
            self.to_runner(runner, RunnerInput::Op { person, request: Box::new(request), reply_to });
        }
        // The command asks again, with the same id, until it is answered.
        self.push(Event::Person(id), Duration::from_secs(6));
    }

    /// A copy of a runner's disk as it is now.
    pub fn save_journal(&self, runner: usize) -> Saved {
        Saved { medium: self.runners[runner].medium.fork(), records: self.ghosts.records_of(runner) }
    }

    /// One more runner, on a copy of another one's disk.
    pub fn add_runner_on(&mut self, saved: &Saved) -> usize {
        self.ghosts.set_back(self.runners.len(), saved.records.clone());
        self.add_runner(saved.medium.fork())
    }

    /// A dead runner's disk is set back; it starts on it.
    pub fn restore_journal(&mut self, runner: usize, saved: &Saved) {
        self.kill_runner(runner);
        self.note(|| format!("the journal of runner {runner} is set back"));
        self.ghosts.set_back(runner, saved.records.clone());
        self.runners[runner].medium = saved.medium.fork();
        self.start_runner(runner);
    }

    /// At which write of its history a runner is to die, and on which side of it.
    pub fn runner_dies_at(&mut self, runner: usize, write: u64, moment: Moment) {
        let slot = &mut self.runners[runner];
        slot.die_at = Some((write, moment));
        if let Some(alive) = &slot.alive {
            alive.journal.die_at(write - slot.writes + alive.journal.writes(), moment);
        }
    }
}

fn brief(body: &serde_json::Map<String, serde_json::Value>) -> String {
    serde_json::Value::Object(body.clone()).to_string().chars().take(160).collect()
}

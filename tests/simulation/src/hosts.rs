//! What hosts do in a world: their services start, take inputs, die at a point, and their effects leave.

use std::time::Duration;

use runner_core::Answered;
use schemas::{Address, Beat, Code, Frame, Problem, Verb, args};
use service_core::{Acted, Answered as Said, Ask, Effect, Input, Step};

use crate::event::Event;
use crate::ground::{Point, StatementId};
use crate::host::{Asker, Lost};
use crate::world::{HOP, World};

/// Between two beats.
const BEAT: Duration = Duration::from_secs(2);

impl World {
    /// Starts a host's service on its ledger, unless it lives.
    pub fn start_host(&mut self, name: &str) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.core.is_some() {
            return;
        }
        host.start();
        let this = host.this();
        self.push(Event::Pulse { host: this }, HOP);
    }

    /// Kills a host's service now; the statements it made are orphans.
    pub fn kill_host(&mut self, name: &str, lost: Lost) {
        self.note(|| format!("{name} is killed: {lost:?}"));
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.die(lost);
        let mut orphans = Vec::new();
        self.ground.statements.retain(|id, statement| {
            if statement.address.site.as_str() != name || statement.orphan {
                return true;
            }
            statement.orphan = true;
            orphans.push(*id);
            statement.at < Point::Effect && lost != Lost::Power
        });
        if let Some(after) = self.orphans_commit {
            for orphan in orphans {
                self.push(Event::Orphan(orphan), after);
            }
        }
        if let Some(after) = self.restart {
            self.push(Event::StartHost(name.into()), after);
        }
    }

    /// Kills a host's service; it is started by [`World::heal`] only.
    pub fn kill_host_for_good(&mut self, name: &str) {
        let restart = self.restart.take();
        self.kill_host(name, Lost::Process);
        self.restart = restart;
    }

    /// The host's brake.
    pub fn arm(&mut self, name: &str, armed: bool) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.armed = armed;
        }
        self.to_host(name, Input::Armed(armed));
    }

    pub(crate) fn pulse(&mut self, name: &str) {
        let Some(host) = self.hosts.get(name) else { return };
        let Some(core) = &host.core else { return };
        let beat = Beat {
            resources: host.resources.iter().map(|r| r.address.clone()).collect(),
            ledger: core.ledger(),
            adopted: core.adopted(),
            armed: core.armed(),
            version: "0".into(),
            at: self.wall(),
        };
        let this = host.this();
        for runner in 0..self.runners.len() {
            self.send(Event::Beat { from: name.into(), runner, beat: beat.clone() });
        }
        self.push(Event::Pulse { host: this }, BEAT);
    }

    pub(crate) fn arrives(&mut self, asker: Asker, frame: Option<Box<Frame>>, body: &[u8]) {
        let name = asker.address.site.as_str().to_owned();
        let there = self.hosts.get(&name).is_some_and(|host| {
            host.core.is_some() && host.resources.iter().any(|r| r.address == asker.address)
        });
        if !there {
            // The bus says so only of what it delivered to nobody: no copy of it came before, and none comes later.
            if self.delivered.contains(&(asker.life, asker.id)) {
                return;
            }
            let same = |event: &Event| matches!(event, Event::Ask { from, id, .. } if *from == asker.life && *id == asker.id);
            self.queue.retain(|_, event| !same(event));
            self.frozen.retain(|event| !same(event));
            return self.reply(&asker, Answered::NoResponders);
        }
        self.delivered.insert((asker.life, asker.id));
        let ask = match read(&asker, frame, body) {
            Ok(ask) => ask,
            Err(problem) => {
                let body = serde_json::to_vec(&problem).unwrap_or_default();
                return self.reply(&asker, Answered::Reply(body));
            }
        };
        let Some(host) = self.hosts.get_mut(&name) else { return };
        let address = asker.address.clone();
        let ticket = host.ticket(asker);
        let nonce = host.nonce();
        self.to_host(&name, Input::Asked { ticket, address, ask, nonce });
    }

    pub(crate) fn reply(&mut self, to: &Asker, answer: Answered) {
        let Asker { life, id, address, verb } = to.clone();
        self.send(Event::Answer { to: life, id, address, verb, answer });
    }

    /// A point at which the service may be killed; says whether it was.
    pub(crate) fn point(&mut self, name: &str) -> bool {
        let Some(host) = self.hosts.get_mut(name) else { return true };
        host.points += 1;
        let dies = self.death.as_ref().is_some_and(|death| death.host == name && death.at == host.points);
        let by_chance = self.chance.as_mut().filter(|chance| chance.kills > 0).and_then(|chance| {
            let power = chance.dice.once_in(3);
            chance.dice.once_in(chance.kills).then_some(if power { Lost::Power } else { Lost::Process })
        });
        let lost = match (&self.death, by_chance) {
            (Some(death), _) if dies => death.lost,
            (_, Some(lost)) => lost,
            _ => return false,
        };
        if dies {
            self.death = None;
        }
        self.kill_host(name, lost);
        true
    }

    /// Hands an input to a host's core, if it lives; its records are written, then its effects leave.
    pub fn to_host(&mut self, name: &str, input: Input) {
        let now = self.service_now();
        let Some(core) = self.hosts.get_mut(name).and_then(|host| host.core.as_mut()) else { return };
        let Step { records, sync, rose, effects } = core.step(now, input);
        let answers = effects.iter().any(|e| matches!(e, Effect::Answer { .. }));
        if !records.is_empty() {
            // Before anything is written: the step never was.
            if self.point(name) {
                return;
            }
            for record in &records {
                self.note(|| format!("{name} wrote {}", brief_record(record)));
            }
            if let Some(host) = self.hosts.get_mut(name) {
                host.write(records, sync);
                if rose {
                    host.rewrite();
                }
            }
        }
        // Written, and nothing left yet: no act begins, no reply leaves.
        if (sync || answers) && self.point(name) {
            return;
        }
        for effect in effects {
            self.leaves(name, effect);
        }
    }

    pub(crate) fn leaves(&mut self, name: &str, effect: Effect) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let this = host.this();
        match effect {
            Effect::Answer { ticket, answered } => {
                let Some(asker) = host.tickets.remove(&ticket) else { return };
                let body = match answered {
                    Said::Reply(reply) => serde_json::to_vec(&reply),
                    Said::Claim(claim) => {
                        if claim.granted {
                            self.ghosts.acknowledged(&asker.address, claim.epoch);
                        }
                        serde_json::to_vec(&claim)
                    }
                    Said::Observation(seen) => serde_json::to_vec(&seen),
                    Said::Problem(problem) => serde_json::to_vec(&problem),
                };
                self.reply(&asker, Answered::Reply(body.unwrap_or_default()));
            }
            Effect::Confirm { request, .. } => {
                let mut asked = false;
                for runner in 0..self.runners.len() {
                    if self.runners[runner].alive.is_some() {
                        asked = true;
                        self.send(Event::MayI { from: this.clone(), runner, request: request.clone() });
                    }
                }
                if !asked {
                    let yes = Err(Problem::new(Code::NoRunner, "no runner listens"));
                    self.to_host(name, Input::Confirmed { nonce: request.nonce, yes });
                }
            }
            Effect::Act { op, address, order } => {
                let statement = self.ground.begin(&address, order);
                if !self.point(name) {
                    self.statement_goes_on(this, op, statement);
                }
            }
            other => self.push(Event::Hand { host: this, effect: Box::new(other) }, HOP),
        }
    }

    pub(crate) fn hand(&mut self, name: &str, effect: Effect) {
        let input = match effect {
            Effect::Check { op, .. } => Input::Checked { op, result: Ok(()) },
            Effect::Look { op, address, action, args } => {
                Input::Looked { op, looked: self.ground.look(&address, action, &args) }
            }
            Effect::End { op, address, .. } => {
                self.ground.end_orphans(&address);
                Input::Ended { op, result: Ok(()) }
            }
            Effect::Raise { op, address, epoch, run, .. } => {
                Input::Raised { op, result: self.ground.raise(&address, epoch, run) }
            }
            Effect::See { op, address } => Input::Seen { op, seen: self.ground.seen(&address) },
            Effect::Act { .. } | Effect::Confirm { .. } | Effect::Answer { .. } => return,
        };
        self.to_host(name, input);
    }

    pub(crate) fn statement_moves(
        &mut self,
        host: (String, u32),
        op: service_core::OpId,
        statement: StatementId,
    ) {
        if !self.lives(&host) {
            return;
        }
        let address = self.ground.statements.get(&statement).map(|s| s.address.clone());
        let order = self.ground.statements.get(&statement).map(|s| s.order.clone());
        let moved = self.ground.advance(statement, self.now);
        match moved {
            Ok(Some(_)) => {
                if !self.point(&host.0) {
                    self.statement_goes_on(host, op, statement);
                }
            }
            Ok(None) => {
                let output = match (address, order) {
                    (Some(address), Some(order)) => self.ground.look(&address, order.action, &order.args),
                    _ => return,
                };
                let acted = match output {
                    service_core::Looked::InEffect(output) => Acted::Done(output),
                    _ => Acted::NotDone(Problem::new(Code::Failed, "it is not in effect afterwards")),
                };
                self.push(Event::Told { host, op, acted }, HOP);
            }
            Err(problem) => self.push(Event::Told { host, op, acted: Acted::NotDone(problem) }, HOP),
        }
    }

    /// A driver may be stopped between two points: what it has in hand is held as `stopped`.
    pub(crate) fn statement_goes_on(
        &mut self,
        host: (String, u32),
        op: service_core::OpId,
        statement: StatementId,
    ) {
        let at = self.ground.statements.get(&statement).map(|s| s.at);
        let stops = self.stop_at.as_ref().is_some_and(|(name, point)| *name == host.0 && Some(*point) == at);
        let event = Event::Statement { host, op, statement };
        match stops {
            true => self.held.push(("stopped", event)),
            false => self.push(event, HOP),
        }
    }

    /// Orphans of a resource move on from now, if there are any.
    pub fn commit_orphans(&mut self, address: &Address) {
        for orphan in self.ground.orphans(address) {
            self.push(Event::Orphan(orphan), HOP);
        }
    }
}

fn read(asker: &Asker, frame: Option<Box<Frame>>, body: &[u8]) -> Result<Ask, Problem> {
    let bad = |e: serde_json::Error| Problem::new(Code::Malformed, e.to_string());
    Ok(match asker.verb {
        // The simulated runner looks at no preconditions.
        Verb::Check => return Err(Problem::new(Code::UnknownSubject, "check")),
        Verb::Observe => Ask::Observe,
        Verb::Claim => Ask::Claim(serde_json::from_slice(body).map_err(bad)?),
        Verb::Outcome => Ask::Outcome(serde_json::from_slice(body).map_err(bad)?),
        Verb::Adopt => Ask::Adopt(serde_json::from_slice(body).map_err(bad)?),
        Verb::ByHand => return Err(Problem::new(Code::UnknownSubject, "nothing is done by hand here")),
        Verb::Act(action) => {
            let args = serde_json::from_slice(body).map_err(bad)?;
            args::check(&asker.address, action, &args)?;
            let frame = *frame.ok_or_else(|| Problem::new(Code::Malformed, "no frame"))?;
            Ask::Act { frame, action, args }
        }
    })
}

fn brief_record(record: &service_core::Record) -> String {
    serde_json::to_string(record).unwrap_or_default().chars().take(200).collect()
}

//! What is on its way: messages of the bus, and what each part has to do next.

use runner_core::Answered;
use schemas::{Action, Address, Attempt, Beat, ConfirmReply, ConfirmRequest, Epoch, Frame, Prefix, Verb};
use serde_json::Value;
use service_core::{Acted, Effect, OpId};

use crate::ground::StatementId;
use crate::runner::Life;
pub use runner_core::RequestId;

/// Something that happens next, unless the test has other plans.
#[derive(Debug, Clone)]
pub enum Event {
    /// A runner's request arrives at a host.
    Ask {
        /// Who asks.
        from: Life,
        /// Named so by him.
        id: RequestId,
        /// The resource.
        address: Address,
        /// What is asked.
        verb: Verb,
        /// The frame of an act.
        frame: Option<Box<Frame>>,
        /// The body.
        body: Vec<u8>,
    },
    /// The answer arrives at the runner.
    Answer {
        /// Who asked.
        to: Life,
        /// Named so by him.
        id: RequestId,
        /// Of which resource.
        address: Address,
        /// What was asked.
        verb: Verb,
        /// What came.
        answer: Answered,
    },
    /// The runner has waited long enough for an answer.
    Patience {
        /// Who.
        of: Life,
        /// For which.
        id: RequestId,
    },
    /// A host asks a runner: may I open now?
    MayI {
        /// The host and its life.
        from: (String, u32),
        /// Which runner.
        runner: usize,
        /// The question.
        request: ConfirmRequest,
    },
    /// Yes or no arrives at the host.
    May {
        /// The host and its life.
        to: (String, u32),
        /// Of which resource.
        address: Address,
        /// The answer.
        reply: ConfirmReply,
    },
    /// A beat arrives at a runner.
    Beat {
        /// Of which host.
        from: String,
        /// Which runner.
        runner: usize,
        /// It.
        beat: Beat,
    },
    /// A driver comes back with what it was asked.
    Hand {
        /// The host and its life.
        host: (String, u32),
        /// What was asked.
        effect: Box<Effect>,
    },
    /// A statement moves on.
    Statement {
        /// The host and its life.
        host: (String, u32),
        /// Named so by the core.
        op: OpId,
        /// Which.
        statement: StatementId,
    },
    /// The end of a statement is told to its service.
    Told {
        /// The host and its life.
        host: (String, u32),
        /// Named so by the core.
        op: OpId,
        /// How it ended.
        acted: Acted,
    },
    /// An orphan moves on.
    Orphan(StatementId),
    /// A service looks at a database whose server was started anew.
    Judge(Address),
    /// A host's service says that it lives, and will again.
    Pulse {
        /// The host and its life.
        host: (String, u32),
    },
    /// A killed service is started.
    StartHost(String),
    /// A killed runner is started.
    StartRunner(usize),
    /// A person's command asks (again).
    Person(schemas::MessageId),
}

impl Event {
    /// The host whose link it passes; none if it passes none.
    pub fn host(&self) -> Option<&str> {
        match self {
            Event::Ask { address, .. } | Event::Answer { address, .. } => Some(address.site.as_str()),
            Event::MayI { from: (host, _), .. } | Event::May { to: (host, _), .. } => Some(host),
            Event::Beat { from, .. } => Some(from),
            _ => None,
        }
    }

    /// The runner whose link it passes.
    pub fn runner(&self) -> Option<usize> {
        match self {
            Event::Ask { from: life, .. } | Event::Answer { to: life, .. } => Some(life.runner),
            Event::MayI { runner, .. } | Event::Beat { runner, .. } => Some(*runner),
            _ => None,
        }
    }

    /// Whether it asks `site` for `action`.
    pub fn asks(&self, site: &str, action: Action) -> bool {
        matches!(self, Event::Ask { address, verb: Verb::Act(asked), .. }
            if address.site.as_str() == site && *asked == action)
    }

    /// Whether it asks anything of this kind at `site`.
    pub fn asks_verb(&self, site: &str, verb: Verb) -> bool {
        matches!(self, Event::Ask { address, verb: asked, .. }
            if address.site.as_str() == site && *asked == verb)
    }

    /// Whether it answers a request for `action` at `site`.
    pub fn answers(&self, site: &str, action: Action) -> bool {
        matches!(self, Event::Answer { address, verb: Verb::Act(asked), .. }
            if address.site.as_str() == site && *asked == action)
    }

    /// Whether it answers anything of this kind at `site`.
    pub fn answers_verb(&self, site: &str, verb: Verb) -> bool {
        matches!(self, Event::Answer { address, verb: asked, .. }
            if address.site.as_str() == site && *asked == verb)
    }

    /// The attempt of an act's request.
    pub fn attempt(&self) -> Option<Attempt> {
        match self {
            Event::Ask { frame: Some(frame), .. } => Some(frame.attempt),
            _ => None,
        }
    }

    /// The epoch of a request: an act's, a claim's, an outcome's.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Event::Ask { frame: Some(frame), .. } => Some(frame.epoch),
            Event::Ask { body, .. } => {
                let body: Value = serde_json::from_slice(body).ok()?;
                body["epoch"].as_u64().map(Epoch)
            }
            Event::MayI { request, .. } => Some(request.epoch),
            _ => None,
        }
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let prefix = Prefix::new("p").map_err(|_| std::fmt::Error)?;
        match self {
            Event::Ask { from, address, verb, frame, .. } => {
                write!(f, "{from} asks {}", prefix.request(address, *verb))?;
                match frame {
                    Some(frame) => write!(f, " e{} {} #{}", frame.epoch, frame.key.position, frame.attempt),
                    None => Ok(()),
                }
            }
            Event::Answer { to, address, verb, answer, .. } => {
                let text = match answer {
                    Answered::Reply(body) => {
                        let body: Value = serde_json::from_slice(body).unwrap_or_default();
                        let code = &body["problem"]["code"];
                        match body.get("granted") {
                            Some(granted) => format!("granted {granted} e{} {code}", body["epoch"]),
                            None => format!("{} {code} void {}", body["answer"], body["void"]),
                        }
                    }
                    other => format!("{other:?}"),
                };
                write!(f, "{to} hears of {}: {text}", prefix.request(address, *verb))
            }
            Event::Patience { of, id } => write!(f, "{of} waits no longer for {}", id.0),
            Event::MayI { from, runner, request } => {
                write!(
                    f,
                    "{} asks runner {runner}: may I open, e{} #{}",
                    from.0, request.epoch, request.attempt
                )
            }
            Event::May { to, reply, .. } => {
                write!(f, "{} hears {}", to.0, if reply.yes { "yes" } else { "no" })
            }
            Event::Beat { from, runner, .. } => write!(f, "{from} beats to runner {runner}"),
            Event::Hand { host, effect } => {
                let kind = format!("{effect:?}");
                write!(f, "{}: {}", host.0, kind.split_whitespace().next().unwrap_or_default())
            }
            Event::Statement { host, statement, .. } => {
                write!(f, "{}: statement {} moves", host.0, statement.0)
            }
            Event::Told { host, acted, .. } => write!(f, "{}: told {acted:?}", host.0),
            Event::Orphan(statement) => write!(f, "orphan {} moves", statement.0),
            Event::Judge(database) => write!(f, "{database} is looked at after a boot"),
            Event::Pulse { host } => write!(f, "{} pulses", host.0),
            Event::StartHost(host) => write!(f, "{host} starts"),
            Event::StartRunner(runner) => write!(f, "runner {runner} starts"),
            Event::Person(_) => write!(f, "a person asks"),
        }
    }
}

/// What becomes of an event that a tap takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Kept until the test lets it go.
    Hold,
    /// Never arrives.
    Lose,
    /// Arrives, and a copy is kept.
    Double,
}

/// Takes events out of the stream as they are sent.
pub struct Tap {
    /// Named so by the test.
    pub name: &'static str,
    /// Which ones.
    pub takes: Box<dyn Fn(&Event) -> bool>,
    /// What becomes of them.
    pub then: Then,
}

//! The rule: nothing that follows from an entry leaves before the entry is durable (laws 1, 2 and 5).

use std::collections::BTreeMap;

use schemas::op::OpReply;
use schemas::{AdoptRequest, Attempt, MessageId};
use schemas::{
    Answer, ClaimReply, ClaimRequest, CloudEvent, ConfirmReply, ConfirmRequest, Frame, Key, OutcomeRequest,
    Prefix, Reply, RunId, Verb,
};

use super::bus::{Sent, sent};
use super::disk::{Journal, Ledger, Since};
use super::strace::Call;

/// What was looked at, and what broke the rule.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How many of each kind.
    pub(crate) checked: BTreeMap<&'static str, usize>,
    /// The subjects of the acts that were asked, in order.
    pub(crate) acts: Vec<String>,
    /// The sentence of each breach, by the same kinds.
    pub(crate) broken: Vec<(&'static str, String)>,
}

impl Verdict {
    /// `what` was let out at `begin` and follows from something on disk, or in the file at least.
    fn follows(&mut self, kind: &'static str, what: &str, begin: usize, from: Option<Since>, need: Need) {
        *self.checked.entry(kind).or_default() += 1;
        let why = match (from, need) {
            (None, _) => "nothing of it was ever written",
            (Some(since), _) if since.written > begin => "it was written later",
            (Some(_), Need::Written) => return,
            (Some(Since { durable: Some(durable), .. }), Need::Synced) if durable < begin => return,
            (Some(_), Need::Synced) => "it was not synced before",
        };
        self.broken.push((kind, format!("{what}: {why}")));
    }
}

#[derive(Clone, Copy)]
enum Need {
    Written,
    Synced,
}

/// What only both ends of the bus know together.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    /// The subject of the request whose answer goes to this inbox.
    asked: BTreeMap<String, String>,
    /// The opening that a question is about.
    questions: BTreeMap<MessageId, (Key, Attempt)>,
}

impl Exchanges {
    pub(crate) fn of<'a>(all: impl IntoIterator<Item = &'a [Call]>) -> Exchanges {
        let mut exchanges = Exchanges::default();
        for message in all.into_iter().flat_map(sent) {
            if let Ok(question) = serde_json::from_slice::<ConfirmRequest>(&message.body) {
                exchanges.questions.insert(question.nonce, (question.key, question.attempt));
            }
            if let Some(reply) = message.reply {
                exchanges.asked.insert(reply, message.subject);
            }
        }
        exchanges
    }
}

/// Everything that the runner sent.
pub(crate) fn runner(calls: &[Call], prefix: &Prefix, exchanges: &Exchanges) -> Verdict {
    let journal = Journal::of(calls);
    let mut verdict = Verdict::default();
    for message in sent(calls) {
        if let Ok((address, verb)) = prefix.parse_request(&message.subject) {
            request(&mut verdict, &journal, &message, verb);
            if matches!(verb, Verb::Act(_)) {
                verdict.acts.push(format!("{address} {}", message.subject.rsplit('.').next().unwrap_or("")));
            }
        } else if message.subject.contains(".event.out.") {
            let event = CloudEvent::read([("Content-Type", "application/cloudevents+json")], &message.body);
            let from = event.ok().and_then(|event| {
                let (owner, seq) = event.id.rsplit_once('-')?;
                let run = format!("run/{owner}");
                let stream = owner.strip_prefix("group-").map_or(run, |group| format!("group/{group}"));
                journal.entries.get(&(stream, seq.parse().ok()?)).copied()
            });
            verdict.follows("event", &message.subject, message.begin, from, Need::Synced);
        } else if let Ok(answer) = serde_json::from_slice::<ConfirmReply>(&message.body) {
            if answer.yes {
                let about = exchanges.questions.get(&answer.nonce);
                let from = about.and_then(|key| journal.sendings.get(key)).copied();
                verdict.follows("yes", "a yes", message.begin, from, Need::Synced);
            }
        } else if let Ok(answer) = serde_json::from_slice::<OpReply>(&message.body) {
            person(&mut verdict, &journal, &message, &answer);
        }
    }
    verdict
}

fn request(verdict: &mut Verdict, journal: &Journal, message: &Sent, verb: Verb) {
    fn body<T: serde::de::DeserializeOwned>(message: &Sent) -> Option<T> {
        serde_json::from_slice(&message.body).ok()
    }
    let (kind, from) = match verb {
        Verb::Observe | Verb::Check | Verb::ByHand => return,
        Verb::Act(_) => {
            let headers = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let frame = Frame::from_headers(headers).ok();
            ("act", frame.and_then(|f| journal.sendings.get(&(f.key, f.attempt)).copied()))
        }
        Verb::Outcome => {
            let asked: Option<OutcomeRequest> = body(message);
            ("outcome", asked.and_then(|o| journal.sendings.get(&(o.key, o.attempt)).copied()))
        }
        Verb::Claim => {
            let claim: Option<ClaimRequest> = body(message);
            // It tells the run's latest number, so that entry must be there as well as the epoch's.
            let latest = claim.as_ref().and_then(|c| entry(journal, c.run, c.sequence));
            if claim.as_ref().is_some_and(|claim| claim.sequence > 0) {
                verdict.follows("claim", &message.subject, message.begin, latest, Need::Synced);
            }
            ("claim", claim.and_then(|c| journal.epochs.get(&c.run).copied()))
        }
        Verb::Adopt => {
            let adopt: Option<AdoptRequest> = body(message);
            ("adopt", adopt.and_then(|a| journal.epochs.get(&a.run).copied()))
        }
    };
    verdict.follows(kind, &message.subject, message.begin, from, Need::Synced);
}

fn entry(journal: &Journal, run: RunId, seq: u64) -> Option<Since> {
    journal.entries.get(&(format!("run/{run}"), seq)).copied()
}

/// What a person is answered: a change as it was recorded, a run no further than it was recorded.
fn person(verdict: &mut Verdict, journal: &Journal, message: &Sent, answer: &OpReply) {
    let from = match answer {
        OpReply::Started { .. } | OpReply::Recorded { .. } => {
            let told: serde_json::Value = serde_json::from_slice(&message.body).unwrap_or_default();
            journal.answers.iter().find(|(recorded, _)| *recorded == told).map(|(_, since)| *since)
        }
        OpReply::Run(run) => entry(journal, run.id, run.sequence),
        _ => return,
    };
    verdict.follows("person", "an answer to a person", message.begin, from, Need::Synced);
}

/// Everything that a host's services sent, and did.
pub(crate) fn services(calls: &[Call], prefix: &Prefix, exchanges: &Exchanges) -> Verdict {
    let ledger = Ledger::of(calls);
    let mut verdict = Verdict::default();
    for (key, begin) in &ledger.effects {
        verdict.follows("effect", &key.0.to_string(), *begin, ledger.started.get(key).copied(), Need::Synced);
    }
    for message in sent(calls) {
        if let Ok(question) = serde_json::from_slice::<ConfirmRequest>(&message.body) {
            let from = ledger.started.get(&(question.key, question.attempt)).copied();
            verdict.follows("question", &message.subject, message.begin, from, Need::Synced);
        } else if let Ok(reply) = serde_json::from_slice::<Reply>(&message.body) {
            answer(&mut verdict, &ledger, &message, &reply);
        } else if let Ok(reply) = serde_json::from_slice::<ClaimReply>(&message.body)
            && reply.granted
            && let Some(run) = reply.run
        {
            let asked = exchanges.asked.get(&message.subject);
            let asked = asked.and_then(|subject| prefix.parse_request(subject).ok());
            let (kind, from) = match asked {
                Some((_, Verb::Adopt)) => ("adopted", ledger.adopted.get(&(run, reply.epoch.0))),
                // An adoption holds its epoch for all resources of its group; they are claimed again by nobody.
                Some((address, _)) => {
                    let line = ledger.claimed.get(&(address.to_string(), run, reply.epoch.0));
                    ("claimed", line.or_else(|| ledger.adopted.get(&(run, reply.epoch.0))))
                }
                None => ("claimed", None),
            };
            verdict.follows(kind, "a claim's answer", message.begin, from.copied(), Need::Synced);
        }
    }
    verdict
}

fn answer(verdict: &mut Verdict, ledger: &Ledger, message: &Sent, reply: &Reply) {
    let key = (reply.key.clone(), reply.attempt);
    let what = reply.key.to_string();
    match reply.answer {
        Answer::Refused if !reply.void => return,
        Answer::Refused => {
            let from = ledger.void.get(&key).copied();
            return verdict.follows("void", &what, message.begin, from, Need::Synced);
        }
        _ => {}
    }
    verdict.follows("reply", &what, message.begin, ledger.started.get(&key).copied(), Need::Synced);
    if reply.answer != Answer::InProgress {
        // Its end needs no sync: what was started is looked at again after a crash (law 5).
        verdict.follows("end", &what, message.begin, ledger.ended.get(&key).copied(), Need::Written);
    }
}

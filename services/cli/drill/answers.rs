//! What a person would be asked on the night. The drill takes each named risk, and keeps the question.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemas::duration::Iso;
use schemas::op::Op;
use schemas::view::{RunState, RunView};
use schemas::{LossBound, RunId, SiteId};

use crate::bus::Bus;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// In memory there is nothing to lose: a drill takes any loss.
const ANY_LOSS: LossBound = LossBound::AtMost(Iso(Duration::from_secs(1000 * 86_400)));
const WHY: &str = "a drill";
/// A run that has not ended by then is left as it is.
const WITHIN: Duration = Duration::from_secs(15 * 60);

/// The questions so far, each once.
#[derive(Default)]
pub(super) struct Asked(Mutex<Vec<String>>);

impl Asked {
    pub(super) fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is new.
    fn note(&self, question: &str) -> bool {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = !asked.iter().any(|known| known == question);
        if new {
            asked.push(question.to_owned());
        }
        new
    }
}

/// A risk that a wait names.
#[derive(Debug, PartialEq)]
enum Risk {
    Unfenced(SiteId),
    Loss,
}

/// Takes the risks for which a run waits; returns when it is held, or takes too long: then somebody would have to
/// think.
pub(super) async fn answer(run: &RunId, bus: &Bus, asked: &Asked) -> anyhow::Result<RunView> {
    let until = Instant::now() + WITHIN;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(view) = super::fetch(run, bus).await else { continue };
        for wait in &view.waits_for {
            let Some(risk) = risk(wait) else { continue };
            let (op, question) = match risk {
                Risk::Unfenced(site) => (
                    Op::Accept { run: run.to_string(), unfenced: Some(site.clone()), data_loss: None },
                    format!("may {site} still be open? (`accept --unfenced {site}`)"),
                ),
                Risk::Loss => (
                    Op::Accept { run: run.to_string(), unfenced: None, data_loss: Some(ANY_LOSS) },
                    format!("may this be lost? (`accept --data-loss`) {}", said(wait)),
                ),
            };
            if asked.note(&question) {
                bus.change(op, WHY, None).await?;
            }
        }
        let late = Instant::now() > until && !view.state.ended();
        if late || matches!(view.state, RunState::Held | RunState::Paused) {
            for wait in &view.waits_for {
                asked.note(wait);
            }
            return Ok(view);
        }
    }
}

/// The risk that would end a wait, as its command says.
fn risk(wait: &str) -> Option<Risk> {
    let mut words = wait.split_whitespace().skip_while(|word| *word != "accept");
    while let Some(word) = words.next() {
        match word {
            "--unfenced" => return words.next()?.parse().ok().map(Risk::Unfenced),
            "--data-loss" => return Some(Risk::Loss),
            _ => {}
        }
    }
    None
}

/// What a wait says before its command.
fn said(wait: &str) -> &str {
    wait.split(": pointsman").next().unwrap_or(wait)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{Risk, risk, said};

    #[test]
    fn the_command_of_a_wait_names_its_risk() {
        let unfenced = "2 await main: no proof: pointsman accept 7f3a --unfenced main --why …";
        assert_eq!(risk(unfenced), Some(Risk::Unfenced("main".parse().unwrap())));
        let loss = "5 open config: 40 s of writes; the limit is PT30S: pointsman accept 7f3a --data-loss DURATION --why …";
        assert_eq!(risk(loss), Some(Risk::Loss));
        assert_eq!(said(loss), "5 open config: 40 s of writes; the limit is PT30S");
        assert_eq!(risk("an answer to what became of it"), None);
        assert_eq!(risk("3 drain csp: pointsman retry 7f3a 3 --why …"), None);
    }
}

//! How a person would do an act: asked of the services, for the printed runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemas::op::{ByHandAsk, ByHandText};
use schemas::{Address, ByHandAct, ByHandReply, ByHandRequest, GroupId, Verb};

use crate::core::{Asked, Core, Timer};
use crate::query::{Purpose, Query};
use crate::seam::{Answered, Now, ReplyTo};

/// How long the services' answers are awaited.
const WITHIN: Duration = Duration::from_millis(800);

impl Core {
    pub(crate) fn ask_by_hand(&mut self, now: Now, reply_to: ReplyTo, group: GroupId, asks: Vec<ByHandAsk>) {
        let places: Vec<Address> = asks.iter().map(|ask| ask.address.clone()).collect();
        let mut acts: BTreeMap<Address, Vec<ByHandAct>> = BTreeMap::new();
        for ask in asks {
            acts.entry(ask.address).or_default().push(ByHandAct { action: ask.action, args: ask.args });
        }
        let texts = vec![ByHandText::default(); places.len()];
        let waiting: BTreeSet<Address> = acts.keys().cloned().collect();
        let id = self.next_query();
        let due = now.boot + WITHIN;
        let purpose = Purpose::ByHand { reply_to, places, texts };
        self.queries.insert(id, Query::new(purpose, waiting, due));
        self.timer(due, Timer::Query(id));
        for (address, acts) in acts {
            let subject = self.prefix.request(&address, Verb::ByHand);
            let body = serde_json::to_vec(&ByHandRequest { group: group.clone(), acts }).unwrap_or_default();
            self.ask(Asked::ByHand { address, query: id }, subject, Vec::new(), body, WITHIN);
        }
        self.check_query(now, id);
    }

    pub(crate) fn on_by_hand(&mut self, now: Now, address: &Address, id: u64, answer: Answered) {
        let Some(query) = self.queries.get_mut(&id) else { return };
        if let (Purpose::ByHand { places, texts, .. }, Answered::Reply(body)) = (query.purpose(), answer)
            && let Ok(reply) = serde_json::from_slice::<ByHandReply>(&body)
        {
            let mut said = reply.acts.into_iter();
            for (place, text) in places.iter().zip(texts.iter_mut()) {
                if place == address {
                    *text = ByHandText { lines: said.next(), host: Some(reply.host.clone()) };
                }
            }
        }
        query.answered(address);
        self.check_query(now, id);
    }
}

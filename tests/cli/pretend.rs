//! A runner that answers what the test says, and what it shows.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use lab::nats::{Nats, NatsOptions};
use schemas::op::{Fact, OpReply, OpRequest, Preview, Who};
use schemas::view::{GroupView, Mode, RunState, RunView, SiteView, StepView};
use schemas::{Address, Epoch, Prefix};
use serde_json::json;

use crate::BOUND;

type Answer = dyn Fn(&OpRequest) -> Option<Vec<u8>> + Send + Sync;

/// A NATS server and the runner on it; both end with it.
pub(crate) struct Runner {
    nats: Nats,
    asked: Arc<Mutex<Vec<OpRequest>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Runner {
    /// Answers each request with what `answer` says; nothing: it stays silent.
    pub(crate) fn start(answer: impl Fn(&OpRequest) -> Option<OpReply> + Send + Sync + 'static) -> Runner {
        Runner::start_raw(move |request| answer(request).map(|reply| serde_json::to_vec(&reply).unwrap()))
    }

    /// The same with the bytes of the answer.
    pub(crate) fn start_raw(
        answer: impl Fn(&OpRequest) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Runner {
        let nats = Nats::start(NatsOptions::default()).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let subscribed = runtime.block_on(async {
            let client = async_nats::connect(nats.url()).await.unwrap();
            let requests = client.subscribe(Prefix::new("pointsman").unwrap().ops()).await.unwrap();
            tokio::time::timeout(BOUND, client.flush()).await.unwrap().unwrap();
            (client, requests)
        });
        runtime.spawn(serve(subscribed.0, subscribed.1, Arc::clone(&asked), Box::new(answer)));
        Runner { nats, asked, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        self.nats.url()
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<OpRequest> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    client: async_nats::Client,
    mut requests: async_nats::Subscriber,
    asked: Arc<Mutex<Vec<OpRequest>>>,
    answer: Box<Answer>,
) {
    while let Some(message) = requests.next().await {
        let request: OpRequest = serde_json::from_slice(&message.payload).unwrap();
        asked.lock().unwrap().push(request.clone());
        if let (Some(body), Some(reply)) = (answer(&request), message.reply) {
            client.publish(reply, body.into()).await.unwrap();
        }
    }
}

/// A group with nothing to say.
pub(crate) fn group(name: &str) -> GroupView {
    let site = |counts_open| SiteView {
        counts_open,
        closed_seen: None,
        seen_closed: false,
        why: "as observed".into(),
        heard: 5,
        services: 5,
    };
    GroupView {
        group: name.parse().unwrap(),
        order: 10,
        mode: Mode::Normal,
        sentence: "live at main, protected".into(),
        epoch: Epoch(11),
        live: Some("main".parse().unwrap()),
        limited_since: None,
        sites: [("main".parse().unwrap(), site(true)), ("secondary".parse().unwrap(), site(false))].into(),
        run: None,
        debts: Vec::new(),
        doubts: Vec::new(),
        loss: None,
        check: None,
        warnings: Vec::new(),
        drills: Vec::new(),
        declared: None,
        trigger: "observe".into(),
        resources: Vec::new(),
        at: chrono::Utc::now(),
    }
}

/// A run in this state.
pub(crate) fn run(state: RunState) -> RunView {
    let at = "2026-11-25T02:12:31Z".parse().unwrap();
    RunView {
        id: "01990000-0000-7000-8000-0000000a7f3a".parse().unwrap(),
        group: Some("cfg".parse().unwrap()),
        workflow: "failover:1.0.0".into(),
        state,
        epoch: Epoch(12),
        from: Some("main".parse().unwrap()),
        to: Some("secondary".parse().unwrap()),
        who: Who { person: "anna".into(), claimed: "anna@wb".into() },
        why: "a drill".into(),
        started: at,
        ended: state.ended().then_some(at),
        limited: None,
        not_compared: Vec::new(),
        differs: Vec::new(),
        sequence: 41,
        waits_for: Vec::new(),
        steps: Vec::new(),
        problem: None,
    }
}

/// A step in this state.
pub(crate) fn step(number: u32, state: &str) -> StepView {
    StepView {
        number,
        position: "/do/1".parse().unwrap(),
        name: "close".into(),
        state: serde_json::from_value(json!(state)).unwrap(),
        function: "database.disable-access".into(),
        address: Some(Address {
            site: "main".parse().unwrap(),
            service: schemas::Service::Database,
            resource: "config".parse().unwrap(),
        }),
        phase: Some("fence".into()),
        attempts: 1,
        in_doubt: false,
        settled_by: None,
        already: false,
        reached: None,
        started: Some("2026-11-25T02:12:31Z".parse().unwrap()),
        ended: (state == "done").then(|| "2026-11-25T02:12:46Z".parse().unwrap()),
        output: json!(null),
        problem: None,
        waits_for: None,
        now: None,
    }
}

/// What a failover would do.
pub(crate) fn preview() -> Preview {
    Preview {
        group: "cfg".parse().unwrap(),
        workflow: "failover:1.0.0".into(),
        from: "main".parse().unwrap(),
        to: "secondary".parse().unwrap(),
        facts: vec![Fact {
            label: "loss".into(),
            text: "heartbeat 4.8 s before last contact".into(),
            verdict: Some("WITHIN LIMIT".into()),
        }],
        steps: vec!["close config@main".into()],
        refusals: Vec::new(),
        aside: None,
        input: json!(null),
    }
}

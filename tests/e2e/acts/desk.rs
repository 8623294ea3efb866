//! The services as real processes on a real NATS server, and somebody who asks them as the runner does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::{Client, HeaderMap};
use futures_util::StreamExt;
use lab::nats::{Nats, NatsOptions};
use lab::process::{Process, Program};
use schemas::{
    Action, Address, AdoptRequest, Attempt, ClaimReply, ClaimRequest, ConfirmReply, ConfirmRequest, Epoch,
    Frame, GroupId, Key, LedgerId, MessageId, Observation, OutcomeRequest, Prefix, Reply, RunId, Service,
    Verb,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use uuid::Uuid;

const POINTSMAN: &str = env!("CARGO_BIN_EXE_pointsman");
/// For what takes moments on an idle machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
/// The bound of each act, longer than any test holds one up.
pub(crate) const ACT_WITHIN: Duration = Duration::from_secs(45);
const EPOCH: Epoch = Epoch(2);

/// What the runner says when it is asked whether an opening may go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Runner {
    Yes,
    No,
    Silent,
}

/// A bus, a runner that says yes to every opening, and the hosts' services. All end with it.
pub(crate) struct Desk {
    client: Client,
    prefix: Prefix,
    run: RunId,
    says: Arc<Mutex<Runner>>,
    hosts: Vec<(String, Program, Process)>,
    _nats: Nats,
    pub(crate) folder: tempfile::TempDir,
    runtime: Runtime,
}

/// An act that was asked for, and is not answered yet.
pub(crate) struct Asked {
    answer: JoinHandle<Reply>,
    runtime: tokio::runtime::Handle,
}

impl Asked {
    /// Waits for the answer.
    pub(crate) fn answer(self) -> Reply {
        self.runtime.block_on(self.answer).unwrap()
    }

    /// Whoever was asked is dead: nobody waits for the answer any more.
    pub(crate) fn forget(self) {
        self.answer.abort();
    }
}

/// A message that comes, or has come.
pub(crate) struct Heard {
    body: JoinHandle<Vec<u8>>,
    runtime: tokio::runtime::Handle,
}

impl Heard {
    /// Waits for it.
    pub(crate) fn body(self) -> Vec<u8> {
        self.runtime.block_on(async { tokio::time::timeout(WITHIN, self.body).await.unwrap().unwrap() })
    }
}

pub(crate) fn address(site: &str, service: Service, resource: &str) -> Address {
    Address { site: site.parse().unwrap(), service, resource: resource.parse().unwrap() }
}

fn group() -> GroupId {
    "cfg".parse().unwrap()
}

impl Desk {
    /// Hosts without services yet; [`Desk::host`] adds one.
    pub(crate) fn start() -> Desk {
        let runtime = Runtime::new().unwrap();
        let nats = Nats::start(NatsOptions::default()).unwrap();
        let prefix = Prefix::new("pointsman").unwrap();
        let client = runtime.block_on(async_nats::connect(nats.url())).unwrap();
        let (asked, says_yes) = (prefix.confirm(), client.clone());
        let says = Arc::new(Mutex::new(Runner::Yes));
        let said = says.clone();
        runtime.block_on(async {
            let mut asked = client.subscribe(asked).await.unwrap();
            client.flush().await.unwrap();
            tokio::spawn(async move {
                while let Some(message) = asked.next().await {
                    let request: ConfirmRequest = serde_json::from_slice(&message.payload).unwrap();
                    let yes = match *said.lock().unwrap() {
                        Runner::Silent => continue,
                        other => other == Runner::Yes,
                    };
                    let reply = ConfirmReply { yes, nonce: request.nonce, problem: None };
                    let body = serde_json::to_vec(&reply).unwrap();
                    says_yes.publish(message.reply.unwrap(), body.into()).await.unwrap();
                }
            });
        });
        let (folder, run) = (tempfile::tempdir().unwrap(), RunId(Uuid::now_v7()));
        Desk { client, prefix, run, says, hosts: Vec::new(), _nats: nats, folder, runtime }
    }

    /// From now on the runner says this.
    pub(crate) fn runner_says(&self, what: Runner) {
        *self.says.lock().unwrap() = what;
    }

    /// A later run takes a resource.
    pub(crate) fn claimed_by_another(&self, at: &Address) {
        let run = RunId(Uuid::now_v7());
        let claim = ClaimRequest { group: group(), run, epoch: Epoch(EPOCH.0 + 1), sequence: 1 };
        let reply: ClaimReply = self.ask(at, Verb::Claim, &claim);
        assert!(reply.granted, "{reply:?}");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Writes an executable script that starts in the folder. Beside, then renamed: nobody executes a file
    /// that is open for writing.
    pub(crate) fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let part = self.path("part");
        std::fs::write(&part, format!("#!/bin/sh\ncd '{}'\n{text}\n", self.folder.path().display())).unwrap();
        std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(part, self.path(name)).unwrap();
    }

    /// Writes a host's file.
    pub(crate) fn host_file(&self, site: &str, parts: &str) -> PathBuf {
        let state = self.path(&format!("state-{site}"));
        std::fs::create_dir_all(&state).unwrap();
        std::fs::write(state.join("armed"), "").unwrap();
        let text = format!(
            "version: 1\nsite: {site}\ngroups: [cfg]\nbus:\n  servers: [{}]\nstate: {}\n{parts}",
            self._nats.url(),
            state.display()
        );
        self.write(&format!("{site}.yaml"), &text);
        self.path(&format!("{site}.yaml"))
    }

    /// Runs the command to its end; its output.
    pub(crate) fn command(&self, host_file: &Path, words: &[&str]) -> String {
        let done = Command::new(POINTSMAN).arg("--config").arg(host_file).args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// Starts `pointsman serve` with a host's file; takes its resources for the run of this test.
    pub(crate) fn serve(&mut self, site: &str, resources: &[Address]) {
        let program = Program {
            path: POINTSMAN.into(),
            args: ["--config", &self.path(&format!("{site}.yaml")).display().to_string(), "serve"]
                .map(str::to_owned)
                .into(),
            env: Vec::new(),
            folder: self.folder.path().into(),
            log: self.path(&format!("{site}.log")),
            account: None,
        };
        let process = Process::start(&program).unwrap();
        self.hosts.push((site.to_owned(), program, process));
        for resource in resources {
            let ledger = self.up(resource);
            let run = RunId(Uuid::from_u128(0xad));
            let adopt = AdoptRequest { group: group(), run, epoch: Epoch(1), ledger };
            let reply: ClaimReply = self.ask(resource, Verb::Adopt, &adopt);
            assert!(reply.granted, "{reply:?}");
            if resource.resource.as_str() != UNCLAIMED {
                let claim = ClaimRequest { group: group(), run: self.run, epoch: EPOCH, sequence: 1 };
                let reply: ClaimReply = self.ask(resource, Verb::Claim, &claim);
                assert!(reply.granted, "{reply:?}");
            }
        }
    }

    /// Waits until a service answers. The bus may give the first question to the one that was killed, and
    /// one that looks at a frozen server takes its time: so each try is given more.
    fn up(&self, at: &Address) -> LedgerId {
        let end = Instant::now() + WITHIN;
        let mut within = Duration::from_secs(1);
        loop {
            match self.try_ask::<Observation>(at, Verb::Observe, &Value::Null, within) {
                Ok(seen) => return seen.ledger,
                Err(why) if why.contains("no responders") => std::thread::sleep(Duration::from_millis(20)),
                Err(_) if Instant::now() < end => within *= 2,
                Err(why) => panic!("{at}: {why}\n{}", self.logs()),
            }
            assert!(Instant::now() < end, "{at} does not answer\n{}", self.logs());
        }
    }

    /// Kills the service's process alone with signal 9; the guards of its scripts are left to themselves.
    pub(crate) fn kill9(&mut self, site: &str) {
        self.host(site).2.kill_alone().unwrap();
    }

    /// Starts it again, and waits until it answers.
    pub(crate) fn start_again(&mut self, at: &Address) {
        let host = self.host(at.site.as_str());
        host.2 = Process::start(&host.1).unwrap();
        self.up(at);
    }

    fn host(&mut self, site: &str) -> &mut (String, Program, Process) {
        self.hosts.iter_mut().find(|(name, ..)| name == site).unwrap()
    }

    fn try_ask<T: DeserializeOwned>(
        &self,
        at: &Address,
        verb: Verb,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<T, String> {
        let subject = self.prefix.request(at, verb);
        let body = serde_json::to_vec(body).unwrap();
        let request = async_nats::Request::new().payload(body.into()).timeout(Some(within));
        let sent = self.client.send_request(subject, request);
        let message = self.runtime.block_on(sent).map_err(|error| error.to_string())?;
        serde_json::from_slice(&message.payload).map_err(|e| format!("{e}: {:?}", message.payload))
    }

    fn ask<T: DeserializeOwned>(&self, at: &Address, verb: Verb, body: &impl Serialize) -> T {
        self.try_ask(at, verb, body, WITHIN).unwrap_or_else(|why| panic!("{at}: {why}\n{}", self.logs()))
    }

    /// A key of this test's run.
    pub(crate) fn key(&self, name: &str) -> Key {
        Key { run: self.run, position: format!("/do/0/{name}").parse().unwrap() }
    }

    /// Asks for an act and does not wait.
    pub(crate) fn begin(&self, at: &Address, action: Action, args: &Value, key: &Key, attempt: u32) -> Asked {
        let frame = Frame {
            id: MessageId(Uuid::new_v4()),
            source: "/runner/test".into(),
            group: group(),
            key: key.clone(),
            attempt: Attempt(attempt),
            epoch: EPOCH,
            act_within: ACT_WITHIN,
            expires: chrono::Utc::now() + ACT_WITHIN,
            traceparent: None,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in frame.to_headers(action) {
            headers.insert(name.as_str(), value.as_str());
        }
        let mut body = args.clone();
        body["resource"] = at.resource.as_str().into();
        body["site"] = at.site.as_str().into();
        let request = async_nats::Request::new()
            .headers(headers)
            .payload(body.to_string().into())
            .timeout(Some(ACT_WITHIN * 2));
        let (client, subject) = (self.client.clone(), self.prefix.request(at, Verb::Act(action)));
        let answer = self.runtime.spawn(async move {
            let message = client.send_request(subject, request).await.unwrap();
            serde_json::from_slice(&message.payload).unwrap()
        });
        Asked { answer, runtime: self.runtime.handle().clone() }
    }

    /// Hears the next message of a subject.
    pub(crate) fn listen(&self, subject: &str) -> Heard {
        let (client, subject) = (self.client.clone(), subject.to_owned());
        let mut messages = self.runtime.block_on(async move {
            let messages = client.subscribe(subject).await.unwrap();
            client.flush().await.unwrap();
            messages
        });
        let next = async move { messages.next().await.unwrap().payload.to_vec() };
        Heard { body: self.runtime.spawn(next), runtime: self.runtime.handle().clone() }
    }

    /// Asks what became of a key, and waits so long at most for its end.
    pub(crate) fn outcome(&self, at: &Address, key: &Key, attempt: u32, wait: Duration) -> Reply {
        let (group, key, attempt) = (group(), key.clone(), Attempt(attempt));
        self.ask(at, Verb::Outcome, &OutcomeRequest { group, key, attempt, epoch: EPOCH, wait })
    }

    /// What the services logged, for a test that fails.
    pub(crate) fn logs(&self) -> String {
        self.hosts.iter().map(|(name, _, process)| format!("--- {name}\n{}", process.output())).collect()
    }
}

/// The one resource of these tests that no run claims: a client host.
pub(crate) const UNCLAIMED: &str = "app";

//! The bus, from a command: one connection, one request at a time, everything bounded.

use std::time::Duration;

use anyhow::Context;
use async_nats::client::RequestErrorKind;
use async_nats::{Client, ConnectOptions, Event, Request};
use futures_util::StreamExt;
use schemas::op::{Op, OpReply, OpRequest};
use schemas::{Code, MessageId, PersonId, Prefix, Problem};
use tokio::sync::watch;
use uuid::Uuid;

use crate::exit::Usage;
use crate::person;

/// `status` on a dead bus says so within two seconds: this, and the time of a look.
const CONNECT_WITHIN: Duration = Duration::from_millis(900);
const LOOK_WITHIN: Duration = Duration::from_millis(900);
/// A change waits for the runner's disk; the same request may be sent again.
const CHANGE_WITHIN: Duration = Duration::from_secs(5);
const SENDINGS: u32 = 3;

/// A connection for one command.
pub(crate) struct Bus {
    client: Client,
    prefix: Prefix,
    person: PersonId,
    server: String,
    refused: watch::Receiver<String>,
}

/// As whom the server sees a connection.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Identity {
    /// The user's name or public key.
    #[serde(default)]
    pub(crate) user: String,
    /// His account.
    #[serde(default)]
    pub(crate) account: String,
}

/// The runner's events.
pub(crate) struct Stirrings(Option<async_nats::Subscriber>);

impl Stirrings {
    /// Returns after the next one, when the rest of its crowd was let by for so long; never without a bus.
    pub(crate) async fn next(&mut self, crowd: Duration) {
        match self.0.as_mut() {
            Some(events) => drop(events.next().await),
            None => std::future::pending().await,
        }
        tokio::time::sleep(crowd).await;
    }
}

impl Bus {
    /// Connects to one of the host's servers.
    ///
    /// # Errors
    ///
    /// `bus-silent`: none answered within the bound, or none let us in.
    pub(crate) async fn connect(bus: &config::Bus) -> anyhow::Result<Bus> {
        let person = person::person(bus)
            .ok_or_else(|| Usage("nobody is named: set `bus.person` in the host's file".to_owned()))?;
        let (tell, refused) = watch::channel(String::new());
        let options = options(bus, "command").await?.connection_timeout(CONNECT_WITHIN / 2);
        let options = options.event_callback(move |event| {
            // The server's own words: `Permissions Violation for Publish to "SUBJECT"`.
            if let Event::ServerError(error) = event {
                tell.send_replace(error.to_string());
            }
            std::future::ready(())
        });
        let silent = |detail: String| Problem::new(Code::NoBus, detail);
        let servers = bus.servers.join(", ");
        let client = tokio::time::timeout(CONNECT_WITHIN, options.connect(&bus.servers))
            .await
            .map_err(|_| silent(format!("no answer from {servers} within {CONNECT_WITHIN:?}")))?
            .map_err(|error| silent(format!("{servers}: {error}")))?;
        let info = client.server_info();
        let server = if info.server_name.is_empty() { info.host } else { info.server_name };
        Ok(Bus { client, prefix: bus.prefix()?, person, server, refused })
    }

    /// Asks the runner for something that changes nothing.
    ///
    /// # Errors
    ///
    /// The runner's problem, or `runner-silent`.
    pub(crate) async fn look(&self, op: Op) -> anyhow::Result<OpReply> {
        // A preview and the world before `adopt` ask every service first, and a list of runs reads each of them.
        let within = match op {
            Op::Start { .. } | Op::Adopt { .. } | Op::Check { .. } => CHANGE_WITHIN,
            Op::Runs { .. } | Op::Evidence { .. } | Op::Definition { .. } => CHANGE_WITHIN,
            _ => LOOK_WITHIN,
        };
        let request = self.request(op, None, None);
        match self.send(&request, within).await? {
            Some(reply) => settled(reply),
            None => Err(Problem::new(Code::NoRunner, format!("no answer within {within:?}")).into()),
        }
    }

    /// Asks the runner to change something. The request has one id, so it may be sent again: the
    /// second arrival is answered as the first.
    ///
    /// # Errors
    ///
    /// The runner's problem, or `runner-silent`: then it may have been recorded all the same.
    pub(crate) async fn change(&self, op: Op, why: &str, seen: Option<u64>) -> anyhow::Result<OpReply> {
        let request = self.request(op, Some(why.to_owned()), seen);
        for _ in 0..SENDINGS {
            if let Some(reply) = self.send(&request, CHANGE_WITHIN).await? {
                return settled(reply);
            }
        }
        let detail = format!(
            "no answer to {SENDINGS} sendings of {}; it may have been recorded all the same: look before you repeat it",
            CHANGE_WITHIN.as_secs() as u32 * SENDINGS,
        );
        Err(Problem::new(Code::NoRunner, detail).into())
    }

    /// Events of the runner, as a reason to look again; lost ones do no harm.
    pub(crate) async fn stirrings(&self) -> Stirrings {
        Stirrings(self.client.subscribe(self.prefix.events_out()).await.ok())
    }

    /// The services that answer, by the bus's own discovery (ADR-32), within the bound of a look.
    pub(crate) async fn services(&self) -> Vec<String> {
        let inbox = self.client.new_inbox();
        let Ok(mut answers) = self.client.subscribe(inbox.clone()).await else { return Vec::new() };
        if self.client.publish_with_reply("$SRV.PING", inbox, Vec::new().into()).await.is_err() {
            return Vec::new();
        }
        let mut names = Vec::new();
        let until = tokio::time::Instant::now() + LOOK_WITHIN / 2;
        while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await {
            let Ok(info) = serde_json::from_slice::<serde_json::Value>(&answer.payload) else { continue };
            if let Some(name) = info.get("name").and_then(|name| name.as_str()) {
                names.push(name.to_owned());
            }
            if names.len() >= 1000 {
                break;
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// As whom the runner is asked.
    pub(crate) fn person(&self) -> &str {
        self.person.as_str()
    }

    /// The server that answered.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// What the server knows of this connection (NATS 2.10 and newer); nothing if it does not say.
    pub(crate) async fn identity(&self) -> Option<Identity> {
        let request = Request::new().payload(Vec::new().into()).timeout(Some(LOOK_WITHIN));
        let answer = self.client.send_request("$SYS.REQ.USER.INFO", request).await.ok()?;
        let info: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
        serde_json::from_value(info.get("data")?.clone()).ok()
    }

    /// Which bus, and as whom: printed before anything is changed.
    pub(crate) fn heading(&self) -> String {
        format!("{} · {} ({})", self.server, self.person, person::claimed())
    }

    fn request(&self, op: Op, why: Option<String>, seen: Option<u64>) -> OpRequest {
        OpRequest { id: MessageId(Uuid::now_v7()), claimed: person::claimed(), why, seen, op }
    }

    /// One sending; nothing if no answer came in time.
    async fn send(&self, request: &OpRequest, within: Duration) -> anyhow::Result<Option<OpReply>> {
        let subject = self.prefix.op(&self.person, request.op.verb());
        let body = serde_json::to_vec(request).context("the request cannot be written")?;
        let message = Request::new().payload(body.into()).timeout(Some(within));
        let mut refused = self.refused.clone();
        let quoted = format!("\"{subject}\"");
        let answered = tokio::select! {
            answered = self.client.send_request(subject, message) => answered,
            Ok(said) = refused.wait_for(|said| said.contains(&quoted)) => {
                let detail = format!("asked as `{}`: {}", self.person, *said);
                return Err(Problem::new(Code::NotPermitted, detail).into());
            }
        };
        match answered {
            Ok(answer) => {
                let reply = serde_json::from_slice(&answer.payload)
                    .context("the runner's answer cannot be read: is it of another version?")?;
                Ok(Some(reply))
            }
            Err(error) if error.kind() == RequestErrorKind::TimedOut => Ok(None),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                let detail = format!("nobody listens for `{}`", request.op.verb());
                Err(Problem::new(Code::NoRunner, detail).into())
            }
            Err(error) => Err(Problem::new(Code::NoBus, error.to_string()).into()),
        }
    }
}

fn settled(reply: OpReply) -> anyhow::Result<OpReply> {
    match reply {
        OpReply::Problem(problem) => Err(problem.into()),
        reply => Ok(reply),
    }
}

/// An answer of another kind than the question's.
pub(crate) fn strange(reply: &OpReply) -> anyhow::Error {
    let text = serde_json::to_string(reply).unwrap_or_default();
    let start: String = text.chars().take(80).collect();
    anyhow::anyhow!("the runner answered something else: {start}")
}

/// Credentials and certificates as the host's file says; the same for commands and parts.
///
/// # Errors
///
/// A file of secrets cannot be read.
pub(crate) async fn options(bus: &config::Bus, name: &str) -> anyhow::Result<ConnectOptions> {
    // In the order of the file: whoever stands at the third place hears both sites there, and no longer both
    // where the link between them is cut.
    let mut options = ConnectOptions::new()
        .name(format!("pointsman {name}"))
        .ping_interval(Duration::from_secs(1))
        .retain_servers_order();
    if let Some(creds) = &bus.creds {
        options = options
            .credentials_file(creds)
            .await
            .with_context(|| format!("could not read the credentials {}", creds.display()))?;
    }
    if let Some(nkey) = &bus.nkey {
        let seed = std::fs::read_to_string(nkey)
            .with_context(|| format!("could not read the NKey seed {}", nkey.display()))?;
        options = options.nkey(seed.trim().to_owned());
    }
    if let Some(tls) = &bus.tls {
        if let Some(ca) = &tls.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
    }
    Ok(options)
}

/// The connection of a part that stays: it connects when it can and reconnects for ever.
///
/// # Errors
///
/// A file of secrets cannot be read, or an address cannot be parsed.
pub(crate) async fn standing(bus: &config::Bus, name: &str) -> anyhow::Result<Client> {
    options(bus, name)
        .await?
        .retry_on_initial_connect()
        .connection_timeout(Duration::from_secs(2))
        .reconnect_delay_callback(|attempts| Duration::from_millis((50 * attempts as u64).min(1000)))
        .connect(&bus.servers)
        .await
        .context("could not begin to connect to the bus")
}

//! Dynamic update (RFC 2136), signed (TSIG, RFC 8945), with a prerequisite: compare and set at the server.
//!
//! The prerequisite is the exact value that was found before, and it must be another site's: a name that was
//! changed by somebody else is left alone and told. An update is sent once. Where its answer is lost, or is
//! not signed as it should be, it may have been done, so the server is looked at, never asked again blindly
//! (a repeat after a lost answer says "prerequisite failed" of its own first success).
//!
//! What an earlier life of the service sent is ended by a *barrier*: a signed update that changes nothing.
//! A server takes the updates of one zone one after another, so its answer says that every update which had
//! reached it is done. What is still under way is dropped with its connection (TCP user timeout and reset),
//! and no server takes an update whose signature is older than 300 s.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::base::Rtype;
use domain::base::iana::Rcode;
use domain::rdata::tsig::Time48;
use domain::tsig::ValidationError;
use futures_util::future::join_all;
use responder::{Act, Driver, DriverError, Look, path_word};
use schemas::{Action, CheckLine, Code, Epoch, GroupId, Problem, RunId, Seen, SiteId};
use serde_json::{Value, json};

pub use crate::exchange::Transport;
use crate::exchange::{ExchangeError, ask, nobody_listens, send_once};
use crate::names::{Names, Target, refused, shown};
use crate::server::Server;
use crate::tsig::Key;
use crate::wire::{self, Domain, Signed, Source, Update};

/// How long one question may take.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// How long an update's answer is awaited; less where the act's bound is shorter.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long all servers together are given by a preflight.
const PREFLIGHT_WITHIN: Duration = Duration::from_secs(2);

/// The keys of the host's file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Servers that take updates, tried in this order while one cannot be reached.
    pub update: Vec<Server>,
    /// The key that signs them.
    pub tsig: Key,
    /// TTL of the new record.
    pub ttl: Duration,
    /// What the name points at, by site.
    pub addresses: BTreeMap<SiteId, Vec<IpAddr>>,
    /// Authoritative servers by the site at which they stand; empty: those of `update`, at no site.
    pub verify: BTreeMap<SiteId, Vec<Server>>,
    /// The zone; none: found by its SOA record.
    pub zone: Option<String>,
    /// The record's name; none: each request brings it.
    pub name: Option<String>,
    /// How updates travel.
    pub transport: Transport,
    /// How long an update's answer is awaited; none: 5 s.
    pub answer_within: Option<Duration>,
    /// A file in the service's state folder where the name is kept for its next life.
    pub memo: Option<PathBuf>,
}

/// The driver of one record.
#[derive(Debug)]
pub struct Rfc2136 {
    names: Names,
    update: Vec<Server>,
    tsig: Key,
    ttl: Duration,
    zone: Option<Domain>,
    transport: Transport,
    answer_within: Duration,
}

/// What became of one update.
enum Sent {
    Done,
    /// The value that was found before is not there any more; nothing was changed.
    PrerequisiteFailed,
    Refused(Code, String),
    /// The server did not get it.
    Undelivered(String),
    Lost(String),
}

impl Rfc2136 {
    /// A driver; reaches nobody yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn new(settings: Settings) -> Result<Rfc2136, Problem> {
        let wrong = |what: String| Problem::new(Code::BadConfiguration, what);
        if settings.update.is_empty() {
            return Err(wrong("`update` lists no server".to_owned()));
        }
        let mut verify = settings.verify;
        if verify.is_empty() {
            let everywhere = SiteId::new("witness").map_err(|cause| wrong(cause.to_string()))?;
            verify.insert(everywhere, settings.update.clone());
        }
        let zone = match settings.zone {
            Some(text) => {
                Some(wire::domain(&text).ok_or_else(|| wrong(format!("`{text}` is no domain name")))?)
            }
            None => None,
        };
        let mut names = Names::new(settings.addresses, verify, settings.name)?;
        if let Some(memo) = settings.memo {
            names = names.remembered_in(memo);
        }
        Ok(Rfc2136 {
            names,
            update: settings.update,
            tsig: settings.tsig,
            ttl: settings.ttl,
            zone,
            transport: settings.transport,
            answer_within: settings.answer_within.unwrap_or(ANSWER_WITHIN),
        })
    }

    /// Compare and set, at the first server that can be reached.
    async fn change(&self, target: &Target, deadline: Instant) -> Result<(), DriverError> {
        let mut unreached = Vec::new();
        for &server in &self.update {
            let found = match self.names.at(server, &target.name).await {
                Ok(found) => found,
                Err(why) => {
                    unreached.push(format!("{server}: {why}"));
                    continue;
                }
            };
            if found == target.addresses {
                return Ok(());
            }
            self.names.may_replace(server, &found)?;
            let zone = self.zone(server, &target.name).await?;
            let update = Update {
                zone: &zone,
                name: &target.name,
                ttl: self.ttl,
                from: &found,
                to: &target.addresses,
            };
            let signed = wire::update(&update, self.tsig.fresh().key)
                .map_err(|cause| DriverError::not_done(Code::Internal, cause.to_string()))?;
            match self.send(server, signed, deadline).await {
                Sent::Done => return Ok(()),
                Sent::Undelivered(why) => unreached.push(why),
                Sent::Refused(code, why) => return Err(DriverError::not_done(code, why)),
                Sent::PrerequisiteFailed => return self.look_again(server, target).await,
                Sent::Lost(why) => return self.look_up(server, target, &zone, deadline, why).await,
            }
        }
        Err(DriverError::not_done(Code::Unreachable, unreached.join("; ")))
    }

    /// Somebody was quicker: with the same target all is well, with another it is his.
    async fn look_again(&self, server: Server, target: &Target) -> Result<(), DriverError> {
        match self.names.at(server, &target.name).await {
            Ok(found) if found == target.addresses => Ok(()),
            Ok(found) => Err(DriverError::not_done(
                Code::Precondition,
                format!("found {} at {server} when it was to be changed; nothing was changed", shown(&found)),
            )),
            Err(why) => Err(DriverError::not_done(
                Code::Precondition,
                format!("another value than expected is at {server}, and it cannot be read now: {why}"),
            )),
        }
    }

    /// The answer was lost: it may have been done. After the barrier a look settles it.
    async fn look_up(
        &self,
        server: Server,
        target: &Target,
        zone: &Domain,
        deadline: Instant,
        lost: String,
    ) -> Result<(), DriverError> {
        tracing::warn!(%server, name = target.text, %lost, "an update's answer was lost; looking");
        let barrier = self.barrier(server, zone, deadline).await;
        match (self.names.at(server, &target.name).await, barrier) {
            (Ok(found), _) if found == target.addresses => Ok(()),
            (Ok(found), Ok(())) => {
                Err(DriverError::not_done(Code::Failed, format!("{lost}; it still has {}", shown(&found))))
            }
            (Ok(_), Err(why)) | (Err(why), _) => {
                Err(DriverError::unknown(Code::Unreachable, format!("{lost}; {why}")))
            }
        }
    }

    /// Returns once every update that had reached the server is done.
    async fn barrier(&self, server: Server, zone: &Domain, deadline: Instant) -> Result<(), String> {
        let signed = wire::barrier(zone, self.tsig.fresh().key).map_err(|cause| cause.to_string())?;
        match self.send(server, signed, deadline).await {
            Sent::Done => Ok(()),
            Sent::PrerequisiteFailed => Err(format!("{server} does not know its own zone")),
            Sent::Refused(_, why) | Sent::Undelivered(why) | Sent::Lost(why) => Err(why),
        }
    }

    async fn zone(&self, server: Server, name: &Domain) -> Result<Domain, DriverError> {
        if let Some(zone) = &self.zone {
            return Ok(zone.clone());
        }
        let question = wire::question(name, Rtype::SOA, Source::Authority)
            .map_err(|cause| DriverError::not_done(Code::Internal, cause.to_string()))?;
        let answer = ask(server, &question, ASK_WITHIN)
            .await
            .map_err(|cause| DriverError::not_done(Code::Unreachable, cause.to_string()))?;
        wire::zone_of(&answer).ok_or_else(|| {
            let detail = format!("{server} names no zone for {name}; set `zone:`");
            DriverError::not_done(Code::BadConfiguration, detail)
        })
    }

    /// Sends once, and reads the answer only if its signature is right.
    async fn send(&self, server: Server, signed: Signed, deadline: Instant) -> Sent {
        let left = deadline.saturating_duration_since(Instant::now()).min(self.answer_within);
        if left.is_zero() {
            return Sent::Undelivered(format!("no time was left to ask {server}"));
        }
        let mut answer = match send_once(server, self.transport, &signed.bytes, signed.id, left).await {
            Ok(answer) => answer,
            Err(cause @ ExchangeError::NotSent { .. }) => return Sent::Undelivered(chain(&cause)),
            Err(cause) => return Sent::Lost(chain(&cause)),
        };
        let checked = signed.transaction.answer(&mut answer, Time48::now());
        let rcode = answer.header().rcode();
        let key = self.tsig.name();
        match checked {
            Ok(()) => match rcode {
                Rcode::NOERROR => Sent::Done,
                Rcode::NXRRSET | Rcode::YXRRSET | Rcode::NXDOMAIN | Rcode::YXDOMAIN => {
                    Sent::PrerequisiteFailed
                }
                Rcode::SERVFAIL => Sent::Refused(Code::Failed, format!("{server} failed: {rcode}")),
                _ => Sent::Refused(Code::Refused, format!("{server} refused the update: {rcode}")),
            },
            Err(ValidationError::ServerBadTime { client, server: theirs }) => Sent::Refused(
                Code::Refused,
                format!("clocks differ: {server} has {theirs}, this host {client}; set them right"),
            ),
            Err(ValidationError::ServerBadKey) => {
                Sent::Refused(Code::Refused, format!("{server} does not know key `{key}` of this algorithm"))
            }
            Err(cause @ (ValidationError::ServerBadSig | ValidationError::BadTime)) => Sent::Refused(
                Code::Refused,
                format!(
                    "{server} does not take the signature of key `{key}` ({cause}): either the secret differs, \
                     or the clocks differ by more than 300 s"
                ),
            ),
            // An unsigned answer may be anybody's; where it says no, a look that finds nothing done agrees.
            Err(cause) => Sent::Lost(format!("{server} answered {rcode} with {cause}")),
        }
    }
}

#[async_trait]
impl Driver for Rfc2136 {
    fn actions(&self) -> &[Action] {
        &[Action::Point]
    }

    fn by_hand(&self, _group: &GroupId, _action: Action, args: &Value) -> Vec<String> {
        let Ok(target) = self.names.target(args) else { return Vec::new() };
        let Some(server) = self.update.first() else { return Vec::new() };
        let key = self.tsig.file().map_or(String::new(), |file| format!(" -k {}", path_word(file)));
        let mut lines =
            vec![format!("nsupdate{key} <<'END'"), format!("server {} {}", server.0.ip(), server.0.port())];
        lines.extend(self.zone.as_ref().map(|zone| format!("zone {zone}")));
        for kind in ["A", "AAAA"] {
            lines.push(format!("update delete {}. {kind}", target.text.trim_end_matches('.')));
        }
        for address in &target.addresses {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            let (name, ttl) = (target.text.trim_end_matches('.'), self.ttl.as_secs());
            lines.push(format!("update add {name}. {ttl} {kind} {address}"));
        }
        lines.extend(["send".to_owned(), "END".to_owned()]);
        lines.extend(Names::seen_by_hand(&target));
        lines
    }

    async fn check(&self, _action: Action, args: &Value) -> Result<(), Problem> {
        self.names.target(args).map(|_| ())
    }

    /// A signed update that changes nothing, at each server that takes updates; one that works is enough.
    async fn preflight(&self) -> Vec<CheckLine> {
        let deadline = Instant::now() + PREFLIGHT_WITHIN;
        let name = self.names.known().and_then(|text| wire::domain(&text));
        let try_one = async |server: Server| {
            let zone = match (&self.zone, &name) {
                (Some(zone), _) => zone.clone(),
                (None, Some(name)) => self.zone(server, name).await.map_err(|cause| cause.to_string())?,
                (None, None) => return Err("neither `zone:` nor `name:` is known yet".to_owned()),
            };
            self.barrier(server, &zone, deadline).await
        };
        // Beside each other: one that hangs takes nothing of the others' time.
        let tried = join_all(self.update.iter().map(async |&server| (server, try_one(server).await))).await;
        let failed: Vec<String> = tried
            .into_iter()
            .filter_map(|(server, tried)| Some(format!("{server}: {}", tried.err()?)))
            .collect();
        let remedy = "look at the server, its update-policy or allow-update, and the TSIG key";
        let update = match (failed.len(), self.update.len()) {
            (0, _) => CheckLine::green("update", "every server takes a signed update that changes nothing"),
            (some, all) if some < all => CheckLine::amber("update", failed.join("; "), remedy),
            _ => CheckLine::red("update", failed.join("; "), remedy),
        };
        vec![update]
    }

    /// `updateAt` of the detail lists the sites of the servers that take updates, as far as `verify` has them.
    async fn observe(&self) -> Result<Seen, DriverError> {
        let mut seen = self.names.observe().await?;
        if let Seen::Name(name) = &mut seen {
            name.detail["updateAt"] = json!(self.names.sites_of(&self.update));
        }
        Ok(seen)
    }

    async fn look(&self, _action: Action, args: &Value) -> Look {
        match self.names.target(args) {
            Ok(target) => self.names.look(&target).await,
            Err(problem) => Look::CannotTell(problem.to_string()),
        }
    }

    async fn act(&self, act: &Act) -> Result<Value, DriverError> {
        let deadline = Instant::now() + act.within;
        let target = self.names.target(&act.args).map_err(refused)?;
        self.change(&target, deadline).await?;
        self.names.verified(&target, deadline).await
    }

    /// A server that refuses connections has no update of ours in hand; one that stays silent may.
    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        let deadline = Instant::now() + within;
        let unended = |why: String| DriverError::unknown(Code::EarlierUnended, why);
        for &server in &self.update {
            if nobody_listens(server, ASK_WITHIN).await {
                continue;
            }
            let known = self.names.known().and_then(|text| wire::domain(&text));
            let zone = match (&self.zone, known) {
                (Some(zone), _) => zone.clone(),
                (None, Some(name)) => {
                    self.zone(server, &name).await.map_err(|cause| unended(cause.to_string()))?
                }
                // A name is kept before anything is sent for it.
                (None, None) if self.names.remembers() => return Ok(()),
                (None, None) => return Err(unended("neither `zone:` nor `name:` is known".to_owned())),
            };
            self.barrier(server, &zone, deadline).await.map_err(unended)?;
        }
        Ok(())
    }

    async fn raise_epoch(&self, _: &GroupId, _: Epoch, _: RunId) -> Result<(), DriverError> {
        Ok(())
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

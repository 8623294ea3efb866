//! A host that uses the names, or a cache: flushes its resolver, and says what the names resolve to there.
//!
//! `follow` is done only when every name resolves to nothing but the target's addresses. Until then, or until
//! the act's bound, it flushes and resolves again: a cache above this host may hold the old address for as
//! long as its TTL. A flush does not move connections that are open already.
//!
//! `push` has the operator's script write the names into the hosts file first, and `unpush` has them taken away again;
//! then both flush and resolve as `follow` does. After `unpush` the names have to lead to one site without the file, to
//! whichever it is by then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use exec::{Guard, Script, Settled};
use responder::{Act, Driver, DriverError, Look, Pauses, path_word, quoted};
use schemas::{Action, CheckLine, Code, Epoch, GroupId, NameSeen, Problem, ResourceId, RunId, Seen, SiteId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::hosts::Hosts;
use crate::names::refused;
use crate::scripts::occasion;
use crate::server::Server;
use crate::wire;

/// How long one resolution may take; a resolver itself waits for seconds.
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);
/// Names that only a request brought are looked at for so long.
const ASKED_WITHIN: Duration = Duration::from_millis(400);

/// How long one flush may take.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);

/// How long between two tries, at most.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// How the resolver's cache is emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flush {
    /// `resolvectl flush-caches`: systemd-resolved.
    Resolvectl,
    /// `nscd -i hosts`.
    Nscd,
    /// A script of the operator's; exit 0 is done.
    Script(PathBuf),
    /// The host keeps no cache.
    Nothing,
}

/// How a name is resolved as this host's programs see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolve {
    /// By the C library: hosts file, nscd, systemd-resolved, DNS, as nsswitch.conf says.
    System,
    /// By asking a cache.
    Cache(Server),
    /// By a script: it gets the name as its argument and prints one address a line.
    Script(PathBuf),
}

/// The keys of the host's file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to flush.
    pub flush: Flush,
    /// How to resolve.
    pub resolve: Resolve,
    /// Names that this host uses, with their addresses by site; a request may bring others.
    pub names: BTreeMap<String, BTreeMap<SiteId, Vec<IpAddr>>>,
    /// How names are written into its hosts file while they cannot be changed; none: they are not.
    pub hosts: Option<Hosts>,
    /// This resource, for the scripts' environment.
    pub resource: ResourceId,
    /// Its site, likewise.
    pub site: SiteId,
    /// The resource's lock file, in the service's state folder.
    pub lock: PathBuf,
    /// How to start a guard.
    pub guard: Guard,
}

/// Arguments of `dns.follow`, likewise of `dns.push` and `dns.unpush`.
#[derive(Debug, Clone, Deserialize)]
struct FollowArgs {
    to: SiteId,
    #[serde(default)]
    names: Vec<Expected>,
}

/// A name and what it must resolve to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Expected {
    name: String,
    addresses: BTreeSet<IpAddr>,
}

/// The driver of one client host or cache.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    /// What each group last had it follow, where its file has no names: that is looked at then.
    asked: Mutex<BTreeMap<GroupId, FollowArgs>>,
}

type Resolved = BTreeMap<String, Result<BTreeSet<IpAddr>, String>>;

impl Client {
    /// A driver; resolves nothing yet.
    pub fn new(settings: Settings) -> Client {
        Client { settings, asked: Mutex::default() }
    }

    fn all_asked(&self) -> MutexGuard<'_, BTreeMap<GroupId, FollowArgs>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it was last asked to follow, where its file says nothing of names. Of several groups none is meant.
    fn asked(&self) -> Option<FollowArgs> {
        let asked = self.all_asked();
        let one = asked.values().next().filter(|_| asked.len() == 1 && self.settings.names.is_empty());
        one.cloned()
    }

    /// It is as it should be without an act: what was asked before may be wrong, and is looked at no more.
    fn forget_unlike(&self, action: Action, args: &Value) {
        let Ok(args) = read(action, args) else { return };
        let like = |asked: &FollowArgs| asked.to == args.to && asked.names == args.names;
        let mut all = self.all_asked();
        if all.len() == 1 {
            all.retain(|_, asked| like(asked));
        }
    }

    fn expected(&self, action: Action, args: &Value) -> Result<Vec<Expected>, Problem> {
        let args = read(action, args)?;
        let mut expected = args.names;
        if expected.is_empty() {
            for (name, sites) in &self.settings.names {
                let addresses = sites.get(&args.to).ok_or_else(|| {
                    let detail = format!("`{name}` has no address at site `{}` here", args.to);
                    Problem::new(Code::BadConfiguration, detail)
                })?;
                expected
                    .push(Expected { name: name.clone(), addresses: addresses.iter().copied().collect() });
            }
        }
        if expected.is_empty() {
            let detail = "neither the request nor this host's file says which names must resolve to what";
            return Err(Problem::new(Code::BadConfiguration, detail));
        }
        for name in &expected {
            if name.addresses.is_empty() || wire::domain(&name.name).is_none() {
                let detail = format!("`{}` has no name or no address to resolve to", name.name);
                return Err(Problem::new(Code::Malformed, detail));
            }
        }
        Ok(expected)
    }

    /// All at once: an answer about one name says nothing about another.
    async fn resolve_all<'a>(&self, names: impl Iterator<Item = &'a str>) -> Resolved {
        let mut asking = JoinSet::new();
        for name in names {
            let (how, guard) = (self.settings.resolve.clone(), self.settings.guard.clone());
            let name = name.to_owned();
            asking.spawn(async move { (name.clone(), resolve(&how, &guard, &name).await) });
        }
        let mut resolved = Resolved::new();
        while let Some(done) = asking.join_next().await {
            resolved.extend(done.ok());
        }
        resolved
    }

    fn hosts(&self) -> Result<&Hosts, Problem> {
        self.settings.hosts.as_ref().ok_or_else(|| {
            let detail = "this host's file says not how a hosts file is written: `push` and `unpush`";
            Problem::new(Code::BadConfiguration, detail)
        })
    }

    /// The site whose addresses are in its hosts file, as far as that is known.
    fn pushed(&self) -> Option<SiteId> {
        self.settings.hosts.as_ref()?.pushed().ok().flatten()
    }

    /// The site to which all names of this host's file lead.
    fn site_of(&self, resolved: &Resolved) -> Option<&SiteId> {
        let names = &self.settings.names;
        let at = |site: &SiteId| {
            names.iter().all(|(name, sites)| match (resolved.get(name), sites.get(site)) {
                (Some(Ok(found)), Some(wanted)) => {
                    !found.is_empty() && found.iter().all(|address| wanted.contains(address))
                }
                _ => false,
            })
        };
        names.values().flat_map(BTreeMap::keys).find(|site| at(site))
    }

    /// Whether nothing of a push is left, and the names lead to one site without it.
    async fn look_unpushed(&self) -> Look {
        match self.settings.hosts.as_ref().map(Hosts::pushed) {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(site))) => return Look::NotInEffect(json!({ "pushed": site })),
            Some(Err(why)) => return Look::NotInEffect(json!({ "pushed": why })),
        }
        let resolved = self.resolve_all(self.settings.names.keys().map(String::as_str)).await;
        let found = json!({ "resolves": shown(&resolved) });
        match self.settings.names.is_empty() || self.site_of(&resolved).is_some() {
            true => Look::InEffect(found),
            false => Look::NotInEffect(found),
        }
    }

    /// Has the operator's script change the hosts file. Where it did not run, nothing is noted of it.
    async fn change_hosts(&self, act: &Act, within: Duration) -> Result<(), DriverError> {
        let hosts = self.hosts().map_err(refused)?;
        let before = hosts.pushed();
        let script = match act.action {
            Action::Push => {
                let lines = lines(&self.expected(act.action, &act.args).map_err(refused)?);
                hosts.note(Some(read(act.action, &act.args).map_err(refused)?.to)).await?;
                lines.into_iter().fold(Script::new(&hosts.push, within), |script, line| script.arg(line))
            }
            _ => Script::new(&hosts.unpush, within),
        };
        let occasion = occasion(act, &self.settings.resource, &self.settings.site);
        let script = script.on(&occasion).locked_by(&self.settings.lock);
        let (code, why) = match script.settle(&self.settings.guard).await {
            Settled::Succeeded(_) if act.action == Action::Push => return Ok(()),
            Settled::Succeeded(_) => return hosts.note(None).await,
            Settled::MayAct { why } => return Err(DriverError::unknown(Code::Script, why)),
            Settled::NeverRan { why, locked } => {
                if let Ok(before) = before {
                    hosts.note(before).await?;
                }
                (if locked { Code::Busy } else { Code::Script }, why)
            }
            Settled::Failed { why, timed_out } => {
                (if timed_out { Code::TimedOut } else { Code::Script }, why)
            }
        };
        Err(DriverError::not_done(code, why))
    }

    async fn flush(&self, act: &Act, within: Duration) -> Result<(), (Code, String, bool)> {
        let script = match &self.settings.flush {
            Flush::Nothing => return Ok(()),
            Flush::Resolvectl => Script::new("resolvectl", within).arg("flush-caches"),
            Flush::Nscd => Script::new("nscd", within).arg("-i").arg("hosts"),
            Flush::Script(program) => Script::new(program, within),
        };
        let occasion = occasion(act, &self.settings.resource, &self.settings.site);
        match script.on(&occasion).locked_by(&self.settings.lock).settle(&self.settings.guard).await {
            Settled::Succeeded(_) => Ok(()),
            Settled::NeverRan { why, locked: true } => Err((Code::Busy, why, false)),
            Settled::NeverRan { why, locked: false } => Err((Code::Script, why, false)),
            Settled::Failed { why, timed_out: true } => Err((Code::TimedOut, why, false)),
            Settled::Failed { why, timed_out: false } => Err((Code::Script, why, false)),
            Settled::MayAct { why } => Err((Code::Script, why, true)),
        }
    }

    async fn look_for(&self, expected: &[Expected]) -> Look {
        let resolved = self.resolve_all(expected.iter().map(|e| e.name.as_str())).await;
        // A name that does not resolve is not the target either: the clients cannot follow it.
        let shown = json!({ "resolves": shown(&resolved) });
        if all_lead(expected, &resolved) { Look::InEffect(shown) } else { Look::NotInEffect(shown) }
    }
}

/// Whether each name leads to its addresses, and to no other.
fn all_lead(expected: &[Expected], resolved: &Resolved) -> bool {
    expected.iter().all(|it| match resolved.get(&it.name) {
        Some(Ok(found)) => !found.is_empty() && found.is_subset(&it.addresses),
        _ => false,
    })
}

async fn resolve(how: &Resolve, guard: &Guard, name: &str) -> Result<BTreeSet<IpAddr>, String> {
    match how {
        Resolve::System => {
            let found = tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host((name, 0))).await;
            match found {
                Err(_) => Err(format!("the resolver did not answer within {RESOLVE_WITHIN:?}")),
                Ok(Err(cause)) => Err(cause.to_string()),
                Ok(Ok(found)) => Ok(found.map(|address| address.ip().to_canonical()).collect()),
            }
        }
        Resolve::Cache(server) => crate::names::at_cache(*server, name, RESOLVE_WITHIN).await,
        Resolve::Script(program) => {
            let script = Script::new(program, RESOLVE_WITHIN).arg(name);
            let ended = script.run(guard).await.map_err(|cause| cause.to_string())?;
            if !ended.succeeded() {
                return Err(ended.to_string());
            }
            let lines = ended.stdout.text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(|line| line.parse().map_err(|_| format!("it printed `{line}`, no address"))).collect()
        }
    }
}

fn read(action: Action, args: &Value) -> Result<FollowArgs, Problem> {
    serde_json::from_value(args.clone())
        .map_err(|cause| Problem::new(Code::Malformed, format!("arguments of {action}: {cause}")))
}

/// Lines of a hosts file.
fn lines(expected: &[Expected]) -> Vec<String> {
    let each = |it: &Expected| -> Vec<String> {
        it.addresses.iter().map(|address| format!("{address} {}", it.name)).collect()
    };
    expected.iter().flat_map(each).collect()
}

fn shown(resolved: &Resolved) -> Value {
    resolved
        .iter()
        .map(|(name, found)| {
            let value = match found {
                Ok(found) => json!(found),
                Err(why) => json!(why),
            };
            (name.clone(), value)
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[async_trait]
impl Driver for Client {
    fn actions(&self) -> &[Action] {
        &[Action::Follow, Action::Push, Action::Unpush]
    }

    fn by_hand(&self, _group: &GroupId, action: Action, args: &Value) -> Vec<String> {
        let flush = match &self.settings.flush {
            Flush::Resolvectl => Some("resolvectl flush-caches".to_owned()),
            Flush::Nscd => Some("nscd -i hosts".to_owned()),
            Flush::Script(path) => Some(path_word(path)),
            Flush::Nothing => None,
        };
        let expected = self.expected(action, args).unwrap_or_default();
        let hosts = self.settings.hosts.as_ref().and_then(|hosts| match action {
            Action::Push => {
                let words = lines(&expected).into_iter().map(|line| format!(" {}", quoted(&line)));
                Some(path_word(&hosts.push) + &words.collect::<String>())
            }
            Action::Unpush => Some(path_word(&hosts.unpush)),
            _ => None,
        });
        let looks = expected.iter().map(|it| {
            let name = quoted(&it.name);
            let look = match &self.settings.resolve {
                Resolve::System => format!("getent ahosts {name}"),
                Resolve::Cache(server) => crate::names::dig(*server, &it.name),
                Resolve::Script(path) => format!("{} {name}", path_word(path)),
            };
            let addresses: Vec<String> = it.addresses.iter().map(ToString::to_string).collect();
            format!("{look} # must say {}", addresses.join(" "))
        });
        hosts.into_iter().chain(flush).chain(looks).collect()
    }

    async fn check(&self, action: Action, args: &Value) -> Result<(), Problem> {
        match action {
            Action::Push => self.hosts().and_then(|_| self.expected(action, args)).map(drop),
            Action::Unpush => self.hosts().map(|_| ()),
            _ => self.expected(action, args).map(drop),
        }
    }

    async fn preflight(&self) -> Vec<CheckLine> {
        let hosts = self.settings.hosts.as_ref();
        let names = !self.settings.names.is_empty();
        hosts.map(|hosts| hosts.line(&self.settings.resource, names)).into_iter().collect()
    }

    async fn observe(&self) -> Result<Seen, DriverError> {
        let asked = self.asked();
        let names = asked.iter().flat_map(|asked| &asked.names).map(|it| &it.name);
        let names = self.settings.names.keys().chain(names).map(String::as_str);
        let names: Vec<&str> = names.collect();
        // Of names that nobody wrote into its file a dead server must not make the whole host late.
        let within = if asked.is_some() { ASKED_WITHIN } else { RESOLVE_WITHIN * 2 };
        let late = |_| {
            let why = || Err(format!("no answer within {within:?}"));
            names.iter().map(|name| ((*name).to_owned(), why())).collect()
        };
        let resolved = tokio::time::timeout(within, self.resolve_all(names.iter().copied())).await;
        let resolved: Resolved = resolved.unwrap_or_else(late);
        let points_at = match asked {
            Some(asked) => all_lead(&asked.names, &resolved).then_some(asked.to),
            None => self.site_of(&resolved).cloned(),
        };
        let (mut answers, mut silent) = (BTreeMap::new(), Vec::new());
        for (name, found) in &resolved {
            match found {
                Ok(found) => {
                    answers.insert(name.clone(), found.iter().map(ToString::to_string).collect());
                }
                Err(_) => silent.push(name.clone()),
            }
        }
        Ok(Seen::Name(NameSeen {
            points_at,
            answers,
            silent,
            pushed: self.pushed(),
            detail: shown(&resolved),
        }))
    }

    async fn look(&self, action: Action, args: &Value) -> Look {
        if action == Action::Unpush {
            return self.look_unpushed().await;
        }
        let expected = match self.expected(action, args) {
            Ok(expected) => expected,
            Err(problem) => return Look::CannotTell(problem.to_string()),
        };
        match self.look_for(&expected).await {
            Look::InEffect(found) if action == Action::Follow => {
                self.forget_unlike(action, args);
                Look::InEffect(found)
            }
            Look::InEffect(found)
                if action == Action::Push && self.pushed() != read(action, args).ok().map(|it| it.to) =>
            {
                Look::NotInEffect(found)
            }
            look => look,
        }
    }

    async fn act(&self, act: &Act) -> Result<Value, DriverError> {
        let deadline = Instant::now() + act.within;
        if act.action == Action::Follow {
            let names = self.expected(act.action, &act.args).map_err(refused)?;
            let to = read(act.action, &act.args).map_err(refused)?.to;
            self.all_asked().insert(act.group.clone(), FollowArgs { to, names });
        } else {
            self.all_asked().remove(&act.group);
            self.change_hosts(act, act.within).await?;
        }
        let mut pauses = Pauses::up_to(TRY_EVERY);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let flushed = self.flush(act, left.min(FLUSH_WITHIN)).await;
            let look = self.look(act.action, &act.args).await;
            let found = match look {
                Look::InEffect(output) => return Ok(output),
                Look::NotInEffect(found) => found.to_string(),
                Look::CannotTell(why) => why,
            };
            match flushed {
                Err((code, why, true)) => return Err(DriverError::unknown(code, why)),
                Err((code, why, false)) if Instant::now() + TRY_EVERY >= deadline => {
                    return Err(DriverError::not_done(code, format!("{why}; {found}")));
                }
                Ok(()) if Instant::now() + TRY_EVERY >= deadline => {
                    let detail = format!("flushed, and it still is not the target: {found}");
                    return Err(DriverError::not_done(Code::TimedOut, detail));
                }
                Ok(()) | Err(_) => pauses.wait().await,
            }
        }
    }

    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        exec::lock(&self.settings.lock, within)
            .await
            .map(drop)
            .map_err(|cause| DriverError::unknown(Code::EarlierUnended, cause.to_string()))
    }

    async fn raise_epoch(&self, _: &GroupId, _: Epoch, _: RunId) -> Result<(), DriverError> {
        Ok(())
    }
}

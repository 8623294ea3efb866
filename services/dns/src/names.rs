//! One record's name, its addresses by site, and a look at every authoritative server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::base::Rtype;
use responder::{DriverError, Look, Pauses, quoted};
use schemas::{Code, NameSeen, Problem, Seen, SiteId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::exchange::ask;
use crate::server::Server;
use crate::wire::{self, Domain, Source};

/// How long one server is given for one question.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// How long a server of a lost site is given: it is owed anyway, and a frozen one would hold up the name's users.
const LOST_WITHIN: Duration = Duration::from_millis(100);

/// How long between two looks at a server that has not followed yet, at most.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Arguments of `dns.point`.
#[derive(Debug, Clone, Deserialize)]
struct PointArgs {
    /// The name; may be left out where the host's file has it.
    #[serde(default)]
    name: Option<String>,
    /// The site at whose address it is to point.
    to: SiteId,
    /// Sites that are lost: their servers are asked, and owed if they do not answer rightly.
    #[serde(default)]
    lost: Vec<SiteId>,
}

/// A question to a server, for a shell.
pub(crate) fn dig(server: Server, name: &str) -> String {
    let (ip, port) = (server.0.ip(), server.0.port());
    let port = if port == 53 { String::new() } else { format!(" -p {port}") };
    format!("dig +short @{ip}{port} {}", quoted(name))
}

/// Addresses and authoritative servers of one record, by site.
#[derive(Debug)]
pub(crate) struct Names {
    addresses: BTreeMap<SiteId, BTreeSet<IpAddr>>,
    verify: BTreeMap<SiteId, Vec<Server>>,
    name: Option<String>,
    ask_within: Duration,
    /// The name that was last asked for, for looks that come without arguments.
    last: Mutex<Option<String>>,
    memo: Option<PathBuf>,
}

/// What every server said.
#[derive(Default)]
pub(crate) struct Survey {
    pub(crate) answers: BTreeMap<Server, BTreeSet<IpAddr>>,
    pub(crate) silent: BTreeMap<Server, String>,
    /// The longest time to live that one of them gave, in seconds.
    ttl: Option<u32>,
}

/// What is to be reached.
pub(crate) struct Target {
    pub(crate) text: String,
    pub(crate) name: Domain,
    pub(crate) to: SiteId,
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Servers that must answer the addresses.
    pub(crate) needed: BTreeSet<Server>,
    /// Servers of lost sites.
    pub(crate) lost: BTreeSet<Server>,
}

impl Names {
    /// `verify` lists the authoritative servers by the site that they stand at; `name` is the record's whole
    /// name, or none where each request brings it.
    ///
    /// # Errors
    ///
    /// A site without address, two sites with the same one, no server to verify at, or a bad name.
    pub(crate) fn new(
        addresses: BTreeMap<SiteId, Vec<IpAddr>>,
        verify: BTreeMap<SiteId, Vec<Server>>,
        name: Option<String>,
    ) -> Result<Names, Problem> {
        let wrong = |what: String| Err(Problem::new(Code::BadConfiguration, what));
        let addresses: BTreeMap<_, BTreeSet<_>> =
            addresses.into_iter().map(|(site, list)| (site, list.into_iter().collect())).collect();
        let mut seen = BTreeSet::new();
        for (site, list) in &addresses {
            if list.is_empty() || list.iter().any(IpAddr::is_unspecified) {
                return wrong(format!("site {site} has no address to point at"));
            }
            if !seen.insert(list) {
                return wrong(format!("site {site} has the same addresses as another"));
            }
        }
        if verify.values().all(Vec::is_empty) {
            return wrong("no authoritative server is listed to verify at".to_owned());
        }
        if let Some(name) = &name
            && wire::domain(name).is_none()
        {
            return wrong(format!("`{name}` is no domain name"));
        }
        Ok(Names { addresses, verify, name, ask_within: ASK_WITHIN, last: Mutex::new(None), memo: None })
    }

    /// Keeps the name that was last asked for in this file, so that the next life of the service knows it.
    /// Not synced: what it serves (looks without arguments, ending what was sent) does not outlive a boot.
    #[must_use]
    pub(crate) fn remembered_in(mut self, file: PathBuf) -> Names {
        let kept = std::fs::read_to_string(&file).ok().filter(|text| wire::domain(text).is_some());
        self.last = Mutex::new(kept);
        self.memo = Some(file);
        self
    }

    fn remember(&self, text: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() == Some(text) {
            return;
        }
        *last = Some(text.to_owned());
        if let Some(file) = &self.memo
            && let Err(cause) = std::fs::write(file, text)
        {
            tracing::warn!(file = %file.display(), %cause, "the record's name could not be kept");
        }
    }

    /// The name, where any is known: the host file's, or the last that was asked for.
    pub(crate) fn known(&self) -> Option<String> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.name.clone().or_else(last)
    }

    /// Whether an earlier life on this host would have left a name.
    pub(crate) fn remembers(&self) -> bool {
        self.memo.is_some()
    }

    /// Reads the arguments of `point`; says what is to be reached.
    ///
    /// # Errors
    ///
    /// They are no arguments of ours, the name is another than this host's file says, or the site has no
    /// address here. An empty or unknown address is never a target.
    pub(crate) fn target(&self, args: &Value) -> Result<Target, Problem> {
        let args: PointArgs = serde_json::from_value(args.clone())
            .map_err(|cause| Problem::new(Code::Malformed, format!("arguments of dns.point: {cause}")))?;
        let text = match (&self.name, args.name) {
            (Some(ours), Some(asked)) if !same_name(ours, &asked) => {
                let detail = format!("asked for `{asked}`, and this record is `{ours}`");
                return Err(Problem::new(Code::Precondition, detail));
            }
            (Some(ours), _) => ours.clone(),
            (None, Some(asked)) => asked,
            (None, None) => {
                return Err(Problem::new(Code::Malformed, "neither request nor host file has the name"));
            }
        };
        let name = wire::domain(&text)
            .ok_or_else(|| Problem::new(Code::Malformed, format!("`{text}` is no domain name")))?;
        let addresses = self.addresses.get(&args.to).cloned().ok_or_else(|| {
            let detail = format!("this record has no address at site `{}`", args.to);
            Problem::new(Code::BadConfiguration, detail)
        })?;
        let (mut needed, mut lost) = (BTreeSet::new(), BTreeSet::new());
        for (site, servers) in &self.verify {
            if args.lost.contains(site) { lost.extend(servers) } else { needed.extend(servers) }
        }
        if needed.is_empty() {
            let detail =
                "every listed authoritative server stands at a lost site, so nothing can be verified";
            return Err(Problem::new(Code::Precondition, detail));
        }
        self.remember(&text);
        Ok(Target { text, name, to: args.to, addresses, needed, lost })
    }

    /// How a person sees that every server says so.
    pub(crate) fn seen_by_hand(target: &Target) -> Vec<String> {
        let addresses: Vec<String> = target.addresses.iter().map(ToString::to_string).collect();
        let look =
            |server: &Server| format!("{} # must say {}", dig(*server, &target.text), addresses.join(" "));
        target.needed.iter().map(look).collect()
    }

    /// The site whose addresses these are.
    pub(crate) fn site_of(&self, addresses: &BTreeSet<IpAddr>) -> Option<&SiteId> {
        self.addresses.iter().find(|(_, list)| *list == addresses).map(|(site, _)| site)
    }

    /// Only another site's addresses are replaced; what somebody else wrote is his.
    ///
    /// # Errors
    ///
    /// What was found. Nothing was changed.
    pub(crate) fn may_replace(&self, server: Server, found: &BTreeSet<IpAddr>) -> Result<(), DriverError> {
        match self.site_of(found) {
            Some(_) => Ok(()),
            None => Err(DriverError::not_done(
                Code::Precondition,
                format!(
                    "found {} at {server}, which is no site's address; nothing was changed",
                    shown(found)
                ),
            )),
        }
    }

    /// Addresses of a name at one server, by its authority.
    ///
    /// # Errors
    ///
    /// In words, why there is no answer.
    pub(crate) async fn at(&self, server: Server, name: &Domain) -> Result<BTreeSet<IpAddr>, String> {
        at(server, name.clone(), Source::Authority, self.ask_within).await
    }

    /// Asks these servers, all at once, each for so long.
    async fn survey(&self, name: &Domain, servers: impl Iterator<Item = (Server, Duration)>) -> Survey {
        let mut asked = JoinSet::new();
        for (server, within) in servers {
            let name = name.clone();
            asked.spawn(async move { (server, answer(server, name, Source::Authority, within).await) });
        }
        let mut survey = Survey::default();
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((server, Ok((found, ttl)))) => {
                    survey.answers.insert(server, found);
                    survey.ttl = survey.ttl.max(ttl);
                }
                Ok((server, Err(why))) => drop(survey.silent.insert(server, why)),
                Err(cause) => tracing::error!(%cause, "a look at a server failed"),
            }
        }
        survey
    }

    /// What every needed server says.
    pub(crate) async fn needed(&self, target: &Target) -> Survey {
        let needed = target.needed.iter().map(|server| (*server, self.ask_within));
        self.survey(&target.name, needed).await
    }

    /// Whether the name points where it should, at every needed server.
    pub(crate) async fn look(&self, target: &Target) -> Look {
        let needed = target.needed.iter().map(|server| (*server, self.ask_within));
        let lost = target.lost.iter().map(|server| (*server, LOST_WITHIN.min(self.ask_within)));
        let survey = self.survey(&target.name, needed.chain(lost)).await;
        let wrong = target
            .needed
            .iter()
            .filter_map(|server| survey.answers.get(server))
            .any(|found| *found != target.addresses);
        if wrong {
            return Look::NotInEffect(survey.json());
        }
        let silent: Vec<String> = target
            .needed
            .iter()
            .filter(|server| !survey.answers.contains_key(server))
            .map(|server| format!("{server}: {}", survey.silent.get(server).map_or("?", String::as_str)))
            .collect();
        if !silent.is_empty() {
            return Look::CannotTell(silent.join("; "));
        }
        Look::InEffect(self.output(target, &survey))
    }

    /// Looks until the name points where it should, at most until `deadline`.
    ///
    /// # Errors
    ///
    /// The last look.
    pub(crate) async fn verified(&self, target: &Target, deadline: Instant) -> Result<Value, DriverError> {
        let mut pauses = Pauses::up_to(LOOK_EVERY);
        loop {
            let look = self.look(target).await;
            if let Look::InEffect(output) = look {
                return Ok(output);
            }
            if Instant::now() + LOOK_EVERY >= deadline {
                return Err(match look {
                    Look::CannotTell(why) => DriverError::unknown(Code::Unreachable, why),
                    Look::NotInEffect(found) | Look::InEffect(found) => DriverError::unknown(
                        Code::TimedOut,
                        format!("not every server follows within the bound: {found}"),
                    ),
                });
            }
            pauses.wait().await;
        }
    }

    fn output(&self, target: &Target, survey: &Survey) -> Value {
        let owed: Vec<String> = target
            .lost
            .iter()
            .filter(|server| survey.answers.get(server) != Some(&target.addresses))
            .map(ToString::to_string)
            .collect();
        json!({
            "name": target.text,
            "to": target.to,
            "addresses": target.addresses,
            "answers": survey.json(),
            "owed": owed,
        })
    }

    /// The sites at which these servers stand, by the list to verify at; none for one that is not in it.
    pub(crate) fn sites_of(&self, servers: &[Server]) -> Vec<Option<&SiteId>> {
        let site = |server: &Server| self.verify.iter().find(|(_, list)| list.contains(server));
        servers.iter().map(|server| site(server).map(|(site, _)| site)).collect()
    }

    /// What the servers say now. `verifyAt` of the detail lists the sites of those at which a change is verified,
    /// `addresses` what the name gets at each site.
    pub(crate) async fn observe(&self) -> Result<Seen, DriverError> {
        let Some(text) = self.known() else {
            let detail = "the host's file has no `name:` for this record, and no request has named it yet";
            return Ok(Seen::Nothing(Problem::new(Code::Precondition, detail)));
        };
        let name = wire::domain(&text)
            .ok_or_else(|| DriverError::not_done(Code::Malformed, format!("`{text}` is no domain name")))?;
        let servers = self.verify.values().flatten().map(|server| (*server, self.ask_within));
        let survey = self.survey(&name, servers).await;
        let mut found = survey.answers.values();
        let first = found.next();
        let at: Vec<&SiteId> =
            self.verify.iter().filter(|(_, list)| !list.is_empty()).map(|(site, _)| site).collect();
        let agreed = first.filter(|first| found.all(|other| other == *first));
        Ok(Seen::Name(NameSeen {
            points_at: agreed.and_then(|addresses| self.site_of(addresses)).cloned(),
            answers: survey.shown(),
            silent: survey.silent.keys().map(ToString::to_string).collect(),
            pushed: None,
            detail: json!({
                "name": text, "silent": survey.why(), "ttl": survey.ttl, "verifyAt": at,
                "addresses": self.addresses,
            }),
        }))
    }
}

impl Survey {
    fn shown(&self) -> BTreeMap<String, Vec<String>> {
        let text = |list: &BTreeSet<IpAddr>| list.iter().map(ToString::to_string).collect();
        self.answers.iter().map(|(server, list)| (server.to_string(), text(list))).collect()
    }

    fn why(&self) -> BTreeMap<String, &str> {
        self.silent.iter().map(|(server, why)| (server.to_string(), why.as_str())).collect()
    }

    /// Server to addresses, or to the reason why there are none.
    pub(crate) fn json(&self) -> Value {
        let mut all = serde_json::Map::new();
        for (server, list) in self.shown() {
            all.insert(server, json!(list));
        }
        for (server, why) in self.why() {
            all.insert(server, json!(why));
        }
        Value::Object(all)
    }
}

/// Addresses that a cache gives for a name.
///
/// # Errors
///
/// In words, why there is no answer.
pub(crate) async fn at_cache(
    server: Server,
    name: &str,
    within: Duration,
) -> Result<BTreeSet<IpAddr>, String> {
    let name = wire::domain(name).ok_or_else(|| format!("`{name}` is no domain name"))?;
    at(server, name, Source::Cache, within).await
}

async fn at(
    server: Server,
    name: Domain,
    source: Source,
    within: Duration,
) -> Result<BTreeSet<IpAddr>, String> {
    answer(server, name, source, within).await.map(|(addresses, _)| addresses)
}

/// The addresses, and the longest time to live of one, in seconds.
async fn answer(
    server: Server,
    name: Domain,
    source: Source,
    within: Duration,
) -> Result<(BTreeSet<IpAddr>, Option<u32>), String> {
    let deadline = Instant::now() + within;
    let mut all = BTreeSet::new();
    let mut ttl = None;
    for rtype in [Rtype::A, Rtype::AAAA] {
        let question = wire::question(&name, rtype, source).map_err(|cause| cause.to_string())?;
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = ask(server, &question, left).await.map_err(|cause| cause.to_string())?;
        all.extend(wire::addresses(&answer, &name, rtype, source)?);
        ttl = ttl.max(wire::ttl(&answer, &name));
    }
    Ok((all, ttl))
}

fn same_name(one: &str, other: &str) -> bool {
    match (wire::domain(one), wire::domain(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// A refusal as an act's end.
pub(crate) fn refused(problem: Problem) -> DriverError {
    DriverError::not_done(problem.code, problem.detail.unwrap_or(problem.title))
}

/// Addresses for people.
pub(crate) fn shown(addresses: &BTreeSet<IpAddr>) -> String {
    if addresses.is_empty() {
        return "no address".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

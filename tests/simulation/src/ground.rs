//! The ground: what the services act upon. Resources, their states, and the statements that are on their way.
//!
//! A statement passes points: begun, the epoch checked, in effect, ended. When its service is killed, it is an
//! orphan: it may still take effect, as late as the test likes, until somebody ends it. The states have the
//! shapes of the services' memory drivers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemas::{
    Access, Action, Address, Aside, Attempt, Code, DatabaseSeen, Epoch, Half, Key, NameSeen, Problem,
    ProcessSeen, ReplicationSeen, ReplicationState, Role, RunId, Running, Seen, Service, SiteId,
};
use serde_json::{Value, json};
use service_core::{Looked, Order};

/// Where a statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// At the resource; nothing was compared yet.
    Begun,
    /// The resource compared its epoch; the effect comes next.
    Checked,
    /// In effect; its service does not know yet.
    Effect,
}

/// The name of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementId(pub u64);

/// A statement that has not ended.
#[derive(Debug, Clone)]
pub struct Statement {
    /// On which resource.
    pub address: Address,
    /// What, for whom.
    pub order: Order,
    /// Where it stands.
    pub at: Point,
    /// Its service is gone.
    pub orphan: bool,
}

/// One effect that took place.
#[derive(Debug, Clone, PartialEq)]
pub struct Effected {
    /// On which resource.
    pub address: Address,
    /// For which key.
    pub key: Key,
    /// Of which attempt.
    pub attempt: Attempt,
    /// In which epoch.
    pub epoch: Epoch,
    /// What.
    pub action: Action,
    /// The state before.
    pub before: Value,
}

/// All resources.
#[derive(Debug, Clone)]
pub struct Ground {
    /// By address; `null` until somebody sets it.
    pub states: BTreeMap<Address, Value>,
    /// Every effect so far, in order.
    pub effects: Vec<Effected>,
    /// What is on its way.
    pub statements: BTreeMap<StatementId, Statement>,
    /// Acts that the resource refuses.
    pub broken: BTreeSet<(Address, Action)>,
    /// Switches of a site's power: while one does not run, nothing at that site accepts a write.
    pub switches: BTreeMap<Address, SiteId>,
    /// Receivers of which a table changes whenever it is compared.
    pub busy: BTreeSet<Address>,
    /// Databases in which a write was seen to arrive since they were opened or closed last.
    pub written: BTreeSet<Address>,
    /// Receivers that do not hold what their source holds.
    pub unlike: BTreeSet<Address>,
    /// Whether resources compare epochs themselves (the second line of law 6).
    pub second_line: bool,
    pub(crate) epochs: BTreeMap<Address, (Epoch, RunId)>,
    pub(crate) last: u64,
}

impl Default for Ground {
    fn default() -> Self {
        Ground {
            states: BTreeMap::new(),
            effects: Vec::new(),
            statements: BTreeMap::new(),
            broken: BTreeSet::new(),
            switches: BTreeMap::new(),
            busy: BTreeSet::new(),
            written: BTreeSet::new(),
            unlike: BTreeSet::new(),
            second_line: true,
            epochs: BTreeMap::new(),
            last: 0,
        }
    }
}

/// Whether a program runs, as its state says: a word, or an object with that word and the site on whose database it works.
fn runs(state: &Value) -> bool {
    state.get("running").unwrap_or(state) == "running"
}

/// The same state, but for whether it runs.
fn running(before: &Value, word: &str) -> Value {
    let mut after = before.clone();
    match after.get_mut("running") {
        Some(running) => *running = json!(word),
        None => after = json!(word),
    }
    after
}

fn flag(state: &Value, name: &str) -> bool {
    state.get(name).and_then(Value::as_bool).unwrap_or(false)
}

impl Ground {
    /// The state of a resource.
    pub fn state(&self, address: &Address) -> &Value {
        self.states.get(address).unwrap_or(&Value::Null)
    }

    /// Whether a database is open; one that nobody closed is, while its site has power.
    pub fn is_open(&self, address: &Address) -> bool {
        self.state(address) != "closed" && self.has_power(&address.site)
    }

    fn has_power(&self, site: &SiteId) -> bool {
        self.switches.iter().all(|(switch, of)| of != site || runs(self.state(switch)))
    }

    /// Whether `action` is in effect now.
    pub fn look(&self, address: &Address, action: Action, args: &Value) -> Looked {
        let state = self.state(address);
        let yes = match action {
            Action::DisableAccess => state == "closed",
            Action::EnableAccess => state != "closed",
            Action::VerifyWrite => self.is_open(address) && self.written.contains(address),
            Action::StartProcess | Action::RefreshProcess => runs(state),
            Action::StopProcess => !runs(state),
            Action::PointProcess => state["pointsAt"] == args["to"],
            Action::Point => *state == args["to"],
            Action::Follow => {
                *state == args["to"] || (!state["pushed"].is_null() && state["pushed"] == args["to"])
            }
            Action::Push => !args["to"].is_null() && state["pushed"] == args["to"],
            Action::Unpush => state["pushed"].is_null(),
            Action::Mark => flag(state, "marked"),
            Action::Capture => flag(state, "slot"),
            Action::Discard => !flag(state, "slot"),
            Action::Drain => flag(state, "drained"),
            Action::SetSequences => flag(state, "sequences"),
            Action::StartReplication => flag(state, "enabled"),
            Action::StopReplication => !flag(state, "enabled"),
            Action::Abandon => flag(state, "abandoned") && !flag(state, "enabled"),
            Action::Export => flag(state, "exported"),
            Action::Copy => flag(state, "copied") && flag(state, "enabled"),
            Action::Compare => flag(state, "compared"),
            Action::Cleanup => !flag(state, "kept"),
        };
        match yes {
            true if action == Action::Compare => Looked::InEffect(self.compared(address)),
            true => Looked::InEffect(output(action)),
            false => Looked::NotInEffect(state.clone()),
        }
    }

    fn compared(&self, address: &Address) -> Value {
        let equal = (!self.busy.contains(address)).then_some(!self.unlike.contains(address));
        let sum = json!({ "rows": 1, "sum": "1" });
        json!({ "equal": equal, "tables": { "public.entry": { "source": sum, "receiver": sum, "equal": equal } } })
    }

    /// A statement arrives at its resource.
    pub fn begin(&mut self, address: &Address, order: Order) -> StatementId {
        self.last += 1;
        let id = StatementId(self.last);
        let statement = Statement { address: address.clone(), order, at: Point::Begun, orphan: false };
        self.statements.insert(id, statement);
        id
    }

    /// Moves a statement on; an orphan too.
    ///
    /// # Errors
    ///
    /// The resource refused it; it is gone and never takes effect.
    pub fn advance(&mut self, id: StatementId, boot: Duration) -> Result<Option<Point>, Problem> {
        let Some(statement) = self.statements.get(&id).cloned() else {
            return Err(Problem::new(Code::Failed, "the statement was ended"));
        };
        let Statement { address, order, at, orphan } = statement;
        let next = match at {
            Point::Begun => self.raise(&address, order.epoch, order.run).map(|()| Some(Point::Checked)),
            Point::Checked if order.not_after.is_some_and(|end| boot > end) => {
                Err(Problem::new(Code::NotConfirmed, "its deadline has passed"))
            }
            Point::Checked if self.broken.contains(&(address.clone(), order.action)) => {
                Err(Problem::new(Code::Precondition, "it is broken"))
            }
            Point::Checked if order.action == Action::VerifyWrite && !self.is_open(&address) => {
                Err(Problem::new(Code::Precondition, "it takes no writes"))
            }
            Point::Checked => {
                self.take_effect(&address, &order);
                Ok(Some(Point::Effect))
            }
            Point::Effect => Ok(None),
        };
        match &next {
            Ok(Some(point)) if !(orphan && *point == Point::Effect) => {
                if let Some(statement) = self.statements.get_mut(&id) {
                    statement.at = *point;
                }
            }
            _ => drop(self.statements.remove(&id)),
        }
        next
    }

    fn take_effect(&mut self, address: &Address, order: &Order) {
        let before = self.state(address).clone();
        let mut after = if before.is_object() { before.clone() } else { json!({}) };
        match order.action {
            Action::DisableAccess => after = json!("closed"),
            Action::EnableAccess => after = json!("open"),
            Action::VerifyWrite => after = before.clone(),
            Action::StartProcess | Action::RefreshProcess => after = running(&before, "running"),
            Action::StopProcess => after = running(&before, "stopped"),
            Action::PointProcess => {
                let word = before.get("running").unwrap_or(&before);
                after = json!({ "running": word, "pointsAt": order.args["to"] });
            }
            // Names lead there when a push is taken away.
            Action::Point | Action::Follow | Action::Unpush => after = order.args["to"].clone(),
            Action::Push => after = json!({ "pushed": order.args["to"] }),
            Action::Mark => after["marked"] = json!(true),
            Action::Capture => after["slot"] = json!(true),
            Action::Discard => after["slot"] = json!(false),
            Action::Drain => after["drained"] = json!(true),
            Action::SetSequences => after["sequences"] = json!(true),
            Action::StartReplication => {
                after = json!({ "enabled": true, "abandoned": false, "drained": false, "sequences": false });
            }
            Action::StopReplication => {
                after["enabled"] = json!(false);
                // Set once, it says something; a state that never saw a copy stays as it was.
                if flag(&after, "copied") {
                    after["copied"] = json!(false);
                }
            }
            Action::Export => after["exported"] = json!(true),
            Action::Copy => {
                let again =
                    json!({ "enabled": true, "abandoned": false, "drained": false, "sequences": false });
                after = again;
                after["copied"] = json!(true);
                after["kept"] = json!(true);
            }
            Action::Compare => after["compared"] = json!(true),
            Action::Cleanup => after["kept"] = json!(false),
            Action::Abandon => {
                after["enabled"] = json!(false);
                after["abandoned"] = json!(true);
            }
        }
        match order.action {
            Action::VerifyWrite => {
                self.written.insert(address.clone());
            }
            Action::DisableAccess | Action::EnableAccess => {
                self.written.remove(address);
            }
            _ => {}
        }
        self.states.insert(address.clone(), after);
        self.effects.push(Effected {
            address: address.clone(),
            key: order.key.clone(),
            attempt: order.attempt,
            epoch: order.epoch,
            action: order.action,
            before,
        });
    }

    /// The resource takes an epoch, where it keeps one (databases do).
    ///
    /// # Errors
    ///
    /// It holds a higher one, or this one for another run.
    pub fn raise(&mut self, address: &Address, epoch: Epoch, run: RunId) -> Result<(), Problem> {
        if !self.second_line || address.service != Service::Database {
            return Ok(());
        }
        match self.epochs.get(address) {
            Some((held, _)) if *held > epoch => {
                Err(Problem::new(Code::StaleEpoch, format!("the database holds epoch {held}")))
            }
            Some((held, other)) if *held == epoch && *other != run => {
                Err(Problem::new(Code::EpochTaken, format!("the database holds it for run {other}")))
            }
            _ => {
                self.epochs.insert(address.clone(), (epoch, run));
                Ok(())
            }
        }
    }

    /// Ends what dead services left on a resource: afterwards none of it can take effect.
    pub fn end_orphans(&mut self, address: &Address) {
        self.statements.retain(|_, s| !(s.orphan && s.address == *address));
    }

    /// Orphans of a resource.
    pub fn orphans(&self, address: &Address) -> Vec<StatementId> {
        let of = |s: &Statement| s.orphan && s.address == *address;
        self.statements.iter().filter(|(_, s)| of(s)).map(|(id, _)| *id).collect()
    }

    /// What a look shows.
    pub fn seen(&self, address: &Address) -> Seen {
        let state = self.state(address);
        let site = |name: &Value| name.as_str().and_then(|site| SiteId::new(site).ok());
        let detail = Value::Null;
        match address.service {
            Service::Database => {
                let open = state != "closed";
                let access = if open { Access::Open } else { Access::Closed };
                let role = if open { Role::Live } else { Role::Standby };
                let epoch = self.epochs.get(address).map(|(epoch, _)| *epoch);
                Seen::Database(DatabaseSeen { access, role, sessions: 0, epoch, detail })
            }
            Service::Process => {
                let running = if runs(state) { Running::Healthy } else { Running::Stopped };
                let closes = self.switches.get(address).cloned();
                let points_at = state["pointsAt"].as_str().and_then(|site| SiteId::new(site).ok());
                // Whoever works on a site's database works on that of each site at which it runs.
                let alike = |other: &&Address| {
                    other.service == Service::Process && other.resource == address.resource
                };
                let sites = self.states.keys().filter(alike).map(|other| other.site.clone());
                let repoints = if points_at.is_some() { sites.collect() } else { Vec::new() };
                Seen::Process(ProcessSeen { running, closes, repoints, points_at, detail })
            }
            Service::Replication => Seen::Replication(ReplicationSeen {
                half: if flag(state, "source") { Half::Source } else { Half::Receiver },
                state: match (flag(state, "enabled"), flag(state, "slot")) {
                    (true, _) => ReplicationState::Running,
                    (_, true) => ReplicationState::Capturing,
                    _ => ReplicationState::Stopped,
                },
                lag_bytes: None,
                lag_seconds: None,
                heartbeat: state.get("heartbeat").and_then(|at| at.as_str()?.parse().ok()),
                copy: None,
                kept_bytes: None,
                orphans: None,
                aside: (!flag(state, "source")).then(|| Box::new(aside(state))),
                trouble: state.get("trouble").and_then(|why| Some(why.as_str()?.into())),
                detail,
            }),
            Service::Dns => Seen::Name(NameSeen {
                points_at: [state, &state["pushed"]].into_iter().find_map(site),
                answers: BTreeMap::new(),
                silent: Vec::new(),
                pushed: site(&state["pushed"]),
                detail,
            }),
        }
    }
}

fn aside(state: &Value) -> Aside {
    Aside { tables: u64::from(flag(state, "kept")), ..Aside::default() }
}

fn output(action: Action) -> Value {
    match action {
        Action::Export => json!({
            "ledger": { "file": "ground", "digest": schemas::Digest::of(b"") },
            "transactions": 0, "rows": 0, "bytes": 0, "applied": "0/0",
        }),
        Action::Abandon => json!({ "applied": "0/0" }),
        Action::Mark => json!({ "sentinel": 1, "lsn": "0/0", "sequences": {} }),
        _ => json!({}),
    }
}

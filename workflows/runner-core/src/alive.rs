//! Until when a site was seen alive: by the newest sign of any service there. The one that stamps the heartbeats may have
//! died before its site, and what was written afterwards is lost all the same.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::{Address, Code, GroupId, Observation, ResourceId, Seen, Service, SiteId};

use crate::core::{Core, SILENT_AFTER};
use crate::entry::GroupEntry;
use crate::in_memory::Group;
use crate::seam::Now;

/// A server that lets nobody in has to be seen so again within this time: it may be back.
const SEEN_AGAIN: Duration = Duration::from_secs(25);

/// A sign of life of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sign {
    /// When it came, by the boot-time clock.
    came: Duration,
    /// When it was given, by the service's own.
    given: DateTime<Utc>,
}

/// A server that lets nobody in, as the service beside it says: then nothing is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Down {
    /// When it was first seen so, by the service's clock.
    since: DateTime<Utc>,
    /// When it was last seen so, by the boot-time clock.
    last: Duration,
}

/// What a group has at a site, clients included.
fn at_site<'a>(g: &'a Group, site: &'a SiteId) -> impl Iterator<Item = &'a Address> {
    g.plan.resources.iter().chain(&g.plan.clients).filter(move |address| address.site == *site)
}

/// The database that a replication carries, at the same site.
fn carried(g: &Group, half: &Address) -> Option<Address> {
    let carries = |database: &serde_json::Value| {
        let directions = database.get("replication").and_then(serde_json::Value::as_object);
        directions.is_some_and(|all| all.values().any(|name| name.as_str() == Some(half.resource.as_str())))
    };
    let databases = g.plan.input.get("databases")?.as_object()?;
    let name = databases.iter().find(|(_, database)| carries(database)).map(|(name, _)| name)?;
    let resource: ResourceId = name.parse().ok()?;
    Some(Address { service: Service::Database, resource, ..half.clone() })
}

impl Core {
    /// A sign of life: a beat or an answer.
    pub(crate) fn note_alive(&mut self, now: Now, address: &Address, given: DateTime<Utc>) {
        self.alive.insert(address.clone(), Sign { came: now.boot, given });
    }

    /// What a look says of the server beside a service.
    pub(crate) fn note_down(&mut self, now: Now, address: &Address, seen: &Observation) {
        let down = matches!(&seen.seen, Seen::Nothing(why) if why.code == Code::Unreachable);
        if !down {
            self.down.remove(address);
            return;
        }
        let known = self.down.get(address).filter(|down| now.boot <= down.last + SEEN_AGAIN);
        let since = known.map_or(seen.at, |down| down.since);
        self.down.insert(address.clone(), Down { since, last: now.boot });
    }

    /// Whether anything of the group is heard at a site.
    pub(crate) fn is_site_heard(&self, now: Now, g: &Group, site: &SiteId) -> bool {
        at_site(g, site).any(|address| self.is_heard(now, address))
    }

    fn newest_sign(&self, g: &Group, site: &SiteId) -> Option<Sign> {
        at_site(g, site).filter_map(|address| self.alive.get(address).copied()).max_by_key(|sign| sign.given)
    }

    /// Until when something may have been written at a source, as far as this life knows: its site was seen alive, and its
    /// server not seen to let nobody in.
    pub(crate) fn last_alive(&self, g: &Group, source: &Address) -> Option<DateTime<Utc>> {
        let newest = self.newest_sign(g, &source.site)?;
        let down = self.seen_down(g, source).filter(|down| newest.came <= down.last + SEEN_AGAIN);
        Some(down.map_or(newest.given, |down| newest.given.min(down.since)))
    }

    /// By the latest look of either service beside the source's server.
    fn seen_down(&self, g: &Group, source: &Address) -> Option<Down> {
        let beside = [Some(source.clone()), carried(g, source)].into_iter().flatten();
        let looked = beside.filter_map(|address| Some((self.observed.get(&address)?.0.boot, address)));
        let (_, latest) = looked.max_by_key(|(at, _)| *at)?;
        self.down.get(&latest).copied()
    }

    /// Whether a loss that was counted until then grows with every sign of life of its site.
    pub(crate) fn still_grows(
        &self,
        now: Now,
        group: &GroupId,
        site: &SiteId,
        alive: Option<DateTime<Utc>>,
    ) -> bool {
        let Some(g) = self.groups.get(group) else { return false };
        let newest = self.newest_sign(g, site).map(|sign| sign.given);
        alive.is_some() && newest == alive && self.is_site_heard(now, g, site)
    }

    /// That a source's service fell silent and its site lived on, in words: nobody stamps a heartbeat there.
    pub(crate) fn outlived(&self, g: &Group, source: &Address) -> Option<String> {
        let last = self.alive.get(source);
        let came = last.map_or(self.began, |sign| sign.came);
        let newest = self.newest_sign(g, &source.site)?;
        (newest.came > came + SILENT_AFTER).then(|| match last {
            Some(sign) => {
                format!("{} there is silent since {}", source.resource, sign.given.format("%H:%M:%SZ"))
            }
            None => format!("{} there was not heard", source.resource),
        })
    }

    /// Looks whether the server of a source lets anybody in, where its site is heard: a person may take his time.
    pub(crate) fn look_at_source(&mut self, now: Now, group: &GroupId, source: &Address) {
        let Some(g) = self.groups.get(group).filter(|g| self.is_site_heard(now, g, &source.site)) else {
            return;
        };
        for address in [Some(source.clone()), carried(g, source)].into_iter().flatten() {
            self.look_at(now, &address, None);
        }
    }

    /// A live site that falls silent: until when it was seen alive is recorded, since this program may be gone
    /// when that is asked for.
    pub(crate) fn note_silence(&mut self, now: Now, group: &GroupId, sources: &[Address]) {
        let Some(g) = self.groups.get(group) else { return };
        let heard = |address: &Address| self.is_site_heard(now, g, &address.site);
        let mut entries = Vec::new();
        for address in g.record.last_seen.keys().filter(|address| heard(address)) {
            entries.push(GroupEntry::LastSeen { address: address.clone(), alive: None });
        }
        let new = |address: &&Address| !g.record.last_seen.contains_key(*address) && !heard(address);
        for address in sources.iter().filter(new) {
            if let Some(alive) = self.last_alive(g, address) {
                entries.push(GroupEntry::LastSeen { address: address.clone(), alive: Some(alive) });
            }
        }
        let back = entries.iter().any(|entry| matches!(entry, GroupEntry::LastSeen { alive: None, .. }));
        for entry in entries {
            self.append_group(now, group, &entry);
        }
        let peace = self.groups.get(group).is_some_and(|g| g.record.active.is_none());
        if back && peace {
            self.check_soon(now, group);
        }
    }
}

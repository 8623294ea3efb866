//! Programs of `everywhere` that work on the database of one site (`database: log@main`): whether each can be made to work
//! on another site's, and whether somebody is where it works. Services do not know the groups' files, so this is said here.

use schemas::{Access, Address, CheckLine, ProcessSeen, ResourceId, Seen, Service, SiteId};
use serde_json::Value;

use crate::core::Core;
use crate::in_memory::Group;
use crate::seam::Now;

/// The database on which a program works at one site only; none where it has none, or its own site's.
fn database_of(g: &Group, address: &Address) -> Option<ResourceId> {
    let all = g.plan.input.get("everywhere").and_then(Value::as_array);
    let named = |item: &&Value| item["process"].as_str() == Some(address.resource.as_str());
    let item = all.into_iter().flatten().find(named).filter(|_| address.service == Service::Process)?;
    let (database, _) = item["database"].as_str()?.split_once('@').filter(|(_, site)| *site != "own")?;
    database.parse().ok()
}

impl Core {
    /// By day: what a move would need, and where it works now. Amber at most, since it keeps no users from the live site.
    pub(crate) fn point_line(
        &self,
        now: Now,
        g: &Group,
        address: &Address,
        seen: &Seen,
    ) -> Option<CheckLine> {
        let Seen::Process(program) = seen else { return None };
        let database = database_of(g, address)?;
        let missing: Vec<&str> =
            g.plan.sites.iter().filter(|site| !program.repoints.contains(site)).map(SiteId::as_str).collect();
        if !missing.is_empty() {
            return Some(CheckLine::amber(
                "repoint",
                format!("it has no script that makes it work on `{database}` of {}", missing.join(" and ")),
                "name `repoint: { SITE: SCRIPT, … }` and `pointed: SCRIPT` in its host's file",
            ));
        }
        let Some(at) = &program.points_at else {
            let why = program.detail.get("pointed").and_then(Value::as_str).unwrap_or("nobody says it");
            return Some(CheckLine::amber(
                "points",
                format!("nobody can tell on which site's `{database}` it works: {why}"),
                "mend its `pointed:` script: it prints the site and exits 0",
            ));
        };
        Some(match self.vain(now, &database, at) {
            None => CheckLine::green("points", format!("it works on `{database}` of {at}")),
            Some(why) => CheckLine::amber(
                "points",
                format!("it works on `{database}` of {at}, which {why}"),
                "an unplanned move away from there points it elsewhere; else run its `repoint` script by hand",
            ),
        })
    }

    /// Programs that work where nobody is, and that no failover would move: the site is not the live one.
    pub(crate) fn works_in_vain(&self, now: Now, g: &Group, live: &SiteId) -> Vec<String> {
        let sentence = |address: &Address| {
            let Seen::Process(ProcessSeen { points_at: Some(at), .. }) = &self.observed.get(address)?.1.seen
            else {
                return None;
            };
            let database = database_of(g, address).filter(|_| at != live && self.is_heard(now, address))?;
            let why = self.vain(now, &database, at)?;
            Some(format!(
                "{} at {}: it works on `{database}` of {at}, which {why}; a failover would point it at {live}, \
                 which is live already: run its `repoint` script for {live}",
                address.resource, address.site
            ))
        };
        g.plan.resources.iter().filter_map(sentence).collect()
    }

    /// Why nobody can work on a site's database, as far as it was seen.
    fn vain(&self, now: Now, database: &ResourceId, site: &SiteId) -> Option<String> {
        let address = Address { site: site.clone(), service: Service::Database, resource: database.clone() };
        if !self.is_heard(now, &address) {
            return Some("is silent".to_owned());
        }
        match &self.observed.get(&address)?.1.seen {
            Seen::Database(seen) if seen.access == Access::Closed => Some("is closed".to_owned()),
            Seen::Nothing(problem) => Some(format!("cannot be looked at ({})", problem.code)),
            _ => None,
        }
    }
}

//! The world of a drill: what production was seen as, for drivers in memory.

use std::collections::BTreeMap;
use std::path::Path;

use config::Group;
use schemas::view::{GroupView, ResourceView};
use schemas::{Access, Address, Half, ReplicationState, Running, Seen, Service, SiteId};
use serde_json::{Map, Value, json};

/// What a place serves, and in which state it stands.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Place {
    settings: BTreeMap<Service, Map<String, Value>>,
    /// The states of its world, by the names that the drivers in memory have for them.
    pub(super) states: Vec<(String, Value)>,
}

/// The world, and what of it nobody can see: that is silent in the drill too.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seeded {
    pub(super) places: BTreeMap<SiteId, Place>,
    pub(super) unseen: Vec<Address>,
}

impl Place {
    /// The file of the host that serves this place. It names no driver but `memory`.
    pub(super) fn file(&self, site: &SiteId, group: &Group, bus: &config::Bus, state: &Path) -> Value {
        let mut file = json!({
            "version": 1, "site": site, "groups": [group.name], "state": state,
            "bus": { "prefix": bus.prefix, "servers": bus.servers },
        });
        for (service, settings) in &self.settings {
            file[service.as_str()] = json!(settings);
        }
        file
    }
}

/// The world of a group, from what its services see now.
pub(super) fn places(group: &Group, view: &GroupView) -> Seeded {
    let mut seeded = Seeded::default();
    for resource in &view.resources {
        match known(group, resource) {
            Some((settings, name, state)) => {
                let Address { site, service, resource } = &resource.address;
                let place = seeded.places.entry(site.clone()).or_default();
                place.settings.entry(*service).or_default().insert(resource.to_string(), settings);
                place.states.push((name, state));
            }
            None => seeded.unseen.push(resource.address.clone()),
        }
    }
    seeded
}

/// A resource's settings, and its state in memory.
fn known(group: &Group, resource: &ResourceView) -> Option<(Value, String, Value)> {
    let Address { service, resource: name, .. } = &resource.address;
    let seen = resource.observation.as_ref().filter(|_| !resource.silent).map(|seen| &seen.seen)?;
    let in_service = format!("{service}.{name}");
    Some(match seen {
        Seen::Database(seen) => {
            let access = match seen.access {
                Access::Open => "open",
                Access::Closed => "closed",
                Access::Partly => "partly",
            };
            (json!({ "driver": "memory" }), in_service, json!(access))
        }
        Seen::Replication(seen) => {
            let state = match seen.half {
                Half::Source => json!({ "slot": seen.state != ReplicationState::Stopped }),
                Half::Receiver => json!({
                    "enabled": matches!(seen.state, ReplicationState::Running | ReplicationState::Draining),
                    "heartbeat": seen.heartbeat,
                    "copying": seen.copy,
                }),
            };
            (json!({ "driver": "memory", "half": seen.half }), in_service, state)
        }
        Seen::Process(seen) => {
            let state = match seen.running {
                Running::Healthy => json!("running"),
                Running::Unhealthy | Running::Unknown => json!("unhealthy"),
                Running::Stopped => Value::Null,
            };
            let mut settings = json!({ "driver": "memory", "repoint": seen.repoints });
            if let Some(site) = &seen.closes {
                settings["closes"] = json!(site);
            }
            let state = match &seen.points_at {
                Some(site) => json!({ "running": state, "pointsAt": site }),
                None => state,
            };
            (settings, name.to_string(), state)
        }
        Seen::Name(seen) => {
            let record = group.names.records.get(name).is_some_and(|r| r.at == resource.address.site);
            let how = if record { "driver" } else { "client" };
            let mut settings = json!({ "sites": group.sites });
            settings[how] = json!("memory");
            (settings, in_service, json!(seen.points_at))
        }
        Seen::Nothing(_) => return None,
    })
}

//! What a world starts with: groups, definitions, rules.

use std::collections::BTreeMap;

use runner_core::{GroupPlan, Rules as RunnerRules};
use schemas::{Address, Prefix, ResourceId, Service, SiteId};
use serde_json::Value;
use service_core::{Rule, Rules as ServiceRules};

/// What a world starts with.
#[derive(Clone)]
pub struct Scene {
    /// The groups.
    pub groups: Vec<GroupPlan>,
    /// Definitions: name and text.
    pub definitions: Vec<(String, String)>,
    /// What the runner keeps.
    pub runner_rules: RunnerRules,
    /// What the services keep.
    pub service_rules: ServiceRules,
    /// Whether databases compare epochs themselves.
    pub second_line: bool,
    /// Whether a world keeps its history for failures; sweeps do without, for speed.
    pub traced: bool,
    /// The first states of resources; the others are `null`.
    pub states: BTreeMap<Address, Value>,
    /// Switches of a site's power, beside the groups' files.
    pub switches: BTreeMap<Address, SiteId>,
}

/// A site by its name.
///
/// # Panics
///
/// The name is none.
pub fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap_or_else(|e| panic!("{e}"))
}

/// An address, written `site.service.resource`.
///
/// # Panics
///
/// The text is none.
pub fn address(text: &str) -> Address {
    let mut parts = text.splitn(3, '.');
    let mut next = || parts.next().unwrap_or_else(|| panic!("{text}"));
    let (site_name, service, resource) = (next(), next(), next());
    Address {
        site: site(site_name),
        service: service.parse::<Service>().unwrap_or_else(|e| panic!("{e}")),
        resource: ResourceId::new(resource).unwrap_or_else(|e| panic!("{e}")),
    }
}

/// A shipped definition by its name.
///
/// # Panics
///
/// It cannot be read.
pub fn definition(name: &str) -> (String, String) {
    let path = format!("{}/../../workflows/definitions/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    (name.to_owned(), text)
}

/// A group from the text of its file.
///
/// # Panics
///
/// The text is none.
pub fn group_plan(name: &str, text: &str) -> GroupPlan {
    let file = format!("{name}.yaml");
    let group = config::parse_group(text, &file, None).unwrap_or_else(|e| panic!("{e}"));
    GroupPlan::from(&group)
}

impl Scene {
    /// With all rules, every one-live database open at the group's first site and closed at the other, live
    /// processes running there, names pointing there, replication running from it.
    pub fn new(groups: Vec<GroupPlan>, definitions: Vec<(String, String)>) -> Scene {
        let mut states = BTreeMap::new();
        for plan in &groups {
            let home = plan.sites.first().cloned();
            for address in plan.resources.iter().chain(&plan.clients) {
                let at_home = Some(&address.site) == home.as_ref();
                let state = match address.service {
                    Service::Database if plan.one_live.contains(&address.resource) && !at_home => {
                        "closed".into()
                    }
                    Service::Database => "open".into(),
                    Service::Process if at_home => "running".into(),
                    Service::Process => "stopped".into(),
                    Service::Replication => serde_json::json!({ "enabled": !at_home }),
                    Service::Dns => home.as_ref().map_or(Value::Null, |site| site.as_str().into()),
                };
                states.insert(address.clone(), state);
            }
        }
        Scene {
            groups,
            definitions,
            runner_rules: RunnerRules::all(),
            service_rules: ServiceRules::default(),
            second_line: true,
            traced: true,
            states,
            switches: BTreeMap::new(),
        }
    }

    /// With a switch of a site's power at a third place, which is on: a fence path of the first group.
    #[must_use]
    pub fn with_switch(mut self, switch: &Address, of: &str) -> Scene {
        if let Some(plan) = self.groups.first_mut() {
            plan.fence_paths.push(switch.clone());
            if !plan.resources.contains(switch) {
                plan.resources.push(switch.clone());
            }
        }
        self.states.insert(switch.clone(), "running".into());
        self.switches.insert(switch.clone(), site(of));
        self
    }

    /// Without history, unless `POINTSMAN_TRACE` is set.
    #[must_use]
    pub fn untraced(mut self) -> Scene {
        self.traced = std::env::var_os("POINTSMAN_TRACE").is_some();
        self
    }

    /// Leaves one of the runner's rules out.
    #[must_use]
    pub fn without_runner(mut self, rule: runner_core::Rule) -> Scene {
        self.runner_rules = RunnerRules::without(rule);
        self
    }

    /// Leaves one of the services' rules out.
    #[must_use]
    pub fn without_service(mut self, rule: Rule) -> Scene {
        self.service_rules = ServiceRules::without(rule);
        self
    }

    pub(crate) fn prefix(&self) -> Prefix {
        Prefix::new("pointsman").unwrap_or_else(|e| panic!("{e}"))
    }
}

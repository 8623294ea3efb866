//! A group's file, reduced to what the core decides by.

use config::{Acceptance, AskOr, FencePath, Group, RefusedOr};
use schemas::{Address, Code, Problem, Service, SiteId};

use crate::notify::Commands;
use crate::seam::{GroupPlan, LossLimit, Standing, Trigger, TriggerMode};

fn standing(acceptance: &Acceptance) -> Standing {
    Standing {
        who: acceptance.accepted_by.clone(),
        why: acceptance.why.clone(),
        until: acceptance.until.end(),
    }
}

impl GroupPlan {
    /// That the group has such a site.
    ///
    /// # Errors
    ///
    /// It has others, which are named.
    pub(crate) fn has_site(&self, site: &SiteId) -> Result<(), Problem> {
        if self.sites.contains(site) {
            return Ok(());
        }
        let sites: Vec<&str> = self.sites.iter().map(SiteId::as_str).collect();
        let detail = format!("`{site}` is no site of `{}`, which has {}", self.group, sites.join(" and "));
        Err(Problem::new(Code::Conflict, detail))
    }
}

impl From<&Group> for GroupPlan {
    fn from(group: &Group) -> GroupPlan {
        let paths = group.fence.paths.iter().filter_map(|path| match path {
            FencePath::Database => None,
            FencePath::Process { process, site } => {
                Some(Address { site: site.clone(), service: Service::Process, resource: process.clone() })
            }
        });
        let clients = group.clients.caches.iter().chain(&group.clients.hosts).map(|client| Address {
            site: client.site.clone(),
            service: Service::Dns,
            resource: client.host.clone(),
        });
        GroupPlan {
            group: group.name.clone(),
            order: group.order,
            sites: group.sites.to_vec(),
            resources: group.resources(),
            clients: clients.collect(),
            one_live: group.one_live().cloned().collect(),
            live_only: group.live_only.clone(),
            fence_within: group.fence.within.duration(),
            fence_paths: paths.collect(),
            standing: match &group.fence.unproved {
                AskOr::Accepted(acceptance) => Some(standing(acceptance)),
                AskOr::Ask => None,
            },
            loss: group.loss.as_ref().map(|loss| LossLimit {
                max: loss.max.duration(),
                unknown: match &loss.unknown {
                    AskOr::Accepted(acceptance) => Some(standing(acceptance)),
                    AskOr::Ask => None,
                },
            }),
            trigger: Trigger {
                mode: match group.trigger.mode {
                    config::TriggerMode::Off => TriggerMode::Off,
                    config::TriggerMode::Observe => TriggerMode::Observe,
                    config::TriggerMode::Ask => TriggerMode::Ask,
                    config::TriggerMode::Auto => TriggerMode::Auto,
                },
                run: group.trigger.run.clone(),
                misses: group.trigger.misses.into(),
                hold_down: group.trigger.hold_down.duration(),
                max_age: group.trigger.max_age.duration(),
                one_prober: match &group.trigger.one_prober {
                    RefusedOr::Accepted(acceptance) => Some(standing(acceptance)),
                    RefusedOr::Refused => None,
                },
            },
            alone_within: group.resume.alone_within.duration(),
            notify: Commands {
                held: group.notify.held.clone(),
                failed: group.notify.failed.clone(),
                completed: group.notify.completed.clone(),
            },
            approval_within: group.approval.within.duration(),
            input: group.to_workflow_input(),
        }
    }
}

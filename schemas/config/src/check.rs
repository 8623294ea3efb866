//! What a group's file must make sense of, beyond its shape.

use std::collections::BTreeMap;
use std::time::Duration;

use document::{Diagnostic, Diagnostics};
use schemas::{Address, SiteId, YES_COUNTS};

use crate::codes;
use crate::forms::{Direction, FencePath};
use crate::group::Group;
use crate::merge::Files;
use crate::policy::TriggerMode;
use crate::{Acceptance, AskOr, RefusedOr, Span};

/// How long an opening may take, where its host's file does not say more.
pub const OPENING_BOUND: Duration = Duration::from_secs(5);

pub(crate) fn group(group: &Group, files: &Files<'_>) -> Diagnostics {
    let mut found = Diagnostics::default();
    sites(group, files, &mut found);
    databases(group, files, &mut found);
    everywhere(group, files, &mut found);
    names(group, files, &mut found);
    policies(group, files, &mut found);
    twice(group, files, &mut found);
    found
}

fn sites(group: &Group, files: &Files<'_>, found: &mut Diagnostics) {
    if group.sites[0] == group.sites[1] {
        let message = format!("`{}` twice: a group moves between two sites", group.sites[0]);
        found.push(files.error("/sites/1", codes::SITES, message));
    }
}

fn databases(group: &Group, files: &Files<'_>, found: &mut Diagnostics) {
    let [a, b] = &group.sites;
    let wanted = [(a, b), (b, a)].map(|(from, to)| Direction { from: from.clone(), to: to.clone() });
    for (name, database) in &group.databases {
        let at = format!("/databases/{name}/replication");
        for direction in database.replication.keys().filter(|direction| !wanted.contains(direction)) {
            let message = format!("`{direction}` is no direction between {a} and {b}");
            found.push(files.key_error(&format!("{at}/{direction}"), codes::SITES, message));
        }
        for direction in wanted.iter().filter(|direction| !database.replication.contains_key(direction)) {
            let message = format!("no replication for `{direction}`");
            found.push(files.error(&at, codes::REPLICATION, message));
        }
    }
}

fn everywhere(group: &Group, files: &Files<'_>, found: &mut Diagnostics) {
    for (i, item) in group.everywhere.iter().enumerate() {
        let Some(share) = &item.database else { continue };
        let at = format!("/everywhere/{i}/{}/database", item.process);
        if !group.databases.contains_key(&share.database) {
            let message = format!("there is no database `{}` in `databases`", share.database);
            found.push(files.error(&at, codes::REFERENCE, message));
        }
        if let Some(site) = share.site.as_ref().filter(|site| !group.sites.contains(site)) {
            found.push(files.error(&at, codes::SITES, stranger(group, site)));
        }
    }
}

fn stranger(group: &Group, site: &SiteId) -> String {
    format!("`{site}` is none of the group's sites, {} and {}", group.sites[0], group.sites[1])
}

fn names(group: &Group, files: &Files<'_>, found: &mut Diagnostics) {
    for (name, record) in &group.names.records {
        if !is_host_name(&record.name) {
            let message = format!("`{}` is not a host name such as cfg-a.example.net", record.name);
            found.push(files.error(&format!("/names/records/{name}/name"), codes::VALUE, message));
        }
    }
}

/// RFC 1123 section 2.1: labels of letters, digits and hyphens; the underscore is taken too.
fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').count() >= 2 && name.split('.').all(label)
}

fn policies(group: &Group, files: &Files<'_>, found: &mut Diagnostics) {
    let least = YES_COUNTS + OPENING_BOUND;
    if group.fence.within.duration() < least {
        let message = format!(
            "`{}` is too short: at least {}s, since an opening that was allowed before may take so long",
            group.fence.within,
            least.as_secs()
        );
        found.push(files.error("/fence/within", codes::FENCE, message));
    }
    let trigger = &group.trigger;
    if trigger.mode == TriggerMode::Auto && trigger.one_prober == RefusedOr::Refused {
        let message = "`auto` is refused while votes come from one prober";
        let help = "use `mode: ask`, or `one_prober: { accepted_by, why, until }`";
        found.push(files.error("/trigger/mode", codes::ONE_PROBER, message).help(help));
    }
    if trigger.misses == 0 || trigger.misses > 1000 {
        let message = "from 1 to 1000 probes in a row";
        found.push(files.error("/trigger/misses", codes::VALUE, message));
    }
    if schemas::KindId::new(trigger.run.as_str()).is_err() {
        let message = format!("`{}` is no workflow's name", trigger.run);
        found.push(files.error("/trigger/run", codes::VALUE, message));
    }
    let positive: [(&str, Span); 6] = [
        ("/trigger/max_age", trigger.max_age),
        ("/names/max_ttl", group.names.max_ttl),
        ("/clients/within", group.clients.within),
        ("/drain/within", group.drain.within),
        ("/resume/alone_within", group.resume.alone_within),
        ("/approval/within", group.approval.within),
    ];
    for (pointer, _) in positive.iter().filter(|(_, span)| span.duration().is_zero()) {
        found.push(files.error(pointer, codes::VALUE, "more than 0s"));
    }
    if let AskOr::Accepted(acceptance) = &group.fence.unproved {
        accepted(acceptance, "/fence/unproved", files, found);
    }
    if let Some(AskOr::Accepted(acceptance)) = group.loss.as_ref().map(|loss| &loss.unknown) {
        accepted(acceptance, "/loss/unknown", files, found);
    }
    if let RefusedOr::Accepted(acceptance) = &trigger.one_prober {
        accepted(acceptance, "/trigger/one_prober", files, found);
    }
    let notify = &group.notify;
    for (key, command) in
        [("held", &notify.held), ("failed", &notify.failed), ("completed", &notify.completed)]
    {
        if command.as_ref().is_some_and(|path| !path.is_absolute()) {
            let message = "the command's path must be absolute";
            found.push(files.error(&format!("/notify/{key}"), codes::VALUE, message));
        }
    }
}

fn accepted(acceptance: &Acceptance, at: &str, files: &Files<'_>, found: &mut Diagnostics) {
    for (key, text) in [("accepted_by", &acceptance.accepted_by), ("why", &acceptance.why)] {
        if text.trim().is_empty() {
            found.push(files.error(&format!("{at}/{key}"), codes::VALUE, "an acceptance says who and why"));
        }
    }
}

/// Nothing is claimed twice in one group.
fn twice(group: &Group, files: &Files<'_>, found: &mut Diagnostics) {
    let mut seen: BTreeMap<Address, String> = BTreeMap::new();
    for (address, pointer) in group.claims() {
        match seen.get(&address) {
            None => {
                seen.insert(address, pointer);
            }
            // One entry claims its resource at both sites: it is said once.
            Some(first) if address.site == group.sites[1] && seen_at(group, &seen, &address, first) => {}
            Some(first) => {
                let message = format!("{} `{}` is already at {first}", address.service, address.resource);
                found.push(files.error(&pointer, codes::TWICE, message));
            }
        }
    }
    let mut hosts: BTreeMap<(&SiteId, &str), String> = BTreeMap::new();
    let records = group.names.records.iter();
    for (name, record) in records {
        hosts.insert((&record.at, name.as_str()), format!("/names/records/{name}"));
    }
    for (kind, list) in [("caches", &group.clients.caches), ("hosts", &group.clients.hosts)] {
        for (i, client) in list.iter().enumerate() {
            let pointer = format!("/clients/{kind}/{i}");
            if let Some(first) = hosts.get(&(&client.site, client.host.as_str())) {
                let message = format!("dns `{}` at {} is already at {first}", client.host, client.site);
                found.push(files.error(&pointer, codes::TWICE, message));
            } else {
                hosts.insert((&client.site, client.host.as_str()), pointer);
            }
        }
    }
    for (i, path) in group.fence.paths.iter().enumerate() {
        if *path == FencePath::Database && group.fence.paths[..i].contains(path) {
            found.push(files.error(&format!("/fence/paths/{i}"), codes::TWICE, "`database` is there twice"));
        }
    }
}

/// Whether the same pair was already reported for the first site.
fn seen_at(group: &Group, seen: &BTreeMap<Address, String>, address: &Address, first: &str) -> bool {
    let twin = Address { site: group.sites[0].clone(), ..address.clone() };
    seen.get(&twin).is_some_and(|other| other == first)
}

/// Resources and names that two groups claim; each is reported at the later group.
pub fn double_claims<'a>(
    groups: impl IntoIterator<Item = (&'a Group, &'a document::Document)>,
) -> Diagnostics {
    let mut found = Diagnostics::default();
    let mut owners: BTreeMap<String, &Group> = BTreeMap::new();
    for (group, file) in groups {
        let names = group
            .names
            .records
            .iter()
            .map(|(name, record)| (record_key(&record.name), format!("/names/records/{name}/name")));
        let claims = group.claims().map(|(address, pointer)| (address.to_string(), pointer));
        let mut reported: Vec<String> = Vec::new();
        for (what, pointer) in claims.chain(names) {
            match owners.get(&what) {
                Some(owner) if owner.name != group.name || owner.path != group.path => {
                    if !reported.contains(&pointer) {
                        found.push(claimed(&what, owner, file, &pointer));
                        reported.push(pointer);
                    }
                }
                _ => {
                    owners.insert(what, group);
                }
            }
        }
    }
    found
}

fn record_key(name: &str) -> String {
    format!("the name {}", name.trim_end_matches('.').to_ascii_lowercase())
}

fn claimed(what: &str, owner: &Group, file: &document::Document, pointer: &str) -> Diagnostic {
    let message = format!("{what} belongs to group `{}` already ({})", owner.name, owner.path);
    file.error(pointer, codes::TWICE, message)
}

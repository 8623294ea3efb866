//! What somebody should look at in peace.

use schemas::{Address, GroupId, ReplicationSeen, ReplicationState, Seen, SiteId, size};
use serde_json::Value;

use crate::core::{Core, SILENT_AFTER};
use crate::in_memory::Group;
use crate::seam::Now;
use crate::since::since;

/// A slot is warned of from this share of `reverse.wal_keep` on, in per cent.
const WATERMARK: u64 = 80;

impl Core {
    /// One sentence each, worst first.
    pub(crate) fn warnings(&self, now: Now, group: &GroupId) -> Vec<String> {
        let Some(g) = self.groups.get(group) else { return Vec::new() };
        let mut all: Vec<String> = self.untold(group);
        let Some((live, other)) = self.live_and_other(group) else { return all };
        all.extend(g.record.broken.iter().map(|(address, (at, why))| {
            format!("{} at {}: {why}; {}", address.resource, address.site, since(*at, now))
        }));
        if g.record.active.is_none() {
            all.extend(self.unfinished(g, &live, &other));
            all.extend(self.works_in_vain(now, g, &live));
            all.extend(self.sick(now, g));
            all.extend(self.orphans(now, g, &live, &other));
            all.extend(self.all_unlike(g, &live, &other));
        }
        let unprotected = self.unprotected_since(g, &live, &other).map(|at| since(at, now));
        let keep = g.plan.input.get("reverse").and_then(|r| r.get("wal_keep")).and_then(Value::as_u64);
        for address in self.halves(now, group, &live, &other, &live) {
            if let Some(seen) = self.just_seen(now, &address) {
                of_source(&address, seen, keep, unprotected.as_deref(), &mut all);
            }
        }
        if !g.record.not_compared.is_empty() {
            all.push(format!(
                "not compared: {}: whenever both sites were looked at, it changed; compare it when nobody writes, then \
                 pointsman adopt {group} --why …",
                g.record.not_compared.join(", ")
            ));
        }
        all
    }
}

impl Core {
    fn just_seen(&self, now: Now, address: &Address) -> Option<&ReplicationSeen> {
        let fresh = self.observed.get(address).filter(|(at, _)| now.boot < at.boot + SILENT_AFTER * 2);
        match fresh.map(|(_, seen)| &seen.seen) {
            Some(Seen::Replication(seen)) => Some(seen),
            _ => None,
        }
    }

    /// What a site that was left and came back has alone, as its services counted it.
    fn orphans(&self, now: Now, g: &Group, live: &SiteId, other: &SiteId) -> Vec<String> {
        let group = &g.plan.group;
        let of = |receiver: Address| {
            let source = Address { site: other.clone(), ..receiver };
            let (resource, orphans) = (&source.resource, self.just_seen(now, &source)?.orphans.as_ref()?);
            Some(match (&orphans.unknown, orphans.rows) {
                (Some(why), _) => format!(
                    "{other} came back, and nobody knows whether it has rows that {live} never received ({resource}): {why}"
                ),
                (None, 0) => format!("{other} came back: nothing to export was found ({resource})"),
                (None, _) => format!(
                    "{other} came back with {} that {live} never received ({resource}): pointsman reprotect {group} \
                     --by copy --why … exports them before anything is overwritten",
                    orphans.words()
                ),
            })
        };
        self.halves_of(g, other, live).into_iter().filter_map(of).collect()
    }
}

fn of_source(
    address: &Address,
    seen: &ReplicationSeen,
    keep: Option<u64>,
    since: Option<&str>,
    all: &mut Vec<String>,
) {
    let name = format!("{} at {}", address.resource, address.site);
    if seen.state == ReplicationState::Capturing {
        let since = since.map_or(String::new(), |since| format!(" {since}"));
        let kept = seen.kept_bytes.unwrap_or(0);
        all.push(match keep {
            Some(keep) if kept >= keep => format!(
                "{name}: UNPROTECTED{since}, and {} of log are kept, more than reverse.wal_keep ({}): the disk of the \
                 live database fills; bring the other site back, or drop the slot and copy later",
                size(kept),
                size(keep)
            ),
            Some(keep) if kept >= keep / 100 * WATERMARK => {
                format!("{name}: UNPROTECTED{since}, {} of log are kept, of {} at most", size(kept), size(keep))
            }
            _ => format!("{name}: UNPROTECTED{since}, {} of log are kept for the other site", size(kept)),
        });
    }
    // `-1`: a slot that nobody reads keeps log until the disk is full.
    let unset = seen.detail.get("maxSlotWalKeepSize").and_then(Value::as_str) == Some("-1");
    if unset && seen.state != ReplicationState::Stopped {
        all.push(format!(
            "{name}: max_slot_wal_keep_size is not set: a slot that nobody reads can fill the disk of the live database"
        ));
    }
}

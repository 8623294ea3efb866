//! What somebody should look at in peace.

use schemas::{Address, GroupId, ReplicationSeen, ReplicationState, Seen};
use serde_json::Value;

use crate::core::{Core, SILENT_AFTER};
use crate::group::Record;
use crate::seam::Now;

/// A slot is warned of from this share of `reverse.wal_keep` on, in per cent.
const WATERMARK: u64 = 80;

impl Core {
    /// One sentence each, worst first.
    pub(crate) fn warnings(&self, now: Now, group: &GroupId) -> Vec<String> {
        let Some(g) = self.groups.get(group) else { return Vec::new() };
        let mut all: Vec<String> = self.untold(group);
        let Some((live, other)) = self.live_and_other(group) else { return all };
        all.extend(g.record.broken.iter().map(|(address, (since, why))| {
            format!("{} at {}: {why}; since {}", address.resource, address.site, since.format("%H:%M:%SZ"))
        }));
        if g.record.active.is_none() {
            all.extend(self.unfinished(g, &live, &other));
            all.extend(self.in_vain(now, g, &live));
        }
        let keep = g.plan.input.get("reverse").and_then(|r| r.get("wal_keep")).and_then(Value::as_u64);
        for address in self.halves(now, group, &live, &other, &live) {
            let fresh = self.observed.get(&address).filter(|(at, _)| now.boot < at.boot + SILENT_AFTER * 2);
            if let Some(Seen::Replication(seen)) = fresh.map(|(_, seen)| &seen.seen) {
                of_source(&address, seen, keep, &g.record, &mut all);
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

fn of_source(
    address: &Address,
    seen: &ReplicationSeen,
    keep: Option<u64>,
    record: &Record,
    all: &mut Vec<String>,
) {
    let name = format!("{} at {}", address.resource, address.site);
    if seen.state == ReplicationState::Capturing {
        // A standby that only stopped receiving was not left: since when is not known then.
        let left = record.left.as_ref().filter(|left| left.site != address.site && !left.drained);
        let since = left.map(|left| format!(" since {}", left.since.format("%H:%M:%SZ"))).unwrap_or_default();
        let kept = seen.kept_bytes.unwrap_or(0);
        let size = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
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

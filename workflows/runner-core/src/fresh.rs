//! Whether the standby is fresh: what would be lost if the live site were lost now, beside the group's limit. The number
//! is that of the loss gate.

use std::time::Duration;

use schemas::duration::Iso;
use schemas::{Address, CheckLine, Service};

use crate::core::Core;
use crate::in_memory::Group;
use crate::seam::Now;

/// The line's name. It counts against planned moves only: what leaves a lost site meets the loss gate, and what brings
/// the standby up to date is what mends it.
pub(crate) const FRESH: &str = "fresh";
/// A heartbeat is stamped every 5 s, and looked at a little later: a younger one is as fresh as can be.
const STAMPED: Duration = Duration::from_secs(8);

impl Core {
    /// The line of a receiver's half, in peace; none where the group has no limit.
    pub(crate) fn fresh_line(&self, now: Now, g: &Group, address: &Address) -> Option<CheckLine> {
        let max = g.plan.loss.as_ref()?.max;
        let live = g.record.live.as_ref().filter(|live| **live != address.site)?;
        let receives = address.service == Service::Replication
            && g.record.active.is_none()
            && self.halves_of(g, live, &address.site).contains(address);
        if !receives {
            return None;
        }
        let found = self.estimate_one(&g.plan.group, live, &address.site, &address.resource, None);
        let text = format!("{}, limit {}", found.text, Iso(max));
        // Until it is back nothing tells how far behind the standby is.
        let source = Address { site: live.clone(), ..address.clone() };
        let unstamped = self.outlived(g, &source).is_some();
        let unprotected = self.unprotected(now, g, live, &address.site);
        // What is in the way of another one is told there.
        let ours =
            unprotected.as_ref().and_then(|found| Some((found.why_of(&address.resource)?, &found.remedy)));
        let remedy = match ours {
            _ if unstamped => {
                format!("start `pointsman serve` of {source} again: nobody stamps a heartbeat there")
            }
            // No log says more than that.
            Some((why, remedy)) => format!("{why}; {remedy}"),
            None => "see what holds it up: `trouble` in pointsman status, then its server's log and the link"
                .to_owned(),
        };
        Some(match found.estimate {
            None => CheckLine::amber(FRESH, text, remedy),
            Some(Iso(lost)) if lost > max => CheckLine::red(FRESH, text, remedy),
            Some(Iso(lost)) if unstamped || lost >= STAMPED.max(max / 2) => {
                CheckLine::amber(FRESH, text, remedy)
            }
            Some(_) => CheckLine::green(FRESH, text),
        })
    }
}

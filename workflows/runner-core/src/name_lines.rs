//! Preconditions of a name that its record's service cannot judge alone: where the group is live, and what its file says.

use schemas::{CheckLine, Seen};
use serde_json::Value;

use crate::in_memory::Group;

/// Whether a name can be changed, and seen changed, while the live site is lost: by the sites of its servers as its
/// service was told them. Which server a script asks is not known, nor one that the host's file has at no site.
pub(crate) fn path_line(g: &Group, seen: &Seen) -> Option<CheckLine> {
    let (Seen::Name(name), Some(live)) = (seen, &g.record.live) else { return None };
    let only = |key: &str| {
        let sites = name.detail.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        !sites.is_empty() && sites.iter().all(|site| site.as_str() == Some(live.as_str()))
    };
    let which = match (only("updateAt"), only("verifyAt")) {
        (true, _) => "every server that takes its updates",
        (false, true) => "every server at which a change of it is verified",
        (false, false) => return None,
    };
    let text = format!("{which} stands at {live}, and {live} is what may be lost");
    Some(CheckLine::red("path", text, "name a server elsewhere in the host's file: `update:`, `verify:`"))
}

/// Caches keep a name for so long after it was changed.
pub(crate) fn ttl_line(g: &Group, seen: &Seen) -> Option<CheckLine> {
    let Seen::Name(name) = seen else { return None };
    let ttl = name.detail.get("ttl").and_then(Value::as_u64)?;
    let max = g.plan.input.pointer("/names/max_ttl").and_then(Value::as_str)?;
    let max = schemas::duration::parse_iso(max).ok()?.as_secs();
    Some(match ttl > max {
        false => CheckLine::green("ttl", format!("{ttl} s")),
        true => CheckLine::amber(
            "ttl",
            format!(
                "its servers give it {ttl} s to live, and names.max_ttl is {max} s: clients keep the old address so long"
            ),
            "lower it at the servers, and `ttl:` in the host's file",
        ),
    })
}

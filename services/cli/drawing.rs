//! The two sites side by side, narrow enough for any terminal: who is live, what runs where, which way each replication
//! flows and how far behind it is. In letters that every terminal has; what is old or silent says so.

mod each;
mod flow;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemas::view::{GroupView, ResourceView, SiteView};
use schemas::{Access, ReplicationState, ResourceId, Running, Seen, Service, SiteId, size};

pub(crate) use each::each;
use flow::{Flow, Stream};

use crate::text;

/// So many letters stand in a line of a site, so many between the two, and so many in a line below.
const WITHIN: usize = 24;
const BETWEEN: usize = 18;
const BELOW: usize = 75;
/// What was seen longer ago than this has its age beside it.
const RECENT: chrono::Duration = chrono::Duration::seconds(5);
/// So many programs of a site are named.
const NAMED: usize = 4;

/// A group drawn; nothing where it has no resource.
pub(crate) fn draw(group: &GroupView) -> Vec<String> {
    let sites: Vec<(&SiteId, &SiteView)> = group.sites.iter().collect();
    let [left, right] = sites.as_slice() else { return Vec::new() };
    if group.resources.is_empty() {
        return Vec::new();
    }
    let ours = [within(group, left), within(group, right)];
    let between = between(group, left.0);
    let height = ours.iter().map(Vec::len).chain([between.len() + 1]).max().unwrap_or_default();
    let rule = format!("+{}+", "-".repeat(WITHIN + 2));
    let rule = format!(" {rule}{:BETWEEN$}{rule}", "");
    let mut lines = vec![rule.clone()];
    for row in 0..height {
        let [left, right] = ours.each_ref().map(|lines| lines.get(row).map_or("", String::as_str));
        // What flows stands beside what the sites have, below their names.
        let flows = row.checked_sub(1).and_then(|row| between.get(row)).map_or("", String::as_str);
        lines.push(format!(" | {left:WITHIN$} |{flows:^BETWEEN$}| {right:WITHIN$} |"));
    }
    lines.push(rule);
    for (place, views) in elsewhere(group) {
        let says = [processes(&views, group.at), names(&views)].concat().join(", ");
        lines.extend(wrapped(&format!("{place}: {says}"), BELOW).into_iter().map(|line| format!(" {line}")));
    }
    lines
}

/// Whether what is known of it is older than just now.
fn is_old(view: &ResourceView, now: DateTime<Utc>) -> bool {
    view.seen_at.is_none_or(|at| now - at > RECENT)
}

/// Places that are no site of the group, with what the group has there.
fn elsewhere(group: &GroupView) -> BTreeMap<&SiteId, Vec<&ResourceView>> {
    let mut all: BTreeMap<&SiteId, Vec<&ResourceView>> = BTreeMap::new();
    for view in group.resources.iter().filter(|view| !group.sites.contains_key(&view.address.site)) {
        all.entry(&view.address.site).or_default().push(view);
    }
    all
}

/// The lines of a site.
fn within(group: &GroupView, (name, site): &(&SiteId, &SiteView)) -> Vec<String> {
    let here: Vec<&ResourceView> =
        group.resources.iter().filter(|view| view.address.site == **name).collect();
    let mut says = vec![format!("{name}: {}", state(group, name, site, &here))];
    let databases = here.iter().filter(|view| view.address.service == Service::Database);
    says.extend(databases.map(|view| database(view, group.at)));
    says.extend(processes(&here, group.at));
    says.extend(names(&here));
    says.extend(hindrances(&here));
    says.push(format!("{} of {} services heard", site.heard, site.services));
    says.iter().flat_map(|line| wrapped(line, WITHIN)).collect()
}

/// What a site is, in a word or two.
fn state(group: &GroupView, name: &SiteId, site: &SiteView, here: &[&ResourceView]) -> String {
    let live = group.live.as_ref() == Some(name);
    let seen = |view: &&ResourceView| matches!(seen(view), Some(Seen::Database(_))) && !view.silent;
    let word = match (site.counts_open, live) {
        (true, true) => "LIVE",
        (true, false) if site.seen_closed => "seen closed, counts as OPEN",
        (true, false) if !here.iter().any(seen) => "UNKNOWN, counts as OPEN",
        (true, false) => "counts as OPEN",
        (false, true) => "CLOSED, recorded as live",
        // Nobody saw it closed: somebody took the risk.
        (false, false) if site.why.contains("accepted by") => "ACCEPTED",
        (false, false) if receives(here) => "STANDBY",
        (false, false) => "CLOSED",
    };
    if site.heard == 0 { format!("SILENT, {word}") } else { word.to_owned() }
}

/// Whether everything that it is to receive arrives, as its own services see it.
fn receives(here: &[&ResourceView]) -> bool {
    let runs = |flow: &Flow<'_>| {
        let state = flow.receiver().map(|seen| (seen.state, seen.copy.is_none()));
        let runs = matches!(state, Some((ReplicationState::Running | ReplicationState::Draining, true)));
        runs && flow.stream() != Stream::Broken
    };
    let mut received =
        here.iter().filter_map(|view| Flow::of([*view])).filter(|flow| flow.receiver().is_some());
    let first = received.next();
    first.is_some_and(|first| runs(&first)) && received.all(|flow| runs(&flow))
}

fn seen(view: &ResourceView) -> Option<&Seen> {
    view.observation.as_ref().map(|observation| &observation.seen)
}

/// What is known of a resource, with its age unless that is of now.
fn aged(view: &ResourceView, what: &str, now: DateTime<Utc>) -> String {
    let name = &view.address.resource;
    match (view.silent, view.heard, view.seen_at) {
        // The runner remembers who spoke since it was started.
        (true, None, _) => format!("{name} NOT HEARD since the runner's start"),
        (true, Some(at), _) => format!("{name} SILENT, heard last {}, was {what}", text::age(at, now)),
        (false, _, Some(at)) if is_old(view, now) => format!("{name} {what} ({})", text::age(at, now)),
        (false, ..) => format!("{name} {what}"),
    }
}

fn database(view: &ResourceView, now: DateTime<Utc>) -> String {
    let what = match seen(view) {
        Some(Seen::Database(seen)) => {
            let access = match seen.access {
                Access::Open => "OPEN",
                Access::Closed => "closed",
                Access::Partly => "PARTLY OPEN",
            };
            match seen.sessions {
                0 => access.to_owned(),
                1 => format!("{access}, 1 session"),
                sessions => format!("{access}, {sessions} sessions"),
            }
        }
        Some(_) => "CANNOT LOOK".to_owned(),
        None => "NEVER SEEN".to_owned(),
    };
    aged(view, &what, now)
}

/// How many programs run, and which ones are not as they should be anywhere; then the switches.
fn processes(here: &[&ResourceView], now: DateTime<Utc>) -> Vec<String> {
    let (mut all, mut run, mut silent) = (0_usize, 0_usize, 0_usize);
    let (mut odd, mut switches) = (Vec::new(), Vec::new());
    let mut oldest: Option<DateTime<Utc>> = None;
    for view in here.iter().filter(|view| view.address.service == Service::Process) {
        let process = match seen(view) {
            Some(Seen::Process(process)) => Some(process),
            _ => None,
        };
        let running = process.map(|process| process.running);
        if let Some(site) = process.and_then(|process| process.closes.as_ref()) {
            let word = match running {
                Some(Running::Stopped) => "off",
                Some(Running::Healthy) => "on",
                _ => "UNKNOWN",
            };
            switches.push(aged(view, &format!("{word}, switches {site}"), now));
            continue;
        }
        all += 1;
        run += usize::from(running == Some(Running::Healthy));
        if view.silent {
            silent += 1;
            continue;
        }
        oldest = oldest.into_iter().chain(view.seen_at.filter(|_| is_old(view, now))).min();
        let word = match running {
            Some(Running::Healthy | Running::Stopped) => continue,
            Some(Running::Unhealthy) => "UNHEALTHY",
            Some(Running::Unknown) => "UNKNOWN",
            None if view.observation.is_some() => "CANNOT LOOK",
            None => "NEVER SEEN",
        };
        odd.push(format!("{} {word}", view.address.resource));
    }
    let count = match (all, silent) {
        (0, _) => return switches,
        (all, 0) => format!("{run} of {all} processes run"),
        (all, silent) if all == silent => format!("{run} of {all} processes ran, SILENT"),
        (all, silent) => format!("{run} of {all} processes run, {silent} SILENT"),
    };
    let age = oldest.map(|at| format!(" ({})", text::age(at, now))).unwrap_or_default();
    let more = odd.len().saturating_sub(NAMED);
    odd.truncate(NAMED);
    let more = (more > 0).then(|| format!("and {more} more"));
    [format!("{count}{age}")].into_iter().chain(odd).chain(more).chain(switches).collect()
}

/// Where names lead, as their servers and their users see it.
fn names(here: &[&ResourceView]) -> Vec<String> {
    let mut all: BTreeMap<String, Vec<&ResourceId>> = BTreeMap::new();
    for view in here.iter().filter(|view| view.address.service == Service::Dns) {
        let to = match seen(view) {
            _ if view.silent => "SILENT".to_owned(),
            Some(Seen::Name(name)) if name.not_looked_at() => "not looked at".to_owned(),
            Some(Seen::Name(name)) => {
                name.points_at.as_ref().map_or("NO ONE SITE".to_owned(), ToString::to_string)
            }
            Some(_) => "CANNOT LOOK".to_owned(),
            None => "NEVER SEEN".to_owned(),
        };
        all.entry(to).or_default().push(&view.address.resource);
    }
    let line = |(to, names): (String, Vec<&ResourceId>)| match names.as_slice() {
        [one] => format!("{one} -> {to}"),
        names => format!("{} names -> {to}", names.len()),
    };
    all.into_iter().map(line).collect()
}

/// What keeps services from acting, or keeps them busy.
fn hindrances(here: &[&ResourceView]) -> Vec<String> {
    let observed = || here.iter().filter(|view| !view.silent).filter_map(|view| view.observation.as_ref());
    [
        ("not adopted", observed().filter(|o| !o.adopted).count()),
        ("not armed", observed().filter(|o| !o.armed).count()),
        ("acts in progress", observed().filter(|o| !o.unended.is_empty()).count()),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(what, count)| format!("{what}: {count}"))
    .collect()
}

/// Two lines for each replication: its name, and how it flows. What rests on its way to the live site rests as it should.
fn between(group: &GroupView, left: &SiteId) -> Vec<String> {
    let mut replications: BTreeMap<&ResourceId, Vec<&ResourceView>> = BTreeMap::new();
    for view in group.resources.iter().filter(|view| view.address.service == Service::Replication) {
        replications.entry(&view.address.resource).or_default().push(view);
    }
    let mut lines = Vec::new();
    for (name, halves) in replications {
        let Some(flow) = Flow::of(halves) else {
            lines.extend([shortened(name.as_str()), "? not seen".to_owned()]);
            continue;
        };
        let home = group.live.as_ref().is_some_and(|live| !flow.leaves(live));
        if flow.stream() == Stream::Nothing && home {
            continue;
        }
        let flows = format!("{} {}", flow.arrow(left), how(&flow));
        lines.extend([shortened(name.as_str()), shortened(flows.trim_end())]);
    }
    lines
}

/// How a replication is, in few letters.
fn how(flow: &Flow<'_>) -> String {
    let received = flow.receiver();
    if let Some(copy) = received.and_then(|seen| seen.copy.as_ref()) {
        return format!("COPIES {}/{}", copy.tables_ready, copy.tables);
    }
    match flow.stream() {
        Stream::Broken => "BROKEN".to_owned(),
        Stream::Nothing => "stopped".to_owned(),
        Stream::Kept => match flow.source().and_then(|seen| seen.kept_bytes) {
            Some(bytes) => format!("kept {}", size(bytes)),
            None => "kept".to_owned(),
        },
        Stream::Current | Stream::Behind => {
            let by_time = received.and_then(|seen| seen.lag_seconds).map(span);
            let behind = by_time.or_else(|| received.and_then(|seen| seen.lag_bytes).map(size));
            behind.map_or(String::new(), |behind| format!("lag {behind}"))
        }
    }
}

/// In one unit.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min", s / 60.0),
        s if s < 86_400.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

/// As much as fits between the sites.
fn shortened(name: &str) -> String {
    match name.len() <= BETWEEN {
        true => name.to_owned(),
        false => format!("{}~", name.chars().take(BETWEEN - 1).collect::<String>()),
    }
}

/// A text in lines of at most so many letters, all after the first set in; a word that is longer is cut.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for (i, part) in letters.chunks(most - 2).enumerate() {
            let room = most.saturating_sub(line.chars().count() + usize::from(!line.is_empty()));
            if !line.is_empty() && (i > 0 || room < part.len()) {
                lines.push(std::mem::replace(&mut line, " ".to_owned()));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(part);
        }
    }
    lines.push(line);
    lines
}

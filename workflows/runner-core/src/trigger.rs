//! Detection, decision, run: three records; the first does not imply the last (law 9).

use std::time::Duration;

use schemas::op::Who;
use schemas::{CloudEvent, Code, GroupId, Problem, SiteId};

use crate::core::{Core, Timer};
use crate::entry::{ByPerson, GroupEntry};
use crate::group::Record;
use crate::purpose::Leaves;
use crate::seam::{Now, TriggerMode};
use crate::start::Start;

/// A site that is reported lost, until a decision or a word of life.
#[derive(Debug, Clone)]
pub(crate) struct Detection {
    pub(crate) id: String,
    pub(crate) event: String,
    /// When the latest report came.
    pub(crate) latest: Duration,
    /// When the hold-down ends.
    pub(crate) due: Duration,
    /// What was decided; no second decision for the same detection.
    pub(crate) decided: bool,
    /// It was reported too late to be decided about: a fresh report is another detection.
    pub(crate) too_old: bool,
}

/// A detection whose reports stopped for so long is over.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// How a question begins that is put because of red lines, before their names.
const ASK_RED: &str = "ask: red, so it does not start by itself: ";

impl Record {
    /// The red lines that were told with a question. An older runner has recorded them in its words only.
    pub(crate) fn told_red(&self, decision: &str) -> Vec<String> {
        if !self.asked_red.is_empty() {
            return self.asked_red.clone();
        }
        let asked = self.decisions.iter().find(|view| view.id == decision);
        let names = asked.and_then(|view| view.verdict.strip_prefix(ASK_RED));
        names.map(|names| names.split(", ").map(str::to_owned).collect()).unwrap_or_default()
    }
}

impl Core {
    pub(crate) fn on_event(&mut self, now: Now, place: &SiteId, event: &CloudEvent) {
        let value = serde_json::to_value(event).unwrap_or_default();
        self.offer(now, &value);
        let Some(site) =
            event.data.get("site").and_then(|s| s.as_str()).and_then(|s| s.parse::<SiteId>().ok())
        else {
            return;
        };
        if event.kind == schemas::event::SITE_ALIVE {
            return self.on_alive(now, &site);
        }
        let groups: Vec<GroupId> = self
            .groups
            .iter()
            .filter(|(_, g)| g.plan.sites.contains(&site) && g.plan.trigger.mode != TriggerMode::Off)
            .filter(|(_, g)| {
                let definition = self.definitions.get(&g.plan.trigger.run);
                definition.is_some_and(|(_, d)| d.schedule().is_some_and(|filter| filter.matches(&value)))
            })
            .map(|(id, _)| id.clone())
            .collect();
        for group in groups {
            self.detect(now, &group, place, &site, event);
        }
    }

    fn on_alive(&mut self, now: Now, site: &SiteId) {
        let groups: Vec<GroupId> = self
            .groups
            .iter()
            .filter(|(_, g)| g.detections.contains_key(site))
            .map(|(id, _)| id.clone())
            .collect();
        for group in groups {
            let Some(found) = self.groups.get_mut(&group).and_then(|g| g.detections.remove(site)) else {
                continue;
            };
            if !found.decided {
                self.verdict(now, &group, &found, site, "withdrawn: the site answers again");
            }
        }
    }

    fn detect(&mut self, now: Now, group: &GroupId, place: &SiteId, site: &SiteId, event: &CloudEvent) {
        let Some(g) = self.groups.get_mut(group) else { return };
        // An observer that reports each miss is not yet sure.
        let misses = event.data.get("misses").and_then(serde_json::Value::as_u64);
        if misses.is_some_and(|misses| misses < g.plan.trigger.misses) {
            return;
        }
        let age = event.time.map(|t| (now.wall - t).to_std().unwrap_or_default()).unwrap_or_default();
        let old = age > g.plan.trigger.max_age;
        if let Some(known) = g.detections.get_mut(site)
            && now.boot < known.latest + FORGOTTEN_AFTER
            && (old || !known.too_old)
        {
            if !old {
                known.latest = now.boot;
            }
            return;
        }
        let named = format!("{} from {} ({place})", event.id, event.source);
        let due = now.boot + g.plan.trigger.hold_down;
        let id = self.ids.message().to_string();
        let detection = Detection { id, event: named, latest: now.boot, due, decided: old, too_old: old };
        let verdict = match old {
            true => format!("nothing: the event is {} s old", age.as_secs()),
            false => format!("waiting: hold-down of {} s", g.plan.trigger.hold_down.as_secs()),
        };
        g.detections.insert(site.clone(), detection.clone());
        self.verdict(now, group, &detection, site, &verdict);
        if !old {
            self.timer(due, Timer::Detection(group.clone(), site.clone()));
        }
    }

    fn verdict(&mut self, now: Now, group: &GroupId, detection: &Detection, site: &SiteId, verdict: &str) {
        self.verdict_past(now, group, detection, site, (verdict, Vec::new()));
    }

    /// The same, told with red lines that a person's answer goes past.
    fn verdict_past(
        &mut self,
        now: Now,
        group: &GroupId,
        detection: &Detection,
        site: &SiteId,
        (verdict, red): (&str, Vec<String>),
    ) {
        let entry = GroupEntry::Decision {
            decision: detection.id.clone(),
            group: group.clone(),
            event: detection.event.clone(),
            site: site.clone(),
            verdict: verdict.into(),
            red,
        };
        self.append_group(now, group, &entry);
    }

    pub(crate) fn on_detection_due(&mut self, now: Now, group: &GroupId, site: &SiteId) {
        let Some(g) = self.groups.get_mut(group) else { return };
        let Some(detection) = g.detections.get_mut(site) else { return };
        if detection.decided || now.boot < detection.due {
            return;
        }
        detection.decided = true;
        let detection = detection.clone();
        let verdict = self.decide(now, group, site);
        match verdict {
            Err(why) => self.verdict(now, group, &detection, site, &why),
            Ok(TriggerMode::Ask) => self.ask_a_person(now, group, site, &detection),
            Ok(_) if !self.standing(now, group, site, Leaves::Lost).is_empty() => {
                self.ask_a_person(now, group, site, &detection);
            }
            Ok(_) => {
                let workflow = self.groups.get(group).map(|g| g.plan.trigger.run.clone()).unwrap_or_default();
                let who = Who { person: "trigger".into(), claimed: detection.event.clone() };
                let start = Start {
                    workflow,
                    group: group.clone(),
                    to: None,
                    supersede: None,
                    accept_unfenced: Vec::new(),
                    accept_data_loss: None,
                    protect_by: None,
                    overrides: Vec::new(),
                    waive_ledger: false,
                    by: ByPerson { who, why: format!("{site} is reported lost") },
                    decision: Some(detection.id.clone()),
                };
                if let Err(problem) = self.start_run(now, start) {
                    self.verdict(now, group, &detection, site, &format!("nothing: {problem}"));
                }
            }
        }
    }

    /// A person decides: the group's file says so, or what would keep his own start from being made is red. Approving it
    /// overrides that, by the names recorded here.
    fn ask_a_person(&mut self, now: Now, group: &GroupId, site: &SiteId, detection: &Detection) {
        let red = self.standing(now, group, site, Leaves::Lost);
        let red: Vec<String> = red.iter().map(|line| line.name.clone()).collect();
        let verdict = match red.is_empty() {
            true => "ask".to_owned(),
            false => format!("{ASK_RED}{}", red.join(", ")),
        };
        self.verdict_past(now, group, detection, site, (&verdict, red));
        let within = self.groups.get(group).map(|g| g.plan.approval_within).unwrap_or_default();
        self.timer(now.boot + within, Timer::Approval(group.clone()));
    }

    /// What a detection may do now, or why nothing.
    fn decide(&self, now: Now, group: &GroupId, site: &SiteId) -> Result<TriggerMode, String> {
        let g = self.groups.get(group).ok_or("nothing: no such group")?;
        if let Some(declared) = g.record.disconnected() {
            let (person, why) = (&declared.by.who.person, &declared.by.why);
            return Err(format!("nothing: {person} declared that only the link is lost: {why}"));
        }
        let off = g.record.triggers_off.as_ref().filter(|off| off.until.is_none_or(|until| now.wall < until));
        if let Some(off) = off {
            return Err(format!(
                "nothing: triggers were switched off by {}: {}",
                off.by.who.person, off.by.why
            ));
        }
        if g.record.live.as_ref() != Some(site) {
            return Err(format!("nothing: {site} is not live"));
        }
        if let Some(run) = g.record.active {
            return Err(format!("nothing: run {} is going on", run.short(4)));
        }
        match g.plan.trigger.mode {
            TriggerMode::Off => Err("nothing: the trigger is off".into()),
            TriggerMode::Observe => Err(format!("observed: {} would have started", g.plan.trigger.run)),
            TriggerMode::Ask => Ok(TriggerMode::Ask),
            TriggerMode::Auto => {
                let accepted = g.plan.trigger.one_prober.as_ref().is_some_and(|s| now.wall < s.until);
                if !accepted {
                    let problem = Problem::new(Code::OneProber, "");
                    return Err(format!("nothing: {problem}"));
                }
                if g.record.unacknowledged {
                    return Err(
                        "nothing: an automatic run was started before; pointsman ack arms the next".into()
                    );
                }
                Ok(TriggerMode::Auto)
            }
        }
    }

    pub(crate) fn on_approval_due(&mut self, now: Now, group: &GroupId) {
        let Some((id, site)) = self.groups.get(group).and_then(|g| g.record.asked.clone()) else { return };
        let due = self
            .groups
            .get(group)
            .and_then(|g| g.detections.get(&site).map(|d| d.due + g.plan.approval_within))
            .unwrap_or(now.boot);
        if now.boot < due {
            return;
        }
        // Silence never starts anything: it stays on the list, and `approve` still works.
        let entry = GroupEntry::Decision {
            decision: id,
            group: group.clone(),
            event: String::new(),
            site,
            verdict: "held: nobody approved in time; pointsman failover starts it by hand".into(),
            red: Vec::new(),
        };
        self.append_group(now, group, &entry);
    }
}

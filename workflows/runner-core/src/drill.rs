//! What is kept of drills: they move nothing here, and a preview says when the move was practised last.

use schemas::op::{Fact, OpReply};
use schemas::view::{DrillView, RunState};
use schemas::{Code, GroupId, Problem};

use crate::core::Core;
use crate::entry::{ByPerson, GroupEntry};
use crate::seam::Now;
use crate::start::{Checked, Start};

/// So many questions of a drill are kept, and so many bytes of each.
const ASKED_MAX: usize = 32;
const QUESTION_MAX: usize = 300;

impl Core {
    /// A drill was held.
    pub(crate) fn drilled(
        &mut self,
        now: Now,
        group: &GroupId,
        drill: DrillView,
        by: ByPerson,
    ) -> Result<OpReply, Problem> {
        let g =
            self.groups.get(group).ok_or_else(|| Problem::new(Code::UnknownGroup, format!("`{group}`")))?;
        if !self.definitions.contains_key(&drill.workflow) {
            let detail = format!("there is no definition `{}`", drill.workflow);
            return Err(Problem::new(Code::BadDefinition, detail));
        }
        if let Some(stranger) = [&drill.from, &drill.to].into_iter().find(|site| !g.plan.sites.contains(site))
        {
            return Err(Problem::new(Code::Malformed, format!("{group} has no site `{stranger}`")));
        }
        let cut = |text: String| text.chars().take(QUESTION_MAX).collect::<String>();
        let asked = drill.asked.into_iter().take(ASKED_MAX).map(cut).collect();
        let refused = drill.refused.map(cut);
        let drill = Box::new(DrillView { asked, refused, at: now.wall, ..drill });
        let what = format!("the drill of {} {}->{} is recorded", drill.workflow, drill.from, drill.to);
        self.append_group(now, group, &GroupEntry::Drilled { drill, by });
        Ok(OpReply::Recorded { what, at: now.wall })
    }

    /// When this move was practised last, from this site to that one.
    pub(crate) fn drill_fact(&self, now: Now, start: &Start, checked: &Checked) -> Fact {
        let drills = self.groups.get(&start.group).into_iter().flat_map(|g| g.record.drills.values());
        let drills: Vec<&DrillView> = drills.filter(|drill| drill.workflow == start.workflow).collect();
        let this_way = drills.iter().find(|drill| drill.from == checked.from && drill.to == checked.to);
        let when = |drill: &DrillView| match (now.wall - drill.at).num_days() {
            ..1 => "today".to_owned(),
            1 => "yesterday".to_owned(),
            days => format!("{days} days ago"),
        };
        let (text, verdict) = match this_way {
            None => {
                let (group, workflow, from, to) = (&start.group, &start.workflow, &checked.from, &checked.to);
                let never = match drills.first() {
                    Some(other) => {
                        format!("never {from}->{to}, {} {}->{}", when(other), other.from, other.to)
                    }
                    None => "never practised".to_owned(),
                };
                (format!("{never}: pointsman drill {group} --workflow {workflow} --why …"), None)
            }
            Some(DrillView { refused: Some(why), from, to, .. }) => {
                let when = this_way.map(|drill| when(drill)).unwrap_or_default();
                (format!("{when}, {from}->{to}, refused: {why}"), Some("DID NOT START".to_owned()))
            }
            Some(drill) => {
                let when = when(drill);
                let asked = match drill.asked.len() {
                    0 => "nothing was asked".to_owned(),
                    1 => "one question".to_owned(),
                    n => format!("{n} questions"),
                };
                let bad = drill.state != RunState::Completed;
                let state = serde_json::to_value(drill.state).unwrap_or_default();
                let text = format!(
                    "{when}, {}->{}, {} in {}, {asked}",
                    drill.from,
                    drill.to,
                    state.as_str().unwrap_or_default(),
                    drill.took
                );
                (text, bad.then(|| "DID NOT COMPLETE".to_owned()))
            }
        };
        Fact { label: "last drill".into(), text, verdict }
    }
}

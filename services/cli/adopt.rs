//! Looking at the world and taking it as a group's state.

use std::io::IsTerminal;

use chrono::Utc;
use schemas::SiteId;
use schemas::op::{Op, OpReply};
use schemas::view::WorldView;

use crate::args::Adopt;
use crate::bus::{Bus, strange};
use crate::exit::{Exit, NotDone, Usage};
use crate::output::Output;
use crate::text;

/// `adopt`.
pub(crate) async fn run(ask: Adopt, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let look =
        Op::Adopt { group: ask.group.clone(), record: None, none_live: false, old_runner_stopped: false };
    let world = match bus.look(look).await? {
        OpReply::World(world) => world,
        other => return Err(strange(&other)),
    };
    out.line(format!("{} · {}", ask.group, bus.heading()));
    show(&world, out);
    if ask.dry_run {
        out.value(&world);
        return Ok(if world.objections.is_empty() { Exit::Done } else { Exit::NotNormal });
    }
    let site = chosen(&ask, &world, out)?;
    let op = Op::Adopt {
        group: ask.group.clone(),
        record: site.clone(),
        none_live: site.is_none(),
        old_runner_stopped: ask.accept_old_runner_stopped,
    };
    let reply = bus.change(op, &ask.why.why, None).await?;
    out.value(&reply);
    match &reply {
        OpReply::Recorded { what, at } => {
            out.line(format!("{}  {what}", out.time(*at)));
            if what.contains("; not: ") {
                out.line("Who did not answer is claimed when it does; of one whose ledger is new or lost `pointsman check` says so (`adopted`): adopt again then.");
                return Ok(Exit::NeedsPerson);
            }
        }
        OpReply::World(_) => {
            out.line(format!("{} is recorded as live at {}", ask.group, text::site(site.as_ref())))
        }
        other => return Err(strange(other)),
    }
    Ok(Exit::Done)
}

fn show(world: &WorldView, out: &Output) {
    let mut table = out.table();
    for view in &world.resources {
        let (seen, heard) = text::resource(view, Utc::now());
        table.add_row([format!("  {}", view.address), seen, heard]);
    }
    out.line(table.trim_fmt());
    match &world.live {
        Some(site) => out.line(format!("It looks live at {}.", out.strong(site.as_str()))),
        None => out.line(out.warn("No one site looks live.")),
    }
    for objection in &world.objections {
        out.line(format!("  {} {objection}", out.warn("but")));
    }
}

/// The site that is live; none where the person says that no one is.
fn chosen(ask: &Adopt, world: &WorldView, out: &Output) -> anyhow::Result<Option<SiteId>> {
    if ask.yes && (ask.none_live || ask.live.is_some()) {
        return Ok(ask.live.clone());
    }
    if !std::io::stdin().is_terminal() {
        let message = "without a terminal the site cannot be typed: look with `--dry-run`, then use `--live SITE --yes`, or `--none-live --yes`";
        return Err(Usage(message.to_owned()).into());
    }
    if ask.none_live {
        return match out.ask("No site is live, and each database is closed. Type none: ")?.as_deref() {
            Some("none") => Ok(None),
            _ => Err(NotDone("`none` was not typed: nothing was recorded".to_owned()).into()),
        };
    }
    let hint = ask.live.as_ref().or(world.live.as_ref()).map(|site| format!(" ({site})")).unwrap_or_default();
    match out.ask(&format!("Type the site that is live{hint}: "))? {
        Some(answer) => {
            let site: SiteId = answer.parse().map_err(|error: schemas::BadId| Usage(error.to_string()))?;
            match &ask.live {
                Some(said) if *said != site => {
                    Err(NotDone(format!("`{site}` is not `{said}`: nothing was recorded")).into())
                }
                _ => Ok(Some(site)),
            }
        }
        None => Err(NotDone("nothing was typed: nothing was recorded".to_owned()).into()),
    }
}

//! One act on this host, without the bus: by the driver and the ledger of its service, which must not run.

mod said;

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use exec::Guard;
use responder::Registration;
use responder::here::{HereError, Order, act_here};
use responder::memory::World;
use schemas::{Action, Address, Answer, Code, Effect, GroupId, Problem, Service};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::args::Act;
use crate::exit::{Exit, NotDone, Usage};
use crate::output::Output;
use crate::person;

/// `act --here`: 0 done, 3 refused, 4 in doubt, 5 it failed.
pub(crate) fn run(ask: &Act, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    if !ask.here {
        return Err(Usage("say `--here`: a run does it everywhere else".to_owned()).into());
    }
    let host = config::load_host(host)?;
    let world = World::in_file(host.state.join("rehearsal.json")).context("rehearsal.json")?;
    let guard = Guard::this_program();
    let (service, name) = match ask.resource.split_once('.') {
        Some((service, name)) => {
            let service: Service = service.parse().map_err(|e: schemas::BadService| Usage(e.to_string()))?;
            (Some(service), name)
        }
        None => (None, ask.resource.as_str()),
    };
    let only: Vec<Service> = service.into_iter().collect();
    let served = host::drivers(&host, &only, &guard, &world, Uuid::new_v4(), &host::Tell::default())?;
    let mut fitting: Vec<_> = served.into_iter().filter(|one| one.resource.as_str() == name).collect();
    // A name may stand in several services: the action tells.
    if fitting.len() > 1 {
        fitting.retain(|one| Action::of(one.service, &ask.action).is_some());
    }
    let one = match (fitting.pop(), fitting.pop()) {
        (Some(one), None) => one,
        (Some(_), Some(_)) => {
            return Err(Usage(format!("several services have `{name}`: say SERVICE.{name}")).into());
        }
        _ => return Err(Usage(format!("this host's file has no resource `{}`", ask.resource)).into()),
    };
    let action = Action::of(one.service, &ask.action).ok_or_else(|| {
        let known: Vec<&str> = one.driver.actions().iter().map(|action| action.as_str()).collect();
        Usage(format!("{} does not do `{}`: {}", ask.resource, ask.action, known.join(", ")))
    })?;
    // A client of names is asked on somebody's behalf.
    let group = match one.group.as_ref().or(host.groups.first()) {
        Some(group) => group.clone(),
        None => GroupId::new("by-hand")?,
    };
    let mut args = match &ask.args {
        Some(text) => serde_json::from_str::<Map<String, Value>>(text)
            .map_err(|error| Usage(format!("`--args` is no JSON object: {error}")))?,
        None => Map::new(),
    };
    args.insert("resource".into(), Value::String(one.resource.to_string()));
    args.insert("site".into(), Value::String(host.site.to_string()));
    let args = Value::Object(args);
    if ask.print {
        let lines = one.driver.by_hand(&group, action, &args);
        if lines.is_empty() {
            // Often it is refused anyway: then for the reason, with its own words.
            let (site, resource) = (host.site.clone(), one.resource.clone());
            let address = Address { site, service: one.service, resource };
            if !one.driver.actions().contains(&action) {
                let known: Vec<&str> = one.driver.actions().iter().map(|action| action.as_str()).collect();
                let why = format!("{address} does not do `{}`, only {}", action.as_str(), known.join(", "));
                return Err(Problem::new(Code::UnknownSubject, why).into());
            }
            schemas::args::check(&address, action, &args)?;
            crate::runtime()?.block_on(one.driver.check(action, &args))?;
        }
        out.value(&lines);
        match lines.is_empty() {
            true => out.line("There is no other way than this command."),
            false => lines.iter().for_each(|line| out.line(line)),
        }
        return Ok(Exit::Done);
    }
    let why = ask.why.clone().ok_or_else(|| Usage("say why: `--why TEXT`".to_owned()))?;
    let who = person::here(&host.bus);
    out.line(format!("{group} · by hand on {} at {} · {who}", person::host(), host.site));
    if action.effect() == Effect::Opens {
        confirm(ask, host.site.as_str(), out)?;
    }
    let order = Order {
        site: host.site.clone(),
        group: group.clone(),
        state_dir: host.state.clone(),
        armed_flag: host.armed_flag(),
        action,
        args,
        within: ask.within.duration(),
        who,
        why,
        accepted: ask.accept_unfenced.clone(),
    };
    let registration = Registration {
        service: one.service,
        resource: one.resource,
        group: one.group.is_some().then_some(group),
        driver: one.driver,
    };
    let reply = crate::runtime()?.block_on(act_here(order, registration)).map_err(told)?;
    out.value(&reply);
    out.line(said::said(action, &reply));
    Ok(match reply.answer {
        Answer::Applied | Answer::AlreadyApplied => Exit::Done,
        Answer::Refused => Exit::Refused,
        Answer::Failed => Exit::Faulted,
        Answer::InProgress | Answer::InDoubt => Exit::NeedsPerson,
    })
}

/// An opening is two sites live if the other one was not closed.
fn confirm(ask: &Act, site: &str, out: &Output) -> anyhow::Result<()> {
    if ask.accept_unfenced.is_empty() {
        let message = "an opening needs `--accept-unfenced SITE`: you say of the other site that it is closed, \
                       or take the risk that it is not";
        return Err(Usage(message.to_owned()).into());
    }
    if ask.accept_unfenced.iter().any(|accepted| accepted.as_str() == site) {
        let message = format!("`--accept-unfenced {site}` is about this host's own site: name the other one");
        return Err(Usage(message).into());
    }
    if ask.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Usage("without a terminal the site cannot be typed: use `--yes`".to_owned()).into());
    }
    match out.ask(&format!("Type the site to open ({site}): "))? {
        Some(answer) if answer == site => Ok(()),
        _ => Err(NotDone(format!("`{site}` was not typed: nothing was done")).into()),
    }
}

fn told(error: HereError) -> anyhow::Error {
    match error {
        HereError::Refused(problem) => problem.into(),
        error @ HereError::Served(_) => NotDone(error.to_string()).into(),
        error => error.into(),
    }
}

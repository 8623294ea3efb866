//! A numbered manual for a night without runner or bus: each step with what to do, by our own driver on its
//! host (`act --here`) or by hand, and boxes to fill in.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use config::HOST_FILE;
use schemas::op::ByHandText;
use schemas::{Action, Address, Effect, Service, SiteId};
use serde_json::{Map, Value, json};

use crate::forecast::{Expected, World};
use crate::plan::{Plan, PlanStep};

/// What stands for an address that nobody knows here; the site follows.
const UNKNOWN: &str = "ADDRESS-AT-";

/// The host on which it is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnHost {
    /// Its file, from the root on.
    pub file: String,
    /// The resources that it serves.
    pub serves: Vec<Address>,
}

/// A name of the group, and what it gets at each site where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name that clients resolve.
    pub name: String,
    /// Its addresses.
    pub addresses: BTreeMap<SiteId, Vec<IpAddr>>,
}

/// The names of a group, as the input of its run has them.
pub fn names(input: &Value, world: &World) -> Vec<Name> {
    let sites = input.pointer("/group/sites").and_then(Value::as_array);
    let sites: Vec<SiteId> = sites.into_iter().flatten().filter_map(site).collect();
    let records = input.pointer("/group/names/records").and_then(Value::as_object);
    let one = |(resource, record): (&String, &Value)| {
        let site = site(record.get("at")?)?;
        let address = Address { site, service: Service::Dns, resource: resource.parse().ok()? };
        let known = sites.iter().map(|to| (to.clone(), world.addresses(&address, to)));
        let addresses = known.filter(|(_, all)| !all.is_empty()).collect();
        Some(Name { name: record.get("name")?.as_str()?.to_owned(), addresses })
    };
    records.into_iter().flatten().filter_map(one).collect()
}

fn site(value: &Value) -> Option<SiteId> {
    value.as_str()?.parse().ok()
}

/// Where a runbook comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heading {
    /// Its title.
    pub title: String,
    /// Label and text: when it was printed, of which definition, from which observations.
    pub facts: Vec<(String, String)>,
    /// The group.
    pub group: String,
    /// What was taken for granted of the sites, because nobody looked.
    pub taken: Option<String>,
    /// The run whose rest it is.
    pub rest_of: Option<String>,
    /// The site that is left, which nobody may take for closed without looking.
    pub left: Option<String>,
    /// The group's names: one that was pointed before stands in no step, and clients follow it all the same.
    pub names: Vec<Name>,
    /// Of this host it is known which file its commands read.
    pub own: Option<OwnHost>,
}

/// The manual. `texts` has what each step's service said of doing it by hand; missing where it was silent.
pub fn runbook(heading: &Heading, plan: &Plan, texts: &[ByHandText]) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write(&mut out, heading, plan, texts);
    out
}

fn write(out: &mut String, heading: &Heading, plan: &Plan, texts: &[ByHandText]) -> std::fmt::Result {
    writeln!(out, "# {}\n", heading.title)?;
    for (label, text) in &heading.facts {
        writeln!(out, "- {label}: {text}")?;
    }
    writeln!(out, "- Done by: ______________________  from ____:____ to ____:____\n")?;
    writeln!(out, "## Before\n")?;
    let mut before: Vec<String> = heading.taken.iter().map(|text| format!("{text}.")).collect();
    before.extend([
        "No runner moves this group meanwhile: stop it on its host, or see that its host is off.".to_owned(),
        "On each host where a step says `pointsman act`, stop `pointsman serve` first. A command that finds \
         it running refuses, and changes nothing."
            .to_owned(),
        format!(
            "Each `pointsman act` reads the file of the host on which it is typed: {HOST_FILE}, or the one that \
             POINTSMAN_CONFIG names there. Where it is another one, add `--config FILE`; a line that has it \
             already needs nothing."
        ),
        "A step that cannot be done is written down as owed, with the reason; go on only where the step says so."
            .to_owned(),
    ]);
    if let Some(run) = &heading.rest_of {
        before.push(format!(
            "This is the rest of run {run}. A step that may have been begun already is looked at before it is \
             done again: every command here does that by itself."
        ));
    }
    for text in before {
        writeln!(out, "- [ ] {text}")?;
    }
    let mut phase = None;
    for (step, text) in plan.steps.iter().zip(texts.iter().map(Some).chain(std::iter::repeat(None))) {
        let call = &step.foreseen.call;
        if call.phase != phase {
            phase.clone_from(&call.phase);
            writeln!(out, "\n## {}", capital(phase.as_deref().unwrap_or("other")))?;
        }
        self::step(out, heading, plan, step, text)?;
    }
    writeln!(out, "\n## After\n")?;
    for text in after(heading) {
        writeln!(out, "- [ ] {text}")?;
    }
    if !plan.assumptions.is_empty() {
        writeln!(out, "\n## What this assumes\n")?;
        for text in &plan.assumptions {
            writeln!(out, "- {text}")?;
        }
    }
    Ok(())
}

fn after(heading: &Heading) -> Vec<String> {
    let group = &heading.group;
    let mut after = vec!["Start `pointsman serve` on each host again, then the runner.".to_owned()];
    if let Some(run) = &heading.rest_of {
        after.push(format!(
            "`pointsman cancel {run} --leave --why \"done by hand\"`: the run ends, and the world stays as it is."
        ));
    } else {
        after.push(format!(
            "If `pointsman status {group}` shows a run that has not ended: `pointsman cancel RUN --leave --why \
             \"done by hand\"`."
        ));
    }
    after.push(format!(
        "`pointsman adopt {group} --why \"done by hand\"`: it shows the world, asks, and records it under a new epoch."
    ));
    after.push(format!("`pointsman status {group}` says the mode that you expect."));
    after
}

fn step(
    out: &mut String,
    heading: &Heading,
    plan: &Plan,
    step: &PlanStep,
    text: Option<&ByHandText>,
) -> std::fmt::Result {
    let call = &step.foreseen.call;
    writeln!(out, "\n### {}. {}\n", step.number, step.name)?;
    if let Some(manual) = &call.manual {
        writeln!(out, "{manual}\n")?;
    }
    match step.foreseen.expected {
        Expected::Owed => writeln!(
            out,
            "Expected: it cannot be asked ({}). Try it; if it fails, write it down as owed and go on.\n",
            step.foreseen.why
        )?,
        Expected::AlreadySo => writeln!(out, "It was seen so already. Look again.\n")?,
        Expected::Waits => writeln!(out, "Expected: it waits ({}).\n", step.foreseen.why)?,
        Expected::Done => {}
    }
    if call.effect == Effect::Opens {
        let left = heading.left.as_deref().unwrap_or("the other site");
        writeln!(out, "**Only when {left} is closed, or somebody named takes the risk that it is not.**\n")?;
    }
    if let Some(address) = &step.foreseen.address {
        let host = text.and_then(|text| text.host.as_deref());
        let at = host.map_or(format!("the host of {address}"), |host| format!("host {host} ({address})"));
        let line = act(heading, plan, step);
        writeln!(out, "On {at}:\n\n```sh\n{line}\n```\n")?;
        if line.contains(UNKNOWN) {
            writeln!(
                out,
                "Fill in: in place of each `{UNKNOWN}…` the address that the name beside it has at that site. Where \
                 the host's own file has `names:`, take `names` out of the line instead.\n"
            )?;
        }
        match text.and_then(|text| text.lines.as_ref()) {
            Some(lines) if !lines.is_empty() => {
                writeln!(out, "Or without Pointsman, there:\n\n```sh\n{}\n```\n", lines.join("\n"))?;
            }
            Some(_) => writeln!(out, "There is no other way than this command.\n")?,
            None => writeln!(
                out,
                "Its service did not say how to do it without Pointsman; on its host: the same command with \
                 `--print`.\n"
            )?,
        }
    }
    writeln!(out, "- [ ] done at ____:____ by ______________  - [ ] owed, because ______________________")?;
    writeln!(out, "- result: ______________________________________________")
}

/// The command that does a step on its host, by the same driver and ledger as the service.
fn act(heading: &Heading, plan: &Plan, step: &PlanStep) -> String {
    let Some(address) = &step.foreseen.address else { return String::new() };
    let call = &step.foreseen.call;
    let mut line = format!("pointsman act {}.{} {} --here", address.service, address.resource, call.action);
    let action = Action::of(address.service, &call.action);
    let mut extra = call.args.clone();
    if let Value::Object(members) = &mut extra {
        members.remove("resource");
        members.remove("site");
        members.retain(|_, value| !value.is_null() && *value != Value::Array(Vec::new()));
        let unmade = |value: &Value| value.get("sentinel").and_then(Value::as_i64) == Some(0);
        let mark = members.get("mark").is_some_and(unmade);
        if mark {
            members.insert("mark".into(), "MARK".into());
        }
        // What only an earlier step tells.
        match action {
            Some(Action::Follow) => name_all(heading, plan, members),
            Some(Action::Export) if !members.contains_key("applied") => {
                members.insert("applied".into(), "APPLIED".into());
            }
            Some(Action::Copy) if !members.contains_key("ledger") && !members.contains_key("waived") => {
                members.insert("ledger".into(), "LEDGER".into());
            }
            _ => {}
        }
        if !members.is_empty() {
            // The mark is what the step `mark` printed as its output, the ledger what `export` did.
            let text = Value::Object(members.clone()).to_string();
            let text = text.replace("\"MARK\"", "MARK").replace("\"LEDGER\"", "LEDGER");
            line.push_str(&format!(" --args {}", quoted(&text)));
        }
    }
    if let Some(own) = heading.own.as_ref().filter(|own| own.serves.contains(address))
        && own.file != HOST_FILE
    {
        line.push_str(&format!(" --config {}", quoted(&own.file)));
    }
    if action.is_some_and(|action| action.effect() == Effect::Opens) {
        line.push_str(&format!(" --accept-unfenced {}", heading.left.as_deref().unwrap_or("OTHER-SITE")));
    }
    line + " --why \"by the runbook\""
}

/// Gives a client each name of the group, and each that the manual points to the same site, as a run does: its own file need
/// not have them. For an address that nobody knows here stands a word that is none.
fn name_all(heading: &Heading, plan: &Plan, members: &mut Map<String, Value>) {
    let Some(to) = members.get("to").and_then(Value::as_str).map(str::to_owned) else { return };
    let mut names = members.get("names").and_then(Value::as_array).cloned().unwrap_or_default();
    let is = |known: &Value, name: &str| known.get("name").and_then(Value::as_str) == Some(name);
    for Name { name, addresses } in &heading.names {
        if !names.iter().any(|known| is(known, name)) {
            let known = addresses.iter().find(|(site, _)| site.as_str() == to).map(|(_, all)| json!(all));
            let addresses = known.unwrap_or_else(|| json!([format!("{UNKNOWN}{to}")]));
            names.push(json!({ "name": name, "addresses": addresses }));
        }
    }
    for step in &plan.steps {
        let (call, address) = (&step.foreseen.call, &step.foreseen.address);
        let action = address.as_ref().and_then(|at| Action::of(at.service, &call.action));
        let text = |key: &str| call.args.get(key).and_then(Value::as_str);
        let Some(name) = text("name") else { continue };
        let there = names.iter().any(|known| is(known, name));
        if action == Some(Action::Point) && text("to") == Some(to.as_str()) && !there {
            names.push(json!({ "name": name, "addresses": [format!("{UNKNOWN}{to}")] }));
        }
    }
    if !names.is_empty() {
        members.insert("names".into(), Value::Array(names));
    }
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Ending;
    use crate::plan::Estimate;

    fn empty() -> Plan {
        let estimate = Estimate { ms: None, run: None, how: String::new() };
        Plan { steps: Vec::new(), ending: Ending::Completed, estimate, assumptions: Vec::new() }
    }

    /// What a client is told by the rest of a run whose names were pointed already.
    fn told(world: &World, args: Value) -> Value {
        let records = json!({
            "cfg-a": { "name": "a.example.net", "at": "witness" },
            "cfg-b": { "name": "b.example.net", "at": "witness" },
        });
        let input = json!({ "group": { "sites": ["main", "secondary"], "names": { "records": records } } });
        let heading = Heading { names: names(&input, world), ..Heading::default() };
        let mut members = args.as_object().cloned().unwrap_or_default();
        name_all(&heading, &empty(), &mut members);
        members.remove("names").unwrap_or_default()
    }

    #[test]
    fn a_client_is_told_the_names_that_stand_in_no_step() {
        let to = json!({ "to": "secondary" });
        assert_eq!(
            told(&World::default(), to.clone()),
            json!([
                { "name": "a.example.net", "addresses": ["ADDRESS-AT-secondary"] },
                { "name": "b.example.net", "addresses": ["ADDRESS-AT-secondary"] },
            ])
        );
        let record = |resource: &str| -> Option<Address> {
            let (site, resource) = ("witness".parse().ok()?, resource.parse().ok()?);
            Some(Address { site, service: Service::Dns, resource })
        };
        let at = |site: &str, last: u8| Some((site.parse().ok()?, vec![IpAddr::from([192, 0, 2, last])]));
        let sites: BTreeMap<SiteId, _> = [at("main", 1), at("secondary", 2)].into_iter().flatten().collect();
        let addresses = record("cfg-b").map(|record| (record, sites)).into_iter().collect();
        let world = World { addresses, ..World::default() };
        let known =
            json!({ "to": "secondary", "names": [{ "name": "a.example.net", "addresses": ["192.0.2.9"] }] });
        assert_eq!(
            told(&world, known),
            json!([
                { "name": "a.example.net", "addresses": ["192.0.2.9"] },
                { "name": "b.example.net", "addresses": ["192.0.2.2"] },
            ])
        );
        assert_eq!(told(&world, json!({})), Value::Null);
    }
}

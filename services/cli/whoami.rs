//! As whom this host asks.

use serde_json::json;

use crate::bus::Bus;
use crate::exit::Exit;
use crate::output::Output;
use crate::person;

/// `whoami`: what this host's file says, and what the server says of the connection.
pub(crate) async fn run(host: &config::Host, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let seen = bus.identity().await;
    let claimed = person::claimed();
    out.value(&json!({
        "person": bus.person(), "claimed": claimed, "site": host.site, "server": bus.server(),
        "prefix": host.bus.prefix, "account": seen.as_ref().map(|seen| &seen.account),
        "user": seen.as_ref().map(|seen| &seen.user),
    }));
    let mut table = out.table();
    table.add_row(["person", bus.person()]);
    table.add_row(["claimed", &claimed]);
    table.add_row(["site", host.site.as_str()]);
    table.add_row(["server", bus.server()]);
    table.add_row(["prefix", &host.bus.prefix]);
    match &seen {
        Some(seen) => {
            table.add_row(["user", &seen.user]);
            table.add_row(["account", &seen.account]);
        }
        None => {
            table.add_row(["user", "the server does not say"]);
        }
    }
    out.line(table.trim_fmt());
    Ok(Exit::Done)
}

//! Preconditions of a group's moves, each with its remedy.

use schemas::check::GroupLine;
use schemas::op::{Op, OpReply};
use schemas::{CheckView, GroupId, Level};

use crate::bus::{Bus, strange};
use crate::exit::Exit;
use crate::output::Output;

/// `check`; 8 when something is red or amber.
pub(crate) async fn run(group: Option<GroupId>, all: bool, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let reply = bus.look(Op::Check { group }).await?;
    let OpReply::Checks(checks) = &reply else { return Err(strange(&reply)) };
    out.value(&reply);
    for (i, check) in checks.iter().enumerate() {
        if i > 0 {
            out.line("");
        }
        print(check, all, out);
    }
    let worst = checks.iter().map(CheckView::level).max().unwrap_or(Level::Green);
    Ok(if worst == Level::Green && !checks.is_empty() { Exit::Done } else { Exit::NotNormal })
}

fn print(check: &CheckView, all: bool, out: &Output) {
    let count = |level: Level| check.lines.iter().filter(|line| line.line.level == level).count();
    out.line(format!(
        "{}  {} red, {} amber, {} green  at {}",
        check.group,
        count(Level::Red),
        count(Level::Amber),
        count(Level::Green),
        out.time(check.at)
    ));
    lines(check.lines.iter().filter(|line| all || line.line.level != Level::Green), out);
    if count(Level::Red) > 0 {
        out.line(
            "A red line stops a move; mend it, or name it: `pointsman failover … --override NAME --why …`",
        );
    }
}

/// The lines as `check` and `status` print them: the level as a word, the name, what was seen, the remedy.
pub(crate) fn lines<'a>(lines: impl Iterator<Item = &'a GroupLine>, out: &Output) {
    for line in lines {
        let level = match line.line.level {
            Level::Red => out.warn("RED  "),
            Level::Amber => out.warn("AMBER"),
            Level::Green => out.strong("green"),
        };
        out.line(format!("  {level} {}: {}", line.name, line.line.text));
        if let Some(remedy) = &line.line.remedy {
            out.line(format!("        -> {}", remedy));
        }
    }
}

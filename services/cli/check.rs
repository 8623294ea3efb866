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
    lines(check.lines.iter().filter(|line| all || line.line.level != Level::Green), all, out);
    if count(Level::Red) > 0 {
        out.line(
            "A red line stops a move; mend it, or name it: `pointsman failover … --override NAME --why …`",
        );
    }
}

/// So many resources stand in a line.
const BESIDE: usize = 4;
/// So many lines that say the same of several resources are told as one.
const ALIKE: usize = 3;

/// The lines as `check` and `status` print them: the level as a word, the name, what was seen, the remedy. Many that say the
/// same and have one remedy are one line with their resources, unless each is wanted.
pub(crate) fn lines<'a>(lines: impl Iterator<Item = &'a GroupLine>, each: bool, out: &Output) {
    let mut alike: Vec<Vec<&GroupLine>> = Vec::new();
    for line in lines {
        let same =
            |others: &&mut Vec<&GroupLine>| !each && line.address.is_some() && others[0].line == line.line;
        match alike.iter_mut().find(same) {
            Some(others) => others.push(line),
            None => alike.push(vec![line]),
        }
    }
    for lines in alike {
        if lines.len() >= ALIKE {
            let what = &lines[0].line.what;
            let of = lines.iter().filter_map(|line| line.address.as_ref()).map(ToString::to_string);
            one(&format!("{what} of {}", lines.len()), lines[0], Some(of.collect()), out);
        } else {
            lines.iter().for_each(|line| one(&line.name, line, None, out));
        }
    }
}

fn one(name: &str, GroupLine { line, .. }: &GroupLine, of: Option<Vec<String>>, out: &Output) {
    let level = match line.level {
        Level::Red => out.warn("RED  "),
        Level::Amber => out.warn("AMBER"),
        Level::Green => out.strong("green"),
    };
    out.line(format!("  {level} {name}: {}", line.text));
    for some in of.iter().flat_map(|of| of.chunks(BESIDE)) {
        out.line(format!("        {}", some.join(", ")));
    }
    if let Some(remedy) = &line.remedy {
        out.line(format!("        -> {remedy}"));
    }
}

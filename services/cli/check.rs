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
    let grouped = lines(check.lines.iter().filter(|line| all || line.line.level != Level::Green), all, out);
    if count(Level::Red) > 0 {
        let each = if grouped { " (each by itself: --all)" } else { "" };
        out.line(format!(
            "A red line stops a move; mend it, or name it: `pointsman failover … --override NAME --why …`{each}"
        ));
    }
}

/// So many names stand in a line.
const BESIDE: usize = 2;
/// So many lines that say the same of several resources are told as one.
const ALIKE: usize = 3;
/// So many of them are named.
const NAMED: usize = 12;

/// The lines as `check` and `status` print them: the level as a word, the name, what was seen, the remedy. Many that say the
/// same and have one remedy are one line with their names, unless each is wanted. Says whether some were told as one.
pub(crate) fn lines<'a>(lines: impl Iterator<Item = &'a GroupLine>, each: bool, out: &Output) -> bool {
    let told = told(lines, each);
    for alike in &told {
        match alike.as_slice() {
            [] => {}
            [line] => one(&line.name, line, &[], out),
            [first, ..] => one(&format!("{} of {}", first.line.what, alike.len()), first, &names(alike), out),
        }
    }
    told.iter().any(|alike| alike.len() > 1)
}

/// The lines that are told as one, each of the others by itself; in the order of their first ones.
fn told<'a>(lines: impl Iterator<Item = &'a GroupLine>, each: bool) -> Vec<Vec<&'a GroupLine>> {
    let mut alike: Vec<Vec<&GroupLine>> = Vec::new();
    for line in lines {
        let same = |others: &&mut Vec<&GroupLine>| {
            let other = others[0];
            !each && line.address.is_some() && other.address.is_some() && other.line == line.line
        };
        match alike.iter_mut().find(same) {
            Some(others) => others.push(line),
            None => alike.push(vec![line]),
        }
    }
    let mut told = Vec::new();
    for lines in alike {
        match lines.len() {
            ALIKE.. => told.push(lines),
            _ => told.extend(lines.into_iter().map(|line| vec![line])),
        }
    }
    told
}

/// By these names a person goes past them; and how many more there are.
fn names(alike: &[&GroupLine]) -> Vec<String> {
    let mut names: Vec<String> = alike.iter().take(NAMED).map(|line| line.name.clone()).collect();
    let more = alike.len().saturating_sub(NAMED);
    names.extend((more > 0).then(|| format!("and {more} more: --all")));
    names
}

fn one(name: &str, GroupLine { line, .. }: &GroupLine, of: &[String], out: &Output) {
    let level = match line.level {
        Level::Red => out.warn("RED  "),
        Level::Amber => out.warn("AMBER"),
        Level::Green => out.strong("green"),
    };
    out.line(format!("  {level} {name}: {}", line.text));
    for some in of.chunks(BESIDE) {
        out.line(format!("        {}", some.join(", ")));
    }
    if let Some(remedy) = &line.remedy {
        out.line(format!("        -> {remedy}"));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use schemas::{Address, CheckLine, Service};

    use super::*;

    /// So many databases of which the same is said.
    fn closed(count: usize) -> Vec<GroupLine> {
        let of = |number: usize| {
            let resource = format!("d{number}").parse().unwrap();
            let address = Address { site: "main".parse().unwrap(), service: Service::Database, resource };
            GroupLine {
                name: format!("{address}:closed"),
                address: Some(address),
                line: CheckLine::red("closed", "it accepts writes", "close it"),
            }
        };
        (0..count).map(of).collect()
    }

    fn counts(lines: &[GroupLine], each: bool) -> Vec<usize> {
        told(lines.iter(), each).iter().map(Vec::len).collect()
    }

    #[test]
    fn three_that_say_the_same_are_told_as_one() {
        assert_eq!(counts(&closed(3), false), [3]);
        assert_eq!(counts(&closed(2), false), [1, 1]);
        assert_eq!(counts(&closed(3), true), [1, 1, 1]);
        // What is said of the group as a whole is not said of a resource.
        let mut lines = closed(3);
        lines[0].address = None;
        assert_eq!(counts(&lines, false), [1, 1, 1]);
        // A line between them stays where it stands.
        let mut lines = closed(5);
        lines[1].line.what = "open".into();
        assert_eq!(counts(&lines, false), [4, 1]);
    }

    #[test]
    fn the_names_by_which_they_are_overridden_stand_there() {
        let lines = closed(14);
        let said = names(&lines.iter().collect::<Vec<_>>());
        assert_eq!(said.len(), NAMED + 1);
        assert_eq!(said[0], "main.database.d0:closed");
        assert_eq!(said[NAMED], "and 2 more: --all");
        let lines = closed(NAMED);
        assert_eq!(names(&lines.iter().collect::<Vec<_>>()).len(), NAMED);
    }
}

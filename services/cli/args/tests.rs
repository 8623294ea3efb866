//! Every help text is kept in a golden file, and each has an example that parses.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use clap::{CommandFactory, Parser};
use schemas::LossBound;
use schemas::duration::Iso;

use super::{Args, Command};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/help.txt");

fn texts(command: &mut clap::Command, out: &mut Vec<(String, String)>, path: &str) {
    let path = format!("{path} {}", command.get_name()).trim().to_owned();
    out.push((path.clone(), command.render_long_help().to_string()));
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        texts(command.find_subcommand_mut(&name).unwrap(), out, &path);
    }
}

fn all() -> Vec<(String, String)> {
    let mut command = Args::command().term_width(100);
    command.build();
    let mut out = Vec::new();
    texts(&mut command, &mut out, "");
    out
}

#[test]
fn the_help_texts_are_the_golden_ones() {
    let now: String = all().iter().map(|(path, text)| format!("$ {path} --help\n{text}\n")).collect();
    // The environment shows in help; the golden file is of a bare one.
    let now = now.replace(&std::env::var("POINTSMAN_CONFIG").unwrap_or_default(), "");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &now).unwrap();
    }
    let kept = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(kept == now, "{GOLDEN} differs: look at the change, then run with UPDATE_GOLDEN=1");
}

#[test]
fn each_help_has_an_example_that_parses() {
    for (path, text) in all() {
        if ["pointsman config", "pointsman setup", "pointsman journal"].contains(&path.as_str()) {
            continue; // Their subcommands have one each.
        }
        let example = text.lines().find_map(|line| line.strip_prefix("Example: "));
        let example = example.unwrap_or_else(|| panic!("`{path} --help` has no example"));
        let words = words(example.split(['|', '>']).next().unwrap());
        let parsed = Args::try_parse_from(&words);
        assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        assert!(example.starts_with(&path), "{example} is not of {path}");
    }
}

/// The words of an example, with double quotes only.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('"').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn what_changes_something_needs_a_reason() {
    for line in [
        "failover cfg",
        "switchover cfg",
        "failback cfg",
        "establish cfg",
        "reprotect cfg",
        "cleanup cfg",
        "approve cfg",
        "accept 7f3a --unfenced main",
        "pause 7f3a",
        "resume 7f3a",
        "retry 7f3a 5",
        "skip 7f3a 5",
        "done 7f3a 5",
        "cancel 7f3a",
        "ack cfg",
        "triggers off cfg",
        "declare outage cfg",
        "adopt cfg",
    ] {
        let words = || words(&format!("pointsman {line}"));
        let error = Args::try_parse_from(words()).unwrap_err().to_string();
        assert!(error.contains("--why"), "{line}: {error}");
        Args::try_parse_from(words().into_iter().chain(["--why".into(), "x".into()])).unwrap();
        Args::try_parse_from(words().into_iter().chain(["--why".into(), String::new()])).unwrap_err();
    }
    for line in [
        "failover cfg --force --why x",
        "failover cfg --accept-data-loss 30 --why x",
        "failover cfg --accept-data-loss any --why x",
        "accept 7f3a --why x",
        "adopt cfg --yes --why x",
    ] {
        Args::try_parse_from(words(&format!("pointsman {line}"))).unwrap_err();
    }
}

/// A duration says nothing of what nobody can tell: that has a word of its own.
#[test]
fn a_loss_is_accepted_up_to_a_bound_or_by_its_word() {
    let loss = |line: &str| match Args::try_parse_from(words(&format!("pointsman {line} --why x"))) {
        Ok(Args { command: Command::Failover(ask), .. }) => ask.one.accept_data_loss,
        Ok(Args { command: Command::Accept(ask), .. }) => ask.risk.data_loss,
        other => panic!("{line}: {other:?}"),
    };
    let bound = Some(LossBound::AtMost(Iso(Duration::from_secs(120))));
    assert_eq!(loss("failover cfg --accept-data-loss 2m"), bound);
    assert_eq!(loss("failover --site main --accept-data-loss unknown"), Some(LossBound::Unknown));
    assert_eq!(loss("accept 7f3a --data-loss 2m"), bound);
    assert_eq!(loss("accept 7f3a --data-loss unknown"), Some(LossBound::Unknown));
}

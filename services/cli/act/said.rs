//! What an act on this host came to, in words.

use schemas::{Action, Answer, Reply};
use serde_json::Value;

use crate::text;

/// The result, as a manual has a line for it, and why; then what was seen, and what later steps ask for.
pub(super) fn said(action: Action, reply: &Reply) -> String {
    let answer = text::word(reply.answer).to_uppercase();
    let mut lines = vec![format!("result: {} ({answer}, epoch {})", result(reply.answer), reply.epoch)];
    lines.extend(reply.problem.iter().map(|problem| format!("why: {problem}")));
    lines.extend(seen(action, reply.answer, &reply.output));
    lines.extend(asked_for(action, reply.answer, &reply.output));
    lines.join("\n")
}

fn result(answer: Answer) -> &'static str {
    match answer {
        Answer::Applied | Answer::AlreadyApplied => "done",
        Answer::Refused | Answer::Failed => "not done",
        Answer::InProgress | Answer::InDoubt => "unknown",
    }
}

/// What was seen, in the words of `status` where it has some.
fn seen(action: Action, answer: Answer, output: &Value) -> Vec<String> {
    let running = output.get("running").and_then(Value::as_str);
    let word = match (action, answer) {
        (Action::EnableAccess, Answer::Applied | Answer::AlreadyApplied) => Some("OPEN"),
        (Action::DisableAccess, Answer::Applied | Answer::AlreadyApplied) => Some("closed"),
        _ => running.map(|word| match word {
            "healthy" => "running",
            "unhealthy" => "UNHEALTHY",
            "unknown" => "UNKNOWN",
            other => other,
        }),
    };
    let mut lines: Vec<String> = word.map(|word| format!("seen: {word}")).into_iter().collect();
    let Some(members) = output.as_object() else {
        lines.extend((!is_empty(output)).then(|| format!("seen: {}", plain(output))));
        return lines;
    };
    let told = members.iter().filter(|(key, value)| key.as_str() != "running" && !is_empty(value));
    lines.extend(told.map(|(key, value)| format!("  {}: {}", label(key), plain(value))));
    lines
}

/// What a manual's later steps ask for, by the word and in the form in which they do. What was found of an act that is not
/// done is nothing to go on with.
fn asked_for(action: Action, answer: Answer, output: &Value) -> Option<String> {
    if !matches!(answer, Answer::Applied | Answer::AlreadyApplied) {
        return None;
    }
    match action {
        Action::Mark => output.is_object().then(|| format!("MARK: {output}")),
        Action::Export => output.get("ledger").map(|ledger| format!("LEDGER: {ledger}")),
        Action::Abandon => {
            let applied = output.get("applied").and_then(Value::as_str);
            applied.map(|applied| format!("APPLIED: {applied}"))
        }
        _ => None,
    }
}

fn label(key: &str) -> &str {
    match key {
        "ended" => "sessions ended",
        "lsn" => "position",
        "applied" => "applied up to",
        other => other,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// A value in a line, without the signs of JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        _ if is_empty(value) => "none".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let each = members.iter().map(|(key, value)| format!("{} {}", label(key), plain(value)));
            each.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_seen_is_said_without_the_signs_of_json() {
        let cases = [
            (
                Action::EnableAccess,
                Answer::Applied,
                json!({ "ended": 2, "lsn": "0/5A" }),
                "seen: OPEN\n  sessions ended: 2\n  position: 0/5A",
            ),
            (Action::EnableAccess, Answer::Failed, json!({ "ended": 0 }), "  sessions ended: 0"),
            (Action::StartProcess, Answer::Applied, json!({ "running": "healthy" }), "seen: running"),
            (
                Action::Follow,
                Answer::Failed,
                json!({ "resolves": { "a.example.net": ["192.0.2.1", "192.0.2.2"] }, "owed": [] }),
                "  resolves: a.example.net 192.0.2.1, 192.0.2.2",
            ),
            (Action::Drain, Answer::InDoubt, Value::Null, ""),
        ];
        for (action, answer, output, expected) in cases {
            assert_eq!(seen(action, answer, &output).join("\n"), expected, "{action}");
        }
    }

    #[test]
    fn what_a_later_step_asks_for_can_be_typed_as_it_stands() {
        let mark = json!({ "lsn": "0/5A", "sentinel": 7 });
        let done = Answer::Applied;
        let said = asked_for(Action::Mark, done, &mark).unwrap_or_default();
        let typed: Option<Value> =
            said.strip_prefix("MARK: ").and_then(|text| serde_json::from_str(text).ok());
        assert_eq!(typed, Some(mark));
        let left = json!({ "applied": "0/5A" });
        let again = asked_for(Action::Abandon, Answer::AlreadyApplied, &left);
        assert_eq!(again.as_deref(), Some("APPLIED: 0/5A"));
        assert_eq!(asked_for(Action::Drain, done, &left), None);
    }

    #[test]
    fn what_is_not_done_gives_nothing_to_go_on_with() {
        let found = json!({ "applied": "0/5A", "ledger": { "file": "a.jsonl" } });
        for answer in [Answer::Failed, Answer::Refused, Answer::InProgress, Answer::InDoubt] {
            for action in [Action::Mark, Action::Export, Action::Abandon] {
                assert_eq!(asked_for(action, answer, &found), None, "{action} {answer:?}");
            }
        }
    }
}

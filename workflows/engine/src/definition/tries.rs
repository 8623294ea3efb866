//! `try`, `catch` and `retry`.

use document::{Located, Node};

use super::codes;
use super::model::{Backoff, Kind, RetryDef, TryDef};
use super::reader::{At, Reader, Scope, join};
use super::tasks::Around;
use crate::error::{Error, ErrorFilter, Standard};

/// Retries where a policy sets no limit: everything has a bound.
const RETRIES_DEFAULT: u32 = 10;

/// Retries that a policy may ask for.
const RETRIES_MAX: u64 = 10_000;

impl Reader<'_> {
    pub(crate) fn try_task(
        &mut self,
        at: At<'_>,
        inside: (usize, Option<&str>),
        around: &Around<'_>,
    ) -> Kind {
        let nothing = Located { line: 1, column: 1, span: 0..0, node: Node::Map(Vec::new()) };
        let pointer = join(at.pointer, "catch");
        if at.value.get("catch").is_none() {
            self.problem(at.pointer, codes::KEY, "`catch` is missing");
        }
        let catch = At { value: at.value.get("catch").unwrap_or(&nothing), pointer: &pointer };
        self.keys(catch, &["errors", "as", "when", "exceptWhen", "retry", "do", "then"]);
        let filter = self.filter(catch);
        let doubt = Error::standard(Standard::InDoubt, "");
        let catches = filter.as_ref().is_none_or(|f| {
            f.kind.as_deref().is_none_or(|k| {
                ErrorFilter { kind: Some(k.to_owned()), ..ErrorFilter::default() }.matches(&doubt)
            })
        });
        self.tries.push(catches);
        let block = self.inner(at, "try", "try", inside);
        self.tries.pop();
        let variable = self.variable(catch, "as", "error");
        self.locals.push(variable.clone());
        let when = self.condition(catch, "when", Scope::Task);
        let except_when = self.condition(catch, "exceptWhen", Scope::Task);
        let retry = self.retry(catch);
        let handler = catch.value.get("do").is_some().then(|| self.inner(catch, "do", "catch/do", inside));
        self.locals.pop();
        let then = self.text(catch, "then").map(|t| self.directive(&t, &join(&pointer, "then"), around));
        Kind::Try(Box::new(TryDef { block, filter, variable, when, except_when, retry, handler, then }))
    }

    fn filter(&mut self, catch: At<'_>) -> Option<ErrorFilter> {
        let pointer = join(catch.pointer, "errors");
        let errors = At { value: catch.value.get("errors")?, pointer: &pointer };
        self.keys(errors, &["with"]);
        let pointer = join(&pointer, "with");
        let with = At { value: errors.value.get("with")?, pointer: &pointer };
        self.keys(with, &["type", "status", "instance", "title", "detail"]);
        match serde_json::from_value(with.value.to_value()) {
            Ok(filter) => Some(filter),
            Err(error) => {
                self.problem(&pointer, codes::SHAPE, format!("this filters no error: {error}"));
                None
            }
        }
    }

    fn retry(&mut self, catch: At<'_>) -> Option<RetryDef> {
        let document = self.document;
        let own = join(catch.pointer, "retry");
        let value = catch.value.get("retry")?;
        let (value, pointer) = match value.as_str() {
            None => (value, own),
            Some(name) => {
                let named = join("/use/retries", name);
                match document.root().at(&named) {
                    Some(value) => (value, named),
                    None => {
                        self.problem(&own, codes::NAME, format!("`use.retries` has no `{name}`"));
                        return None;
                    }
                }
            }
        };
        let at = At { value, pointer: &pointer };
        self.keys(at, &["when", "exceptWhen", "delay", "backoff", "limit", "jitter"]);
        let time = |reader: &mut Self, key: &str, within: &str| {
            let pointer = join(within, key);
            let value = document.root().at(&pointer)?;
            Some(reader.duration(At { value, pointer: &pointer }, Scope::Task))
        };
        let delay = time(self, "delay", &pointer);
        let within = join(&pointer, "jitter");
        let jitter = match value.get("jitter") {
            None => None,
            Some(value) => {
                self.keys(At { value, pointer: &within }, &["from", "to"]);
                let ends = (time(self, "from", &within), time(self, "to", &within));
                if let (Some(from), Some(to)) = ends {
                    Some((from, to))
                } else {
                    self.problem(&within, codes::KEY, "`jitter` has `from` and `to`");
                    None
                }
            }
        };
        let (count, within_ms) = self.limit(at);
        Some(RetryDef {
            when: self.condition(at, "when", Scope::Task),
            except_when: self.condition(at, "exceptWhen", Scope::Task),
            delay,
            backoff: self.backoff(at),
            count,
            within_ms,
            jitter,
        })
    }

    fn backoff(&mut self, at: At<'_>) -> Backoff {
        let pointer = join(at.pointer, "backoff");
        let Some(value) = at.value.get("backoff") else {
            return Backoff::Constant;
        };
        match value.entries() {
            [(key, _)] if key.name == "constant" => Backoff::Constant,
            [(key, _)] if key.name == "linear" => Backoff::Linear,
            [(key, _)] if key.name == "exponential" => Backoff::Exponential,
            _ => {
                self.problem(&pointer, codes::SHAPE, "`backoff` is one of constant, linear, exponential");
                Backoff::Constant
            }
        }
    }

    fn limit(&mut self, at: At<'_>) -> (u32, Option<u64>) {
        let pointer = join(at.pointer, "limit");
        let Some(value) = at.value.get("limit") else {
            return (RETRIES_DEFAULT, None);
        };
        let limit = At { value, pointer: &pointer };
        self.keys(limit, &["attempt", "duration"]);
        let within = join(&pointer, "duration");
        let within_ms =
            value.get("duration").and_then(|value| self.fixed_duration(At { value, pointer: &within }));
        let mut count = if within_ms.is_some() { RETRIES_MAX } else { u64::from(RETRIES_DEFAULT) };
        if let Some(value) = value.get("attempt") {
            let pointer = join(&pointer, "attempt");
            self.keys(At { value, pointer: &pointer }, &["count", "duration"]);
            if value.get("duration").is_some() {
                let message = "a bound on each attempt (put a timeout on the tasks that are tried)";
                self.unsupported(&join(&pointer, "duration"), message);
            }
            if let Some(value) = value.get("count") {
                match value.to_value().as_u64().filter(|n| *n <= RETRIES_MAX) {
                    Some(n) => count = n,
                    None => {
                        let message = format!("`count` is a number up to {RETRIES_MAX}");
                        self.problem(&join(&pointer, "count"), codes::SHAPE, message);
                    }
                }
            }
        }
        (u32::try_from(count).unwrap_or(RETRIES_DEFAULT), within_ms)
    }
}

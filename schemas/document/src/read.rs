//! From text to tree.

use crate::limits::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
use crate::{Diagnostic, Diagnostics, Key, Located, Node, Place, codes};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;
use std::fmt;

/// Address space for the reader's stack; only what is touched is used.
const READER_STACK: usize = 32 << 20;

/// What serde-saphyr gives for a value, before duplicate keys and numbers are looked at.
enum Raw {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    String(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

pub(crate) fn read(text: &str, path: &str) -> Result<Located, Diagnostics> {
    if text.len() > MAX_BYTES {
        let message = format!("{} bytes; at most {MAX_BYTES} are read", text.len());
        return Err(whole(path, codes::SIZE, message));
    }
    if let Some(at) = text.find('\0') {
        let found = Diagnostic {
            code: codes::SYNTAX.to_owned(),
            message: "the text holds a NUL byte".to_owned(),
            path: path.to_owned(),
            place: Some(place_of(text, at)),
            help: None,
        };
        return Err(found.into());
    }
    if path.ends_with(".json") {
        check_json(text, path)?;
    }
    let (root, found, nodes) = on_a_large_stack(path, || {
        let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options())
            .map_err(|error| Diagnostics::from(explain(&error, text, path)))?;
        let mut builder = Builder { text, path, found: Diagnostics::default(), nodes: 0 };
        let root = builder.value(raw);
        Ok((root, builder.found, builder.nodes))
    })?;
    if nodes > MAX_NODES {
        let message = format!("more than {MAX_NODES} values");
        return Err(whole(path, codes::SIZE, message));
    }
    if matches!(root.node, Node::Null) {
        return Err(whole(path, codes::EMPTY, "nothing in it".to_owned()));
    }
    found.or(root)
}

/// The reader recurses with frames of tens of kilobytes; the caller's stack may be small.
fn on_a_large_stack<T: Send>(
    path: &str,
    read: impl FnOnce() -> Result<T, Diagnostics> + Send,
) -> Result<T, Diagnostics> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("document".to_owned())
            .stack_size(READER_STACK)
            .spawn_scoped(scope, read)
            .map_err(|error| whole(path, codes::SIZE, format!("no thread to read it: {error}")))?
            .join()
            .unwrap_or_else(|_| {
                let message = "the reader gave up on it".to_owned();
                Err(whole(path, codes::SYNTAX, message))
            })
    })
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        // Both are handed on, so that every duplicate of a file is reported, each with its place.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        reject_unsupported_tags: true,
        no_schema: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES + 16,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 1,
            flow_nesting_limit: MAX_DEPTH,
            max_total_scalar_bytes: MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 1_000,
        },
    }
}

fn whole(path: &str, code: &str, message: String) -> Diagnostics {
    Diagnostic { code: code.to_owned(), message, path: path.to_owned(), place: None, help: None }.into()
}

/// Line, column and one character at a byte offset.
fn place_of(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        span: before.len()..(before.len() + 1).min(text.len()),
    }
}

fn check_json(text: &str, path: &str) -> Result<(), Diagnostics> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| ()).map_err(|error| {
        let at = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>()
            + error.column().saturating_sub(1);
        let place = place_of(text, floor_boundary(text, at));
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(said, _)| said);
        Diagnostic {
            code: codes::SYNTAX.to_owned(),
            message: format!("not JSON: {message}"),
            path: path.to_owned(),
            place: Some(place),
            help: None,
        }
        .into()
    })
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

fn place(location: Location, text: &str) -> Option<Place> {
    if location == Location::UNKNOWN {
        return None;
    }
    let span = location.span();
    let (line, column) = (location.line(), location.column());
    // Errors of the scanner know line and column only; their offset is nothing or the file's beginning.
    let start = match span.byte_offset().and_then(|n| usize::try_from(n).ok()) {
        Some(at) if at > 0 || line <= 1 => floor_boundary(text, at.min(text.len())),
        _ => offset_of(text, line, column),
    };
    let len = span.byte_len().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let end = floor_boundary(text, start.saturating_add(len));
    Some(Place {
        line: usize::try_from(location.line()).unwrap_or(usize::MAX),
        column: usize::try_from(location.column()).unwrap_or(usize::MAX),
        span: start..end.max(start),
    })
}

/// Where a line's column begins, both counted from 1.
fn offset_of(text: &str, line: u64, column: u64) -> usize {
    let before = |n: u64| usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
    let start: usize = text.split_inclusive('\n').take(before(line)).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let rest = rest.split('\n').next().unwrap_or_default();
    start + rest.char_indices().nth(before(column)).map_or(rest.len(), |(at, _)| at)
}

fn explain(error: &serde_saphyr::Error, text: &str, path: &str) -> Diagnostic {
    use serde_saphyr::Error as E;
    let mut inner = error.without_snippet();
    while let E::AliasError { error, .. } = inner {
        inner = error.without_snippet();
    }
    let (code, message) = match inner {
        E::MergeKeyNotAllowed { .. } => (codes::MERGE, "the merge key `<<` is not read".to_owned()),
        E::MultipleDocuments { .. } => (codes::MANY, "a second document begins here".to_owned()),
        E::Eof { .. } => (codes::EMPTY, "nothing in it".to_owned()),
        E::QuotingRequired { value, .. } => (codes::KEY, format!("the key `{value}` must be in quotes")),
        E::NullIntoString { .. } => (codes::KEY, "a key must be a text, not null".to_owned()),
        E::NonFiniteFloat { value, .. } => (codes::NUMBER, format!("`{value}` is not a finite number")),
        E::UnknownAnchor { .. } => (codes::ALIAS, "the alias names no anchor".to_owned()),
        E::AliasReplayCounterOverflow { .. }
        | E::AliasReplayLimitExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. }
        | E::RecursiveReferencesRequireWeakTypes { .. } => {
            (codes::ALIAS, "aliases multiply into too much".to_owned())
        }
        E::Budget { breach, .. } => (codes::SIZE, format!("a bound is exceeded: {breach:?}")),
        other => {
            let said = other.render_with_formatter(&serde_saphyr::DefaultMessageFormatter);
            let said = said.split_once(" at line ").map_or(said.as_str(), |(said, _)| said).to_owned();
            let code = if said.contains("tag") {
                codes::TAG
            } else if said.contains("recursion limit") {
                codes::SIZE
            } else {
                codes::SYNTAX
            };
            (code, said)
        }
    };
    Diagnostic {
        code: code.to_owned(),
        message,
        path: path.to_owned(),
        place: error.location().and_then(|at| place(at, text)),
        help: None,
    }
}

struct Builder<'a> {
    text: &'a str,
    path: &'a str,
    found: Diagnostics,
    nodes: usize,
}

impl Builder<'_> {
    fn value(&mut self, raw: Spanned<Raw>) -> Located {
        self.nodes += 1;
        let defined = place(raw.defined, self.text);
        let at = place(raw.referenced, self.text).or_else(|| defined.clone()).unwrap_or(Place {
            line: 1,
            column: 1,
            span: 0..0,
        });
        let defined = defined.unwrap_or_else(|| at.clone());
        let mut span = at.span.clone();
        let node = match raw.value {
            Raw::Null => Node::Null,
            Raw::Bool(flag) => Node::Bool(flag),
            Raw::String(text) => Node::String(text),
            Raw::Unsigned(number) => Node::Number(number.into()),
            Raw::Signed(number) => Node::Number(number.into()),
            Raw::Float(number) => self.float(number, &defined, &at),
            Raw::List(items) => Node::List(items.into_iter().map(|item| self.value(item)).collect()),
            Raw::Map(entries) => self.map(entries),
        };
        let last = match &node {
            Node::List(items) => items.last(),
            Node::Map(entries) => entries.last().map(|(_, value)| value),
            _ => None,
        };
        if let Some(last) = last {
            span.end = span.end.max(last.span.end);
        }
        Located { line: at.line, column: at.column, span, node }
    }

    fn map(&mut self, entries: Vec<(Spanned<String>, Spanned<Raw>)>) -> Node {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut out: Vec<(Key, Located)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let at = place(key.referenced, self.text).unwrap_or(Place { line: 1, column: 1, span: 0..0 });
            let value = self.value(value);
            if let Some(line) = seen.get(&key.value) {
                let message = format!("the key `{}` is already on line {line}", key.value);
                self.report(codes::DUPLICATE, message, at);
                continue;
            }
            seen.insert(key.value.clone(), at.line);
            let key = Key { name: key.value, line: at.line, column: at.column, span: at.span };
            out.push((key, value));
        }
        Node::Map(out)
    }

    /// A float as written, or an integer that was too long for the reader.
    fn float(&mut self, number: f64, defined: &Place, at: &Place) -> Node {
        let written = self.text.get(defined.span.clone()).unwrap_or_default().trim();
        let digits = written.strip_prefix(['+', '-']).unwrap_or(written);
        let integer = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if integer {
            let plain = written.strip_prefix('+').unwrap_or(written);
            match serde_json::from_str::<Number>(plain) {
                Ok(kept) if kept.to_string() == plain => return Node::Number(kept),
                _ => {
                    let message = format!("`{written}` has more digits than can be kept");
                    self.report(codes::NUMBER, message, at.clone());
                }
            }
        }
        Number::from_f64(number).map_or(Node::Null, Node::Number)
    }

    fn report(&mut self, code: &str, message: String, at: Place) {
        self.found.push(Diagnostic {
            code: code.to_owned(),
            message,
            path: self.path.to_owned(),
            place: Some(at),
            help: None,
        });
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Signed(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

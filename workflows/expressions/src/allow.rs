//! Which functions and formats an expression may use. What is not listed is refused at load.

use std::collections::BTreeSet;
use std::ops::Range;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::load::span;
use jaq_core::path::Part;

use crate::error::{Code, ExprError};

/// Functions of their input and arguments alone, and nothing that prints, waits, reads or ends.
const FUNCTIONS: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "add",
    "all",
    "any",
    "arrays",
    "ascii_downcase",
    "ascii_upcase",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "booleans",
    "bsearch",
    "capture",
    "cbrt",
    "ceil",
    "combinations",
    "contains",
    "copysign",
    "cos",
    "cosh",
    "del",
    "delpaths",
    "empty",
    "endswith",
    "error",
    "exp",
    "exp10",
    "exp2",
    "explode",
    "expm1",
    "fabs",
    "false",
    "finites",
    "first",
    "flatten",
    "floor",
    "fmax",
    "fmin",
    "fmod",
    "from_entries",
    "fromdate",
    "fromdateiso8601",
    "fromjson",
    "getpath",
    "gmtime",
    "group_by",
    "gsub",
    "has",
    "implode",
    "in",
    "index",
    "indices",
    "inside",
    "isarray",
    "isboolean",
    "isempty",
    "isfinite",
    "isinfinite",
    "isnan",
    "isnormal",
    "isnumber",
    "isobject",
    "isstring",
    "iterables",
    "join",
    "keys",
    "keys_unsorted",
    "last",
    "length",
    "limit",
    "log",
    "log10",
    "log1p",
    "log2",
    "ltrim",
    "ltrimstr",
    "map",
    "map_values",
    "match",
    "max",
    "max_by",
    "min",
    "min_by",
    "mktime",
    "normals",
    "not",
    "nth",
    "null",
    "nulls",
    "numbers",
    "objects",
    "path",
    "paths",
    "pick",
    "pow",
    "pow10",
    "range",
    "recurse",
    "repeat",
    "reverse",
    "rindex",
    "round",
    "rtrim",
    "rtrimstr",
    "scalars",
    "scan",
    "select",
    "setpath",
    "significand",
    "sin",
    "sinh",
    "skip",
    "sort",
    "sort_by",
    "split",
    "splits",
    "sqrt",
    "startswith",
    "strftime",
    "strings",
    "strptime",
    "sub",
    "tan",
    "tanh",
    "test",
    "to_entries",
    "toboolean",
    "todate",
    "todateiso8601",
    "tojson",
    "tonumber",
    "tostring",
    "transpose",
    "trim",
    "true",
    "trunc",
    "type",
    "unique",
    "unique_by",
    "until",
    "utf8bytelength",
    "values",
    "walk",
    "while",
    "with_entries",
];

/// Formats such as `@base64`.
const FORMATS: &[&str] =
    &["@base64", "@base64d", "@html", "@htmld", "@json", "@sh", "@text", "@uri", "@urid"];

/// Native functions that must not even be known to the compiler.
pub(crate) const ABSENT_FUNCTIONS: &[&str] =
    &["halt", "env", "now", "input", "inputs", "debug_empty", "stderr_empty", "localtime", "strflocaltime"];

/// Definitions of the standard library that use them.
pub(crate) const ABSENT_DEFINITIONS: &[&str] =
    &["halt", "halt_error", "debug", "stderr", "input_line_number"];

/// Walks an expression; collects what is refused and which variables it takes from outside.
pub(crate) struct Walk<'s> {
    source: &'s str,
    bound: Vec<&'s str>,
    /// Name, number of arguments, and whether its own body is being walked; the newest counts.
    defined: Vec<(&'s str, usize, bool)>,
    pub(crate) free: BTreeSet<String>,
    pub(crate) refused: Option<ExprError>,
}

impl<'s> Walk<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        Self { source, bound: Vec::new(), defined: Vec::new(), free: BTreeSet::new(), refused: None }
    }

    fn refuse(&mut self, message: String, part: &'s str) {
        let span: Range<usize> = span(self.source, part);
        self.refused.get_or_insert(ExprError::at(Code::Refused, message, span));
    }

    pub(crate) fn term(&mut self, term: &Term<&'s str>) {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) => {}
            Term::Str(format, parts) => {
                if let Some(format) = format {
                    self.format(format);
                }
                for part in parts {
                    if let StrPart::Term(inner) = part {
                        self.term(inner);
                    }
                }
            }
            Term::Arr(inner) => inner.iter().for_each(|t| self.term(t)),
            Term::Obj(pairs) => {
                for (key, value) in pairs {
                    self.term(key);
                    value.iter().for_each(|v| self.term(v));
                }
            }
            Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::BinOp(left, BinaryOp::Pipe(Some(pattern)), right) => {
                self.term(left);
                self.under(pattern, |walk| walk.term(right));
            }
            Term::BinOp(left, _, right) => {
                self.term(left);
                self.term(right);
            }
            Term::Fold(_, source, pattern, args) => {
                self.term(source);
                self.under(pattern, |walk| args.iter().for_each(|t| walk.term(t)));
            }
            Term::TryCatch(body, handler) => {
                self.term(body);
                handler.iter().for_each(|t| self.term(t));
            }
            Term::IfThenElse(cases, otherwise) => {
                for (condition, then) in cases {
                    self.term(condition);
                    self.term(then);
                }
                otherwise.iter().for_each(|t| self.term(t));
            }
            Term::Def(definitions, body) => {
                let known = self.defined.len();
                definitions.iter().for_each(|d| self.definition(d));
                self.term(body);
                self.defined.truncate(known);
            }
            Term::Call(name, args) => {
                self.call(name, args.len());
                args.iter().for_each(|t| self.term(t));
            }
            Term::Var(name) => {
                if !self.bound.contains(name) {
                    self.free.insert(name.trim_start_matches('$').to_owned());
                }
            }
            Term::Path(inner, path) => {
                self.term(inner);
                for (part, _) in &path.0 {
                    match part {
                        Part::Index(i) => self.term(i),
                        Part::Range(from, to) => from.iter().chain(to).for_each(|t| self.term(t)),
                    }
                }
            }
        }
    }

    fn under(&mut self, pattern: &Pattern<&'s str>, then: impl FnOnce(&mut Self)) {
        let known = self.bound.len();
        self.pattern(pattern);
        then(self);
        self.bound.truncate(known);
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) {
        match pattern {
            Pattern::Var(name) => self.bound.push(name),
            Pattern::Arr(items) => items.iter().for_each(|p| self.pattern(p)),
            Pattern::Obj(pairs) => {
                for (key, value) in pairs {
                    self.term(key);
                    self.pattern(value);
                }
            }
        }
    }

    fn definition(&mut self, definition: &Def<&'s str>) {
        let (own, variables) = (self.defined.len(), self.bound.len());
        self.defined.push((definition.name, definition.args.len(), true));
        for arg in &definition.args {
            if arg.starts_with('$') {
                self.bound.push(arg);
            } else {
                self.defined.push((arg, 0, false));
            }
        }
        self.term(&definition.body);
        self.defined.truncate(own + 1);
        self.bound.truncate(variables);
        if let Some((_, _, open)) = self.defined.last_mut() {
            *open = false;
        }
    }

    fn call(&mut self, name: &&'s str, arity: usize) {
        let newest = self.defined.iter().rev().find(|(n, a, _)| n == name && *a == arity);
        match newest {
            Some((_, _, true)) => self.refuse(format!("`{name}` calls itself; a definition may not"), name),
            Some((_, _, false)) => {}
            None if name.starts_with('@') => self.format(name),
            None if FUNCTIONS.binary_search(name).is_err() => {
                self.refuse(format!("the function `{name}` is not offered here"), name);
            }
            None => {}
        }
    }

    fn format(&mut self, name: &&'s str) {
        if !FORMATS.contains(name) {
            self.refuse(format!("the format `{name}` is not offered here"), name);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_is_sorted() {
        assert!(super::FUNCTIONS.windows(2).all(|w| w[0] < w[1]));
    }
}

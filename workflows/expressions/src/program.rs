//! One expression, checked and compiled.

use std::collections::BTreeSet;

use jaq_core::data::JustLut;
use jaq_core::load::lex::{Lexer, Token};
use jaq_core::load::parse::{Parser, Term};
use jaq_core::load::{Arena, File, Loader, span};
use jaq_core::{Compiler, Ctx, Native, Vars};
use jaq_json::Val;
use serde_json::Value;

use crate::allow::{ABSENT_DEFINITIONS, ABSENT_FUNCTIONS, Walk};
use crate::convert::{from_jq, to_jq};
use crate::error::{Code, ExprError};

type Data = JustLut<Val>;

/// Bytes that a source may have.
pub const SOURCE_MAX: usize = 4 * 1024;

/// Brackets that may be open at once in a source.
const NESTING_MAX: usize = 64;

/// Stack for parsing and compiling: both recurse, at most once for each byte of the source.
const STACK: usize = 128 << 20;

/// Sources up to this length are parsed on the caller's stack.
const SHORT: usize = 48;

/// A compiled expression. It may be run any number of times.
pub struct Program {
    filter: jaq_core::compile::Filter<Native<Data>>,
    vars: Vec<String>,
}

/// An expression that was found to be good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The variables that it takes from outside, without the dollar sign.
    pub uses: BTreeSet<String>,
}

/// Reads an expression without compiling it: its grammar, its functions, its variables.
///
/// Safe for any text; nothing is evaluated.
///
/// # Errors
///
/// `Syntax`, `Refused` (a function, format or variable that is not offered), `TooLarge`; each
/// with the place where there is one.
pub fn check(source: &str, vars: &[&str]) -> Result<Checked, ExprError> {
    bounds(source)?;
    deep(source, || {
        let (_, uses) = read(source, vars)?;
        Ok(Checked { uses })
    })
}

impl Program {
    /// Checks and compiles an expression that may use these variables (without dollar sign).
    ///
    /// # Errors
    ///
    /// As [`check`].
    pub fn compile(source: &str, vars: &[&str]) -> Result<Program, ExprError> {
        bounds(source)?;
        deep(source, || {
            read(source, vars)?;
            compile(source, vars)
        })
    }

    /// The value that it makes of an input; `vars` in the order of [`Program::compile`].
    ///
    /// Nothing interrupts it: run it inside a worker unless the source is trusted.
    ///
    /// # Errors
    ///
    /// `Failed` (also where it makes no value, or more than one), `TooLarge`.
    pub fn run(&self, vars: &[&Value], input: &Value) -> Result<Value, ExprError> {
        if vars.len() != self.vars.len() {
            return Err(ExprError::new(Code::Failed, "not all variables have a value"));
        }
        let vars = vars.iter().map(|v| to_jq(v)).collect::<Result<Vec<_>, _>>()?;
        let input = to_jq(input)?;
        let ctx = Ctx::<Data>::new(&self.filter.lut, Vars::new(vars));
        let mut out = self.filter.id.run((ctx, input)).map(|result| {
            result.map_err(|exn| match exn.get_err() {
                Ok(error) => ExprError::new(Code::Failed, clipped(error.to_string())),
                Err(_) => ExprError::new(Code::Failed, "it left the expression by `break`"),
            })
        });
        let first = out.next().ok_or_else(|| ExprError::new(Code::Failed, "it makes no value"))??;
        match out.next() {
            None => from_jq(&first),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) => Err(ExprError::new(Code::Failed, "it makes more than one value")),
        }
    }
}

fn clipped(mut message: String) -> String {
    if message.len() > 400 {
        let mut end = 400;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}

fn bounds(source: &str) -> Result<(), ExprError> {
    if source.len() > SOURCE_MAX {
        return Err(ExprError::new(
            Code::TooLarge,
            format!("the expression is longer than {SOURCE_MAX} bytes"),
        ));
    }
    let mut open = 0_usize;
    for (i, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > NESTING_MAX {
            let message = format!("the expression has more than {NESTING_MAX} open brackets");
            return Err(ExprError::at(Code::TooLarge, message, i..i + 1));
        }
    }
    Ok(())
}

/// Runs `f` where the stack suffices for this source.
fn deep<T: Send>(source: &str, f: impl FnOnce() -> Result<T, ExprError> + Send) -> Result<T, ExprError> {
    if source.len() <= SHORT {
        return f();
    }
    let gone = || ExprError::new(Code::TooLarge, "the expression could not be read");
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, f)
            .map_err(|_| gone())?
            .join()
            .unwrap_or_else(|_| Err(gone()))
    })
}

/// Parses and walks; says which variables are taken from outside.
fn read(source: &str, vars: &[&str]) -> Result<((), BTreeSet<String>), ExprError> {
    if source.trim().is_empty() {
        return Err(ExprError::new(Code::Syntax, "the expression is empty"));
    }
    let tokens = Lexer::new(source).lex().map_err(|errors| {
        errors.into_iter().next().map_or_else(
            || ExprError::new(Code::Syntax, "the expression cannot be read"),
            |(expected, found)| wrong(source, expected.as_str(), found),
        )
    })?;
    let term: Term<&str> = Parser::new(&tokens).parse(|p| p.term()).map_err(|errors| {
        errors.into_iter().next().map_or_else(
            || ExprError::new(Code::Syntax, "the expression cannot be read"),
            |(expected, found)| wrong(source, expected.as_str(), Token::opt_as_str(found, source)),
        )
    })?;
    let mut walk = Walk::new(source);
    walk.term(&term);
    if let Some(refused) = walk.refused {
        return Err(refused);
    }
    for name in &walk.free {
        if !vars.contains(&name.as_str()) {
            let written = format!("${name}");
            let at = source.find(&written).unwrap_or(0);
            let message = format!("the variable `{written}` is not known here");
            return Err(ExprError::at(Code::Refused, message, at..at + written.len()));
        }
    }
    Ok(((), walk.free))
}

fn wrong(source: &str, expected: &str, found: &str) -> ExprError {
    let span = span(source, found);
    let what = match found.chars().next() {
        None => "the end".to_owned(),
        Some(_) => format!("`{}`", found.chars().take(20).collect::<String>()),
    };
    let start = span.start.min(source.len());
    let end = span.end.clamp(start, source.len());
    ExprError::at(Code::Syntax, format!("expected {expected}, found {what}"), start..end)
}

fn compile(source: &str, vars: &[&str]) -> Result<Program, ExprError> {
    let defs = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|def| !ABSENT_DEFINITIONS.contains(&def.name));
    let funs = jaq_core::funs::<Data>()
        .chain(jaq_std::funs::<Data>())
        .chain(jaq_json::funs::<Data>())
        .filter(|(name, _, _)| !ABSENT_FUNCTIONS.contains(name));
    let arena = Arena::default();
    let modules = Loader::new(defs)
        .load(&arena, File { code: source, path: () })
        .map_err(|_| ExprError::new(Code::Syntax, "the expression cannot be read"))?;
    let names: Vec<String> = vars.iter().map(|v| format!("${v}")).collect();
    let filter = Compiler::default()
        .with_funs(funs)
        .with_global_vars(names.iter().map(String::as_str))
        .compile(modules)
        .map_err(|errors| undefined(source, errors.into_iter().flat_map(|(_, list)| list).next()))?;
    Ok(Program { filter, vars: vars.iter().map(|&v| v.to_owned()).collect() })
}

fn undefined(source: &str, first: Option<(&str, jaq_core::compile::Undefined)>) -> ExprError {
    match first {
        Some((name, what)) => {
            let inside = source.as_bytes().as_ptr_range().contains(&name.as_ptr());
            let message = format!("the {} `{name}` is not known here", what.as_str());
            let mut error = ExprError::new(Code::Refused, message);
            error.span = inside.then(|| span(source, name));
            error
        }
        None => ExprError::new(Code::Refused, "the expression does not compile"),
    }
}

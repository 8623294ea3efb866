//! One evaluation: all that a task needs at its entry, or at its exit, at once.

use expressions::{Evaluator, ExprError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::duration::{DURATION_MAX_MS, millis};
use crate::error::Error;
use crate::schema;
use crate::template::{Expr, Template, Vars};

/// An evaluation with everything that it needs. It may be stored, sent, and run anywhere, any
/// number of times: the same job gives the same result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub(crate) input: Value,
    pub(crate) vars: Vars,
    pub(crate) work: Work,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "kebab-case")]
pub(crate) enum Work {
    /// A task is entered.
    Enter(Box<Enter>),
    /// A task is left with this raw output as the job's input.
    Exit(Exit),
    /// Whether a loop goes on.
    While { condition: Expr },
    /// What a `try` does about an error (the job's input).
    Catch(Box<Catch>),
}

/// The entry of a task, in the order of the language: `if`, schema, `from`, then the task itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Enter {
    pub(crate) when: Option<Expr>,
    pub(crate) schema: Option<Value>,
    pub(crate) from: Option<Template>,
    pub(crate) timeout: Option<Template>,
    pub(crate) body: Plan,
    /// Tasks that need nobody are left at once.
    pub(crate) exit: Option<Exit>,
}

/// What of a task itself is evaluated at its entry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Plan {
    /// Nothing.
    #[default]
    Nothing,
    /// One value: arguments, collection, duration, filters, error.
    Value(Template),
    /// An event, over what is filled in where it says nothing.
    Event(Template, Value),
    /// The first case that holds; one without a condition is the default.
    Cases(Vec<Option<Expr>>),
}

/// The exit of a task: `output.as`, schema, `export.as`, schema.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Exit {
    pub(crate) output: Option<Template>,
    pub(crate) schema: Option<Value>,
    pub(crate) export: Option<Template>,
    pub(crate) export_schema: Option<Value>,
}

/// A `catch`, without what stands in the definition as literals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Catch {
    pub(crate) when: Option<Expr>,
    pub(crate) except_when: Option<Expr>,
    /// Absent where there is no retry, or none is left.
    pub(crate) retry: Option<Retry>,
    /// Whether an error that is not retried is handled; else it goes on.
    pub(crate) handles: bool,
}

/// One more try.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Retry {
    pub(crate) when: Option<Expr>,
    pub(crate) except_when: Option<Expr>,
    pub(crate) delay: Option<Template>,
    pub(crate) factor: u64,
    pub(crate) jitter: Option<(Template, Template)>,
    /// Where in the jitter's range, in 1/65536.
    pub(crate) draw: u16,
}

/// What an evaluation gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "evaluated", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Evaluation {
    /// `if` said no.
    Skipped,
    /// The task is entered.
    Entered {
        /// Its transformed input, where it is not the raw one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Value>,
        /// Its timeout.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
        /// What the task itself needs.
        value: Value,
    },
    /// The task was entered and left.
    Ran {
        /// Its transformed output.
        output: Value,
        /// The new context.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<Value>,
        /// The case that a switch took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        case: Option<usize>,
        /// The event that it emits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<Value>,
    },
    /// The task is left.
    Left {
        /// Its transformed output.
        output: Value,
        /// The new context.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<Value>,
    },
    /// Whether a loop goes on.
    Looped {
        /// It does.
        go: bool,
    },
    /// A `try` does not catch it.
    Passed,
    /// A `try` handles it.
    Handled,
    /// A `try` runs its block again.
    Retried {
        /// After this.
        delay_ms: u64,
    },
}

/// Evaluates plain paths, and notes where that is not enough.
#[derive(Default)]
struct Plain {
    missed: bool,
}

impl Evaluator for Plain {
    fn eval(&mut self, source: &str, vars: &[(&str, &Value)], input: &Value) -> Result<Value, ExprError> {
        expressions::plain(source, vars, input).ok_or_else(|| {
            self.missed = true;
            let message = format!("nobody evaluates `{source}` here");
            ExprError { code: expressions::Code::Unavailable, message, span: None }
        })
    }
}

impl Job {
    /// Whether it holds no expression: nobody is needed to run it.
    pub fn is_trivial(&self) -> bool {
        self.work.exprs().is_empty()
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// An error of the language: `expression`, `validation`, `configuration`.
    pub fn run(self, e: &mut dyn Evaluator) -> Result<Evaluation, Error> {
        let Job { input, vars, work } = self;
        match work {
            Work::Enter(enter) => enter.run(e, vars, input),
            Work::Exit(exit) => {
                let (output, context) = exit.run(e, vars, input)?;
                Ok(Evaluation::Left { output, context })
            }
            Work::While { condition } => Ok(Evaluation::Looped { go: condition.holds(e, &vars, &input)? }),
            Work::Catch(catch) => catch.run(e, &vars, &input),
        }
    }

    /// Runs a job here, if literals and plain paths are all that it takes.
    pub(crate) fn run_here(self) -> Option<Result<Evaluation, Error>> {
        let mut evaluator = Plain::default();
        let result = self.run(&mut evaluator);
        (!evaluator.missed).then_some(result)
    }
}

impl Work {
    /// The expressions in it.
    pub(crate) fn exprs(&self) -> Vec<&Expr> {
        let mut all = Vec::new();
        match self {
            Work::Enter(enter) => all = enter.exprs(),
            Work::Exit(exit) => exit.exprs(&mut all),
            Work::While { condition } => all.push(condition),
            Work::Catch(catch) => all = catch.exprs(),
        }
        all
    }
}

impl Enter {
    /// The expressions in it.
    pub(crate) fn exprs(&self) -> Vec<&Expr> {
        let mut all = Vec::new();
        all.extend(&self.when);
        [&self.from, &self.timeout].into_iter().flatten().for_each(|t| t.exprs(&mut all));
        match &self.body {
            Plan::Nothing => {}
            Plan::Value(value) | Plan::Event(value, _) => value.exprs(&mut all),
            Plan::Cases(cases) => all.extend(cases.iter().flatten()),
        }
        self.exit.iter().for_each(|exit| exit.exprs(&mut all));
        all
    }

    fn run(self, e: &mut dyn Evaluator, mut vars: Vars, raw: Value) -> Result<Evaluation, Error> {
        if let Some(when) = &self.when
            && !when.holds(e, &vars, &raw)?
        {
            return Ok(Evaluation::Skipped);
        }
        schema::validate(self.schema.as_ref(), &raw, "input")?;
        let changed = match &self.from {
            Some(from) => Some(from.eval(e, &vars, &raw)?),
            None => None,
        };
        let input = changed.as_ref().unwrap_or(&raw).clone();
        vars.insert("input".into(), input.clone());
        let timeout_ms = match &self.timeout {
            Some(timeout) => Some(millis(&timeout.eval(e, &vars, &input)?)?),
            None => None,
        };
        let (mut case, mut event) = (None, None);
        let value = match &self.body {
            Plan::Nothing => Value::Null,
            Plan::Value(template) => template.eval(e, &vars, &input)?,
            Plan::Event(template, defaults) => {
                let mut whole = defaults.clone();
                if let (Value::Object(whole), Value::Object(own)) =
                    (&mut whole, template.eval(e, &vars, &input)?)
                {
                    whole.extend(own);
                }
                event = Some(whole.clone());
                whole
            }
            Plan::Cases(cases) => {
                case = first_case(cases, e, &vars, &input)?;
                input
            }
        };
        match self.exit {
            None => Ok(Evaluation::Entered { input: changed, timeout_ms, value }),
            Some(exit) => {
                let (output, context) = exit.run(e, vars, value)?;
                Ok(Evaluation::Ran { output, context, case, event })
            }
        }
    }
}

fn first_case(
    cases: &[Option<Expr>],
    e: &mut dyn Evaluator,
    vars: &Vars,
    input: &Value,
) -> Result<Option<usize>, Error> {
    let mut default = None;
    for (i, case) in cases.iter().enumerate() {
        match case {
            Some(condition) if condition.holds(e, vars, input)? => return Ok(Some(i)),
            Some(_) => {}
            None => default = default.or(Some(i)),
        }
    }
    Ok(default)
}

impl Exit {
    /// The expressions in it.
    pub(crate) fn exprs<'a>(&'a self, into: &mut Vec<&'a Expr>) {
        [&self.output, &self.export].into_iter().flatten().for_each(|t| t.exprs(into));
    }

    /// Whether it leaves everything as it is.
    pub(crate) fn is_identity(&self) -> bool {
        *self == Exit::default()
    }

    fn run(self, e: &mut dyn Evaluator, mut vars: Vars, raw: Value) -> Result<(Value, Option<Value>), Error> {
        if let Some(Value::Object(task)) = vars.get_mut("task") {
            task.insert("output".into(), raw.clone());
        }
        let output = match &self.output {
            Some(output) => output.eval(e, &vars, &raw)?,
            None => raw,
        };
        schema::validate(self.schema.as_ref(), &output, "output")?;
        let Some(export) = &self.export else {
            return Ok((output, None));
        };
        vars.insert("output".into(), output.clone());
        let context = export.eval(e, &vars, &output)?;
        schema::validate(self.export_schema.as_ref(), &context, "context")?;
        Ok((output, Some(context)))
    }
}

impl Catch {
    /// The expressions in it.
    pub(crate) fn exprs(&self) -> Vec<&Expr> {
        let mut all = Vec::new();
        all.extend(self.when.iter().chain(&self.except_when));
        if let Some(retry) = &self.retry {
            all.extend(retry.when.iter().chain(&retry.except_when));
            retry.delay.iter().for_each(|t| t.exprs(&mut all));
            retry.jitter.iter().for_each(|(from, to)| {
                from.exprs(&mut all);
                to.exprs(&mut all);
            });
        }
        all
    }

    fn run(self, e: &mut dyn Evaluator, vars: &Vars, input: &Value) -> Result<Evaluation, Error> {
        if !holds(&self.when, &self.except_when, e, vars, input)? {
            return Ok(Evaluation::Passed);
        }
        if let Some(retry) = &self.retry
            && holds(&retry.when, &retry.except_when, e, vars, input)?
        {
            return Ok(Evaluation::Retried { delay_ms: retry.delay(e, vars, input)? });
        }
        Ok(if self.handles { Evaluation::Handled } else { Evaluation::Passed })
    }
}

fn holds(
    when: &Option<Expr>,
    except: &Option<Expr>,
    e: &mut dyn Evaluator,
    vars: &Vars,
    input: &Value,
) -> Result<bool, Error> {
    let when = when.as_ref().map_or(Ok(true), |c| c.holds(e, vars, input))?;
    let except = except.as_ref().map_or(Ok(false), |c| c.holds(e, vars, input))?;
    Ok(when && !except)
}

impl Retry {
    fn delay(&self, e: &mut dyn Evaluator, vars: &Vars, input: &Value) -> Result<u64, Error> {
        let mut time = |t: &Template| millis(&t.eval(e, vars, input)?);
        let delay = self.delay.as_ref().map_or(Ok(0), &mut time)?.saturating_mul(self.factor);
        let jitter = match &self.jitter {
            Some((from, to)) => {
                let (from, to) = (time(from)?, time(to)?);
                let range = u128::from(to.saturating_sub(from)) * u128::from(self.draw) / 65_536;
                from.saturating_add(u64::try_from(range).unwrap_or(0))
            }
            None => 0,
        };
        Ok(delay.saturating_add(jitter).min(DURATION_MAX_MS))
    }
}

/// What an event has where its definition says nothing.
pub(crate) fn event_defaults(id: &str, source: &str, time: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": source, "time": time })
}

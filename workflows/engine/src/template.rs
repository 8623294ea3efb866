//! Values as a definition writes them: literals with expressions in them.

use std::collections::BTreeMap;

use expressions::Evaluator;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Standard};

/// An expression and the variables that it takes from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Expr {
    /// Without `${ }`.
    pub(crate) jq: String,
    /// Without the dollar sign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) uses: Vec<String>,
}

/// A value with expressions in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Template {
    /// Nothing to evaluate.
    Value(Value),
    /// One expression.
    Expr(Expr),
    /// An object with expressions in it.
    Map(Vec<(String, Template)>),
    /// A list with expressions in it.
    List(Vec<Template>),
}

/// The variables of an evaluation, without the dollar sign.
pub(crate) type Vars = BTreeMap<String, Value>;

impl Expr {
    /// The value for an input.
    pub(crate) fn eval(&self, e: &mut dyn Evaluator, vars: &Vars, input: &Value) -> Result<Value, Error> {
        let null = Value::Null;
        let vars: Vec<(&str, &Value)> =
            self.uses.iter().map(|name| (name.as_str(), vars.get(name).unwrap_or(&null))).collect();
        e.eval(&self.jq, &vars, input).map_err(|error| {
            Error::standard(
                Standard::Expression,
                format!("{}: {} in `{}`", error.code.as_str(), error, self.short()),
            )
        })
    }

    /// The value as a condition: false and null are no, as in jq.
    pub(crate) fn holds(&self, e: &mut dyn Evaluator, vars: &Vars, input: &Value) -> Result<bool, Error> {
        Ok(!matches!(self.eval(e, vars, input)?, Value::Null | Value::Bool(false)))
    }

    fn short(&self) -> String {
        let mut text: String = self.jq.chars().take(80).collect();
        if text.len() < self.jq.len() {
            text.push('…');
        }
        text
    }
}

impl Template {
    /// The value for an input.
    pub(crate) fn eval(&self, e: &mut dyn Evaluator, vars: &Vars, input: &Value) -> Result<Value, Error> {
        Ok(match self {
            Template::Value(value) => value.clone(),
            Template::Expr(expr) => expr.eval(e, vars, input)?,
            Template::Map(members) => {
                let mut map = Map::new();
                for (key, member) in members {
                    map.insert(key.clone(), member.eval(e, vars, input)?);
                }
                Value::Object(map)
            }
            Template::List(items) => {
                Value::Array(items.iter().map(|item| item.eval(e, vars, input)).collect::<Result<_, _>>()?)
            }
        })
    }

    /// The expressions in it.
    pub(crate) fn exprs<'a>(&'a self, into: &mut Vec<&'a Expr>) {
        match self {
            Template::Value(_) => {}
            Template::Expr(expr) => into.push(expr),
            Template::Map(members) => members.iter().for_each(|(_, t)| t.exprs(into)),
            Template::List(items) => items.iter().for_each(|t| t.exprs(into)),
        }
    }
}

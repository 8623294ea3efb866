//! Values in and out of jq, within bounds.

use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value};

use crate::error::{Code, ExprError};

/// Levels that a value may have, in or out.
pub const DEPTH_MAX: usize = 128;

/// Bytes that a value may take, in or out (texts and keys, and 8 for each value).
pub const SIZE_MAX: usize = 4 << 20;

/// What is left of the bound on size.
struct Budget(usize);

impl Budget {
    fn take(&mut self, bytes: usize, depth: usize) -> Result<(), ExprError> {
        if depth > DEPTH_MAX {
            return Err(ExprError::new(Code::TooLarge, format!("a value has more than {DEPTH_MAX} levels")));
        }
        self.0 = self.0.checked_sub(bytes.saturating_add(8)).ok_or_else(|| {
            ExprError::new(Code::TooLarge, format!("a value is larger than {SIZE_MAX} bytes"))
        })?;
        Ok(())
    }
}

/// A JSON value as jq's.
///
/// # Errors
///
/// `TooLarge`.
pub(crate) fn to_jq(value: &Value) -> Result<Val, ExprError> {
    inward(value, 0, &mut Budget(SIZE_MAX))
}

fn inward(value: &Value, depth: usize, budget: &mut Budget) -> Result<Val, ExprError> {
    budget.take(value.as_str().map_or(0, str::len), depth)?;
    Ok(match value {
        Value::Null => Val::Null,
        Value::Bool(flag) => Val::Bool(*flag),
        Value::Number(number) => Val::Num(match (number.as_i64(), number.as_u64()) {
            (Some(i), _) => Num::from_integral(i),
            (None, Some(u)) => Num::from_integral(u),
            (None, None) => Num::Float(number.as_f64().unwrap_or(0.0)),
        }),
        Value::String(text) => Val::utf8_str(text.clone().into_bytes()),
        Value::Array(items) => {
            items.iter().map(|v| inward(v, depth + 1, budget)).collect::<Result<Val, _>>()?
        }
        Value::Object(members) => {
            let mut map = Map::default();
            for (key, value) in members {
                budget.take(key.len(), depth)?;
                map.insert(Val::utf8_str(key.clone().into_bytes()), inward(value, depth + 1, budget)?);
            }
            Val::obj(map)
        }
    })
}

/// A value of jq's as JSON.
///
/// # Errors
///
/// `TooLarge`; `Failed` for what JSON has not: infinities, NaN, integers beyond 64 bits, byte
/// strings, keys that are not texts.
pub(crate) fn from_jq(value: &Val) -> Result<Value, ExprError> {
    outward(value, 0, &mut Budget(SIZE_MAX))
}

fn outward(value: &Val, depth: usize, budget: &mut Budget) -> Result<Value, ExprError> {
    budget.take(0, depth)?;
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(flag) => Value::Bool(*flag),
        Val::Num(number) => Value::Number(self::number(number)?),
        Val::TStr(bytes) => Value::String(text(bytes, budget, depth)?),
        Val::BStr(_) => return Err(failed("the result holds a byte string, which JSON has not")),
        Val::Arr(items) => {
            Value::Array(items.iter().map(|v| outward(v, depth + 1, budget)).collect::<Result<_, _>>()?)
        }
        Val::Obj(members) => {
            let mut map = serde_json::Map::new();
            for (key, value) in members.iter() {
                let Val::TStr(key) = key else {
                    return Err(failed("the result has a key that is not a text"));
                };
                map.insert(text(key, budget, depth)?, outward(value, depth + 1, budget)?);
            }
            Value::Object(map)
        }
    })
}

fn text(bytes: &[u8], budget: &mut Budget, depth: usize) -> Result<String, ExprError> {
    budget.take(bytes.len(), depth)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| failed("the result holds a text that is not UTF-8"))
}

fn number(number: &Num) -> Result<Number, ExprError> {
    let finite =
        |f: f64| Number::from_f64(f).ok_or_else(|| failed("the result holds a number that is not finite"));
    match number {
        Num::Int(i) => i64::try_from(*i).map(Number::from).map_err(|_| failed("an integer beyond 64 bits")),
        Num::BigInt(_) => {
            let digits = number.to_string();
            match digits.parse::<u64>() {
                Ok(u) => Ok(Number::from(u)),
                Err(_) => Err(failed("the result holds an integer beyond 64 bits")),
            }
        }
        Num::Float(f) => finite(*f),
        Num::Dec(digits) => finite(digits.parse().unwrap_or(f64::NAN)),
    }
}

fn failed(message: &str) -> ExprError {
    ExprError::new(Code::Failed, message)
}

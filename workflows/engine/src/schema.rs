//! JSON Schemas that stand in a definition.

use serde_json::Value;

use crate::error::{Error, Standard};

/// Checks a value against a schema, if there is one.
///
/// # Errors
///
/// `validation`: it does not fit. `configuration`: the schema is none.
pub(crate) fn validate(schema: Option<&Value>, value: &Value, what: &str) -> Result<(), Error> {
    let Some(schema) = schema else {
        return Ok(());
    };
    let validator = compile(schema).map_err(|e| Error::standard(Standard::Configuration, e))?;
    match validator.iter_errors(value).next() {
        None => Ok(()),
        Some(error) => {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "/".to_owned() } else { place };
            let detail = format!("the {what} does not fit its schema at {place}: {error}");
            Err(Error::standard(Standard::Validation, detail.chars().take(500).collect::<String>()))
        }
    }
}

/// Checks that a schema is one.
///
/// # Errors
///
/// What is the matter.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    compile(schema).map(drop)
}

fn compile(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::validator_for(schema).map_err(|e| format!("the schema cannot be used: {e}"))
}

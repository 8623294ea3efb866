//! CloudEvents 1.0: what monitoring tells us, and what a run tells the world.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// Monitoring says that a site is lost. `data.site` names it.
pub const SITE_LOST: &str = "io.pointsman.site.lost.v1";
/// Monitoring says that a site answers. `data.site` names it.
pub const SITE_ALIVE: &str = "io.pointsman.site.alive.v1";

/// An event in the JSON format; extensions at top level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudEvent {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique for its source; a repeated sending keeps it.
    pub id: String,
    /// A URI reference.
    pub source: String,
    /// Reverse DNS, with a version.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<DateTime<Utc>>,
    /// Of `data`; `application/json` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// The event's own content.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Extension attributes.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

/// The message is no CloudEvent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no CloudEvent: {0}")]
pub struct BadEvent(pub String);

impl CloudEvent {
    /// An event without extensions.
    pub fn new(
        id: impl Into<String>,
        source: impl Into<String>,
        kind: impl Into<String>,
        time: DateTime<Utc>,
        data: Value,
    ) -> Self {
        CloudEvent {
            specversion: "1.0".into(),
            id: id.into(),
            source: source.into(),
            kind: kind.into(),
            subject: None,
            time: Some(time),
            datacontenttype: Some("application/json".into()),
            data,
            extensions: Map::new(),
        }
    }

    /// Reads a NATS message, in binary mode or in structured mode (header `content-type`).
    ///
    /// # Errors
    ///
    /// Says which attribute is missing or wrong.
    pub fn read<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: &[u8],
    ) -> Result<CloudEvent, BadEvent> {
        let bad = |why: String| BadEvent(why);
        let headers: Vec<(String, &str)> =
            headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let binary = headers.iter().any(|(name, _)| name == "ce-specversion");
        let event: CloudEvent = if binary {
            let mut map = Map::new();
            for (name, value) in &headers {
                if let Some(name) = name.strip_prefix("ce-") {
                    let text =
                        crate::frame::decode(value).map_err(|why| bad(format!("header ce-{name} {why}")))?;
                    map.insert(name.to_owned(), Value::String(text));
                }
            }
            if !body.is_empty() {
                let data =
                    serde_json::from_slice(body).map_err(|e| bad(format!("its data is no JSON: {e}")))?;
                map.insert("data".into(), data);
            }
            serde_json::from_value(Value::Object(map)).map_err(|e| bad(e.to_string()))?
        } else {
            serde_json::from_slice(body).map_err(|e| bad(e.to_string()))?
        };
        if event.specversion != "1.0" {
            return Err(bad(format!("specversion `{}` is not 1.0", event.specversion)));
        }
        if event.id.is_empty() || event.source.is_empty() || event.kind.is_empty() {
            return Err(bad("id, source and type must not be empty".into()));
        }
        Ok(event)
    }
}

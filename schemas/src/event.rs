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

/// A process came back within `settle` after it was stopped, and not by us. `data` has `site`, `resource`,
/// `afterMs` (milliseconds after the stop) and `found` (its manager's own words). Told by its service, on the
/// subject of incoming events, kind `process-returned`.
pub const PROCESS_RETURNED: &str = "io.pointsman.process.returned.v1";

/// A database's server was started anew, nobody confirmed that its epoch is the latest, and its service closed it.
/// `data` has `site`, `resource`, `group`, `epoch` and `why`. Told by the service, on the subject of incoming
/// events, kind `database-kept-closed`.
pub const DATABASE_KEPT_CLOSED: &str = "io.pointsman.database.kept-closed.v1";

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
    /// The event's own content; null is absent.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Content that is not text, in base64; excludes `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
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
            data_base64: None,
            extensions: Map::new(),
        }
    }

    /// Reads a NATS message. Structured mode if its `content-type` begins with
    /// `application/cloudevents`, binary mode if it has `ce-` headers; with neither the body must be an
    /// event as JSON, so that one can be published by hand. Header names in any case.
    ///
    /// # Errors
    ///
    /// Says which attribute is missing or wrong.
    pub fn read<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: &[u8],
    ) -> Result<CloudEvent, BadEvent> {
        if body.len() > crate::MESSAGE_MAX {
            return Err(BadEvent(format!("its body has more than {} bytes", crate::MESSAGE_MAX)));
        }
        let mut attributes = Map::new();
        let mut content_type = String::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            if name == "content-type" {
                content_type = value.trim().to_ascii_lowercase();
            } else if let Some(name) = name.strip_prefix("ce-") {
                let text =
                    crate::frame::decode(value).map_err(|why| BadEvent(format!("header ce-{name} {why}")))?;
                if attributes.insert(name.to_owned(), Value::String(text)).is_some() {
                    return Err(BadEvent(format!("header ce-{name} stands there twice")));
                }
            }
        }
        if content_type.starts_with("application/cloudevents-batch") {
            return Err(BadEvent("NATS carries one event a message, no batch".into()));
        }
        let structured = content_type.starts_with("application/cloudevents");
        if structured || attributes.is_empty() {
            attributes = serde_json::from_slice(body).map_err(|e| BadEvent(e.to_string()))?;
        } else {
            attributes.retain(|name, _| name != "data" && name != "data_base64");
            binary_data(&mut attributes, body)?;
        }
        CloudEvent::from_attributes(attributes)
    }

    fn from_attributes(mut attributes: Map<String, Value>) -> Result<CloudEvent, BadEvent> {
        attributes.retain(|_, value| !value.is_null());
        let event: CloudEvent =
            serde_json::from_value(Value::Object(attributes)).map_err(|e| BadEvent(e.to_string()))?;
        if event.specversion != "1.0" {
            return Err(BadEvent(format!("specversion `{}` is not 1.0", event.specversion)));
        }
        if event.id.is_empty() || event.source.is_empty() || event.kind.is_empty() {
            return Err(BadEvent("id, source and type must not be empty".into()));
        }
        if !event.data.is_null() && event.data_base64.is_some() {
            return Err(BadEvent("it has both data and data_base64".into()));
        }
        Ok(event)
    }
}

/// Puts a binary-mode body where the JSON format has it: JSON and text as `data`, all else in base64.
fn binary_data(attributes: &mut Map<String, Value>, body: &[u8]) -> Result<(), BadEvent> {
    if body.is_empty() {
        return Ok(());
    }
    let kind = attributes.get("datacontenttype").and_then(Value::as_str).unwrap_or("application/json");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind.ends_with("/json") || kind.ends_with("+json") {
        let data = serde_json::from_slice(body).map_err(|e| BadEvent(format!("its data is no JSON: {e}")))?;
        attributes.insert("data".into(), data);
        return Ok(());
    }
    match std::str::from_utf8(body) {
        Ok(text) if kind.starts_with("text/") => attributes.insert("data".into(), text.into()),
        _ => attributes.insert("data_base64".into(), base64(body).into()),
    };
    Ok(())
}

/// RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4u32 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i as usize <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

//! The frame of every act's request: `ce-` headers, CloudEvents 1.0 binary form over NATS.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use thiserror::Error;

use crate::duration::{format_iso, parse_iso};
use crate::{Action, Attempt, Epoch, GroupId, Key, MessageId, RunId};

/// The largest message, headers and body, that is read (CloudEvents asks for 64 KiB at least).
pub const MESSAGE_MAX: usize = 64 * 1024;

/// How far two clocks may differ before a request counts as expired.
pub const CLOCK_ALLOWANCE: Duration = Duration::from_secs(30);

/// Who asks, for which run, step and attempt, and how long the act may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// This message; a resend is a new message.
    pub id: MessageId,
    /// Who sends: `/runner/<host>`.
    pub source: String,
    /// The group whose run it is.
    pub group: GroupId,
    /// Run and position: the one effect.
    pub key: Key,
    /// Which sending of the key this is.
    pub attempt: Attempt,
    /// The run's epoch.
    pub epoch: Epoch,
    /// Bounds the act, from its start.
    pub act_within: Duration,
    /// A courtesy between clocks; never what safety rests on.
    pub expires: DateTime<Utc>,
    /// W3C Trace Context; a malformed one is dropped.
    pub traceparent: Option<String>,
}

/// A header is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("header `{header}`: {why}")]
pub struct BadFrame {
    /// Which.
    pub header: String,
    /// What is wrong with it.
    pub why: String,
}

/// The `ce-type` of a request for `action`.
pub fn request_type(action: Action) -> String {
    format!("io.pointsman.{}.{}.v1", action.service(), action.as_str())
}

impl Frame {
    /// The run.
    pub fn run(&self) -> RunId {
        self.key.run
    }

    /// The headers, lower case, values percent-encoded as the NATS binding asks.
    pub fn to_headers(&self, action: Action) -> Vec<(String, String)> {
        let mut headers = vec![
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", self.id.to_string()),
            ("ce-source", self.source.clone()),
            ("ce-type", request_type(action)),
            ("ce-datacontenttype", "application/json".to_owned()),
            ("ce-group", self.group.to_string()),
            ("ce-runid", self.key.run.to_string()),
            ("ce-stepid", self.key.position.to_string()),
            ("ce-attempt", self.attempt.to_string()),
            ("ce-epoch", self.epoch.to_string()),
            ("ce-idempotencykey", self.key.to_string()),
            ("ce-actwithin", format_iso(self.act_within)),
            ("ce-expirytime", self.expires.to_rfc3339_opts(SecondsFormat::Millis, true)),
        ];
        if let Some(trace) = &self.traceparent {
            headers.push(("traceparent", trace.clone()));
        }
        headers.into_iter().map(|(name, value)| (name.to_owned(), encode(&value))).collect()
    }

    /// Reads the headers; their names in any case.
    ///
    /// # Errors
    ///
    /// Names the first header that is missing or wrong.
    pub fn from_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Frame, BadFrame> {
        let mut map = std::collections::BTreeMap::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            if map.insert(name.clone(), value).is_some() && name.starts_with("ce-") {
                return Err(BadFrame { header: name, why: "stands there twice".into() });
            }
        }
        let text = |name: &str| -> Result<String, BadFrame> {
            let value =
                map.get(name).ok_or_else(|| BadFrame { header: name.into(), why: "is missing".into() })?;
            decode(value).map_err(|why| BadFrame { header: name.into(), why })
        };
        fn read<T: std::str::FromStr>(name: &str, text: String) -> Result<T, BadFrame>
        where
            T::Err: std::fmt::Display,
        {
            text.parse().map_err(|e: T::Err| BadFrame { header: name.into(), why: e.to_string() })
        }
        if text("ce-specversion")? != "1.0" {
            return Err(BadFrame { header: "ce-specversion".into(), why: "is not 1.0".into() });
        }
        let key: Key = read("ce-idempotencykey", text("ce-idempotencykey")?)?;
        for (name, told) in [("ce-runid", key.run.to_string()), ("ce-stepid", key.position.to_string())] {
            if text(name)? != told {
                return Err(BadFrame { header: name.into(), why: "differs from ce-idempotencykey".into() });
            }
        }
        let within = text("ce-actwithin")?;
        let expires = text("ce-expirytime")?;
        let attempt: u32 = read("ce-attempt", text("ce-attempt")?)?;
        if attempt == 0 {
            return Err(BadFrame { header: "ce-attempt".into(), why: "counts from 1".into() });
        }
        Ok(Frame {
            id: read("ce-id", text("ce-id")?)?,
            source: text("ce-source")?,
            group: read("ce-group", text("ce-group")?)?,
            key,
            attempt: Attempt(attempt),
            epoch: Epoch(read("ce-epoch", text("ce-epoch")?)?),
            act_within: parse_iso(&within)
                .map_err(|e| BadFrame { header: "ce-actwithin".into(), why: e.to_string() })?,
            expires: DateTime::parse_from_rfc3339(&expires)
                .map_err(|e| BadFrame { header: "ce-expirytime".into(), why: e.to_string() })?
                .with_timezone(&Utc),
            traceparent: map.get("traceparent").map(|t| (*t).to_owned()).filter(|t| is_traceparent(t)),
        })
    }
}

fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |s: &str, n: usize| {
        s.len() == n && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    matches!(parts.as_slice(), [v, t, s, f] if hex(v, 2) && hex(t, 32) && hex(s, 16) && hex(f, 2)
        && t.bytes().any(|b| b != b'0') && s.bytes().any(|b| b != b'0'))
}

/// Percent-encodes what a CloudEvents header value may not hold as it is (binding, section 3.1.3.2).
pub fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Reverses [`encode`]; takes lower-case hexadecimal and a quoted string too.
///
/// # Errors
///
/// A broken escape, or bytes that are not UTF-8.
pub fn decode(value: &str) -> Result<String, String> {
    let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let bytes = quoted.unwrap_or(value).as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'%' => {
                let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
                let (high, low) = digit(i + 1).zip(digit(i + 2)).ok_or("has a broken escape")?;
                out.push(u8::try_from(high * 16 + low).map_err(|_| "has a broken escape")?);
                i += 3;
            }
            b'\\' if quoted.is_some() => {
                out.push(*bytes.get(i + 1).ok_or("has a broken escape")?);
                i += 2;
            }
            byte => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8(out).map_err(|_| "is not UTF-8".into())
}

//! A message of the bus, read: what is asked, or the problem with which it is refused.

use async_nats::{HeaderMap, Message};
use schemas::{
    Address, AdoptRequest, ClaimRequest, Code, Frame, MESSAGE_MAX, OutcomeRequest, Prefix, Problem, Verb,
    args,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use service_core::Ask;

/// Reads one request. Expiry is a courtesy: a request that is later than its expiry and the allowance between
/// clocks is refused here; safety rests on attempt and epoch.
pub(crate) fn read(prefix: &Prefix, message: &Message) -> Result<(Address, Ask), Problem> {
    let size = message.payload.len();
    if size > MESSAGE_MAX {
        return Err(Problem::new(Code::TooLarge, format!("{size} bytes on {}", message.subject)));
    }
    let (address, verb) = prefix
        .parse_request(&message.subject)
        .map_err(|error| Problem::new(Code::UnknownSubject, error.to_string()))?;
    let ask = match verb {
        Verb::Observe => Ask::Observe,
        Verb::Claim => Ask::Claim(body::<ClaimRequest>(message)?),
        Verb::Outcome => Ask::Outcome(body::<OutcomeRequest>(message)?),
        Verb::Adopt => Ask::Adopt(body::<AdoptRequest>(message)?),
        Verb::Act(action) => {
            let frame = frame(message)?;
            let args: Value = body(message)?;
            args::check(&address, action, &args)?;
            let late = chrono::Utc::now() > frame.expires + schemas::CLOCK_ALLOWANCE;
            if late {
                let detail = format!("expired at {}; this host's clock is later", frame.expires);
                return Err(Problem::new(Code::Expired, detail).about(&frame.key));
            }
            Ask::Act { frame, action, args }
        }
    };
    Ok((address, ask))
}

fn body<T: DeserializeOwned>(message: &Message) -> Result<T, Problem> {
    serde_json::from_slice(&message.payload)
        .map_err(|error| Problem::new(Code::Malformed, format!("the body on {}: {error}", message.subject)))
}

fn frame(message: &Message) -> Result<Frame, Problem> {
    let headers: Vec<(String, String)> = message
        .headers
        .iter()
        .flat_map(HeaderMap::iter)
        .filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string())))
        .collect();
    let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Frame::from_headers(pairs).map_err(|error| Problem::new(Code::Malformed, error.to_string()))
}

//! A message of the bus, read: what is asked, or the problem with which it is refused.

use async_nats::{HeaderMap, Message};
use schemas::{
    Action, Address, AdoptRequest, BY_HAND_MAX, ByHandAct, ByHandReply, ByHandRequest, ClaimRequest, Code,
    Frame, MESSAGE_MAX, OutcomeRequest, Prefix, Problem, Verb, args,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use service_core::Ask;

use crate::Driver;

/// What is asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// Something that the core decides.
    Ask(Ask),
    /// How a person would do it: the driver knows.
    ByHand(ByHandRequest),
    /// What stands in the way: the driver looks, and nothing depends on it.
    Check,
}

/// What a driver says about acts by hand; an act that is none of its is answered with nothing.
pub(crate) fn by_hand(
    driver: &dyn Driver,
    asked: &ByHandRequest,
    address: &Address,
    host: &str,
) -> ByHandReply {
    let lines = |act: &ByHandAct| match Action::of(address.service, &act.action) {
        Some(action) if driver.actions().contains(&action) => driver.by_hand(&asked.group, action, &act.args),
        _ => Vec::new(),
    };
    ByHandReply { acts: asked.acts.iter().take(BY_HAND_MAX).map(lines).collect(), host: host.to_owned() }
}

/// Reads one request, as far as it can be read without its resource.
pub(crate) fn read(prefix: &Prefix, message: &Message) -> Result<(Address, Request), Problem> {
    let size = message.length.max(message.payload.len());
    if size > MESSAGE_MAX {
        return Err(Problem::new(Code::TooLarge, format!("{size} bytes on {}", message.subject)));
    }
    let (address, verb) = prefix
        .parse_request(&message.subject)
        .map_err(|error| Problem::new(Code::UnknownSubject, error.to_string()))?;
    let ask = match verb {
        Verb::Check => return Ok((address, Request::Check)),
        Verb::ByHand => return Ok((address, Request::ByHand(body(message)?))),
        Verb::Observe => Ask::Observe,
        Verb::Claim => Ask::Claim(body::<ClaimRequest>(message)?),
        Verb::Outcome => Ask::Outcome(body::<OutcomeRequest>(message)?),
        Verb::Adopt => Ask::Adopt(body::<AdoptRequest>(message)?),
        Verb::Act(action) => {
            let frame = frame(message)?;
            let args: Value = body(message)?;
            Ask::Act { frame, action, args }
        }
    };
    Ok((address, Request::Ask(ask)))
}

/// What is wrong with the arguments of a request that could be read.
pub(crate) fn check(address: &Address, ask: &Ask, actions: &[Action]) -> Result<(), Problem> {
    let Ask::Act { action, args, .. } = ask else { return Ok(()) };
    if !actions.contains(action) {
        let why = format!("{address} does not do `{}`", action.as_str());
        return Err(Problem::new(Code::UnknownSubject, why));
    }
    args::check(address, *action, args)
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

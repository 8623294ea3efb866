//! One JSON Schema a message, generated; one example of each at least, which must fit both.

use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use schemas::args::{
    self, AbandonArgs, CopyArgs, ExportArgs, FollowArgs, MarkArgs, MarkOutput, PointArgs, ProcessPointArgs,
    ReceiverArgs, ResourceArgs,
};
use schemas::duration::PATTERN as DURATION;
use schemas::op::{OpReply, OpRequest};
use schemas::{
    Action, Address, AdoptRequest, Beat, ByHandReply, ByHandRequest, CheckReply, ClaimReply, ClaimRequest,
    CloudEvent, ConfirmReply, ConfirmRequest, Frame, Observation, OutcomeRequest, Problem, Reply,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::files::{folder, golden, json, names};

/// A message: the name of its files, its schema, and what a reader and writer make of a text.
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) schema: Schema,
    again: fn(&Value) -> Result<Value, String>,
    strict: bool,
}

/// Draft 7: what AsyncAPI 3.0 asks every tool to read.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft07().into_generator()
}

fn message<T: JsonSchema + Serialize + DeserializeOwned>(name: &'static str, strict: bool) -> Message {
    Message {
        name,
        schema: generator().into_root_schema_for::<T>(),
        again: |value| {
            let typed: T = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
            serde_json::to_value(typed).map_err(|e| e.to_string())
        },
        strict,
    }
}

/// Each message with a body of its own. Acts' arguments and outputs are listed by action.
pub(crate) fn all() -> Vec<Message> {
    vec![
        message::<ClaimRequest>("claim-request", true),
        message::<ClaimReply>("claim-reply", false),
        message::<Reply>("reply", false),
        message::<OutcomeRequest>("outcome-request", true),
        message::<AdoptRequest>("adopt-request", true),
        message::<Observation>("observation", false),
        message::<CheckReply>("check-reply", false),
        message::<ByHandRequest>("by-hand-request", true),
        message::<ByHandReply>("by-hand-reply", false),
        message::<ConfirmRequest>("confirm-request", true),
        message::<ConfirmReply>("confirm-reply", false),
        message::<Beat>("beat", false),
        message::<OpRequest>("op-request", true),
        message::<OpReply>("op-reply", false),
        message::<Problem>("problem", false),
        message::<CloudEvent>("cloud-event", false),
        Message { name: "frame", schema: frame_schema(), again: frame_again, strict: false },
    ]
}

/// The headers of an act's request, as they stand on the wire: text, percent-encoded.
fn frame_schema() -> Schema {
    let uuid = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
    let text = |description: &str, pattern: &str| json!({"type": "string", "description": description, "pattern": pattern});
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Frame",
        "description": "The headers of every act's request: CloudEvents 1.0 in binary mode over NATS. Values are \
            percent-encoded (space, quotation mark, per cent, all outside printable ASCII). Names in any case.",
        "type": "object",
        "properties": {
            "ce-specversion": {"const": "1.0"},
            "ce-id": text("This message; a resend is a new message.", uuid),
            "ce-source": text("Who sends: /runner/<host>.", "^[!#-~]+$"),
            "ce-type": text("io.pointsman.<service>.<action>.v1", r"^io\.pointsman\.[a-z]+\.[a-z-]+\.v1$"),
            "ce-datacontenttype": {"const": "application/json"},
            "ce-group": text("The group whose run it is.", "^[a-z0-9][a-z0-9-]{0,62}$"),
            "ce-runid": text("The run.", uuid),
            "ce-stepid": text("The position of the step.", "^/[!#-~]*$"),
            "ce-attempt": text("Which sending of the key this is, from 1.", "^[1-9][0-9]{0,9}$"),
            "ce-epoch": text("The run's epoch.", "^[0-9]{1,20}$"),
            "ce-idempotencykey": text("Run and position: the one effect.", "^[0-9a-f-]{36}:/[!#-~]*$"),
            "ce-actwithin": text("Bounds the act, from its start.", DURATION),
            "ce-expirytime": {"type": "string", "format": "date-time", "description": "A courtesy between clocks \
                that may differ by 30 s; never what safety rests on."},
            "traceparent": text("W3C Trace Context; a malformed one is dropped.", "^[!-~]*$"),
        },
        "required": ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-group", "ce-runid", "ce-stepid",
            "ce-attempt", "ce-epoch", "ce-idempotencykey", "ce-actwithin", "ce-expirytime"],
    });
    schema.try_into().unwrap()
}

fn frame_again(value: &Value) -> Result<Value, String> {
    let headers = value.as_object().ok_or("no object")?;
    let text = |name: &str| headers.get(name).and_then(Value::as_str).unwrap_or_default();
    let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
    let frame = Frame::from_headers(pairs).map_err(|e| e.to_string())?;
    let action = Action::ALL.iter().find(|action| schemas::frame::request_type(**action) == text("ce-type"));
    let headers = frame.to_headers(*action.ok_or("its type is no action's")?);
    Ok(Value::Object(headers.into_iter().map(|(name, value)| (name, Value::String(value))).collect()))
}

pub(crate) fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn schemas_are_those_of_the_types() {
    let mut expected = BTreeSet::new();
    for message in all() {
        golden(&format!("json/{}.schema.json", message.name), &pretty(&message.schema));
        expected.insert(message.name.to_owned());
    }
    assert_eq!(names("json", ".schema.json"), expected, "schemas of messages");
    let actions: BTreeSet<String> = Action::ALL.iter().map(Action::to_string).collect();
    for action in Action::ALL {
        golden(&format!("json/args/{action}.schema.json"), &pretty(&args::args_schema(*action, generator())));
        golden(
            &format!("json/output/{action}.schema.json"),
            &pretty(&args::output_schema(*action, generator())),
        );
    }
    assert_eq!(names("json/args", ".schema.json"), actions);
    assert_eq!(names("json/output", ".schema.json"), actions);
}

/// `example` fits the schema of `message`, and its reader gives back all that stands in it.
fn check(what: &str, schema: &Value, example: &Value, again: Result<Value, String>) {
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(example).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{what} does not fit its schema: {errors:#?}");
    assert_eq!(&again.unwrap_or_else(|e| panic!("{what}: {e}")), example, "{what} is read and written again");
}

#[test]
fn each_message_has_an_example_that_fits() {
    let mut left = names("examples", ".json");
    for message in all() {
        let schema = serde_json::to_value(&message.schema).unwrap();
        let of = |name: &String| name.split('.').next() == Some(message.name);
        let mine: Vec<String> = left.iter().filter(|name| of(name)).cloned().collect();
        assert!(!mine.is_empty(), "{} has no example", message.name);
        for name in mine {
            let example = json(&folder().join(format!("examples/{name}.json")));
            check(&name, &schema, &example, (message.again)(&example));
            left.remove(&name);
        }
    }
    assert!(left.is_empty(), "examples of nothing: {left:?}");
}

fn typed<T: Serialize + DeserializeOwned>(value: &Value) -> Result<Value, String> {
    let typed: T = args::read(value).map_err(|problem| problem.to_string())?;
    serde_json::to_value(typed).map_err(|e| e.to_string())
}

fn args_again(action: Action, value: &Value) -> Result<Value, String> {
    match action {
        Action::Point => typed::<PointArgs>(value),
        Action::Follow | Action::Push | Action::Unpush => typed::<FollowArgs>(value),
        Action::Drain | Action::SetSequences => typed::<MarkArgs>(value),
        Action::StartReplication | Action::StopReplication => typed::<ReceiverArgs>(value),
        Action::Abandon => typed::<AbandonArgs>(value),
        Action::Export => typed::<ExportArgs>(value),
        Action::Copy => typed::<CopyArgs>(value),
        Action::PointProcess => typed::<ProcessPointArgs>(value),
        _ => typed::<ResourceArgs>(value),
    }
}

#[test]
fn each_action_has_examples_that_fit() {
    let actions: BTreeSet<String> = Action::ALL.iter().map(Action::to_string).collect();
    assert_eq!(names("examples/args", ".json"), actions);
    assert_eq!(names("examples/output", ".json"), actions);
    for action in Action::ALL {
        let example = json(&folder().join(format!("examples/args/{action}.json")));
        let schema = serde_json::to_value(args::args_schema(*action, generator())).unwrap();
        check(&format!("args of {action}"), &schema, &example, args_again(*action, &example));

        let address = Address {
            site: serde_json::from_value(example["site"].clone()).unwrap(),
            service: action.service(),
            resource: serde_json::from_value(example["resource"].clone()).unwrap(),
        };
        args::check(&address, *action, &example).unwrap();
        for (name, value) in [("site", "elsewhere"), ("resource", "another"), ("surprise", "x")] {
            let mut changed = example.clone();
            changed[name] = value.into();
            let problem = args::check(&address, *action, &changed).unwrap_err();
            assert_eq!(problem.code, schemas::Code::Malformed, "{action} with {name}");
        }
        let mut surprise = example.clone();
        surprise["surprise"] = json!(1);
        assert!(
            !jsonschema::is_valid(&schema, &surprise),
            "the schema of {action} takes what it does not know"
        );

        let example = json(&folder().join(format!("examples/output/{action}.json")));
        let schema = serde_json::to_value(args::output_schema(*action, generator())).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(validator.is_valid(&example), "output of {action}");
    }
    let mark = json(&folder().join("examples/output/replication.mark.json"));
    assert_eq!(typed::<MarkOutput>(&mark), Ok(mark));
}

/// Requests refuse what they do not know; replies and events pass over it.
#[test]
fn unknown_members() {
    for message in all() {
        let name = names("examples", ".json")
            .into_iter()
            .find(|n| n.split('.').next() == Some(message.name))
            .unwrap();
        let mut example = json(&folder().join(format!("examples/{name}.json")));
        let target = if message.name == "op-reply" {
            let (_, inner) = example.as_object_mut().unwrap().iter_mut().next().unwrap();
            if inner.is_array() { &mut inner[0] } else { inner }
        } else {
            &mut example
        };
        target["surprise"] = json!("x");
        assert_eq!((message.again)(&example).is_err(), message.strict, "{name} is read");
        let schema = serde_json::to_value(&message.schema).unwrap();
        assert_eq!(jsonschema::is_valid(&schema, &example), !message.strict, "{name} against its schema");
    }
}

/// Whatever a person can ask has an example; its subject's last token is the member `verb`.
#[test]
fn each_verb_has_an_example() {
    let mut found = BTreeSet::new();
    for name in names("examples", ".json").into_iter().filter(|name| name.starts_with("op-request.")) {
        let example = json(&folder().join(format!("examples/{name}.json")));
        let request: OpRequest = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(example["op"]["verb"], json!(request.op.verb()), "{name}");
        found.insert(request.op.verb().to_owned());
    }
    assert_eq!(found, verbs());
}

/// The verbs, from the schema of a person's request.
pub(crate) fn verbs() -> BTreeSet<String> {
    let schema = serde_json::to_value(generator().into_root_schema_for::<schemas::op::Op>()).unwrap();
    let variants = schema["oneOf"].as_array().unwrap();
    variants.iter().map(|v| v["properties"]["verb"]["const"].as_str().unwrap().to_owned()).collect()
}

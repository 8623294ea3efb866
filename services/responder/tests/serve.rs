//! The service on a real NATS server: it is found, answers, refuses bad input, stops by draining.

#![expect(clippy::unwrap_used, reason = "tests")]

mod desk;

use async_nats::HeaderMap;
use desk::*;
use futures_util::StreamExt;
use responder::memory::Point;
use responder::{LedgerError, ServeError};
use schemas::{Access, Answer, Beat, CheckLine, CheckReply, Code, Level, Observation, Seen, Verb};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_found_beats_acts_and_sees() {
    let mut desk = Desk::bare().await;
    let mut beats = desk.client.subscribe(prefix().beat()).await.unwrap();
    desk.client.flush().await.unwrap();
    desk.start().await;
    let beat = tokio::time::timeout(SOON, beats.next()).await.unwrap().unwrap();
    let beat: Beat = serde_json::from_slice(&beat.payload).unwrap();
    assert_eq!((beat.ledger, beat.adopted, beat.armed), (desk.ledger, false, true));
    assert_eq!(beat.resources, [address("config"), address("log")]);

    let key = key(2, "close");
    assert_eq!(desk.act("config", 2, &key, 1, CLOSE).await.code(), Some(Code::NotAdopted));
    desk.adopt().await;
    assert_eq!(desk.act("config", 2, &key, 1, CLOSE).await.code(), Some(Code::Unclaimed));
    assert!(desk.claim("config", 2, 2).await.granted);
    assert_eq!(desk.act("config", 2, &key, 2, CLOSE).await.answer, Answer::Applied);
    assert_eq!(desk.act("config", 2, &key, 3, CLOSE).await.answer, Answer::AlreadyApplied);
    let open = desk::key(2, "open");
    assert_eq!(desk.act("config", 2, &open, 1, OPEN).await.answer, Answer::Applied);
    assert_eq!(desk.world.effects("config").len(), 2);
    let seen = desk.ask("config", Verb::Observe, &Value::Null).await;
    let seen: Observation = serde_json::from_slice(&seen.payload).unwrap();
    let Seen::Database(database) = seen.seen else { panic!("{seen:?}") };
    assert_eq!((database.access, database.epoch), (Access::Open, Some(seen.epoch)));
    assert!(seen.unended.is_empty());

    let said = async |what: &str| -> Value {
        let message =
            desk.client.request(format!("$SRV.{what}.pointsman-database"), "".into()).await.unwrap();
        serde_json::from_slice(&message.payload).unwrap()
    };
    assert_eq!(said("PING").await["metadata"]["site"], "b");
    assert_eq!(said("INFO").await["endpoints"].as_array().unwrap().len(), 2);
    let stats = said("STATS").await;
    let config =
        stats["endpoints"].as_array().unwrap().iter().find(|e| e["name"] == "b-config").unwrap().clone();
    assert!(config["num_requests"].as_u64().unwrap() >= 7, "{config}");
    assert_eq!(config["data"]["problems"], json!({ "ledger-not-adopted": 1, "unclaimed": 1 }));
    desk.stop().await.unwrap();
    let gone = desk.try_ask("config", Verb::Observe, HeaderMap::new(), Vec::new()).await.unwrap_err();
    assert_eq!(gone.kind(), async_nats::RequestErrorKind::NoResponders);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_input_gets_its_problem_and_loses_nothing() {
    let mut desk = Desk::new().await;
    desk.claim("config", 2, 2).await;
    let (key, args) = (key(2, "close"), Desk::args("config").to_string());
    let headers = || Desk::headers(2, &key, 1, CLOSE);
    let act = |change: &[(&str, &str)]| {
        let mut headers = headers();
        change.iter().for_each(|(name, value)| headers.insert(*name, *value));
        headers
    };
    let big = format!("{{\"resource\": \"{}\"}}", "x".repeat(70_000));
    let cases: Vec<(&str, HeaderMap, &str, Code)> = vec![
        ("levitate", headers(), &args, Code::UnknownSubject),
        ("disable-access", HeaderMap::new(), &args, Code::Malformed),
        ("disable-access", headers(), "{ not json", Code::Malformed),
        ("disable-access", headers(), r#"{"resource":"log","site":"b"}"#, Code::Malformed),
        ("disable-access", headers(), r#"{"resource":"config","site":"b","more":1}"#, Code::Malformed),
        ("disable-access", headers(), &big, Code::TooLarge),
        ("disable-access", act(&[("ce-attempt", "0")]), &args, Code::Malformed),
        ("disable-access", act(&[("ce-epoch", "many")]), &args, Code::Malformed),
        ("disable-access", act(&[("ce-expirytime", "2020-01-01T00:00:00Z")]), &args, Code::Expired),
        ("disable-access", act(&[("ce-group", "other")]), &args, Code::WrongGroup),
        ("disable-access", act(&[("ce-epoch", "1")]), &args, Code::StaleEpoch),
        ("disable-access", act(&[("ce-epoch", "3")]), &args, Code::Unclaimed),
        ("claim", HeaderMap::new(), "{}", Code::Malformed),
        ("outcome", HeaderMap::new(), "[1]", Code::Malformed),
    ];
    for (token, headers, body, code) in cases {
        let subject = format!("test.b.database.config.{token}");
        let sent = desk.client.request_with_headers(subject, headers, body.to_owned().into());
        let message = sent.await.unwrap_or_else(|error| panic!("{token} {code}: {error}"));
        assert_eq!(problem(&message).code, code, "{token}: {:?}", message.payload);
    }
    assert!(desk.world.all_effects().is_empty());
    assert_eq!(desk.act("config", 2, &key, 1, CLOSE).await.answer, Answer::Applied);
    let taken = desk.claim("config", 2, 9).await;
    assert_eq!(taken.problem.unwrap().code, Code::EpochTaken);
    std::fs::remove_file(desk.state.path().join("armed")).unwrap();
    let braked = async {
        loop {
            let reply = desk.act("config", 2, &desk::key(2, "open"), 1, OPEN).await;
            if reply.code() == Some(Code::NotArmed) {
                break;
            }
            assert_ne!(reply.answer, Answer::Failed);
        }
    };
    tokio::time::timeout(SOON, braked).await.unwrap();
    desk.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_resource_waits_and_the_others_do_not() {
    let mut desk = Desk::new().await;
    for resource in ["config", "log"] {
        desk.claim(resource, 2, 2).await;
    }
    desk.world.hold("config", Point::Checked);
    let (slow, fast) = (key(2, "0"), key(2, "1"));
    let act = desk.act("config", 2, &slow, 1, CLOSE);
    let others = async {
        desk.world.reached("config", Point::Checked).await;
        assert_eq!(desk.act("log", 2, &fast, 1, CLOSE).await.answer, Answer::Applied);
        assert_eq!(desk.act("config", 2, &slow, 1, CLOSE).await.answer, Answer::InProgress);
        assert_eq!(desk.act("config", 2, &fast, 1, OPEN).await.code(), Some(Code::Busy));
        let seen = desk.ask("config", Verb::Observe, &Value::Null).await;
        let seen: Observation = serde_json::from_slice(&seen.payload).unwrap();
        assert_eq!(seen.unended, std::slice::from_ref(&slow));
        let (waited, ()) = tokio::join!(desk.outcome("config", 2, &slow, 1), async {
            desk.world.release("config", Point::Checked);
        });
        assert_eq!(waited.answer, Answer::Applied);
    };
    let (act, ()) = tokio::time::timeout(SOON, async { tokio::join!(act, others) }).await.unwrap();
    assert_eq!(act.answer, Answer::Applied);
    desk.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_the_act_end_and_answers() {
    let mut desk = Desk::new().await;
    desk.claim("config", 2, 2).await;
    desk.world.hold("config", Point::Checked);
    let key = key(2, "close");
    let headers = Desk::headers(2, &key, 1, CLOSE);
    let (client, body) = (desk.client.clone(), Desk::args("config").to_string());
    let subject = prefix().request(&address("config"), Verb::Act(CLOSE));
    let act = tokio::spawn(async move { client.request_with_headers(subject, headers, body.into()).await });
    desk.world.reached("config", Point::Checked).await;
    let world = desk.world.clone();
    let (client, subject) = (desk.client.clone(), prefix().request(&address("config"), Verb::Observe));
    let release = tokio::spawn(async move {
        // It takes no requests any more, and the act still goes on. One that arrives in the very moment
        // may get no answer.
        loop {
            let asked = client.request(subject.clone(), "".into());
            match tokio::time::timeout(std::time::Duration::from_millis(500), asked).await {
                Ok(Err(error)) if error.kind() == async_nats::RequestErrorKind::NoResponders => break,
                _ => {}
            }
        }
        world.release("config", Point::Checked);
    });
    desk.stop().await.unwrap();
    release.await.unwrap();
    let reply: schemas::Reply = serde_json::from_slice(&act.await.unwrap().unwrap().payload).unwrap();
    assert_eq!(reply.answer, Answer::Applied);
    desk.start().await;
    assert_eq!(desk.outcome("config", 2, &key, 1).await.answer, Answer::Applied);
    assert_eq!(desk.world.effects("config").len(), 1);
    desk.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_on_the_host_refuses_to_start() {
    let mut desk = Desk::new().await;
    let second = serve(desk.client.clone(), desk.state.path(), desk.world.clone(), Default::default()).await;
    let Err(ServeError::Ledger(LedgerError::Locked(_))) = second else { panic!("{second:?}") };
    desk.stop().await.unwrap();
    let first = desk.ledger;
    desk.start().await;
    assert_eq!(desk.ledger, first, "the ledger outlives its service");
    desk.stop().await.unwrap();
    std::fs::remove_file(desk.state.path().join("services.ledger")).unwrap();
    desk.start().await;
    assert_ne!(desk.ledger, first, "a lost ledger has another id");
    assert_eq!(desk.act("config", 2, &key(2, "close"), 1, CLOSE).await.code(), Some(Code::NotAdopted));
    desk.stop().await.unwrap();
}

async fn lines(desk: &Desk, resource: &str) -> Vec<CheckLine> {
    let reply = desk.ask(resource, Verb::Check, &json!({})).await;
    serde_json::from_slice::<CheckReply>(&reply.payload).unwrap().lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_once_that_the_credentials_of_the_bus_have_ended() {
    let desk = Desk::new().await;
    // The claims say `{"exp":1}`.
    let text = "-----BEGIN NATS USER JWT-----\ne30.eyJleHAiOjF9.c2ln\n------END NATS USER JWT------\n";
    std::fs::write(desk.state.path().join("bus.creds"), text).unwrap();
    let told = lines(&desk, "config").await;
    assert!(told.len() == 1 && told[0].what == "bus" && told[0].level == Level::Red, "{told:?}");
    assert!(told[0].text.contains("bus.creds ended"), "{told:?}");
    assert!(lines(&desk, "log").await.is_empty(), "it is the same process");
}

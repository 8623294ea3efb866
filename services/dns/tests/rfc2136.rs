//! Updates against a real BIND: once, twice, at once, undone, lost on the wire.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bench::*;
use dns::rfc2136::Transport;
use dns::{Key, Server};
use lab::bind::Bind;
use responder::{Driver, Look};
use schemas::{Action, Code, Level, Seen};
use serde_json::json;

#[tokio::test]
async fn a_name_is_pointed_once() {
    let bind = bind();
    let driver = driver(settings(&bind));
    let before = bind.serial().unwrap();
    assert!(matches!(driver.look(Action::Point, &to("secondary")).await, Look::NotInEffect(_)));

    let output = point(&driver, to("secondary")).await.unwrap();
    assert_eq!(output["owed"], json!([]));
    assert_eq!(output["addresses"], json!(["10.2.0.3"]));
    assert_eq!(bind.lookup(NAME).unwrap(), [ip("10.2.0.3")]);
    assert_eq!(bind.serial().unwrap(), before + 1);
    assert_eq!(driver.look(Action::Point, &to("secondary")).await, Look::InEffect(output.clone()));

    // Asked again: the same, and nothing is written.
    assert_eq!(point(&driver, to("secondary")).await.unwrap(), output);
    assert_eq!(bind.serial().unwrap(), before + 1);
    let Seen::Name(seen) = driver.observe().await.unwrap() else { panic!() };
    assert_eq!(seen.points_at, Some(site("secondary")));
    assert_eq!(seen.answers[&bind.address().to_string()], ["10.2.0.3"]);
}

#[tokio::test]
async fn twice_at_once_is_one_change_by_tcp_and_udp() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let bind = bind();
        let driver = Arc::new(driver(bench::with(settings(&bind), |s| s.transport = transport)));
        let before = bind.serial().unwrap();
        let many: Vec<_> = (0..8)
            .map(|_| {
                let driver = driver.clone();
                tokio::spawn(async move { point(&*driver, to("secondary")).await })
            })
            .collect();
        for one in many {
            one.await.unwrap().unwrap();
        }
        assert_eq!(bind.serial().unwrap(), before + 1, "{transport:?}");
    }
}

#[tokio::test]
async fn what_somebody_undid_is_done_again_and_what_he_wrote_is_his() {
    let bind = bind();
    let driver = driver(settings(&bind));
    point(&driver, to("secondary")).await.unwrap();
    bind.update(&format!("update delete {NAME} A\nupdate add {NAME} 60 A 10.1.0.3")).unwrap();
    assert!(matches!(driver.look(Action::Point, &to("secondary")).await, Look::NotInEffect(_)));
    point(&driver, to("secondary")).await.unwrap();

    // An address of no site, two at once, and none at all.
    for (lines, found) in [
        ("update add NAME 60 A 192.0.2.7", "192.0.2.7"),
        ("update add NAME 60 A 192.0.2.7\nupdate add NAME 60 A 10.1.0.3", "10.1.0.3, 192.0.2.7"),
        ("", "no address"),
    ] {
        bind.update(&format!("update delete {NAME} A\n{}", lines.replace("NAME", NAME))).unwrap();
        let serial = bind.serial().unwrap();
        let (code, detail) = not_done(point(&driver, to("secondary")).await);
        assert_eq!(code, Code::Precondition);
        assert!(detail.contains(found), "{detail}");
        assert_eq!(bind.serial().unwrap(), serial);
    }
}

#[tokio::test]
async fn a_lost_or_tampered_answer_is_looked_up_and_never_repeated() {
    for transport in [Transport::Tcp, Transport::Udp] {
        for fate in [Fate::LoseAnswer, Fate::Tamper] {
            let bind = bind();
            let wire = Wire::to(bind.address()).await;
            let driver = driver(with(settings_by(&bind, wire.at), |s| s.transport = transport));
            let before = bind.serial().unwrap();
            wire.next(fate);
            point(&driver, to("secondary")).await.unwrap();
            assert_eq!(bind.serial().unwrap(), before + 1);
        }
    }
}

#[tokio::test]
async fn a_lost_request_is_not_done_and_may_be_asked_again() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let bind = bind();
        let wire = Wire::to(bind.address()).await;
        let driver = driver(with(settings_by(&bind, wire.at), |s| s.transport = transport));
        wire.next(Fate::LoseRequest);
        let (code, detail) = not_done(point(&driver, to("secondary")).await);
        assert_eq!(code, Code::Failed, "{detail}");
        assert!(detail.contains("10.1.0.3"), "{detail}");
        assert_eq!(bind.lookup(NAME).unwrap(), [ip("10.1.0.3")]);
        point(&driver, to("secondary")).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_in_the_middle_leaves_doubt() {
    let bind = bind();
    let wire = Wire::to(bind.address()).await;
    let driver = driver(settings_by(&bind, wire.at));
    wire.next(Fate::Cut);
    let (code, _) = unknown(driver.act(&act_within(Action::Point, to("secondary"), WITHIN)).await);
    assert_eq!(code, Code::Unreachable);
    // It had been done.
    assert_eq!(bind.lookup(NAME).unwrap(), [ip("10.2.0.3")]);
}

const WITHIN: Duration = Duration::from_secs(3);

#[tokio::test]
async fn whoever_was_quicker_is_not_overwritten() {
    let bind = Arc::new(bind());
    let wire = Wire::to(bind.address()).await;
    let driver = driver(settings_by(&bind, wire.at));
    let other = bind.clone();
    wire.next(Fate::After(Box::new(move || {
        other.update(&format!("update delete {NAME} A\nupdate add {NAME} 60 A 192.0.2.7")).unwrap();
    })));
    let (code, detail) = not_done(point(&driver, to("secondary")).await);
    assert_eq!(code, Code::Precondition);
    assert!(detail.contains("192.0.2.7"), "{detail}");
    assert_eq!(bind.lookup(NAME).unwrap(), [ip("192.0.2.7")]);
}

#[tokio::test]
async fn addresses_of_both_kinds_and_several() {
    let bind = bind();
    let driver = driver(settings(&bind));
    let before = bind.serial().unwrap();
    for (n, (to_site, expected)) in [
        ("third", vec!["10.4.0.3", "10.4.0.4", "fd00::3"]),
        ("secondary", vec!["10.2.0.3"]),
        ("third", vec!["10.4.0.3", "10.4.0.4", "fd00::3"]),
    ]
    .into_iter()
    .enumerate()
    {
        point(&driver, to(to_site)).await.unwrap();
        let expected: Vec<_> = expected.into_iter().map(ip).collect();
        assert_eq!(bind.lookup(NAME).unwrap(), expected);
        assert_eq!(bind.serial().unwrap(), before + 1 + u32::try_from(n).unwrap());
    }
}

#[tokio::test]
async fn over_ipv6() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut options = options("::1");
        options.records[0].address = ip("fd00:1::3");
        let bind = Bind::start(options).unwrap();
        let driver = driver(with(settings(&bind), |s| {
            s.transport = transport;
            s.addresses = BTreeMap::from([
                (site("main"), vec![ip("fd00:1::3")]),
                (site("secondary"), vec![ip("fd00:2::3")]),
            ]);
        }));
        point(&driver, to("secondary")).await.unwrap();
        assert_eq!(bind.lookup(NAME).unwrap(), [ip("fd00:2::3")]);
        bind.freeze().unwrap();
        let (code, _) = not_done(point(&driver, to("main")).await);
        assert_eq!(code, Code::Unreachable);
        bind.thaw();
    }
}

#[tokio::test]
async fn a_wrong_key_names_both_causes_and_changes_nothing() {
    let bind = bind();
    let before = bind.serial().unwrap();
    let refused = async |key: Key| {
        let driver = driver(with(settings(&bind), |s| s.tsig = key));
        not_done(point(&driver, to("secondary")).await)
    };
    let (code, detail) = refused(Key::new(bind.key_name(), "hmac-sha256", "d3Jvbmc=").unwrap()).await;
    assert_eq!(code, Code::Refused);
    assert!(detail.contains("secret differs") && detail.contains("clocks differ"), "{detail}");
    let (code, detail) = refused(Key::new("another", "hmac-sha256", "d3Jvbmc=").unwrap()).await;
    assert_eq!(code, Code::Refused);
    assert!(detail.contains("does not know key `another`"), "{detail}");
    assert_eq!(bind.serial().unwrap(), before);
}

#[tokio::test]
async fn a_key_that_changed_on_disk_signs_the_next_update() {
    let bind = bind();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tsig.key");
    let write = |secret: &str| {
        let name = bind.key_name();
        let text = format!("key \"{name}\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n");
        std::fs::write(&file, text).unwrap();
    };
    write("d3Jvbmc=");
    let driver = driver(with(settings(&bind), |s| s.tsig = Key::from_file(&file).unwrap()));
    assert_eq!(not_done(point(&driver, to("secondary")).await).0, Code::Refused);
    write(bind.key_secret_base64());
    point(&driver, to("secondary")).await.unwrap();
    // One that cannot be read any more is gone on with as it was.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(not_done(point(&driver, to("main")).await).0, Code::Refused);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code() {
    let bind = bind();
    // A name of no zone of this server's, by a zone that is set.
    let driver = driver(with(settings(&bind), |s| s.zone = Some("example.net".into())));
    let (code, detail) = not_done(point(&driver, to("secondary")).await);
    assert_eq!(code, Code::Refused);
    assert!(detail.contains("NOTAUTH") || detail.contains("NOTZONE"), "{detail}");
}

#[tokio::test]
async fn every_server_outside_lost_sites_and_the_others_are_owed() {
    let (first, second) = Bind::start_pair(options("127.0.0.1"), ip("127.0.0.1")).unwrap();
    let by_site = BTreeMap::from([
        (site("witness"), vec![Server(first.address())]),
        (site("main"), vec![Server(second.address())]),
    ]);
    let driver = driver(with(settings(&first), |s| s.verify = by_site));
    point(&driver, to("secondary")).await.unwrap();
    assert_eq!(second.lookup(NAME).unwrap(), [ip("10.2.0.3")]);

    second.freeze().unwrap();
    let (code, detail) = unknown(driver.act(&act_within(Action::Point, to("third"), WITHIN)).await);
    assert_eq!(code, Code::Unreachable);
    assert!(detail.contains(&second.address().to_string()), "{detail}");
    assert!(matches!(driver.look(Action::Point, &to("third")).await, Look::CannotTell(_)));

    let lost = json!({ "name": NAME, "to": "third", "lost": ["main"] });
    let output = point(&driver, lost.clone()).await.unwrap();
    assert_eq!(output["owed"], json!([second.address().to_string()]));
    // It comes back, follows, and is owed no longer.
    second.thaw();
    let look = async || driver.look(Action::Point, &lost).await;
    lab_until(async || matches!(look().await, Look::InEffect(output) if output["owed"] == json!([]))).await;
}

#[tokio::test]
async fn what_cannot_be_carried_out_is_refused_beforehand() {
    let bind = bind();
    let driver = driver(with(settings(&bind), |s| s.name = Some(NAME.to_uppercase())));
    for (args, code) in [
        (json!({ "to": "nowhere" }), Code::BadConfiguration),
        (json!({ "name": NAME }), Code::Malformed),
        (json!({ "name": "cfg-b.example.test", "to": "main" }), Code::Precondition),
        (json!({ "to": "main", "lost": ["witness"] }), Code::Precondition),
    ] {
        assert_eq!(driver.check(Action::Point, &args).await.unwrap_err().code, code, "{args}");
        assert_eq!(not_done(point(&driver, args).await).0, code);
    }
    driver.check(Action::Point, &json!({ "to": "main" })).await.unwrap();
    assert_eq!(bind.serial().unwrap(), 1);
}

#[tokio::test]
async fn nothing_listens() {
    let mut bind = bind();
    bind.kill().unwrap();
    let driver = driver(settings(&bind));
    assert_eq!(not_done(point(&driver, to("secondary")).await).0, Code::Unreachable);
    assert!(matches!(driver.look(Action::Point, &to("secondary")).await, Look::CannotTell(_)));
    // Nobody there has anything of ours in hand.
    driver.end_earlier(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test]
async fn an_update_of_an_earlier_life_is_awaited() {
    let bind = Arc::new(bind());
    let wire = Wire::to(bind.address()).await;
    let folder = tempfile::TempDir::new().unwrap();
    let memo = Some(folder.path().join("memo"));
    let first_life = driver(with(settings_by(&bind, wire.at), |s| s.memo = memo.clone()));
    let frozen = Arc::new(tokio::sync::Notify::new());
    let (server, told) = (bind.clone(), frozen.clone());
    // The server has the update in hand when it freezes, and the service dies.
    wire.next(Fate::After(Box::new(move || {
        server.freeze().unwrap();
        told.notify_one();
    })));
    tokio::select! {
        ended = point(&first_life, to("secondary")) => panic!("{ended:?}"),
        () = frozen.notified() => {}
    }
    drop(first_life);

    let second_life = driver(with(settings(&bind), |s| s.memo = memo));
    let unended = second_life.end_earlier(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(unended.problem().code, Code::InDoubt);
    bind.thaw();
    second_life.end_earlier(Duration::from_secs(5)).await.unwrap();
    // From here on nothing changes any more by itself.
    let settled = second_life.look(Action::Point, &to("secondary")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(second_life.look(Action::Point, &to("secondary")).await, settled);
    point(&second_life, to("secondary")).await.unwrap();
    assert_eq!(bind.serial().unwrap(), 2);
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_no_target() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (got, from) = server.recv_from(&mut buffer).await.unwrap();
            let mut answer = buffer[..got].to_vec();
            answer[2] |= 0x80; // An answer, without authority and without records.
            server.send_to(&answer, from).await.unwrap();
            server.send_to(b"noise", from).await.unwrap();
        }
    });
    let bind = bind();
    let verify = BTreeMap::from([(site("witness"), vec![Server(at)])]);
    let driver = driver(with(settings(&bind), |s| s.verify = verify));
    let Look::CannotTell(why) = driver.look(Action::Point, &to("main")).await else { panic!() };
    assert!(why.contains("no authority"), "{why}");
}

#[tokio::test]
async fn a_look_says_at_which_sites_its_servers_stand() {
    let bind = bind();
    // Nobody is asked there: a look asks those at which a change is verified.
    let (here, there) = (Server(bind.address()), "127.0.0.2".parse::<Server>().unwrap());
    for (update, verify, at) in [
        (vec![here], vec![(site("main"), vec![here])], json!([["main"], ["main"]])),
        (
            vec![here],
            vec![(site("main"), vec![here]), (site("witness"), vec![])],
            json!([["main"], ["main"]]),
        ),
        (
            vec![here, there],
            vec![(site("main"), vec![here]), (site("secondary"), vec![here])],
            json!([["main", null], ["main", "secondary"]]),
        ),
    ] {
        let settings = with(settings(&bind), |s| {
            s.update = update;
            s.verify = verify.into_iter().collect();
            s.name = Some(NAME.into());
        });
        let Seen::Name(seen) = driver(settings).observe().await.unwrap() else { panic!() };
        assert_eq!(json!([seen.detail["updateAt"], seen.detail["verifyAt"]]), at);
    }
}

#[tokio::test]
async fn a_preflight_changes_nothing_and_tells_a_server_that_hangs_from_a_key_that_is_refused() {
    let bind = bind();
    let before = bind.serial().unwrap();
    let named = |settings: dns::rfc2136::Settings| with(settings, |s| s.name = Some(NAME.into()));
    let level = async |settings| {
        let lines = driver(named(settings)).preflight().await;
        let line = lines.iter().find(|line| line.what == "update").unwrap();
        (line.level, line.text.clone())
    };
    let (good, text) = level(settings(&bind)).await;
    assert_eq!(good, Level::Green, "{text}");

    // It takes connections and packets, and never answers; it comes first.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let _packets = std::net::UdpSocket::bind(address).unwrap();
    let (one, text) = level(with(settings(&bind), |s| s.update.insert(0, Server(address)))).await;
    assert_eq!(one, Level::Amber, "{text}");
    let (none, text) = level(with(settings(&bind), |s| s.update = vec![Server(address)])).await;
    assert_eq!(none, Level::Red, "{text}");
    assert_eq!(bind.serial().unwrap(), before);
}

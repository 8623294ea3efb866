//! A name server, a driver, and a wire between them that can lose what it carries.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::allow_attributes, reason = "which part differs by test file")]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dns::rfc2136::{Rfc2136, Settings, Transport};
use dns::{Key, Server};
use lab::bind::{Bind, BindOptions, Record};
use responder::{Act, Driver, DriverError};
use schemas::{Action, Attempt, Code, Epoch, GroupId, Key as StepKey, SiteId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

pub(crate) const NAME: &str = "cfg-a.example.test";

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Main, secondary, and a third one with an IPv6 address.
pub(crate) fn addresses() -> BTreeMap<SiteId, Vec<IpAddr>> {
    BTreeMap::from([
        (site("main"), vec![ip("10.1.0.3")]),
        (site("secondary"), vec![ip("10.2.0.3")]),
        (site("third"), vec![ip("fd00::3"), ip("10.4.0.3"), ip("10.4.0.4")]),
    ])
}

pub(crate) fn options(address: &str) -> BindOptions {
    BindOptions {
        address: ip(address),
        records: vec![Record { name: NAME.into(), ttl: 60, address: ip("10.1.0.3") }],
        ..BindOptions::default()
    }
}

pub(crate) fn bind() -> Bind {
    Bind::start(options("127.0.0.1")).unwrap()
}

pub(crate) fn key(bind: &Bind) -> Key {
    Key::new(bind.key_name(), "hmac-sha256", bind.key_secret_base64()).unwrap()
}

pub(crate) fn settings(bind: &Bind) -> Settings {
    settings_by(bind, bind.address())
}

/// A driver that reaches the server at another address: through a wire.
pub(crate) fn settings_by(bind: &Bind, at: SocketAddr) -> Settings {
    Settings {
        update: vec![Server(at)],
        tsig: key(bind),
        ttl: Duration::from_secs(5),
        addresses: addresses(),
        verify: BTreeMap::from([(site("witness"), vec![Server(bind.address())])]),
        zone: None,
        name: None,
        transport: Transport::Tcp,
        answer_within: Some(Duration::from_millis(500)),
        memo: None,
    }
}

pub(crate) fn driver(settings: Settings) -> Rfc2136 {
    Rfc2136::new(settings).unwrap()
}

pub(crate) fn to(name: &str) -> Value {
    json!({ "name": NAME, "to": name })
}

pub(crate) fn act(action: Action, args: Value) -> Act {
    act_within(action, args, Duration::from_secs(10))
}

pub(crate) fn act_within(action: Action, args: Value, within: Duration) -> Act {
    let key: StepKey = "01890a5d-ac96-774b-bcce-b302099a8057:/do/0".parse().unwrap();
    Act {
        action,
        args,
        group: GroupId::new("cfg").unwrap(),
        epoch: Epoch(3),
        run: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        key,
        attempt: Attempt::FIRST,
        within,
        not_after: None,
    }
}

pub(crate) async fn point(driver: &impl Driver, args: Value) -> Result<Value, DriverError> {
    driver.act(&act(Action::Point, args)).await
}

pub(crate) fn not_done(result: Result<Value, DriverError>) -> (Code, String) {
    match result {
        Err(DriverError::NotDone { code, detail }) => (code, detail),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn unknown(result: Result<Value, DriverError>) -> (Code, String) {
    match result {
        Err(DriverError::Unknown { code, detail }) => (code, detail),
        other => panic!("{other:?}"),
    }
}

/// What the wire does with one update.
pub(crate) enum Fate {
    /// The server gets it; its answer is lost.
    LoseAnswer,
    /// The server never gets it.
    LoseRequest,
    /// One byte of the answer is another.
    Tamper,
    /// Something happens first; then it is carried.
    After(Box<dyn FnOnce() + Send>),
    /// It and everything else is swallowed from now on.
    Cut,
}

/// Carries questions and updates to a server; each update meets the next fate, or passes.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) at: SocketAddr,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    cut: Arc<Mutex<bool>>,
    server: SocketAddr,
}

impl Wire {
    pub(crate) async fn to(server: SocketAddr) -> Wire {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(at).await.unwrap();
        let wire = Wire { at, fates: Arc::default(), cut: Arc::default(), server };
        tokio::spawn(wire.clone().carry_tcp(tcp));
        tokio::spawn(wire.clone().carry_udp(udp));
        wire
    }

    pub(crate) fn next(&self, fate: Fate) {
        self.fates.lock().unwrap().push_back(fate);
    }

    async fn carry_udp(self, socket: UdpSocket) {
        let mut buffer = [0; 4096];
        loop {
            let (got, from) = socket.recv_from(&mut buffer).await.unwrap();
            if let Some(answer) = self.pass(&buffer[..got]).await {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    }

    async fn carry_tcp(self, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let wire = self.clone();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut request = vec![0; usize::from(length)];
                    if stream.read_exact(&mut request).await.is_err() {
                        return;
                    }
                    if let Some(answer) = wire.pass(&request).await {
                        let _ = stream.write_u16(u16::try_from(answer.len()).unwrap()).await;
                        let _ = stream.write_all(&answer).await;
                    }
                }
            });
        }
    }

    async fn pass(&self, request: &[u8]) -> Option<Vec<u8>> {
        let update = request[2] >> 3 & 15 == 5;
        let fate = if update { self.fates.lock().unwrap().pop_front() } else { None };
        match fate {
            Some(Fate::LoseRequest) => None,
            Some(Fate::LoseAnswer) => {
                self.ask(request).await;
                None
            }
            Some(Fate::Tamper) => {
                let mut answer = self.ask(request).await?;
                // Within the MAC, which stands near the end.
                let at = answer.len() - 20;
                answer[at] ^= 1;
                Some(answer)
            }
            Some(Fate::After(first)) => {
                tokio::task::spawn_blocking(first).await.unwrap();
                self.ask(request).await
            }
            Some(Fate::Cut) => {
                self.ask(request).await;
                *self.cut.lock().unwrap() = true;
                None
            }
            None if *self.cut.lock().unwrap() => None,
            None => self.ask(request).await,
        }
    }

    async fn ask(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut server = TcpStream::connect(self.server).await.ok()?;
        server.write_u16(u16::try_from(request.len()).unwrap()).await.ok()?;
        server.write_all(request).await.ok()?;
        let length = server.read_u16().await.ok()?;
        let mut answer = vec![0; usize::from(length)];
        server.read_exact(&mut answer).await.ok()?;
        Some(answer)
    }
}

pub(crate) fn with(mut settings: Settings, change: impl FnOnce(&mut Settings)) -> Settings {
    change(&mut settings);
    settings
}

/// Waits for a condition, at most 20 s.
pub(crate) async fn lab_until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

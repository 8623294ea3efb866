//! A wire to a name server, which keeps an update or its answer until it is let go.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What happens to the next update that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It is carried.
    Nothing,
    /// It does not get to the server; when let go it is dropped if its sender is gone.
    Update,
    /// The server has it, and its answer does not come back.
    Answer,
}

#[derive(Debug)]
struct State {
    keep: Keep,
    kept: bool,
    /// Updates that the server was given.
    given: u64,
}

/// The wire; questions pass always.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    at: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Wire {
    pub(crate) fn to(server: SocketAddr) -> Wire {
        let both = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let questions = UdpSocket::bind(listener.local_addr().unwrap()).ok()?;
            Some((listener, questions))
        };
        let (listener, questions) = (0..100).find_map(|_| both()).unwrap();
        std::thread::spawn(move || ask(&questions, server));
        let state = State { keep: Keep::Nothing, kept: false, given: 0 };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let wire = Wire { at: listener.local_addr().unwrap(), state };
        let carried = wire.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let carried = carried.clone();
                // Whoever goes away ends his own connection only.
                std::thread::spawn(move || carried.carry(client, server));
            }
        });
        wire
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.at
    }

    /// Keeps the next update; dropped, it is let go.
    pub(crate) fn keep(&self, what: Keep) -> Kept {
        let mut state = self.state.0.lock().unwrap();
        (state.keep, state.kept) = (what, false);
        Kept { wire: self.clone() }
    }

    /// Lets go now, and waits until the server has what was kept.
    pub(crate) fn give(&self) {
        let mut state = self.state.0.lock().unwrap();
        let before = state.given;
        state.keep = Keep::Nothing;
        self.state.1.notify_all();
        drop(self.state.1.wait_while(state, |state| state.given == before).unwrap());
    }

    /// Whether one is kept now.
    pub(crate) fn kept(&self) -> bool {
        self.state.0.lock().unwrap().kept
    }

    /// Takes this update if one is to be kept so, and waits until it is let go.
    fn pass(&self, at: Keep) {
        let mut state = self.state.0.lock().unwrap();
        if state.keep == at && !state.kept {
            state.kept = true;
            drop(self.state.1.wait_while(state, |state| state.keep != Keep::Nothing).unwrap());
        }
    }

    fn carry(&self, mut client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
        let mut server = TcpStream::connect(server)?;
        loop {
            let message = read(&mut client)?;
            let change = is_change(&message);
            if change {
                self.pass(Keep::Update);
                if gone(&client) {
                    return server.shutdown(Shutdown::Both);
                }
            }
            write(&mut server, &message)?;
            if change {
                self.state.0.lock().unwrap().given += 1;
                self.state.1.notify_all();
            }
            let answer = read(&mut server)?;
            if change {
                self.pass(Keep::Answer);
            }
            write(&mut client, &answer)?;
        }
    }
}

/// Lets go when it is dropped.
pub(crate) struct Kept {
    wire: Wire,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.wire.state.0.lock().unwrap().keep = Keep::Nothing;
        self.wire.state.1.notify_all();
    }
}

/// An update (operation code 5) with something in its update section (RFC 2136, section 2.2).
fn is_change(message: &[u8]) -> bool {
    let count = |at: usize| message.get(at..at + 2).is_some_and(|count| count != [0, 0]);
    message.get(2).is_some_and(|flags| (flags >> 3) & 0xf == 5) && count(8)
}

/// Carries questions by UDP, one after the other.
fn ask(questions: &UdpSocket, server: SocketAddr) {
    let mut bytes = [0; 4096];
    while let Ok((length, from)) = questions.recv_from(&mut bytes) {
        let asked = UdpSocket::bind("127.0.0.1:0").unwrap();
        asked.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        asked.send_to(&bytes[..length], server).unwrap();
        if let Ok(length) = asked.recv(&mut bytes) {
            let _ = questions.send_to(&bytes[..length], from);
        }
    }
}

/// Whether the other end is closed.
fn gone(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let gone = match stream.peek(&mut [0]) {
        Ok(got) => got == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).unwrap();
    gone
}

fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn write(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], message].concat())
}

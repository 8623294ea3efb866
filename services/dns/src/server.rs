//! Where a DNS server listens.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The port where none is written.
const PORT: u16 = 53;

/// A DNS server by address: `10.3.0.53`, `10.3.0.53:5353`, `fd00::53` or `[fd00::53]:5353`. Never by name:
/// who changes names does not depend on one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Server(pub SocketAddr);

/// The text is no address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not the address of a DNS server, such as 10.3.0.53, 10.3.0.53:5353 or [fd00::53]:5353")]
pub struct BadServer(pub String);

impl FromStr for Server {
    type Err = BadServer;
    fn from_str(text: &str) -> Result<Server, BadServer> {
        let whole = text.parse::<SocketAddr>();
        whole
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)))
            .map(Server)
            .map_err(|_| BadServer(text.to_owned()))
    }
}

impl TryFrom<String> for Server {
    type Error = BadServer;
    fn try_from(text: String) -> Result<Server, BadServer> {
        text.parse()
    }
}

impl From<Server> for String {
    fn from(server: Server) -> String {
        server.to_string()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == PORT { write!(f, "{}", self.0.ip()) } else { write!(f, "{}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        for (text, shown) in [
            ("10.3.0.53", "10.3.0.53"),
            ("10.3.0.53:53", "10.3.0.53"),
            ("10.3.0.53:5353", "10.3.0.53:5353"),
            ("fd00::53", "fd00::53"),
            ("[fd00::53]:5353", "[fd00::53]:5353"),
        ] {
            assert_eq!(text.parse::<Server>().map(|s| s.to_string()), Ok(shown.to_owned()));
        }
        for text in ["", "ns.example.net", "10.3.0", "10.3.0.53:", "fd00::53:5353:x"] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }
}

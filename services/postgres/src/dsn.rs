//! A connection string as libpq takes it, and the parts of it that we do ourselves.
//!
//! The same file serves us and, for a peer, the server's own libpq. Our driver knows three `sslmode`s and no
//! certificates, so these keys are taken out first.

use std::path::{Path, PathBuf};

use tokio_postgres::Config;

use crate::error::PgError;

const SIZE_MAX: u64 = 16 * 1024;

/// How a session is protected; libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    /// TLS or not, any certificate (`disable`, `allow`, `prefer`, `require` without a root certificate).
    Nothing,
    /// The certificate is signed by the root.
    Chain,
    /// And it names the host.
    Full,
}

/// A parsed connection string.
#[derive(Clone)]
pub(crate) struct Dsn {
    pub(crate) config: Config,
    /// As it stands in the file: for `CREATE SUBSCRIPTION … CONNECTION`.
    pub(crate) text: String,
    pub(crate) verify: Verify,
    pub(crate) root: Option<PathBuf>,
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
}

/// libpq's keys that mean nothing to us.
const SKIPPED: &[&str] = &[
    "gssencmode",
    "krbsrvname",
    "gsslib",
    "sslcompression",
    "sslsni",
    "fallback_application_name",
    "client_encoding",
    "replication",
];

/// Reads and parses the file.
pub(crate) fn read(path: &Path) -> Result<Dsn, PgError> {
    use std::io::Read as _;
    let file_error = |source| PgError::File { path: path.into(), source };
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SIZE_MAX).read_to_string(&mut text))
        .map_err(file_error)?;
    parse(text.trim()).map_err(|why| PgError::Dsn { path: path.into(), why })
}

/// The database that the connection string in this file names; none where it cannot be read, or names none.
#[must_use]
pub fn database_of(path: &Path) -> Option<String> {
    read(path).ok()?.config.get_dbname().map(str::to_owned)
}

/// Parses a connection string; the error never repeats it.
pub(crate) fn parse(text: &str) -> Result<Dsn, String> {
    let url = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let pairs = if url { url_pairs(text)? } else { word_pairs(text)? };
    let (mut mode, mut root, mut cert, mut key) = ("prefer".to_owned(), None, None, None);
    let mut kept = Vec::new();
    for (name, value) in pairs {
        match name.as_str() {
            "sslmode" => mode = value,
            "sslrootcert" => root = Some(PathBuf::from(value)),
            "sslcert" => cert = Some(PathBuf::from(value)),
            "sslkey" => key = Some(PathBuf::from(value)),
            name if SKIPPED.contains(&name) => {}
            _ => kept.push((name, value)),
        }
    }
    let (ours, verify) = match (mode.as_str(), &root) {
        ("disable", _) => ("disable", Verify::Nothing),
        ("allow" | "prefer", _) => ("prefer", Verify::Nothing),
        ("require", None) => ("require", Verify::Nothing),
        ("require" | "verify-ca", Some(_)) => ("require", Verify::Chain),
        ("verify-full", Some(_)) => ("require", Verify::Full),
        ("verify-ca" | "verify-full", None) => {
            return Err("sslmode verifies, but sslrootcert is missing".into());
        }
        (other, _) => return Err(format!("`{other}` is no sslmode")),
    };
    let mut rest = match url {
        true => text.split('?').next().unwrap_or_default().to_owned(),
        false => String::new(),
    };
    kept.push(("sslmode".into(), ours.into()));
    for (at, (name, value)) in kept.iter().enumerate() {
        match (url, at) {
            (true, 0) => rest += &format!("?{name}={}", percent(value)),
            (true, _) => rest += &format!("&{name}={}", percent(value)),
            (false, _) => {
                rest += &format!(" {name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
            }
        }
    }
    // The parser's own sentence names the key, never the value.
    let config: Config =
        rest.parse().map_err(|e: tokio_postgres::Error| match std::error::Error::source(&e) {
            Some(source) => source.to_string(),
            None => "it does not parse".to_owned(),
        })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("it names no host".into());
    }
    Ok(Dsn { config, text: text.into(), verify, root, certificate: cert.zip(key) })
}

fn url_pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let Some((_, query)) = text.split_once('?') else { return Ok(Vec::new()) };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or("a parameter has no value")?;
            Ok((unpercent(name)?, unpercent(value)?))
        })
        .collect()
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}

fn unpercent(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'%' {
            let hex = text.get(at + 1..at + 3).ok_or("a percent sign stands alone")?;
            out.push(u8::from_str_radix(hex, 16).map_err(|_| "a percent sign stands alone")?);
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    String::from_utf8(out).map_err(|_| "a parameter is not UTF-8".into())
}

/// `name = value` or `name = 'val\'ue'`, separated by spaces (libpq's keyword form).
fn word_pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once('=').ok_or("a word has no value")?;
        let (value, tail) = word(tail.trim_start())?;
        pairs.push((name.trim().to_owned(), value));
        rest = tail.trim_start();
    }
    Ok(pairs)
}

fn word(text: &str) -> Result<(String, &str), String> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next().ok_or("a backslash stands alone")?.1),
            '\'' if quoted => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            c if !quoted && c.is_whitespace() => return Ok((value, text.get(at..).unwrap_or_default())),
            c => value.push(c),
        }
    }
    if quoted { Err("a quote is not closed".into()) } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{Verify, parse};
    use tokio_postgres::config::SslMode;

    #[test]
    fn takes_both_forms() {
        for text in [
            "host=db.example port=5433 user=p password='a b\\'c' dbname=config gssencmode=disable",
            "postgresql://p:a%20b%27c@db.example:5433/config?gssencmode=disable",
        ] {
            let dsn = parse(text).unwrap();
            assert_eq!(dsn.config.get_password(), Some(b"a b'c".as_slice()), "{text}");
            assert_eq!(dsn.config.get_ports(), [5433]);
            assert_eq!(dsn.config.get_dbname(), Some("config"));
            assert_eq!(dsn.config.get_ssl_mode(), SslMode::Prefer);
            assert_eq!(dsn.text, text);
        }
    }

    #[test]
    fn takes_the_certificates_out() {
        for text in [
            "host=a sslmode=verify-full sslrootcert=/a/r.pem sslcert=/c sslkey=/k",
            "postgres://a/?sslmode=verify-full&sslrootcert=%2Fa%2Fr.pem&sslcert=/c&sslkey=/k",
        ] {
            let dsn = parse(text).unwrap();
            assert_eq!(dsn.verify, Verify::Full);
            assert_eq!(dsn.root.unwrap().to_str(), Some("/a/r.pem"));
            assert_eq!(dsn.config.get_ssl_mode(), SslMode::Require);
            assert!(dsn.certificate.is_some());
        }
        assert_eq!(parse("host=a sslmode=require sslrootcert=/r").unwrap().verify, Verify::Chain);
        assert_eq!(parse("host=a sslmode=disable").unwrap().config.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn says_what_is_wrong_and_keeps_the_password() {
        for text in [
            "host=a sslmode=verify-full password=hunter2",
            "host=a sslmode=never password=hunter2",
            "host=a password='hunter2",
            "host=a port=hunter2",
            "user=a password=hunter2",
            "hunter2",
            "host=a nonsense=hunter2",
        ] {
            let why = parse(text).err().unwrap();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}

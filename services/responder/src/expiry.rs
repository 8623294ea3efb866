//! What ends by a date, looked at by day: passwords of roles, certificates, credentials of the bus.
//!
//! Files are read as they stand on disk; what a connection that is open now was opened with is not seen. An NKey
//! seed has no end.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use schemas::{CheckLine, Level};
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::bounded;

/// What ends sooner than this is said beforehand.
const SOON_DAYS: f64 = 30.0;

/// A file that holds something which ends by a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Certificates by which we are known (PEM): the one that ends first counts.
    Certificate(PathBuf),
    /// Certificates of those whom we trust (PEM): the one that ends last counts, since a file may hold an older one
    /// beside its successor.
    Authority(PathBuf),
    /// Credentials of NATS: a user's JWT beside its seed.
    Nats(PathBuf),
}

/// Something that ends by a date.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    what: String,
    /// Days until then, below zero when it has ended; or why nobody can tell.
    days: Result<f64, String>,
    remedy: String,
}

impl Ending {
    /// A role's password, valid for so many days more.
    #[must_use]
    pub fn password(role: &str, days: f64) -> Ending {
        Ending {
            what: format!("the password of {role}"),
            days: Ok(days),
            remedy: format!("ALTER ROLE {role} VALID UNTIL '…'"),
        }
    }
}

impl Credential {
    /// A certificate and an authority, where there are any.
    #[must_use]
    pub fn pair(certificate: Option<PathBuf>, authority: Option<PathBuf>) -> Vec<Credential> {
        let own = certificate.map(Credential::Certificate);
        own.into_iter().chain(authority.map(Credential::Authority)).collect()
    }

    /// Reads the file; nothing where what it holds never ends.
    fn ending(&self, now: DateTime<Utc>) -> Option<Ending> {
        let (what, file, found) = match self {
            Credential::Certificate(file) => {
                ("certificate", file, certificates(file).map(|all| all.into_iter().min()))
            }
            Credential::Authority(file) => {
                ("authority", file, certificates(file).map(|all| all.into_iter().max()))
            }
            Credential::Nats(file) => ("user JWT", file, expires(file)),
        };
        let found = found.transpose()?;
        let file = file.display();
        Some(Ending {
            what: format!("the {what} in {file}"),
            days: found.map(|ends| (ends - now).num_seconds() as f64 / 86_400.0),
            remedy: format!("renew {file}"),
        })
    }
}

/// What these files hold, beside everything else: a disk may be slow.
pub async fn endings(files: Vec<Credential>) -> Vec<Ending> {
    let read = move || files.iter().filter_map(|file| file.ending(Utc::now())).collect::<Vec<_>>();
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

/// One line on all of them: red where one has ended, amber where one ends within 30 days or nobody can tell.
#[must_use]
pub fn line(what: &str, endings: Vec<Ending>, otherwise: impl Into<String>) -> CheckLine {
    let (mut worst, mut texts, mut remedies) = (Level::Green, Vec::new(), Vec::new());
    for Ending { what, days, remedy } in endings {
        let (level, text) = match days {
            Ok(days) if days < 0.0 => (Level::Red, format!("{what} ended {:.1} days ago", -days)),
            Ok(days) if days < SOON_DAYS => (Level::Amber, format!("{what} ends in {days:.1} days")),
            Ok(_) => continue,
            Err(why) => (Level::Amber, format!("nobody can tell when {what} ends: {why}")),
        };
        worst = worst.max(level);
        texts.push(text);
        remedies.push(remedy);
    }
    let (text, remedy) = (texts.join("; "), remedies.join("; "));
    match worst {
        Level::Green => CheckLine::green(what, otherwise),
        Level::Amber => CheckLine::amber(what, text, remedy),
        Level::Red => CheckLine::red(what, text, remedy),
    }
}

/// The line on the files by which a part is known on the bus; nothing where there are none.
pub async fn of_bus(what: &str, files: Vec<Credential>) -> Option<CheckLine> {
    if files.is_empty() {
        return None;
    }
    Some(line(what, endings(files).await, "what it is known by on the bus is valid"))
}

/// When each certificate of a file ends (RFC 5280, 4.1.2.5). One that cannot be read is passed over.
fn certificates(file: &Path) -> Result<Vec<DateTime<Utc>>, String> {
    let bytes = read(file)?;
    let ends = |der: CertificateDer<'static>| {
        let certificate = Certificate::from_der(der.as_ref()).ok()?;
        let ends = certificate.tbs_certificate.validity.not_after.to_unix_duration();
        DateTime::from_timestamp(i64::try_from(ends.as_secs()).ok()?, 0)
    };
    let all: Vec<DateTime<Utc>> =
        CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).filter_map(ends).collect();
    if all.is_empty() { Err("it holds no certificate that can be read".to_owned()) } else { Ok(all) }
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    exp: Option<i64>,
}

/// When the user's JWT of a credentials file ends (RFC 7519, 4.1.4); nothing where it does not. What is wrong with it is
/// said without a word of it.
fn expires(file: &Path) -> Result<Option<DateTime<Utc>>, String> {
    let bytes = read(file)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().skip_while(|line| !line.contains("BEGIN NATS USER JWT"));
    let token = lines.nth(1).map(str::trim).ok_or("it holds no user JWT")?;
    let claims = token.split('.').nth(1).ok_or("its user JWT has no claims")?;
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| "its user JWT is not base64url")?;
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| "the claims of its user JWT are odd")?;
    match claims.exp {
        None | Some(0) => Ok(None),
        Some(at) => Ok(Some(DateTime::from_timestamp(at, 0).ok_or("its user JWT ends at no date")?)),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    bounded::bytes(file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;

    use chrono::TimeDelta;

    use super::*;

    fn certificate(folder: &Path, days: u32) -> PathBuf {
        let file = folder.join(format!("{days}.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-keyout", "key.pem", "-subj", "/CN=s1db", "-days", &days.to_string(), "-out"])
            .arg(&file)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        file
    }

    fn creds(folder: &Path, claims: &str) -> PathBuf {
        let file = folder.join("bus.creds");
        let token = format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims));
        let begin = "-----BEGIN NATS USER JWT-----";
        let text = format!("{begin}\n{token}\n------END NATS USER JWT------\n\nand the seed\n");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The line on one file, so many days from now.
    fn told(file: Credential, later: i64) -> (Level, String) {
        let ending = file.ending(Utc::now() + TimeDelta::days(later));
        let line = line("bus", ending.into_iter().collect(), "valid");
        assert_eq!(line.remedy.is_some(), line.level != Level::Green);
        (line.level, line.text)
    }

    #[test]
    fn a_certificate_is_said_a_month_before_it_ends_and_red_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let file = certificate(folder.path(), 60);
        for (later, level, words) in [
            (0, Level::Green, "valid"),
            (29, Level::Green, "valid"),
            (31, Level::Amber, "60.pem ends in 29.0 days"),
            (61, Level::Red, "60.pem ended 1.0 days ago"),
        ] {
            let (found, text) = told(Credential::Certificate(file.clone()), later);
            assert!(found == level && text.contains(words), "{later}: {text}");
        }
        // Beyond 2049 its date is written another way.
        assert_eq!(told(Credential::Certificate(certificate(folder.path(), 20_000)), 0).0, Level::Green);
    }

    #[test]
    fn of_a_chain_the_first_that_ends_counts_and_of_authorities_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let text = |days| std::fs::read_to_string(certificate(folder.path(), days)).unwrap();
        let both = folder.path().join("both.pem");
        std::fs::write(&both, format!("the old one\n{}\nthe new one\n{}", text(10), text(90))).unwrap();
        assert_eq!(told(Credential::Certificate(both.clone()), 0).0, Level::Amber);
        assert_eq!(told(Credential::Authority(both.clone()), 0).0, Level::Green);
        assert_eq!(told(Credential::Authority(both), 91).0, Level::Red);
    }

    #[test]
    fn the_credentials_of_the_bus_end_when_their_jwt_says() {
        let folder = tempfile::tempdir().unwrap();
        let at = |days| (Utc::now() + TimeDelta::days(days)).timestamp();
        for (claims, level) in [
            (r#"{"sub":"U"}"#.to_owned(), Level::Green),
            (r#"{"exp":0}"#.to_owned(), Level::Green),
            (format!(r#"{{"exp":{}}}"#, at(40)), Level::Green),
            (format!(r#"{{"exp":{}}}"#, at(5)), Level::Amber),
            (format!(r#"{{"exp":{}}}"#, at(-5)), Level::Red),
            (r#"{"exp":"hunter2"}"#.to_owned(), Level::Amber),
        ] {
            let (found, text) = told(Credential::Nats(creds(folder.path(), &claims)), 0);
            assert_eq!(found, level, "{claims}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let noise = folder.path().join("noise");
        let text = "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&noise, text).unwrap();
        for file in [
            Credential::Certificate("/nowhere/s.pem".into()),
            Credential::Authority(noise.clone()),
            Credential::Nats(noise),
        ] {
            let (level, text) = told(file, 0);
            assert!(level == Level::Amber && text.starts_with("nobody can tell"), "{text}");
        }
    }
}

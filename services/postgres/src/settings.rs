//! Keys of the host's file that both services have.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A secret that stands in a file of its own: `file:config.dsn`. Read anew for each connection, so that
/// credentials reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretFile(PathBuf);

/// Why a setting is not usable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadSetting {
    /// A secret in the file itself.
    #[error("a connection string stands in a file of its own: write `file:PATH`")]
    NotAFile,
    /// Not a duration.
    #[error("`{0}` is not a duration such as 250ms, 20s, 5m, 2h or 1d")]
    Span(String),
}

impl SecretFile {
    /// Its path; a relative one counts from `folder` (that of the host's file).
    #[must_use]
    pub fn under(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

impl TryFrom<String> for SecretFile {
    type Error = BadSetting;
    fn try_from(text: String) -> Result<Self, BadSetting> {
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err(BadSetting::NotAFile),
        }
    }
}

impl From<SecretFile> for String {
    fn from(file: SecretFile) -> String {
        format!("file:{}", file.0.display())
    }
}

/// How the access of the writing roles is taken away and given back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// `NOLOGIN`, and the grants on all tables revoked. `NOLOGIN` is for the whole cluster.
    #[default]
    Login,
    /// `CONNECT` on this database revoked, and the grants on all its tables: for a role that another
    /// database of the same cluster needs.
    Connect,
    /// Membership in the group role through which they write is revoked. Acts at once on open sessions,
    /// covers future tables; the roles may still log in to read. The best where you control the set-up.
    Group(String),
}

/// A duration as operators write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = BadSetting;
    fn from_str(text: &str) -> Result<Self, BadSetting> {
        let bad = || BadSetting::Span(text.into());
        let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(end);
        let unit = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        let millis = number.checked_mul(unit).filter(|m| *m <= 1000 * 86_400_000).ok_or_else(bad)?;
        Ok(Span(Duration::from_millis(millis)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0.as_millis() {
            ms if ms % 1000 == 0 => s.collect_str(&format_args!("{}s", ms / 1000)),
            ms => s.collect_str(&format_args!("{ms}ms")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{Access, SecretFile, Span};
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn durations() {
        for (text, millis) in
            [("250ms", 250), ("20s", 20_000), ("5m", 300_000), ("1d", 86_400_000), ("0s", 0)]
        {
            assert_eq!(text.parse::<Span>().unwrap().0, Duration::from_millis(millis));
        }
        for text in ["", "5", "s", "-1s", "1.5s", "5 m", "99999999999999d", "1001d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_inline() {
        let file: SecretFile = serde_json::from_str(r#""file:a.dsn""#).unwrap();
        assert_eq!(file.under(Path::new("/etc/p")), Path::new("/etc/p/a.dsn"));
        assert_eq!(
            SecretFile::try_from("file:/b".to_owned()).unwrap().under(Path::new("/etc")),
            Path::new("/b")
        );
        let inline = serde_json::from_str::<SecretFile>(r#""host=a password=hunter2""#).unwrap_err();
        assert!(!inline.to_string().contains("hunter2"));
    }

    #[test]
    fn access_is_written_short() {
        for (text, access) in [
            (r#""login""#, Access::Login),
            (r#""connect""#, Access::Connect),
            (r#"{"group":"config_rw"}"#, Access::Group("config_rw".into())),
        ] {
            assert_eq!(serde_json::from_str::<Access>(text).unwrap(), access);
            assert_eq!(serde_json::to_string(&access).unwrap(), text);
        }
    }
}

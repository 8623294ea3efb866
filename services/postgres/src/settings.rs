//! Keys of the host's file that both services have.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{Access, SecretFile};
    use std::path::Path;

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

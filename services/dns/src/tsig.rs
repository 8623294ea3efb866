//! The key that signs updates (TSIG, RFC 8945), from a file as `tsig-keygen` writes it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use domain::base::{Name, ToName};
use domain::tsig::{self, Algorithm, KeyName};
use domain::utils::base64;
use thiserror::Error;

/// Longest key file, in bytes.
const FILE_MAX: usize = 64 * 1024;

/// A key. Its secret is never shown.
#[derive(Clone)]
pub struct Key {
    pub(crate) key: Arc<tsig::Key>,
    name: String,
    file: Option<PathBuf>,
}

/// Why a key cannot be used. Says nothing of its secret.
#[derive(Debug, Error)]
pub enum BadKey {
    /// The file cannot be read.
    #[error("key file {} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not of the known form.
    #[error(
        "this is not a key as tsig-keygen writes it, `key \"NAME\" {{ algorithm hmac-sha256; secret \"…\"; }};`: {0}"
    )]
    Form(&'static str),
    /// The algorithm is not offered.
    #[error("algorithm `{0}` is none of hmac-sha1, hmac-sha256, hmac-sha384, hmac-sha512")]
    Algorithm(String),
}

impl Key {
    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not one.
    pub fn from_file(path: &Path) -> Result<Key, BadKey> {
        let text =
            std::fs::read_to_string(path).map_err(|source| BadKey::File { path: path.to_owned(), source })?;
        Ok(Key { file: Some(path.to_owned()), ..Key::parse(&text)? })
    }

    /// The key as its file says now, so that a changed one needs no new start; the known one where the file
    /// cannot be read.
    pub(crate) fn fresh(&self) -> Key {
        match self.file.as_deref().map(Key::from_file) {
            Some(Ok(key)) => key,
            Some(Err(error)) => {
                tracing::warn!(%error, "the key as it was read before is used");
                self.clone()
            }
            None => self.clone(),
        }
    }

    /// The file that it was read from.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the text of a key file: BIND's `key` statement, comments allowed.
    ///
    /// # Errors
    ///
    /// It is not one.
    pub fn parse(text: &str) -> Result<Key, BadKey> {
        if text.len() > FILE_MAX {
            return Err(BadKey::Form("it is too long"));
        }
        let words = words(text);
        let mut words = words.iter().map(String::as_str);
        if words.next() != Some("key") {
            return Err(BadKey::Form("it does not begin with `key`"));
        }
        let name = words.next().ok_or(BadKey::Form("the name is missing"))?.to_owned();
        if words.next() != Some("{") {
            return Err(BadKey::Form("`{` is missing"));
        }
        let (mut algorithm, mut secret) = (None, None);
        loop {
            match (words.next(), words.next(), words.next()) {
                (Some("algorithm"), Some(value), Some(";")) => algorithm = Some(value.to_owned()),
                (Some("secret"), Some(value), Some(";")) => secret = Some(value.to_owned()),
                (Some("}"), Some(";") | None, None) => break,
                (Some("}"), ..) => return Err(BadKey::Form("something follows the key")),
                _ => return Err(BadKey::Form("only `algorithm` and `secret` are known")),
            }
        }
        let algorithm = algorithm.ok_or(BadKey::Form("the algorithm is missing"))?;
        let secret = secret.ok_or(BadKey::Form("the secret is missing"))?;
        Key::new(&name, &algorithm, &secret)
    }

    /// A key from its parts; the secret is base64.
    ///
    /// # Errors
    ///
    /// Which part is wrong.
    pub fn new(name: &str, algorithm: &str, secret_base64: &str) -> Result<Key, BadKey> {
        let known = Name::<Vec<u8>>::from_str(algorithm)
            .ok()
            .and_then(|name| Algorithm::from_name(&name))
            .ok_or_else(|| BadKey::Algorithm(algorithm.to_owned()))?;
        let secret: Vec<u8> =
            base64::decode(secret_base64).map_err(|_| BadKey::Form("the secret is not base64"))?;
        if secret.is_empty() {
            return Err(BadKey::Form("the secret is empty"));
        }
        let key_name: KeyName = Name::<Vec<u8>>::from_str(name)
            .ok()
            .and_then(|name| name.try_to_name().ok())
            .ok_or(BadKey::Form("the name is no domain name"))?;
        let key = tsig::Key::new(known, &secret, key_name, None, None)
            .map_err(|_| BadKey::Form("the key's length"))?;
        Ok(Key { key: Arc::new(key), name: name.to_owned(), file: None })
    }

    /// Its name, which both sides must know it by.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.name)
    }
}

/// Words, quoted or not, and `{`, `}`, `;` each as a word of its own; comments of `#` and `//` left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        loop {
            rest = rest.trim_start();
            let Some(first) = rest.chars().next() else { break };
            if first == '#' || rest.starts_with("//") {
                break;
            }
            let end = match first {
                '{' | '}' | ';' => {
                    words.push(first.to_string());
                    1
                }
                '"' => {
                    let end = rest[1..].find('"').map_or(rest.len(), |at| at + 1);
                    words.push(rest[1..end].to_owned());
                    (end + 1).min(rest.len())
                }
                _ => {
                    let end = rest.find(|c: char| c.is_whitespace() || "{};\"".contains(c));
                    let end = end.unwrap_or(rest.len());
                    words.push(rest[..end].to_owned());
                    end
                }
            };
            rest = &rest[end..];
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_tsig_keygen_is_read() {
        let text =
            "# made by hand\nkey \"pointsman\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n";
        let key = Key::parse(text).map_err(|e| e.to_string());
        assert_eq!(key.map(|key| format!("{key:?}")), Ok("Key(pointsman)".to_owned()));
        assert!(Key::parse("key k.example. { secret c2VjcmV0; algorithm hmac-sha512; }").is_ok());
    }

    #[test]
    fn a_wrong_file_is_told_without_its_secret() {
        for text in [
            "",
            "hunter2",
            "key",
            "key k",
            "key k { algorithm hmac-sha256; }",
            "key k { secret aHVudGVyMg==; }",
            "key k { algorithm hmac-md5; secret \"aHVudGVyMg==\"; };",
            "key k { algorithm hmac-sha256; secret \"hunter2\"; };",
            "key k { algorithm hmac-sha256; secret \"\"; };",
            "key k { algorithm hmac-sha256; secret \"aHVudGVyMg==\"; }; key l { };",
            "key \"k",
        ] {
            let told = Key::parse(text).map_err(|e| e.to_string());
            let Err(told) = told else { panic!("{text}") };
            assert!(!told.contains("hunter2") && !told.contains("aHVud"), "{told}");
        }
    }
}

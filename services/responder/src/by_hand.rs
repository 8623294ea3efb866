//! Words for a shell: what drivers print for a night on which it must be done by hand.

use std::path::Path;

/// A word for a shell, whatever stands in it.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A path as a word for a shell.
#[must_use]
pub fn path_word(path: &Path) -> String {
    quoted(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_in_a_name_is_taken_as_code() {
        let words = [("/etc/a.dsn", "/etc/a.dsn"), ("a b", "'a b'"), ("a'$(x)", "'a'\\''$(x)'"), ("", "''")];
        for (text, word) in words {
            assert_eq!(super::quoted(text), word);
        }
    }
}

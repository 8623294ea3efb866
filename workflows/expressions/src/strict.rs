//! What counts as an expression: `${ … }`.

/// The expression inside `${ … }`, if the text is one (strict mode: the whole text, white space
/// aside). Anything else is a literal.
pub fn strict(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    Some(inner.trim())
}

/// The expression of a field that is always one (`if`, `when`, `in`, `as`, …): with or without
/// the `${ … }` around it. The conformance kit writes both.
pub fn bare_or_strict(text: &str) -> &str {
    strict(text).unwrap_or_else(|| text.trim())
}

#[cfg(test)]
mod tests {
    use super::{bare_or_strict, strict};

    #[test]
    fn only_the_whole_text_is_an_expression() {
        assert_eq!(strict("${ .a }"), Some(".a"));
        assert_eq!(strict("  ${.a}\n"), Some(".a"));
        assert_eq!(strict("${ {a: 1} }"), Some("{a: 1}"));
        assert_eq!(strict("x ${ .a }"), None);
        assert_eq!(strict("$ { .a }"), None);
        assert_eq!(strict("${ .a"), None);
        assert_eq!(bare_or_strict(" .a "), ".a");
        assert_eq!(bare_or_strict("${ .a }"), ".a");
    }
}

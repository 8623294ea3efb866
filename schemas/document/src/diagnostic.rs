//! What is wrong, and where.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the text.
    pub span: Range<usize>,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable code that `pointsman explain` knows.
    pub code: String,
    /// What is wrong, in a line.
    pub message: String,
    /// The file.
    pub path: String,
    /// Where in the file; `None` when it is about the file as a whole.
    pub place: Option<Place>,
    /// What to do, in a line.
    pub help: Option<String>,
}

impl Diagnostic {
    /// The same with an advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The diagnostic with the lines of the text around it, as a compiler shows them.
    ///
    /// `source` is the text that was read; a span that does not fit it is left out. The
    /// result has no colours and ends without a line break.
    pub fn render(&self, source: &str) -> String {
        let title = Level::ERROR.primary_title(self.message.as_str()).id(self.code.as_str());
        let mut group =
            match self.place.as_ref().and_then(|place| visible(place, source).map(|span| (place, span))) {
                Some((_, span)) => title.element(
                    Snippet::source(source)
                        .path(self.path.as_str())
                        .annotation(AnnotationKind::Primary.span(span)),
                ),
                None => title.element(annotate_snippets::Origin::path(self.path.as_str())),
            };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        Renderer::plain().render(&[group])
    }
}

/// The part of a span on its first line; it marks at least one byte where there is one.
fn visible(place: &Place, source: &str) -> Option<Range<usize>> {
    let start = place.span.start;
    let rest = source.get(start..)?;
    let line_end = start + rest.find(['\n', '\r']).unwrap_or(rest.len());
    let least = start + rest.chars().next().map_or(0, char::len_utf8);
    let end = place.span.end.min(line_end).max(least.min(line_end));
    source.is_char_boundary(end).then_some(start..end)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        if let Some(place) = &self.place {
            write!(f, "{}:{}:", place.line, place.column)?;
        }
        write!(f, " {}: {}", self.code, self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the places; one line each when displayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// `value` when nothing is wrong, otherwise what is wrong, sorted by file and place.
    ///
    /// # Errors
    ///
    /// The diagnostics themselves.
    pub fn or<T>(mut self, value: T) -> Result<T, Self> {
        self.sort();
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Sorts by file and place. What was found twice, such as in a part that is called twice, is there once.
    pub fn sort(&mut self) {
        let start = |d: &Diagnostic| d.place.as_ref().map(|place| place.span.start);
        self.0.sort_by(|a, b| (&a.path, start(a)).cmp(&(&b.path, start(b))));
        let same = |a: &Diagnostic, b: &Diagnostic| {
            (&a.path, start(a), &a.code, &a.message) == (&b.path, start(b), &b.code, &b.message)
        };
        self.0.dedup_by(|a, b| same(a, b));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds those of another check.
    pub fn append(&mut self, mut other: Diagnostics) {
        self.0.append(&mut other.0);
    }

    /// All diagnostics with the lines of the one text that they are about.
    pub fn render(&self, source: &str) -> String {
        let parts: Vec<_> = self.0.iter().map(|d| d.render(source)).collect();
        parts.join("\n\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

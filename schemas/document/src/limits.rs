//! The bounds of a document: whoever writes a file cannot make its reader fall over.

/// The largest text that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 64;

/// The most values of a document, with every alias written out.
pub const MAX_NODES: usize = 100_000;

//! The command `pointsman`.
fn main() {}

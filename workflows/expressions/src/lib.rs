//! jq expressions: checked at load, compiled once, fenced when run.

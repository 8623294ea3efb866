//! The operator's files: host.yaml, groups, defaults.

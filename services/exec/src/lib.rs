//! The operator's scripts, run under a guard.

//! The workflow language: where a run stands and what it wants next. Pure.

//! YAML and JSON documents read strictly, with line and column of everything.

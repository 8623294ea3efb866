//! Starts and stops services, with a health gate.

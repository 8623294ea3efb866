//! Drives PostgreSQL logical replication.

//! What both PostgreSQL services share: bounded connections, SQL, positions.

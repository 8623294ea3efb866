//! Until when the passwords of roles are valid (CREATE ROLE, `VALID UNTIL`).

use std::collections::BTreeMap;

use crate::error::PgError;
use crate::session::Session;

const ENDS: &str = "
SELECT coalesce(jsonb_object_agg(r.rolname::text, extract(epoch FROM r.rolvaliduntil - now()) / 86400), '{}')
FROM pg_roles r
WHERE (r.rolname = session_user OR r.rolname = ANY ($1::text[])) AND isfinite(r.rolvaliduntil)";

/// Days until the passwords of the session's own role and of these end, below zero when they have; roles whose passwords
/// never end are not among them. The server counts, by its own clock.
///
/// # Errors
///
/// Those of a look.
pub async fn passwords(session: &Session, roles: &[String]) -> Result<BTreeMap<String, f64>, PgError> {
    session.json(ENDS, &[&roles]).await
}

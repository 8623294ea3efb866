//! The SQL that a DBA runs once, as superuser, in each database that Pointsman drives.
//!
//! It may be run again, also over an older version: tables are kept, functions replaced, rows of the
//! inputs brought up to date. The run-time role that it makes is no superuser on PostgreSQL 15 and later.

use std::fmt::Write as _;

use schemas::CheckLine;

use crate::error::PgError;
use crate::session::{Session, identifier, literal};
use crate::settings::Access;

const TABLES: &str = include_str!("../sql/tables.sql");
const ACCESS: &str = include_str!("../sql/access.sql");
const REPLICATION: &str = include_str!("../sql/replication.sql");
const COPY: &str = include_str!("../sql/copy.sql");

/// The version of what is printed here: it rises with each change of it, and `pointsman.setup_version()` says it.
pub const VERSION: i32 = 1;

/// Why a database is not set up as this program needs it; nothing where it is, or by a newer one.
///
/// # Errors
///
/// Those of a look.
pub async fn outdated(session: &Session) -> Result<Option<String>, PgError> {
    let sql = "SELECT to_jsonb(to_regprocedure('pointsman.setup_version()') IS NOT NULL)";
    let version: i32 = match session.json::<bool>(sql, &[]).await? {
        true => session.json("SELECT to_jsonb(pointsman.setup_version())", &[]).await?,
        false => 0,
    };
    Ok((version < VERSION)
        .then(|| format!("its set-up is of version {version}, this program's is {VERSION}")))
}

/// The name of the line that says of which version a set-up is; a part that is missing is `setup`.
const LINE: &str = "setup-version";

/// The same as a line of `check`: by night the acts that need a newer one are refused.
pub async fn line(session: &Session) -> CheckLine {
    match outdated(session).await {
        Ok(None) => CheckLine::green(LINE, "its set-up is as new as this program"),
        Ok(Some(why)) => {
            CheckLine::red(LINE, why, "run `pointsman setup postgres --print` in it again, as its superuser")
        }
        Err(error) => {
            CheckLine::red("setup", error.to_string(), format!("pointsman explain {}", error.code()))
        }
    }
}

/// What one database is set up for.
#[derive(Debug, Clone, Default)]
pub struct SetupInput {
    /// The run-time role, made if it is not there (its password is set by hand).
    pub role: String,
    /// The host's site.
    pub site: String,
    /// The database resource.
    pub resource: String,
    /// The database's name, for the comment at the head; `DATABASE` where nobody knows it.
    pub database: String,
    /// The roles that write for the application.
    pub writers: Vec<String>,
    /// How they are closed.
    pub access: Access,
    /// The schemas of the application's tables.
    pub schemas: Vec<String>,
    /// The subscriptions that this database receives by.
    pub receivers: Vec<Receiver>,
    /// The publications that this database sends by; each gets the sentinel.
    pub publications: Vec<String>,
}

/// One receiver half.
#[derive(Debug, Clone, Default)]
pub struct Receiver {
    /// Name of the subscription, here.
    pub subscription: String,
    /// Name of the publication, at the source; empty: as the first that this database sends by.
    pub publication: String,
    /// Name of the slot, at the source.
    pub slot: String,
}

/// The whole script.
#[must_use]
pub fn sql(input: &SetupInput) -> String {
    let mut out = format!(
        "-- Pointsman: set-up of the database {} (resource `{}`) at site `{}`.\n\
         -- Run once as superuser in that database: psql -v ON_ERROR_STOP=1 -d DATABASE -f FILE. May be run again.\n\
         BEGIN;\nSET LOCAL client_min_messages = warning;\nSET LOCAL synchronous_commit = local;\n",
        input.database, input.resource, input.site
    );
    role(&mut out, input);
    for part in [TABLES, ACCESS, REPLICATION, COPY] {
        out.push('\n');
        out.push_str(part);
    }
    let _ = writeln!(
        out,
        "\n-- What `pointsman check` goes by.\n\
         CREATE OR REPLACE FUNCTION pointsman.setup_version() RETURNS int\n\
         LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT {VERSION} $$;\n"
    );
    rows(&mut out, input);
    grants(&mut out, input);
    publications(&mut out, input);
    out.push_str("COMMIT;\n");
    for receiver in &input.receivers {
        let _ = writeln!(
            out,
            "-- A subscription that is older than the sentinel at its source does not have it yet. When the source is\n\
             -- set up too, and it is enabled (this cannot be done in a transaction):\n\
             --   ALTER SUBSCRIPTION {} REFRESH PUBLICATION WITH (copy_data = false);",
            identifier(&receiver.subscription)
        );
    }
    out
}

fn role(out: &mut String, input: &SetupInput) {
    let (name, text) = (identifier(&input.role), literal(&input.role));
    let _ = writeln!(
        out,
        "\n-- The run-time role: sees all sessions, ends those of others (not of superusers), makes slots, reads\n\
         -- sequences. No superuser. Give it a password, or a certificate in pg_hba.conf.\n\
         DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {text}) THEN\n\
         \x20 CREATE ROLE {name}; END IF; END $$;\n\
         ALTER ROLE {name} LOGIN REPLICATION NOSUPERUSER NOCREATEROLE NOCREATEDB INHERIT;\n\
         GRANT pg_signal_backend, pg_read_all_stats TO {name};"
    );
}

fn rows(out: &mut String, input: &SetupInput) {
    let _ = writeln!(
        out,
        "-- Who this database is. An existing row of another name is an error, not overwritten.\n\
         INSERT INTO pointsman.identity (site, resource) VALUES ({site}, {resource}) ON CONFLICT (one) DO NOTHING;\n\
         DO $$ BEGIN IF NOT EXISTS (SELECT FROM pointsman.identity WHERE site = {site} AND resource = {resource})\n\
         \x20 THEN RAISE EXCEPTION 'this database is set up as another one, see pointsman.identity: run what is for it, or DELETE that row if it is a copy of the other'; END IF; END $$;",
        site = literal(&input.site),
        resource = literal(&input.resource)
    );
    let (mode, via) = match &input.access {
        Access::Login => ("login", None),
        Access::Connect => ("connect", None),
        Access::Group(via) => ("group", Some(via)),
    };
    let via = via.map_or("NULL".to_owned(), |via| literal(via));
    let schemas: Vec<String> = input.schemas.iter().map(|s| literal(s)).collect();
    let list = |names: &[String]| names.iter().map(|n| literal(n)).collect::<Vec<_>>().join(", ");
    let gone = |table: &str, column: &str, names: &[String]| match names {
        [] => format!("DELETE FROM pointsman.{table};"),
        names => format!("DELETE FROM pointsman.{table} WHERE {column} NOT IN ({});", list(names)),
    };
    let _ = writeln!(out, "{}", gone("writer", "role", &input.writers));
    for writer in &input.writers {
        let _ = writeln!(
            out,
            "INSERT INTO pointsman.writer (role, mode, via, schemas) VALUES ({}, '{mode}', {via}, ARRAY[{}]::name[])\n\
             \x20 ON CONFLICT (role) DO UPDATE SET mode = excluded.mode, via = excluded.via, schemas = excluded.schemas;",
            literal(writer),
            schemas.join(", ")
        );
    }
    let names: Vec<String> = input.receivers.iter().map(|r| r.subscription.clone()).collect();
    let _ = writeln!(out, "{}", gone("receiver", "subscription", &names));
    let first = input.publications.first().map_or("", String::as_str);
    for receiver in &input.receivers {
        let _ = writeln!(
            out,
            "INSERT INTO pointsman.receiver (subscription, publication, slot) VALUES ({}, {}, {})\n\
             \x20 ON CONFLICT (subscription) DO UPDATE SET publication = excluded.publication, slot = excluded.slot;",
            literal(&receiver.subscription),
            literal(if receiver.publication.is_empty() { first } else { &receiver.publication }),
            literal(&receiver.slot)
        );
    }
}

fn grants(out: &mut String, input: &SetupInput) {
    let role = identifier(&input.role);
    let _ = writeln!(
        out,
        "-- Only the run-time role may call them; each does what its name says for names in the rows above.\n\
         REVOKE ALL ON ALL TABLES IN SCHEMA pointsman FROM PUBLIC;\n\
         REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pointsman FROM PUBLIC;\n\
         -- Who this is, and marks, may be read by all: the other site's service and initial copies need them.\n\
         GRANT USAGE ON SCHEMA pointsman TO PUBLIC;\n\
         GRANT SELECT ON pointsman.identity, pointsman.sentinel TO PUBLIC;\n\
         -- And up to where a stopped subscription has applied: its source's service counts what never came.\n\
         GRANT SELECT (slot, stopped, position) ON pointsman.receiver TO PUBLIC;\n\
         GRANT SELECT ON ALL TABLES IN SCHEMA pointsman TO {role};\n\
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pointsman TO {role};\n\
         DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), {}); END $$;",
        literal(&input.role)
    );
    for writer in &input.writers {
        let _ = writeln!(
            out,
            "-- For ROLLBACK PREPARED of its transactions, which no function can do.\n\
             GRANT {} TO {role};",
            identifier(writer)
        );
    }
    if input.access == Access::Connect {
        let _ = writeln!(
            out,
            "-- Access is taken away by CONNECT: whoever may log in here through PUBLIC now gets a grant of its own.\n\
             DO $$ DECLARE r record; BEGIN\n\
             \x20 IF EXISTS (SELECT FROM pg_database d WHERE d.datname = current_database() AND (d.datacl IS NULL OR EXISTS\n\
             \x20     (SELECT FROM aclexplode(d.datacl) a WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT'))) THEN\n\
             \x20   FOR r IN SELECT rolname FROM pg_roles WHERE rolcanlogin LOOP\n\
             \x20     EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), r.rolname);\n\
             \x20   END LOOP;\n\
             \x20   EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database());\n\
             \x20 END IF;\n\
             END $$;"
        );
    }
}

fn publications(out: &mut String, input: &SetupInput) {
    for publication in &input.publications {
        let _ = writeln!(
            out,
            "-- The sentinel travels with the data; each site sends only its own rows.\n\
             DO $$ BEGIN\n\
             \x20 IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = {name}) THEN\n\
             \x20   RAISE EXCEPTION 'publication % is missing: CREATE PUBLICATION … FOR TABLE … WITH (publish = ''insert, update, delete'')', {name};\n\
             \x20 ELSIF EXISTS (SELECT FROM pg_publication WHERE pubname = {name} AND puballtables) THEN\n\
             \x20   RAISE EXCEPTION 'publication % is FOR ALL TABLES: Pointsman''s own tables must not be replicated', {name};\n\
             \x20 ELSIF NOT EXISTS (SELECT FROM pg_publication_tables WHERE pubname = {name} AND schemaname = 'pointsman') THEN\n\
             \x20   EXECUTE format('ALTER PUBLICATION %I ADD TABLE pointsman.sentinel WHERE (site = %L)', {name}, {site});\n\
             \x20 END IF;\n\
             END $$;",
            name = literal(publication),
            site = literal(&input.site)
        );
    }
}

#[cfg(test)]
mod tests {
    use schemas::Digest;

    use super::{ACCESS, COPY, REPLICATION, TABLES, VERSION};

    /// An older set-up is known by its number alone.
    #[test]
    fn a_changed_script_has_a_new_version() {
        let digest = Digest::of([TABLES, ACCESS, REPLICATION, COPY].concat().as_bytes()).to_string();
        let known = (1, "d9606bd91f9baca093971b6c44f63a45a20d6bb90a705c89f037b572fe63f591");
        assert_eq!((VERSION, digest.as_str()), known, "raise VERSION, then write both here");
    }
}

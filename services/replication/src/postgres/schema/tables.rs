//! Tables as far as the rows of another site depend on them, asked of each side by the same queries.

use std::collections::BTreeMap;

use serde::Deserialize;

/// So much of the columns of an index is shown.
const COLUMNS_SHOWN: usize = 80;

/// What a publication sends: whether changes and deletions too, and the columns of each table.
pub(in crate::postgres) const SENT: &str = "
SELECT jsonb_build_object(
  'changes', coalesce((SELECT pubupdate OR pubdelete FROM pg_publication WHERE pubname = $1), false),
  'tables', (SELECT coalesce(jsonb_object_agg(format('%I.%I', p.schemaname, p.tablename),
     (SELECT coalesce(jsonb_agg(quote_ident(a)), '[]') FROM unnest(p.attnames) a)), '{}')
     FROM pg_publication_tables p WHERE p.pubname = $1))";

/// The tables that there are, of those named, as far as the rows of another site depend on them. Definitions are told
/// under the same search path at both sides: they are compared as text.
pub(in crate::postgres) const TABLES: &str = "
SELECT coalesce(jsonb_object_agg(t.name, jsonb_build_object(
  'columns', (SELECT coalesce(jsonb_object_agg(quote_ident(a.attname), jsonb_build_object(
      'kind', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull OR y.typnotnull,
      'filled', a.atthasdef OR a.attidentity <> '' OR y.typdefault IS NOT NULL,
      'generated', a.attgenerated <> '')), '{}')
    FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
    WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'identity', t.relreplident::text,
  'indexes', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', quote_ident(x.relname), 'method', m.amname,
      'unique', i.indisunique, 'primary', i.indisprimary, 'identity', i.indisreplident, 'valid', i.indisvalid,
      'immediate', i.indimmediate, 'nulls_equal', i.indnullsnotdistinct,
      'columns', (SELECT jsonb_agg(pg_get_indexdef(i.indexrelid, n, true) ORDER BY n)
        FROM generate_series(1, i.indnkeyatts::int) n),
      'rows', pg_get_expr(i.indpred, i.indrelid)) ORDER BY x.relname), '[]')
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    WHERE i.indrelid = t.oid AND i.indisready AND NOT i.indisexclusion),
  'constraints', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', quote_ident(o.conname),
      'kind', o.contype::text, 'says', regexp_replace(pg_get_constraintdef(o.oid), ' NOT VALID$', ''))
      ORDER BY o.conname), '[]')
    FROM pg_constraint o WHERE o.conrelid = t.oid AND o.contype IN ('c', 'f', 'x')
      AND pg_get_constraintdef(o.oid) !~ ' NOT ENFORCED$'),
  'triggers', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', quote_ident(g.tgname),
      'fires', g.tgenabled::text, 'row', g.tgtype & 1 = 1, 'says', pg_get_triggerdef(g.oid))
      ORDER BY g.tgname), '[]')
    FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'))), '{}')
FROM (SELECT format('%I.%I', n.nspname, c.relname) AS name, c.oid, c.relreplident
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE format('%I.%I', n.nspname, c.relname) = ANY ($1)) t";

/// What [`SENT`] answers.
#[derive(Debug, Deserialize)]
pub(in crate::postgres) struct Sent {
    pub(super) changes: bool,
    pub(in crate::postgres) tables: BTreeMap<String, Vec<String>>,
}

/// What [`TABLES`] answers, by the tables' names. Names are quoted where they have to be.
pub(in crate::postgres) type Tables = BTreeMap<String, Table>;

#[derive(Debug, Deserialize)]
pub(in crate::postgres) struct Table {
    pub(super) columns: BTreeMap<String, Column>,
    /// `pg_class.relreplident`.
    pub(super) identity: char,
    pub(super) indexes: Vec<Index>,
    pub(super) constraints: Vec<Constraint>,
    /// Those that are not disabled.
    pub(super) triggers: Vec<Trigger>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) kind: String,
    pub(super) not_null: bool,
    /// It gets a value where none is given.
    pub(super) filled: bool,
    pub(super) generated: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) unique: bool,
    pub(super) primary: bool,
    /// It is the replica identity.
    pub(super) identity: bool,
    pub(super) valid: bool,
    /// Not deferrable.
    pub(super) immediate: bool,
    /// `NULLS NOT DISTINCT`.
    pub(super) nulls_equal: bool,
    pub(super) columns: Vec<String>,
    /// Its predicate.
    pub(super) rows: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Constraint {
    pub(super) name: String,
    /// `pg_constraint.contype`.
    pub(super) kind: char,
    pub(super) says: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Trigger {
    pub(super) name: String,
    /// `pg_trigger.tgenabled`.
    pub(super) fires: char,
    pub(super) row: bool,
    pub(super) says: String,
}

/// What a source tells of a row that was changed or deleted.
pub(super) enum Told<'a> {
    Nothing,
    Whole,
    Key(&'a [String]),
}

impl Table {
    fn primary(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.primary)
    }

    fn identity(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.identity)
    }

    pub(super) fn told(&self) -> Told<'_> {
        let key = match self.identity {
            'f' => return Told::Whole,
            'd' => self.primary(),
            'i' => self.identity(),
            _ => None,
        };
        key.map_or(Told::Nothing, |index| Told::Key(&index.columns))
    }

    /// The index by which a receiver finds a row that was told by its key.
    pub(super) fn found_by(&self) -> Option<&Index> {
        self.identity().or(self.primary())
    }

    /// A column of the primary key is never null.
    pub(super) fn keyed(&self, column: &str) -> bool {
        self.primary().is_some_and(|index| index.columns.iter().any(|one| one == column))
    }

    pub(super) fn trigger(&self, name: &str) -> Option<&Trigger> {
        self.triggers.iter().find(|trigger| trigger.name == name)
    }
}

impl Index {
    /// Whatever this one lets pass, `other` lets pass too.
    pub(super) fn implies(&self, other: &Index) -> bool {
        self.unique
            && self.valid
            && self.columns.iter().all(|column| other.columns.contains(column))
            && (self.rows.is_none() || self.rows == other.rows)
            && (self.immediate || !other.immediate)
            && (self.nulls_equal || !other.nulls_equal)
    }

    /// A query that is quick by `other` is quick by this one.
    pub(super) fn serves(&self, other: &Index) -> bool {
        let same = self.method == other.method && self.columns == other.columns && self.rows == other.rows;
        same && self.valid
    }

    pub(super) fn words(&self) -> String {
        let what = match (self.primary, self.unique) {
            (true, _) => "primary key",
            (false, true) => "unique index",
            (false, false) => "index",
        };
        let columns: String = self.columns.join(", ").chars().take(COLUMNS_SHOWN).collect();
        format!("{what} {} ({columns})", self.name)
    }
}

impl Constraint {
    pub(super) fn words(&self) -> String {
        let what = match self.kind {
            'c' => "check constraint",
            'f' => "foreign key",
            _ => "exclusion constraint",
        };
        format!("{what} {}", self.name)
    }
}

impl Trigger {
    /// It fires for rows that come, too.
    pub(super) fn on_apply(&self) -> bool {
        self.row && matches!(self.fires, 'A' | 'R')
    }
}

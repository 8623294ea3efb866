//! The tables of both sides compared: what would stop the receiver or change what comes, and what bites after a move.

mod tables;

use schemas::{CheckLine, Level};

use tables::{Constraint, Index, Table, Told, Trigger};
pub(super) use tables::{SENT, Sent, TABLES, Tables};

/// The name of its lines.
pub(super) const LINE: &str = "schema";
/// So many differences of a level are listed.
const SHOWN: usize = 8;

/// Red lines for what would stop the receiver or change the rows that come, amber ones for what differs and bites
/// after a move; none where the tables are alike. Of a receiver at the live site, to which nothing comes before a move
/// (`receives` is false), only the columns are looked at: the rest is said by the half that receives now.
pub(super) fn compare(
    sent: &Sent,
    source: &Tables,
    here: &Tables,
    site: &str,
    receives: bool,
) -> Vec<CheckLine> {
    let mut to = Comparison { site, found: Vec::new() };
    for (name, columns) in &sent.tables {
        // One that was dropped between two questions is sent no more.
        let Some(theirs) = source.get(name) else { continue };
        let Some(own) = here.get(name) else {
            to.red(
                format!("{name} is missing at {site}, and the source sends it"),
                format!("at {site}: create it as at the source (pg_dump --schema-only there)"),
            );
            continue;
        };
        to.columns(name, columns, theirs, own);
        if receives {
            to.nulls(name, columns, theirs, own);
            let said = sent.changes && to.key(name, theirs, own);
            to.indexes(name, theirs, own, said);
            to.constraints(name, theirs, own);
            to.triggers(name, theirs, own);
        }
    }
    shown(to.found)
}

/// The first of each level, and how many more there are.
fn shown(found: Vec<CheckLine>) -> Vec<CheckLine> {
    let (red, amber): (Vec<_>, Vec<_>) = found.into_iter().partition(|line| line.level == Level::Red);
    let mut lines = Vec::new();
    for mut all in [red, amber] {
        let more = all.len().saturating_sub(SHOWN);
        all.truncate(SHOWN);
        if let Some(level) = all.last().map(|line| line.level).filter(|_| more > 0) {
            all.push(CheckLine {
                what: LINE.into(),
                level,
                text: format!("{more} differences more"),
                remedy: Some("mend those that are listed, then look again".into()),
            });
        }
        lines.append(&mut all);
    }
    lines
}

struct Comparison<'a> {
    site: &'a str,
    found: Vec<CheckLine>,
}

impl Comparison<'_> {
    fn red(&mut self, text: String, remedy: String) {
        self.found.push(CheckLine::red(LINE, text, remedy));
    }

    fn amber(&mut self, text: String, remedy: String) {
        self.found.push(CheckLine::amber(LINE, text, remedy));
    }

    fn columns(&mut self, name: &str, columns: &[String], theirs: &Table, own: &Table) {
        let site = self.site;
        for column in columns {
            let Some(sent) = theirs.columns.get(column) else { continue };
            match own.columns.get(column) {
                None => self.red(
                    format!("{name}.{column} is missing at {site}, and the source sends it"),
                    format!("at {site}: ALTER TABLE {name} ADD {column} {}", sent.kind),
                ),
                Some(own) if own.generated => self.red(
                    format!("{name}.{column} is generated at {site}, and the source sends it"),
                    format!("at {site}: make it an ordinary column"),
                ),
                Some(own) if own.kind != sent.kind => self.red(
                    format!("{name}.{column} is {} at {site}, {} at the source", own.kind, sent.kind),
                    format!("at {site}: ALTER TABLE {name} ALTER {column} TYPE {}", sent.kind),
                ),
                Some(_) => {}
            }
        }
    }

    fn nulls(&mut self, name: &str, columns: &[String], theirs: &Table, own: &Table) {
        let site = self.site;
        for (column, here) in &own.columns {
            let sent = columns.contains(column).then(|| theirs.columns.get(column)).flatten();
            match sent {
                None if here.not_null && !here.filled && !here.generated => self.red(
                    format!(
                        "{name}.{column} at {site} is NOT NULL, has no default and does not come: no row can be \
                         inserted"
                    ),
                    format!("at {site}: ALTER TABLE {name} ALTER {column} DROP NOT NULL, or SET DEFAULT …"),
                ),
                Some(sent) if here.not_null && !sent.not_null && !own.keyed(column) => self.red(
                    format!("{name}.{column} is NOT NULL only at {site}: a row without it stops the receiver"),
                    format!(
                        "at {site}: ALTER TABLE {name} ALTER {column} DROP NOT NULL, or SET it at the source too"
                    ),
                ),
                Some(sent) if sent.not_null && !here.not_null && !theirs.keyed(column) => self.amber(
                    format!("{name}.{column} is NOT NULL only at the source: after a move nobody keeps to it"),
                    format!("at {site}: ALTER TABLE {name} ALTER {column} SET NOT NULL"),
                ),
                _ => {}
            }
        }
        for column in theirs.columns.keys() {
            if !columns.contains(column) && !own.columns.contains_key(column) {
                self.amber(
                    format!(
                        "{name}.{column} is only at the source, and is not sent: after a move it is missing"
                    ),
                    format!("at {site}: add it, or drop it at the source"),
                );
            }
        }
    }

    /// Whether changed rows are found again. True: the receiver's key is another than the source's, and that is said.
    fn key(&mut self, name: &str, theirs: &Table, own: &Table) -> bool {
        let site = self.site;
        let remedy = format!("at {site}: give it the primary key that it has at the source");
        match (theirs.told(), own.found_by()) {
            (Told::Nothing, _) => {
                self.red(
                    format!("{name} has no replica identity at the source: UPDATE and DELETE fail there"),
                    format!("at the source: a primary key, or ALTER TABLE {name} REPLICA IDENTITY FULL"),
                );
                false
            }
            (Told::Key(_), None) => {
                let text =
                    format!("{name} has no primary key at {site}: an UPDATE or DELETE stops the receiver");
                self.red(text, remedy);
                true
            }
            (Told::Key(key), Some(index)) if index.columns.iter().any(|column| !key.contains(column)) => {
                let (own, key) = (index.words(), key.join(", "));
                let text = format!(
                    "{name}: {own} at {site} has columns that the source's key ({key}) has not: an UPDATE or DELETE \
                     stops the receiver"
                );
                self.red(text, remedy);
                true
            }
            (Told::Key(_) | Told::Whole, _) => false,
        }
    }

    fn indexes(&mut self, name: &str, theirs: &Table, own: &Table, key_said: bool) {
        let site = self.site;
        for index in own.indexes.iter().filter(|index| index.unique) {
            if !theirs.indexes.iter().any(|other| other.implies(index)) {
                self.red(
                    format!(
                        "{name}: {} is unique only at {site}: rows that the source takes stop the receiver",
                        index.words()
                    ),
                    format!("at {site}: drop it, or create it at the source too"),
                );
            }
        }
        let said = |index: &Index| key_said && (index.primary || index.identity);
        for index in theirs.indexes.iter().filter(|index| index.valid && !said(index)) {
            let there = match index.unique {
                true => own.indexes.iter().any(|other| other.implies(index)),
                false => own.indexes.iter().any(|other| other.serves(index)),
            };
            if !there {
                self.amber(
                    format!("{name}: {} is only at the source: it is missing after a move", index.words()),
                    format!("at {site}: create it as at the source"),
                );
            }
        }
    }

    fn constraints(&mut self, name: &str, theirs: &Table, own: &Table) {
        let site = self.site;
        let in_both =
            |one: &Constraint, others: &[Constraint]| others.iter().any(|other| other.says == one.says);
        for constraint in own.constraints.iter().filter(|one| !in_both(one, &theirs.constraints)) {
            let words = constraint.words();
            // Foreign keys are not looked at while rows come.
            match constraint.kind {
                'f' => self.amber(
                    format!(
                        "{name}: {words} is only at {site}: what comes need not keep to it, users must after a move"
                    ),
                    format!("at {site}: drop it, or create it at the source too"),
                ),
                _ => self.red(
                    format!("{name}: {words} is only at {site}: a row that it refuses stops the receiver"),
                    format!("at {site}: drop it, or create it at the source too"),
                ),
            }
        }
        for constraint in theirs.constraints.iter().filter(|one| !in_both(one, &own.constraints)) {
            self.amber(
                format!(
                    "{name}: {} is only at the source: after a move nobody keeps to it",
                    constraint.words()
                ),
                format!("at {site}: create it as at the source"),
            );
        }
    }

    fn triggers(&mut self, name: &str, theirs: &Table, own: &Table) {
        let site = self.site;
        for trigger in &own.triggers {
            let called = &trigger.name;
            let other = theirs.trigger(called);
            if trigger.on_apply() && !other.is_some_and(Trigger::on_apply) {
                self.red(
                    format!(
                        "{name}: trigger {called} fires for rows that come at {site} (ENABLE ALWAYS or REPLICA), and \
                         not so at the source"
                    ),
                    format!(
                        "at {site}: ALTER TABLE {name} ENABLE TRIGGER {called} (for users only), or DISABLE it"
                    ),
                );
                continue;
            }
            match other {
                None => self.amber(
                    format!("{name}: trigger {called} is only at {site}: it fires after a move"),
                    format!("at {site}: drop it, or create it at the source too"),
                ),
                Some(other) if other.says != trigger.says => self.amber(
                    format!("{name}: trigger {called} is another at {site} than at the source"),
                    format!("at {site}: create it as at the source"),
                ),
                Some(_) => {}
            }
        }
        for trigger in theirs.triggers.iter().filter(|one| own.trigger(&one.name).is_none()) {
            self.amber(
                format!(
                    "{name}: trigger {} is only at the source: after a move it does not fire",
                    trigger.name
                ),
                format!("at {site}: create and enable it as at the source"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use schemas::{CheckLine, Level};
    use serde_json::{Value, json};

    use super::{SHOWN, Sent, Tables, compare};

    fn column(kind: &str) -> Value {
        json!({"kind": kind, "not_null": false, "filled": false, "generated": false})
    }

    fn index(name: &str, unique: bool, columns: &[&str]) -> Value {
        json!({"name": name, "method": "btree", "unique": unique, "primary": name.ends_with("_pkey"),
               "identity": false, "valid": true, "immediate": true, "nulls_equal": false, "columns": columns,
               "rows": null})
    }

    fn trigger(name: &str, fires: &str) -> Value {
        json!({"name": name, "fires": fires, "row": true, "says": format!("CREATE TRIGGER {name} …")})
    }

    /// `t (id bigint PRIMARY KEY, v text)`.
    fn table() -> Value {
        json!({"columns": {"id": column("bigint"), "v": column("text")}, "identity": "d",
               "indexes": [index("t_pkey", true, &["id"])], "constraints": [], "triggers": []})
    }

    fn with(change: impl FnOnce(&mut Value)) -> Value {
        let mut changed = table();
        change(&mut changed);
        changed
    }

    fn push(list: &mut Value, more: Value) {
        list.as_array_mut().unwrap().push(more);
    }

    fn look(source: Value, here: Value, receives: bool) -> Vec<CheckLine> {
        let sent = json!({"changes": true, "tables": {"public.t": ["id", "v"]}});
        let sent: Sent = serde_json::from_value(sent).unwrap();
        let tables = |table: Value| -> Tables { serde_json::from_value(json!({"public.t": table})).unwrap() };
        compare(&sent, &tables(source), &tables(here), "secondary", receives)
    }

    /// The only line that there is.
    fn one(source: Value, here: Value) -> (Level, String) {
        let lines = look(source, here, true);
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(line.remedy.is_some() && line.text.starts_with("public.t"), "{line:?}");
        (line.level, line.text.clone())
    }

    #[test]
    fn tables_that_are_alike_say_nothing() {
        assert!(look(table(), table(), true).is_empty());
        // Names are of no account, and a column more does no harm here.
        let other = with(|t| {
            t["indexes"] = json!([index("other_pkey", true, &["id"]), index("more", false, &["v"])]);
            t["columns"]["more"] = column("text");
        });
        assert!(look(table(), other, true).is_empty());
    }

    #[test]
    fn what_would_stop_the_receiver_is_red() {
        let not_null = |t: &mut Value, name: &str| {
            let mut new = column("text");
            new["not_null"] = json!(true);
            t["columns"][name] = new;
        };
        let check = json!({"name": "short", "kind": "c", "says": "CHECK (…)"});
        let cases = [
            (with(|t| t["columns"]["v"] = column("integer")), "public.t.v is integer at secondary"),
            (with(|t| drop(t["columns"].as_object_mut().unwrap().remove("v"))), "public.t.v is missing"),
            (with(|t| t["columns"]["v"]["generated"] = json!(true)), "is generated at secondary"),
            (with(|t| not_null(t, "v")), "public.t.v is NOT NULL only at secondary"),
            (with(|t| not_null(t, "more")), "public.t.more at secondary is NOT NULL, has no default"),
            (with(|t| t["indexes"] = json!([])), "public.t has no primary key at secondary"),
            (
                with(|t| t["indexes"] = json!([index("t_pkey", true, &["id", "v"])])),
                "has columns that the source's key (id) has not",
            ),
            (
                with(|t| push(&mut t["indexes"], index("t_v", true, &["v"]))),
                "unique index t_v (v) is unique only",
            ),
            (with(|t| push(&mut t["constraints"], check)), "check constraint short is only at secondary"),
            (with(|t| push(&mut t["triggers"], trigger("a", "A"))), "trigger a fires for rows that come"),
        ];
        for (here, part) in cases {
            let (level, text) = one(table(), here);
            assert!(level == Level::Red && text.contains(part), "{part}: {text}");
        }
        // Of one that is made in another way at the source.
        let (level, text) = one(
            with(|t| push(&mut t["triggers"], trigger("a", "O"))),
            with(|t| push(&mut t["triggers"], trigger("a", "R"))),
        );
        assert!(level == Level::Red && text.contains("trigger a"), "{text}");
        let (level, text) = one(with(|t| t["identity"] = json!("n")), table());
        assert!(level == Level::Red && text.contains("no replica identity at the source"), "{text}");
    }

    #[test]
    fn what_bites_after_a_move_is_amber() {
        let foreign =
            || json!({"name": "to_u", "kind": "f", "says": "FOREIGN KEY (id) REFERENCES public.u(id)"});
        let cases = [
            (with(|t| t["columns"]["v"]["not_null"] = json!(true)), "NOT NULL only at the source"),
            (with(|t| push(&mut t["indexes"], index("t_v", true, &["v"]))), "t_v (v) is only at the source"),
            (
                with(|t| push(&mut t["indexes"], index("t_v", false, &["v"]))),
                "index t_v (v) is only at the source",
            ),
            (with(|t| push(&mut t["constraints"], foreign())), "foreign key to_u is only at the source"),
            (with(|t| push(&mut t["triggers"], trigger("a", "A"))), "trigger a is only at the source"),
            (with(|t| t["columns"]["more"] = column("text")), "public.t.more is only at the source"),
        ];
        for (source, part) in cases {
            let (level, text) = one(source, table());
            assert!(level == Level::Amber && text.contains(part), "{part}: {text}");
        }
        // An ordinary trigger does not fire for rows that come, nor is a foreign key looked at.
        for here in [
            with(|t| push(&mut t["triggers"], trigger("a", "O"))),
            with(|t| push(&mut t["constraints"], foreign())),
        ] {
            let (level, text) = one(table(), here);
            assert!(level == Level::Amber && text.contains("is only at secondary"), "{text}");
        }
    }

    #[test]
    fn a_key_of_fewer_columns_implies_one_of_more() {
        let wide = with(|t| push(&mut t["indexes"], index("wide", true, &["id", "v"])));
        assert!(look(table(), wide.clone(), true).is_empty());
        assert!(look(wide, table(), true).is_empty());
        // One that may be broken until the commit does not imply one that may not.
        let late = with(|t| {
            let mut late = index("late", true, &["v"]);
            late["immediate"] = json!(false);
            push(&mut t["indexes"], late);
        });
        let (level, _) = one(late, with(|t| push(&mut t["indexes"], index("t_v", true, &["v"]))));
        assert_eq!(level, Level::Red);
    }

    #[test]
    fn a_half_that_receives_nothing_now_looks_at_columns_only() {
        let check = json!({"name": "short", "kind": "c", "says": "CHECK (…)"});
        let strict = || with(|t| push(&mut t["constraints"], check.clone()));
        assert!(look(table(), strict(), false).is_empty());
        assert!(look(strict(), table(), false).is_empty());
        let found = look(table(), with(|t| t["columns"]["v"] = column("integer")), false);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn so_many_are_listed_and_the_rest_is_counted() {
        let many = || {
            with(|t| {
                for i in 0..SHOWN + 3 {
                    let check = json!({"name": format!("c{i}"), "kind": "c", "says": format!("CHECK ({i})")});
                    push(&mut t["constraints"], check);
                }
            })
        };
        for (source, here, level) in [(table(), many(), Level::Red), (many(), table(), Level::Amber)] {
            let lines = look(source, here, true);
            assert_eq!(lines.len(), SHOWN + 1);
            assert!(lines.iter().all(|line| line.level == level));
            assert_eq!(lines.last().unwrap().text, "3 differences more");
        }
    }
}

//! A checkpoint is read back, whatever the group owes: else a runner could not start on its own journal.
#![expect(clippy::unwrap_used, reason = "tests")]

use runner_core::{Compared, GroupEntry, Owed, Record};
use schemas::{Address, Epoch, Key, Position, ResourceId, RunId, Service, SiteId};
use serde_json::Value;
use uuid::Uuid;

#[test]
fn a_checkpoint_with_debts_is_read_back() {
    let mut record = Record::default();
    let address = Address {
        site: SiteId::new("main").unwrap(),
        service: Service::Database,
        resource: ResourceId::new("config").unwrap(),
    };
    let at = chrono::DateTime::UNIX_EPOCH;
    let owed = Owed {
        address,
        action: None,
        args: Value::Null,
        run: RunId(Uuid::from_u128(7)),
        since: at,
        why: "it did not answer the claim".into(),
    };
    record.apply(at, &GroupEntry::Owed { debt: 1, owed });
    let entry = GroupEntry::Checkpoint { state: Box::new(record) };
    let stored = serde_json::to_value(&entry).unwrap();
    assert_eq!(serde_json::from_value::<GroupEntry>(stored).unwrap(), entry);
}

/// What could not be compared is remembered until a later run has compared, or somebody took the world as it is.
#[test]
fn what_is_not_compared_is_kept_until_it_is() {
    let at = chrono::DateTime::UNIX_EPOCH;
    let run = RunId(Uuid::from_u128(7));
    let ended = |not_compared: Option<Vec<String>>| GroupEntry::RunEnded {
        run,
        state: schemas::view::RunState::Completed,
        live: None,
        left: None,
        not_compared,
        compared: Vec::new(),
    };
    let mut record = Record::default();
    record.apply(at, &ended(Some(vec!["public.entry of css@main".into()])));
    record.apply(at, &ended(None));
    assert_eq!(record.not_compared, ["public.entry of css@main"]);
    record.apply(at, &ended(Some(Vec::new())));
    assert_eq!(record.not_compared, [] as [String; 0]);
}

/// Whoever ends a run that found a difference, and however, leaves it there: until it is found alike, or is what counts.
#[test]
fn what_differs_is_kept_until_it_is_alike_or_is_opened() {
    let at = chrono::DateTime::UNIX_EPOCH;
    let run = RunId(Uuid::from_u128(7));
    let address = |service, resource: &str| Address {
        site: SiteId::new("main").unwrap(),
        service,
        resource: ResourceId::new(resource).unwrap(),
    };
    let half = address(Service::Replication, "css");
    let ended = |compared: Vec<Compared>| GroupEntry::RunEnded {
        run,
        state: schemas::view::RunState::Cancelled,
        live: None,
        left: None,
        not_compared: None,
        compared,
    };
    let found = |differ: &[&str]| {
        let differ = differ.iter().map(|table| (*table).to_owned()).collect();
        ended(vec![Compared { half: half.clone(), differ }])
    };
    let mut record = Record::default();
    record.apply(at, &found(&["public.entry"]));
    record.apply(at, &ended(Vec::new()));
    assert_eq!(record.differs[&half], ["public.entry"]);
    let entry = GroupEntry::Checkpoint { state: Box::new(record.clone()) };
    let stored = serde_json::to_value(&entry).unwrap();
    assert_eq!(serde_json::from_value::<GroupEntry>(stored).unwrap(), entry);
    record.apply(at, &found(&[]));
    assert!(record.differs.is_empty());
    record.apply(at, &found(&["public.entry"]));
    let key = Key { run, position: Position::new("/do/0/open").unwrap() };
    record.apply(
        at,
        &GroupEntry::Opening {
            address: address(Service::Database, "config"),
            key,
            epoch: Epoch(3),
            closed_by: std::collections::BTreeMap::new(),
        },
    );
    assert!(record.differs.is_empty());
}

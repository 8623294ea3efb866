//! A checkpoint is read back, whatever the group owes: else a runner could not start on its own journal.
#![expect(clippy::unwrap_used, reason = "tests")]

use runner_core::{GroupEntry, Owed, Record};
use schemas::{Address, ResourceId, RunId, Service, SiteId};
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
    };
    let mut record = Record::default();
    record.apply(at, &ended(Some(vec!["public.entry of css@main".into()])));
    record.apply(at, &ended(None));
    assert_eq!(record.not_compared, ["public.entry of css@main"]);
    record.apply(at, &ended(Some(Vec::new())));
    assert_eq!(record.not_compared, [] as [String; 0]);
}

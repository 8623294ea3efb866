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

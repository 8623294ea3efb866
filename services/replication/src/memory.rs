//! Half a replication in memory.
//!
//! The state: `{slot, marks, exported, enabled, drained, abandoned, sequences, copied, kept, aside, compared,
//! heartbeat, copying, orphans}`, each left out until it is set. `copying` is how far a copy is that is not finished:
//! nothing is drained then. `aside` is what a copy kept, while `kept` is set. `orphans` is what a slot holds that never
//! came.

use responder::memory::Model;
use responder::{DriverError, Look};
use schemas::args::{
    self, CleanupOutput, CompareOutput, CopyArgs, CopyOutput, ExportArgs, ExportOutput, LedgerRef, MarkArgs,
    MarkOutput, ReceiverOutput, SlotOutput,
};
use schemas::{
    Action, Aside, AsideTable, Code, CopyProgress, Digest, Epoch, Half, ReplicationSeen, ReplicationState,
    Seen,
};
use serde_json::{Value, json};

/// The model for [`responder::memory::MemoryDriver`].
#[derive(Debug, Clone, Copy)]
pub struct MemoryReplication {
    /// Which half.
    pub half: Half,
}

fn flag(state: &Value, name: &str) -> bool {
    state.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn number(state: &Value, name: &str) -> i64 {
    state.get(name).and_then(Value::as_i64).unwrap_or(0)
}

fn mark(args: &Value) -> Result<MarkOutput, DriverError> {
    let read = args::read::<MarkArgs>(args);
    read.map(|args| args.mark).map_err(|problem| DriverError::not_done(Code::Malformed, problem.to_string()))
}

fn copying(state: &Value) -> Option<CopyProgress> {
    serde_json::from_value(state.get("copying")?.clone()).ok()
}

/// What a copy with these arguments keeps: one small table.
fn keeps(args: &Value) -> Aside {
    let args = args::read::<CopyArgs>(args).ok();
    let ledger = args.as_ref().and_then(|args| args.ledger.as_ref());
    let table =
        AsideTable { table: "public.memory".into(), kept: "pointsman_kept.memory_1".into(), bytes: 8192 };
    Aside {
        tables: 1,
        bytes: table.bytes,
        largest: vec![table],
        since: None,
        ledger: ledger.map(|ledger| format!("{} {}", ledger.file, ledger.digest)),
        waived: args.and_then(|args| args.waived),
        unfinished: false,
    }
}

fn aside(state: &Value) -> Aside {
    let kept = state.get("aside").filter(|_| flag(state, "kept"));
    kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default()
}

fn exported(applied: String) -> Value {
    let ledger = LedgerRef { file: "memory".into(), digest: Digest::of(b"") };
    json!(ExportOutput { ledger, transactions: 0, rows: 0, bytes: 0, applied })
}

fn copied() -> Value {
    json!(CopyOutput { tables: 0, rows: 0, bytes: 0, applied: None, kept: Default::default() })
}

fn compared() -> Value {
    json!(CompareOutput { equal: Some(true), tables: Default::default() })
}

impl Model for MemoryReplication {
    fn actions(&self) -> &[Action] {
        match self.half {
            Half::Source => &[Action::Mark, Action::Capture, Action::Discard, Action::Export],
            Half::Receiver => &[
                Action::Drain,
                Action::StartReplication,
                Action::StopReplication,
                Action::SetSequences,
                Action::Abandon,
                Action::Copy,
                Action::Compare,
                Action::Cleanup,
            ],
        }
    }

    fn look(&self, action: Action, args: &Value, state: &Value) -> Look {
        let marks = number(state, "marks");
        let slot = json!(SlotOutput { slot: "memory".into(), lsn: None });
        let received = json!(ReceiverOutput::default());
        let (yes, output) = match action {
            Action::Mark => {
                let output = MarkOutput { sentinel: marks, lsn: "0/0".into(), sequences: Default::default() };
                (marks > 0, json!(output))
            }
            Action::Capture => (flag(state, "slot"), slot),
            Action::Discard => (!flag(state, "slot"), slot),
            Action::Drain => match mark(args) {
                Ok(mark) => (number(state, "drained") >= mark.sentinel && copying(state).is_none(), received),
                Err(error) => return Look::CannotTell(error.to_string()),
            },
            Action::SetSequences => match mark(args) {
                Ok(mark) => (state.get("sequences") == Some(&json!(mark.sequences)), received),
                Err(error) => return Look::CannotTell(error.to_string()),
            },
            Action::StartReplication => (flag(state, "enabled"), received),
            Action::StopReplication => (!flag(state, "enabled"), received),
            Action::Export => match args::read::<ExportArgs>(args) {
                Ok(args) => (state.get("exported") == Some(&json!(args.applied)), exported(args.applied)),
                Err(problem) => return Look::CannotTell(problem.to_string()),
            },
            Action::Copy => (flag(state, "copied") && flag(state, "enabled"), copied()),
            Action::Compare => (flag(state, "compared"), compared()),
            Action::Cleanup => (!flag(state, "kept"), json!(CleanupOutput::default())),
            _ => (flag(state, "abandoned") && !flag(state, "enabled"), received),
        };
        if yes { Look::InEffect(output) } else { Look::NotInEffect(state.clone()) }
    }

    fn after(&self, action: Action, args: &Value, state: &Value) -> Result<Value, DriverError> {
        let mut next = if state.is_object() { state.clone() } else { json!({}) };
        match action {
            Action::Mark => next["marks"] = json!(number(state, "marks") + 1),
            Action::Capture => next["slot"] = json!(true),
            Action::Discard => next["slot"] = json!(false),
            Action::Drain if copying(state).is_some() => {
                return Err(DriverError::not_done(Code::Precondition, "the copy is not finished"));
            }
            Action::Drain => next["drained"] = json!(mark(args)?.sentinel),
            Action::SetSequences => next["sequences"] = json!(mark(args)?.sequences),
            Action::StartReplication => {
                next["enabled"] = json!(true);
                next["abandoned"] = json!(false);
            }
            Action::StopReplication => {
                next["enabled"] = json!(false);
                next["copied"] = json!(false);
            }
            Action::Export => {
                let read = args::read::<ExportArgs>(args);
                let args = read.map_err(|p| DriverError::not_done(Code::Malformed, p.to_string()))?;
                next["exported"] = json!(args.applied);
            }
            Action::Copy if flag(state, "kept") && !flag(state, "copied") => {
                return Err(DriverError::not_done(Code::Precondition, "an earlier copy is still kept aside"));
            }
            Action::Copy => {
                for name in ["copied", "kept", "enabled"] {
                    next[name] = json!(true);
                }
                next["abandoned"] = json!(false);
                next["copying"] = Value::Null;
                next["aside"] = json!(keeps(args));
            }
            Action::Compare => next["compared"] = json!(true),
            Action::Cleanup => next["kept"] = json!(false),
            _ => {
                next["enabled"] = json!(false);
                next["abandoned"] = json!(true);
            }
        }
        Ok(next)
    }

    fn seen(&self, state: &Value, _epoch: Option<Epoch>) -> Seen {
        let on = match self.half {
            Half::Source => flag(state, "slot"),
            Half::Receiver => flag(state, "enabled"),
        };
        let running = match self.half {
            Half::Source => ReplicationState::Capturing,
            Half::Receiver => ReplicationState::Running,
        };
        Seen::Replication(ReplicationSeen {
            half: self.half,
            state: if on { running } else { ReplicationState::Stopped },
            lag_bytes: on.then_some(0),
            lag_seconds: None,
            heartbeat: state.get("heartbeat").and_then(|at| at.as_str()?.parse().ok()),
            copy: copying(state),
            kept_bytes: None,
            orphans: state.get("orphans").and_then(|found| serde_json::from_value(found.clone()).ok()),
            aside: (self.half == Half::Receiver).then(|| Box::new(aside(state))),
            trouble: None,
            detail: state.clone(),
        })
    }
}

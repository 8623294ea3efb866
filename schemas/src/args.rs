//! The body of each act's request, and what the act returns.
//!
//! A request's body is the `with` of its call, unchanged: resource and site stand in it, and must be
//! those of the subject. An unknown member is refused. Of an output a driver leaves out what it cannot
//! know; a reader passes over what it does not know.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Action, Address, Code, Digest, Problem, ResourceId, SiteId};

/// What a request of any action says about where it goes. Also the whole of what `database.*`,
/// `process.start`, `stop` and `refresh`, the source's `capture`, `discard` and `mark`, and the receiver's `compare` and
/// `cleanup` take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceArgs {
    /// The resource.
    pub resource: ResourceId,
    /// The site of its service.
    pub site: SiteId,
}

/// `dns.point`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PointArgs {
    /// The record, as the DNS host's file calls it.
    pub resource: ResourceId,
    /// The site of the DNS service.
    pub site: SiteId,
    /// The name itself; the service refuses one that is not its record's. Left out, it is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The site whose address the name gets.
    pub to: SiteId,
    /// Sites whose DNS servers need not answer; they are owed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<SiteId>,
}

/// `dns.follow`, `dns.push` and `dns.unpush`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FollowArgs {
    /// The client host or cache.
    pub resource: ResourceId,
    /// Its site.
    pub site: SiteId,
    /// The site that the names must lead to.
    pub to: SiteId,
    /// What must resolve to what; left out, the host's own file says it. `unpush` passes over it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<ExpectedName>,
}

/// A name, and the addresses that it must resolve to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectedName {
    /// The name.
    pub name: String,
    /// All of its addresses, in any order.
    pub addresses: Vec<IpAddr>,
}

/// `process.point`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessPointArgs {
    /// The program.
    pub resource: ResourceId,
    /// Its site.
    pub site: SiteId,
    /// The site on whose database it is to work.
    pub to: SiteId,
}

/// `replication.drain` and `replication.set-sequences`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MarkArgs {
    /// The replication.
    pub resource: ResourceId,
    /// The receiver's site.
    pub site: SiteId,
    /// What `mark` returned at the source.
    pub mark: MarkOutput,
}

/// `replication.start` and `replication.stop`. An `undo` gets the arguments of the step that it undoes,
/// so both take the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiverArgs {
    /// The replication.
    pub resource: ResourceId,
    /// The receiver's site.
    pub site: SiteId,
    /// `stop` refuses while the mark is not applied durably; `start` passes over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<MarkOutput>,
}

/// `replication.abandon`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AbandonArgs {
    /// The replication.
    pub resource: ResourceId,
    /// The receiver's site.
    pub site: SiteId,
    /// Added to each sequence beyond the highest value known; 10,000 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<u32>,
}

/// `replication.export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportArgs {
    /// The replication.
    pub resource: ResourceId,
    /// The source's site.
    pub site: SiteId,
    /// Up to where the receiver has applied, as `abandon` returned it there.
    pub applied: String,
}

/// `replication.copy`. Exactly one of `ledger` and `waived`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CopyArgs {
    /// The replication.
    pub resource: ResourceId,
    /// The receiver's site: its tables are overwritten.
    pub site: SiteId,
    /// The ledger of what is overwritten, as `export` returned it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerRef>,
    /// Who goes on without a ledger, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}

/// A ledger of orphans, in the state folder of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerRef {
    /// Its file, on the source's host.
    pub file: String,
    /// Of all its bytes.
    pub digest: Digest,
}

/// What the source wrote, so that the receiver can prove that it has everything before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarkOutput {
    /// The number in the site's sentinel row.
    pub sentinel: i64,
    /// The source's flushed position after it, in its own notation (`0/5A3F1C8`).
    pub lsn: String,
    /// Sequence, with its schema, to its last value; read while the source is closed.
    #[serde(default)]
    pub sequences: BTreeMap<String, i64>,
}

/// `dns.point` returns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointOutput {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The site that it points at now.
    pub to: SiteId,
    /// What it resolves to now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Server to its addresses, or to why it said none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, Value>,
    /// Servers of lost sites that do not say so yet.
    #[serde(default)]
    pub owed: Vec<String>,
}

/// `dns.follow`, `dns.push` and `dns.unpush` return.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FollowOutput {
    /// Name to addresses as resolved there, or to why it did not resolve.
    #[serde(default)]
    pub resolves: BTreeMap<String, Value>,
}

/// `database.disable-access` and `database.enable-access` return.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessOutput {
    /// Sessions that were ended.
    #[serde(default)]
    pub ended: u64,
    /// The database's position, read after the close was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<String>,
}

/// `database.verify-write` returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WriteOutput {
    /// What saw it: `row` (one of our own was committed), `script`, or `check` (a script that says the database is open).
    /// `unverified` where nothing can tell.
    pub by: String,
    /// Role to the table to which a write of it was let through; none where it may write to no table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Option<String>>,
    /// The database's position after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<String>,
}

/// `replication.capture` and `replication.discard` return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlotOutput {
    /// The slot.
    pub slot: String,
    /// From where on it keeps changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<String>,
}

/// `replication.drain`, `start`, `stop`, `set-sequences` and `abandon` return.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverOutput {
    /// Up to where the source's changes are applied, durably.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// Sequences that were set, to their new value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sequences: BTreeMap<String, i64>,
}

/// `replication.export` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportOutput {
    /// The file.
    pub ledger: LedgerRef,
    /// Transactions in it.
    pub transactions: u64,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// What was committed after it is in the file.
    pub applied: String,
}

/// `replication.copy` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopyOutput {
    /// Tables that were copied.
    pub tables: u64,
    /// Their rows, as the source estimated them.
    pub rows: u64,
    /// Their size there.
    pub bytes: u64,
    /// Up to where the source's changes are applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// Table to where it is kept aside as it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, String>,
}

/// `replication.compare` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompareOutput {
    /// Whether all tables are equal; none: some changed while they were looked at.
    pub equal: Option<bool>,
    /// Each of them.
    pub tables: BTreeMap<String, TableCompared>,
}

/// One table on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TableCompared {
    /// At the source.
    pub source: Sum,
    /// At the receiver.
    pub receiver: Sum,
    /// Whether they are equal; none: it changed while it was looked at.
    pub equal: Option<bool>,
}

/// What a table holds, whatever the order of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sum {
    /// Rows.
    pub rows: u64,
    /// The sum of each row's hash.
    pub sum: String,
}

/// `replication.cleanup` returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupOutput {
    /// Tables that were kept aside and are gone.
    #[serde(default)]
    pub dropped: Vec<String>,
}

/// `process.start`, `process.stop` and `process.refresh` return.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessOutput {
    /// `healthy`, `stopped`, or `unverified` where it has no check of any kind.
    pub running: String,
    /// The driver's own words.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub found: Value,
}

/// `process.point` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessPointOutput {
    /// The site on whose database it works now.
    pub to: SiteId,
}

/// Reads a request's body as the arguments of its action.
///
/// # Errors
///
/// `malformed`, with the reader's own words: a member is missing, unknown or of the wrong kind.
pub fn read<T: DeserializeOwned>(args: &Value) -> Result<T, Problem> {
    T::deserialize(args).map_err(|e| Problem::new(Code::Malformed, format!("the arguments: {e}")))
}

macro_rules! shapes {
    ($($variant:ident $args:ident $output:ident;)*) => {
        /// Whether `args` are arguments of `action` for the resource at `address`.
        ///
        /// # Errors
        ///
        /// `malformed`: what does not fit, or which of resource and site is not the subject's.
        pub fn check(address: &Address, action: Action, args: &Value) -> Result<(), Problem> {
            let (resource, site) = match action {
                $(Action::$variant => read::<$args>(args).map(|a| (a.resource, a.site))?,)*
            };
            if resource == address.resource && site == address.site {
                return Ok(());
            }
            let told = Address { site, service: address.service, resource };
            Err(Problem::new(Code::Malformed, format!("the arguments name {told}, the subject {address}")))
        }

        /// The schema of `action`'s arguments.
        pub fn args_schema(action: Action, generator: SchemaGenerator) -> Schema {
            match action { $(Action::$variant => generator.into_root_schema_for::<$args>(),)* }
        }

        /// The schema of what `action` returns.
        pub fn output_schema(action: Action, generator: SchemaGenerator) -> Schema {
            match action { $(Action::$variant => generator.into_root_schema_for::<$output>(),)* }
        }
    };
}

/// What `action` takes, as a JSON Schema.
pub fn shape(action: Action) -> Value {
    args_schema(action, SchemaGenerator::default()).to_value()
}

shapes! {
    Point PointArgs PointOutput;
    Follow FollowArgs FollowOutput;
    Push FollowArgs FollowOutput;
    Unpush FollowArgs FollowOutput;
    DisableAccess ResourceArgs AccessOutput;
    EnableAccess ResourceArgs AccessOutput;
    VerifyWrite ResourceArgs WriteOutput;
    Mark ResourceArgs MarkOutput;
    Capture ResourceArgs SlotOutput;
    Discard ResourceArgs SlotOutput;
    Drain MarkArgs ReceiverOutput;
    StartReplication ReceiverArgs ReceiverOutput;
    StopReplication ReceiverArgs ReceiverOutput;
    SetSequences MarkArgs ReceiverOutput;
    Abandon AbandonArgs ReceiverOutput;
    Export ExportArgs ExportOutput;
    Copy CopyArgs CopyOutput;
    Compare ResourceArgs CompareOutput;
    Cleanup ResourceArgs CleanupOutput;
    StartProcess ResourceArgs ProcessOutput;
    StopProcess ResourceArgs ProcessOutput;
    RefreshProcess ResourceArgs ProcessOutput;
    PointProcess ProcessPointArgs ProcessPointOutput;
}

//! How a request is refused: RFC 9457 problem documents with stable codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Key;

macro_rules! codes {
    ($($variant:ident $code:literal $status:literal $retry:literal $title:literal $cause:literal $remedy:literal;)*) => {
        /// A stable code; `pointsman explain CODE` prints its cause and remedy.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Code { $(#[doc = $title] #[serde(rename = $code)] $variant,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];
            /// As it is printed.
            pub fn as_str(self) -> &'static str { match self { $(Code::$variant => $code,)* } }
            /// The nearest HTTP status.
            pub fn status(self) -> u16 { match self { $(Code::$variant => $status,)* } }
            /// Whether asking again, unchanged, can help.
            pub fn retryable(self) -> bool { match self { $(Code::$variant => $retry,)* } }
            /// One line.
            pub fn title(self) -> &'static str { match self { $(Code::$variant => $title,)* } }
            /// Why it happens.
            pub fn cause(self) -> &'static str { match self { $(Code::$variant => $cause,)* } }
            /// What to do.
            pub fn remedy(self) -> &'static str { match self { $(Code::$variant => $remedy,)* } }
        }
    };
}

codes! {
    UnknownSubject "unknown-subject" 404 false "The subject names nothing here."
        "A resource, action or verb is spelled wrong, or its service runs elsewhere."
        "Compare the subject with `nats micro ls` and the host's file.";
    Malformed "malformed" 400 false "The message cannot be read."
        "A header or the body is missing or not what its schema says."
        "Validate it against the schema named in `schemas/json`.";
    TooLarge "too-large" 413 false "The message is larger than may be sent."
        "A request has more than 64 KiB, or an answer more than the bus takes (`max_payload` of its servers)."
        "Send less, pass large data by reference; ask about one group, or for fewer runs.";
    Expired "expired" 408 false "The request came after its expiry."
        "It was delivered late, or a clock is off by more than 30 s."
        "Compare the clocks; the next attempt is sent by itself.";
    StaleEpoch "stale-epoch" 409 false "A newer run has claimed this resource."
        "The request is of an older epoch; its run was superseded."
        "Nothing: the run ends as fenced. See the newer run with `pointsman runs`.";
    EpochTaken "epoch-taken" 409 false "Another run holds this very epoch."
        "Two runners, or a restored journal, work with the same number."
        "Find the second runner and stop it, then supersede.";
    Unclaimed "unclaimed" 409 true "The epoch has not claimed this resource yet."
        "The request overtook its claim."
        "Nothing: the runner claims and sends again.";
    NotAdopted "ledger-not-adopted" 403 false "This service's ledger is new and acts on nothing."
        "First start, or the ledger was lost with its disk."
        "Look at the world, then `pointsman adopt GROUP`.";
    NotArmed "not-armed" 403 false "The brake is on: this host changes nothing yet."
        "`pointsman arm` was not run on this host."
        "Run `pointsman arm` there when the files are as you want them.";
    WrongGroup "wrong-group" 403 false "The resource belongs to another group."
        "Two groups name one resource, or the host's file lists other groups."
        "Mend the group's file; `pointsman config check` finds doubles.";
    KeyReused "key-reused" 422 false "The key was used with other arguments."
        "A program error, or two runners with one journal."
        "Stop the second runner; report the run's journal.";
    LowerAttempt "lower-attempt" 409 false "A later attempt of this key was seen."
        "The request was delivered late."
        "Nothing: it is refused for good.";
    Void "void" 409 false "This attempt was declared void: it was never started and never will be."
        "The runner settled the key before the request arrived."
        "Nothing: it is refused for good.";
    Busy "busy" 409 true "Another act on this resource is in progress."
        "One act at a time is allowed on a resource."
        "Wait; the runner asks again.";
    EarlierUnended "earlier-unended" 409 true "An act of an earlier life of this service cannot be seen ended."
        "Its session or process may still live."
        "Look at the resource by hand; end what is left, then retry.";
    NotConfirmed "not-confirmed" 403 false "The runner did not confirm the opening."
        "The run was superseded, ended, or the runner is silent."
        "See the run with `pointsman show`; supersede if it is to be opened.";
    WrongServer "wrong-server" 409 false "The server reached is not the one that this site names."
        "The address or the site identity stored in the database is another one's."
        "Check the DSN; `pointsman setup postgres --print` has the identity row.";
    CannotClose "cannot-close" 409 false "The role cannot be closed."
        "It is a superuser, owns the tables, or can grant itself the way back."
        "Use a plain role for the application; `check` names what it owns.";
    Undone "undone-meanwhile" 409 false "The step was done, and somebody undid it since."
        "The world was changed by hand."
        "Decide: `retry` does it again under a new key, `done` leaves it.";
    Failed "failed" 500 true "The act ended and is not in effect."
        "See the detail: the driver's own words."
        "Mend the cause, then `pointsman retry`.";
    Precondition "precondition" 409 false "The world is not as the act needs it."
        "See the detail: what was found and what was expected."
        "Decide by hand; nothing was changed.";
    RedPrecondition "red-precondition" 409 false "A precondition of the move is red."
        "See the detail: each line by its name."
        "Mend it (`pointsman check` names each remedy), or override the line by its name: `--override NAME`, recorded.";
    Unreachable "unreachable" 503 true "The server behind the service does not answer."
        "It is down, frozen, or the network is cut."
        "Look at the server; the service itself is well.";
    TimedOut "timed-out" 504 true "The act did not end within its bound."
        "The server or script is slow or hangs."
        "See the detail; raise the bound or mend the cause, then retry.";
    Script "script" 500 true "The script did not do what it was asked."
        "Its exit code, signal or output is in the detail."
        "Run it by hand on its host with the same arguments.";
    InDoubt "in-doubt" 500 false "Whether the act took effect is not known."
        "No answer came, and the service cannot tell."
        "Look by hand, then `done`, `retry` or `skip` the step.";
    Internal "internal" 500 false "The service has an error of its own."
        "A defect, or its disk is full or failing."
        "See the service's log on that host.";
    DiskFull "disk-full" 507 true "There is no room to write durably."
        "The disk of the journal or ledger is full."
        "Free space; nothing was lost, and it goes on by itself.";
    NoRunner "runner-silent" 503 true "No runner answers on the bus."
        "It is not running, or not connected to these servers."
        "Start `pointsman runner` on its host; compare `bus.prefix`.";
    NoBus "bus-silent" 503 true "The bus does not answer."
        "No NATS server of the list can be reached."
        "Check the servers; by hand, the printed runbook needs no bus (or `runbook --offline` on the runner's host).";
    NotPermitted "not-permitted" 403 false "The bus does not let this user ask that."
        "The user of this host's file (`creds`, `nkey`) has no right to publish the subject."
        "Ask as somebody who may (`--config FILE` with other credentials, `bus.person`), or mend the servers' permissions.";
    UnknownGroup "unknown-group" 404 false "There is no such group."
        "Its file is missing or not loaded."
        "`pointsman status` lists the groups.";
    UnknownRun "unknown-run" 404 false "There is no such run, or the short id fits several."
        "A run is named by the shortest unique end of its id."
        "`pointsman runs` lists them.";
    UnknownStep "unknown-step" 404 false "There is no such step in the run."
        "A step is named by its number or position."
        "`pointsman show RUN` lists them.";
    Conflict "conflict" 409 false "The run or group is not in a state for this."
        "See the detail: what the state is and which command fits."
        "`pointsman status` says which command comes next.";
    Declared "declared" 409 false "A person declared something that this does not fit."
        "Only the link is lost, as was declared, so nobody takes over; or a site is gone, so nothing of it is caught up with."
        "`pointsman status` shows what was declared; `pointsman declare over GROUP --why TEXT` ends it.";
    GroupBusy "group-busy" 409 false "The group has a run that has not ended."
        "One run a group at a time."
        "Wait for it, cancel it, or start with `--supersede RUN`.";
    WhyNeeded "why-needed" 400 false "A reason is needed."
        "Every mutating request is recorded with its reason."
        "Add `--why TEXT`.";
    Refused "refused" 403 false "The request is refused."
        "See the detail."
        "See the detail.";
    BadDefinition "bad-definition" 422 false "The workflow does not validate."
        "See the detail: file, line and column."
        "`pointsman validate FILE`.";
    BadConfiguration "bad-configuration" 422 false "The configuration does not validate."
        "See the detail: file, line and column."
        "`pointsman config check`.";
    ExpressionFenced "expression-fenced" 422 false "The expression did not end within its bounds of time and memory."
        "It loops or builds too much."
        "Mend the expression in the definition; this run is faulted or held.";
    JournalLocked "journal-locked" 409 false "Another runner has this journal open."
        "Two runners were started on one folder."
        "Stop the other; never copy a live journal.";
    JournalBroken "journal-broken" 500 false "The journal's chain is broken."
        "The disk lost or changed bytes, or somebody edited it."
        "`pointsman journal export` still reads it; see docs/journal.md for the way out.";
    JournalBehind "journal-behind" 409 false "A service has seen a later entry of this run than the journal holds."
        "An old copy of the journal was restored."
        "Start a new run with the next epoch; never resume this one.";
    JournalImported "journal-imported" 409 false "The journal comes from another host, or from a backup."
        "What happened after the copy is not in it, and an older runner may still act."
        "Stop the older runner, start this one with `--take-over`, then `pointsman adopt GROUP --why TEXT`.";
    LedgerLost "ledger-lost" 403 false "The ledger's id is not the one known."
        "The service's disk was replaced or its folder emptied."
        "`pointsman adopt GROUP` after a look at the world.";
    Unconfirmed "unproved-close" 409 false "Another site counts as open."
        "Its close is not proved, and nobody accepted that."
        "Prove it, or `pointsman accept RUN --unfenced SITE --why TEXT`.";
    OneProber "one-prober" 403 false "Automatic start is refused while votes come from one prober."
        "One observer cannot tell a lost site from its own lost link."
        "Accept it in the group's file: trigger.one_prober.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Code {
    type Err = String;
    fn from_str(text: &str) -> Result<Code, String> {
        Code::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no code of ours"))
    }
}

/// A problem document (RFC 9457) with our members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A URI for the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line, the same for every problem of this code.
    pub title: String,
    /// The nearest HTTP status.
    pub status: u16,
    /// What happened this time, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable code.
    pub code: Code,
    /// Whether asking again, unchanged, can help.
    pub retryable: bool,
    /// Whether the effect may exist.
    pub in_doubt: bool,
    /// The key that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
}

impl Problem {
    /// A problem of `code` with what happened this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        Problem {
            kind: format!("urn:pointsman:problem:{}", code.as_str()),
            title: code.title().into(),
            status: code.status(),
            detail: (!detail.is_empty()).then_some(detail),
            code,
            retryable: code.retryable(),
            in_doubt: code == Code::InDoubt,
            key: None,
        }
    }

    /// The same, about `key`.
    #[must_use]
    pub fn about(mut self, key: &Key) -> Problem {
        self.key = Some(key.clone());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail.as_deref().unwrap_or(&self.title))
    }
}

impl std::error::Error for Problem {}

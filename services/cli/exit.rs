//! Exit codes, and which error leads to which.

use std::process::ExitCode;

use document::Diagnostics;
use schemas::view::RunState;
use schemas::{Code, Problem};
use thiserror::Error;

/// How the command ended; the numbers are promised to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// What was asked is done.
    Done = 0,
    /// An error of the program or its machine.
    Internal = 1,
    /// The words or a file are wrong.
    Usage = 2,
    /// It was refused; nothing was changed.
    Refused = 3,
    /// The run waits for a person.
    NeedsPerson = 4,
    /// The run ended by an error.
    Faulted = 5,
    /// The run was cancelled, backed out or superseded.
    Cancelled = 6,
    /// The bus or the runner is silent.
    Silent = 7,
    /// Something is not as it should be.
    NotNormal = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// What was typed cannot be done as it is.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// It was not done, by a person's word or for want of one.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct NotDone(pub(crate) String);

/// The code for an error: the first cause that says one.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    error
        .chain()
        .find_map(|cause| {
            if let Some(problem) = cause.downcast_ref::<Problem>() {
                return Some(of_code(problem.code));
            }
            if cause.is::<Diagnostics>() || cause.is::<Usage>() {
                return Some(Exit::Usage);
            }
            cause.is::<NotDone>().then_some(Exit::Refused)
        })
        .unwrap_or(Exit::Internal)
}

/// The worst of several: what somebody has to look at first.
pub(crate) fn worst(exits: impl IntoIterator<Item = Exit>) -> Exit {
    let badness = |exit: &Exit| match exit {
        Exit::Done => 0,
        Exit::NotNormal => 1,
        Exit::Usage => 2,
        Exit::Refused => 3,
        Exit::Cancelled => 4,
        Exit::NeedsPerson => 5,
        Exit::Faulted => 6,
        Exit::Silent => 7,
        Exit::Internal => 8,
    };
    exits.into_iter().max_by_key(badness).unwrap_or(Exit::Done)
}

/// The code for a problem document.
pub(crate) fn of_code(code: Code) -> Exit {
    match code {
        Code::NoBus | Code::NoRunner => Exit::Silent,
        Code::Malformed | Code::WhyNeeded | Code::BadConfiguration | Code::BadDefinition => Exit::Usage,
        code => match code.status() {
            500.. => Exit::Internal,
            _ => Exit::Refused,
        },
    }
}

/// The code for the state in which a run is left.
pub(crate) fn of_run(state: RunState) -> Exit {
    match state {
        RunState::Completed | RunState::Pending | RunState::Running | RunState::Waiting => Exit::Done,
        RunState::Held | RunState::Paused => Exit::NeedsPerson,
        RunState::Faulted => Exit::Faulted,
        RunState::Cancelled | RunState::BackedOut | RunState::Fenced => Exit::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_code() {
        let of = |error: anyhow::Error| super::of(&error.context("could not do it"));
        assert_eq!(of(Problem::new(Code::NoBus, "").into()), Exit::Silent);
        assert_eq!(of(Problem::new(Code::GroupBusy, "").into()), Exit::Refused);
        assert_eq!(of(Problem::new(Code::UnknownRun, "").into()), Exit::Refused);
        assert_eq!(of(Problem::new(Code::WhyNeeded, "").into()), Exit::Usage);
        assert_eq!(of(Problem::new(Code::Internal, "").into()), Exit::Internal);
        assert_eq!(of(Diagnostics::default().into()), Exit::Usage);
        assert_eq!(of(Usage("no".into()).into()), Exit::Usage);
        assert_eq!(of(NotDone("no".into()).into()), Exit::Refused);
        assert_eq!(of(anyhow::anyhow!("other")), Exit::Internal);
    }
}

//! Problems of services as errors of the workflow language.

use engine::{Error, Standard};
use schemas::{Code, Problem};

/// The error that a definition sees.
pub(crate) fn error_of(problem: &Problem) -> Error {
    let standard = match problem.code {
        Code::Unreachable | Code::NoBus => Standard::Communication,
        Code::TimedOut | Code::Void | Code::Expired => Standard::Timeout,
        Code::InDoubt => Standard::InDoubt,
        Code::BadConfiguration | Code::UnknownSubject | Code::WrongServer => Standard::Configuration,
        Code::Malformed | Code::TooLarge | Code::KeyReused => Standard::Validation,
        Code::NotConfirmed | Code::NotArmed | Code::NotAdopted | Code::WrongGroup => Standard::Authorization,
        _ => Standard::Runtime,
    };
    Error::standard(standard, problem.to_string())
}

/// A doubt that was passed.
pub(crate) fn in_doubt(detail: &str) -> Error {
    Error::standard(Standard::InDoubt, detail)
}

/// A call that nobody wants any longer.
pub(crate) fn cancelled() -> Error {
    Error::standard(Standard::Runtime, "no longer wanted")
}

/// An error as a problem, for views.
pub(crate) fn problem_of(error: &Error) -> Problem {
    let code = if error.is(Standard::InDoubt) {
        Code::InDoubt
    } else if error.is(Standard::Communication) {
        Code::Unreachable
    } else if error.is(Standard::Timeout) {
        Code::TimedOut
    } else {
        Code::Failed
    };
    let detail = error.detail.clone().or_else(|| error.title.clone()).unwrap_or_else(|| error.kind.clone());
    // A problem's own text already begins with its code.
    let known = detail.split(':').next().and_then(|head| head.parse::<Code>().ok());
    match known {
        Some(known) => Problem::new(known, detail.split_once(':').map_or("", |(_, rest)| rest.trim())),
        None => Problem::new(code, detail),
    }
}

//! Asking a future once, here and now.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The future's value, if it has it without waiting. Else whoever goes on with it asks again: a waker is only
/// known then.
pub(crate) fn now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

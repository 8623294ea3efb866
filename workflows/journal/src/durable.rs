//! The proof that something is on disk.

/// A value that may leave the process: everything that was submitted before it, and with it, is
/// on disk (fdatasync has returned).
///
/// Only this crate can make one, so whoever sends asks for a `Durable` and cannot be early.
#[derive(Debug)]
#[must_use = "an effect that is dropped is never sent"]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The same proof for both parts of it.
    pub fn split<A, B>(self, parts: impl FnOnce(T) -> (A, B)) -> (Durable<A>, Durable<B>) {
        let (a, b) = parts(self.0);
        (Durable(a), Durable(b))
    }

    /// The value; the proof ends here.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Durable<Vec<T>> {
    /// The same proof for each of them, in order.
    pub fn each(self) -> impl Iterator<Item = Durable<T>> {
        self.0.into_iter().map(Durable)
    }
}

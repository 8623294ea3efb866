//! How long to wait between two looks: short at first, since most things come about at once, then longer.

use std::time::Duration;

/// The pauses of one wait.
#[derive(Debug, Clone)]
pub struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    /// The first is an eighth of the longest; each is half as long again as the one before, until it is `longest`.
    #[must_use]
    pub fn up_to(longest: Duration) -> Pauses {
        Pauses { next: longest / 8, longest }
    }

    /// Waits for the next one.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.step()).await;
    }

    fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 3 / 2).min(self.longest);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::Pauses;
    use std::time::Duration;

    #[test]
    fn they_grow_and_stop_growing() {
        let mut pauses = Pauses::up_to(Duration::from_millis(80));
        let millis: Vec<u128> = (0..8).map(|_| pauses.step().as_millis()).collect();
        assert_eq!(millis, [10, 15, 22, 33, 50, 75, 80, 80]);
    }
}

//! How long to wait before something that failed is tried again: one rule for the operator and the worker.

use std::time::Duration;

/// Waits that double with each further failure, up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Waits `first` after the first failure and never longer than `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// Returns the wait after `failures` in a row, at least one. `chance` in [0, 1) takes up to half of it off, so that
    /// what failed together is not tried again together; 0 takes nothing off.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stockwatch_crds::Backoff;
    ///
    /// let seconds = |failures, chance| {
    ///     Backoff::new(Duration::from_secs(1), Duration::from_secs(60)).after(failures, chance).as_secs_f64()
    /// };
    /// assert_eq!([seconds(1, 0.0), seconds(2, 0.0), seconds(3, 0.0)], [1.0, 2.0, 4.0]);
    /// assert_eq!([seconds(7, 0.0), seconds(u32::MAX, 0.0)], [60.0, 60.0]);
    /// assert_eq!(seconds(3, 0.5), 3.0);
    /// ```
    pub fn after(&self, failures: u32, chance: f64) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        doubled.min(self.most).mul_f64(1.0 - chance / 2.0)
    }
}

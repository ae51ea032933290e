//! How long to wait after a failure: one symbol after an error of its own, the whole process after "too many requests".

use std::time::Duration;

use stockwatch_crds::Backoff;
use tokio::time::Instant;

/// One symbol's waits. The limit is short, so that the end of an outage is noticed soon.
const SYMBOL: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(120));
/// The pauses of the whole process.
const PROCESS: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
/// A longer wait that a server asks for is cut to this.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(600);

/// Returns the wait of one symbol after `failures` in a row, at least one.
pub(super) fn of_symbol(failures: u32, retry_after: Option<Duration>) -> Duration {
    at_least(retry_after, SYMBOL.after(failures, fastrand::f64()))
}

/// Refusals that count: so many answers later the pauses are the first ones again.
const MOST_LEVEL: u32 = 8;

/// The whole process's pauses: they grow with each refusal and shrink with each answer.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// Refusals less answers, from 0 to [`MOST_LEVEL`].
    level: u32,
    paused_at: Option<Instant>,
}

impl Throttle {
    /// Returns the end of the pause after a refused request that began at `began`.
    pub(super) fn refused(&mut self, began: Instant, now: Instant, retry_after: Option<Duration>) -> Instant {
        // Requests that were under way when the pause began belong to the same refusal.
        if self.paused_at.is_some_and(|at| began <= at) {
            return now + at_least(retry_after, Duration::ZERO);
        }
        self.paused_at = Some(now);
        self.level = (self.level + 1).min(MOST_LEVEL);
        now + at_least(retry_after, PROCESS.after(self.level, fastrand::f64()))
    }

    /// Notes that the source answered a request.
    pub(super) fn answered(&mut self) {
        self.level = self.level.saturating_sub(1);
    }
}

fn at_least(retry_after: Option<Duration>, own: Duration) -> Duration {
    retry_after.unwrap_or(Duration::ZERO).min(RETRY_AFTER_MOST).max(own)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use super::*;

    #[test]
    fn a_symbols_wait_doubles_up_to_a_limit() {
        for (failures, most) in [(1, 5), (2, 10), (3, 20), (6, 120), (1000, 120)] {
            let most = Duration::from_secs(most);
            let wait = of_symbol(failures, None);
            assert!(most / 2 <= wait && wait <= most, "{failures}: {wait:?}");
        }
    }

    #[test]
    fn retry_after_is_honoured_but_bounded() {
        assert_eq!(of_symbol(1, Some(Duration::from_secs(77))), Duration::from_secs(77));
        assert_eq!(of_symbol(1, Some(Duration::from_secs(1 << 40))), RETRY_AFTER_MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_refused_together_count_once() {
        let mut throttle = Throttle::default();
        let began = Instant::now();
        let now = began + Duration::from_secs(1);
        throttle.refused(began, now, None);
        for _ in 0..50 {
            throttle.refused(began, now, None);
        }
        assert_eq!(throttle.level, 1);
        let later = now + Duration::from_secs(10);
        throttle.refused(later, later, None);
        assert_eq!(throttle.level, 2);
    }
}

//! How long to wait after a failure: one symbol's own wait, and the whole process's after "too many requests".

use std::time::Duration;

use tokio::time::Instant;

/// The first wait of one symbol; doubled with each further failure.
const SYMBOL_FIRST: Duration = Duration::from_secs(5);
/// One symbol waits no longer by itself, so that an outage's end is soon noticed.
const SYMBOL_MOST: Duration = Duration::from_secs(120);
/// The first pause of the process; doubled with each further refusal.
const PROCESS_FIRST: Duration = Duration::from_secs(10);
/// The process pauses no longer by itself.
const PROCESS_MOST: Duration = Duration::from_secs(300);
/// A server that asks for more is asked again all the same.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(600);

/// The wait of one symbol after `failures` (at least 1) in a row.
pub(super) fn of_symbol(failures: u32, retry_after: Option<Duration>) -> Duration {
    at_least(retry_after, doubled(SYMBOL_FIRST, SYMBOL_MOST, failures.saturating_sub(1)))
}

/// The whole process's pauses: they grow with each refusal and shrink with each answer.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    level: u32,
    paused_at: Option<Instant>,
}

impl Throttle {
    /// The end of the pause after a refused request that began at `began`.
    pub(super) fn refused(&mut self, began: Instant, now: Instant, retry_after: Option<Duration>) -> Instant {
        // Requests that were on their way when the pause began are the same refusal.
        if self.paused_at.is_some_and(|at| began <= at) {
            return now + at_least(retry_after, Duration::ZERO);
        }
        self.paused_at = Some(now);
        let pause = doubled(PROCESS_FIRST, PROCESS_MOST, self.level);
        self.level = self.level.saturating_add(1).min(8);
        now + at_least(retry_after, pause)
    }

    /// The source answered.
    pub(super) fn answered(&mut self) {
        self.level = self.level.saturating_sub(1);
    }
}

fn doubled(first: Duration, most: Duration, times: u32) -> Duration {
    let grown = first.saturating_mul(1 << times.min(16)).min(most);
    // Half of it at random: processes that failed together do not return together.
    grown.mul_f64(0.5 + fastrand::f64() / 2.0)
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
        throttle.refused(now + PROCESS_FIRST, now + PROCESS_FIRST, None);
        assert_eq!(throttle.level, 2);
    }
}

//! How long to wait after a failure: one request's own wait, and the source's pause after a refusal.

use std::time::Duration;

use stockwatch_crds::Backoff;
use tokio::time::Instant;

use super::FetchError;

/// After what may pass soon, such as an outage.
const SOON: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(120));
/// After what rarely passes soon: a refusal, or a symbol that nobody knows.
const LATE: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(1800));
/// A longer wait that a server asks for is cut to this.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(3600);

/// Returns the wait of a request that failed alone, for the `failures`th time in a row.
pub(super) fn of_request(error: &FetchError, failures: u32) -> Duration {
    let is_lasting = error.is_refusal() || matches!(error, FetchError::NotFound | FetchError::Client(_));
    at_least(error.retry_after(), if is_lasting { LATE } else { SOON }.after(failures, fastrand::f64()))
}

/// Returns how long a symbol stays out of larger batches when it has left them for the `times`th time.
pub(super) fn of_batch(times: u32) -> Duration {
    LATE.after(times, fastrand::f64())
}

/// The pause of a whole source that refuses: doubled by each further refusal, forgotten with the first answer.
#[derive(Debug, Default)]
pub(super) struct Pause {
    refusals: u32,
    end: Option<Instant>,
}

impl Pause {
    /// Returns how many pauses there were since the last answer: after 0, each request is a trial.
    pub(super) fn refusals(&self) -> u32 {
        self.refusals
    }

    /// Returns when the last pause ends or ended.
    pub(super) fn end(&self) -> Option<Instant> {
        self.end
    }

    /// Begins a pause and returns its length; `None` if the refused request was sent before the pause that is running.
    pub(super) fn refused(&mut self, now: Instant, retry_after: Option<Duration>) -> Option<Duration> {
        if let Some(end) = self.end.filter(|end| now < *end) {
            self.end = Some(end.max(now + at_least(retry_after, Duration::ZERO)));
            return None;
        }
        self.refusals = self.refusals.saturating_add(1);
        let pause = at_least(retry_after, LATE.after(self.refusals, fastrand::f64()));
        self.end = Some(now + pause);
        Some(pause)
    }

    /// Takes note of an answer; true if it ends the pauses. One to a request from before the pause says nothing.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
        let ends = self.refusals > 0 && self.end.is_none_or(|end| end <= now);
        if ends {
            self.refusals = 0;
        }
        ends
    }
}

fn at_least(retry_after: Option<Duration>, own: Duration) -> Duration {
    retry_after.unwrap_or(Duration::ZERO).min(RETRY_AFTER_MOST).max(own)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use super::*;

    fn between(wait: Duration, most: u64) -> bool {
        let most = Duration::from_secs(most);
        most / 2 <= wait && wait <= most
    }

    #[test]
    fn a_wait_doubles_up_to_a_limit_that_depends_on_what_failed() {
        for (failures, soon, late) in
            [(1, 5, 60), (2, 10, 120), (3, 20, 240), (6, 120, 1800), (1000, 120, 1800)]
        {
            assert!(between(of_request(&FetchError::Timeout, failures), soon), "{failures}");
            assert!(between(of_request(&FetchError::NotFound, failures), late), "{failures}");
        }
    }

    #[test]
    fn retry_after_is_honoured_but_bounded() {
        let limited = |seconds| FetchError::RateLimited { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(of_request(&limited(77), 1), Duration::from_secs(77));
        assert_eq!(of_request(&limited(1 << 40), 1), RETRY_AFTER_MOST);
        assert!(between(of_request(&limited(1), 1), 60), "no sooner than by itself");
    }

    #[test]
    fn requests_refused_together_are_one_refusal_and_only_an_answer_to_a_trial_ends_the_pauses() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        assert!(between(pause.refused(now, None).unwrap(), 60));
        let second = Duration::from_secs(1);
        assert_eq!(pause.refused(now + second, None), None);
        assert!(!pause.answered(now + second), "the request was sent before the pause");
        let hour = Duration::from_secs(3600);
        assert_eq!(pause.refused(now + second, Some(hour)), None);
        assert_eq!(pause.end(), Some(now + second + hour), "but what it asks for is heard");
        let later = now + second + hour;
        assert!(between(pause.refused(later, None).unwrap(), 120));
        let trial = pause.end().unwrap();
        assert!(pause.answered(trial));
        assert!(!pause.answered(trial), "just once");
        assert!(between(pause.refused(trial, None).unwrap(), 60), "it begins anew");
    }
}

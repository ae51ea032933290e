//! How long to wait after a failure.

use std::time::Duration;

use stockwatch_crds::Backoff;

use super::fetched::FetchError;

/// After what may pass soon, such as an outage.
const SOON: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(120));
/// After what rarely passes soon: a refusal, or a symbol that nobody knows.
const LATE: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(1800));
/// After a stream's connection ended: most can be made again at once.
const AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// A longer wait that a server asks for is cut to this.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(3600);

/// Returns the wait of a request that failed alone, for the `failures`th time in a row.
pub(super) fn of_request(error: &FetchError, failures: u32) -> Duration {
    let is_lasting = error.is_refusal()
        || matches!(error, FetchError::NotFound | FetchError::Client(_) | FetchError::TooLarge);
    at_least(error.retry_after(), if is_lasting { LATE } else { SOON }.after(failures, fastrand::f64()))
}

/// Returns how long a symbol stays out of larger batches when it has left them for the `times`th time.
pub(super) fn of_batch(times: u32) -> Duration {
    LATE.after(times, fastrand::f64())
}

/// Returns the pause of a source that refused for the `refusals`th time in a row.
pub(super) fn of_source(retry_after: Option<Duration>, refusals: u32) -> Duration {
    at_least(retry_after, LATE.after(refusals, fastrand::f64()))
}

/// Returns how long to leave a stream alone that ended or could not be reached, for the `failures`th time in a row.
pub(super) fn of_stream(error: &FetchError, failures: u32) -> Duration {
    match error {
        FetchError::Connect(_) | FetchError::Timeout | FetchError::TooLarge => {
            AGAIN.after(failures, fastrand::f64())
        }
        _ => of_request(error, failures),
    }
}

/// A server's wish, within bounds, where it is longer than one's own wait.
pub(super) fn at_least(retry_after: Option<Duration>, own: Duration) -> Duration {
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
    fn a_stream_comes_back_soon_unless_it_is_refused_or_not_there() {
        assert!(between(of_stream(&FetchError::Connect("closed".into()), 1), 1));
        assert!(between(of_stream(&FetchError::Timeout, 100), 60));
        let gone = FetchError::Client("426".into());
        for error in [FetchError::RateLimited { retry_after: None }, FetchError::NotFound, gone] {
            assert!(between(of_stream(&error, 1), 60), "{error}");
        }
    }
}

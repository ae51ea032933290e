//! Whether the source as a whole answers.

use stockwatch_crds::flow::Down;

use crate::metrics::FetchOutcome;

/// So many failed requests in a row: the source is down, not a ticker.
const FAILURES: u32 = 3;

/// The requests since the last one that was answered.
#[derive(Debug, Default)]
pub(super) struct Requests {
    failures: u32,
    since: i64,
    last: Option<FetchOutcome>,
}

impl Requests {
    /// Takes note of how one request ended for its tickers. None of them: it says nothing.
    pub(super) fn ended(&mut self, now: i64, outcomes: impl IntoIterator<Item = FetchOutcome>) {
        let mut failed = None;
        for outcome in outcomes {
            if !is_failure(outcome) {
                *self = Self::default();
                return;
            }
            failed = Some(outcome);
        }
        if failed.is_none() {
            return;
        }
        if self.failures == 0 {
            self.since = now;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = failed;
    }

    /// `None` while the source answers. After one refusal nothing is asked for a while, so one is enough.
    pub(super) fn down(&self) -> Option<Down> {
        let last = self.last?;
        let is_refusal =
            matches!(last, FetchOutcome::RateLimited | FetchOutcome::Refused | FetchOutcome::NotConfigured);
        (is_refusal || self.failures >= FAILURES).then(|| Down { reason: reason(last), since: self.since })
    }
}

/// Whether the source gave no answer that can be used: that a symbol is not known is an answer.
fn is_failure(outcome: FetchOutcome) -> bool {
    !matches!(
        outcome,
        FetchOutcome::Ok | FetchOutcome::NotFound | FetchOutcome::NoPrice | FetchOutcome::ClientError
    )
}

/// An outcome as a status has it: `not_found` is `NotFound`.
pub(super) fn reason(outcome: FetchOutcome) -> String {
    let words = outcome.as_str().split('_');
    let capital = |word: &str| {
        word.chars()
            .take(1)
            .map(|first| first.to_ascii_uppercase())
            .chain(word.chars().skip(1))
            .collect::<String>()
    };
    words.map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failed_requests_in_a_row_or_one_refusal_are_a_source_that_is_down() {
        let mut requests = Requests::default();
        requests.ended(5, [FetchOutcome::Timeout; 20]);
        requests.ended(6, [FetchOutcome::Connect]);
        assert_eq!(requests.down(), None);
        requests.ended(7, []);
        assert_eq!(requests.down(), None, "that request says nothing");
        requests.ended(8, [FetchOutcome::Timeout]);
        assert_eq!(requests.down(), Some(Down { reason: "Timeout".into(), since: 5 }));
        requests.ended(9, [FetchOutcome::BadBody, FetchOutcome::NotFound]);
        assert_eq!(requests.down(), None, "it answers");
        requests.ended(10, [FetchOutcome::RateLimited]);
        assert_eq!(requests.down(), Some(Down { reason: "RateLimited".into(), since: 10 }));
    }
}

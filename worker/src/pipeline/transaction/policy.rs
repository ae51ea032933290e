//! When the open transaction is committed. Pure: the caller says how much is in it and how old it is.

use std::time::Duration;

/// At least between two commits while there is little to do: each costs a few requests.
const LEAST_GAP: Duration = Duration::from_millis(1);
/// From this many quotes on a transaction waits for more: a backlog wants few transactions.
const BURST: usize = 500;
/// A transaction in a burst is committed at this age.
const BURST_AGE: Duration = Duration::from_millis(100);
/// What does not come of a quote may wait for the next one: a shape after a restore, say.
const NO_HURRY: Duration = Duration::from_millis(20);
/// The caller looks at other things at least this often.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// A transaction is committed at this size.
const MOST_QUOTES: usize = 10_000;
/// A transaction is committed when its output has this many bytes.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What the open transaction holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Open {
    pub(super) quotes: usize,
    pub(super) bytes: usize,
}

/// What the last look for more quotes gave.
#[derive(Debug, Clone, Copy)]
pub(super) enum Poll {
    /// A quote: there may be more.
    Backlog,
    /// Nothing, `age` after the transaction began and `since_commit` after the one before it ended.
    Drained { age: Duration, since_commit: Duration },
}

/// Decides when to commit; after a failure, limits transactions until its quotes are past.
#[derive(Debug, Default)]
pub(super) struct CommitPolicy {
    retry: Option<Retry>,
}

/// A transaction failed. Brokers that do not answer are no reason to suspect quotes: a session that ends takes this along.
#[derive(Debug)]
struct Retry {
    /// How far the failed transaction had come, by partition.
    until: Vec<(i32, i64)>,
    /// How many failed without one that came past it.
    failures: u32,
}

impl CommitPolicy {
    /// Returns how long the open transaction may still wait for quotes: zero says that it is committed now.
    pub(super) fn wait(&self, open: Open, poll: Poll) -> Duration {
        if open.quotes >= self.most_quotes() || open.bytes >= MOST_BYTES {
            return Duration::ZERO;
        }
        match (poll, open.quotes) {
            (Poll::Backlog, _) => LONGEST_WAIT,
            (Poll::Drained { age, .. }, 0) => NO_HURRY.saturating_sub(age),
            (Poll::Drained { since_commit, .. }, 1..BURST) => LEAST_GAP.saturating_sub(since_commit),
            (Poll::Drained { age, .. }, _) => BURST_AGE.saturating_sub(age).min(LONGEST_WAIT),
        }
    }

    /// After two failures at the same offsets quotes are committed one by one: the one that fails is then known.
    pub(super) fn most_quotes(&self) -> usize {
        if self.retry.as_ref().is_some_and(|retry| retry.failures >= 2) { 1 } else { MOST_QUOTES }
    }

    /// A transaction failed that had come as far as `until`, by partition.
    pub(super) fn failed(&mut self, until: Vec<(i32, i64)>) {
        let failures = self.retry.take().map_or(0, |retry| retry.failures) + 1;
        self.retry = Some(Retry { until, failures });
    }

    /// A transaction committed; `next_offsets` says how far partitions have come.
    pub(super) fn committed(&mut self, mut next_offsets: impl Iterator<Item = (i32, i64)>) {
        let Some(retry) = &self.retry else { return };
        let is_past =
            |(number, next): (i32, i64)| retry.until.iter().all(|(n, until)| *n != number || next >= *until);
        if next_offsets.all(is_past) {
            self.retry = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    fn open(quotes: usize) -> Open {
        Open { quotes, bytes: 100 * quotes }
    }

    fn drained(age: Duration, since_commit: Duration) -> Poll {
        Poll::Drained { age, since_commit }
    }

    #[test]
    fn a_quote_is_committed_at_once_but_not_within_the_least_gap() {
        let policy = CommitPolicy::default();
        assert_eq!(policy.wait(open(1), drained(Duration::ZERO, LONG)), Duration::ZERO);
        assert_eq!(policy.wait(open(1), drained(Duration::ZERO, LEAST_GAP / 4)), LEAST_GAP * 3 / 4);
    }

    #[test]
    fn a_burst_waits_for_more_until_it_is_old() {
        let policy = CommitPolicy::default();
        assert_eq!(policy.wait(open(BURST), drained(Duration::ZERO, LONG)), LONGEST_WAIT);
        assert_eq!(policy.wait(open(BURST), drained(BURST_AGE * 3 / 4, LONG)), BURST_AGE / 4);
        assert_eq!(policy.wait(open(BURST), drained(BURST_AGE, LONG)), Duration::ZERO);
    }

    #[test]
    fn what_comes_of_no_quote_waits_a_little_for_one() {
        let policy = CommitPolicy::default();
        assert_eq!(policy.wait(open(0), drained(Duration::ZERO, LONG)), NO_HURRY);
        assert_eq!(policy.wait(open(0), drained(NO_HURRY, LONG)), Duration::ZERO);
    }

    #[test]
    fn a_backlog_fills_transactions_by_quotes_or_by_bytes() {
        let policy = CommitPolicy::default();
        assert!(!policy.wait(open(MOST_QUOTES - 1), Poll::Backlog).is_zero());
        assert!(policy.wait(open(MOST_QUOTES), Poll::Backlog).is_zero());
        assert!(policy.wait(Open { quotes: 1, bytes: MOST_BYTES }, Poll::Backlog).is_zero());
    }

    #[test]
    fn after_two_failures_quotes_go_one_by_one_until_they_are_past() {
        let mut policy = CommitPolicy::default();
        policy.failed(vec![(0, 10), (1, 20)]);
        assert!(!policy.wait(open(1), Poll::Backlog).is_zero(), "once may be chance");
        policy.failed(vec![(0, 10), (1, 20)]);
        assert!(policy.wait(open(1), Poll::Backlog).is_zero());
        policy.committed([(0, 10), (1, 19)].into_iter());
        assert!(policy.wait(open(1), Poll::Backlog).is_zero(), "partition 1 is not past");
        policy.committed([(0, 11), (1, 20), (2, 0)].into_iter());
        assert!(!policy.wait(open(1), Poll::Backlog).is_zero());
    }
}

//! When the open transaction is committed, and which producers suit the feed. Pure: the caller says how much is in it
//! and how old it is.

use std::time::Duration;

use super::size::Size;
use crate::pipeline::producers::Feed;

/// At least between two commits while there is little to do: each costs a few requests.
const LEAST_GAP: Duration = Duration::from_millis(1);
/// From this many quotes on a transaction waits for more: a backlog wants few transactions.
const BURST: usize = 500;
/// A transaction in a burst is committed at this age.
const BURST_AGE: Duration = Duration::from_millis(100);
/// What no quote causes, such as the record of a shape, may wait this long for the next quote.
const NO_HURRY: Duration = Duration::from_millis(20);
/// The caller looks at other things at least this often.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// A transaction is committed at this size.
const MOST_QUOTES: usize = 10_000;
/// A transaction is committed at this age, however many quotes wait: slow brokers must not see it time out.
const MOST_AGE: Duration = Duration::from_secs(1);
/// What fails at this age was too much for its brokers, whatever the quotes are.
const TOO_OLD: Duration = Duration::from_secs(5);
/// So many bursts in a row are a backlog, and so many other transactions in a row end it: to exchange producers takes
/// some ten round trips.
const BURSTS: u32 = 5;
const CALM: u32 = 20;

/// What the open transaction holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Open {
    pub(super) age: Duration,
    pub(super) quotes: usize,
    pub(super) bytes: usize,
}

/// What the last look for more quotes gave.
#[derive(Debug, Clone, Copy)]
pub(super) enum Poll {
    /// A quote: there may be more.
    Backlog,
    /// Nothing, `since_commit` after the last transaction ended.
    Drained { since_commit: Duration },
}

/// Decides when to commit; after a failure, limits transactions until its quotes are past.
#[derive(Debug)]
pub(super) struct CommitPolicy {
    size: Size,
    feed: Feed,
    /// How many transactions in a row spoke for the other kind of feed.
    against: u32,
    retry: Option<Retry>,
}

/// A transaction that failed, perhaps because of its quotes, and how often since. Dropped with its session: brokers that
/// do not answer say nothing about quotes.
#[derive(Debug)]
struct Retry {
    /// How far the failed transaction had come, by partition.
    until: Vec<(i32, i64)>,
    /// How many transactions in a row failed before one got past these offsets.
    failures: u32,
}

impl CommitPolicy {
    /// For a session that begins with transactions of this size.
    pub(super) fn new(size: Size) -> Self {
        Self { size, feed: Feed::Live, against: 0, retry: None }
    }

    /// Returns how long the open transaction may still wait for quotes: zero says that it is committed now.
    pub(super) fn wait(&self, open: Open, poll: Poll) -> Duration {
        if self.reaches(open, self.most_quotes()) {
            return Duration::ZERO;
        }
        match (poll, open.quotes) {
            (Poll::Backlog, _) => LONGEST_WAIT,
            (Poll::Drained { .. }, 0) => NO_HURRY.saturating_sub(open.age),
            (Poll::Drained { since_commit }, 1..BURST) => LEAST_GAP.saturating_sub(since_commit),
            (Poll::Drained { .. }, _) => BURST_AGE.saturating_sub(open.age).min(LONGEST_WAIT),
        }
    }

    /// Whether `open` has so many quotes, or as many bytes or the age that no transaction goes beyond.
    fn reaches(&self, open: Open, quotes: usize) -> bool {
        open.quotes >= quotes || open.bytes >= self.size.bytes() || open.age >= MOST_AGE
    }

    /// How large transactions may be: what the next session begins with.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// What the next transaction's producers are to be made for.
    pub(super) fn feed(&self) -> Feed {
        self.feed
    }

    /// After two failures at the same offsets quotes are committed one by one: the one that fails is then known.
    pub(super) fn most_quotes(&self) -> usize {
        if self.retry.as_ref().is_some_and(|retry| retry.failures >= 2) { 1 } else { MOST_QUOTES }
    }

    /// Brokers did not take a transaction in time.
    pub(super) fn timed_out(&mut self) {
        self.size = self.size.halved();
    }

    /// `open` failed. Where its quotes may be the reason, `suspects` says how far it had come, by partition.
    pub(super) fn failed(&mut self, open: Open, suspects: Option<Vec<(i32, i64)>>) {
        if open.age >= TOO_OLD {
            return self.timed_out();
        }
        let Some(until) = suspects else { return };
        let failures = self.retry.take().map_or(0, |retry| retry.failures) + 1;
        self.retry = Some(Retry { until, failures });
    }

    /// `open` was committed, which took so long; `next_offsets` says how far partitions have come.
    pub(super) fn committed(
        &mut self,
        open: Open,
        took: Duration,
        next_offsets: impl Iterator<Item = (i32, i64)>,
    ) {
        self.note_feed(open);
        self.size = self.size.after_commit(open.bytes, took);
        let Some(retry) = &mut self.retry else { return };
        // A partition that is still being restored is not past: others are committed meanwhile.
        for (number, next) in next_offsets {
            retry.until.retain(|(n, until)| *n != number || next < *until);
        }
        self.end_retry();
    }

    /// These partitions are another process' now: their quotes are suspected no more.
    pub(super) fn gave_away(&mut self, partitions: &[i32]) {
        if let Some(retry) = &mut self.retry {
            retry.until.retain(|(number, _)| !partitions.contains(number));
            self.end_retry();
        }
    }

    fn end_retry(&mut self) {
        self.retry.take_if(|retry| retry.until.is_empty());
    }

    fn note_feed(&mut self, open: Open) {
        let is_burst = self.reaches(open, BURST);
        let (other, enough) = match self.feed {
            Feed::Live => (Feed::Backlog, BURSTS),
            Feed::Backlog => (Feed::Live, CALM),
        };
        self.against = if is_burst == (other == Feed::Backlog) { self.against + 1 } else { 0 };
        if self.against >= enough {
            (self.feed, self.against) = (other, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    fn policy() -> CommitPolicy {
        CommitPolicy::new(Size::default())
    }

    fn open(quotes: usize) -> Open {
        Open { age: Duration::ZERO, quotes, bytes: 100 * quotes }
    }

    fn drained(since_commit: Duration) -> Poll {
        Poll::Drained { since_commit }
    }

    #[test]
    fn a_quote_is_committed_at_once_but_not_within_the_least_gap() {
        assert_eq!(policy().wait(open(1), drained(LONG)), Duration::ZERO);
        assert_eq!(policy().wait(open(1), drained(LEAST_GAP / 4)), LEAST_GAP * 3 / 4);
    }

    #[test]
    fn a_burst_waits_for_more_until_it_is_old() {
        let at = |age| policy().wait(Open { age, ..open(BURST) }, drained(LONG));
        assert_eq!(at(Duration::ZERO), LONGEST_WAIT);
        assert_eq!(at(BURST_AGE * 3 / 4), BURST_AGE / 4);
        assert_eq!(at(BURST_AGE), Duration::ZERO);
    }

    #[test]
    fn what_comes_of_no_quote_waits_a_little_for_one() {
        let at = |age| policy().wait(Open { age, ..open(0) }, drained(LONG));
        assert_eq!(at(Duration::ZERO), NO_HURRY);
        assert_eq!(at(NO_HURRY), Duration::ZERO);
    }

    #[test]
    fn a_backlog_fills_transactions_by_quotes_bytes_or_age() {
        let is_full = |open| policy().wait(open, Poll::Backlog).is_zero();
        assert!(!is_full(Open { bytes: 0, ..open(MOST_QUOTES - 1) }));
        assert!(is_full(Open { bytes: 0, ..open(MOST_QUOTES) }));
        assert!(is_full(Open { bytes: Size::default().bytes(), ..open(1) }));
        assert!(is_full(Open { age: MOST_AGE, ..open(1) }));
    }

    #[test]
    fn after_two_failures_quotes_go_one_by_one_until_they_are_past() {
        let mut policy = policy();
        let goes_alone = |policy: &CommitPolicy| policy.wait(open(1), Poll::Backlog).is_zero();
        policy.failed(open(1), Some(vec![(0, 10), (1, 20)]));
        policy.failed(open(1), None);
        assert!(!goes_alone(&policy), "once may be chance, and a rebalance says nothing of quotes");
        policy.failed(open(1), Some(vec![(0, 10), (1, 20)]));
        assert!(goes_alone(&policy));
        policy.committed(open(1), Duration::ZERO, [(0, 10), (1, 19)].into_iter());
        assert!(goes_alone(&policy), "partition 1 is not past");
        policy.committed(open(1), Duration::ZERO, [(2, 0)].into_iter());
        assert!(goes_alone(&policy), "partitions 0 and 1 are being restored");
        policy.committed(open(1), Duration::ZERO, [(0, 11), (1, 20), (2, 0)].into_iter());
        assert!(!goes_alone(&policy));
    }

    #[test]
    fn quotes_of_a_partition_that_was_given_away_are_suspected_no_more() {
        let mut policy = policy();
        (0..2).for_each(|_| policy.failed(open(1), Some(vec![(0, 10), (1, 20)])));
        policy.gave_away(&[1]);
        assert_eq!(policy.most_quotes(), 1);
        policy.gave_away(&[0]);
        assert_eq!(policy.most_quotes(), MOST_QUOTES);
    }

    #[test]
    fn a_transaction_that_grew_too_old_is_smaller_the_next_time_and_its_quotes_are_not_suspected() {
        let mut policy = policy();
        let old = Open { age: TOO_OLD, ..open(1000) };
        for _ in 0..3 {
            policy.failed(old, Some(vec![(0, 10)]));
        }
        assert!(!policy.wait(open(1), Poll::Backlog).is_zero());
        assert_eq!(policy.size().bytes(), Size::default().bytes() / 8);
    }

    #[test]
    fn a_backlog_is_one_after_some_bursts_in_a_row_and_ends_with_calm() {
        let mut policy = policy();
        let mut commit = |quotes: usize, times: u32| {
            (0..times).for_each(|_| policy.committed(open(quotes), Duration::ZERO, [].into_iter()));
            policy.feed()
        };
        assert_eq!(commit(BURST, BURSTS - 1), Feed::Live);
        assert_eq!(commit(1, 1), Feed::Live);
        assert_eq!(commit(BURST, BURSTS - 1), Feed::Live, "each minute's burst is none");
        assert_eq!(commit(BURST, 1), Feed::Backlog);
        assert_eq!(commit(1, CALM - 1), Feed::Backlog);
        assert_eq!(commit(BURST, 1), Feed::Backlog);
        assert_eq!(commit(1, CALM), Feed::Live);
    }
}

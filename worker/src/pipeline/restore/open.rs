//! A transaction that is open on a partition: reads end before its records, so the restore waits until it ends.

use std::time::{Duration, Instant};

/// After this long the owner of an open transaction is taken for dead, and fenced.
pub(super) const DEAD_AFTER: Duration = Duration::from_millis(500);
/// A restore waits this long for an open transaction at most: the coordinator ends it within 20 s.
const OPEN_AT_MOST: Duration = Duration::from_secs(40);

/// An open transaction as the attempts to restore one partition have seen it; kept from one attempt to the next.
#[derive(Debug, Default)]
pub(super) struct OpenTransaction {
    since: Option<Instant>,
    fenced: bool,
    /// Topic, partition and end offset of what a dead owner wrote, as first seen: others may write there too.
    pub(super) outputs: Option<Vec<(String, i32, i64)>>,
}

/// What an attempt does about an open transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OpenAction {
    /// It may end by itself: look again.
    Wait,
    /// Fence its owner, which aborts it. Returned once for each transaction.
    Fence,
    /// It has been open for too long.
    GiveUp,
}

impl OpenTransaction {
    /// Judges a transaction that was found open at `now` by an attempt that asked at `asked`.
    pub(super) fn found(&mut self, asked: Instant, now: Instant) -> OpenAction {
        let open_for = now.saturating_duration_since(*self.since.get_or_insert(asked));
        match () {
            () if open_for > OPEN_AT_MOST => OpenAction::GiveUp,
            () if open_for < DEAD_AFTER || self.fenced => OpenAction::Wait,
            () => {
                self.fenced = true;
                OpenAction::Fence
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_stays_open_is_fenced_once_and_at_last_given_up() {
        let start = Instant::now();
        let mut open = OpenTransaction::default();
        let mut found = |after| open.found(start, start + after);
        assert_eq!(found(DEAD_AFTER / 2), OpenAction::Wait);
        assert_eq!(found(DEAD_AFTER), OpenAction::Fence);
        assert_eq!(found(DEAD_AFTER * 2), OpenAction::Wait);
        assert_eq!(found(OPEN_AT_MOST * 2), OpenAction::GiveUp);
    }

    #[test]
    fn the_time_that_the_first_attempt_waited_counts() {
        let start = Instant::now();
        let mut open = OpenTransaction::default();
        assert_eq!(open.found(start, start + DEAD_AFTER), OpenAction::Fence);
    }
}

//! What the loop accepted and refused of records that somebody else writes.

use std::time::Duration;

use stockwatch_core::wire::DeadLetterReason;
use stockwatch_crds::Source;
use stockwatch_crds::flow::External;

/// Counts by [`DeadLetterReason::ALL`].
pub(crate) type DeadLetters = [u64; DeadLetterReason::ALL.len()];

/// What was committed since the process began.
#[derive(Debug, Default)]
pub(super) struct Committed {
    accepted: Option<i64>,
    dead_letter: Option<i64>,
    dead_letters: DeadLetters,
}

impl Committed {
    /// Takes note of one transaction.
    pub(super) fn note(&mut self, now: i64, accepted: u64, dead_letters: &DeadLetters) {
        if accepted > 0 {
            *self = Self { accepted: Some(now), dead_letter: self.dead_letter, ..Self::default() };
        }
        if dead_letters.iter().any(|count| *count > 0) {
            self.dead_letter = Some(now);
        }
        for (sum, count) in self.dead_letters.iter_mut().zip(dead_letters) {
            *sum = sum.saturating_add(*count);
        }
    }

    pub(super) fn report(&self, since: i64, expect_every: Option<Duration>) -> External {
        let counted = DeadLetterReason::ALL.into_iter().zip(self.dead_letters);
        External {
            expect_every: expect_every.and_then(|every| i64::try_from(every.as_secs()).ok()),
            since,
            accepted: self.accepted,
            dead_letter: self.dead_letter,
            dead_letters: counted
                .filter(|(_, count)| *count > 0)
                .map(|(reason, count)| (reason.as_str().to_owned(), count))
                .collect(),
        }
    }
}

/// `Some` for a source that is somebody else's: how often it is to bring a quote, if that was said.
pub(super) fn expectation(source: &Source) -> Option<Option<Duration>> {
    match source {
        Source::External { expect_every } => Some(*expect_every),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_count_since_the_last_accepted_quote() {
        let mut committed = Committed::default();
        let mut dead = DeadLetters::default();
        dead[DeadLetterReason::NotJson as usize] = 2;
        committed.note(5, 0, &dead);
        committed.note(6, 1, &DeadLetters::default());
        assert_eq!(committed.report(0, None).dead_letters.len(), 0);
        committed.note(7, 0, &dead);
        committed.note(8, 0, &dead);
        let report = committed.report(0, Some(Duration::from_secs(120)));
        assert_eq!((report.accepted, report.dead_letter, report.expect_every), (Some(6), Some(8), Some(120)));
        assert_eq!(report.dead_letters.into_iter().collect::<Vec<_>>(), [("not_json".to_owned(), 4)]);
    }
}

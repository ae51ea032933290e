//! When the condition QuotesFlow turns: not with one poll, which may meet a hiccup.

use crate::status::{Holds, Statement};

/// So many polls in a row must find something else than what is said.
const POLLS: u32 = 3;

/// What polls found since the last turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The reason that the last polls found, and how many.
    found: Option<(String, u32)>,
    /// How many of the last polls found that the condition holds otherwise, whatever the reason.
    otherwise: u32,
}

impl Turn {
    /// Takes note of a poll; returns whether `found` is to be said now.
    ///
    /// Good news of a StockWatch of which nothing was known need no second poll.
    pub(super) fn is_due(&mut self, said: Option<&Statement>, found: &Statement) -> bool {
        let Some(said) = said else { return true };
        if said.reason == found.reason && said.holds == found.holds {
            *self = Self::default();
            return false;
        }
        let before = self.found.take().filter(|(reason, _)| *reason == found.reason);
        let same = before.map_or(1, |(_, polls)| polls + 1);
        self.found = Some((found.reason.clone(), same));
        self.otherwise = if said.holds == found.holds { 0 } else { self.otherwise + 1 };
        let is_good_news = said.holds == Holds::Unknown && found.holds == Holds::True;
        let is_due = is_good_news || same.max(self.otherwise) >= POLLS;
        if is_due {
            *self = Self::default();
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(holds: Holds, reason: &str) -> Statement {
        Statement { holds, reason: reason.into(), message: String::new() }
    }

    /// What is said after each poll.
    fn said(first: Statement, polls: &[Statement]) -> Vec<String> {
        let (mut turn, mut said) = (Turn::default(), first);
        let mut after = Vec::new();
        for found in polls {
            if turn.is_due(Some(&said), found) {
                said = found.clone();
            }
            after.push(said.reason.clone());
        }
        after
    }

    fn flowing() -> Statement {
        statement(Holds::True, "Flowing")
    }

    fn limited() -> Statement {
        statement(Holds::False, "RateLimited")
    }

    #[test]
    fn three_polls_in_a_row_turn_it_and_fewer_do_not() {
        let polls = [limited(), limited(), flowing(), limited(), limited(), limited()];
        assert_eq!(
            said(flowing(), &polls),
            ["Flowing", "Flowing", "Flowing", "Flowing", "Flowing", "RateLimited"]
        );
        assert_eq!(
            said(limited(), &[flowing(), flowing(), flowing()]),
            ["RateLimited", "RateLimited", "Flowing"]
        );
    }

    #[test]
    fn trouble_that_changes_its_reason_is_trouble_all_the_same() {
        let other = statement(Holds::False, "NoQuotes");
        let polls = [limited(), other.clone(), limited(), other.clone(), limited(), other];
        assert_eq!(said(flowing(), &polls)[1..3], ["Flowing", "RateLimited"]);
        assert_eq!(said(flowing(), &polls)[5], "RateLimited", "nor is it said anew with each poll");
    }

    #[test]
    fn good_news_after_nothing_was_known_are_said_at_once() {
        let unknown = statement(Holds::Unknown, "NoReadyWorkers");
        assert_eq!(said(unknown.clone(), &[flowing()]), ["Flowing"]);
        assert_eq!(said(unknown.clone(), &[limited()]), ["NoReadyWorkers"]);
        assert_eq!(said(flowing(), &[unknown]), ["Flowing"], "workers that are replaced");
        assert!(Turn::default().is_due(None, &limited()), "where nothing was ever said");
    }
}

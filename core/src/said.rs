//! What was said of an entity, as far as what is said next depends on it: its live episodes and its paper account.
//!
//! Settings of alarms hold from when they are taken, not from an offset, so this is no function of the log: a replay
//! cannot compute it again. It is committed in the very transaction in which it changes, and restored as committed.

use crate::account::Account;
use crate::sample::Origin;

/// A run of alarms of one window, each less than the quiet time after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episode {
    /// The window's length in minutes.
    pub minutes: u32,
    /// The record that raised its first alarm.
    pub origin: Origin,
    /// Event time of its first alarm, nanoseconds since 1970.
    pub start: i64,
    /// Event time of its last alarm so far.
    pub last: i64,
    /// From this event time on no alarm joins it: what its last alarm promised.
    pub end: i64,
    /// How many alarms it has.
    pub number: u64,
}

impl Episode {
    /// Returns the episode of an alarm of a window at an event time, this alarm included.
    ///
    /// It joins the window's live episode if it comes less than `quiet` nanoseconds after that one's last alarm, and
    /// before the end that this alarm promised.
    #[must_use]
    pub fn of_alarm(live: Option<&Self>, minutes: u32, time: i64, quiet: i64, origin: Origin) -> Self {
        let end = time.saturating_add(quiet);
        match live {
            Some(live) if time < live.end && time.saturating_sub(live.last) < quiet => {
                Self { last: time, end, number: live.number.saturating_add(1), ..*live }
            }
            _ => Self { minutes, origin, start: time, last: time, end, number: 1 },
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Of each window at most one, and none that is known to be over.
    pub episodes: Vec<Episode>,
    /// Boxed, since few have one.
    pub account: Option<Box<Account>>,
}

impl Said {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.episodes.is_empty() && self.account.is_none()
    }

    /// Takes an alarm in, of a window of so many minutes, at an event time; returns its episode, this alarm included.
    ///
    /// See [`Episode::of_alarm`]. Episodes that are over by `time` are dropped.
    pub fn add_alarm(&mut self, minutes: u32, time: i64, quiet: i64, origin: Origin) -> Episode {
        let live = self.episodes.iter().find(|live| live.minutes == minutes);
        let episode = Episode::of_alarm(live, minutes, time, quiet, origin);
        self.episodes.retain(|live| live.minutes != minutes && time < live.end);
        if quiet > 0 {
            self.episodes.push(episode);
        }
        episode
    }

    /// Drops the episodes of windows that are not among `minutes`; returns whether there were any.
    pub(crate) fn retain_windows(&mut self, minutes: impl Iterator<Item = u32> + Clone) -> bool {
        let before = self.episodes.len();
        self.episodes.retain(|episode| minutes.clone().any(|m| m == episode.minutes));
        self.episodes.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Origin = Origin { offset: 7, timestamp: 1 };
    const NEXT: Origin = Origin { offset: 9, timestamp: 2 };

    #[test]
    fn an_alarm_joins_within_the_quiet_time_and_not_at_its_end() {
        let mut said = Said::default();
        assert_eq!(said.add_alarm(5, 100, 10, FIRST).number, 1);
        let second = said.add_alarm(5, 109, 10, NEXT);
        assert_eq!((second.origin, second.start, second.number, second.end), (FIRST, 100, 2, 119));
        let third = said.add_alarm(5, 119, 10, NEXT);
        assert_eq!((third.origin, third.start, third.number), (NEXT, 119, 1));
        assert_eq!(said.episodes.len(), 1);
    }

    #[test]
    fn without_a_quiet_time_every_alarm_is_an_episode_and_nothing_is_kept() {
        let mut said = Said::default();
        for _ in 0..2 {
            assert_eq!(said.add_alarm(5, 100, 0, FIRST).number, 1);
            assert!(said.is_empty());
        }
    }

    #[test]
    fn a_longer_quiet_time_does_not_reopen_what_was_said_to_end() {
        let mut said = Said::default();
        said.add_alarm(5, 100, 10, FIRST);
        assert_eq!(said.add_alarm(5, 110, 60, NEXT).number, 1);
        assert_eq!(said.add_alarm(5, 150, 20, NEXT).number, 1, "nor does a shorter one wait");
    }

    #[test]
    fn windows_have_episodes_of_their_own_and_an_alarm_drops_those_that_are_over() {
        let mut said = Said::default();
        said.add_alarm(5, 100, 10, FIRST);
        said.add_alarm(15, 100, 30, FIRST);
        said.add_alarm(15, 110, 30, NEXT);
        assert_eq!(said.episodes.iter().map(|e| (e.minutes, e.number)).collect::<Vec<_>>(), [(15, 2)]);
        assert!(said.retain_windows([5].into_iter()) && said.is_empty());
    }
}

//! Which StockWatch is polled when: each once in an interval, all of them spread over it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Key;

/// When each is due.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    due: BTreeMap<Key, Instant>,
}

impl Schedule {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, due: BTreeMap::new() }
    }

    /// These are polled from now on; a new one somewhere in the next interval. `chance` gives numbers in [0, 1).
    pub(super) fn follow(&mut self, keys: Vec<Key>, now: Instant, chance: impl Fn() -> f64) {
        let mut known = std::mem::take(&mut self.due);
        let interval = self.interval;
        self.due = keys
            .into_iter()
            .map(|key| {
                let due = known.remove(&key).unwrap_or_else(|| now + interval.mul_f64(chance()));
                (key, due)
            })
            .collect();
    }

    /// One of those is polled at this time, if it would be later.
    pub(super) fn hurry(&mut self, key: &Key, at: Instant) {
        if let Some(due) = self.due.get_mut(key) {
            *due = at.min(*due);
        }
    }

    /// Returns those that are due, at most `most`, the longest due first, and sets when they are next.
    pub(super) fn take(&mut self, now: Instant, most: usize, chance: impl Fn() -> f64) -> Vec<Key> {
        let mut due: Vec<(&Key, &mut Instant)> =
            self.due.iter_mut().filter(|(_, due)| **due <= now).collect();
        due.sort_by_key(|(_, due)| **due);
        let taken = due.into_iter().take(most).map(|(key, due)| {
            // From a tenth less to a tenth more.
            *due = now + self.interval.mul_f64(0.9 + chance() / 5.0);
            key.clone()
        });
        taken.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn keys(count: usize) -> Vec<Key> {
        (0..count).map(|i| Key::new("ns", format!("w{i:04}"))).collect()
    }

    #[test]
    fn each_is_polled_once_in_an_interval_and_all_of_them_are_spread_over_it() {
        let (mut schedule, begun) = (Schedule::new(MINUTE), Instant::now());
        let random = || fastrand::f64();
        let mut polls: BTreeMap<Key, usize> = BTreeMap::new();
        let mut most = 0;
        for second in 0..3600 {
            let now = begun + Duration::from_secs(second);
            schedule.follow(keys(1000), now, random);
            let taken = schedule.take(now, usize::MAX, random);
            most = most.max(taken.len());
            for key in taken {
                *polls.entry(key).or_default() += 1;
            }
        }
        assert_eq!(polls.len(), 1000);
        assert!(polls.values().all(|count| (54..=67).contains(count)), "{polls:?}");
        assert!(most < 60, "{most} in a second");
    }

    #[test]
    fn one_that_is_hurried_comes_sooner_but_never_later() {
        let (mut schedule, now) = (Schedule::new(MINUTE), Instant::now());
        let second = Duration::from_secs(1);
        schedule.follow(keys(2), now, || 0.5);
        let [first, other] = [0, 1].map(|i| keys(2)[i].clone());
        schedule.hurry(&first, now + 3 * second);
        schedule.hurry(&other, now + 300 * second);
        schedule.hurry(&Key::new("ns", "gone"), now);
        assert_eq!(schedule.take(now + 3 * second, 9, || 0.5), [first]);
        assert_eq!(schedule.take(now + 30 * second, 9, || 0.5), [other]);
    }

    #[test]
    fn what_is_too_much_at_once_stays_due_and_what_is_gone_does_not() {
        let (mut schedule, now) = (Schedule::new(MINUTE), Instant::now());
        schedule.follow(keys(3), now, || 0.0);
        assert_eq!(schedule.take(now, 2, || 0.5), keys(2));
        schedule.follow(keys(3).split_off(1), now, || 0.0);
        assert_eq!(
            schedule.take(now + MINUTE, 1, || 0.5),
            keys(3).split_off(2),
            "it has been due for longest"
        );
        let now = now + MINUTE;
        assert_eq!(schedule.take(now, 9, || 0.5), [Key::new("ns", "w0001")]);
        assert!(schedule.take(now + MINUTE - Duration::from_secs(1), 9, || 0.5).is_empty());
        assert_eq!(schedule.take(now + MINUTE, 9, || 0.5).len(), 2);
    }
}

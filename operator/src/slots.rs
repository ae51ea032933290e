//! An upgrade of the operator brings a new default image: this is how few StockWatches take it at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Key;

/// StockWatches that roll at once.
const MOST: usize = 10;
/// One that does not come up holds the others up for no longer than this.
const PATIENCE: Duration = Duration::from_secs(300);

/// Who rolls, and who waits to.
#[derive(Debug, Default)]
pub struct Slots(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rolling: HashMap<Key, Instant>,
    waiting: BTreeSet<Key>,
}

impl Slots {
    /// Whether this StockWatch may roll now; if not, it is given out by a later [`Slots::free`].
    pub fn take(&self, key: &Key, now: Instant) -> bool {
        let mut state = self.lock();
        state.rolling.retain(|_, since| now.duration_since(*since) < PATIENCE);
        if state.rolling.contains_key(key) {
            return true;
        }
        if state.rolling.len() >= MOST {
            state.waiting.insert(key.clone());
            return false;
        }
        state.waiting.remove(key);
        state.rolling.insert(key.clone(), now);
        true
    }

    /// It rolls already.
    pub fn note(&self, key: Key, now: Instant) {
        self.lock().rolling.insert(key, now);
    }

    /// It has rolled, or is gone. Gives the next one that may try, if it had a slot.
    pub fn free(&self, key: &Key) -> Option<Key> {
        let mut state = self.lock();
        state.waiting.remove(key);
        state.rolling.remove(key)?;
        state.waiting.pop_first()
    }

    /// Those that may try since someone's patience has run out.
    pub fn overdue(&self, now: Instant) -> Vec<Key> {
        let mut state = self.lock();
        state.rolling.retain(|_, since| now.duration_since(*since) < PATIENCE);
        let room = MOST.saturating_sub(state.rolling.len());
        let mut next = Vec::new();
        while next.len() < room
            && let Some(key) = state.waiting.pop_first()
        {
            next.push(key);
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(i: usize) -> Key {
        Key::new("default", format!("sw-{i:02}"))
    }

    #[test]
    fn ten_roll_at_once_and_each_that_is_done_lets_another_one_begin() {
        let (slots, now) = (Slots::default(), Instant::now());
        let began: Vec<usize> = (0..12).filter(|i| slots.take(&key(*i), now)).collect();
        assert_eq!(began, (0..10).collect::<Vec<_>>());
        assert!(slots.take(&key(3), now), "it keeps its slot");
        assert_eq!(slots.free(&key(3)), Some(key(10)));
        assert!(slots.take(&key(10), now));
        assert!(!slots.take(&key(11), now));
        assert_eq!(slots.free(&key(40)), None, "it had none");
    }

    #[test]
    fn one_that_never_comes_up_does_not_stop_the_upgrade() {
        let (slots, now) = (Slots::default(), Instant::now());
        for i in 0..11 {
            slots.take(&key(i), now);
        }
        assert!(slots.overdue(now + PATIENCE / 2).is_empty());
        assert_eq!(slots.overdue(now + PATIENCE), [key(10)]);
    }
}

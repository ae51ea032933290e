//! Paces what replaces pods: few StockWatches roll at once, and an upgrade that no worker has survived stops at these.
//!
//! What concerns one StockWatch alone (an edit, a rotated Secret) holds its slot for a bounded time. What the operator's
//! own upgrade rolls holds it until its workers are ready, as long as nobody's have become ready with the upgrade: a
//! default image that does not start reaches no more StockWatches than there are slots.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Key;

/// StockWatches that roll at once.
const MOST: usize = 10;
/// One that does not come up holds the others up for no longer than this, unless it is the upgrade that is to blame.
const PATIENCE: Duration = Duration::from_secs(300);

/// Why pods are to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The operator's own upgrade: another default image, or another form of the pods.
    Upgrade,
    /// Something of this StockWatch alone: an edit, or another connection to Kafka.
    Own,
}

/// Who rolls, and who waits to.
#[derive(Debug, Default)]
pub struct Slots(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rolling: HashMap<Key, (Cause, Instant)>,
    waiting: BTreeMap<Key, Cause>,
    /// Workers of some StockWatch became ready with the upgrade.
    proven: bool,
}

impl Slots {
    /// Whether this StockWatch may roll now, and as what: for this cause or, where that has to wait and `or_own` is set, for
    /// its own. What has to wait is given out later.
    pub fn take(&self, key: &Key, cause: Cause, or_own: bool, now: Instant) -> Option<Cause> {
        let mut state = self.lock();
        state.expire(now);
        let held = state.rolling.remove(key);
        // One that rolls may roll once more, but its own change opens no way for an upgrade.
        let keeps = |wanted| held.is_some_and(|(of, _)| of == wanted || wanted == Cause::Own);
        let mut wants = [cause, Cause::Own].into_iter().take(1 + usize::from(or_own));
        let taken = wants.find(|wanted| keeps(*wanted) || state.room(*wanted, now) > 0);
        let rolls = match (held, taken) {
            (Some((Cause::Upgrade, since)), Some(Cause::Upgrade)) => Some((Cause::Upgrade, since)),
            (_, Some(taken)) => Some((taken, now)),
            (held, None) => held,
        };
        if let Some(rolls) = rolls {
            state.rolling.insert(key.clone(), rolls);
        }
        if taken == Some(cause) {
            state.waiting.remove(key);
        } else {
            // Its own turn may come sooner.
            let waits_for = if taken.is_none() && or_own { Cause::Own } else { cause };
            state.waiting.insert(key.clone(), waits_for);
        }
        taken
    }

    /// Whether it rolls with the operator's upgrade.
    pub fn upgrades(&self, key: &Key) -> bool {
        self.lock().rolling.get(key).is_some_and(|(cause, _)| *cause == Cause::Upgrade)
    }

    /// It rolls already.
    pub fn note(&self, key: Key, cause: Cause, now: Instant) {
        self.lock().rolling.insert(key, (cause, now));
    }

    /// Its workers are ready in their new form, which `proves` the upgrade if it has all of it. Gives the next one that may
    /// try, if it had a slot.
    pub fn done(&self, key: &Key, proves: bool, now: Instant) -> Option<Key> {
        let mut state = self.lock();
        let (cause, _) = state.rolling.remove(key)?;
        state.proven |= proves && cause == Cause::Upgrade;
        state.next(now)
    }

    /// It is not to roll any more, or is gone. Gives the next one that may try, if it had a slot.
    pub fn free(&self, key: &Key, now: Instant) -> Option<Key> {
        let mut state = self.lock();
        state.waiting.remove(key);
        state.rolling.remove(key)?;
        state.next(now)
    }

    /// Those that may try since someone's patience has run out.
    pub fn overdue(&self, now: Instant) -> Vec<Key> {
        let mut state = self.lock();
        state.expire(now);
        let mut rooms = [Cause::Upgrade, Cause::Own].map(|cause| (cause, state.room(cause, now)));
        let mut next = Vec::new();
        state.waiting.retain(|key, cause| {
            let room = rooms.iter_mut().find(|(of, room)| of == cause && *room > 0);
            if let Some((_, room)) = room {
                *room -= 1;
                next.push(key.clone());
                return false;
            }
            true
        });
        next
    }

    /// One of those whose workers do not become ready with the upgrade, if that is why it goes no further.
    pub fn halted(&self, now: Instant) -> Option<Key> {
        let waits = self.lock().waiting.values().any(|cause| *cause == Cause::Upgrade);
        self.stuck(now).filter(|_| waits)
    }

    /// One of them, if the upgrade would go no further.
    pub fn stuck(&self, now: Instant) -> Option<Key> {
        let state = self.lock();
        let stuck = state.rolling.iter().filter(|(_, rolling)| state.is_stuck(rolling, now));
        stuck.clone().map(|(key, _)| key).min().cloned().filter(|_| stuck.count() >= MOST)
    }

    /// Those that wait.
    pub fn waiting(&self) -> Vec<Key> {
        self.lock().waiting.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Its time is over, and yet it keeps its slot.
    fn is_stuck(&self, (cause, since): &(Cause, Instant), now: Instant) -> bool {
        *cause == Cause::Upgrade && !self.proven && now.duration_since(*since) >= PATIENCE
    }

    fn expire(&mut self, now: Instant) {
        let proven = self.proven;
        self.rolling.retain(|_, (cause, since)| {
            now.duration_since(*since) < PATIENCE || (*cause == Cause::Upgrade && !proven)
        });
    }

    /// How many more may roll. An upgrade that is stuck holds up itself alone.
    fn room(&self, cause: Cause, now: Instant) -> usize {
        let counts = |rolling: &&(Cause, Instant)| cause == Cause::Upgrade || !self.is_stuck(rolling, now);
        MOST.saturating_sub(self.rolling.values().filter(counts).count())
    }

    fn next(&mut self, now: Instant) -> Option<Key> {
        self.expire(now);
        let (upgrades, own) = (self.room(Cause::Upgrade, now), self.room(Cause::Own, now));
        let may = |cause: &Cause| if *cause == Cause::Upgrade { upgrades > 0 } else { own > 0 };
        let key = self.waiting.iter().find(|(_, cause)| may(cause)).map(|(key, _)| key.clone())?;
        self.waiting.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(i: usize) -> Key {
        Key::new("default", format!("sw-{i:02}"))
    }

    fn takes(slots: &Slots, i: usize, cause: Cause, now: Instant) -> bool {
        slots.take(&key(i), cause, false, now) == Some(cause)
    }

    fn take(slots: &Slots, cause: Cause, of: std::ops::Range<usize>, now: Instant) -> Vec<usize> {
        of.filter(|i| takes(slots, *i, cause, now)).collect()
    }

    #[test]
    fn ten_roll_at_once_and_each_that_is_done_lets_another_one_begin() {
        for cause in [Cause::Upgrade, Cause::Own] {
            let (slots, now) = (Slots::default(), Instant::now());
            assert_eq!(take(&slots, cause, 0..12, now), (0..10).collect::<Vec<_>>());
            assert!(takes(&slots, 3, cause, now), "it keeps its slot");
            assert_eq!(slots.done(&key(3), true, now), Some(key(10)));
            assert!(takes(&slots, 10, cause, now));
            assert!(!takes(&slots, 11, cause, now));
            assert_eq!(slots.done(&key(40), true, now), None, "it had none");
            assert_eq!(slots.free(&key(4), now), Some(key(11)));
        }
    }

    #[test]
    fn one_that_never_comes_up_by_its_own_fault_stops_nobody() {
        let (slots, now) = (Slots::default(), Instant::now());
        take(&slots, Cause::Own, 0..11, now);
        assert!(slots.overdue(now + PATIENCE / 2).is_empty());
        assert_eq!(slots.overdue(now + PATIENCE), [key(10)]);
    }

    #[test]
    fn an_upgrade_with_which_no_worker_becomes_ready_halts_at_the_first_ten() {
        let (slots, now) = (Slots::default(), Instant::now());
        take(&slots, Cause::Upgrade, 0..12, now);
        assert_eq!(slots.halted(now), None, "they may still come up");
        let later = now + 100 * PATIENCE;
        assert!(slots.overdue(later).is_empty());
        assert!(!takes(&slots, 11, Cause::Upgrade, later));
        assert_eq!(slots.halted(later), Some(key(0)));
        assert_eq!(slots.waiting(), [key(10), key(11)]);
        assert!(takes(&slots, 30, Cause::Own, later), "an edit does not wait for it");
        assert_eq!(slots.done(&key(30), true, later), None, "nor does it speak for the upgrade");
        assert_eq!(slots.free(&key(0), later), Some(key(10)), "one that is suspended makes room");
        assert_eq!(slots.halted(later), None);
    }

    #[test]
    fn an_upgrade_that_works_for_one_passes_those_that_are_broken_anyhow() {
        let (slots, now) = (Slots::default(), Instant::now());
        take(&slots, Cause::Upgrade, 0..12, now);
        assert_eq!(slots.done(&key(0), false, now), Some(key(10)), "it has an image of its own");
        assert!(takes(&slots, 10, Cause::Upgrade, now));
        assert!(slots.overdue(now + PATIENCE).is_empty());
        assert_eq!(slots.done(&key(1), true, now + PATIENCE), Some(key(11)));
        assert!(take(&slots, Cause::Upgrade, 20..30, now + PATIENCE).len() > 1, "the others' time is over");
    }

    #[test]
    fn a_change_of_its_own_passes_a_halted_upgrade_and_opens_no_way_for_it() {
        let (slots, now) = (Slots::default(), Instant::now());
        take(&slots, Cause::Upgrade, 0..11, now);
        let later = now + PATIENCE;
        assert_eq!(slots.take(&key(10), Cause::Upgrade, true, later), Some(Cause::Own));
        assert_eq!(slots.halted(later), Some(key(0)), "it still waits for the upgrade");
        assert_eq!(
            slots.take(&key(10), Cause::Upgrade, false, later),
            None,
            "not by the slot of its own change"
        );
        assert_eq!(slots.done(&key(10), true, later), None);
        assert_eq!(
            slots.take(&key(0), Cause::Upgrade, true, later),
            Some(Cause::Upgrade),
            "an edit of one of the ten"
        );
        assert_eq!(slots.halted(later), Some(key(0)), "it is stuck as before");
        assert!(takes(&slots, 0, Cause::Own, later), "one that has an image of its own now");
        assert_eq!(slots.halted(later), None);
        assert_eq!(slots.done(&key(0), false, later), Some(key(10)));
        assert!(takes(&slots, 10, Cause::Upgrade, later));
    }
}

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
use crate::rollout::Rollout;

/// StockWatches that roll at once.
const MOST: usize = 10;
/// One that does not come up holds the others up for no longer than this, unless it is the upgrade that is to blame.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Why pods are to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The operator's own upgrade: another default image, or another form of the pods.
    Upgrade,
    /// The same, where no worker was ready before it. Until the upgrade has worked for somebody it lets those go first that
    /// can tell.
    UpgradeOfUnready,
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
        state.waiting.remove(key);
        let held = state.rolling.remove(key);
        // One that rolls may roll once more, but its own change opens no way for an upgrade.
        let keeps = |wanted| held.is_some_and(|(of, _)| of != Cause::Own || wanted == Cause::Own);
        let mut wants = [cause, Cause::Own].into_iter().take(1 + usize::from(or_own));
        let taken = wants.find(|wanted| keeps(*wanted) || state.room(*wanted, held.is_some(), now) > 0);
        let rolls = match (held, taken) {
            (Some((of, since)), Some(taken)) if of != Cause::Own && taken != Cause::Own => Some((of, since)),
            (_, Some(taken)) => Some((taken, now)),
            (held, None) => held,
        };
        if let Some(rolls) = rolls {
            state.rolling.insert(key.clone(), rolls);
        }
        if taken != Some(cause) {
            // Its own turn may come sooner.
            let waits_for = if taken.is_none() && or_own { Cause::Own } else { cause };
            state.waiting.insert(key.clone(), waits_for);
        }
        taken
    }

    /// Whether it rolls with the operator's upgrade.
    pub fn upgrades(&self, key: &Key) -> bool {
        self.lock().rolling.get(key).is_some_and(|(cause, _)| *cause != Cause::Own)
    }

    /// It rolls already.
    pub fn note(&self, key: Key, cause: Cause, now: Instant) {
        self.lock().rolling.insert(key, (cause, now));
    }

    /// Its Deployment says what is wanted: it does not wait. `has_default`: its workers have the operator's image.
    pub fn settle(&self, key: &Key, has_default: bool, rollout: &Rollout, now: Instant) {
        let mut state = self.lock();
        state.waiting.remove(key);
        state.proven |= has_default && rollout.has_ready_new();
        let rolling = state.rolling.get_mut(key);
        match rolling.map(|(cause, since)| (has_default, cause, since)) {
            // Those of before work again.
            Some((true, cause @ Cause::UpgradeOfUnready, _)) if rollout.ready > 0 => *cause = Cause::Upgrade,
            // It has an image of its own now.
            Some((false, cause @ (Cause::Upgrade | Cause::UpgradeOfUnready), since)) => {
                (*cause, *since) = (Cause::Own, now);
            }
            _ => {}
        }
    }

    /// Whether workers of some StockWatch became ready with the upgrade.
    pub fn is_proven(&self) -> bool {
        self.lock().proven
    }

    /// It does not roll any more: its workers are ready in the form that they were given. Gives the next one that may try, if
    /// it had a slot.
    pub fn done(&self, key: &Key, now: Instant) -> Option<Key> {
        let mut state = self.lock();
        state.rolling.remove(key)?;
        state.next(now)
    }

    /// It is not to roll any more, or is gone. Gives the next one that may try, if it had a slot.
    pub fn free(&self, key: &Key, now: Instant) -> Option<Key> {
        let mut state = self.lock();
        state.waiting.remove(key);
        state.rolling.remove(key)?;
        state.next(now)
    }

    /// Those that may try since someone's patience has run out, or the upgrade has worked for someone.
    pub fn overdue(&self, now: Instant) -> Vec<Key> {
        let mut state = self.lock();
        state.expire(now);
        let causes = [Cause::Upgrade, Cause::UpgradeOfUnready, Cause::Own];
        let mut rooms = causes.map(|cause| (cause, state.room(cause, false, now)));
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
        let state = self.lock();
        let mut upgrades = state.rolling.iter().filter(|(_, (cause, _))| *cause != Cause::Own);
        let waits =
            state.waiting.values().any(|cause| *cause != Cause::Own && state.room(*cause, false, now) == 0);
        let by = upgrades.clone().map(|(key, _)| key).min().cloned();
        by.filter(|_| waits && upgrades.all(|(_, rolling)| state.is_stuck(rolling, now)))
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
        *cause != Cause::Own && !self.proven && now.duration_since(*since) >= PATIENCE
    }

    fn expire(&mut self, now: Instant) {
        let proven = self.proven;
        self.rolling.retain(|_, (cause, since)| {
            now.duration_since(*since) < PATIENCE || (*cause != Cause::Own && !proven)
        });
    }

    /// How many more may roll, or roll once more for this cause where they roll already. An upgrade that is stuck holds up
    /// itself alone, and workers that were not ready before it say nothing against it.
    fn room(&self, cause: Cause, rolls: bool, now: Instant) -> usize {
        let is_upgrade = |cause: &Cause| *cause == Cause::Upgrade;
        let mut all = self.rolling.values().map(|(cause, _)| cause).chain(self.waiting.values());
        if cause == Cause::UpgradeOfUnready && !self.proven && all.any(is_upgrade) {
            return 0;
        }
        let counts = |rolling: &&(Cause, Instant)| match (rolling.0, cause) {
            (Cause::Own, _) => !rolls,
            (Cause::Upgrade, Cause::Upgrade) | (_, Cause::UpgradeOfUnready) => true,
            _ => !self.is_stuck(rolling, now),
        };
        MOST.saturating_sub(self.rolling.values().filter(counts).count())
    }

    fn next(&mut self, now: Instant) -> Option<Key> {
        self.expire(now);
        let key = self
            .waiting
            .iter()
            .find(|(_, cause)| self.room(**cause, false, now) > 0)
            .map(|(key, _)| key.clone())?;
        self.waiting.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Progress;

    fn key(i: usize) -> Key {
        Key::new("default", format!("sw-{i:02}"))
    }

    /// A worker of before that is ready, and so many new ones.
    fn rollout(new: i32) -> Rollout {
        Rollout {
            observed: true,
            wanted: 1,
            replicas: 2,
            updated: 1,
            ready: 1 + new,
            progress: Progress::Going,
            refusal: None,
            image: "worker:2".into(),
            connection: None,
            template: None,
            wishes: None,
        }
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
            assert_eq!(slots.done(&key(3), now), Some(key(10)));
            assert!(takes(&slots, 10, cause, now));
            assert!(!takes(&slots, 11, cause, now));
            assert_eq!(slots.done(&key(40), now), None, "it had none");
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
        assert_eq!(slots.done(&key(30), later), None, "nor does it speak for the upgrade");
        assert_eq!(slots.free(&key(0), later), Some(key(10)), "one that is suspended makes room");
        assert_eq!(slots.halted(later), None);
    }

    #[test]
    fn an_upgrade_that_works_for_one_passes_those_that_are_broken_anyhow() {
        let (slots, now) = (Slots::default(), Instant::now());
        take(&slots, Cause::Upgrade, 0..12, now);
        assert_eq!(slots.done(&key(0), now), Some(key(10)), "it has an image of its own");
        assert!(takes(&slots, 10, Cause::Upgrade, now));
        assert!(slots.overdue(now + PATIENCE).is_empty());
        slots.settle(&key(1), true, &rollout(1), now);
        assert_eq!(slots.done(&key(1), now + PATIENCE), Some(key(11)));
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
        assert_eq!(slots.done(&key(10), later), None);
        assert_eq!(
            slots.take(&key(0), Cause::Upgrade, true, later),
            Some(Cause::Upgrade),
            "an edit of one of the ten"
        );
        assert_eq!(slots.halted(later), Some(key(0)), "it is stuck as before");
        slots.settle(&key(0), false, &rollout(0), later);
        assert_eq!(slots.done(&key(0), later), Some(key(10)));
        assert_eq!(slots.halted(later), None);
        assert!(takes(&slots, 10, Cause::Upgrade, later));
    }

    #[test]
    fn workers_that_were_not_ready_before_an_upgrade_neither_try_it_for_others_nor_hold_them_up() {
        let (slots, now) = (Slots::default(), Instant::now());
        let unready = Cause::UpgradeOfUnready;
        assert_eq!(take(&slots, unready, 0..12, now), (0..10).collect::<Vec<_>>(), "nobody else is there");
        assert!(!takes(&slots, 20, Cause::Upgrade, now), "ten roll");
        let later = now + PATIENCE;
        assert!(takes(&slots, 20, Cause::Upgrade, later), "they were broken before");
        assert_eq!(
            slots.free(&key(3), later),
            None,
            "the next one of them waits until the upgrade has worked for somebody"
        );
        assert_eq!(slots.halted(later + PATIENCE), Some(key(0)));
        slots.settle(&key(20), true, &rollout(1), now);
        assert_eq!((slots.halted(later), slots.overdue(later)), (None, vec![key(10), key(11)]));
    }

    #[test]
    fn an_outage_does_not_carry_an_upgrade_further() {
        let (slots, now) = (Slots::default(), Instant::now());
        take(&slots, Cause::UpgradeOfUnready, 0..12, now);
        (0..10).for_each(|i| slots.settle(&key(i), true, &rollout(0), now));
        let later = now + PATIENCE;
        assert!(
            !takes(&slots, 20, Cause::Upgrade, later),
            "what was ready again before is not with the upgrade"
        );
        assert_eq!(slots.halted(later), Some(key(0)));
    }

    #[test]
    fn whatever_rolls_when_the_leader_changes_takes_its_part_in_an_upgrade_at_once() {
        let (slots, now) = (Slots::default(), Instant::now());
        (0..12).for_each(|i| slots.note(key(i), Cause::Own, now));
        assert_eq!(take(&slots, Cause::Upgrade, 0..13, now), (0..10).collect::<Vec<_>>());
    }
}

//! Which StockWatches are reconciled, and when: each at most once at a time, in the order they came, with a backoff of
//! its own. Those whose next step lets brokers or workers go on come before new ones.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stockwatch_crds::Backoff;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::key::Key;

/// Before a StockWatch whose reconcile failed is tried again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));

/// The queue; every method may be called from anywhere.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Key>,
    // Before those of `ready`.
    first: VecDeque<Key>,
    // Which of `ready` and `first` still count.
    waiting: HashSet<Key>,
    active: HashSet<Key>,
    // Came again while active, and whether it then comes first.
    again: HashMap<Key, bool>,
    timers: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
    stopped: bool,
}

impl Queue {
    /// Reconciles it as soon as possible; once more, if that is going on.
    pub fn add(&self, key: Key) {
        self.lock().add(key, false);
        self.changed.notify_one();
    }

    /// The same before those that are only added: what goes on elsewhere (brokers that create its topics) can then go
    /// on while others begin.
    pub fn add_first(&self, key: Key) {
        self.lock().add(key, true);
        self.changed.notify_one();
    }

    /// Reconciles it after this time, unless it is asked for earlier.
    pub fn add_after(&self, key: Key, delay: Duration) {
        let mut state = self.lock();
        let at = Instant::now() + delay;
        if state.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        if let Some(due) = state.due.insert(key.clone(), at) {
            state.timers.remove(&(due, key.clone()));
        }
        state.timers.insert((at, key));
        drop(state);
        self.changed.notify_one();
    }

    /// The next one, now active until [`Queue::done`]; `None` once stopped.
    pub async fn next(&self) -> Option<Key> {
        loop {
            let changed = self.changed.notified();
            let timer = {
                let mut state = self.lock();
                if state.stopped {
                    return None;
                }
                state.ring(Instant::now());
                if let Some(key) = state.take() {
                    return Some(key);
                }
                state.timers.first().map(|(at, _)| *at)
            };
            match timer {
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    /// It was reconciled.
    pub fn done(&self, key: &Key) {
        let mut state = self.lock();
        state.failures.remove(key);
        state.release(key);
        drop(state);
        self.changed.notify_one();
    }

    /// It failed, and is tried again after the wait that is returned.
    pub fn failed(&self, key: &Key) -> Duration {
        let mut state = self.lock();
        let failures = state.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        let delay = RETRY.after(*failures, fastrand::f64());
        state.again.remove(key);
        state.release(key);
        drop(state);
        self.add_after(key.clone(), delay);
        delay
    }

    /// It failed, but is another one by now: it is tried again at once, as if it had never failed.
    pub fn changed(&self, key: &Key) {
        let mut state = self.lock();
        state.failures.remove(key);
        state.again.entry(key.clone()).or_default();
        state.release(key);
        drop(state);
        self.changed.notify_one();
    }

    /// What failed was another form of it: its next failure counts as the first.
    pub fn forgive(&self, key: &Key) {
        self.lock().failures.remove(key);
    }

    /// It is gone: nothing about it is kept.
    pub fn forget(&self, key: &Key) {
        let mut state = self.lock();
        state.failures.remove(key);
        if let Some(due) = state.due.remove(key) {
            state.timers.remove(&(due, key.clone()));
        }
    }

    /// Nothing is given out any more.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_one();
    }

    /// Begins anew after [`Queue::stop`], with these and what came since: nothing is known of earlier tries.
    pub fn restart(&self, keys: Vec<Key>) {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        *state = State::default();
        keys.into_iter().chain(waiting).for_each(|key| state.add(key, false));
        drop(state);
        self.changed.notify_one();
    }

    /// How many wait to be reconciled at once.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// None waits to be reconciled at once.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, key: Key, first: bool) {
        if self.active.contains(&key) {
            *self.again.entry(key).or_default() |= first;
            return;
        }
        let is_new = self.waiting.insert(key.clone());
        if first {
            self.first.push_back(key);
        } else if is_new {
            self.ready.push_back(key);
        }
    }

    fn ring(&mut self, now: Instant) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
        {
            let Some((_, key)) = self.timers.pop_first() else { break };
            self.due.remove(&key);
            self.add(key, false);
        }
    }

    fn take(&mut self) -> Option<Key> {
        loop {
            let key = self.first.pop_front().or_else(|| self.ready.pop_front())?;
            // Otherwise it was taken from the other one meanwhile.
            if self.waiting.remove(&key) {
                self.active.insert(key.clone());
                return Some(key);
            }
        }
    }

    fn release(&mut self, key: &Key) {
        self.active.remove(key);
        if let Some(first) = self.again.remove(key) {
            self.add(key.clone(), first);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("default", name)
    }

    fn taken(queue: &Queue) -> Option<Key> {
        let mut state = queue.lock();
        state.ring(Instant::now());
        state.take()
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_given_out_once_in_the_order_they_came() {
        let queue = Queue::default();
        for name in ["a", "b", "a"] {
            queue.add(key(name));
        }
        assert_eq!((queue.next().await, queue.next().await), (Some(key("a")), Some(key("b"))));
        assert_eq!(taken(&queue), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_again_while_active_waits_until_it_is_done() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.next().await.unwrap();
        queue.add(key("a"));
        assert_eq!(taken(&queue), None);
        queue.done(&key("a"));
        assert_eq!(taken(&queue), Some(key("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_times_the_earlier_one_counts() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.add_after(key("a"), Duration::from_secs(9));
        queue.add_after(key("a"), Duration::from_secs(3));
        queue.add_after(key("a"), Duration::from_secs(6));
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(start.elapsed().as_secs(), 3);
        queue.done(&key("a"));
        assert!(queue.lock().timers.is_empty() && queue.lock().due.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_tried_again_by_itself_and_even_if_something_new_came() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.next().await.unwrap();
        queue.add(key("a"));
        let delay = queue.failed(&key("a"));
        assert_eq!(taken(&queue), None, "not at once");
        let start = Instant::now();
        assert_eq!(queue.next().await, Some(key("a")));
        assert!(start.elapsed() >= delay);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_ends_the_backoff() {
        let queue = Queue::default();
        queue.add(key("a"));
        for _ in 0..8 {
            queue.next().await.unwrap();
            queue.failed(&key("a"));
        }
        queue.next().await.unwrap();
        queue.changed(&key("a"));
        assert_eq!(taken(&queue), Some(key("a")), "at once");
        assert!(queue.failed(&key("a")) <= Duration::from_millis(250), "its first failure");
        queue.failed(&key("a"));
        queue.forgive(&key("a"));
        assert!(queue.failed(&key("a")) <= Duration::from_millis(250));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_forgets_the_failures() {
        let queue = Queue::default();
        for _ in 0..5 {
            queue.add(key("a"));
            queue.next().await.unwrap();
            queue.failed(&key("a"));
        }
        assert_eq!(queue.next().await, Some(key("a")));
        queue.done(&key("a"));
        assert!(queue.lock().failures.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_given_out_once_stopped() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.stop();
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_begins_with_everybody_and_without_what_the_last_one_left() {
        let queue = Queue::default();
        for name in ["a", "b"] {
            queue.add(key(name));
        }
        queue.next().await.unwrap();
        queue.add_after(key("b"), Duration::from_secs(9));
        queue.stop();
        queue.add(key("c"));
        queue.restart(vec![key("a"), key("b")]);
        for name in ["a", "b", "c"] {
            assert_eq!(taken(&queue), Some(key(name)), "what was active is, too");
        }
        assert!(queue.is_empty() && queue.lock().timers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_hears_of_the_stop() {
        let queue = Queue::default();
        let (next, ()) = tokio::join!(queue.next(), async { queue.stop() });
        assert_eq!(next, None);
    }

    #[tokio::test]
    async fn one_whose_next_step_is_due_comes_before_new_ones() {
        let queue = Queue::default();
        for name in ["a", "b", "c"] {
            queue.add(key(name));
        }
        queue.add_first(key("c"));
        assert_eq!(queue.next().await, Some(key("c")));
        queue.add_first(key("c"));
        queue.done(&key("c"));
        assert_eq!((queue.next().await, queue.len()), (Some(key("c")), 2), "it came again while active");
        queue.done(&key("c"));
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(queue.next().await, Some(key("b")));
        assert!(queue.is_empty(), "each is taken once");
    }
}

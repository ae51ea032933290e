//! What the watches have shown last, and what our own writes were answered with.
//!
//! A write's answer is put in at once, so that nobody decides on what was before it; the watch's echo of it is
//! then nothing new. Of two states of one object the one with the greater resourceVersion is kept, but a new listing of
//! everything (a consistent read) replaces all that was known before it began: a cluster that was restored from a backup
//! counts its versions on from lower ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::ObjectMeta;
use tokio::time::Instant;

use crate::key::Key;

/// For so long an answer may arrive after the watch has shown that the object is gone.
const GRAVE: Duration = Duration::from_secs(60);

/// An object: the StockWatch that it belongs to, and which of its objects it is.
type Id = (Key, String);

/// `metadata.resourceVersion` as a number; 0, older than everything, for one that is none.
pub fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The newest known state of objects, by the StockWatch that they belong to.
#[derive(Debug)]
pub struct Cache<V> {
    state: Mutex<State<V>>,
}

#[derive(Debug)]
struct State<V> {
    entries: BTreeMap<Id, Entry<V>>,
    // When which object was buried, the oldest first.
    graves: VecDeque<(Instant, Id)>,
    // When each watch began to list everything, in listings begun.
    began: Vec<u64>,
    // Which watches are listing everything.
    listing: Vec<bool>,
    listings: u64,
}

#[derive(Debug)]
struct Entry<V> {
    version: u64,
    /// `None`: it is gone, and older states of it are no news.
    value: Option<V>,
    /// `None`: known by an answer alone so far.
    watch: Option<usize>,
    /// The listings begun when it was last shown.
    shown: u64,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        let (entries, graves) = (BTreeMap::new(), VecDeque::new());
        let (began, listing) = (Vec::new(), Vec::new());
        Self { state: Mutex::new(State { entries, graves, began, listing, listings: 0 }) }
    }
}

impl<V: Clone + PartialEq> Cache<V> {
    /// A number for one more watch that fills the cache.
    pub fn add_watch(&self) -> usize {
        let mut state = self.lock();
        state.began.push(0);
        state.listing.push(false);
        state.began.len() - 1
    }

    /// The watch begins to list everything.
    pub fn begin(&self, watch: usize) {
        let mut state = self.lock();
        state.listings += 1;
        let now = state.listings;
        if let Some(began) = state.began.get_mut(watch) {
            *began = now;
        }
        state.set_listing(watch, true);
    }

    /// The watch has listed everything. Gives the StockWatches of what it has not listed: that is gone.
    pub fn finish(&self, watch: usize) -> Vec<Key> {
        let mut state = self.lock();
        state.set_listing(watch, false);
        let began = state.began.get(watch).copied().unwrap_or_default();
        let mut gone = Vec::new();
        state.entries.retain(|(key, _), entry| {
            let stays = entry.watch.is_some_and(|shown_by| shown_by != watch) || entry.shown >= began;
            if !stays && entry.value.is_some() {
                gone.push(key.clone());
            }
            stays
        });
        gone
    }

    /// A watch shows an object. `true` if that is news.
    pub fn put(&self, watch: usize, key: Key, part: &str, version: u64, value: V) -> bool {
        self.lock().put(Some(watch), (key, part.to_owned()), version, value)
    }

    /// A write was answered with an object.
    pub fn learn(&self, key: Key, part: &str, version: u64, value: V) {
        self.lock().put(None, (key, part.to_owned()), version, value);
    }

    /// A watch shows that an object is gone. `true` if that is news.
    pub fn remove(&self, key: Key, part: &str, version: u64, now: Instant) -> bool {
        let mut state = self.lock();
        while let Some((buried, _)) = state.graves.front()
            && now.duration_since(*buried) > GRAVE
        {
            if let Some((_, id)) = state.graves.pop_front()
                && state.entries.get(&id).is_some_and(|entry| entry.value.is_none())
            {
                state.entries.remove(&id);
            }
        }
        let id = (key, part.to_owned());
        let Some(entry) = state.entries.get_mut(&id) else { return false };
        if version < entry.version && version != 0 {
            return false;
        }
        entry.version = version;
        let news = entry.value.take().is_some();
        state.graves.push_back((now, id));
        news
    }

    /// One object of a StockWatch.
    pub fn get(&self, key: &Key, part: &str) -> Option<V> {
        self.lock().entries.get(&(key.clone(), part.to_owned()))?.value.clone()
    }

    /// All objects of a StockWatch.
    pub fn of(&self, key: &Key) -> Vec<V> {
        let first = (key.clone(), String::new());
        let state = self.lock();
        let of_key = state.entries.range(first..).take_while(|((k, _), _)| k == key);
        of_key.filter_map(|(_, entry)| entry.value.clone()).collect()
    }

    /// The StockWatches that have an object here.
    pub fn keys(&self) -> Vec<Key> {
        let state = self.lock();
        let known = state.entries.iter().filter(|(_, entry)| entry.value.is_some());
        let mut keys: Vec<Key> = known.map(|((key, _), _)| key.clone()).collect();
        keys.dedup();
        keys
    }

    /// Shows every object; not to be called for more than moments.
    pub fn each(&self, mut see: impl FnMut(&V)) {
        self.lock().entries.values().filter_map(|entry| entry.value.as_ref()).for_each(&mut see);
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: PartialEq> State<V> {
    fn set_listing(&mut self, watch: usize, listing: bool) {
        if let Some(is) = self.listing.get_mut(watch) {
            *is = listing;
        }
    }

    /// Whatever was known before is replaced: when the watch's listing under way began, if there is one.
    fn replaces_before(&self, watch: Option<usize>) -> u64 {
        let listing = watch.filter(|watch| self.listing.get(*watch) == Some(&true));
        listing.and_then(|watch| self.began.get(watch).copied()).unwrap_or_default()
    }

    fn put(&mut self, watch: Option<usize>, id: Id, version: u64, value: V) -> bool {
        let shown = self.listings;
        let replaces_before = self.replaces_before(watch);
        let Some(entry) = self.entries.get_mut(&id) else {
            self.entries.insert(id, Entry { version, value: Some(value), watch, shown });
            return true;
        };
        let is_older = entry.shown < replaces_before;
        entry.watch = watch.or(entry.watch);
        entry.shown = shown;
        if version <= entry.version && version != 0 && !is_older {
            return false;
        }
        entry.version = version;
        let was = entry.value.replace(value);
        was != entry.value
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("default", name)
    }

    #[test]
    fn the_watchs_echo_of_our_own_write_is_no_news() {
        let cache = Cache::default();
        let watch = cache.add_watch();
        assert!(cache.put(watch, key("tech"), "", 1, "old"));
        cache.learn(key("tech"), "", 2, "ours");
        assert!(!cache.put(watch, key("tech"), "", 2, "ours"));
        assert_eq!(cache.get(&key("tech"), ""), Some("ours"));
    }

    #[test]
    fn an_older_state_never_replaces_a_newer_one() {
        let cache = Cache::default();
        let watch = cache.add_watch();
        cache.learn(key("tech"), "", 10, "new");
        assert!(!cache.put(watch, key("tech"), "", 9, "old"));
        assert!(!cache.remove(key("tech"), "", 9, Instant::now()));
        assert_eq!(cache.get(&key("tech"), ""), Some("new"));
        assert!(cache.put(watch, key("tech"), "", 11, "newer"));
        assert!(!cache.put(watch, key("tech"), "", 12, "newer"), "another version of the same is no news");
    }

    #[test]
    fn an_answer_that_comes_late_does_not_bring_back_what_is_gone() {
        let cache = Cache::default();
        let watch = cache.add_watch();
        cache.put(watch, key("tech"), "", 1, "is");
        assert!(cache.remove(key("tech"), "", 5, Instant::now()));
        cache.learn(key("tech"), "", 3, "was");
        assert_eq!(cache.get(&key("tech"), ""), None);
        assert!(cache.put(watch, key("tech"), "", 6, "again"));
    }

    #[test]
    fn graves_are_cleared() {
        let cache = Cache::default();
        let watch = cache.add_watch();
        let start = Instant::now();
        for name in ["a", "b"] {
            cache.put(watch, key(name), "", 1, ());
        }
        cache.remove(key("a"), "", 2, start);
        cache.remove(key("b"), "", 2, start + 2 * GRAVE);
        assert_eq!(cache.lock().entries.len(), 1);
    }

    #[test]
    fn what_a_new_listing_of_its_own_watch_leaves_out_is_gone() {
        let cache = Cache::default();
        let (one, other) = (cache.add_watch(), cache.add_watch());
        for watch in [one, other] {
            cache.begin(watch);
            assert!(cache.finish(watch).is_empty());
        }
        cache.put(one, key("a"), "", 1, ());
        cache.put(one, key("b"), "", 1, ());
        cache.put(other, key("c"), "", 1, ());
        cache.begin(one);
        cache.put(one, key("a"), "", 1, ());
        cache.learn(key("new"), "", 2, ());
        assert_eq!(cache.finish(one), [key("b")]);
        assert_eq!(cache.keys(), [key("a"), key("c"), key("new")]);
    }

    #[test]
    fn a_new_listing_replaces_what_is_known_whatever_its_versions() {
        let cache = Cache::default();
        let watch = cache.add_watch();
        cache.begin(watch);
        cache.put(watch, key("a"), "", 1000, "before the backup was restored");
        cache.put(watch, key("gone"), "", 1000, "deleted since the backup");
        cache.finish(watch);
        cache.remove(key("gone"), "", 1001, Instant::now());
        cache.begin(watch);
        assert!(cache.put(watch, key("a"), "", 40, "restored"));
        assert!(cache.put(watch, key("gone"), "", 41, "restored"));
        cache.learn(key("a"), "", 50, "our write since");
        assert!(!cache.put(watch, key("a"), "", 45, "listed a moment earlier"));
        assert!(cache.finish(watch).is_empty());
        assert_eq!(cache.get(&key("a"), ""), Some("our write since"));
        assert_eq!(cache.get(&key("gone"), ""), Some("restored"));
        assert!(cache.put(watch, key("gone"), "", 42, "goes on from there"));
        assert!(!cache.put(watch, key("gone"), "", 41, "restored"), "outside of a listing order counts");
    }

    #[test]
    fn the_objects_of_one_stockwatch_are_found_together() {
        let cache = Cache::default();
        let watch = cache.add_watch();
        for (name, part) in [("a", "x"), ("b", "x"), ("b", "y"), ("ba", "x")] {
            cache.put(watch, key(name), part, 1, part.to_owned());
        }
        assert_eq!(cache.of(&key("b")), ["x", "y"]);
        assert!(cache.of(&key("c")).is_empty());
    }
}

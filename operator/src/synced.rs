//! Which watches have shown everything, by the namespace that they are of, and which namespaces are another release's.
//!
//! A namespace that is gone, or that the operator may not watch, concerns itself alone: the others are looked after, and
//! it is once it may be watched again.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Which other release looks after a namespace, or after all (`None`), of what this one is to look after.
pub(crate) type Others = BTreeMap<Option<String>, String>;

/// By namespace; `None`: all.
type Scopes = BTreeMap<Option<String>, Scope>;

/// Which watches have shown everything at least once.
#[derive(Debug, Default)]
pub struct Synced {
    scopes: Mutex<Scopes>,
    /// Those that are this release's to act on since the last look, or are not any more.
    turned: Mutex<BTreeSet<Option<String>>>,
    /// Why it is not known which release looks after what.
    unknown: Mutex<Option<String>>,
    changed: Notify,
}

/// The watches of one namespace, or of all.
#[derive(Debug, Default)]
struct Scope {
    /// Those that have not shown everything, and why.
    missing: BTreeMap<String, String>,
    /// Those of them that the API server forbids.
    forbidden: BTreeSet<String>,
    /// Another release that looks after it.
    claimed: Option<String>,
}

impl Scope {
    fn is_covered(&self) -> bool {
        self.missing.is_empty() && self.claimed.is_none()
    }
}

impl Synced {
    /// Waits until every namespace that may be watched has been listed, and there is one.
    pub async fn wait(&self) {
        loop {
            let changed = self.changed();
            if self.unlisted().is_none() {
                return;
            }
            changed.await;
        }
    }

    /// Ends with the next change of what is known, from this call on.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// The scopes that are this release's to act on since the last call, or are not any more.
    pub(crate) fn take_turned(&self) -> BTreeSet<Option<String>> {
        mem::take(&mut self.turned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A sentence that names what is missing; `None`: all that may be watched has been listed, and claims could be read.
    pub fn problem(&self) -> Option<String> {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.unlisted().or(unknown)
    }

    /// Why it is not known which release looks after what; `None`: it is.
    pub(crate) fn set_unknown(&self, why: Option<String>) {
        *self.unknown.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    fn unlisted(&self) -> Option<String> {
        let scopes = self.lock();
        let left_out = |(scope, watches): &(&Option<String>, &Scope)| is_left_out(scope, watches);
        let nothing = !scopes.is_empty() && scopes.iter().all(|scope| left_out(&scope));
        let missing = scopes.iter().filter(|scope| nothing || !left_out(scope));
        let missing = missing.flat_map(|(_, watches)| &watches.missing);
        let lines: Vec<String> = missing.map(|(watch, why)| format!("{watch}: {why}")).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// What this release does without, in a sentence each.
    pub fn notes(&self) -> Vec<String> {
        self.lock().iter().filter_map(note).collect()
    }

    /// How much of what it is to look after it does without. Told to look after all, it lacks nothing where a namespace
    /// has a release of its own.
    pub fn left_out(&self) -> i64 {
        let scopes = self.lock();
        let of_all = scopes.contains_key(&None);
        let left_out = scopes.iter().filter(|(scope, _)| scope.is_none() == of_all).filter_map(note);
        i64::try_from(left_out.count()).unwrap_or(i64::MAX)
    }

    /// Which other releases look after what this one is to look after. `true`: that is news.
    pub(crate) fn claimed(&self, others: &Others) -> bool {
        // A namespace that nothing was said of is covered if all are.
        for scope in others.keys() {
            self.lock().entry(scope.clone()).or_default();
        }
        self.change(|scopes| {
            let mut is_news = false;
            for (scope, of) in scopes.iter_mut() {
                let by = others.get(scope);
                is_news |= of.claimed.as_ref() != by;
                of.claimed = by.cloned();
            }
            is_news
        })
    }

    /// Whether a namespace is another release's.
    pub fn is_anothers(&self, namespace: &str) -> bool {
        let scopes = self.lock();
        [Some(namespace.to_owned()), None]
            .iter()
            .any(|scope| scopes.get(scope).is_some_and(|watches| watches.claimed.is_some()))
    }

    /// Whether all of a namespace is known, and it is this release's.
    pub fn covers(&self, namespace: &str) -> bool {
        let scopes = self.lock();
        // Where all are watched, one may be another release's.
        let mut of =
            [Some(namespace.to_owned()), None].into_iter().filter_map(|scope| scopes.get(&scope)).peekable();
        (of.peek().is_some() || scopes.is_empty()) && of.all(Scope::is_covered)
    }

    /// A watch has not shown everything. `true`: that is news.
    pub(crate) fn lack(&self, scope: Option<&str>, watch: &str, why: &str, forbidden: bool) -> bool {
        self.change(|scopes| {
            let of = scopes.entry(scope.map(str::to_owned)).or_default();
            if forbidden {
                of.forbidden.insert(watch.to_owned());
            } else {
                of.forbidden.remove(watch);
            }
            let before = of.missing.insert(watch.to_owned(), why.to_owned());
            before.as_deref() != Some(why)
        })
    }

    /// A watch has shown everything.
    pub(crate) fn done(&self, scope: Option<&str>, watch: &str) {
        self.change(|scopes| {
            if let Some(of) = scopes.get_mut(&scope.map(str::to_owned)) {
                of.missing.remove(watch);
                of.forbidden.remove(watch);
            }
        });
    }

    /// Changes what is known, and notes what turns by it.
    fn change<T>(&self, act: impl FnOnce(&mut Scopes) -> T) -> T {
        let mut scopes = self.lock();
        // What may not be watched, either, is another release's from some moment on: what is kept of it is to be left.
        let known = |scopes: &Scopes| -> BTreeSet<(Option<String>, bool)> {
            let known = scopes.iter().filter(|(_, of)| of.is_covered() || of.claimed.is_some());
            known.map(|(scope, of)| (scope.clone(), of.claimed.is_some())).collect()
        };
        let before = known(&scopes);
        let done = act(&mut scopes);
        let turned: Vec<_> = before.symmetric_difference(&known(&scopes)).map(|of| of.0.clone()).collect();
        self.turned.lock().unwrap_or_else(PoisonError::into_inner).extend(turned);
        self.changed.notify_waiters();
        done
    }

    fn lock(&self) -> MutexGuard<'_, Scopes> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note((scope, watches): (&Option<String>, &Scope)) -> Option<String> {
    let what = scope.as_ref().map_or("the cluster".to_owned(), |scope| format!("namespace {scope}"));
    match &watches.claimed {
        Some(release) => Some(format!("{what} is looked after by release {release}: this one stays away")),
        None if is_left_out(scope, watches) => {
            Some(format!("{what} is left out: it is gone, or the operator may not watch it"))
        }
        None => None,
    }
}

/// Only one of several can be done without.
fn is_left_out(scope: &Option<String>, watches: &Scope) -> bool {
    scope.is_some() && !watches.forbidden.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [&str; 2] = ["stockwatches", "deployments"];

    fn begun(scopes: &[Option<&str>]) -> Synced {
        let synced = Synced::default();
        for scope in scopes {
            for kind in KINDS {
                synced.lack(*scope, &format!("{kind} of {scope:?}"), "not listed yet", false);
            }
        }
        synced
    }

    fn finish(synced: &Synced, scope: Option<&str>) {
        KINDS.iter().for_each(|kind| synced.done(scope, &format!("{kind} of {scope:?}")));
    }

    fn forbid(synced: &Synced, scope: Option<&str>) -> bool {
        synced.lack(scope, &format!("{} of {scope:?}", KINDS[0]), "the operator may not watch it", true)
    }

    #[tokio::test]
    async fn a_namespace_that_may_not_be_watched_holds_nobody_else_up() {
        let synced = begun(&[Some("a"), Some("b")]);
        assert!(forbid(&synced, Some("b")) && !forbid(&synced, Some("b")), "said once");
        assert!(synced.problem().is_some(), "the other one has not been listed");
        finish(&synced, Some("a"));
        synced.wait().await;
        assert_eq!(synced.problem(), None);
        assert!(synced.notes()[0].starts_with("namespace b is left out"), "{:?}", synced.notes());
        assert!(synced.covers("a") && !synced.covers("b") && synced.left_out() == 1);
        finish(&synced, Some("b"));
        assert!(synced.notes().is_empty() && synced.covers("b"), "it may be watched again");
        forbid(&synced, Some("b"));
        assert!(synced.problem().is_none() && !synced.covers("b"), "its end later is no other matter");
        synced.take_turned();
        let b = Some("b".to_owned());
        assert!(synced.claimed(&Others::from([(b.clone(), "team/stockwatch".to_owned())])));
        assert_eq!(synced.take_turned(), BTreeSet::from([b]), "what is kept of it is left");
    }

    #[test]
    fn what_another_release_looks_after_is_not_acted_on() {
        let synced = begun(&[None]);
        finish(&synced, None);
        assert!(synced.covers("a") && synced.notes().is_empty());
        let others = Others::from([(None, "team/stockwatch".to_owned())]);
        synced.take_turned();
        assert!(synced.claimed(&others) && !synced.claimed(&others), "said once");
        assert_eq!(synced.take_turned(), BTreeSet::from([None]));
        assert!(!synced.covers("a") && synced.is_anothers("a"));
        assert_eq!(synced.problem(), None, "it stands by");
        assert!(synced.notes()[0].contains("release team/stockwatch") && synced.left_out() == 1);
        assert!(synced.claimed(&Others::new()) && synced.covers("a"));
        assert_eq!(synced.take_turned(), BTreeSet::from([None]));
    }

    #[test]
    fn of_all_namespaces_one_may_be_another_releases() {
        let synced = begun(&[None]);
        let a = Some("a".to_owned());
        synced.take_turned();
        assert!(synced.claimed(&Others::from([(a.clone(), "team/stockwatch".to_owned())])));
        assert_eq!(synced.take_turned(), BTreeSet::from([a.clone()]));
        assert!(synced.problem().is_some() && !synced.covers("b"), "nothing is listed");
        finish(&synced, None);
        assert!(synced.problem().is_none() && synced.covers("b"));
        assert!(!synced.covers("a") && synced.is_anothers("a"));
        assert!(synced.notes()[0].starts_with("namespace a is looked after by release team"));
        assert_eq!(synced.left_out(), 0, "nobody has to act");
        synced.take_turned();
        assert!(synced.claimed(&Others::new()) && synced.covers("a") && synced.notes().is_empty());
        assert_eq!(synced.take_turned(), BTreeSet::from([a]));
    }

    #[test]
    fn one_that_is_only_slow_is_waited_for() {
        let synced = begun(&[Some("a"), Some("b")]);
        finish(&synced, Some("a"));
        assert!(synced.problem().is_some());
    }

    #[test]
    fn with_nothing_left_to_look_after_nobody_is_ready() {
        let synced = begun(&[Some("a")]);
        forbid(&synced, Some("a"));
        assert!(synced.problem().is_some_and(|why| why.contains("may not watch it")));
        let all = begun(&[None]);
        forbid(&all, None);
        assert!(all.problem().is_some() && all.notes().is_empty());
        finish(&all, None);
        assert!(all.problem().is_none() && all.covers("anything"));
    }
}

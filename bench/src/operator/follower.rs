//! The statuses of the StockWatches as a watch shows them, and when it showed them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use stockwatch_crds::StockWatch;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::Result;

/// One StockWatch as last shown.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// When this was shown first.
    pub(super) at: Instant,
    pub(super) generation: i64,
    pub(super) observed: i64,
    pub(super) applied: i64,
    /// Status and reason of Ready.
    pub(super) ready: (String, String),
    /// Reason of QuotesFlow.
    pub(super) quotes: String,
}

impl State {
    /// Ready as it is now.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.0 == "True" && self.observed == self.generation
    }
}

/// The StockWatches by name.
pub(super) type States = BTreeMap<String, State>;

/// A watch of them.
pub(super) struct Follower {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    states: Mutex<States>,
    changed: Notify,
}

impl Follower {
    /// Watches until dropped.
    pub(super) fn of(api: Api<StockWatch>) -> Self {
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(follow(Arc::clone(&shared), api));
        Self { shared, task }
    }

    /// Waits until something holds, and gives the moment when it came to; `what` is for the error.
    pub(super) async fn until(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&States) -> bool,
    ) -> Result<Instant> {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                {
                    let states = self.shared.states();
                    if holds(&states) {
                        return states.values().map(|state| state.at).max();
                    }
                }
                changed.await;
            }
        };
        match timeout(limit, wait).await {
            Ok(at) => Ok(at.unwrap_or_else(Instant::now)),
            Err(_) => Err(format!("{what}: not within {limit:?}: {}", self.summary()).into()),
        }
    }

    /// One StockWatch as last shown.
    pub(super) fn state(&self, name: &str) -> Option<State> {
        self.shared.states().get(name).cloned()
    }

    /// How many there are of each reason of Ready.
    pub(super) fn summary(&self) -> String {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for State { ready: (status, reason), .. } in self.shared.states().values() {
            *reasons.entry(format!("{status} {reason}")).or_default() += 1;
        }
        format!("{reasons:?}")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(shared: Arc<Shared>, api: Api<StockWatch>) {
    let mut events = watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        let at = Instant::now();
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                if let Some(name) = object.metadata.name.clone() {
                    shared.states().insert(name, state(&object, at));
                }
            }
            Ok(Event::Delete(object)) => {
                shared.states().remove(object.metadata.name.as_deref().unwrap_or_default());
            }
            Ok(Event::Init | Event::InitDone) => {}
            // The watch begins again by itself.
            Err(error) => eprintln!("the benchmark's own watch: {error}"),
        }
        shared.changed.notify_waiters();
    }
}

fn state(object: &StockWatch, at: Instant) -> State {
    let status = object.status.clone().unwrap_or_default();
    let said = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
    let (ready, quotes) = (said("Ready"), said("QuotesFlow"));
    State {
        at,
        generation: object.metadata.generation.unwrap_or_default(),
        observed: status.observed_generation.unwrap_or_default(),
        applied: status.applied_generation.unwrap_or_default(),
        ready: ready.map(|ready| (ready.status.clone(), ready.reason.clone())).unwrap_or_default(),
        quotes: quotes.map(|quotes| quotes.reason.clone()).unwrap_or_default(),
    }
}

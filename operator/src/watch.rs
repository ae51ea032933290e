//! The watches that fill the store and the queue: one for each kind and each namespace that is looked after.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use stockwatch_crds::{Backoff, StockWatch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cache::Cache;
use crate::metrics::Metrics;
use crate::names;
use crate::queue::Queue;
use crate::resources::Kind;
use crate::store::{Shown, Store};
use crate::synced::Synced;

/// A watch ends and begins again after this time, so a connection that died silently is noticed soon after.
const WATCH_SECONDS: u32 = 60;
/// Before a watch that broke is begun anew.
const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));

/// Starts watches.
pub struct Watches {
    /// Asks the API server.
    pub client: Client,
    /// What they fill.
    pub store: Arc<Store>,
    /// Hears of every StockWatch that something changed of.
    pub queue: Arc<Queue>,
    /// Hears of those that have shown everything.
    pub synced: Arc<Synced>,
    /// Counts their breaks.
    pub metrics: Arc<Metrics>,
}

impl Watches {
    /// Watches these namespaces, or all if none is listed, until the set is dropped.
    pub fn start(&self, namespaces: &[String]) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(look_again(
            Arc::clone(&self.synced),
            Arc::clone(&self.store),
            Arc::clone(&self.queue),
            Arc::clone(&self.metrics),
        ));
        let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().map(|n| Some(n.as_str())).collect()
        };
        for scope in scopes {
            let plain = watcher::Config::default().timeout(WATCH_SECONDS);
            let owned = plain.clone().labels(&names::owned_selector());
            tasks.spawn(self.follow::<DeserializeGuard<StockWatch>, _>(
                scope,
                plain,
                |store| &store.stockwatches,
                |_, guard| Store::stockwatch(guard),
            ));
            tasks.spawn(self.follow::<Deployment, _>(
                scope,
                owned.clone(),
                |store| &store.owned,
                |store, deployment| store.deployment(deployment),
            ));
            tasks.spawn(self.follow::<EndpointSlice, _>(
                scope,
                owned.clone(),
                |store| &store.workers,
                |_, slice| Store::slice(slice),
            ));
            tasks.spawn(self.metadata::<ConfigMap>(scope, owned.clone(), Kind::ConfigMap));
            tasks.spawn(self.metadata::<ServiceAccount>(scope, owned.clone(), Kind::ServiceAccount));
            tasks.spawn(self.metadata::<Role>(scope, owned.clone(), Kind::Role));
            tasks.spawn(self.metadata::<RoleBinding>(scope, owned.clone(), Kind::RoleBinding));
            tasks.spawn(self.metadata::<Service>(scope, owned.clone(), Kind::Service));
            tasks.spawn(self.metadata::<PodDisruptionBudget>(scope, owned, Kind::PodDisruptionBudget));
        }
        tasks
    }

    /// Of these kinds nothing but the metadata is asked for.
    fn metadata<K>(
        &self,
        scope: Option<&str>,
        config: watcher::Config,
        kind: Kind,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        self.follow::<PartialObjectMeta<K>, _>(
            scope,
            config,
            |store| &store.owned,
            move |store, object| store.owned(kind, object.metadata),
        )
    }

    fn follow<K, V>(
        &self,
        scope: Option<&str>,
        config: watcher::Config,
        cache: fn(&Store) -> &Cache<V>,
        reduce: impl Fn(&Store, K) -> Option<Shown<V>> + Send + Sync + 'static,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
        V: Clone + PartialEq + Send + 'static,
    {
        let api: Api<K> = match scope {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let name = format!("{} of {}", K::plural(&()), scope.unwrap_or("all namespaces"));
        self.synced.lack(scope, &name, "not listed yet", false);
        let filler = Filler {
            watch: cache(&self.store).add_watch(),
            name,
            scope: scope.map(str::to_owned),
            store: Arc::clone(&self.store),
            queue: Arc::clone(&self.queue),
            synced: Arc::clone(&self.synced),
            metrics: Arc::clone(&self.metrics),
            cache,
        };
        filler.run(api, config, reduce)
    }
}

struct Filler<V> {
    watch: usize,
    name: String,
    /// The namespace; `None`: all.
    scope: Option<String>,
    store: Arc<Store>,
    queue: Arc<Queue>,
    synced: Arc<Synced>,
    metrics: Arc<Metrics>,
    cache: fn(&Store) -> &Cache<V>,
}

impl<V: Clone + PartialEq + Send + 'static> Filler<V> {
    async fn run<K>(
        self,
        api: Api<K>,
        config: watcher::Config,
        reduce: impl Fn(&Store, K) -> Option<Shown<V>>,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let cache = (self.cache)(&self.store);
        let mut events = watcher(api.clone(), config.clone()).boxed();
        let mut failures: u32 = 0;
        while let Some(event) = events.next().await {
            // A listing that begins has not succeeded yet.
            if matches!(&event, Ok(event) if !matches!(event, Event::Init)) {
                failures = 0;
            }
            match event {
                Ok(Event::Init) => cache.begin(self.watch),
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    if let Some(Shown { key, part, version, value }) = reduce(&self.store, object)
                        && cache.put(self.watch, key.clone(), &part, version, value)
                    {
                        self.queue.add(key);
                    }
                }
                Ok(Event::Delete(object)) => {
                    if let Some(Shown { key, part, version, .. }) = reduce(&self.store, object)
                        && cache.remove(key.clone(), &part, version, Instant::now())
                    {
                        self.queue.add(key);
                    }
                }
                Ok(Event::InitDone) => {
                    for key in cache.finish(self.watch) {
                        self.queue.add(key);
                    }
                    self.synced.done(self.scope.as_deref(), &self.name);
                }
                Err(error) => {
                    if self.is_refused(&error) {
                        // It would go on from where it was without a word: a listing says when it works again.
                        events = watcher(api.clone(), config.clone()).boxed();
                    }
                    failures = failures.saturating_add(1);
                    sleep(RETRY.after(failures, fastrand::f64())).await;
                }
            }
        }
    }

    /// Notes the error. `true`: the API server does not serve this, or not to the operator.
    fn is_refused(&self, error: &watcher::Error) -> bool {
        self.metrics.watch_errors.inc();
        let code = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.code,
            watcher::Error::WatchError(status) => status.code,
            _ => 0,
        };
        let (why, forbidden) = match code {
            // What was listed is too old to go on from: it is listed anew.
            410 => {
                tracing::debug!(watch = self.name, "listed anew");
                return false;
            }
            404 => ("the API server does not serve it: is the definition installed?", false),
            403 => ("the operator may not watch it, or the namespace is gone", true),
            _ => {
                tracing::warn!(watch = self.name, %error, "a watch broke and is begun anew");
                return false;
            }
        };
        if self.synced.lack(self.scope.as_deref(), &self.name, why, forbidden) {
            tracing::warn!(watch = self.name, "{why}");
        }
        true
    }
}

/// Has every StockWatch looked at that is this release's to act on from now on, or not any more: what came while a watch
/// could not be had, for a second after the API server's start say, or was another release's, was passed over.
async fn look_again(synced: Arc<Synced>, store: Arc<Store>, queue: Arc<Queue>, metrics: Arc<Metrics>) {
    loop {
        let changed = synced.changed();
        metrics.namespaces_left_out.set(synced.left_out());
        let turned = synced.take_turned();
        let has_turned = |namespace: &String| {
            turned.iter().any(|scope| scope.as_ref().is_none_or(|scope| scope == namespace))
        };
        if !turned.is_empty() {
            let keys = store.stockwatches.keys().into_iter().filter(|key| has_turned(&key.namespace));
            keys.for_each(|key| queue.add(key));
        }
        changed.await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;
    use tokio::task::yield_now;

    use super::*;
    use crate::reconcile::fixtures::stockwatch;

    #[tokio::test]
    async fn what_came_while_a_watch_was_forbidden_is_looked_at_once_it_is_not() {
        for scope in [None, Some("market")] {
            let (store, queue) = (Arc::<Store>::default(), Arc::<Queue>::default());
            let (synced, metrics) = (Arc::<Synced>::default(), Arc::new(Metrics::new()));
            store.learn_stockwatch(stockwatch(&json!({}), "Delete"));
            let watches = ["stockwatches", "services"];
            for watch in watches {
                synced.lack(scope, watch, "not listed yet", false);
            }
            let again =
                look_again(Arc::clone(&synced), Arc::clone(&store), Arc::clone(&queue), Arc::clone(&metrics));
            let _again = tokio::spawn(again);

            synced.done(scope, watches[0]);
            yield_now().await;
            assert!(queue.is_empty(), "{scope:?}: another watch has not shown anything");
            synced.done(scope, watches[1]);
            queue.done(&queue.next().await.unwrap());
            synced.lack(scope, watches[1], "forbidden", true);
            let passed_over = queue.next().await.unwrap();
            queue.done(&passed_over);
            assert!(queue.is_empty() && !synced.covers("market"));
            synced.done(scope, watches[1]);
            yield_now().await;
            assert_eq!(queue.len(), 1, "{scope:?}");
            assert_eq!(metrics.namespaces_left_out.get(), 0);
        }
    }
}

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
                    self.turn(|synced| synced.done(self.scope.as_deref(), &self.name));
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
        let lack = |synced: &Synced| synced.lack(self.scope.as_deref(), &self.name, why, forbidden);
        if self.turn(lack) {
            tracing::warn!(watch = self.name, "{why}");
        }
        true
    }

    /// Notes how far the watch is. Whoever is looked after from now on, or not any more, is looked at: what came while a
    /// watch could not be had, for a second after the API server's start say, was passed over.
    fn turn<T>(&self, note: impl FnOnce(&Synced) -> T) -> T {
        let covered = || self.synced.covers_scope(self.scope.as_deref());
        let before = covered();
        let noted = note(&self.synced);
        if before != covered() {
            self.metrics.namespaces_left_out.set(self.synced.left_out());
            let keys = self.store.stockwatches.keys().into_iter();
            keys.filter(|key| self.scope.as_ref().is_none_or(|scope| *scope == key.namespace))
                .for_each(|key| self.queue.add(key));
        }
        noted
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::store::Watched;

    /// A watch of StockWatches that knows of one, and another watch beside it.
    fn watches(scope: Option<&str>) -> [Filler<Watched>; 2] {
        let (store, queue) = (Arc::<Store>::default(), Arc::<Queue>::default());
        let (synced, metrics) = (Arc::<Synced>::default(), Arc::new(Metrics::new()));
        store.learn_stockwatch(
            serde_json::from_value(json!({
                "apiVersion": "stockwatch.dev/v1alpha1",
                "kind": "StockWatch",
                "metadata": {"namespace": "market", "name": "tech", "resourceVersion": "1"},
                "spec": {"tickers": [{"symbol": "META"}], "kafka": {"bootstrapServers": "kafka:9092"}},
            }))
            .unwrap(),
        );
        ["stockwatches", "services"].map(|name| {
            synced.lack(scope, name, "not listed yet", false);
            Filler {
                watch: store.stockwatches.add_watch(),
                name: name.to_owned(),
                scope: scope.map(str::to_owned),
                store: Arc::clone(&store),
                queue: Arc::clone(&queue),
                synced: Arc::clone(&synced),
                metrics: Arc::clone(&metrics),
                cache: |store| &store.stockwatches,
            }
        })
    }

    #[tokio::test]
    async fn what_came_while_a_watch_was_forbidden_is_looked_at_once_it_is_not() {
        for scope in [None, Some("market")] {
            let [first, other] = watches(scope);
            let done = |watch: &Filler<Watched>| watch.turn(|synced| synced.done(scope, &watch.name));
            done(&first);
            assert!(first.queue.is_empty(), "{scope:?}: another watch has not shown anything");
            done(&other);
            let taken = first.queue.next().await.unwrap();
            first.queue.done(&taken);
            other.turn(|synced| synced.lack(scope, &other.name, "forbidden", true));
            let passed_over = first.queue.next().await.unwrap();
            first.queue.done(&passed_over);
            assert!(first.queue.is_empty() && !first.synced.covers("market"));
            done(&other);
            assert_eq!(first.queue.len(), 1, "{scope:?}");
        }
    }
}
